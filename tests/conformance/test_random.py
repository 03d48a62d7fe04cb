"""The same random calls to the stand-in and to a real server: the same answers, but for ids, times and order."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.conformance.conftest import real, stand_in
from tests.conformance.face import Face, anonymous, nobody, refusal, source
from tests.live.conftest import Letta

pytestmark = pytest.mark.live

Call = tuple[str, Mapping[str, Any]]

# --- calls -----------------------------------------------------------------------------------------------------------

NOBODY, GONE = 9, 8
number = st.sampled_from([0, 0, 1, 1, 2, 3, 4, GONE, NOBODY])
tags = st.lists(st.sampled_from(["red", "blue", "a,b c"]), max_size=3)
label = st.sampled_from(["persona", "notes", "team"])
meta = st.sampled_from([{}, {"a": 1}, {"b": [None, 2.5, "ü"], "c": {"d": False}}])
text = st.sampled_from(["", "one", "two\r\n\t", "ünï"])


def some(required: Mapping[str, Any] | None = None, **optional: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A body with any of these fields; now and then one of them is null."""
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
    # references, by number of what was made
    "tool_ids": st.lists(number, max_size=3),
    "block_ids": st.lists(number, max_size=3),
    "identity_ids": st.lists(number, max_size=2),
}
birth = some(
    {"name": st.sampled_from(["Ann", "Bob"]), "tags": tags, "system": text, "include_base_tools": st.booleans()},
    **{key: value for key, value in common.items() if key != "message_buffer_autoclear"},
    agent_type=st.sampled_from(["letta_v1_agent", "memgpt_v2_agent", "react_agent"]),
    memory_blocks=st.lists(block, max_size=2),
    hidden=st.booleans(),
    include_base_tool_rules=st.booleans(),
).map(lambda told: {key: value for key, value in told.items() if (key, value) != ("agent_type", None)})
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
    "make agent": birth,
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
).map(lambda both: [*both[0], *both[1]])

# --- players ---------------------------------------------------------------------------------------------------------


