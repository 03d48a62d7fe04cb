"""Forms of the objects of each kind: their fields, own objects, companions and ownership settings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds, sections
from lettaform.kinds.base import POLICIES, Attr, Kind, Never
from lettaform.kinds.traits import Companions, DiscoveredBy, Parts, SourceFile
from lettaform.manifest.conditions import FORM, conditional_fields, conditions, unconditional, with_conditions
from lettaform.manifest.form import (
    EXPRESSION,
    Definitions,
    Entries,
    Fields,
    Flag,
    Form,
    Items,
    Named,
    Text,
    report_type,
)
from lettaform.manifest.node import UNSET, Node, is_external
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.types import flaws, plain, shown_at
from lettaform.manifest.words import field_hint

NOT_OF_EXTERNALS = "remove the line; an external object has only `name`, `id`, or `stack` and `address`"
RECOMPILE = ("agents", "none")
"""What `lifecycle.recompile` may say."""
UNMANAGED = "remove the line, or write `!unset`, to leave the field unmanaged"


@dataclass(frozen=True)
class Body:
    """The fields of an object of a kind.

    settings  forms of the keys that are not fields: `for_each`, `lifecycle`, …
    name      of the definition in the JSON Schema
    own       the object is part of another one: its key is its name
    only      the fields that are allowed here; None for all
    doc       what it is, for the JSON Schema; empty: what the kind is
    hints     what to do instead, by a key that is not allowed
    """

    kind: str
    settings: Mapping[str, Form] = field(default_factory=dict)
    name: str = ""
    own: bool = False
    only: frozenset[str] | None = None
    doc: str = ""
    hints: Mapping[str, str] = field(default_factory=dict)

    @property
    def table(self) -> type[Kind]:
        """The kind."""
        return kinds()[self.kind]

    @property
    def short(self) -> str | None:
        """The field that a text in place of the whole map sets."""
        return self.table.part.short if self.own else None

    @cached_property
    def fields(self) -> Mapping[str, Attr]:
        """The allowed fields."""
        key = self.table.name_field if self.own else None
        lines = {name: line for name, line in self.table.attrs().items() if name != key}
        return {name: line for name, line in lines.items() if self.only is None or name in self.only}

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a map with known fields, each of its type."""
        if self.short and (node.text is not None or node.tag):
            node = Node(node.place, {self.short: node}, {self.short: node.place})
        if isinstance(node.value, dict):
            self.check_map(node, path, problems, path)
            return
        expected = "a text or a map" if self.short else "a map"
        if node.null and self.own:
            hint = "write `!unset` to remove what `defaults` sets"
            problems.add(f"{path}: expected {expected}, got null", place, hint, field=path)
        elif not node.null:
            report_type(node, expected, path, problems, place, form=self._form(node))

    def _form(self, node: Node) -> dict[str, Any] | None:
        """The map that a text probably means: with the path of its source, or with its text."""
        short = self.table.part.short
        for name, line in self.fields.items():
            source, text = line.related(SourceFile), node.text or ""
            if text.endswith(tuple(source.endings)) if source else text and name == short:
                return {name: text}
        return None

    def check_map(self, node: Node, path: str, problems: Problems, owner: str) -> None:
        """Check the members of a map. `owner`: the path of the object whose problems they are."""
        self.check_settings(node, path, problems, owner)
        for name, condition in conditions(node):
            FORM.check(condition, f"{path}.{name}", problems, condition.place)
        node = unconditional(node, conditional_fields(node), lambda condition: True)
        typed = {}
        for name, child in node.value.items():
            line = self.fields.get(name)
            if line is None or child.tag == UNSET:
                continue
            if child.null and is_external(node):
                problems.add(not_of_externals(name), node.keys[name], NOT_OF_EXTERNALS, address=_address(owner))
            elif child.null:
                if line.clear is Never:
                    problems.add(cannot_clear(name), node.at(name), UNMANAGED, address=_address(owner), field=name)
            elif line.related(Parts):
                self.own_objects(line).check(child, f"{path}.{name}", problems, node.at(name))
            elif line.related(Companions) and child.map:
                CompanionFields(line).check(child, f"{path}.{name}", problems, owner)
            else:
                typed[name] = line.without_removed(plain(child))
        for flaw in flaws(self.table, typed):
            where, deferred = shown_at(node, flaw)
            if not (deferred or flaw.missing):
                secret = self.fields[str(flaw.path[0])].secret
                message = flaw.message(secret=secret)
                problems.add(message, where, flaw.hint, address=_address(owner), field=flaw.field, secret=secret)

    def check_settings(self, node: Node, path: str, problems: Problems, owner: str) -> None:
        """Check the keys that are not fields."""
        for key, child in node.value.items():
            if key in self.fields:
                continue
            if key in self.settings:
                if child.tag != UNSET:
                    self.settings[key].check(child, f"{path}.{key}", problems, node.at(key))
            elif self.own and key == self.table.name_field:
                message = f"`{key}` cannot be set: the key of an own {self.kind} is its `{key}`"
                problems.add(message, node.keys[key], "remove the line", address=_address(owner), field=key)
            else:
                hint = self.hints.get(key) or field_hint(self.kind, self.table, key)
                hint = hint or suggest(key, [*self.fields, *self.settings])
                problems.add(f"unknown field `{key}`", node.keys[key], hint, address=_address(owner), field=key)

    def own_objects(self, line: Attr) -> Entries:
        """The form of a field whose values are objects that are part of this one."""
        parts = line.related(Parts)
        assert parts is not None
        return _own_objects(parts.kind, line.doc)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """A reference to its definition."""
        name = self.name or self.kind
        if name not in definitions:
            definitions[name] = {}
            model = self.table.model_json_schema()
            definitions |= _maps(model)
            lines, types = self.fields, model["properties"]
            properties = {key: self.property(line, types[key], definitions) for key, line in lines.items()}
            properties |= {key: form.schema(definitions) for key, form in self.settings.items() if key not in lines}
            definitions[name] = {
                "description": self.doc or (self.table.__doc__ or "").strip(),
                "type": "object" if self.own else ["object", "null"],
                "properties": properties,
                "additionalProperties": False,
            }
        reference = {"$ref": f"#/$defs/{name}"}
        return {"anyOf": [{"type": "string"}, reference]} if self.short else reference

    def property(self, line: Attr, model: dict[str, Any], definitions: Definitions) -> dict[str, Any]:
        """The JSON Schema of one field, from that of its type."""
        if line.related(Parts):
            return self.own_objects(line).schema(definitions)
        if line.related(Companions):
            companions = CompanionFields(line).schema(definitions)
            return {"description": line.doc, "anyOf": [{"type": "boolean"}, companions, EXPRESSION]}
        schema = _with_inner_expressions(
            {key: value for key, value in model.items() if key not in ("default", "title", "description")}
        )
        schema = with_conditions(schema, definitions)
        if line.partial and not line.merges and "additionalProperties" in schema:
            schema["additionalProperties"] = _nullable(schema["additionalProperties"])
        schema = _or_expression(schema)
        return {"description": line.doc} | (schema if line.clear is Never else _nullable(schema))


