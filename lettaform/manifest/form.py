"""The shapes of the language: each checks what was written, and says itself as JSON Schema.

What is checked here stands in the files literally; what expressions become is checked once they are known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from lettaform.errors import Place
from lettaform.kinds import kinds, sections
from lettaform.kinds.base import POLICIES, Attr, Kind, Never
from lettaform.manifest.node import UNSET, Node, described
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.types import find, flaws, plain

EXPRESSION: Mapping[str, Any] = {"type": "string", "pattern": r"\$\{|\.json$"}
"""What may stand for a value of any type: an expression, or what an editor sees of `!json path.json`."""
Definitions = dict[str, dict[str, Any]]


class Form(Protocol):
    """What may be written in one place."""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Note what is wrong with `node`. `place`: where to show it."""

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """The same as JSON Schema; what has a name goes into `definitions`."""


def step(key: str) -> str:
    """A key as part of a path, spelled as in addresses."""
    return f".{key}" if re.fullmatch(r"[A-Za-z0-9_-]+", key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def _fits(pattern: str, text: str) -> bool:
    """Whether `text` matches, with `$` at its very end alone."""
    return re.search(pattern.replace("$", r"\Z"), text) is not None


def _wrong(node: Node, expected: str, path: str, problems: Problems, place: Place, hint: str | None = None) -> None:
    if node.open and node.tag:
        problems.add(f"{path}: `{node.tag}` cannot stand here, expected {expected}", node.place, hint, field=path)
    elif not (node.open and not isinstance(node.value, str)):
        problems.add(f"{path}: expected {expected}, got {described(node.value)}", place, hint, field=path)


@dataclass(frozen=True)
class Text:
    """A text, out of `choices` or of the form `pattern`, which `says` describes."""

    doc: str = ""
    choices: Sequence[str] = ()
    pattern: str | None = None
    says: str = "a text"
    expressions: bool = False

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a text."""
        if self.expressions and node.open:
            return
        text = node.text
        if text is None:
            hint = "put it in quotes" if isinstance(node.value, bool | int | float) else None
            _wrong(node, self.says, path, problems, place, hint)
        elif self.choices and text not in self.choices:
            message = f"{path}: expected one of its values, got {described(text)}"
            problems.add(message, node.place, suggest(text, self.choices))
        elif self.pattern and not _fits(self.pattern, text):
            problems.add(f"{path}: expected {self.says}, got {described(text)}", node.place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """A string."""
        about = {"description": self.doc} if self.doc else {}
        if self.choices:
            return about | {"enum": list(self.choices)}
        schema = {"type": "string"} | ({"pattern": self.pattern} if self.pattern else {})
        return about | ({"anyOf": [schema, EXPRESSION]} if self.expressions and self.pattern else schema)


@dataclass(frozen=True)
class Flag:
    """True or false."""

    doc: str = ""
    expressions: bool = True

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a boolean."""
        if not isinstance(node.value, bool) and not (self.expressions and node.open):
            _wrong(node, "true or false", path, problems, place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """A boolean."""
        flag = {"type": "boolean"}
        return {"description": self.doc} | ({"anyOf": [flag, EXPRESSION]} if self.expressions else flag)


@dataclass(frozen=True)
class Anything:
    """Any value at all."""

    doc: str = ""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Nothing is wrong with anything."""

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """No constraint."""
        return {"description": self.doc}


@dataclass(frozen=True)
class Many:
    """A list, or also a map, to go through: what `for_each` takes."""

    doc: str = ""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a list or a map."""
        if not isinstance(node.value, list | dict) and not node.open:
            _wrong(node, "a list or a map", path, problems, place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An array or an object."""
        return {"description": self.doc, "anyOf": [{"type": "array"}, {"type": "object"}, EXPRESSION]}


@dataclass(frozen=True)
class Items:
    """A list of one form."""

    of: Form
    doc: str = ""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a list."""
        if not isinstance(node.value, list):
            _wrong(node, "a list", path, problems, place)
        for index, item in enumerate(node.list):
            self.of.check(item, f"{path}.{index}", problems, item.place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An array."""
        return {"description": self.doc, "type": "array", "items": self.of.schema(definitions)}


@dataclass(frozen=True)
class Entries:
    """A map whose keys people choose."""

    of: Form
    doc: str = ""
    pattern: str = ""
    says: str = "not be empty"
    nothing: bool = True
    """Whether it may be left empty."""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a map, or nothing."""
        if not isinstance(node.value, dict):
            if not (self.nothing and node.null):
                _wrong(node, "a map", path, problems, place)
            return
        for key, child in node.value.items():
            if not key or not _fits(self.pattern, key):
                problems.add(f"{path}: the key {key!r} must {self.says}", node.keys[key])
            if child.tag != UNSET:
                self.of.check(child, path + step(key), problems, node.at(key))

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An object with any property names."""
        kind = ["object", "null"] if self.nothing else "object"
        names = {"pattern": self.pattern} if self.pattern else {"minLength": 1}
        entries = {"additionalProperties": self.of.schema(definitions), "propertyNames": names}
        return {"description": self.doc, "type": kind, **entries}


@dataclass(frozen=True)
class Fields:
    """A map whose keys the language knows."""

    fields: Mapping[str, Form]
    doc: str = ""
    required: Sequence[str] = ()
    nothing: bool = False
    """Whether it may be left empty."""
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    """Keys that people may look for here, and where they stand."""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a map with known keys."""
        if not isinstance(node.value, dict):
            if not (self.nothing and node.null):
                _wrong(node, "a map", path, problems, place)
            return
        for key, child in node.value.items():
            if key not in self.fields:
                where = f"{path}: " if path else ""
                hint = self.elsewhere.get(key) or suggest(key, self.fields)
                problems.add(f"{where}unknown key `{key}`", node.keys[key], hint, field=path or key)
            elif child.tag != UNSET:
                self.fields[key].check(child, f"{path}.{key}" if path else key, problems, node.at(key))
        for key in self.required:
            if key not in node.map:
                where = f" in {path}" if path else ""
                problems.add(f"`{key}` is missing{where}", place, f"add `{key}: …`", field=path or key)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An object with these properties and no others."""
        properties = {key: form.schema(definitions) for key, form in self.fields.items()}
        schema: dict[str, Any] = {"type": ["object", "null"] if self.nothing else "object", "properties": properties}
        if self.required:
            schema["required"] = list(self.required)
        return {"description": self.doc, **schema, "additionalProperties": False}


@dataclass(frozen=True)
class Named:
    """A form that stands in several places, and is said once."""

    name: str
    of: Form

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """As the form does."""
        self.of.check(node, path, problems, place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """A reference to its definition."""
        if self.name not in definitions:
            definitions[self.name] = {}
            definitions[self.name] = self.of.schema(definitions)
        return {"$ref": f"#/$defs/{self.name}"}


# --- what a kind says ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Body:
    """The fields of an object of a kind, and the words of the language beside them.

    words   forms of what else may be said
    name    of its definition in the JSON Schema
    own     it is a part of another object: its key is its name
    only    the fields that may be said, where not all may
    """

    kind: str
    words: Mapping[str, Form] = field(default_factory=dict)
    name: str = ""
    own: bool = False
    only: frozenset[str] | None = None

    @property
    def table(self) -> type[Kind]:
        """The kind."""
        return kinds()[self.kind]

    @property
    def short(self) -> str | None:
        """The field that a bare text fills."""
        return kinds()[self.kind].part.short if self.own else None

    @cached_property
    def fields(self) -> Mapping[str, Attr]:
        """What may be said about it."""
        key = self.table.name_field if self.own else None
        lines = {name: line for name, line in self.table.attrs().items() if name != key}
        return {name: line for name, line in lines.items() if self.only is None or name in self.only}

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a map of the kind's fields, each of its type."""
        if self.short and (node.text is not None or node.tag):
            node = Node(node.place, {self.short: node}, {self.short: node.place})
        if not isinstance(node.value, dict):
            if node.null and self.own:
                expected = "a text or a map" if self.short else "a map"
                hint = "`!unset` takes back what stands in the defaults"
                problems.add(f"{path}: expected {expected}, got null", place, hint, field=path)
            elif not node.null:
                _wrong(node, "a map", path, problems, place)
            return
        address = path if re.split(r"[.\[]", path)[0] in sections() else None
        self.keys(node, path, address, problems)
        typed = {}
        for name, line in self.fields.items():
            child = node.map.get(name)
            if child is None or child.tag == UNSET:
                continue
            if child.null:
                if line.clear is Never:
                    problems.add(never(name), node.at(name), UNMANAGED, address=address, field=name)
            elif line.own:
                self.part(line).check(child, f"{path}.{name}", problems, node.at(name))
            elif line.along and child.map:
                Company(line).check(child, f"{path}.{name}", problems, node.at(name))
            else:
                typed[name] = partial(line, plain(child))
        for flaw in flaws(self.table, typed):
            _, where, still_open = find(node, flaw.path)
            if not still_open:
                secret = self.fields[str(flaw.path[0])].secret
                problems.add(flaw.message(secret=secret), where, flaw.hint, address=address, field=flaw.field)

    def keys(self, node: Node, path: str, address: str | None, problems: Problems) -> None:
        """Every key must be a field or a word; the words have forms of their own."""
        for key, child in node.map.items():
            if key in self.fields:
                continue
            if key in self.words:
                if child.tag != UNSET:
                    self.words[key].check(child, f"{path}.{key}", problems, node.at(key))
            elif self.own and key == self.table.name_field:
                message = f"the key of an own {self.kind} is its `{key}`"
                problems.add(message, node.keys[key], "leave the line out", address=address, field=key)
            else:
                hint = suggest(key, [*self.fields, *self.words])
                problems.add(f"unknown field `{key}`", node.keys[key], hint, address=address, field=key)

    def part(self, line: Attr) -> Entries:
        """The form of a field whose values are parts of the object."""
        own = line.own or ""
        return Entries(Body(own, ownership(own), f"own_{own}", own=True), line.doc, nothing=False)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """A reference to its definition."""
        name = self.name or self.kind
        if name not in definitions:
            definitions[name] = {}
            model = self.table.model_json_schema()
            definitions |= model.get("$defs", {})
            lines, types = self.fields, model["properties"]
            properties = {key: self.property(line, types[key], definitions) for key, line in lines.items()}
            properties |= {key: form.schema(definitions) for key, form in self.words.items() if key not in lines}
            definitions[name] = {
                "description": (self.table.__doc__ or "").strip(),
                "type": "object" if self.own else ["object", "null"],
                "properties": properties,
                "additionalProperties": False,
            }
        reference = {"$ref": f"#/$defs/{name}"}
        return {"anyOf": [{"type": "string"}, reference]} if self.short else reference

    def property(self, line: Attr, model: dict[str, Any], definitions: Definitions) -> dict[str, Any]:
        """One field, with what expressions may stand for."""
        if line.own:
            return self.part(line).schema(definitions)
        if line.along:
            companions = Company(line).schema(definitions)
            return {"description": line.doc, "anyOf": [{"type": "boolean"}, companions, EXPRESSION]}
        schema = loose({key: value for key, value in model.items() if key not in ("default", "title", "description")})
        if line.partial and "additionalProperties" in schema:
            schema["additionalProperties"] = nullable(schema["additionalProperties"])
        schema = expressible(schema)
        return {"description": line.doc} | (schema if line.clear is Never else nullable(schema))


@dataclass(frozen=True)
class Company:
    """One map that speaks of several objects: those that the server makes along with another."""

    line: Attr

    @cached_property
    def bodies(self) -> Sequence[Body]:
        """Each of them, with the fields that the map may say of it."""
        return [Body(kind, only=frozenset(names)) for kind, names in said_of(self.line).items()]

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Every key must be a field of one of them."""
        known = [name for body in self.bodies for name in body.fields]
        for key in node.map:
            if key not in known:
                problems.add(f"unknown field `{key}`", node.keys[key], suggest(key, known), address=path, field=key)
        for body in self.bodies:
            mine = {key: child for key, child in node.map.items() if key in body.fields}
            body.check(Node(node.place, mine, node.keys), path, problems, place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An object with the fields of all."""
        properties: dict[str, Any] = {}
        for body in self.bodies:
            types = body.table.model_json_schema()["properties"]
            properties |= {key: body.property(line, types[key], definitions) for key, line in body.fields.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}


def said_of(line: Attr) -> Mapping[str, Sequence[str]]:
    """What is made along with an object: kind to the fields that the line's map says of it."""

    def sayable(kind: str) -> list[str]:
        lines = kinds()[kind].attrs().items()
        return [
            name
            for name, each in lines
            if not (each.own or each.along or each.create_only or each.immutable or each.brought)
        ]

    return {kind: names or sayable(kind) for kind, names in (line.along or {}).items()}


def ownership(kind: str) -> Mapping[str, Form]:
    """The words about who owns the fields of a kind."""
    fields = [name for name, line in kinds()[kind].attrs().items() if not line.own]
    owner = Named("owner", Text(" ".join(f"{name}: {text}" for name, text in POLICIES.items()), tuple(POLICIES)))
    lifecycle: Mapping[str, Form] = {
        "prevent_destroy": Flag("Refuse every plan that would destroy it."),
        "ignore_changes": Items(Text("A field.", fields), "Fields that are written at birth alone."),
    }
    owns = [name for name, line in kinds()[kind].attrs().items() if line.own]
    inside = {name: f"each of them says it for itself: `{name}: {{KEY: {{policy: …}}}}`" for name in owns}
    policy = Fields(dict.fromkeys(fields, owner), "Who owns a field: field to policy.", nothing=True, elsewhere=inside)
    return {
        "policy": Named(f"{kind}_policy", policy),
        "lifecycle": Named(f"{kind}_lifecycle", Fields(lifecycle, "What may become of it.", nothing=True)),
    }


def never(field: str) -> str:
    """What to say about a null where the server knows none."""
    return f"`{field}` cannot be cleared on the server"


UNMANAGED = "leave the line out, or write `!unset`, to leave the field unmanaged"


def partial(line: Attr, value: Any) -> Any:
    """`value` without the entries that a null takes away from a partial map."""
    if line.partial and isinstance(value, dict):
        return {key: item for key, item in value.items() if item is not None}
    return value


def loose(schema: Any) -> Any:
    """A JSON Schema in whose inner values expressions may stand."""
    if not isinstance(schema, dict):
        return schema
    inner = {key: value for key, value in schema.items() if key != "title"}
    for key in ("items", "additionalProperties"):
        if isinstance(inner.get(key), dict):
            inner[key] = expressible(loose(inner[key]))
    if "properties" in inner:
        inner["properties"] = {key: expressible(loose(value)) for key, value in inner["properties"].items()}
    return inner


def expressible(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema`, or a text with an expression in it."""
    free = not schema or (schema.get("type") == "string" and not {"enum", "pattern", "minLength"} & schema.keys())
    return schema if free else {"anyOf": [schema, dict(EXPRESSION)]}


def nullable(schema: Any) -> Any:
    """`schema`, or null."""
    if not isinstance(schema, dict) or not schema:
        return schema
    if "anyOf" in schema:
        return schema | {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}
