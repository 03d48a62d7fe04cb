"""Random calls on the stand-in and on a real server give the same answers, except for ids, times and order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.conftest import real, stand_in
from tests.conformance.server_under_test import Server, anonymous, refusal, source, unknown_id
from tests.live.conftest import Letta

pytestmark = pytest.mark.live

Call = tuple[str, Mapping[str, Any]]

# --- calls -----------------------------------------------------------------------------------------------------------

UNKNOWN, DELETED = 9, 8
number = st.sampled_from([0, 0, 1, 1, 2, 3, 4, DELETED, UNKNOWN])
tags = st.lists(st.sampled_from(["red", "blue", "a,b c"]), max_size=3)
label = st.sampled_from(["persona", "notes", "team"])
meta = st.sampled_from([{}, {"a": 1}, {"b": [None, 2.5, "ü"], "c": {"d": False}}])
text = st.sampled_from(["", "one", "two\r\n\t", "ünï"])


def some(required: Mapping[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A body with any subset of these fields; sometimes one of them is null."""
    fields = {key: st.one_of(value, value, value, st.none()) for key, value in optional.items()}
    return st.fixed_dictionaries(dict(required or {}), optional=fields)


_BLOCK: dict[str, Any] = {
    "value": text,
    "description": text,
    "limit": st.sampled_from([5, 100_000]),
    "metadata": meta,
    "hidden": st.booleans(),
}
block = some({"label": label, "tags": tags}, **_BLOCK)
block_change = some(label=label, tags=tags, **_BLOCK)
rule = st.sampled_from(
    [
        {"type": "exit_loop", "tool_name": "send_message"},
        {"type": "run_first", "tool_name": "x", "args": {"a": 1}},
        {"type": "max_count_per_step", "tool_name": "x", "max_count_limit": 3},
        {"type": "requires_approval", "tool_name": "x"},
    ]
)
model = {
    "context_window_limit": st.sampled_from([4000, 30_000, 300_000]),
    "max_tokens": st.sampled_from([100, 5000]),
    "parallel_tool_calls": st.booleans(),
    "reasoning": st.booleans(),
    "model_settings": st.sampled_from(
        [
            {"provider_type": "openai"},
            {"provider_type": "openai", "temperature": 0.1, "max_output_tokens": 9},
            {"provider_type": "openai", "strict": False, "reasoning": {"reasoning_effort": "low"}},
            {"provider_type": "anthropic", "temperature": 0.5},
        ]
    ),
}
common: dict[str, Any] = {
    **model,
    "description": text,
    "metadata": meta,
    "tool_rules": st.lists(rule, max_size=3),
    "secrets": st.dictionaries(st.sampled_from(["A", "B"]), st.sampled_from(["x", "y", ""])),
    "timezone": st.sampled_from(["UTC", "Europe/Berlin"]),
    "response_format": st.just({"type": "json_object"}),
    "compaction_settings": st.sampled_from([{}, {"clip_chars": 5}, {"mode": "all"}, {"prompt": "p"}]),
    "message_buffer_autoclear": st.booleans(),
    "max_files_open": st.integers(1, 9),
    # references, by the number of the created object
    "tool_ids": st.lists(number, max_size=3),
    "block_ids": st.lists(number, max_size=3),
    "identity_ids": st.lists(number, max_size=2),
}
agent_body = some(
    {"name": st.sampled_from(["Ann", "Bob"]), "tags": tags, "system": text, "include_base_tools": st.booleans()},
    **{key: value for key, value in common.items() if key != "message_buffer_autoclear"},
    agent_type=st.sampled_from(["letta_v1_agent", "memgpt_v2_agent", "react_agent"]),
    memory_blocks=st.lists(block, max_size=2),
    hidden=st.booleans(),
    include_base_tool_rules=st.booleans(),
).map(lambda values: {key: value for key, value in values.items() if (key, value) != ("agent_type", None)})
change = some(name=st.sampled_from(["Ann", "Cy"]), tags=tags, system=text, model=st.just("{model}"), **common)
tool = some(
    {"number": st.integers(0, 2), "about": st.sampled_from(["Does.", "Did."])},
    tags=tags,
    description=text,
    default_requires_approval=st.booleans(),
)
tool_change = some(
    tags=tags,
    description=text,
    default_requires_approval=st.booleans(),
    enable_parallel_execution=st.booleans(),
    metadata_=meta,
)
prop = st.fixed_dictionaries(
    {"key": st.sampled_from(["k", "l"]), "value": st.integers(0, 3), "type": st.just("number")}
)
identity = some(
    {"number": st.integers(0, 1), "name": st.sampled_from(["n", "m"])}, properties=st.lists(prop, max_size=1)
)
relations = st.lists(st.sampled_from(["tags", "blocks", "tools", "secrets", "identities"]), max_size=2)
which = st.fixed_dictionaries({"at": number})
pair = st.fixed_dictionaries({"at": number, "other": number})

