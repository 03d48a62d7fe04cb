"""Every line of every kind against Letta's own description of its API.

The description is distilled to a table of our own, so that most of this needs no server; a live test holds the table
to what the server serves. After a look at its diff, the table is made again by

    python tests/contract/test_openapi.py http://localhost:8283 > tests/contract/openapi-0.16.8.tsv
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

import httpx
import pytest

from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind, attr

TABLE = Path(__file__).with_name("openapi-0.16.8.tsv")

DECODED: Mapping[tuple[str, str], str] = {
    ("agent", "secrets"): "a list of objects in answers, a map in requests and for us",
    ("identity", "properties"): "a list of objects on the wire, a map for us",
}
"""Lines whose answer has another type than they have, and why: the kind's decode() makes it."""

ENCODED: Mapping[tuple[str, str], str] = {
    ("identity", "properties"): "properties",
    ("group", "type"): "manager_config",
    ("group", "manager"): "manager_config",
    ("group", "max_turns"): "manager_config",
    ("group", "termination_token"): "manager_config",
}
"""Lines that requests hold in another form, and in which property: the kind's encode() puts them there."""

REFUSED: Mapping[tuple[str, str], Mapping[str, str]] = {
    ("agent", "agent_type"): {"split_thread_agent": "0.16.8 lists it and answers 400 to it"},
    ("group", "type"): {
        "sleeptime": "agents have it: `sleeptime`",
        "voice_sleeptime": "as sleeptime",
        "swarm": "no manager_config makes one",
    },
}
"""Values that the description lists and a line leaves out, and why."""

IGNORED: Mapping[tuple[str, str], str] = {
    ("agent", "hidden"): "0.16.8 accepts PATCH hidden and ignores it",
}
"""Lines that say they cannot be changed, although the description says that they can, and why."""

