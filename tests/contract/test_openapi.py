"""Every field of every kind agrees with Letta's OpenAPI description, and every property has a field or a reason."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

import pytest

from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind, attr
from lettaform.kinds.maps import Map
from lettaform.kinds.traits import Parts, Requests, SourceFile
from tests.contract.description import Api, Row, api, table

DECODED: Mapping[tuple[str, str], str] = {
    ("agent", "secrets"): "a list of objects in answers, a map in requests and for us",
    ("identity", "properties"): "a list of objects on the wire, a map for us",
}
"""Fields whose answer has another type than the field, and why: the kind's decode() converts it."""

ENCODED: Mapping[tuple[str, str], str] = {
    ("identity", "properties"): "properties",
    ("group", "type"): "manager_config.manager_type",
    ("group", "manager"): "manager_config.manager_agent_id",
    ("group", "max_turns"): "manager_config.max_turns",
    ("group", "frequency"): "manager_config.sleeptime_agent_frequency",
    ("group", "termination_token"): "manager_config.termination_token",
    ("mcp_server", "type"): "config.mcp_server_type",
    ("mcp_server", "url"): "config.server_url",
    ("mcp_server", "token"): "config.auth_token",
    ("mcp_server", "headers"): "config.custom_headers",
    ("mcp_server", "command"): "config.command",
    ("mcp_server", "args"): "config.args",
    ("mcp_server", "env"): "config.env",
}
"""Fields that the kind's encode() places elsewhere: the path of the property; without a dot, it has another form."""

REFUSED: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("agent", "agent_type"): {"split_thread_agent": "0.16.8 lists it and answers 400 to it"},
    ("group", "type"): {
        "sleeptime": "agents have it: `sleeptime`",
        "voice_sleeptime": "as sleeptime",
        "swarm": "no manager_config makes one",
    },
}
"""Values that the description lists and a field leaves out, and why."""

IGNORED: Mapping[tuple[str, str], str] = {
    ("agent", "hidden"): "0.16.8 accepts PATCH hidden and ignores it",
    ("group", "type"): "0.16.8 answers 400 to a change of it",
    ("group", "manager"): "0.16.8 changes it; with us, another manager leads another group",
    ("mcp_server", "type"): "0.16.8 accepts PATCH mcp_server_type and keeps the type that it has",
}
"""Fields declared immutable although the description has them in PATCH, and why."""

_EMBEDDING: Mapping[str, str] = {
    **dict.fromkeys(
        ("embedding_model", "embedding_dim", "batch_size", "embedding_endpoint", "embedding_endpoint_type"),
        "the server works it out from `embedding`",
    ),
    **dict.fromkeys(("azure_deployment", "azure_endpoint", "azure_version"), "the provider of `embedding` knows it"),
}
_WHOLE = "only by writing llm_config whole, and with it all that the server works out from `model`"

PARTS: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("agent", "embedding_config"): {**_EMBEDDING, "handle": "embedding"},
    ("folder", "embedding_config"): _EMBEDDING,
    ("archive", "embedding_config"): {
        **_EMBEDDING,
        "embedding_chunk_size": "only by writing embedding_config whole: an archive has no property of that name",
    },
    ("agent", "llm_config"): {
        "handle": "model",
        "model": "model",
        "enable_reasoner": "reasoning",
        "max_reasoning_tokens": "max_reasoning_tokens",
        "response_format": "response_format",
        "reasoning_effort": "model_settings.reasoning",
        "effort": "model_settings.effort",
        "strict": "model_settings.strict",
        "temperature": "model_settings.temperature",
        "tool_call_parser": "model_settings.tool_call_parser",
        "verbosity": "model_settings.verbosity",
        "provider_name": "the first half of `model`",
        "put_inner_thoughts_in_kwargs": "the server works it out from `model` and `reasoning`",
        **dict.fromkeys(
            ("display_name", "model_endpoint", "model_endpoint_type", "model_wrapper", "provider_category"),
            "the server works it out from `model`",
        ),
        **dict.fromkeys(("compatibility_type", "tier"), "the server works it out from `model`"),
        **dict.fromkeys(("frequency_penalty", "return_token_ids", "return_logprobs", "top_logprobs"), _WHOLE),
    },
    ("group", "manager_config"): dict.fromkeys(
        ("max_message_buffer_length", "min_message_buffer_length"),
        "of voice groups alone, which `type` leaves out: the server makes them, with their agents",
    ),
}
"""Properties that fields cover in parts, with the uncovered parts: the property that covers them, or the reason."""

