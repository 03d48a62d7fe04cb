"""The text of a manifest file to the same text in canonical layout.

Only blanks, line breaks between values, and the spellings of null, true and false change. Order, quotes, styles of
texts, anchors, tags and comments stay as a person wrote them: each of them can carry a meaning for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, zip_longest
from typing import Any
from unicodedata import combining, east_asian_width

import yaml

from lettaform.manifest.text import events, tokens, word

STEP = 2
"""Columns by which what belongs to a key or to an item of a list is indented."""
BEFORE_COMMENT = 2
"""Least number of spaces between a value and its comment, as yamllint wants them."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
"""Line breaks of the parser, which follows YAML 1.1."""
_GAP = re.compile("([ \t\ufeff]*)(#[^\r\n\x85\u2028\u2029]*)?(\r\n|[\n\r\x85\u2028\u2029]|$)")
_COMMENT = re.compile(r"^(#+)(?=[^\s#!])")
_HEADER = re.compile(r"([|>])([-+1-9]*)([ \t]*)(#[^\r\n\x85\u2028\u2029]*)?(\r\n|[\n\r\x85\u2028\u2029]|$)")
_ESCAPED_BLANK = re.compile(r"(?<!\\)(?:\\\\)*\\[ \t]+$")
"""A blank at the end of a line that belongs to a text in double quotes, and those after it."""
_SPELLED: dict[bool | str | None, str] = {None: "null", True: "true", False: "false"}


class Unlike(Exception):
    """The new text would not be read as the old one. Never raised unless `layout` has a bug."""


def layout(source: str) -> str:
    """The canonical layout of the text of a map that `parse` reads without problems. Raises Unlike."""
    atoms = list(_atoms(source))
    new = _Page(source, atoms).text()
    if any(one != other for one, other in zip_longest(_meaning(source), _meaning(new))):
        raise Unlike("its values would change")
    if list(_comments(source, atoms)) != list(comments(new)):
        raise Unlike("its comments would change")
    return new


def comments(source: str) -> Iterator[str]:
    """The comments of a text, in order, with a space after `#`."""
    return _comments(source, _atoms(source))


def _comments(source: str, atoms: Iterable[tuple[_Atom | None, str]]) -> Iterator[str]:
    for atom, gap in atoms:
        if atom is not None and atom.style in ("|", ">"):
            header = _HEADER.match(source, atom.start)
            yield from [_comment(header[4])] if header and header[4] else ()
        yield from (_comment(each[2]) for each in _lines_of(gap) if each[2])


def _comment(text: str) -> str:
    return _COMMENT.sub(r"\1 ", text, count=1).rstrip(" \t\ufeff")


_NAMES = ("anchor", "tag", "implicit", "style", "explicit", "version", "tags")


def _meaning(source: str) -> Iterator[tuple[Any, ...]]:
    """What a reader finds, apart from places. A key is its text: `True` and `true` are two keys."""
    is_key: list[bool | None] = []
    """Of each list or map that is open, whether a key comes next; None in lists."""
    for event in events(source):
        kind, value = type(event), getattr(event, "value", None)
        if kind in (yaml.MappingEndEvent, yaml.SequenceEndEvent):
            is_key.pop()
        elif kind is yaml.ScalarEvent and event.implicit[0] and not event.style and not (is_key and is_key[-1]):
            value = word(event.value)
        if kind in (yaml.MappingStartEvent, yaml.SequenceStartEvent):
            is_key.append(True if kind is yaml.MappingStartEvent else None)
        elif is_key and is_key[-1] is not None:
            is_key[-1] = not is_key[-1]
        yield kind, value, bool(getattr(event, "flow_style", None)), *(getattr(event, name, None) for name in _NAMES)


# --- the parts of a text ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Level:
    """A list or map: its column in the source, its new column, and the line in which its bracket stands, if any.

    listed    whether it is a list
    implicit  whether it is a list whose `-` stand below the key, where the parser says nothing about its end
    bracket   the line of its bracket; None if it has none
    """

    old: int
    new: int
    listed: bool = False
    implicit: bool = False
    bracket: int | None = None


