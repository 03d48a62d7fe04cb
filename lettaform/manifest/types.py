"""Values to the flaws that the types of a kind find in them, with paths and plain words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lettaform.errors import Place
from lettaform.kinds.base import Kind
from lettaform.kinds.maps import EXACT_VERSION
from lettaform.manifest.node import FILE, JSON, UNRESOLVED, UNSET, Node, described
from lettaform.manifest.problems import suggest
from lettaform.manifest.remedy import remedy

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
    "string_pattern_mismatch": ("pattern", "{}"),
}
_FORMS = {".+/.+": "a text of the form `provider/model`", EXACT_VERSION: "an exact version"}
"""Patterns that have a name."""
_FORM_HINTS = {EXACT_VERSION: "write other requirements as the name: `{name: httpx>=0.27}`"}


@dataclass(frozen=True)
class Flaw:
    """A value that is not of the type that its kind declares. `given`: the value in words, or empty.

    unknown  its path ends with a key that does not exist
    missing  its path ends with a key that must be set. `defaults` or an environment may set it.
    """

    path: tuple[str | int, ...]
    expected: str
    given: str
    hint: str | None = None
    unknown: bool = False
    missing: bool = False

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
        for flaw in (_flaw(kind, each) for each in error.errors(include_url=False)):
            other = found.get(flaw.path)
            also = other and f"{other.expected} or {flaw.expected.removeprefix('expected ')}"
            found[flaw.path] = replace(other, expected=also) if other and also and other != flaw else flaw
        # the members of a union that do not fit at all say less than the one that nearly does
        around = {path[:length] for path in found for length in range(len(path))}
        return [flaw for path, flaw in found.items() if path not in around]
    return []


def _flaw(kind: type[Kind], error: Any) -> Flaw:
    path, types = _located(kind, error["loc"])
    about, given = error.get("ctx") or {}, error.get("input")
    name, got = error["type"], described(given)
    if given is None and len(path) == 2 and kind.attrs()[str(path[0])].merges:
        return Flaw(path, "cannot be null: the server cannot clear it", "", "remove the line, or set another value")
    if name in _EXPECTED:
        expected = _EXPECTED[name]
        return Flaw(path, f"expected {expected}", got, remedy(expected, given, _form(types[-1], given)))
    if name == "literal_error":
        return _no_choice(path, re.findall(r"'([^']*)'", about["expected"]), given)
    if name.startswith("union_tag"):
        by = about["discriminator"].strip("'")
        choices = [choice for member in _members(types[-1]) for choice in _choices(member, by)]
        if name == "union_tag_invalid":
            return _no_choice((*path, by), choices, given[by])
        return Flaw((*path, by), "is required", "", f"one of: {', '.join(choices)}", missing=True)
    if name == "string_too_short" and about["min_length"] == 1:
        return Flaw(path, "expected a non-empty text", got)
    if name == "too_short" and about["min_length"] == 1:
        return Flaw(path, f"expected a non-empty {'list' if isinstance(given, list) else 'map'}", "")
    if name in _BOUNDS:
        key, words = _BOUNDS[name]
        bound = str(about[key])
        return Flaw(path, f"expected {words.format(_FORMS.get(bound, about[key]))}", got, _FORM_HINTS.get(bound))
    if name == "extra_forbidden":
        return _unknown(path, types, error["loc"][-2])
    if name == "missing":
        return Flaw(path, "is required", "", f"add `{path[-1]}: …`", missing=True)
    return Flaw(path, str(error["msg"]), got)


def _no_choice(path: tuple[str | int, ...], choices: Sequence[str], given: Any) -> Flaw:
    hint = suggest(given, choices) if isinstance(given, str) else None
    return Flaw(path, "expected one of the allowed values", described(given), hint or f"one of: {', '.join(choices)}")


def _unknown(path: tuple[str | int, ...], types: Sequence[Any], tag: str | int) -> Flaw:
    """The flaw of a key that its map does not have. `tag`: the last step of the place before the key."""
    key, here = str(path[-1]), types[-2]
    if any(key in _keys(each) for each in _members(types[-3] if len(types) > 2 else None)):
        by = next(by for by in _keys(here) if tag in _choices(here, by))
        return Flaw(path, f"is not allowed with `{by}: {tag}`", "", "remove the line", unknown=True)
    return Flaw(path, "unknown key", "", suggest(key, _keys(here)), unknown=True)


# --- the types of a kind ---------------------------------------------------------------------------------------------


def _located(kind: type[Kind], loc: Sequence[str | int]) -> tuple[tuple[str | int, ...], list[Any]]:
    """The keys and indexes of a place, and the types on the way to it, outermost first.

    Pydantic also names the member of each union that it tried: such steps are no keys.
    """
    path: list[str | int] = []
    types: list[Any] = [kind]
    for step in loc:
        if members := _members(types[-1]):
            types.append(next((each for each in members if _is_named(each, step)), None))
        else:
            path.append(step)
            types.append(_plain(_inside(types[-1], step)))
    return tuple(path), types


def _plain(annotation: Any) -> Any:
    """A type without null and without what is said about it."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    others = [each for each in get_args(annotation) if each is not type(None)]
    return _plain(others[0]) if get_origin(annotation) in (Union, UnionType) and len(others) == 1 else annotation