class Player:
    """Plays calls on one server. What was made has a number, which stands for its id."""

    def __init__(self, face: Face) -> None:
        self.face = face
        self.made: dict[str, list[str]] = {"agent": [], "block": [], "tool": [], "identity": []}
        self.gone: list[str] = []
        self.labels: dict[str, str] = {}

    def id(self, kind: str, at: int) -> str:
        found = [id for id in self.made[kind] if (id in self.gone) == (at == GONE)]
        return nobody(kind) if at == NOBODY or not found else found[at % len(found)]

    def play(self, name: str, told: Any) -> Any:
        """The answer to a call, comparable."""
        answer = self.request(name, told)
        if answer.status_code != 200:
            return name, self.seen(answer)
        body = answer.json()
        self.note(body)
        if name.startswith("delete"):
            self.gone.append(answer.request.url.path.split("/")[-1])
        if name == "recompile":  # its words are the server's own
            return name
        # inline blocks are made in one instant: among themselves their order is by id
        return name, self.plain(body, name)

    def seen(self, answer: Any) -> Any:
        """An answer, comparable."""
        if answer.status_code == 200:
            return self.plain(answer.json())
        status, detail = refusal(answer)
        return status, sorted(detail) if isinstance(detail, list) else detail

    def request(self, name: str, told: Any) -> Any:
        ask = self.face.ask
        match name.split():
            case ["make", "block"]:
                return ask("POST", "/v1/blocks/", self.part(told))
            case ["make", "agent"]:
                inside = [self.part(each) for each in told.get("memory_blocks") or ()]
                inside = list({each["label"]: each for each in inside}.values())
                body = self.filled({**self.part(told), "model": self.face.model, "memory_blocks": inside})
                return ask("POST", "/v1/agents/", body)
            case ["make", "tool"]:
                more = {key: value for key, value in told.items() if key not in ("number", "about")}
                code = source(f"{self.face.word}_{told['number']}", told["about"])
                return ask("PUT", "/v1/tools/", {"source_code": code, "source_type": "python", **more})
            case [verb, "identity"] if verb in ("make", "put"):
                body = {key: value for key, value in told.items() if key != "number"}
                body |= {"identifier_key": f"{self.face.tag}-{told['number']}", "identity_type": "user"}
                return ask("POST" if verb == "make" else "PUT", "/v1/identities/", body)
            case ["change", kind]:
                at, body = told
                body = self.filled(body) if kind == "agent" else body
                # what has lost the test's tag is not found again; what has no tags has lost none
                body = self.part(body) if body.get("tags") is not None and kind != "tool" else body
                return ask("PATCH", f"/v1/{kind}s/{self.id(kind, at)}", body)
            case ["read", "agent"]:
                include = [f"agent.{each}" for each in told[1]]
                return ask("GET", f"/v1/agents/{self.id('agent', told[0])}", params={"include": include})
            case [verb, kind] if verb in ("read", "delete"):
                method = "GET" if verb == "read" else "DELETE"
                return ask(method, f"/v1/{_section(kind)}/{self.id(kind, told['at'])}")
            case ["list", "agents"]:
                asked = {"tags": [self.face.tag, *told[0]], "match_all_tags": True, "show_hidden_agents": told[1]}
                return ask("GET", "/v1/agents/", params={**asked, "include": "agent.tags"})
            case ["list", "blocks"]:
                asked = {"tags": [self.face.tag, *told[0]], "match_all_tags": True, "show_hidden_blocks": told[1]}
                counted = {} if told[2] is None else {"connected_to_agents_count_eq": told[2]}
                return ask("GET", "/v1/blocks/", params={**asked, **counted})
            case [verb, kind] if verb in ("attach", "detach"):
                part = "core-memory/blocks" if kind == "block" else _section(kind)
                agent, other = self.id("agent", told["at"]), self.id(kind, told["other"])
                return ask("PATCH", f"/v1/agents/{agent}/{part}/{verb}/{other}")
            case ["recompile"]:
                return ask("POST", f"/v1/agents/{self.id('agent', told['at'])}/recompile")
            case ["approve"]:
                path = f"/v1/agents/{self.id('agent', told[0])}/tools/approval/x"
                return ask("PATCH", path, {"requires_approval": told[1]})
            case ["copy"]:
                return self.copy(self.id("agent", told["at"]))
        raise AssertionError(name)

    def copy(self, id: str) -> Any:
        """Read an agent's file back in; the answer is the twin."""
        file = self.face.ask("GET", f"/v1/agents/{id}/export")
        if file.status_code != 200:
            return file
        form = {"file": ("a.af", json.dumps(file.json()))}
        answer = self.face.ask("POST", "/v1/agents/import", files=form)
        if answer.status_code != 200:
            return answer
        return self.face.ask("GET", f"/v1/agents/{answer.json()['agent_ids'][0]}")

    def own(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """With the test's tag, which finds it again."""
        return {**told, "tags": [*(told.get("tags") or ()), self.face.tag]}

    def filled(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """With ids for numbers. Of new blocks with one label the server takes any: one is told."""
        body = dict(told)
        if body.get("model"):
            body["model"] = self.face.model
        inline = {each["label"] for each in body.get("memory_blocks") or ()}
        for key in ("tool_ids", "block_ids", "identity_ids"):
            if body.get(key) is None:
                continue
            kind = key.removesuffix("_ids")
            ids = [self.id(kind, at) for at in dict.fromkeys(body[key])]
            lost = {nobody(kind), *self.gone}
            unknown = [id for id in ids if id in lost][:1]
            ids = [id for id in dict.fromkeys(ids) if id not in lost]
            if kind == "block":
                first = {self.labels[id]: id for id in ids[::-1] if self.labels[id] not in inline}
                ids = list(first.values())
            body[key] = ids + unknown
        return body

    def note(self, body: Any) -> None:
        """Number what is new in an answer."""
        if isinstance(body, list):
            for each in sorted(body, key=lambda each: json.dumps({**each, "id": ""}, sort_keys=True)):
                self.note(each)
        if not isinstance(body, dict) or "id" not in body:
            return
        kind = str(body["id"]).split("-")[0]
        if kind == "block":
            self.labels[body["id"]] = body["label"]
        ours = kind != "tool" or body["name"].startswith("conf_")
        if kind in self.made and ours and body["id"] not in self.made[kind]:
            self.made[kind].append(body["id"])
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
        for kind, ids in self.made.items():
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
    """Play on both, and hold each answer against the other."""
    with real(letta) as truth, stand_in() as model:
        model.tag, model.word, model.model, model.embedding = truth.tag, truth.word, truth.model, truth.embedding
        one, other = Player(truth), Player(model)
        for name, told in calls:
            expected = one.play(name, told)
            assert other.play(name, told) == expected
        # and what is left is the same
        for kind, ids in one.made.items():
            for mine, yours in zip(ids, other.made[kind], strict=True):
                path = f"/v1/{_section(kind)}/"
                answers = [(truth.ask("GET", path + mine), one), (model.ask("GET", path + yours), other)]
                expected, got = (player.seen(answer) for answer, player in answers)
                assert got == expected


# shrinking against a real server takes minutes; the call that differs is told, and the ones before it are few
QUIET: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": True,
    "phases": (Phase.explicit, Phase.reuse, Phase.generate),
}


@settings(max_examples=5, derandomize=True, **QUIET)
@given(calls)
def test_a_few(letta: Letta, calls: list[Call]) -> None:
    compare(letta, calls)


@pytest.mark.slow
@settings(max_examples=100, **QUIET)
@given(calls)
def test_many(letta: Letta, calls: list[Call]) -> None:
    compare(letta, calls)
