"""The bytes of an agent file to its values, and a path in it to the place where it stands.

Some agent files are JSON inside a JSON text. Places are those of the file itself, then, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lettaform.errors import AgentFileError, Place, Problem

Path = Sequence[str | int]


@dataclass(frozen=True)
class Parsed:
    """The values of a file.

    text     the JSON that holds them
    outer    the whole file, if it holds that JSON as a text; None if it is that JSON
    offsets  where each character of `text` stands in `outer`
    """

    file: str
    value: Any
    text: str = field(repr=False)
    outer: str | None = field(default=None, repr=False)
    offsets: tuple[int, ...] = field(default=(), repr=False)

    def place(self, path: Path) -> Place:
        """Where the value at a path stands, or else the nearest one that contains it."""
        return self.at(_find(self.text, path))

    def at(self, position: int) -> Place:
        """The place of a character of `text`."""
        if self.outer is None:
            return _place(self.file, self.text, position)
        return _place(self.file, self.outer, self.offsets[min(position, len(self.offsets) - 1)] if self.offsets else 0)


def parse(content: bytes, file: str) -> Parsed:
    """The values of an agent file. Raises AgentFileError with the place of what is no JSON."""
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode("utf-8")
        place = _place(file, before, len(before))
        raise _invalid(file, Problem("is not UTF-8", place, "save the file as UTF-8")) from error
    mark = text.startswith("\ufeff")
    text = text[1:] if mark else text
    outer = Parsed(file, None, text)
    value = _loaded(text, outer)
    if not isinstance(value, str):
        return Parsed(file, value, text)
    start = text.index('"') + 1
    inner = Parsed(file, None, value, text, _offsets(text, start))
    return Parsed(file, _loaded(value, inner), value, text, inner.offsets)


def _loaded(text: str, where: Parsed) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        problem = Problem(f"is not JSON: {_reason(error.msg)}", where.at(error.pos), _hint(text))
        raise _invalid(where.file, problem) from error
    except RecursionError as error:
        raise _invalid(where.file, Problem("is nested too deeply", where.at(0))) from error


def _reason(message: str) -> str:
    return message[:1].lower() + message[1:]


def _hint(text: str) -> str | None:
    if not text.strip():
        return "the file is empty"
    return None if text.lstrip()[0] in '{["' else "an agent file begins with `{`"


def _invalid(file: str, problem: Problem) -> AgentFileError:
    return AgentFileError(f"{file} is not an agent file", problems=(problem,))


# --- places ----------------------------------------------------------------------------------------------------------

_DECODER = json.JSONDecoder(strict=False)
_SPACE = re.compile(r"[ \t\r\n]*")
_ESCAPE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL)


def _place(file: str, text: str, position: int) -> Place:
    line = text.count("\n", 0, position) + 1
    return Place(file, line, position - (text.rfind("\n", 0, position) + 1) + 1)


def _offsets(text: str, start: int) -> tuple[int, ...]:
    """Where each character of a JSON text stands, from its first one on."""
    _, end = _DECODER.raw_decode(text, start - 1)
    return tuple(found.start() for found in _ESCAPE.finditer(text, start, end - 1))


def _find(text: str, path: Path) -> int:
    """Where the value at a path begins in valid JSON, or the nearest one that contains it."""
    position = _skip(text, 0)
    for step in path:
        inner = _inside(text, position, step)
        if inner is None:
            return position
        position = inner
    return position


def _inside(text: str, position: int, step: str | int) -> int | None:
    """Where one value of a map or list begins; None if it has none of this key or number."""
    opening, number = text[position], 0
    if opening not in "{[":
        return None
    found, position = None, _skip(text, position + 1)
    while text[position] not in "}]":
        key: str | int = number
        if opening == "{":
            key, position = _DECODER.raw_decode(text, position)
            position = _skip(text, _skip(text, position) + 1)
        if key == step:  # of a key that stands twice, the last one counts
            found = position
        _, position = _DECODER.raw_decode(text, position)
        position, number = _skip(text, position), number + 1
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def _skip(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    assert space is not None
    return space.end()