@dataclass(frozen=True)
class _Atom:
    """A part of the text between which blanks, line breaks and comments stand.

    kind       the kind of its token
    is_key     whether it is a key, or the anchor of one
    is_value   whether a plain scalar is a value, and may be null, true or false
    levels     the lists and maps that contain it
    column     its new column, if it begins a line
    inner      the new column of its further lines
    opens      whether lists or maps begin with it
    """

    start: int
    end: int
    kind: type
    style: str | None = None
    is_key: bool = False
    is_value: bool = False
    levels: tuple[_Level, ...] = ()
    column: int = 0
    inner: int = 0
    opens: bool = False

    def is_a(self, *kinds: type) -> bool:
        return self.kind in kinds


_OPENING = (yaml.FlowSequenceStartToken, yaml.FlowMappingStartToken)
_CLOSING = (yaml.FlowSequenceEndToken, yaml.FlowMappingEndToken)
_PROPERTY = (yaml.AnchorToken, yaml.TagToken)
_INDICATOR = (yaml.BlockEntryToken, yaml.KeyToken, yaml.ValueToken)
_OUTSIDE = (yaml.DocumentStartToken, yaml.DocumentEndToken, yaml.DirectiveToken)


class _Structure:
    """The lists and maps that are open while the tokens of a text are read."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.levels: tuple[_Level, ...] = ()
        self.at_key = self.opened = False
        self.last: type = yaml.StreamStartToken
        """The kind of the last token that is no anchor and no tag."""
        self.tagged = False

    def take(self, token: Any) -> _Atom | None:
        """The atom of a token; None if it has no characters."""
        self.close_implicit(token)
        column, kind = token.start_mark.column, type(token)
        if kind in (yaml.BlockMappingStartToken, yaml.BlockSequenceStartToken):
            self.open(_Level(column, self.next_column(), kind is yaml.BlockSequenceStartToken))
        elif kind is yaml.BlockEndToken:
            self.levels = self.levels[:-1]
        elif kind is yaml.BlockEntryToken and not (self.levels and self.levels[-1].listed):
            self.open(_Level(column, self.next_column(), listed=True, implicit=True))
        atom = self.atom(token) if token.end_mark.index > token.start_mark.index else None
        if kind is yaml.KeyToken:
            self.at_key = atom is None
        return atom

    def close_implicit(self, token: Any) -> None:
        ends = isinstance(token, yaml.KeyToken | yaml.ValueToken | yaml.BlockEndToken)
        if ends and self.levels and self.levels[-1].implicit:
            self.levels = self.levels[:-1]

    def open(self, level: _Level) -> None:
        self.levels, self.opened = (*self.levels, level), True

    def next_column(self) -> int:
        """The column of what belongs to the innermost list or map."""
        return self.levels[-1].new + STEP if self.levels else 0

    def atom(self, token: Any) -> _Atom:
        kind, levels = type(token), self.levels
        flow = bool(levels) and levels[-1].bracket is not None
        column = levels[-1].new if flow else self.block_column(kind)
        if kind in _CLOSING:
            column -= STEP
        atom = _Atom(
            token.start_mark.index,
            token.end_mark.index,
            kind,
            getattr(token, "style", None),
            self.at_key,
            self.expects_value(flow) and not self.tagged,
            levels,
            column,
            levels[-1].new if flow else self.next_column(),
            self.opened,
        )
        if kind in _CLOSING:
            self.levels = levels[:-1]
        if kind in _OPENING:
            self.open_bracket(token, column)
        self.follow(token)
        return atom

    def block_column(self, kind: type) -> int:
        """The new column of an atom that begins a line outside of brackets."""
        if kind in _OUTSIDE or not self.levels:
            return 0
        return self.levels[-1].new if self.at_key or kind in _INDICATOR else self.next_column()

    def expects_value(self, flow: bool) -> bool:
        """Whether a scalar that follows is a value, and no key."""
        if self.at_key:
            return False
        in_list = flow and self.levels[-1].listed
        return self.last in (yaml.ValueToken, yaml.BlockEntryToken) or (
            in_list and self.last in (yaml.FlowEntryToken, yaml.FlowSequenceStartToken)
        )

    def open_bracket(self, token: Any, column: int) -> None:
        """Brackets that open in one line indent what they contain once."""
        line, above = token.start_mark.line, self.levels[-1] if self.levels else None
        if above and above.bracket == line:
            column = above.new - STEP
        elif above and above.bracket is None:
            column = self.next_column()
        listed = isinstance(token, yaml.FlowSequenceStartToken)
        self.open(_Level(token.start_mark.column, column + STEP, listed, bracket=line))

    def follow(self, token: Any) -> None:
        if isinstance(token, yaml.TagToken):
            self.tagged = True
        elif not isinstance(token, yaml.AnchorToken):
            self.last, self.tagged = type(token), False
            self.at_key = False
        self.opened = isinstance(token, _OPENING)


def _atoms(source: str) -> Iterator[tuple[_Atom | None, str]]:
    """Each atom and what follows it; None for the start of the text."""
    structure, before, end = _Structure(source), None, 0
    for token in tokens(source):
        atom = structure.take(token)
        if atom is not None:
            yield before, source[end : atom.start]
            before, end = atom, atom.start + _length(source, atom)
    yield before, source[end:]


def _length(source: str, atom: _Atom) -> int:
    """Blank lines at the end of a block scalar are part of it only if its header keeps them."""
    text = source[atom.start : atom.end]
    if atom.style not in ("|", ">"):
        return len(text)
    header = _HEADER.match(text)
    assert header is not None
    lines = _split(text[header.end() :])
    if "+" in header[2]:
        return len(text)
    width = _content_column(header, lines, atom)
    while lines and not lines[-1][0].strip(" ") and (width is None or len(lines[-1][0]) <= width):
        lines.pop()
    return header.end() + sum(len(line) + len(end) for line, end in lines)


def _content_column(header: re.Match[str], lines: Sequence[tuple[str, str]], atom: _Atom) -> int | None:
    """The column of the content of a block scalar; None if it has none."""
    if digit := header[2].strip("+-"):
        above = [level for level in atom.levels if level.bracket is None]
        return (above[-1].old if above else 0) + int(digit)
    first = next((line for line, _ in lines if line.strip(" ")), None)
    return None if first is None else len(first) - len(first.lstrip(" "))


def _split(text: str) -> list[tuple[str, str]]:
    """Lines with their line breaks."""
    lines, start = [], 0
    for found in _BREAK.finditer(text):
        lines.append((text[start : found.start()], found[0]))
        start = found.end()
    return [*lines, (text[start:], "")] if start < len(text) else lines


def _lines_of(gap: str) -> list[re.Match[str]]:
    """The lines of what stands between two atoms: blanks, a comment, and a line break."""
    found, at = [], 0
    while at < len(gap):
        line = _GAP.match(gap, at)
        if line is None:
            raise Unlike(f"it contains {gap[at : at + 10]!r} between two values")
        found.append(line)
        at = line.end()
    return found


# --- the new text ----------------------------------------------------------------------------------------------------


@dataclass
class _Line:
    """A line of the new text. `indent`: the column where it begins. `fixed`: it belongs to a text of several lines."""

    text: str = ""
    comment: str = ""
    end: str = ""
    indent: int = 0
    fixed: bool = False

    @property
    def is_blank(self) -> bool:
        return not (self.text or self.comment or self.fixed)


@dataclass
class _Page:
    """The lines of the new text."""

    source: str
    atoms: list[tuple[_Atom | None, str]]
    lines: list[_Line] = field(default_factory=lambda: [_Line()])

    def text(self) -> str:
        """The whole text."""
        following = [atom for atom, _ in self.atoms[1:]]
        for (before, gap), after in zip_longest(self.atoms, following):
            if before is not None:
                self.write(before)
            self.between(before, gap, after)
        return "".join(self.finished())

    # --- atoms

    def write(self, atom: _Atom) -> None:
        text = self.source[atom.start : atom.start + _length(self.source, atom)]
        if atom.style in ("|", ">"):
            self.block(atom, text)
        elif _BREAK.search(text):
            self.several_lines(atom, text)
        else:
            spelled = _SPELLED.get(word(text)) if not atom.style and atom.is_value else None
            self.lines[-1].text += spelled if spelled and atom.is_a(yaml.ScalarToken) else text

    def several_lines(self, atom: _Atom, text: str) -> None:
        """A plain or quoted text: blanks around its line breaks are no part of it."""
        for number, (line, end) in enumerate(_split(text)):
            shown = line.lstrip(" \t") if number else line
            if end and not (atom.style == '"' and _ESCAPED_BLANK.search(shown)):
                shown = shown.rstrip(" \t")
            self.lines[-1].text += " " * atom.inner * bool(number and shown) + shown
            if end:
                self.break_line(end, fixed=True)

    def block(self, atom: _Atom, text: str) -> None:
        """A block scalar: its lines are moved together."""
        header = _HEADER.match(text)
        assert header is not None
        style, indicators, lines = header[1], header[2], _split(text[header.end() :])
        width = _content_column(header, lines, atom)
        unfinished = lines and not lines[-1][1]
        if unfinished and "-" not in indicators:  # the parser reads no line break at the end of such a file
            indicators = indicators.replace("+", "") + "-"
        self.lines[-1].text += style + re.sub(r"\d", str(STEP), indicators)
        self.lines[-1].comment = _comment(header[4] or "")
        if not header[5]:
            return
        self.break_line(header[5], fixed=True)
        for line, end in lines:
            content = "" if width is None else line[width:]
            self.lines[-1].text = " " * atom.inner * bool(content) + content
            self.break_line(end or header[5], fixed=True)
        self.lines[-1].fixed = False

    def break_line(self, end: str, *, fixed: bool = False) -> None:
        self.lines[-1].end = end
        self.lines.append(_Line(fixed=fixed))

    # --- what stands between them

    def between(self, before: _Atom | None, gap: str, after: _Atom | None) -> None:
        lines = _lines_of(gap)
        begins_line = before is None or before.style in ("|", ">")
        for number, line in enumerate(lines):
            if number == 0 and not begins_line:
                self.lines[-1].comment = _comment(line[2] or "")
            elif line[2]:
                indent = _comment_column(before, len(line[1]), after)
                self.lines[-1] = _Line(" " * indent + _comment(line[2]), indent=indent)
            if line[3]:
                self.break_line(line[3])
        if after is not None and (begins_line or any(line[3] for line in lines)):
            self.lines[-1].text, self.lines[-1].indent = " " * after.column, after.column
        elif after is not None and before is not None:
            self.lines[-1].text += " " * _has_space(before, bool(gap), after)

    def finished(self) -> Iterator[str]:
        """The lines as they are written: one blank line in a row, none at the start, one line break at the end."""
        lines = [line for number, line in enumerate(self.lines) if not self.is_superfluous(number)]
        while lines and lines[-1].is_blank:
            lines.pop()
        if lines:
            found = _BREAK.search(self.source)
            lines[-1] = replace(lines[-1], end=lines[-1].end or (found[0] if found else "\n"))
        for _, group in groupby(lines, key=lambda line: (bool(line.comment), line.indent)):
            run = list(group)
            column = max(_columns(line.text) for line in run) + BEFORE_COMMENT
            for line in run:
                space = " " * (column - _columns(line.text)) if line.text else ""
                text = f"{line.text}{space}{line.comment}" if line.comment else line.text
                yield (text if line.fixed or line.comment else text.rstrip(" ")) + line.end

    def is_superfluous(self, number: int) -> bool:
        return self.lines[number].is_blank and (number == 0 or self.lines[number - 1].is_blank)


def _comment_column(before: _Atom | None, old: int, after: _Atom | None) -> int:
    """The new column of a comment on a line of its own, which began in column `old`.

    It belongs to what follows, unless it is indented like a list or map that ends above it.
    """
    if after is not None and after.levels and after.levels[-1].bracket is not None:
        return after.levels[-1].new
    column = after.column if after is not None else 0
    begins_entry = after is None or after.is_key or after.is_a(*_INDICATOR, *_OUTSIDE)
    if before is None or not begins_entry or (after is not None and after.opens):
        return column
    open_above = [level for level in before.levels if level.new >= column and level.bracket is None]
    if after is not None and any(level.old >= old and level.new == column for level in open_above):
        return column  # not deeper than what follows, also where a list stands in the column of its key
    last = before.levels[-1] if before.levels else None
    if last is not None and before.is_a(yaml.ValueToken, yaml.BlockEntryToken) and old > last.old:
        return last.new + STEP  # it stands where the value would
    return max([column, *(level.new for level in open_above if level.old <= old)])


def _has_space(before: _Atom, spaced: bool, after: _Atom) -> bool:
    """Whether a space stands between two atoms of a line. `spaced`: whether one did."""
    if before.is_a(yaml.ValueToken, yaml.AliasToken, *_PROPERTY) and after.is_a(
        yaml.FlowEntryToken, yaml.ValueToken, *_CLOSING
    ):
        return spaced  # without it, other readers take the indicator for a part of the name
    if before.is_a(*_OPENING) or after.is_a(yaml.FlowEntryToken, *_CLOSING):
        return False
    if after.is_a(yaml.ValueToken):
        return spaced and not before.is_a(yaml.ScalarToken, *_CLOSING)
    return True


def _columns(text: str) -> int:
    """The width of a text on a terminal."""
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)
