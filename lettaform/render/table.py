"""Rows of cells to aligned lines that fit a width: columns are left out and shortened, and no line is wrapped."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from unicodedata import combining, east_asian_width

from lettaform.render.paint import Meaning, Paint

GAP = "  "
LEAST = 8
"""Number of characters to which a column is shortened at last, where a line does not fit otherwise."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    rank   of the columns that do not fit, the one with the highest rank is left out first; 0: never
    least  number of characters to which it may be shortened before columns are left out; None: it is not shortened
    most   number of characters to which its cells are shortened, even if there is room: one text pads all lines
    right  whether its cells are aligned right, as numbers are
    """

    title: str
    rank: int = 0
    least: int | None = None
    most: int = 200
    right: bool = False


@dataclass(frozen=True)
class Cell:
    """A clean text, and how it is painted."""

    text: str
    meaning: Meaning | None = None


def lines(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], paint: Paint, width: int | None) -> list[str]:
    """A line of titles, and a line for each row.

    rows   one cell for each column
    width  number of characters of a line; None: no limit
    """
    heads = [Cell(column.title, "faint") for column in columns]
    longest = [max(cells_of(row[number].text) for row in (heads, *rows)) for number in range(len(columns))]
    natural = [min(each, column.most) for each, column in zip(longest, columns, strict=True)]
    widths = _fitted(columns, natural, width)
    return [_line(columns, row, widths, paint) for row in (heads, *rows)]


def cells_of(text: str) -> int:
    """The number of columns of a terminal that a text takes: two for a wide character, none for a combining one."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)


def shortened(text: str, width: int) -> str:
    """A text that takes at most this number of columns, with `…` in place of its middle."""
    if cells_of(text) <= width:
        return text
    tail = _cut(text[::-1], (width - 1) // 2)[::-1]
    return f"{_cut(text, width - 1 - cells_of(tail))}…{tail}"


def _cut(text: str, width: int) -> str:
    """The beginning of a text that takes at most this number of columns."""
    text = text[: 4 * max(width, 0)]
    while cells_of(text) > max(width, 0):
        text = text[:-1]
    return text


def _fitted(columns: Sequence[Column], natural: Sequence[int], width: int | None) -> dict[int, int]:
    """The numbers of the columns that are shown, each with its width."""
    shown = dict(enumerate(natural))
    if width is None:
        return shown

    def least(number: int) -> int:
        return min(natural[number], columns[number].least or natural[number])

    for number in sorted(shown, key=lambda each: -columns[each].rank):
        if columns[number].rank and _sum([least(each) for each in shown]) > width:
            del shown[number]
    flexible = [number for number in shown if columns[number].least is not None]
    while flexible and _sum(shown.values()) > width:
        widest = max(flexible, key=lambda number: (shown[number] - least(number), shown[number]))
        if shown[widest] <= min(LEAST, least(widest)):
            break
        shown[widest] -= 1
    return shown


def _sum(widths: Collection[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _line(columns: Sequence[Column], row: Sequence[Cell], widths: dict[int, int], paint: Paint) -> str:
    parts = []
    for number, width in widths.items():
        text = shortened(row[number].text, width)
        space, meaning = " " * (width - cells_of(text)), row[number].meaning
        painted = paint(text, meaning) if meaning else text
        parts.append(space + painted if columns[number].right else painted + space)
    return GAP.join(parts).rstrip()