ALSO_CALLED = {
    ("GET", "/v1/health/"): "find.health",
    ("GET", "/v1/blocks/{}/agents"): "find.users",
    ("GET", "/v1/agents/{}/export"): "Server.export",
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
"""Paths that stand in server/ itself and on no line."""


# --- the description, distilled --------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Row:
    """One property of what an operation `sends` or `answers`; where `way` is empty, the operation and its answer."""

    path: str
    verb: str
    way: str = ""
    property: str = ""
    type: str = ""

    def __str__(self) -> str:
        return "\t".join((self.path, self.verb, self.way, self.property, self.type))


def distil(document: Mapping[str, Any]) -> list[Row]:
    """Operations on our kinds, and two levels of the properties that they take and answer."""
    return sorted(set(_rows(document)))


def _rows(document: Mapping[str, Any]) -> Iterator[Row]:
    bases = {kind.path for kind in kinds().values()}
    used = bases | {line.offered for kind in kinds().values() for line in kind.attrs().values() if line.offered}
    for path, operations in document["paths"].items():
        plain = re.sub(r"{\w+}", "{}", path)
        if not any(plain.startswith(base) for base in used) and plain not in ("/v1/health/", "/v1/passages/search"):
            continue
        for verb, operation in operations.items():
            yield Row(plain, verb.upper(), type=_answer(operation))
            if plain in bases or plain.removesuffix("{}") in bases:
                yield from _properties(document, plain, verb.upper(), operation)


def _properties(document: Mapping[str, Any], path: str, verb: str, operation: Mapping[str, Any]) -> Iterator[Row]:
    sent = _schema(operation.get("requestBody"))
    answered = _schema(operation["responses"].get("200")) if verb == "GET" and path.endswith("{}") else {}
    for way, schema in (("sends", sent), ("answers", answered)):
        for name, each in _fields(document, schema):
            yield Row(path, verb, way, name, _spelled(document, each))


def _schema(body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    found: Mapping[str, Any] = (body or {}).get("content", {}).get("application/json", {}).get("schema", {})
    return found


def _answer(operation: Mapping[str, Any]) -> str:
    """The name of what an operation answers, in brackets if many."""
    schema = _schema(operation["responses"].get("200"))
    name = str(schema.get("items", schema).get("$ref", "")).rpartition("/")[2]
    return f"[{name}]" if "items" in schema else name


def _fields(document: Mapping[str, Any], schema: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, each in _plain(document, schema)[0].get("properties", {}).items():
        yield prefix + name, each
        inner, _ = _plain(document, each)
        listed = inner.get("type") == "array"
        if not prefix:
            yield from _fields(
                document, inner.get("items") if listed else inner, f"{name}[]." if listed else f"{name}."
            )


def _plain(document: Mapping[str, Any], schema: Any) -> tuple[Mapping[str, Any], bool]:
    """A schema without references and without the null that it may be; and whether it may."""
    schema = schema or {}
    if "$ref" in schema:
        return _plain(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    some = schema.get("anyOf") or schema.get("allOf") or ()
    if rest := [each for each in some if each.get("type") != "null"]:
        inner = _plain(document, rest[0]) if len(rest) == 1 else ({"oneOf": rest}, False)
        return inner[0], inner[1] or len(rest) < len(some)
    return schema, False


def _spelled(document: Mapping[str, Any], schema: Any) -> str:
    plain, nullable = _plain(document, schema)
    text = _word(document, plain)
    for mark, key in ((">=", "minimum"), ("<=", "maximum")):
        text += f" {mark}{plain[key]:g}" if key in plain else ""
    return text + (" or null" if nullable else "")


def _word(document: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    if "const" in plain or "enum" in plain:
        return "one of " + ",".join(map(str, plain.get("enum") or [plain.get("const")]))
    if "oneOf" in plain:
        return " | ".join(dict.fromkeys(_word(document, _plain(document, each)[0]) for each in plain["oneOf"]))
    if plain.get("type") == "array":
        return f"[{_word(document, _plain(document, plain.get('items'))[0])}]"
    inner = plain.get("additionalProperties")
    if isinstance(inner, Mapping) and inner:
        return f"object of {_word(document, _plain(document, inner)[0])}"
    return str(plain.get("type", "any"))


class Api:
    """Rows, asked by what a line wants to know."""

    def __init__(self, rows: list[Row]) -> None:
        self.operations = {(row.verb, row.path): row.type for row in rows if not row.way}
        self.types = {(row.verb, row.path, row.way, row.property): row.type for row in rows if row.way}

    def sends(self, verb: str, path: str) -> Mapping[str, str]:
        """The properties that a request may have, with their types."""
        return {name: t for (v, p, way, name), t in self.types.items() if (v, p, way) == (verb, path, "sends")}

    def answers(self, path: str) -> Mapping[str, str]:
        """The properties of one object, with their types."""
        return {name: t for (v, p, way, name), t in self.types.items() if (v, p, way) == ("GET", path, "answers")}


def parse(text: str) -> list[Row]:
    """A table as it stands in its file."""
    return [Row(*line.split("\t")) for line in text.splitlines() if not line.startswith("#")]


def spell(rows: list[Row]) -> str:
    """A table as it stands in its file."""
    head = "# path · verb · of its request or its answer · property · type; made by tests/contract/test_openapi.py"
    return "\n".join((head, *map(str, rows))) + "\n"


@cache
def api() -> Api:
    """What the table in this folder says."""
    return Api(parse(TABLE.read_text(encoding="utf-8")))


# --- the checks: each returns what is wrong --------------------------------------------------------------------------


def one_path(kind: type[Kind]) -> str:
    """The path of a single object."""
    return kind.path + "{}"


def changes(kind: type[Kind]) -> tuple[str, str]:
    """Verb and path by which a kind is changed."""
    return ("PUT", kind.path) if kind.verb == "PUT" else ("PATCH", one_path(kind))


def written(kind: type[Kind], api: Api) -> Iterator[str]:
    """(a) What is written is a property of the request."""
    created, changed = api.sends(kind.verb, kind.path), api.sends(*changes(kind))
    for line in lines(kind):
        wire = ENCODED.get((kind_name(kind), line.name), line.write)
        if wire not in created:
            yield f"{line.name}: no `{wire}` when one is made"
        elif line.own:
            inner = {name.partition("[].")[2] for name in created if name.startswith(f"{line.write}[].")}
            lost = [each.write for each in lines(kinds()[line.own]) if each.write not in inner]
            yield from (f"{line.name}: no `{line.write}[].{write}` when one is made" for write in lost)
        elif not (line.once or line.fixed):
            if wire not in changed:
                yield f"{line.name}: no `{wire}` when one is changed"
        elif line.write in changed and (kind_name(kind), line.name) not in IGNORED:
            yield f"{line.name}: cannot be changed, and `{line.write}` is there when one is"


def read(kind: type[Kind], api: Api) -> Iterator[str]:
    """(b) What is read is a property of the answer, and every operation answers the same object."""
    one = api.operations.get(("GET", one_path(kind)))
    for verb, path in ((kind.verb, kind.path), changes(kind), ("PATCH", one_path(kind))):
        if api.operations.get((verb, path)) != one:
            yield f"{verb} {path} does not answer {one}"
    if api.operations.get(("GET", kind.path)) != f"[{one}]":
        yield f"GET {kind.path} does not list {one}"
    for line in kind.attrs().values():
        if line.read and not line.once and line.read not in api.answers(one_path(kind)):
            yield f"{line.name}: no `{line.read}` in answers"


def managed(kind: type[Kind], api: Api) -> Iterator[str]:
    """(c) What can be written is a line's, or knowingly unmanaged; not both, and nothing that is gone."""
    known: set[str] = set()
    for verb, path in (("POST", kind.path), ("PUT", kind.path), ("PATCH", one_path(kind))):
        known |= {name for name in api.sends(verb, path) if "." not in name}
    wanted = {line.write for line in lines(kind)}
    yield from (f"{name}: neither a line nor unmanaged" for name in sorted(known - wanted - kind.unmanaged.keys()))
    yield from (f"{name}: unmanaged, and a line writes it" for name in sorted(wanted & kind.unmanaged.keys()))
    yield from (f"{name}: unmanaged, and no longer there" for name in sorted(kind.unmanaged.keys() - known))
    yield from (f"{name}: unmanaged without a reason" for name, why in kind.unmanaged.items() if not why.strip())


def typed(kind: type[Kind], api: Api) -> Iterator[str]:
    """(d) A line's type, values and bounds are those of the property that it writes, and of what it reads."""
    created, changed = api.sends(kind.verb, kind.path), api.sends(*changes(kind))
    for line in lines(kind):
        encoded = (kind_name(kind), line.name) in ENCODED
        sides = {} if encoded else {"made": created.get(line.write or "")}
        if not (line.once or line.fixed or encoded):
            sides["changed"] = changed.get(line.write or "")
        if line.read and (kind_name(kind), line.name) not in DECODED:
            sides["read"] = answered(line.read, api.answers(one_path(kind)))
        for side, theirs in sides.items():
            if theirs is not None and (wrong := mismatch(kind, line, theirs)):
                yield f"{line.name}: {wrong} when {side}"


def called(kind: type[Kind], api: Api) -> Iterator[str]:
    """(e) Every operation that a kind and its lines imply exists."""
    one = one_path(kind)
    wanted = [("GET", kind.path), (kind.verb, kind.path), ("GET", one), ("PATCH", one), ("DELETE", one)]
    for line in kind.attrs().values():
        wanted += [("GET", line.offered)] if line.offered else []
        wanted += [("POST", line.tried)] if line.tried else []
        wanted += [("PATCH", f"{one}/{line.link}/{verb}/{{}}") for verb in ("attach", "detach") if line.link]
    wanted += [("POST", f"{one}/recompile")] if kind.recompile else []
    yield from (f"{verb} {path} does not exist" for verb, path in wanted if (verb, path) not in api.operations)


CHECKS = (written, read, managed, typed, called)


def answered(path: str, answers: Mapping[str, str]) -> str | None:
    """The type that a read path gives: `a[].b` gives a list."""
    theirs = answers.get(path)
    return f"[{theirs.removesuffix(' or null')}]" if theirs and "[]." in path else theirs


def lines(kind: type[Kind]) -> list[Attr]:
    """The lines that are written."""
    return [line for line in kind.attrs().values() if line.write]


def kind_name(kind: type[Kind]) -> str:
    """What a kind is called."""
    return next((name for name, each in kinds().items() if each is kind), "")


def mismatch(kind: type[Kind], line: Attr, theirs: str) -> str | None:
    """What a line's annotation has against a property's type."""
    info = kind.model_fields[line.name]
    ours = "[object]" if line.own else shape(info.annotation)
    theirs = theirs.removesuffix(" or null")
    bounds = {word[:2]: float(word[2:]) for word in theirs.split() if word[:2] in (">=", "<=")}
    plain = re.sub(r" [<>]=\S+", "", theirs)
    if ours.startswith("one of ") and plain.startswith("one of "):
        left_out = REFUSED.get((kind_name(kind), line.name), {})
        mine, others = set(ours[7:].split(",")), set(plain[7:].split(",")) - left_out.keys()
        news = [f"lacks {each}" for each in sorted(others - mine)] + [f"invents {e}" for e in sorted(mine - others)]
        return ", ".join(news) or None
    if not fits(ours, plain):
        return f"is {ours}, and theirs is {plain}"
    low = max((each.ge for each in info.metadata if hasattr(each, "ge")), default=float("-inf"))
    high = min((each.le for each in info.metadata if hasattr(each, "le")), default=float("inf"))
    if low < bounds.get(">=", low) or high > bounds.get("<=", high):
        return f"allows {low:g} to {high:g}, and theirs is {theirs}"
    return None


def shape(annotation: Any) -> str:
    """A Python annotation as the table spells types."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "one of " + ",".join(inner)
    if origin in (Union, types.UnionType):
        return shape(next(each for each in inner if each is not type(None)))
    if origin is list:
        return f"[{shape(inner[0])}]"
    if origin is dict:
        return "object" if inner[1] is Any else f"object of {shape(inner[1])}"
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
@pytest.mark.parametrize("kind", kinds())
def test_every_line_stands_in_the_description(kind: str, check: Any) -> None:
    assert list(check(kinds()[kind], api())) == []


def test_the_paths_that_stand_in_the_server_room_exist() -> None:
    assert [operation for operation in ALSO_CALLED if operation not in api().operations] == []


def test_every_exception_is_about_a_line() -> None:
    known = {(name, line) for name, kind in kinds().items() for line in kind.attrs()}
    assert not (DECODED.keys() | ENCODED.keys() | REFUSED.keys() | IGNORED.keys()) - known


def test_a_refused_value_is_still_described() -> None:
    for (kind, field), values in REFUSED.items():
        table = kinds()[kind]
        line = table.attrs()[field]
        sent = api().sends(table.verb, table.path)
        theirs = sent.get(line.write or "") or api().answers(one_path(table))[line.read or ""]
        assert not values.keys() - set(theirs.removeprefix("one of ").split(","))


class Wrong(Kind, section="wrongs", path="/v1/tools/", verb="PUT", mark="tags"):
    """A tool with a mistake on every line."""

    source: str = attr("A property that there is not.", write="code", read=None)
    reading: str = attr("An answer that there is not.", write=None, read="metadata.reading")
    tags: str = attr("A list that is called a text.")
    return_char_limit: int = attr("Bounds wider than theirs.", constraints={"ge": 0, "le": 9})
    description: str = attr("Attached by a path that there is not.", link="descriptions")
    json_schema: dict[str, Any] = attr("Tried and offered by paths that there are not.", tried="/v1/x", offered="/v1/y")
    unmanaged: ClassVar[Mapping[str, str]] = {"tags": "a line writes it", "gone": "no longer there", "metadata_": " "}


class Enumerated(Kind, section="enumerated", path="/v1/agents/"):
    """An agent with values that are not theirs."""

    agent_type: Literal["letta_v1_agent", "telepath_agent"] = attr("One is invented, and many are missing.")
    memory: dict[str, str] = attr("Agents with whole agents for blocks.", own="agent", write="memory_blocks", read=None)
    embedding_chunk_size: int = attr("Cannot be changed, and does not say so.", read=None)
    timezone: str = attr("Can be changed, and says that it cannot.", once=True)


class Nowhere(Kind, section="nowheres", path="/v1/nowhere/"):
    """A kind that the server does not have."""


@pytest.mark.parametrize(
    ("kind", "check", "fault"),
    [
        (Wrong, written, "source: no `code` when one is made"),
        (Enumerated, written, "embedding_chunk_size: no `embedding_chunk_size` when one is changed"),
        (Enumerated, written, "timezone: cannot be changed, and `timezone` is there when one is"),
        (Enumerated, written, "memory: no `memory_blocks[].system` when one is made"),
        (Wrong, read, "reading: no `metadata.reading` in answers"),
        (Nowhere, called, "DELETE /v1/nowhere/{} does not exist"),
        (Wrong, managed, "source_code: neither a line nor unmanaged"),
        (Wrong, managed, "tags: unmanaged, and a line writes it"),
        (Wrong, managed, "gone: unmanaged, and no longer there"),
        (Wrong, managed, "metadata_: unmanaged without a reason"),
        (Wrong, typed, "tags: is string, and theirs is [string] when made"),
        (Wrong, typed, "return_char_limit: allows 0 to 9, and theirs is integer >=1 <=1e+06 when changed"),
        (Wrong, called, "PATCH /v1/tools/{}/descriptions/attach/{} does not exist"),
        (Wrong, called, "POST /v1/x does not exist"),
        (Wrong, called, "GET /v1/y does not exist"),
    ],
)
def test_a_wrong_line_is_told(kind: type[Kind], check: Any, fault: str) -> None:
    assert fault in list(check(kind, api()))


def test_invented_and_missing_values_are_told() -> None:
    told = next(fault for fault in typed(Enumerated, api()) if fault.startswith("agent_type"))
    assert "invents telepath_agent" in told
    assert "lacks memgpt_agent" in told


def test_a_property_that_a_new_version_brings_is_told() -> None:
    news = Api([*parse(TABLE.read_text(encoding="utf-8")), Row("/v1/blocks/{}", "PATCH", "sends", "colour", "string")])
    assert list(managed(kinds()["block"], news)) == ["colour: neither a line nor unmanaged"]


def test_operations_that_answer_something_else_are_told() -> None:
    rows = [row for row in parse(TABLE.read_text(encoding="utf-8")) if (row.path, row.verb) != ("/v1/blocks/", "POST")]
    other = Api([*rows, Row("/v1/blocks/", "POST", type="Job")])
    assert list(read(kinds()["block"], other)) == ["POST /v1/blocks/ does not answer BlockResponse"]


@pytest.mark.parametrize("name", [name for name, kind in kinds().items()])
def test_a_line_without_its_property_is_told(name: str) -> None:
    """Take any row that a line needs out of the table, and some check says so."""
    kind, rows = kinds()[name], parse(TABLE.read_text(encoding="utf-8"))
    needed = {line.write for line in lines(kind)}
    for row in rows:
        if row.way == "sends" and row.path == kind.path and row.verb == kind.verb and row.property in needed:
            assert list(written(kind, Api([each for each in rows if each != row]))), row.property


@pytest.mark.live
def test_the_table_is_what_the_server_describes(letta: Any) -> None:
    bearer = {"Authorization": f"Bearer {letta.password}"} if letta.password else {}
    document = httpx.get(f"{letta.url}/openapi.json", headers=bearer, timeout=60).raise_for_status().json()
    ours, theirs = TABLE.read_text(encoding="utf-8"), spell(distil(document))
    news = difflib.unified_diff(ours.splitlines(), theirs.splitlines(), TABLE.name, letta.url, n=0, lineterm="")
    assert ours == theirs, "the server describes another API:\n" + "\n".join(news)


if __name__ == "__main__":
    import sys

    print(spell(distil(httpx.get(f"{sys.argv[1]}/openapi.json", timeout=60).raise_for_status().json())), end="")
