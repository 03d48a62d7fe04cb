"""The functions of expressions: values to a value. Pure and bounded; `evaluate` knows references, secrets and files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lettaform.manifest.data import csv_value, json_value, yaml_value

MOST = 1_000_000
"""The maximum number of items of a `range`."""
WIDEST = 1000
"""The maximum width of a number in `format`."""

Sort = Literal["text", "number", "list", "map", "scalar", "texts", "members", "any"]
SORTS: Mapping[Sort, str] = {
    "text": "a text",
    "number": "a whole number",
    "list": "a list",
    "map": "a map",
    "scalar": "a text, a number, true or false",
    "texts": "a list of texts and numbers",
    "members": "a text, a list or a map",
    "any": "any value",
}
"""What an argument may be, in words."""


@dataclass(frozen=True)
class Function:
    """One function.

    signature  how it is written
    doc        what it returns
    takes      what each argument must be; the last one repeats if `more`
    call       the arguments to the value. Raises ValueError with a message for users
    least      the minimum number of arguments. Default: all of `takes`
    more       whether there can be more arguments than in `takes`
    moves      whether it only chooses or arranges values: references and secrets stay what they are
    """

    signature: str
    doc: str
    takes: tuple[Sort, ...]
    call: Callable[..., Any]
    least: int = -1
    more: bool = False
    moves: bool = False

    def count(self, given: int) -> str | None:
        """What is wrong with a number of arguments; None if nothing is."""
        least = len(self.takes) if self.least < 0 else self.least
        if given >= least and (self.more or given <= len(self.takes)):
            return None
        most = "" if self.more else f" to {len(self.takes)}" if len(self.takes) > least else ""
        wanted = f"at least {least}" if self.more else f"{least}{most}"
        plural = "" if wanted.endswith(" 1") or wanted == "1" else "s"
        return f"takes {wanted} argument{plural}, got {given}"

    def sort(self, index: int) -> Sort:
        """What the argument at an index must be."""
        return self.takes[min(index, len(self.takes) - 1)]


def fits(sort: Sort, value: Any) -> bool:
    """Whether a value without references and secrets is of a sort."""
    match sort:
        case "text":
            return isinstance(value, str)
        case "number":
            return isinstance(value, int) and not isinstance(value, bool)
        case "list":
            return isinstance(value, list)
        case "map":
            return isinstance(value, Mapping)
        case "scalar":
            return isinstance(value, str | int | float | bool)
        case "texts":
            return isinstance(value, list) and all(isinstance(each, str | int | float | bool) for each in value)
        case "members":
            return isinstance(value, str | list | Mapping)
        case "any":
            return True


def shown(value: Any) -> str:
    """A scalar as a part of a text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


# --- texts -----------------------------------------------------------------------------------------------------------


def _split(separator: str, text: str) -> list[str]:
    if not separator:
        raise ValueError("the separator must not be empty")
    return text.split(separator)


def _replace(text: str, old: str, new: str) -> str:
    if not old:
        raise ValueError("the text to replace must not be empty")
    return text.replace(old, new)


_PLACEHOLDER = re.compile(r"%(?:%|s|(0?)(\d*)d|(.?))")


def template(text: str, given: int) -> list[str | tuple[int, int | None]]:
    """A template of `format` as literals, and as indexes of arguments with the width of a number, or None for a text.

    Raises ValueError unless each of `given` arguments has one placeholder.
    """
    found: list[str | tuple[int, int | None]] = []
    last = index = 0
    for each in _PLACEHOLDER.finditer(text):
        found.append(text[last : each.start()])
        last = each.end()
        if each[0] == "%%":
            found.append("%")
        elif each[3] is not None:
            raise ValueError(f"`{each[0]}` is no placeholder: write %s, %d, %03d, or %% for a percent sign")
        else:
            width = None if each[0] == "%s" else int(each[2] or 0)
            if width is not None and (width > WIDEST or (each[2] and not each[1])):
                raise ValueError(f"`{each[0]}` is no placeholder: write %d, or %03d for three digits with zeros")
            found.append((index, width))
            index += 1
    if index != given:
        raise ValueError(f"the template has {index} placeholders for {given} values")
    return [*found, text[last:]]


def filled(value: Any, width: int | None) -> str:
    """One value of `format`."""
    if width is None:
        return shown(value)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        value = int(value)
    if not fits("number", value):
        raise ValueError("%d needs a whole number")
    return f"{value:0{width}d}" if width else str(value)


def _format(text: str, *values: Any) -> str:
    return "".join(
        each if isinstance(each, str) else filled(values[each[0]], each[1]) for each in template(text, len(values))
    )


