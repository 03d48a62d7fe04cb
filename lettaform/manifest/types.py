"""Values to the flaws that the types of a kind find in them, with paths and plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from lettaform.errors import Place
from lettaform.kinds.base import Kind
from lettaform.manifest.node import FILE, JSON, UNRESOLVED, UNSET, Node, described
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
    """A value that is not of the type that its kind declares. `given`: the value in words, or empty."""

    path: tuple[str | int, ...]
    expected: str
    given: str
    hint: str | None = None

    @property
    def field(self) -> str:
        """The path as `tool_rules.0.type`."""
        return ".".join(map(str, self.path))

    def message(self, *, secret: bool = False) -> str:
        """The problem for users. `secret`: do not show the value."""
        got = "" if secret or not self.given else f", got {self.given}"
        return f"{self.field}: {self.expected}{got}"


def flaws(kind: type[Kind], values: Mapping[str, Any]) -> list[Flaw]:
    """Every value that is not of the type that `kind` declares, one Flaw per path."""
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


def _names_a_type(step: Any) -> bool:
    """Whether a step of a path was added by pydantic to name the member of a union that it tried."""
    return isinstance(step, str) and (step in ("str", "bool") or step.startswith(("dict[", "list[")))


def _flaw(error: Any) -> Flaw:
    path = tuple(step for step in error["loc"] if not _names_a_type(step))
    about, given = error.get("ctx") or {}, error.get("input")
    name, got = error["type"], described(given)
    if name in _EXPECTED:
        return Flaw(path, f"expected {_EXPECTED[name]}", got, _remedy(_EXPECTED[name], given))
    if name == "literal_error":
        choices = re.findall(r"'([^']*)'", about["expected"])
        hint = suggest(given, choices) if isinstance(given, str) else None
        return Flaw(path, "expected one of the allowed values", got, hint or f"one of: {', '.join(choices)}")
    if name == "string_too_short" and about["min_length"] == 1:
        return Flaw(path, "expected a non-empty text", got)
    if name in _BOUNDS:
        key, words = _BOUNDS[name]
        return Flaw(path, f"expected {words.format(_FORMS.get(str(about[key]), about[key]))}", got)
    if name == "extra_forbidden":
        return Flaw(path, "unknown field", "")
    if name == "missing":
        return Flaw(path, "is required", "")
    return Flaw(path, str(error["msg"]), got)


def _remedy(expected: str, given: Any) -> str | None:
    if expected == "a text" and isinstance(given, bool | int | float):
        return "quote the value"
    if expected == "a list" and isinstance(given, str):
        return f"write a list: `[{given[:40]}]`"
    if isinstance(given, str) and given.strip() and expected in ("a whole number", "a number", "true or false"):
        return "remove the quotes" if re.fullmatch(r"[-+]?\d[\d.]*|true|false", given.strip()) else None
    return None


# --- values as they were written -------------------------------------------------------------------------------------


def plain(node: Node) -> Any:
    """The value as written: expressions are texts, `!unset` fields are left out, `!file` is an empty text."""
    value = node.value
    if isinstance(value, dict):
        return {key: plain(child) for key, child in value.items() if child.tag != UNSET}
    if isinstance(value, list):
        return [plain(child) for child in value]
    return "" if value is UNRESOLVED or node.tag in (FILE, JSON) else value


def find(body: Node, path: Sequence[str | int]) -> tuple[Node, Place, bool]:
    """The value at `path`, or the innermost value around it; where to show it; and whether it is deferred."""
    node, place = body, body.place
    for step in path:
        if node.deferred:
            break
        if isinstance(step, int) and step < len(node.list):
            node = node.list[step]
            place = node.place
        elif str(step) in node.map:
            place = node.at(str(step))
            node = node.map[str(step)]
        else:
            break
    return node, place, node.deferred


def places(body: Node) -> dict[str, Place]:
    """The path of every field, entry and item inside `body`, to the place of its key, or of the item itself."""
    found: dict[str, Place] = {}
    _add_places(body, "", found)
    return found


def _add_places(node: Node, prefix: str, found: dict[str, Place]) -> None:
    value = node.value
    if isinstance(value, dict):
        for key, child in value.items():
            if child.tag != UNSET:
                found[path := prefix + key] = node.keys[key]
                if isinstance(child.value, dict | list):
                    _add_places(child, f"{path}.", found)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            found[path := f"{prefix}{index}"] = child.place
            if isinstance(child.value, dict | list):
                _add_places(child, f"{path}.", found)
