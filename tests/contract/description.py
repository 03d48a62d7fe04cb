"""Letta's OpenAPI description, reduced to a table of our own: names and types, none of its text.

Every operation is a row. Operations that write also have a row for each property of the request body, two levels
deep, and for each parameter of the query. GET of one object that can be created has a row for each property of the
answer. A property of a new or changed object that is a map also has a row with the names of its schemas, and each of
these schemas has a row for each of its properties. To make the table again and review its diff:

python -m tests.contract.description http://localhost:8283 > tests/contract/openapi-0.16.8.tsv
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx

TABLE = Path(__file__).with_name("openapi-0.16.8.tsv")
HOW = "python -m tests.contract.description URL > tests/contract/" + TABLE.name
"""The command that makes the table."""
WRITES = ("POST", "PUT", "PATCH", "DELETE")
OBJECTS = re.compile(r"/v1/[\w-]+/({})?")
"""Paths at which objects are created and changed."""
LEVELS = 2
"""Levels of properties: the schemas of maps have the deeper ones."""


@dataclass(frozen=True, order=True)
class Row:
    """One property that an operation `sends`, `asks` by query or `answers`; without one, the operation itself.

    `holds`: the type is the names of the schemas of a property. `has`: a property of the schema at `path`.
    """

    path: str
    verb: str
    way: str = ""
    property: str = ""
    type: str = ""

    def __str__(self) -> str:
        return "\t".join((self.path, self.verb, self.way, self.property, self.type))


class Api:
    """The rows, grouped for the checks."""

    def __init__(self, rows: list[Row]) -> None:
        self.operations = {(row.verb, row.path): row.type for row in rows if not row.way}
        self.types: dict[tuple[str, str, str], dict[str, str]] = {}
        for row in rows:
            if row.way:
                self.types.setdefault((row.verb, row.path, row.way), {})[row.property] = row.type

    def sends(self, verb: str, path: str) -> Mapping[str, str]:
        """What a request may contain, in its body or its query, with the types."""
        return self.types.get((verb, path, "asks"), {}) | self.types.get((verb, path, "sends"), {})

    def answers(self, path: str) -> Mapping[str, str]:
        """The properties of one object, with their types."""
        return self.types.get(("GET", path, "answers"), {})

    def asks(self, path: str) -> Mapping[str, str]:
        """The query parameters of a GET, with their types, bounds and defaults: `integer >=1 <=1000 =50`."""
        return self.types.get(("GET", path, "asks"), {})

    def holds(self, verb: str, path: str, property: str) -> list[str]:
        """The names of the schemas that a property of a request body may have."""
        names = self.types.get((verb, path, "holds"), {}).get(property, "")
        return names.split(" | ") if names else []

    def has(self, name: str) -> Mapping[str, str]:
        """The properties of a schema, with their types: `string required`."""
        return self.types.get(("", name, "has"), {})

    def writes(self) -> list[tuple[str, str]]:
        """The operations that write, or could."""
        return [operation for operation in self.operations if operation[0] in WRITES]


def parse(text: str) -> list[Row]:
    """The rows of a table's text."""
    return [Row(*line.split("\t")) for line in text.splitlines() if not line.startswith("#")]


def to_text(rows: list[Row]) -> str:
    """The text of a table."""
    head = (
        "# path · verb · of its body, its query or its answer · property · type; made by tests/contract/description.py"
    )
    return "\n".join((head, *map(str, rows))) + "\n"


@cache
def table() -> list[Row]:
    """The rows of the table in this folder."""
    return parse(TABLE.read_text(encoding="utf-8"))


@cache
def api() -> Api:
    """The table in this folder, as an Api."""
    return Api(table())


def fetch(url: str, password: str | None = None) -> Mapping[str, Any]:
    """The OpenAPI document that a server serves."""
    bearer = {"Authorization": f"Bearer {password}"} if password else {}
    found: Mapping[str, Any] = httpx.get(f"{url}/openapi.json", headers=bearer, timeout=60).raise_for_status().json()
    return found


