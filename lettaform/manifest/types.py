"""A kind's types held against values: what is wrong, in plain words, and exactly where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from lettaform.errors import Place
from lettaform.kinds.base import Kind
from lettaform.manifest.node import FILE, HOLE, JSON, UNSET, Node, described
from lettaform.manifest.problems import suggest

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "a map",
    "model_type": "a map",
    "model_attributes_type": "a map",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least {}"),
    "greater_than": ("gt", "more than {}"),
    "less_than_equal": ("le", "at most {}"),
    "less_than": ("lt", "less than {}"),
    "string_too_short": ("min_length", "a text of at least {} characters"),
    "string_too_long": ("max_length", "a text of at most {} characters"),
    "too_short": ("min_length", "at least {} items"),
    "too_long": ("max_length", "at most {} items"),
    "string_pattern_mismatch": ("pattern", "a text of the form {}"),
}
_FORMS = {".+/.+": "`provider/model`"}
"""Patterns that have a name."""


@dataclass(frozen=True)
class Flaw:
    """A value that its kind does not take. `given`: the value, in words."""

    path: tuple[str | int, ...]
    expected: str
    given: str
    hint: str | None = None

    @property
    def field(self) -> str:
        """The path as `tool_rules.0.type`."""
        return ".".join(map(str, self.path))

    def message(self, *, secret: bool = False) -> str:
        """What is wrong; of a secret value only that it is."""
        got = "" if secret or not self.given else f", got {self.given}"
        return f"{self.field}: {self.expected}{got}"


def flaws(kind: type[Kind], values: Mapping[str, Any]) -> list[Flaw]:
    """Everything in `values` that is not of the types that `kind` declares."""
    try:
        kind.model_validate(values)
    except ValidationError as error:
        found: dict[tuple[Any, ...], Flaw] = {}
        for flaw in map(_flaw, error.errors(include_url=False)):
            other = found.get(flaw.path)
            also = other and f"{other.expected} or {flaw.expected.removeprefix('expected ')}"
            found[flaw.path] = replace(other, expected=also) if other and also else flaw
        return list(found.values())
    return []


def _told(step: Any) -> bool:
    """Whether a step of a path is one of pydantic's, about which of several types was tried."""
    return isinstance(step, str) and (step in ("str", "bool") or step.startswith(("dict[", "list[")))


def _flaw(error: Any) -> Flaw:
    path = tuple(step for step in error["loc"] if not _told(step))
    about, given = error.get("ctx") or {}, error.get("input")
    name, got = error["type"], described(given)
    if name in _EXPECTED:
        return Flaw(path, f"expected {_EXPECTED[name]}", got, _remedy(_EXPECTED[name], given))
    if name == "literal_error":
        choices = re.findall(r"'([^']*)'", about["expected"])
        hint = suggest(given, choices) if isinstance(given, str) else None
        return Flaw(path, "expected one of its values", got, hint or f"one of: {', '.join(choices)}")
    if name == "string_too_short" and about["min_length"] == 1:
        return Flaw(path, "expected a text that is not empty", got)
    if name in _BOUNDS:
        key, words = _BOUNDS[name]
        return Flaw(path, f"expected {words.format(_FORMS.get(str(about[key]), about[key]))}", got)
    if name == "extra_forbidden":
        return Flaw(path, "unknown field", "")
    if name == "missing":
        return Flaw(path, "must be given", "")
    return Flaw(path, str(error["msg"]), got)


def _remedy(expected: str, given: Any) -> str | None:
    if expected == "a text" and isinstance(given, bool | int | float):
        return "put it in quotes"
    if expected == "a list" and isinstance(given, str):
        return f"write a list: [{given[:40]}]"
    if isinstance(given, str) and given.strip() and expected in ("a whole number", "a number", "true or false"):
        return "write it without quotes" if re.fullmatch(r"[-+]?\d[\d.]*|true|false", given.strip()) else None
    return None


# --- values as they were written -------------------------------------------------------------------------------------


def plain(node: Node) -> Any:
    """The value as it stands there: expressions are texts still, and what is unset is not there."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items() if child.tag != UNSET}
    if isinstance(value, list):
        return [plain(child) for child in value]
    return "" if value is HOLE or node.tag in (FILE, JSON) else value


def find(body: Node, path: Sequence[str | int]) -> tuple[Node, Place, bool]:
    """The value at `path` or the nearest around it, where to show it, and whether it is still open."""
    node, place = body, body.place
    for step in path:
        if node.open:
            break
        if isinstance(step, int) and step < len(node.list):
            node = node.list[step]
            place = node.place
        elif str(step) in node.map:
            place = node.at(str(step))
            node = node.map[str(step)]
        else:
            break
    return node, place, node.open


def places(body: Node, prefix: str = "") -> Iterator[tuple[str, Place]]:
    """Where every field, entry and item inside `body` was written: its key, or the item itself."""
    for key, child in body.map.items():
        if child.tag != UNSET:
            yield f"{prefix}{key}", body.keys[key]
            yield from places(child, f"{prefix}{key}.")
    for index, child in enumerate(body.list):
        yield f"{prefix}{index}", child.place
        yield from places(child, f"{prefix}{index}.")