ALSO_CALLED = {
    ("GET", "/v1/health/"): "find.health",
    ("GET", "/v1/blocks/{}/agents"): "find.users",
    ("GET", "/v1/agents/{}/export"): "Server.export",
    ("POST", "/v1/conversations/{}/fork"): "begin",
    ("POST", "/v1/passages/search"): "hold",
    ("POST", "/v1/archives/{}/passages"): "hold",
    ("DELETE", "/v1/archives/{}/passages/{}"): "hold",
    ("GET", "/v1/folders/{}/files"): "hold",
    ("GET", "/v1/folders/{}/files/{}"): "hold",
    ("POST", "/v1/folders/{}/upload"): "hold",
    ("DELETE", "/v1/folders/{}/{}"): "hold",
    ("GET", "/v1/folders/{}/agents"): "find.users",
    ("GET", "/v1/archives/{}/agents"): "find.users",
    ("GET", "/v1/identities/{}/agents"): "find.users",
}
"""Paths that the backend itself calls and no field names."""


# --- the checks: each yields what is wrong ---------------------------------------------------------------------------


def one_path(kind: type[Kind]) -> str:
    """The path of a single object."""
    return kind.path + "{}"


def changes(kind: type[Kind]) -> tuple[str, str]:
    """Verb and path of an update of a kind."""
    return ("PUT", kind.path) if kind.requests.verb == "PUT" else ("PATCH", one_path(kind))


def self_hosted_kinds() -> Mapping[str, type[Kind]]:
    """The kinds of a self-hosted server: kinds of Letta Cloud only are not in its description."""
    return {name: kind for name, kind in kinds().items() if not kind.availability.cloud}


def writable(kind: type[Kind], api: Api) -> Mapping[str, str]:
    """All properties that can be written on create or update, with the types."""
    ways = (("POST", kind.path), ("PUT", kind.path), ("PATCH", one_path(kind)))
    return {name: theirs for way in ways for name, theirs in api.sends(*way).items()}


def wire(kind: type[Kind], line: Attr) -> str:
    """The property that a field ends in."""
    return ENCODED.get((kind_name(kind), line.name), line.write or "")


def written(kind: type[Kind], api: Api) -> Iterator[str]:
    """(a) Every written property is in the request."""
    created, changed = api.sends(kind.requests.verb, kind.path), api.sends(*changes(kind))
    for line in lines(kind):
        theirs = wire(kind, line)
        if theirs not in created:
            yield f"{line.name}: no `{theirs}` when one is made"
        elif parts := line.related(Parts):
            inner = {name.partition("[].")[2] for name in created if name.startswith(f"{line.write}[].")}
            lost = [each.write for each in lines(kinds()[parts.kind]) if each.write not in inner]
            yield from (f"{line.name}: no `{line.write}[].{write}` when one is made" for write in lost)
        elif not (line.create_only or line.immutable):
            if theirs not in changed:
                yield f"{line.name}: no `{theirs}` when one is changed"
        elif theirs in changed and (kind_name(kind), line.name) not in IGNORED:
            yield f"{line.name}: cannot be changed, and `{theirs}` is there when one is"


def read(kind: type[Kind], api: Api) -> Iterator[str]:
    """(b) Every read property is in the answer, and every operation answers the same object."""
    one = api.operations.get(("GET", one_path(kind)))
    for verb, path in ((kind.requests.verb, kind.path), changes(kind), ("PATCH", one_path(kind))):
        if api.operations.get((verb, path)) != one:
            yield f"{verb} {path} does not answer {one}"
    if api.operations.get(("GET", kind.path)) != f"[{one}]":
        yield f"GET {kind.path} does not list {one}"
    for line in kind.attrs().values():
        if line.read and not line.create_only and not is_answered(line.read, api.answers(one_path(kind))):
            yield f"{line.name}: no `{line.read}` in answers"


