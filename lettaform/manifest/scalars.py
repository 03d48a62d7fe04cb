"""A scalar of a YAML text and its new value to the splices that write it, in the same style where that can hold it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

import yaml

from lettaform.manifest.text import events, scalar

Splice = tuple[int, int, str]
"""Start and end of a part of a text, and what takes its place."""

_WIDTH = 60
"""The least number of characters to which lines are filled that belong to one line of a text."""
_BREAK = re.compile(r"\r\n|\n|\r")
_HEADER = re.compile(r"[|>](?:[1-9][+-]?|[+-][1-9]?)?")
_UNFIT = re.compile("[\r\x85\u2028\u2029\ufeff\x00-\x08\x0b-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
"""Characters that a file contains only as escapes, or that readers of YAML take for the end of a line."""
_OTHER_READERS = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|~|[-+.\d][\d_.:,eExXoOabcdfTZ+ -]*")
"""Plain texts that readers of YAML 1.1 take for something else: they are quoted."""
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", "\x85": "\\N"}
_ESCAPES |= {"\u2028": "\\L", "\u2029": "\\P"}


@dataclass(frozen=True)
class Scalar:
    """A scalar in the text of a file.

    start, end  its own characters, without its anchor and tag; a block scalar ends before the next line that is not
                blank
    style       `|`, `>`, `'`, `"`, or empty for a plain one
    value       its text
    indent      the column of the key to which it belongs
    flow        whether it stands inside brackets, where it has no lines of its own
    below       whether it begins on a line below that of its key
    tagged      whether its tag makes it a text, whatever it looks like
    """

    start: int
    end: int
    style: str
    value: str
    indent: int = 0
    flow: bool = False
    below: bool = False
    tagged: bool = False


@dataclass(frozen=True)
class _Form:
    """A way to write a value: what stands in the place of the scalar, and the lines below, of a block scalar."""

    inline: str
    lines: tuple[str, ...] | None = None
    kept: bool = False
    """Whether blank lines at the end belong to the value."""


def rewrite(source: str, old: Scalar, new: Any) -> tuple[Splice, ...]:
    """The splices that give a scalar another value: a text, a number, a boolean or None.

    The style stays if it can hold the value. A text that gets its first line break becomes a literal block.
    """
    if new == old.value and _reads_back(source, old, new, ()):
        return ()
    block = _Block.of(source, old) if old.style in ("|", ">") else None
    for form in _forms(source, old, new, block):
        splices = _splices(source, old, block, form)
        if splices is not None and _reads_back(source, old, new, splices):
            return splices
    raise ValueError(f"{type(new).__name__} cannot be written as a scalar")


def newline(source: str) -> str:
    """The line break that a text uses."""
    found = _BREAK.search(source)
    return found[0] if found else "\n"


# --- the forms in which a value can be written, the best one first ---------------------------------------------------


def _forms(source: str, old: Scalar, new: Any, block: _Block | None) -> Iterator[_Form]:
    if not isinstance(new, str):
        yield _Form(json.dumps(new, ensure_ascii=False))
        return
    if block is not None:
        yield from _block_forms(old, new, block)
    elif "\n" in source[old.start : old.end]:
        yield from _folded_forms(source, old, new)
    elif "\n" in new and "\n" not in old.value and not old.flow and (literal := _literal(new, old.indent)):
        yield literal
    elif not old.style and _is_plain(new):
        yield _Form(new)
    single = old.style == "'" or (old.style != '"' and _prefers_single(new))
    if single and "\n" not in new and not _UNFIT.search(new):
        yield _Form(_single(new))
    yield _Form(_double(new))


def _is_plain(text: str) -> bool:
    return bool(text) and "\n" not in text and not _UNFIT.search(text) and not _OTHER_READERS.fullmatch(text)


def _prefers_single(text: str) -> bool:
    return ('"' in text or "\\" in text) and "'" not in text


def _single(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _double(text: str) -> str:
    return '"' + "".join(_ESCAPES.get(each) or _escaped(each) for each in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if not _UNFIT.match(character):
        return character
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


# --- block scalars ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    """The parts of a block scalar.

    header   where its `|` or `>` with indicators ends
    content  where its first line begins
    lines    its lines, without their indentation and without the blank ones at its end
    blank    where the blank lines at its end begin
    indent   the indentation of its lines
    explicit whether the header says it
    """

    header: int
    content: int
    lines: tuple[str, ...]
    blank: int
    indent: int
    explicit: bool
    chomping: str

    @classmethod
    def of(cls, source: str, old: Scalar) -> _Block:
        match = _HEADER.match(source, old.start)
        assert match is not None
        first = _BREAK.search(source, match.end())
        content = min(first.end(), old.end) if first else old.end
        whole = source[content : old.end]
        filled = len(whole.rstrip(" \r\n")) if "\t" not in whole[-1:] else len(whole)
        ending = _BREAK.search(whole, filled)
        used = ending.end() if ending else len(whole)
        lines = _BREAK.split(whole[:filled])
        digits = re.sub(r"\D", "", match[0])
        spaces = next((len(each) - len(each.lstrip(" ")) for each in lines if each.strip(" ")), old.indent + 2)
        indent = old.indent + int(digits) if digits else spaces
        tail = whole[filled:used].rstrip("\r\n")  # spaces at the end of the last line
        lines[-1] += tail
        return cls(
            match.end(),
            content,
            tuple(each[indent:] for each in lines) if whole.strip(" \r\n") else (),
            content + used,
            indent,
            bool(digits),
            re.sub(r"[^+-]", "", match[0]),
        )


def _block_forms(old: Scalar, new: str, block: _Block) -> Iterator[_Form]:
    if old.style == ">" and (folded := _folded_block(new, old, block)):
        yield folded
    if literal := _literal(new, old.indent, block):
        yield literal


def _literal(text: str, indent: int, block: _Block | None = None) -> _Form | None:
    """A literal block; None if it cannot hold the text."""
    return _as_block("|", text, indent, block, lambda body: body)


def _folded_block(text: str, old: Scalar, block: _Block) -> _Form | None:
    """A folded block, whose lines stay where they are as far as their text does."""

    def lines(body: Sequence[str]) -> Sequence[str]:
        before = _logical(old.value.rstrip("\n").split("\n"), block.lines, lambda line: not _is_spaced(line))
        return _folded(body, before, _width(block.lines), _is_spaced)

    return _as_block(">", text, old.indent, block, lines)


def _as_block(
    style: str,
    text: str,
    indent: int,
    block: _Block | None,
    arrange: Callable[[Sequence[str]], Sequence[str]],
) -> _Form | None:
    body, ends = text.rstrip("\n"), len(text) - len(text.rstrip("\n"))
    if not body.strip(" \n") or _UNFIT.search(text) or (block is None and ends > 1):
        return None
    keep = ends > 1 or (ends == 1 and block is not None and block.chomping == "+")
    chomping = "+" if keep else "" if ends else "-"
    inner = block.indent if block else indent + 2
    lines = list(arrange(body.split("\n")))
    first = next(number for number, line in enumerate(lines) if line.strip(" "))
    explicit = (block is not None and block.explicit) or any(line[:1] in (" ", "\t") for line in lines[: first + 1])
    if explicit and not 1 <= inner - indent <= 9:
        inner = indent + 2
    header = style + (str(inner - indent) if explicit else "") + chomping
    lines += [""] * (ends - 1)
    return _Form(header, tuple(" " * inner + line if line else "" for line in lines), kept=keep)


# --- lines that are folded into one ----------------------------------------------------------------------------------


def _folded_forms(source: str, old: Scalar, new: str) -> Iterator[_Form]:
    """A text on several lines, plain or in quotes. Quotes hold no spaces at the ends of these lines."""
    body = new.split("\n")
    if not new or _UNFIT.search(new) or any(line != line.strip(" \t") for line in body) or new != new.strip("\n"):
        return
    spell = _single if old.style == "'" else _double
    before = [line.strip(" \t") for line in _BREAK.split(source[old.start : old.end])]
    width = _width(before)
    inner = _inner_indent(source, old)
    if old.style:
        before = [before[0][1:], *before[1:-1], before[-1][:-1]]
        if old.style == "'":
            before = [line.replace("''", "'") for line in before]
    known = _logical(old.value.split("\n"), before, bool)
    lines = _folded(body, known, width, lambda line: False)
    spelled = [spell(line)[1:-1] if old.style else line for line in lines]
    rest = [" " * inner + line if line else "" for line in spelled[1:]]
    yield _Form(old.style + newline(source).join([spelled[0], *rest]) + old.style)


def _inner_indent(source: str, old: Scalar) -> int:
    """The indentation of the second line of a scalar."""
    for line in _BREAK.split(source[old.start : old.end])[1:]:
        if line.strip(" \t"):
            return len(line) - len(line.lstrip(" "))
    return old.indent + 2


def _width(lines: Sequence[str]) -> int:
    return max(_WIDTH, *map(len, lines)) if lines else _WIDTH


def _is_spaced(line: str) -> bool:
    """Whether a line of a folded block begins with a space: its line breaks are kept."""
    return line[:1] in (" ", "\t")


def _folded(
    body: Sequence[str], before: Sequence[Sequence[str]], width: int, spaced: Callable[[str], bool]
) -> list[str]:
    """The lines from which a reader makes the lines `body` of a text.

    before  the lines of which each line of the old text was made
    """
    lines: list[str] = []
    previous: str | None = None
    old = [" ".join(pieces) for pieces in before]
    same = _same(old, body)
    for number, line in enumerate(body):
        if not line:
            lines.append("")
            continue
        if previous is not None and not (spaced(previous) or spaced(line)):
            lines.append("")
        known = before[same[number]] if number in same else ()
        lines += [line] if spaced(line) else _filled(line, known, width)
        previous = line
    return lines


def _same(old: Sequence[str], new: Sequence[str]) -> dict[int, int]:
    """Number of a new line to that of the old one that it equals, or of which it is the successor."""
    found: dict[int, int] = {}
    for tag, a, a_end, b, b_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag in ("equal", "replace"):
            found |= dict(zip(range(b, b_end), range(a, a_end), strict=False))
    return found


def _filled(line: str, known: Sequence[str], width: int) -> list[str]:
    """One line of a text on several lines: as before, as far as it did not change, then filled."""
    lines, rest = [], line
    for piece in known[:-1]:
        if not rest.startswith(f"{piece} ") or rest[len(piece) + 1 : len(piece) + 2] in ("", " ", "\t"):
            break
        lines.append(piece)
        rest = rest[len(piece) + 1 :]
    while len(rest) > width:
        cuts = [m.start() for m in re.finditer(r"(?<![ \t]) (?![ \t])", rest) if m.start() < len(rest) - 1]
        cut = max((each for each in cuts if each <= width), default=min(cuts, default=0))
        if cut == 0:
            break
        lines.append(rest[:cut])
        rest = rest[cut + 1 :]
    return [*lines, rest]


def _logical(texts: Sequence[str], lines: Sequence[str], folds: Callable[[str], bool]) -> list[list[str]]:
    """The lines of a file of which each line of a text is made; of those that are not recognized, the text itself."""
    found: list[list[str]] = []
    rest = [line for line in lines if line]
    for text in texts:
        pieces: list[str] = []
        while text and rest and " ".join(pieces) != text:
            pieces.append(rest.pop(0))
            if not folds(text):
                break
        found.append(pieces if " ".join(pieces) == text else [text])
    return found


# --- splices ---------------------------------------------------------------------------------------------------------


def _splices(source: str, old: Scalar, block: _Block | None, form: _Form) -> tuple[Splice, ...] | None:
    """The splices that write a form; None if something else follows on the line."""
    ending = newline(source)
    if block is None:
        gap = " " if old.start == old.end and not source[old.start - 1 : old.start].isspace() else ""
        inline = (old.start, old.end, gap + form.inline)
        if form.lines is None:
            return (inline,)
        rest = _BREAK.search(source, old.end)
        until = rest.start() if rest else len(source)
        if not re.fullmatch(r"[ \t]*(?:[ \t]#.*)?", source[old.end : until]):
            return None
        last = ending if rest is None and not form.inline.endswith("-") else ""
        return inline, (until, until, "".join(ending + line for line in form.lines) + last)
    inline = (old.start, block.header, form.inline)
    end = old.end if form.kept or block.chomping == "+" else block.blank
    if form.lines is None:
        return inline, (block.content, end, "")
    ended = _BREAK.search(source, old.start, block.content) is not None
    closed = source[block.content : end].endswith(("\n", "\r")) or end < len(source)
    last = ending if closed or not form.inline.endswith("-") else ""
    return inline, (block.content, end, ("" if ended else ending) + ending.join(form.lines) + last)


def spliced(source: str, splices: Sequence[Splice], start: int = 0, end: int | None = None) -> str:
    """A text with these splices, or the part of it between two places that no splice crosses."""
    parts, last = [], start
    for begin, until, text in sorted(splices):
        parts += [source[last:begin], text]
        last = until
    return "".join([*parts, source[last : len(source) if end is None else end]])


def _reads_back(source: str, old: Scalar, new: Any, splices: Sequence[Splice]) -> bool:
    """Whether a reader finds the new value, and then the next key, in what the splices make."""
    follows = True
    if old.flow:
        text = "{k: " + spliced(source, splices, old.start, old.end) + ", z: 1}"
    else:
        after = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)(?:[ \t]*(?:\r\n|\n|\r))*").match(source, old.end)
        end = after.end() if after else len(source)
        until = max([end if old.style not in ("|", ">") else old.end, *(each[1] for each in splices)])
        lead = f"\n{' ' * (old.indent + 1)}" if old.below else " "
        body = spliced(source, splices, old.start, until)
        follows = body.endswith(("\n", "\r"))
        text = f"{' ' * old.indent}k:{lead}{body}" + (f"{' ' * old.indent}z: 1\n" if follows else "")
    try:
        found = [each for each in events(text) if isinstance(each, yaml.ScalarEvent)]
    except yaml.YAMLError:
        return False
    if [each.value for each in found[2:]] != ["z", "1"] * follows or len(found) < 2:
        return False
    return new == found[1].value if old.tagged else value_of(found[1]) == (type(new), new)


def value_of(event: Any) -> tuple[type, Any]:
    """The type and the value of an untagged scalar, as manifests read it."""
    try:
        value = scalar(event.value) if event.implicit[0] else event.value
    except ValueError:
        return object, None
    return type(value), value