_CALLS: dict[str, st.SearchStrategy[Any]] = {
    "make block": block,
    "make agent": agent_body,
    "make tool": tool,
    "make identity": identity,
    "put identity": identity,
    "change block": st.tuples(number, block_change),
    "change agent": st.tuples(number, change),
    "change tool": st.tuples(number, tool_change),
    "read agent": st.tuples(number, relations),
    "list agents": st.tuples(tags, st.booleans()),
    "list blocks": st.tuples(tags, st.booleans(), st.one_of(st.none(), st.integers(0, 2))),
    **{f"{verb} {kind}": pair for kind in ("block", "tool", "identity") for verb in ("attach", "detach")},
    **{f"delete {kind}": which for kind in ("agent", "block", "tool", "identity")},
    **{f"read {kind}": which for kind in ("block", "tool", "identity")},
    "recompile": which,
    "approve": st.tuples(number, st.booleans()),
    "copy": which,
}
_OFTEN = ["make block", "make agent", "make tool", "change agent", "change agent", "attach block", "read agent"]
_FIRST = ["make block", "make block", "make tool", "make tool", "make identity", "make agent", "make agent"]
calls = st.tuples(
    st.tuples(*(st.tuples(st.just(name), _CALLS[name]) for name in _FIRST)),
    st.lists(
        st.sampled_from([*_CALLS, *_OFTEN]).flatmap(lambda name: st.tuples(st.just(name), _CALLS[name])),
        min_size=20,
        max_size=25,
    ),
).map(lambda parts: [*parts[0], *parts[1]])

# --- players ---------------------------------------------------------------------------------------------------------