@dataclass(frozen=True)
class CompanionFields:
    """A map with fields of the objects that the server creates together with another object."""

    line: Attr

    @cached_property
    def bodies(self) -> Sequence[Body]:
        """The form of each of these objects, with the fields that the map may set."""
        return [Body(kind, only=frozenset(names)) for kind, names in companion_fields(self.line).items()]

    def check(self, node: Node, path: str, problems: Problems, owner: str) -> None:
        """Every key must be a field of one of them. `owner`: the path of the object that has the map."""
        known = [name for body in self.bodies for name in body.fields]
        for key in node.map:
            if key not in known:
                hint, address = suggest(key, known), _address(owner)
                problems.add(f"unknown field `{key}`", node.keys[key], hint, address=address, field=key)
        for body in self.bodies:
            settings = {key: child for key, child in node.map.items() if key in body.fields}
            body.check_map(Node(node.place, settings, node.keys), path, problems, owner)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An object with the fields of all of them."""
        properties: dict[str, Any] = {}
        for body in self.bodies:
            types = body.table.model_json_schema()["properties"]
            properties |= {key: body.property(line, types[key], definitions) for key, line in body.fields.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}


def companion_fields(line: Attr) -> Mapping[str, Sequence[str]]:
    """The kinds that the server creates with an object if `line` is set, each with the fields that the map may set."""
    return (
        {kind: names or list(changeable(kind)) for kind, names in companions.kinds.items()}
        if (companions := line.related(Companions))
        else {}
    )


def changeable(kind: str) -> Iterator[str]:
    """The fields of an object that can be set after its creation."""
    for name, line in kinds()[kind].attrs().items():
        if not (isinstance(line.relation, Parts | Companions | DiscoveredBy) or line.create_only or line.immutable):
            yield name


@cache
def _own_objects(kind: str, doc: str) -> Entries:
    return Entries(Body(kind, ownership(kind), f"own_{kind}", own=True), doc, nullable=False)


def ownership(kind: str) -> Mapping[str, Form]:
    """The forms of `policy` and `lifecycle` of a kind."""
    fields = [name for name, line in kinds()[kind].attrs().items() if not line.related(Parts)]
    lifecycle: Mapping[str, Form] = {
        "prevent_destroy": Flag("Whether to reject every plan that deletes or replaces the object. Default: false."),
        "ignore_changes": Items(
            Text("The name of a field.", fields), "Fields that are set at creation and never updated."
        ),
    }
    if kinds()[kind].compiled and kinds()[kind].call:
        limited = Text(
            "What to recompile after a change to the prompt. Default: the agent and all its conversations.", RECOMPILE
        )
        lifecycle = {**lifecycle, "recompile": limited}
    owns = [line.name for line, _ in kinds()[kind].relations(Parts)]
    elsewhere = {name: f"set the policy of each entry: `{name}: {{KEY: {{policy: …}}}}`" for name in owns}
    return {
        "policy": Named(f"{kind}_policy", policies_of(kind, fields, elsewhere)),
        "lifecycle": Named(f"{kind}_lifecycle", Fields(lifecycle, "How the object may change.", nullable=True)),
    }


def policies_of(kind: str, fields: Iterable[str], elsewhere: Mapping[str, str] = {}) -> Fields:
    """The form of the policies of these fields of a kind. `elsewhere`: as of `Fields`."""
    lines = kinds()[kind].attrs()
    forms = {name: _policy(mergeable=lines[name].mergeable) for name in fields}
    return Fields(forms, "The policy of each field, by field name.", nullable=True, elsewhere=elsewhere)


def _policy(*, mergeable: bool) -> Form:
    """The form of the policy of a field. Only free texts can be merged."""
    policies = {name: text for name, text in POLICIES.items() if mergeable or name != "merge"}
    return Named(
        "text_owner" if mergeable else "owner",
        Text(" ".join(f"{n}: {t}" for n, t in policies.items()), tuple(policies)),
    )


def cannot_clear(field: str) -> str:
    """The problem with a null in a field that the server cannot clear."""
    return f"`{field}` cannot be null: the server cannot clear it"


def not_of_externals(field: str) -> str:
    """The problem with a field of an object that is managed elsewhere."""
    return f"`{field}` cannot be set: external objects are never changed"


def _address(path: str) -> Address | None:
    """The object at a path; None if the path is inside `defaults` or an environment."""
    try:
        address = Address.parse(path)
    except ValueError:
        return None
    return address if address.section in sections() else None


# --- JSON Schema -----------------------------------------------------------------------------------------------------


def _maps(model: Mapping[str, Any]) -> Definitions:
    """The definitions of the maps in the JSON Schema of a kind.

    Maps merge key by key with `defaults` and environments, so that any key may be left out. Items of lists do not.
    """
    items = json.dumps([part["items"] for part in _parts(model) if "items" in part])
    definitions = {name: _with_inner_expressions(each) for name, each in model.get("$defs", {}).items()}
    for name, definition in definitions.items():
        if f'"#/$defs/{name}"' not in items:
            definition.pop("required", None)
    return definitions


def _parts(schema: Any) -> Iterator[Mapping[str, Any]]:
    """A JSON Schema and everything in it."""
    if isinstance(schema, Mapping):
        yield schema
    inner = schema.values() if isinstance(schema, Mapping) else schema if isinstance(schema, list) else ()
    for each in inner:
        yield from _parts(each)


def _with_inner_expressions(schema: Any) -> Any:
    """A JSON Schema whose inner values may be expressions."""
    if not isinstance(schema, dict):
        return schema
    inner = {key: value for key, value in schema.items() if key not in ("title", "default", "discriminator")}
    for key in ("items", "additionalProperties"):
        if isinstance(inner.get(key), dict):
            inner[key] = _or_expression(_with_inner_expressions(inner[key]))
    for key in ("anyOf", "oneOf"):
        if key in inner:
            inner[key] = [_with_inner_expressions(each) for each in inner[key]]
    if "properties" in inner:
        properties = inner["properties"].items()
        inner["properties"] = {key: _or_expression(_with_inner_expressions(value)) for key, value in properties}
    # several maps without required keys may match, where an expression decides which of them it is
    return {"anyOf" if key == "oneOf" else key: value for key, value in inner.items()}


def _or_expression(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema`, or a text that contains an expression."""
    closed = {"enum", "const", "pattern", "minLength"} & schema.keys()
    if not schema or (schema.get("type") == "string" and not closed):
        return schema
    about = {key: schema[key] for key in ("description",) if key in schema}
    value = {key: each for key, each in schema.items() if key not in about}
    return about | {"anyOf": [*_alternatives(value), dict(EXPRESSION)]}


def _alternatives(schema: dict[str, Any]) -> list[Any]:
    """The alternatives of a JSON Schema, each of them without alternatives."""
    return [each for one in schema["anyOf"] for each in _alternatives(one)] if [*schema] == ["anyOf"] else [schema]


def _nullable(schema: Any) -> Any:
    """`schema`, or null."""
    if not isinstance(schema, dict) or not schema:
        return schema
    if "anyOf" in schema:
        return schema | {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}