def is_answered(path: str, answers: Mapping[str, str]) -> bool:
    """Whether answers contain a path: as a property, or inside a free-form map."""
    steps = path.split(".")
    above = [".".join(steps[:length]) for length in range(1, len(steps))]
    described = {name.rpartition(".")[0] for name in answers}
    return path in answers or any(
        answers.get(each, "").startswith("object") and each not in described for each in above
    )


def covered(kind: type[Kind], api: Api) -> Iterator[str]:
    """(c) Every writable property has a field or is knowingly unmanaged; not both, and none is outdated."""
    known = {name: theirs for name, theirs in writable(kind, api).items() if "." not in name}
    wanted = {line.write for line in lines(kind)}
    yield from (uncovered(kind, name, known[name]) for name in sorted(known.keys() - wanted - kind.unmanaged.keys()))
    yield from (f"{name}: unmanaged, and a line writes it" for name in sorted(wanted & kind.unmanaged.keys()))
    parts = {part for reasons in in_parts(kind, api).values() for part in reasons}
    yield from (
        f"{name}: unmanaged, and no longer there" for name in sorted(kind.unmanaged.keys() - known.keys() - parts)
    )
    yield from (f"{name}: unmanaged without a reason" for name, why in kind.unmanaged.items() if not why.strip())


def inside(kind: type[Kind], api: Api) -> Iterator[str]:
    """(d) The same for nested properties: test_maps has those of maps, others are covered in parts or have a reason."""
    whole, by_wire = writable(kind, api), {line.write: line for line in lines(kind)}
    covered_by_fields, parted = covered_paths(kind), in_parts(kind, api)
    for name, theirs in sorted(whole.items()):
        top, dot, part = name.partition(".")
        top = top.removesuffix("[]")
        line, reasons = by_wire.get(top), parted.get(top, {})
        if line and (parts := line.related(Parts)) and dot:
            other = kinds()[parts.kind]
            if part not in {each.write for each in lines(other)} | other.unmanaged.keys():
                yield uncovered(other, part, theirs, f"as `{name}` ")
        elif line and dot:
            if "object" not in shape(kind.model_fields[line.name].annotation):
                yield f"{line.name}: no map, and theirs holds `{part}`; write maps, or say its parts by ENCODED lines"
        elif top in parted and dot:
            if (name in covered_by_fields) is (part in reasons):
                yield f"{name}: {'has a line and a reason' if part in reasons else _UNTOLD}"
            elif part in reasons and not _reasoned(reasons[part], whole, by_wire):
                yield f"{name}: said by `{reasons[part]}`, and no line writes that"
    for (owner, top), parts in PARTS.items():
        gone = [part for part in parts if not {f"{top}.{part}", f"{top}[].{part}"} & whole.keys()]
        yield from (f"{top}.{part}: has a reason, and is no longer there" for part in gone if owner == kind_name(kind))


def covered_paths(kind: type[Kind]) -> set[str]:
    """The request properties that fields end in, and what they read."""
    return {wire(kind, line) for line in lines(kind)} | {line.read for line in kind.attrs().values() if line.read}


def in_parts(kind: type[Kind], api: Api) -> Mapping[str, Mapping[str, str]]:
    """Properties that fields cover in parts, with the parts that have a reason, in PARTS or the kind's `unmanaged`."""
    found: dict[str, Mapping[str, str]] = {}
    whole = writable(kind, api)
    for top in {name.partition(".")[0].removesuffix("[]") for name in whole if "." in name}:
        if any(each.startswith((f"{top}.", f"{top}[].")) for each in covered_paths(kind)):
            own = {part: why for part, why in kind.unmanaged.items() if part not in whole and f"{top}.{part}" in whole}
            found[top] = PARTS.get((kind_name(kind), top), {}) | own
    return found