# --- from the OpenAPI document ---------------------------------------------------------------------------------------


def rows_of(document: Mapping[str, Any]) -> list[Row]:
    """The rows of an OpenAPI document."""
    found = set(_rows(document))
    names = {name for row in found if row.way == "holds" for name in row.type.split(" | ")}
    return sorted(found | set(_schemas(document, names)))


def _rows(document: Mapping[str, Any]) -> Iterator[Row]:
    paths = {re.sub(r"{\w+}", "{}", path): operations for path, operations in document["paths"].items()}
    for path, operations in paths.items():
        made = path.endswith("/{}") and {"post", "put"} & paths.get(path.removesuffix("{}"), {}).keys()
        for verb, operation in operations.items():
            yield Row(path, verb.upper(), type=_answer(operation))
            if verb.upper() in WRITES:
                sent = _fields(document, _schema(operation.get("requestBody")))
                yield from (Row(path, verb.upper(), "sends", *each) for each in _merged(document, sent))
                if OBJECTS.fullmatch(path):
                    yield from _held(document, path, verb.upper(), _schema(operation.get("requestBody")))
                yield from (Row(path, verb.upper(), "asks", *each) for each in _merged(document, _query(operation)))
            elif verb == "get":
                yield from (Row(path, "GET", "asks", *each) for each in _with_defaults(document, _query(operation)))
                answered = _fields(document, _schema(operation["responses"].get("200"))) if made else iter(())
                yield from (Row(path, "GET", "answers", *each) for each in _merged(document, answered))


def _held(document: Mapping[str, Any], path: str, verb: str, body: Mapping[str, Any]) -> Iterator[Row]:
    for name, schema in _fields(document, body, levels=1):
        if names := _names(document, schema):
            yield Row(path, verb, "holds", name, " | ".join(names))


def _names(document: Mapping[str, Any], schema: Any) -> list[str]:
    """The names of the maps with known properties that a property may be, or that its items may be."""
    found = []
    for each in _references(schema):
        plain, _ = _resolved(document, {"$ref": each})
        if plain.get("properties"):
            found.append(each.rpartition("/")[2])
        else:
            found += _names(document, plain)
    return list(dict.fromkeys(found))


def _references(schema: Any) -> Iterator[str]:
    """The references of a schema, its alternatives and its items, without those of its properties."""
    if isinstance(schema, Mapping):
        yield from [schema["$ref"]] if "$ref" in schema else ()
        for key in ("anyOf", "oneOf", "allOf"):
            for each in schema.get(key, ()):
                yield from _references(each)
        yield from _references(schema.get("items"))


def _schemas(document: Mapping[str, Any], names: set[str]) -> Iterator[Row]:
    """A row for each property of these schemas and of those inside of them."""
    todo, known = sorted(names), set(names)
    while todo:
        name = todo.pop()
        schema = document["components"]["schemas"][name]
        for key, each in schema.get("properties", {}).items():
            inner = _names(document, each)
            spelled = _spelled(document, each)
            spelled = spelled.replace("object", " | ".join(inner)) if inner else spelled
            yield Row(name, "", "has", key, spelled + (" required" if key in schema.get("required", ()) else ""))
            todo += [each for each in inner if each not in known]
            known |= {*inner}


def _query(operation: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(each["name"], each["schema"]) for each in operation.get("parameters", ()) if each["in"] == "query"]