class Player:
    """Plays calls on one server. Each created object has a number that stands for its id."""

    def __init__(self, face: Server) -> None:
        self.face = face
        self.created: dict[str, list[str]] = {"agent": [], "block": [], "tool": [], "identity": []}
        self.deleted: list[str] = []
        self.labels: dict[str, str] = {}

    def id(self, kind: str, at: int) -> str:
        found = [id for id in self.created[kind] if (id in self.deleted) == (at == DELETED)]
        return unknown_id(kind) if at == UNKNOWN or not found else found[at % len(found)]

    def play(self, name: str, values: Any) -> Any:
        """The answer to a call, in comparable form."""
        answer = self.request(name, values)
        if answer.status_code != 200:
            return name, self.comparable(answer)
        body = answer.json()
        self.note(body)
        if name.startswith("delete"):
            self.deleted.append(answer.request.url.path.split("/")[-1])
        if name == "recompile":  # its text is the server's own
            return name
        # inline blocks are created at the same instant: their order is by id
        return name, self.plain(body, name)

    def comparable(self, answer: Any) -> Any:
        """An answer, in comparable form."""
        if answer.status_code == 200:
            return self.plain(answer.json())
        status, detail = refusal(answer)
        return status, sorted(detail) if isinstance(detail, list) else detail

    def request(self, name: str, values: Any) -> Any:
        ask = self.face.ask
        match name.split():
            case ["make", "block"]:
                return ask("POST", "/v1/blocks/", self.with_tag(values))
            case ["make", "agent"]:
                inside = [self.with_tag(each) for each in values.get("memory_blocks") or ()]
                inside = list({each["label"]: each for each in inside}.values())
                body = self.with_ids({**self.with_tag(values), "model": self.face.model, "memory_blocks": inside})
                return ask("POST", "/v1/agents/", body)
            case ["make", "tool"]:
                more = {key: value for key, value in values.items() if key not in ("number", "about")}
                code = source(f"{self.face.tool_name}_{values['number']}", values["about"])
                return ask("PUT", "/v1/tools/", {"source_code": code, "source_type": "python", **more})
            case [verb, "identity"] if verb in ("make", "put"):
                body = {key: value for key, value in values.items() if key != "number"}
                body |= {"identifier_key": f"{self.face.tag}-{values['number']}", "identity_type": "user"}
                return ask("POST" if verb == "make" else "PUT", "/v1/identities/", body)
            case ["change", kind]:
                at, body = values
                body = self.with_ids(body) if kind == "agent" else body
                # an object without the test's tag is not found again; one without tags was never tagged
                body = self.with_tag(body) if body.get("tags") is not None and kind != "tool" else body
                return ask("PATCH", f"/v1/{kind}s/{self.id(kind, at)}", body)
            case ["read", "agent"]:
                include = [f"agent.{each}" for each in values[1]]
                return ask("GET", f"/v1/agents/{self.id('agent', values[0])}", params={"include": include})
            case [verb, kind] if verb in ("read", "delete"):
                method = "GET" if verb == "read" else "DELETE"
                return ask(method, f"/v1/{_section(kind)}/{self.id(kind, values['at'])}")
            case ["list", "agents"]:
                query = {"tags": [self.face.tag, *values[0]], "match_all_tags": True, "show_hidden_agents": values[1]}
                return ask("GET", "/v1/agents/", params={**query, "include": "agent.tags"})
            case ["list", "blocks"]:
                query = {"tags": [self.face.tag, *values[0]], "match_all_tags": True, "show_hidden_blocks": values[1]}
                counted = {} if values[2] is None else {"connected_to_agents_count_eq": values[2]}
                return ask("GET", "/v1/blocks/", params={**query, **counted})
            case [verb, kind] if verb in ("attach", "detach"):
                part = "core-memory/blocks" if kind == "block" else _section(kind)
                agent, other = self.id("agent", values["at"]), self.id(kind, values["other"])
                return ask("PATCH", f"/v1/agents/{agent}/{part}/{verb}/{other}")
            case ["recompile"]:
                return ask("POST", f"/v1/agents/{self.id('agent', values['at'])}/recompile")
            case ["approve"]:
                path = f"/v1/agents/{self.id('agent', values[0])}/tools/approval/x"
                return ask("PATCH", path, {"requires_approval": values[1]})
            case ["copy"]:
                return self.copy(self.id("agent", values["at"]))
        raise AssertionError(name)

    def copy(self, id: str) -> Any:
        """Export an agent and import the file; the answer is the copy."""
        file = self.face.ask("GET", f"/v1/agents/{id}/export")
        if file.status_code != 200:
            return file
        form = {"file": ("a.af", json.dumps(file.json()))}
        answer = self.face.ask("POST", "/v1/agents/import", files=form)
        if answer.status_code != 200:
            return answer
        return self.face.ask("GET", f"/v1/agents/{answer.json()['agent_ids'][0]}")

    def with_tag(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The body with the test's tag added."""
        return {**values, "tags": [*(values.get("tags") or ()), self.face.tag]}

    def with_ids(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The body with ids for numbers. Of new blocks with one label the server attaches any: only one is sent."""
        body = dict(values)
        if body.get("model"):
            body["model"] = self.face.model
        inline = {each["label"] for each in body.get("memory_blocks") or ()}
        for key in ("tool_ids", "block_ids", "identity_ids"):
            if body.get(key) is None:
                continue
            kind = key.removesuffix("_ids")
            ids = [self.id(kind, at) for at in dict.fromkeys(body[key])]
            lost = {unknown_id(kind), *self.deleted}
            unknown = [id for id in ids if id in lost][:1]
            ids = [id for id in dict.fromkeys(ids) if id not in lost]
            if kind == "block":
                first = {self.labels[id]: id for id in ids[::-1] if self.labels[id] not in inline}
                ids = list(first.values())
            body[key] = ids + unknown
        return body

    def note(self, body: Any) -> None:
        """Number the new objects in an answer."""
        if isinstance(body, list):
            for each in sorted(body, key=lambda each: json.dumps({**each, "id": ""}, sort_keys=True)):
                self.note(each)
        if not isinstance(body, dict) or "id" not in body:
            return
        kind = str(body["id"]).split("-")[0]
        if kind == "block":
            self.labels[body["id"]] = body["label"]
        ours = kind != "tool" or body["name"].startswith("conf_")
        if kind in self.created and ours and body["id"] not in self.created[kind]:
            self.created[kind].append(body["id"])
        self.note(sorted(body.get("blocks") or (), key=lambda each: each["label"]))

    def plain(self, value: Any, key: str = "") -> Any:
        """An answer without what differs between any two servers."""
        if isinstance(value, dict):
            if str(value.get("tool_type", "custom")) != "custom":
                return value["name"]
            return {name: self.plain(each, name) for name, each in value.items() if name not in _OWN}
        if isinstance(value, list):
            plain = [self.plain(each) for each in value]
            return plain if key == "" else sorted(plain, key=lambda each: json.dumps(each, sort_keys=True))
        if not isinstance(value, str):
            return value
        if key == "prompt" and len(value) > 20:
            return "(default)"
        if key == "description" and value.startswith("The persona block: "):
            return "(described)"
        for kind, ids in self.created.items():
            for at, id in enumerate(ids):
                value = value.replace(id, f"{kind}#{at}")
        return anonymous(value)


_OWN = frozenset(
    {
        *("created_at", "updated_at", "message_ids", "model_endpoint", "embedding_endpoint", "tool_hash"),
        *("created_by_id", "last_updated_by_id"),
    }
)


def _section(kind: str) -> str:
    return "identities" if kind == "identity" else f"{kind}s"


def compare(letta: Letta, calls: list[Call]) -> None:
    """Play the calls on both servers and compare each answer."""
    with real(letta) as real_server, stand_in() as model:
        model.tag, model.tool_name, model.model, model.embedding = (
            real_server.tag,
            real_server.tool_name,
            real_server.model,
            real_server.embedding,
        )
        one, other = Player(real_server), Player(model)
        for name, values in calls:
            expected = one.play(name, values)
            assert other.play(name, values) == expected
        # the remaining objects are equal, too
        for kind, ids in one.created.items():
            for mine, yours in zip(ids, other.created[kind], strict=True):
                path = f"/v1/{_section(kind)}/"
                answers = [(real_server.ask("GET", path + mine), one), (model.ask("GET", path + yours), other)]
                expected, got = (player.comparable(answer) for answer, player in answers)
                assert got == expected


# shrinking against a real server takes minutes; the failing call is printed, and few calls precede it
QUIET: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
}


@settings(max_examples=5, derandomize=True, **QUIET)
@given(calls)
def test_few_random_calls_agree(letta: Letta, calls: list[Call]) -> None:
    compare(letta, calls)


@pytest.mark.slow
@settings(max_examples=100, **QUIET)
@given(calls)
def test_many_random_calls_agree(letta: Letta, calls: list[Call]) -> None:
    compare(letta, calls)
