"""A copy of a declaration to text for people and to JSON. The text is clean; secrets are redacted."""

from __future__ import annotations

from shlex import quote
from typing import Any

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.render import data
from lettaform.render.clean import clean_line, redact
from lettaform.render.file_diffs import patch, shown
from lettaform.render.paint import Paint
from lettaform.render.text import warnings

Files = dict[str, tuple[str, str]]


def redacted(files: Any, hidden: tuple[str, ...]) -> Files:
    """The texts of files before and after, without secrets."""
    return {name: (redact(old, hidden), redact(new, hidden)) for name, (old, new) in files.items()}


def text(files: Files, notes: tuple[Problem, ...], *, color: bool = False) -> str:
    """The changes of the files, and what the copy does not have."""
    paint = Paint(color)
    groups = [[*shown(name, old, new, paint)] for name, (old, new) in files.items()]
    return "\n\n".join("\n".join(group) for group in (*groups, warnings(notes, paint)) if group) + "\n"


def report(new: Address) -> str:
    """After the files have been written: what to do next."""
    address = clean_line(str(new))
    command = quote(address)
    return f"Declared {address}. `lettaform apply --target {command}` shows the plan, asks, and creates it.\n"


def to_data(
    old: Address, new: Address, files: Files, notes: tuple[Problem, ...], *, live: bool, written: bool
) -> dict[str, Any]:
    """The object that `duplicate` prints with `--json`."""
    return {
        "format_version": data.FORMAT_VERSION,
        "from": str(old),
        "address": str(new),
        "memory": "live" if live else "seeds",
        "written": written,
        "files": [{"file": name, "diff": patch(name, *both)} for name, both in files.items()],
        "warnings": [data.problem(each) for each in notes],
    }
