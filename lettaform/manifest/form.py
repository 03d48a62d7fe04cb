"""Forms: each checks one kind of value in a manifest, and describes it as JSON Schema.

Only what is written literally is checked here. The values of expressions are checked when they are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.manifest.node import UNSET, Node, described
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.remedy import QUOTE, remedy
from lettaform.manifest.types import plain

EXPRESSION: Mapping[str, Any] = {"type": "string", "pattern": r"\$\{|\.(json|csv)$"}
"""What may stand for a value of any type: an expression, or the path that follows `!json` or `!csv`."""
KEY = re.compile(r"[A-Za-z0-9_-]+")
"""Keys that need no quotes."""
Definitions = dict[str, dict[str, Any]]


class Form(Protocol):
    """What may be written in one place of a manifest."""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Report what is wrong with `node`. `path`: its path for messages; `place`: where to show problems."""

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """The JSON Schema. Named schemas are added to `definitions`."""


def entry(path: str, key: str) -> str:
    """The path of an entry of a map whose keys users choose, spelled as in addresses."""
    return str(Address.of(path, key))


def matches(pattern: str, text: str) -> bool:
    """Whether `text` contains a match. `$` matches only at the very end."""
    return re.search(pattern.replace("$", r"\Z"), text) is not None


def report_type(
    node: Node, expected: str, path: str, problems: Problems, place: Place, hint: str | None = None, form: Any = None
) -> None:
    """Report that `node` is not of the expected type, unless that has been reported.

    hint  Default: how to write the value
    form  the value that it probably means
    """
    if node.deferred and node.tag:
        problems.add(f"{path}: expected {expected}; `{node.tag}` is not allowed here", node.place, hint, field=path)
    elif not (node.deferred and not isinstance(node.value, str)):
        hint = hint or remedy(expected, node.value, form)
        problems.add(f"{path}: expected {expected}, got {described(node.value)}", place, hint, field=path)


@dataclass(frozen=True)
class Text:
    """A text: one of `choices`, or a text that matches `pattern`. `expected` describes it in messages."""

    doc: str = ""
    choices: Sequence[str] = ()
    pattern: str | None = None
    expected: str = "a text"
    expressions: bool = False

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a text."""
        if self.expressions and node.deferred:
            return
        text = node.text
        if text is None:
            hint = QUOTE if isinstance(node.value, bool | int | float) else None
            report_type(node, self.expected, path, problems, place, hint)
        elif self.choices and text not in self.choices:
            message = f"{path}: expected one of the allowed values, got {described(text)}"
            problems.add(message, node.place, suggest(text, self.choices))
        elif self.pattern and not matches(self.pattern, text):
            problems.add(f"{path}: expected {self.expected}, got {described(text)}", node.place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """A string."""
        about = {"description": self.doc} if self.doc else {}
        if self.choices:
            return about | {"enum": list(self.choices)}
        schema = {"type": "string"} | ({"pattern": self.pattern} if self.pattern else {})
        return about | ({"anyOf": [schema, EXPRESSION]} if self.expressions and self.pattern else schema)


@dataclass(frozen=True)
class Flag:
    """True or false. `beside`: keys that users may write inside of it belong beside it."""

    doc: str = ""
    expressions: bool = True
    beside: bool = False

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a boolean."""
        if not isinstance(node.value, bool) and not (self.expressions and node.deferred):
            form = {path.rpartition(".")[2]: True, **plain(node)} if self.beside and node.map else None
            report_type(node, "true or false", path, problems, place, form=form)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """A boolean."""
        flag = {"type": "boolean"}
        return {"description": self.doc} | ({"anyOf": [flag, EXPRESSION]} if self.expressions else flag)


@dataclass(frozen=True)
class Count:
    """A whole number, not below zero, and not above `maximum`; or null."""

    doc: str = ""
    maximum: int | None = None

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be such a number, written literally."""
        number = node.value
        if node.null:
            return
        expected = "a whole number" if self.maximum is None else f"a whole number up to {self.maximum}"
        if node.deferred or not isinstance(number, int) or isinstance(number, bool):
            hint = "expressions cannot be used here" if node.deferred else None
            problems.add(f"{path}: expected {expected}, got {described(number)}", place, hint, field=path)
        elif number < 0 or (self.maximum is not None and number > self.maximum):
            problems.add(f"{path}: expected {expected}, got {number}", place, field=path)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An integer, or null."""
        most = {} if self.maximum is None else {"maximum": self.maximum}
        return {"description": self.doc, "type": ["integer", "null"], "minimum": 0, **most}


