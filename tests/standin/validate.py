"""A body checked against a table of its fields; 422 in the words of pydantic.

The type of a field: `str int bool num dict list strs env any`, `id:tool`, `ids:tool`, `enum:a|b`, `int:1:9`,
`map:tool_rules`; `!` required, `?` or null, `!?` both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from tests.standin import maps
from tests.standin.server import UUID4, Body, invalid

Fault = tuple[str, str]
_PLAIN: Mapping[str, tuple[type | tuple[type, ...], Fault]] = {
    "str": (str, ("string_type", "Input should be a valid string")),
    "bool": (bool, ("bool_type", "Input should be a valid boolean")),
    "dict": (dict, ("dict_type", "Input should be a valid dictionary")),
    "list": (list, ("list_type", "Input should be a valid list")),
    "num": ((int, float), ("float_type", "Input should be a valid number")),
}


def check(body: Any, fields: Mapping[str, str], *, closed: bool = False, at: tuple[Any, ...] = ("body",)) -> Body:
    """The valid body. `closed`: a key that is in no field is an error."""
    if errors := faults(body, fields, closed=closed, at=at):
        raise invalid(errors)
    return {name: _stored(value, fields.get(name, "any")) for name, value in body.items()}


def _stored(value: Any, word: str) -> Any:
    sort, _, name = word.rstrip("!?").partition(":")
    partial = name in ("model_settings", "compaction_settings")  # what a request leaves out is no default
    return maps.stored(name, value, given=partial) if sort == "map" and value is not None else value


def faults(
    body: Any, fields: Mapping[str, str], *, closed: bool = False, at: tuple[Any, ...] = ("body",)
) -> list[Body]:
    """All errors of a body, for one 422."""
    if not isinstance(body, dict):
        message = "Input should be a valid dictionary or object to extract fields from"
        return [_error("model_attributes_type", at, message, body)]
    errors = []
    for name, word in fields.items():
        if name in body:
            errors += _faults(body[name], word, (*at, name))
        elif word.endswith(("!", "!?")):
            errors.append(_error("missing", (*at, name), "Field required", body))
    if closed:
        extra = [name for name in body if name not in fields]
        errors += [
            _error("extra_forbidden", (*at, name), "Extra inputs are not permitted", body[name]) for name in extra
        ]
    return errors


def _error(kind: str, at: tuple[Any, ...], message: str, given: Any, **context: Any) -> Body:
    error = {"type": kind, "loc": at, "msg": message, "input": given}
    return error | ({"ctx": context} if context else {})


def _faults(value: Any, word: str, at: tuple[Any, ...]) -> list[Body]:
    if value is None and word.endswith("?"):
        return []
    word, _, more = word.rstrip("!?").partition(":")
    if word == "any":
        return []
    if word == "map":
        return maps.faults(more, value, at)
    if word == "int":
        return _int_faults(value, more, at)
    if word == "enum":
        choices = more.split("|")
        expected = " or ".join(filter(None, [", ".join(map(repr, choices[:-1])), repr(choices[-1])]))
        return [] if value in choices else [_error("enum", at, f"Input should be {expected}", value, expected=expected)]
    if word in ("strs", "ids"):
        if not isinstance(value, list):
            return [_error("list_type", at, "Input should be a valid list", value)]
        each = "str" if word == "strs" else f"id:{more}"
        return [fault for number, item in enumerate(value) for fault in _faults(item, each, (*at, number))]
    if word == "env":
        if not isinstance(value, dict):
            return [_error("dict_type", at, "Input should be a valid dictionary", value)]
        return [fault for key, item in value.items() for fault in _faults(item, "str", (*at, key))]
    if word == "id":
        return _id_faults(value, more, at)
    kind, (code, message) = _PLAIN[word]
    return [] if isinstance(value, kind) else [_error(code, at, message, value)]


def _int_faults(value: Any, bounds: str, at: tuple[Any, ...]) -> list[Body]:
    if isinstance(value, str):
        message = "Input should be a valid integer, unable to parse string as an integer"
        return [] if re.fullmatch(r"-?\d+", value) else [_error("int_parsing", at, message, value)]
    if not isinstance(value, int):
        return [_error("int_type", at, "Input should be a valid integer", value)]
    low, high = map(int, bounds.split(":")) if bounds else (value, value)
    if value < low:
        return [_error("greater_than_equal", at, f"Input should be greater than or equal to {low}", value, ge=low)]
    if value > high:
        return [_error("less_than_equal", at, f"Input should be less than or equal to {high}", value, le=high)]
    return []


def _id_faults(value: Any, kind: str, at: tuple[Any, ...]) -> list[Body]:
    size = len(kind) + 37
    if not isinstance(value, str):
        return [_error("string_type", at, "Input should be a valid string", value)]
    if len(value) < size:
        message = f"String should have at least {size} characters"
        return [_error("string_too_short", at, message, value, min_length=size)]
    if len(value) > size:
        message = f"String should have at most {size} characters"
        return [_error("string_too_long", at, message, value, max_length=size)]
    pattern = f"^{kind}-{UUID4}$"
    if not re.match(pattern, value):
        message = f"String should match pattern '{pattern}'"
        return [_error("string_pattern_mismatch", at, message, value, pattern=pattern)]
    return []