_UNTOLD = (
    "part of what lines say in parts, and none says it; add a line that reads it or is ENCODED as it, or to PARTS in "
    "tests/contract/test_openapi.py why not"
)


def _reasoned(why: str, whole: Mapping[str, str], by_wire: Mapping[str | None, Attr]) -> bool:
    """Whether it is a reason, or a property that a field writes."""
    return " " in why or (why in whole and why.partition(".")[0] in by_wire)


def uncovered(kind: type[Kind], name: str, theirs: str, where: str = "") -> str:
    """A property without a field or a reason, and what to do about it."""
    file = kind.__module__.replace(".", "/") + ".py"
    line = f'`{name}: {annotation(theirs)} = attr("…")`'
    return (
        f"{name}: {where}neither a line nor unmanaged; add to {file} {line}, or to its `unmanaged` the reason why not"
    )


def annotation(theirs: str) -> str:
    """A type of the table as the annotation of a field."""
    plain = re.sub(r" [<>]=\S+", "", theirs.removesuffix(" or null"))
    if plain.startswith("one of ") and " | " not in plain:
        return "Literal[" + ", ".join(f'"{word}"' for word in plain[7:].split(",")) + "]"
    if plain.startswith("[") and " | " not in plain:
        return f"list[{annotation(plain[1:-1])}]"
    if plain.startswith("object of "):
        return f"dict[str, {annotation(plain[10:])}]"
    simple = {"string": "str", "integer": "int", "boolean": "bool", "number": "float", "object": "dict[str, Any]"}
    return simple.get(plain, "Any")


def typed(kind: type[Kind], api: Api) -> Iterator[str]:
    """(e) A field's type, values and bounds match the property that it writes and the one that it reads."""
    created, changed = api.sends(kind.requests.verb, kind.path), api.sends(*changes(kind))
    for line in lines(kind):
        theirs = wire(kind, line)
        reshaped = (kind_name(kind), line.name) in ENCODED and "." not in theirs
        sides = {} if reshaped else {"made": created.get(theirs)}
        if not (line.create_only or line.immutable or reshaped):
            sides["changed"] = changed.get(theirs)
        if line.read and (kind_name(kind), line.name) not in DECODED:
            sides["read"] = answered(line.read, api.answers(one_path(kind)))
        for side, type_ in sides.items():
            if type_ is not None and (wrong := mismatch(kind, line, type_)):
                yield f"{line.name}: {wrong} when {side}"


def called(kind: type[Kind], api: Api) -> Iterator[str]:
    """(f) Every operation that a kind and its fields imply exists."""
    yield from (
        f"{verb} {path} does not exist" for verb, path in operations(kind) if (verb, path) not in api.operations
    )


def operations(kind: type[Kind]) -> list[tuple[str, str]]:
    """The operations of a kind and its fields: find, create, update, delete, attach, detach."""
    one = one_path(kind)
    wanted = [("GET", kind.path), (kind.requests.verb, kind.path), ("GET", one), ("PATCH", one), ("DELETE", one)]
    wanted += [("GET", one + where) for where in kind.discovers.values() if where.startswith("/")]
    for line in kind.attrs().values():
        wanted += [("GET", line.offered)] if line.offered else []
        source = line.related(SourceFile)
        wanted += [("POST", source.schema_path)] if source else []
        wanted += [("PATCH", f"{one}/{line.link}/{verb}/{{}}") for verb in ("attach", "detach") if line.link]
    return [*wanted, (kind.call.verb, f"{one}/{kind.call.name}")] if kind.call else wanted


CHECKS = (written, read, covered, inside, typed, called)


def answered(path: str, answers: Mapping[str, str]) -> str | None:
    """The type that a read path gives: `a[].b` gives a list."""
    theirs = answers.get(path)
    return f"[{theirs.removesuffix(' or null')}]" if theirs and "[]." in path else theirs


def lines(kind: type[Kind]) -> list[Attr]:
    """The fields that are written."""
    return [line for line in kind.attrs().values() if line.write]


def kind_name(kind: type[Kind]) -> str:
    """The name of a kind."""
    return next((name for name, each in kinds().items() if each is kind), "")