@dataclass(frozen=True)
class Number:
    """A number from `least` to `most`, written literally. `whole`: a whole number. `most`: None: without a limit."""

    doc: str = ""
    least: float = 0
    most: float | None = None
    whole: bool = False

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be such a number."""
        number = node.value
        kind = "a whole number" if self.whole else "a number"
        expected = f"{kind} from {self.least:g}" + ("" if self.most is None else f" to {self.most:g}")
        valid = isinstance(number, int if self.whole else int | float) and not isinstance(number, bool)
        if node.deferred or not valid:
            hint = "expressions cannot be used here" if node.deferred else None
            problems.add(f"{path}: expected {expected}, got {described(number)}", place, hint, field=path)
        elif not self.least <= number <= (number if self.most is None else self.most):
            problems.add(f"{path}: expected {expected}, got {number}", place, field=path)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An integer or a number with its limits."""
        most = {} if self.most is None else {"maximum": self.most}
        kind = "integer" if self.whole else "number"
        return {"description": self.doc, "type": kind, "minimum": self.least, **most}


@dataclass(frozen=True)
class Anything:
    """Any value at all."""

    doc: str = ""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Accepts every value."""

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """No constraint."""
        return {"description": self.doc}


@dataclass(frozen=True)
class Many:
    """A list or a map: the value of `for_each`."""

    doc: str = ""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a list or a map."""
        if not isinstance(node.value, list | dict) and not node.deferred:
            report_type(node, "a list or a map", path, problems, place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An array or an object."""
        return {"description": self.doc, "anyOf": [{"type": "array"}, {"type": "object"}, EXPRESSION]}


@dataclass(frozen=True)
class Items:
    """A list whose items have one form."""

    of: Form
    doc: str = ""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a list."""
        if not isinstance(node.value, list):
            report_type(node, "a list", path, problems, place, form=self._form(node))
        for index, item in enumerate(node.list):
            self.of.check(item, f"{path}.{index}", problems, item.place)

    def _form(self, node: Node) -> list[Any] | None:
        """The list that a map or a text probably means: of one item, or of its first entry."""
        if isinstance(self.of, Fields) and node.map:
            given = plain(node)
            return [given] if given.keys() <= self.of.fields.keys() else self.of.from_entry(*next(iter(given.items())))
        return [node.text] if isinstance(self.of, Text) and node.text else None

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An array."""
        return {"description": self.doc, "type": "array", "items": self.of.schema(definitions)}


@dataclass(frozen=True)
class OneOrMore:
    """A text, or what another form accepts, such as a list of texts."""

    text: Text
    of: Form
    doc: str = ""

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be either."""
        (self.of if isinstance(node.value, list | dict) else self.text).check(node, path, problems, place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """Either schema."""
        return {"description": self.doc, "anyOf": [self.text.schema(definitions), self.of.schema(definitions)]}


@dataclass(frozen=True)
class Entries:
    """A map whose keys users choose, and whose values have one form. `requirement`: what keys must be, for messages."""

    of: Form
    doc: str = ""
    pattern: str = ""
    requirement: str = "not be empty"
    nullable: bool = True

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a map, or null if that is allowed."""
        if not isinstance(node.value, dict):
            if not (self.nullable and node.null):
                report_type(node, "a map", path, problems, place, form=self._form(node))
            return
        for key, child in node.value.items():
            if not key or not matches(self.pattern, key):
                problems.add(f"{path}: the key {key!r} must {self.requirement}", node.keys[key])
            if child.tag != UNSET:
                self.of.check(child, entry(path, key), problems, node.at(key))

    def _form(self, node: Node) -> dict[str, Any] | None:
        """The map that a list probably means, with its first item."""
        first = node.list[0] if node.list else None
        key = first and (first.text or (first.map["name"].text if "name" in first.map else None))
        return {key: plain(first) if first.map else {}} if first and key and KEY.fullmatch(key) else None

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An object with any property names."""
        kind = ["object", "null"] if self.nullable else "object"
        names = {"pattern": self.pattern} if self.pattern else {"minLength": 1}
        entries = {"additionalProperties": self.of.schema(definitions), "propertyNames": names}
        return {"description": self.doc, "type": kind, **entries}


@dataclass(frozen=True)
class Fields:
    """A map with known keys.

    elsewhere  keys that users may expect here: a hint that says where they belong
    short      the key that a value in place of the map is probably meant for
    either     keys of which exactly one is required
    """

    fields: Mapping[str, Form]
    doc: str = ""
    required: Sequence[str] = ()
    nullable: bool = False
    elsewhere: Mapping[str, str] = field(default_factory=dict)
    short: str = ""
    either: Sequence[str] = ()

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Must be a map with known keys."""
        if not isinstance(node.value, dict):
            if not (self.nullable and node.null):
                report_type(node, "a map", path, problems, place, form=self._form(node))
            return
        for key, child in node.value.items():
            if key not in self.fields:
                where = f"{path}: " if path else ""
                hint = self.elsewhere.get(key) or suggest(key, self.fields)
                hint = hint if path else problems.remarked(hint)
                problems.add(f"{where}unknown key `{key}`", node.keys[key], hint, field=path or key)
            elif child.tag != UNSET:
                self.fields[key].check(child, f"{path}.{key}" if path else key, problems, node.at(key))
        for key in self.required:
            if key not in node.map:
                where = f" in {path}" if path else ""
                hint = f"add `{key}: …`" if path else problems.remarked(f"add `{key}: …`")
                problems.add(f"`{key}` is required{where}", place, hint, field=path or key)
        self._check_either(node, path, problems, place)

    def _check_either(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Exactly one of some keys must be there."""
        given = [key for key in self.either if key in node.map]
        names = " or ".join(f"`{key}`" for key in self.either)
        if self.either and not given:
            problems.add(f"{names} is required in {path}", place, f"add `{self.either[0]}: …`", field=path)
        for key in given[1:]:
            problems.add(
                f"{path}: only one of {names} can be given", node.keys[key], "remove one of the two", field=path
            )

    def _form(self, node: Node) -> dict[str, Any] | None:
        """The map that a scalar probably means."""
        if node.tag or isinstance(node.value, list | None):
            return None
        if isinstance(self.fields.get(str(node.value)), Flag):
            return {str(node.value): True}
        key = self.short or (self.required[0] if len(self.required) == 1 else "")
        typed = {"type": "bool" if isinstance(node.value, bool) else "number"} if node.text is None else {}
        return {**(typed if "type" in self.fields else {}), key: node.value} if key else None

    def from_entry(self, key: str, value: Any) -> list[Any] | None:
        """A list of one such map, from an entry whose key is its first required value and whose value is the second."""
        values = (key, value) if isinstance(value, str) else (key,)
        names = (*self.required, *self.either[:1])
        return [dict(zip(names, values, strict=False))] if len(names) <= len(values) else None

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """An object with these properties and no others."""
        properties = {key: form.schema(definitions) for key, form in self.fields.items()}
        schema: dict[str, Any] = {"type": ["object", "null"] if self.nullable else "object", "properties": properties}
        if self.required:
            schema["required"] = list(self.required)
        if self.either:
            schema["oneOf"] = [{"required": [key]} for key in self.either]
        return {"description": self.doc, **schema, "additionalProperties": False}


@dataclass(frozen=True)
class Named:
    """A form that is used in several places, and defined once in the JSON Schema."""

    name: str
    of: Form

    def check(self, node: Node, path: str, problems: Problems, place: Place) -> None:
        """Checks as the form does."""
        self.of.check(node, path, problems, place)

    def schema(self, definitions: Definitions) -> dict[str, Any]:
        """A reference to its definition."""
        if self.name not in definitions:
            definitions[self.name] = {}
            definitions[self.name] = self.of.schema(definitions)
        return {"$ref": f"#/$defs/{self.name}"}