def _number(text: Any) -> int | float:
    if fits("number", text) or isinstance(text, float):
        return text  # type: ignore[no-any-return]  # a number
    if isinstance(text, str) and re.fullmatch(r"-?\d{1,18}(\.\d{1,17})?", text.strip()):
        return float(text) if "." in text else int(text)
    raise ValueError(f"{text!r} is not a number")


# --- lists and maps --------------------------------------------------------------------------------------------------


def _contains(members: Any, value: Any) -> bool:
    if isinstance(members, str):
        return str(value) in members
    return any(same(value, each) for each in members)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal. `true` is not 1, and a text is not a number."""
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    return bool(one == other)


def _range(*bounds: int) -> list[int]:
    start, end, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    if not step:
        raise ValueError("the step must not be 0")
    found = range(start, end, step)
    if len(found) > MOST:
        raise ValueError(f"a range has at most {MOST} numbers")
    return list(found)


def _coalesce(*values: Any) -> Any:
    return next((each for each in values if each is not None and each != ""), None)


def _merge(*maps: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for each in maps for key, value in each.items()}


FUNCTIONS: Mapping[str, Function] = {
    "join": Function(
        "join(SEPARATOR, LIST)",
        "The items of a list as one text.",
        ("text", "texts"),
        lambda by, items: by.join(map(shown, items)),
    ),
    "split": Function("split(SEPARATOR, TEXT)", "The parts of a text, as a list.", ("text", "text"), _split),
    "lower": Function("lower(TEXT)", "The text in lower case.", ("text",), str.lower),
    "upper": Function("upper(TEXT)", "The text in upper case.", ("text",), str.upper),
    "trim": Function(
        "trim(TEXT[, CHARACTERS])",
        "The text without blanks, or these characters, at both ends.",
        ("text", "text"),
        str.strip,
        1,
    ),
    "replace": Function(
        "replace(TEXT, OLD, NEW)", "The text with every OLD replaced.", ("text", "text", "text"), _replace
    ),
    "format": Function(
        "format(TEMPLATE, VALUE…)",
        "The template with values in place of `%s`, `%d` and `%03d` (three digits); `%%` is a percent sign.",
        ("text", "scalar"),
        _format,
        1,
        more=True,
    ),
    "text": Function("text(VALUE)", "A number, true or false as a text.", ("scalar",), shown),
    "number": Function("number(TEXT)", "A text as a number.", ("scalar",), _number),
    "length": Function("length(VALUE)", "The number of items, entries or characters.", ("members",), len),
    "keys": Function("keys(MAP)", "The keys of a map, in their order.", ("map",), list, moves=True),
    "values": Function(
        "values(MAP)", "The values of a map, in their order.", ("map",), lambda each: list(each.values()), moves=True
    ),
    "merge": Function(
        "merge(MAP…)", "One map; the last one that has a key wins.", ("map",), _merge, 0, more=True, moves=True
    ),
    "concat": Function(
        "concat(LIST…)",
        "One list.",
        ("list",),
        lambda *lists: [item for each in lists for item in each],
        0,
        more=True,
        moves=True,
    ),
    "contains": Function(
        "contains(LIST, VALUE)",
        "Whether a list has an item, a map has a key, or a text has a part.",
        ("members", "scalar"),
        _contains,
    ),
    "range": Function(
        "range([START, ]END[, STEP])",
        "The numbers from START, or 0, to END, without END.",
        ("number", "number", "number"),
        _range,
        1,
    ),
    "coalesce": Function(
        "coalesce(VALUE…)",
        "The first value that is neither null nor an empty text; null if there is none.",
        ("any",),
        _coalesce,
        1,
        more=True,
        moves=True,
    ),
    "json": Function("json(TEXT)", "The value of a JSON text.", ("text",), json_value),
    "yaml": Function("yaml(TEXT)", "The value of a YAML text.", ("text",), yaml_value),
    "csv": Function(
        "csv(TEXT)",
        "The rows of a CSV text, as a map: the first column is the key, and each value a map of texts with the names "
        "of the first row.",
        ("text",),
        csv_value,
    ),
    "file": Function(
        "file(PATH)",
        "The text of a file. The path is relative to the file that contains the expression.",
        ("text",),
        lambda path: path,
    ),
    "cond": Function(
        "cond(TEST, THEN, ELSE)",
        "THEN if the test is true, otherwise ELSE. The other one is not evaluated.",
        ("any", "any", "any"),
        lambda test, one, other: one if test else other,
        moves=True,
    ),
}
"""Name to function. `evaluate` reads `file`, and evaluates the arguments of `cond` one by one."""