def mismatch(kind: type[Kind], line: Attr, theirs: str) -> str | None:
    """How a field's annotation differs from the property's type."""
    info = kind.model_fields[line.name]
    ours = "[object]" if line.related(Parts) else shape(info.annotation)
    theirs = theirs.removesuffix(" or null")
    bounds = {word[:2]: float(word[2:]) for word in theirs.split() if word[:2] in (">=", "<=")}
    plain = re.sub(r" [<>]=\S+", "", theirs)
    if ours.startswith("one of ") and plain.startswith("one of "):
        left_out = REFUSED.get((kind_name(kind), line.name), {})
        mine, others = set(ours[7:].split(",")), set(plain[7:].split(",")) - left_out.keys()
        with_new_row = [f"lacks {each}" for each in sorted(others - mine)] + [
            f"invents {e}" for e in sorted(mine - others)
        ]
        return ", ".join(with_new_row) or None
    if not fits(ours, plain):
        return f"is {ours}, and theirs is {plain}"
    low = max((each.ge for each in info.metadata if hasattr(each, "ge")), default=float("-inf"))
    high = min((each.le for each in info.metadata if hasattr(each, "le")), default=float("inf"))
    if low < bounds.get(">=", low) or high > bounds.get("<=", high):
        return f"allows {low:g} to {high:g}, and theirs is {theirs}"
    return None


