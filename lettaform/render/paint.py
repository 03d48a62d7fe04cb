"""Text and its meaning to coloured text, or to plain text; and coloured text back to its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Meaning = Literal["added", "removed", "changed", "adopted", "faint", "strong", "title", "alarm", "old word", "new word"]

_CODES: dict[Meaning, str] = {
    "added": "32",
    "removed": "31",
    "changed": "33",
    "adopted": "36",
    "faint": "2",
    "strong": "1",
    "title": "1;4",
    "alarm": "1;31",
    "old word": "1;9;31",  # also struck through and underlined, for readers who cannot tell red from green
    "new word": "1;4;32",
}


@dataclass(frozen=True)
class Paint:
    """Colours text if `on`, and returns it unchanged otherwise. The text must be clean."""

    on: bool = False

    def __call__(self, text: str, meaning: Meaning) -> str:
        return f"\x1b[{_CODES[meaning]}m{text}\x1b[0m" if self.on and text else text


_MEANINGS = {code: meaning for meaning, code in _CODES.items()}
_PAINTED = re.compile(r"\x1b\[([\d;]+)m(.*?)\x1b\[0m", re.DOTALL)


def runs(text: str) -> list[tuple[str, Meaning | None]]:
    """The parts of coloured text with their meanings, for formats that are not printed on a terminal.

    Clean text contains no escape character, so that every code is one of Paint's.
    """
    found: list[tuple[str, Meaning | None]] = []
    end = 0
    for each in _PAINTED.finditer(text):
        found += [(text[end : each.start()], None), (each[2], _MEANINGS[each[1]])]
        end = each.end()
    return [part for part in (*found, (text[end:], None)) if part[0]]


def plain(text: str) -> str:
    """Coloured text without its colours."""
    return _PAINTED.sub(r"\2", text)


def sign(parts: list[tuple[str, Meaning | None]]) -> str:
    """The sign with which a line of a diff begins: `+`, `-`, `~`, or `@` of the head of a hunk; empty if it has none.

    parts  the runs of the line. Its colour tells a sign from a text that begins with the same character
    """
    text, meaning = next((part for part in parts if part[0].strip()), ("", None))
    if meaning == "faint":
        return "@" if text.startswith("@@") else ""
    signs: dict[Meaning | None, str] = {"added": "+", "removed": "-", "changed": "~"}
    found = signs.get(meaning, "")
    return found if text.startswith(found) else ""
