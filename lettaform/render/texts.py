"""Two texts to the lines that show how they differ."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import Literal

from lettaform.render.clean import clean, clean_spaces
from lettaform.render.paint import Meaning, Paint

CONTEXT = 3
"""Number of unchanged lines around a change."""
_NEAR = 40
"""Number of characters that are shown around a change inside a long line."""
_END = "\\ No newline at end"
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_COLOURS = re.compile("(\x1b\\[[0-9;]*m)?([^\x1b]*)")
_MOST_PAIRS = 4_000_000
"""Number of word pairs above which words are not compared, because it would take seconds."""
_MOST_LETTERS = 200_000
"""Number of characters above which words are not even counted."""
_MOST_PAIRED = 200
"""Number of consecutive changed lines above which their words are not compared."""


@dataclass(frozen=True)
class Run:
    """The old or the new text of a Piece."""

    changed: bool
    text: str


@dataclass(frozen=True)
class Piece:
    """Consecutive words that all changed, or all stayed the same."""

    changed: bool
    old: str
    new: str


def unified(old: str, new: str, paint: Paint, context: int = CONTEXT, most: int | None = None) -> list[str]:
    """A unified diff. Changed tabs, trailing spaces and final newlines are visible.

    context  number of equal lines around a change
    most     the largest number of lines that are shown; the others are counted
    """
    ends = bool(old) and bool(new) and old.endswith("\n") is not new.endswith("\n")
    before, after = _lines(old, ends), _lines(new, ends)
    matcher = SequenceMatcher(None, before, after, autojunk=max(len(before), len(after)) > 2000)
    room = len(before) + len(after) if most is None else most
    shown: list[str] = []
    left_out = 0
    for group in matcher.get_grouped_opcodes(context):
        (_, i, _, j, _), (_, _, i_end, _, j_end) = group[0], group[-1]
        shown += [paint(f"@@ -{_range(i, i_end)} +{_range(j, j_end)} @@", "faint")] if room else []
        for tag, a, a_end, b, b_end in group:
            removed = before[a : min(a_end, a + room)]
            added = after[b : min(b_end, b + room - len(removed))] if tag != "equal" else []
            number = a_end - a + (b_end - b if tag != "equal" else 0)
            room -= len(removed) + len(added)
            left_out += number - len(removed) - len(added)
            if tag == "equal":
                for line in removed:
                    shown += _ended(f"  {clean(_bare(line))}".replace("\t", "    ").rstrip(" "), line, ends)
            else:
                shown += _hunk(removed, added, paint, ends)
    return [*shown, paint(f"… {left_out} more {'line' if left_out == 1 else 'lines'}", "faint")] if left_out else shown


@dataclass(frozen=True)
class Bound:
    """How much is shown of what differs.

    lines  maximum number of lines
    width  maximum number of characters of a line
    more   what shows the rest
    """

    lines: int = 40
    width: int = 240
    more: str = "-v shows all"


def bounded(lines: Sequence[str], bound: Bound | None, paint: Paint) -> tuple[str, ...]:
    """The first lines, each with its first characters. `bound`: None shows all."""
    if bound is None:
        return tuple(lines)
    shown = [_cut(line, bound.width, paint) for line in lines[: bound.lines]]
    rest = len(lines) - len(shown)
    more = paint(f"… {rest} more line{'s' * (rest > 1)}; {bound.more}", "faint")
    return (*shown, more) if rest else tuple(shown)


def _cut(line: str, most: int, paint: Paint) -> str:
    """The first characters of a line. Colours have no width, and end with it."""
    if len(line) <= most:
        return line
    kept, width = list[str](), 0
    for colour, text in _COLOURS.findall(line):
        kept += [colour, text[: most - width]]
        width += len(text)
    return line if width <= most else "".join(kept) + paint(f"… {width - most} more characters", "faint")


def words(old: str, new: str, paint: Paint) -> list[str]:
    """A word diff of one long line. Unchanged text far from a change is left out."""
    pieces = _pieces(old, new)
    if pieces is None:
        return [line for line in _hunk([old] if old else [], [new] if new else [], paint, ends=False) if line]
    shown = []
    for index, piece in enumerate(pieces):
        if not piece.changed:
            shown.append(_shortened(_inside(piece.old), first=index == 0, last=index == len(pieces) - 1))
            continue
        removed, added = clean_spaces(piece.old), clean_spaces(piece.new)
        if removed:
            shown.append(paint(removed, "old word") if paint.on else f"[-{removed}-]")
        if added:
            shown.append(paint(added, "new word") if paint.on else f"{{+{added}+}}")
    return ["".join(shown)]


# --- lines -----------------------------------------------------------------------------------------------------------


def _lines(text: str, ends: bool) -> list[str]:
    """Split at newlines only. Other characters that `str.splitlines` splits at are part of the text."""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)
    return lines if ends else [_bare(line) for line in lines]


def _bare(line: str) -> str:
    return line.removesuffix("\n")


def _ended(shown: str, line: str, ends: bool) -> list[str]:
    return [shown, _END] if ends and not line.endswith("\n") else [shown]


def _range(start: int, end: int) -> str:
    length = end - start
    return f"{start + 1 if length else start}" + (f",{length}" if length != 1 else "")


def _hunk(old: list[str], new: list[str], paint: Paint, ends: bool) -> list[str]:
    """The removed lines, then the added lines. With colours, the words that differ are emphasized."""
    paired = paint.on and len(old) == len(new) <= _MOST_PAIRED
    pairs = [_pieces(_bare(a), _bare(b)) for a, b in zip(old, new, strict=True)] if paired else []
    removed = [[Run(piece.changed, piece.old) for piece in pieces] if pieces else None for pieces in pairs]
    added = [[Run(piece.changed, piece.new) for piece in pieces] if pieces else None for pieces in pairs]
    return _signed("-", old, removed, paint, ends) + _signed("+", new, added, paint, ends)


def _signed(
    sign: Literal["-", "+"], lines: list[str], runs: Sequence[list[Run] | None], paint: Paint, ends: bool
) -> list[str]:
    same: Meaning = "removed" if sign == "-" else "added"
    strong: Meaning = "old word" if sign == "-" else "new word"
    shown = []
    for line, parts in zip_longest(lines, runs):
        text = paint(clean_spaces(_bare(line)), same)
        if parts:
            texts = [clean_spaces(run.text) if run.changed else _inside(run.text) for run in parts]
            text = "".join(paint(each, strong if run.changed else same) for run, each in zip(parts, texts, strict=True))
        shown += _ended(f"{paint(sign, same)} {text}".rstrip(" "), line, ends)
    return shown


def _inside(text: str) -> str:
    """A part of a line. Spaces at its end are not marked, because the line continues."""
    return clean_spaces(f"{text}.")[:-1]


# --- words -----------------------------------------------------------------------------------------------------------


def _pieces(old: str, new: str) -> list[Piece] | None:
    """None if the texts have too little in common for a word diff."""
    if len(old) + len(new) > _MOST_LETTERS:
        return None
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    if len(before) * len(after) > _MOST_PAIRS:
        return None
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    if matcher.ratio() < 0.5:
        return None
    pieces: list[Piece] = []
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        piece = Piece(tag != "equal", "".join(before[i:i_end]), "".join(after[j:j_end]))
        last = pieces[-1] if pieces else None
        between = piece.old.isspace() and (i_end, j_end) != (len(before), len(after))
        if last and last.changed and (piece.changed or between):  # a space between two changes is part of them
            pieces[-1] = Piece(True, last.old + piece.old, last.new + piece.new)
        else:
            pieces.append(piece)
    return pieces


def _shortened(text: str, *, first: bool, last: bool) -> str:
    """Unchanged text with its middle replaced by `…`, cut at spaces where possible."""
    if len(text) <= 2 * _NEAR + 3:
        return text
    head, tail = text[:_NEAR], text[-_NEAR:]
    head, tail = head[: head.rfind(" ", _NEAR // 2)] if " " in head[_NEAR // 2 :] else head, tail[tail.find(" ") + 1 :]
    return ("" if first else head) + ("… " if first else " …" if last else " … ") + ("" if last else tail)