def _with_defaults(document: Mapping[str, Any], parameters: list[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    for name, schema in parameters:
        default = schema.get("default")
        yield name, _spelled(document, schema) + ("" if default is None else f" ={json.dumps(default)}")


def _schema(body: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The schema of a body: JSON or, without JSON, the form."""
    content = (body or {}).get("content", {})
    form = content.get("application/json") or next(iter(content.values()), {})
    found: Mapping[str, Any] = form.get("schema", {})
    return found


def _answer(operation: Mapping[str, Any]) -> str:
    """The name of the type that an operation answers, in brackets for a list."""
    schema = _schema(operation["responses"].get("200"))
    name = str(schema.get("items", schema).get("$ref", "")).rpartition("/")[2]
    return f"[{name}]" if "items" in schema else name


def _fields(
    document: Mapping[str, Any], schema: Any, path: str = "", levels: int = LEVELS
) -> Iterator[tuple[str, Any]]:
    """Properties by path, `a.b` or `a[].b`; a property of several alternatives comes several times."""
    for plain in _alternatives(document, schema):
        if plain.get("type") == "array":
            yield from _fields(document, plain.get("items"), f"{path}[]", levels)
        elif levels:
            for name, each in plain.get("properties", {}).items():
                inner = f"{path}.{name}" if path else name
                yield inner, each
                yield from _fields(document, each, inner, levels - 1)


def _alternatives(document: Mapping[str, Any], schema: Any) -> Iterator[Mapping[str, Any]]:
    plain, _ = _resolved(document, schema)
    for each in plain.get("oneOf", ()):
        yield from _alternatives(document, each)
    if "oneOf" not in plain:
        yield plain


def _resolved(document: Mapping[str, Any], schema: Any) -> tuple[Mapping[str, Any], bool]:
    """A schema without references and without null; and whether it is nullable."""
    schema = schema or {}
    if "$ref" in schema:
        return _resolved(document, document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
    some = schema.get("anyOf") or schema.get("allOf") or ()
    if rest := [each for each in some if each.get("type") != "null"]:
        inner = _resolved(document, rest[0]) if len(rest) == 1 else ({"oneOf": rest}, False)
        return inner[0], inner[1] or len(rest) < len(some)
    return schema, False


def _merged(document: Mapping[str, Any], fields: Iterator[tuple[str, Any]] | list[Any]) -> Iterator[tuple[str, str]]:
    """Each property once, with all the types that its alternatives give it."""
    found: dict[str, list[str]] = {}
    for name, schema in fields:
        found.setdefault(name, []).append(_spelled(document, schema))
    for name, types in found.items():
        yield name, _either(types)


def _either(types: list[str]) -> str:
    plain = list(dict.fromkeys(each.removesuffix(" or null") for each in types))
    words = dict.fromkeys(word for each in plain for word in each.removeprefix("one of ").split(","))
    enumerated = all(each.startswith("one of ") and " | " not in each for each in plain)
    text = "one of " + ",".join(words) if enumerated else " | ".join(plain)
    return text + (" or null" if any(each.endswith(" or null") for each in types) else "")


def _spelled(document: Mapping[str, Any], schema: Any) -> str:
    plain, nullable = _resolved(document, schema)
    text = _word(document, plain)
    for mark, key in ((">=", "minimum"), ("<=", "maximum")):
        text += f" {mark}{plain[key]:g}" if key in plain else ""
    return text + (" or null" if nullable else "")


def _word(document: Mapping[str, Any], plain: Mapping[str, Any]) -> str:
    if "const" in plain or "enum" in plain:
        return "one of " + ",".join(map(str, plain.get("enum") or [plain.get("const")]))
    if "oneOf" in plain:
        return " | ".join(dict.fromkeys(_word(document, _resolved(document, each)[0]) for each in plain["oneOf"]))
    if plain.get("type") == "array":
        return f"[{_word(document, _resolved(document, plain.get('items'))[0])}]"
    inner = plain.get("additionalProperties")
    if isinstance(inner, Mapping) and inner:
        return f"object of {_word(document, _resolved(document, inner)[0])}"
    return str(plain.get("type", "any"))


if __name__ == "__main__":
    import sys

    print(to_text(rows_of(fetch(sys.argv[1]))), end="")
