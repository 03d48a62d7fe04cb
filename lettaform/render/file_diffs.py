"""The old and new text of a file to its diff, for people and for `patch`."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff

from lettaform.render.clean import clean_line
from lettaform.render.paint import Paint
from lettaform.render.texts import unified


def shown(name: str, old: str, new: str, paint: Paint) -> Iterator[str]:
    """The name of a file and what changes in it. Line breaks are not shown unless they alone change."""
    yield paint(clean_line(name), "title")
    lines = unified(_with_plain_breaks(old), _with_plain_breaks(new), paint)
    yield from (f"  {line}".rstrip() for line in lines or [paint("only line breaks change", "faint")])


def _with_plain_breaks(text: str) -> str:
    return text.replace("\r\n", "\n")


def patch(name: str, old: str, new: str) -> str:
    """A unified diff, as `patch` reads it."""
    lines = unified_diff(old.splitlines(True), new.splitlines(True), f"a/{name}", f"b/{name}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)