def _members(annotation: Any) -> list[Any]:
    """The members of a union; empty for other types."""
    is_union = get_origin(annotation) in (Union, UnionType)
    return [_plain(each) for each in get_args(annotation) if each is not type(None)] if is_union else []


def _is_named(member: Any, step: str | int) -> bool:
    """Whether a step names a member of a union: by the value of its `type`, or by the name of the Python type."""
    name = getattr(get_origin(member) or member, "__name__", "")
    return step == name or str(step).startswith(f"{name}[") or any(step in _choices(member, by) for by in _keys(member))


def _inside(annotation: Any, step: str | int) -> Any:
    """The type of what is at one step inside of a value."""
    if step in (known := _keys(annotation)):
        return known[str(step)]
    return get_args(annotation)[-1] if get_origin(annotation) in (list, dict) else None


def _keys(annotation: Any) -> Mapping[str, Any]:
    """The keys of a map, with their types; empty for other types."""
    is_map = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return {name: field.annotation for name, field in annotation.model_fields.items()} if is_map else {}


def _choices(annotation: Any, key: str) -> tuple[str, ...]:
    """The values that a key of a map may have, if they are listed."""
    inner = _keys(annotation).get(key)
    return get_args(inner) if get_origin(inner) is Literal else ()


# --- hints -----------------------------------------------------------------------------------------------------------


def _form(annotation: Any, given: Any) -> Any:
    """The value of a type that `given`, which is of another type, probably means; None if there is none."""
    if get_origin(annotation) is list:
        item = _plain(get_args(annotation)[0])
        if isinstance(given, Mapping) and item is str:
            return list(given)
        one = given if item is str or str in _members(item) else _form(item, given)
        return [one] if isinstance(given, str) and one is not None else None
    forms = (_with_text(each, given) for each in _members(annotation) or [annotation])
    return next((form for form in forms if form is not None), None) if isinstance(given, str) else None


def _with_text(annotation: Any, text: str) -> dict[str, Any] | None:
    """A map that requires no more than `text`, or has it among the values of a key; None if it requires more."""
    form: dict[str, Any] = {}
    required = {name: inner for name, inner in _keys(annotation).items() if annotation.model_fields[name].is_required()}
    for name, inner in (required or _keys(annotation)).items():
        if text in _choices(annotation, name) or (inner is str and name in required):
            form[name] = text
        elif name in required and get_origin(inner) is dict:
            form[name] = {}
        elif name in required:
            return None
    return form if list(form.values()).count(text) == 1 else None


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


def shown_at(body: Node, flaw: Flaw) -> tuple[Place, bool]:
    """Where to show a flaw; and whether the value there is deferred."""
    _, place, deferred = find(body, flaw.path)
    if flaw.unknown:
        around, _, _ = find(body, flaw.path[:-1])
        place = around.keys.get(str(flaw.path[-1]), place)
        deferred = around.deferred
    return place, deferred


def places(body: Node, texts: dict[str, Node] | None = None) -> dict[str, Place]:
    """The path of every field, entry and item inside `body`, to the place of its key, or of the item itself.

    texts  gets the paths of the entries whose text is that of a file, with the value that names it
    """
    found: dict[str, Place] = {}
    _add_places(body, "", found, {} if texts is None else texts)
    return found


def _add_places(node: Node, prefix: str, found: dict[str, Place], texts: dict[str, Node]) -> None:
    value = node.value
    if isinstance(value, dict):
        for key, child in value.items():
            if child.tag != UNSET:
                found[path := prefix + key] = node.keys[key]
                if isinstance(child.value, dict | list):
                    _add_places(child, f"{path}.", found, texts)
                elif child.tag == FILE:
                    texts[path] = child
    elif isinstance(value, list):
        for index, child in enumerate(value):
            found[path := f"{prefix}{index}"] = child.place
            if isinstance(child.value, dict | list):
                _add_places(child, f"{path}.", found, texts)
