"""The text of an expression, `${var.model}`, to its parts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

ESCAPE = "$${"
"""Written for a literal `${`."""
ESCAPE_HINT = "write `$${` for a literal `${`"

EXPRESSIONS: Mapping[str, str] = {
    "var.NAME": "The value of a variable. Of a variable of the type `map`, `${var.NAME.KEY}` is one entry.",
    "env.NAME": "The environment variable NAME. It is a secret: it can be used only in fields that hide their value.",
    "each.key": "In an object with `for_each`: the key of the current entry of a map, or the current item of a list.",
    "each.value": "In an object with `for_each`: the value of the current entry of a map, or the current item of a "
    "list. `${each.value.KEY}` is one entry of it.",
    "stack": "The name of the stack.",
    "environment": "The name of the environment that -e selects. An error without -e.",
    "folder": "The absolute path of the folder of the manifest.",
}
"""Expressions that name no object, and their values."""
OF_AN_OBJECT = "SECTION.KEY.FIELD"
"""The form of an expression that names an object: `agents.supervisor.id`."""

_EXPRESSION = re.compile(r"\$\$\{|\$\{([^{}\n]*)(\}?)")
_STEPS = re.compile(r'\.([A-Za-z0-9_-]+)|\[("(?:[^"\\]|\\.)*"|[^\[\]"]+)\]')
_HEAD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class Path:
    """An expression: `agents.worker[emea].id` has the head `agents` and three steps.

    steps  each name or key, and whether it was written in brackets
    """

    text: str
    head: str
    steps: tuple[tuple[str, bool], ...]

    @classmethod
    def parse(cls, text: str) -> Path:
        """Read the text between `${` and `}`. Raises ValueError if it is not an expression."""
        head = _HEAD.match(text)
        if not head:
            raise ValueError(text)
        position, steps = head.end(), []
        while position < len(text):
            found = _STEPS.match(text, position)
            if not found:
                raise ValueError(text)
            bare, bracket = found.groups()
            steps.append((bare or (json.loads(bracket) if bracket.startswith('"') else bracket), bare is None))
            position = found.end()
        return cls(text, head[0], tuple(steps))


@dataclass(frozen=True)
class Part:
    """A part of a text: literal text, or an expression.

    text        the literal, or what is between `${` and `}`
    offset      where the part starts in the whole text
    expression  whether it is an expression
    closed      whether the `}` is there
    """

    text: str
    offset: int
    expression: bool = False
    closed: bool = True


def parts(text: str) -> Iterator[Part]:
    """The literals and expressions of a text, in order."""
    last = 0
    for found in _EXPRESSION.finditer(text):
        if found.start() > last:
            yield Part(text[last : found.start()], last)
        last = found.end()
        if found[0] == ESCAPE:
            yield Part("${", found.start())
        else:
            yield Part(found[1].strip(), found.start(), True, bool(found[2]))
    if last < len(text):
        yield Part(text[last:], last)
