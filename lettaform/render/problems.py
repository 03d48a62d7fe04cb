"""Problems and errors to text: the message, the source line with a caret, and a hint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from unicodedata import combining, east_asian_width

from lettaform.errors import LettaformError, ManifestError, Place, Problem
from lettaform.render.clean import clean, clean_line
from lettaform.render.paint import Paint

MOST = 50
"""Maximum number of problems that are shown."""
_LARGEST = 10_000_000
"""Size in bytes of the largest file from which lines are shown."""

Read = Callable[[str], Sequence[str] | None]
"""A file to its lines; None if it cannot be read."""


def error(error: LettaformError, *, color: bool = False, read: Read | None = None) -> str:
    """An error with its problems, each with its source lines if the file can be read."""
    paint = Paint(color)
    found = error.problems
    shown = problems(found, color=color, read=read)
    if isinstance(error, ManifestError):
        errors = sum(problem.severity == "error" for problem in found)
        return shown + (f"\n{paint(f'{errors} problems.', 'strong')}\n" if errors > 1 else "")
    if len(found) == 1 and error.message in (found[0].message, str(found[0])):
        return shown
    hints = {problem.hint for problem in found}
    lines = [f"{paint('Error:', 'alarm')} {paint(clean(error.message), 'strong')}"]
    if found and not any(problem.place for problem in found):  # a list, because there are no source lines
        lines += [f"  - {clean_line(str(problem))}" for problem in found[:MOST]]
        lines += [f"  … and {len(found) - MOST} more"] if len(found) > MOST else []
        shown = ""
    lines += [_hint(error.hint, paint)] if error.hint and error.hint not in hints else []
    return "\n".join(lines) + "\n" + (f"\n{shown}" if shown else "")


def problems(problems: Sequence[Problem], *, color: bool = False, read: Read | None = None) -> str:
    """Up to 50 problems with empty lines between them, and the number of the others."""
    lines_of = read or cache(_lines)
    shown = [problem(each, color=color, read=lines_of) for each in problems[:MOST]]
    more = len(problems) - MOST
    return "\n".join(shown) + (f"\n… and {more} more\n" if more > 0 else "")


def problem(problem: Problem, *, color: bool = False, read: Read | None = None) -> str:
    """One problem: message, place, source lines, hint. A warning with its rule, under which it can be switched off."""
    paint = Paint(color)
    title = paint("Error:", "alarm") if problem.severity == "error" else paint("Warning:", "changed")
    rule = f" {paint(f'[{problem.rule}]', 'faint')}" if problem.rule and problem.severity == "warning" else ""
    lines = [f"{title} {paint(clean_line(problem.message), 'strong')}{rule}"]
    if problem.place is not None:
        source = None if problem.secret else (read or _lines)(problem.place.file)
        lines += _frame(problem.place, source, paint)
    if problem.hint:
        lines.append(_hint(problem.hint, paint))
    return "\n".join(lines) + "\n"


def _hint(hint: str, paint: Paint) -> str:
    return f"  {paint('→', 'added')} {clean_line(hint)}"


def _frame(place: Place, source: Sequence[str] | None, paint: Paint) -> list[str]:
    """The source line with its neighbours and a caret. Only the place if the line does not exist."""
    where = f"  {paint(clean_line(f'at {place}'), 'faint')}"
    if not source or not 1 <= place.line <= len(source):
        return [where]
    first, last = max(place.line - 1, 1), min(place.line + 1, len(source))
    last -= last == len(source) > place.line and not source[-1]  # the last newline does not start a line
    width = len(str(last))
    before = _spaced(source[place.line - 1][: max(place.column - 1, 0)])
    start = max(len(before) - _WIDEST // 2, 0) if len(before) > _WIDEST - 20 else 0
    lines = [where]
    for number in range(first, last + 1):
        text = _cut(_spaced(source[number - 1]), start if number == place.line else 0)
        lines.append(f"  {paint(f'{number:>{width}} │', 'faint')} {text}".rstrip())
        if number == place.line:
            caret = " " * _columns(_cut(before, start)) + paint("^", "alarm")
            lines.append(f"  {paint(f'{str():>{width}} │', 'faint')} {caret}")
    return lines


_WIDEST = 110


def _cut(text: str, start: int) -> str:
    text = f"…{text[start + 1 :]}" if start else text
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _spaced(line: str) -> str:
    return clean_line(line.replace("\t", "  "))


def _columns(text: str) -> int:
    """The width of `text` on a terminal."""
    return sum(0 if combining(each) else 2 if east_asian_width(each) in "WF" else 1 for each in text)


def _lines(file: str) -> Sequence[str] | None:
    """The lines of a file, numbered as an editor numbers them."""
    path = Path(file)
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        text = path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return None
    return text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