def shape(annotation: Any) -> str:
    """A Python annotation in the table's notation."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ",".join(inner)
    if origin in (Union, types.UnionType):
        return shape(next(each for each in inner if each is not type(None)))
    if origin is list:
        return f"[{shape(inner[0])}]"
    if origin is Annotated:
        return shape(inner[0])
    if origin is dict:
        return "object" if inner[1] is Any else f"object of {shape(inner[1])}"
    if issubclass(annotation, Map):
        return "object"
    return {str: "string", int: "integer", bool: "boolean", float: "number"}[annotation]


def fits(ours: str, theirs: str) -> bool:
    """Whether values of our type are values of theirs: a Literal is a string, a map of strings an object."""
    if ours.startswith("[") and theirs.startswith("["):
        return fits(ours[1:-1], theirs[1:-1])
    if ours.startswith("one of "):
        return theirs == "string"
    return ours == theirs or (ours.startswith("object of ") and theirs == "object")


# --- the tests -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", self_hosted_kinds())
def test_every_field_agrees_with_description(kind: str, check: Any) -> None:
    assert "\n".join(check(self_hosted_kinds()[kind], api())) == ""


def test_paths_called_by_backend_exist() -> None:
    assert [operation for operation in ALSO_CALLED if operation not in api().operations] == []


def test_every_exception_names_a_field() -> None:
    known = {(name, line) for name, kind in kinds().items() for line in kind.attrs()}
    assert not (DECODED.keys() | ENCODED.keys() | REFUSED.keys() | IGNORED.keys()) - known
    assert not PARTS.keys() - {(name, field) for name, kind in kinds().items() for field in kind.unmanaged}


def test_left_out_values_are_still_described() -> None:
    for (kind, field), values in REFUSED.items():
        table = kinds()[kind]
        line = table.attrs()[field]
        sent = api().sends(table.requests.verb, table.path)
        theirs = sent.get(line.write or "") or api().answers(one_path(table))[line.read or ""]
        assert not values.keys() - set(theirs.removeprefix("one of ").split(","))


NO_PATH = SourceFile({}, "/v1/x", len, str)


class Wrong(Kind, section="wrongs", path="/v1/tools/", mark="tags"):
    """A tool with a mistake on every field."""

    requests: ClassVar[Requests] = Requests(verb="PUT")

    source: str = attr("A property that there is not.", write="code", read=None)
    reading: str = attr("An answer that there is not.", write=None, read="metadata.reading")
    tags: str = attr("A list that is called a text.")
    return_char_limit: int = attr("Bounds wider than theirs.", constraints={"ge": 0, "le": 9})
    description: str = attr("Attached by a path that there is not.", link="descriptions")
    json_schema: dict[str, Any] = attr(
        "Tried and offered by paths that there are not.", relation=NO_PATH, offered="/v1/y"
    )
    unmanaged: ClassVar[Mapping[str, str]] = {"tags": "a line writes it", "gone": "no longer there", "metadata_": " "}


class Enumerated(Kind, section="enumerated", path="/v1/agents/"):
    """An agent with invented and missing values."""

    agent_type: Literal["letta_v1_agent", "telepath_agent"] = attr("One is invented, and many are missing.")
    memory: dict[str, str] = attr(
        "Agents with whole agents for blocks.", relation=Parts("agent"), write="memory_blocks", read=None
    )
    embedding_chunk_size: int = attr("Cannot be changed, and does not say so.", read=None)
    timezone: str = attr("Can be changed, and says that it cannot.", create_only=True)


class Nowhere(Kind, section="nowheres", path="/v1/nowhere/"):
    """A kind that the server does not have."""


class WithUnknownCall(Kind, section="calling", path="/v1/tools/"):
    """A kind with a call that the server does not have."""

    call: ClassVar[Any] = types.SimpleNamespace(verb="POST", name="dream")


@pytest.mark.parametrize(
    ("kind", "check", "fault"),
    [
        (Wrong, written, "source: no `code` when one is made"),
        (Enumerated, written, "embedding_chunk_size: no `embedding_chunk_size` when one is changed"),
        (Enumerated, written, "timezone: cannot be changed, and `timezone` is there when one is"),
        (Enumerated, written, "memory: no `memory_blocks[].system` when one is made"),
        (Wrong, read, "reading: no `metadata.reading` in answers"),
        (Nowhere, called, "DELETE /v1/nowhere/{} does not exist"),
        (Wrong, covered, "tags: unmanaged, and a line writes it"),
        (Wrong, covered, "gone: unmanaged, and no longer there"),
        (Wrong, covered, "metadata_: unmanaged without a reason"),
        (Wrong, typed, "tags: is string, and theirs is [string] when made"),
        (Wrong, typed, "return_char_limit: allows 0 to 9, and theirs is integer >=1 <=1e+06 when changed"),
        (Wrong, called, "PATCH /v1/tools/{}/descriptions/attach/{} does not exist"),
        (Wrong, called, "POST /v1/x does not exist"),
        (Wrong, called, "GET /v1/y does not exist"),
        (WithUnknownCall, called, "POST /v1/tools/{}/dream does not exist"),
    ],
)
def test_wrong_field_is_reported(kind: type[Kind], check: Any, fault: str) -> None:
    assert fault in list(check(kind, api()))


def test_invented_and_missing_values_are_reported() -> None:
    reported = next(fault for fault in typed(Enumerated, api()) if fault.startswith("agent_type"))
    assert "invents telepath_agent" in reported
    assert "lacks memgpt_agent" in reported


NEW_PROPERTIES = [
    (
        "block",
        Row("/v1/blocks/{}", "PATCH", "sends", "colour", "one of red,blue or null"),
        'colour: neither a line nor unmanaged; add to lettaform/kinds/block.py `colour: Literal["red", "blue"] = '
        'attr("…")`, or to its `unmanaged` the reason why not',
    ),
    (
        "archive",
        Row("/v1/archives/", "POST", "asks", "agent_id", "[string]"),
        'agent_id: neither a line nor unmanaged; add to lettaform/kinds/archive.py `agent_id: list[str] = attr("…")`, '
        "or to its `unmanaged` the reason why not",
    ),
    (
        "agent",
        Row("/v1/agents/", "POST", "sends", "memory_blocks[].colour", "integer >=1"),
        "colour: as `memory_blocks[].colour` neither a line nor unmanaged; add to lettaform/kinds/block.py "
        '`colour: int = attr("…")`, or to its `unmanaged` the reason why not',
    ),
    (
        "agent",
        Row("/v1/agents/{}", "PATCH", "sends", "llm_config.colour", "string"),
        "llm_config.colour: part of what lines say in parts, and none says it; add a line that reads it or is ENCODED "
        "as it, or to PARTS in tests/contract/test_openapi.py why not",
    ),
    (
        "agent",
        Row("/v1/agents/", "POST", "sends", "tags[].colour", "string"),
        "tags: no map, and theirs holds `colour`; write maps, or say its parts by ENCODED lines",
    ),
]


@pytest.mark.parametrize(("name", "row", "message"), NEW_PROPERTIES, ids=[row.property for _, row, _ in NEW_PROPERTIES])
def test_new_property_is_reported_with_what_to_do(name: str, row: Row, message: str) -> None:
    with_new_row = Api([*table(), row])
    assert [*covered(kinds()[name], with_new_row), *inside(kinds()[name], with_new_row)] == [message]


def test_parts_of_maps_and_unmanaged_properties_need_no_field() -> None:
    rows = [Row("/v1/agents/", "POST", "sends", f"{top}.colour", "string") for top in ("model_settings", "template")]
    assert list(inside(kinds()["agent"], Api([*table(), *rows]))) == []


def test_outdated_or_duplicate_parts_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {
        ("group", "manager_config"): {
            **PARTS["group", "manager_config"],
            "max_turns": "the line says it, too",
            "colour": "was there once",
            "max_message_buffer_length": "buffer",
        }
    }
    monkeypatch.setattr("tests.contract.test_openapi.PARTS", parts)
    assert list(inside(kinds()["group"], api())) == [
        "manager_config.max_message_buffer_length: said by `buffer`, and no line writes that",
        "manager_config.max_turns: has a line and a reason",
        "manager_config.colour: has a reason, and is no longer there",
    ]


class Folded(Kind, section="folded", path="/v1/groups/"):
    """A group with its own reason for a part."""

    max_turns: int = attr("Said by reading it.", read="manager_config.max_turns")
    unmanaged: ClassVar[Mapping[str, str]] = {"manager_config": "in parts", "termination_token": "a part: never said"}


def test_kind_may_give_reason_for_a_part() -> None:
    assert not [
        message for message in (*covered(Folded, api()), *inside(Folded, api())) if "termination_token" in message
    ]
    assert [message.partition(":")[0] for message in inside(Folded, api())] == [
        "manager_config.manager_agent_id",
        "manager_config.manager_type",
        "manager_config.max_message_buffer_length",
        "manager_config.min_message_buffer_length",
        "manager_config.sleeptime_agent_frequency",
    ]


@pytest.mark.parametrize(
    ("path", "expected"),
    [("name", True), ("free.a.b", True), ("map.a", True), ("map.b", False), ("name.a", False), ("gone.a", False)],
)
def test_path_is_answered_as_property_or_inside_free_form_map(path: str, expected: bool) -> None:
    answers = {"name": "string", "free": "object or null", "map": "object", "map.a": "string"}
    assert is_answered(path, answers) is expected


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("boolean", "bool"),
        ("number >=0 or null", "float"),
        ("[object] or null", "list[dict[str, Any]]"),
        ("object of string", "dict[str, str]"),
        ("string | integer", "Any"),
    ],
)
def test_type_of_table_as_annotation(theirs: str, ours: str) -> None:
    assert annotation(theirs) == ours


def test_operations_with_other_answers_are_reported() -> None:
    rows = [row for row in table() if (row.path, row.verb) != ("/v1/blocks/", "POST")]
    other = Api([*rows, Row("/v1/blocks/", "POST", type="Job")])
    assert list(read(kinds()["block"], other)) == ["POST /v1/blocks/ does not answer BlockResponse"]


@pytest.mark.parametrize("name", self_hosted_kinds())
def test_field_without_its_property_is_reported(name: str) -> None:
    """For each row that a field needs: without the row, a check reports the field."""
    kind = kinds()[name]
    needed = {wire(kind, line) for line in lines(kind)}
    for row in table():
        if (
            row.way in ("sends", "asks")
            and row.path == kind.path
            and row.verb == kind.requests.verb
            and row.property in needed
        ):
            assert list(written(kind, Api([each for each in table() if each != row]))), row.property
