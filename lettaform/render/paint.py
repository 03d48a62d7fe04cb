"""Text and its meaning to coloured text, or to plain text."""

from __future__ import annotations

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
