"""Files in canonical layout to text for people and to JSON. The text is clean and contains no secrets."""

from __future__ import annotations

from typing import Any

from lettaform.manifest.formatted import Formatted, FormattedFile
from lettaform.render import data
from lettaform.render.clean import clean_line, redact
from lettaform.render.file_diffs import patch, shown
from lettaform.render.paint import Paint


def text(found: Formatted, *, diff: bool = False, color: bool = False) -> str:
    """The names of the files that change, a line each; with `diff`, what changes in them."""
    if not diff:
        return "".join(f"{clean_line(each.name)}\n" for each in found.changed)
    paint = Paint(color)
    groups = ["\n".join(shown(each.name, *_redacted(each), paint)) + "\n" for each in found.changed]
    return "\n".join(groups)


def to_data(found: Formatted, *, check: bool, diff: bool) -> dict[str, Any]:
    """The object that `fmt --json` prints."""
    changed = [
        {"file": each.name, **({"diff": patch(each.name, *_redacted(each))} if diff else {})} for each in found.changed
    ]
    return {
        "format_version": data.FORMAT_VERSION,
        "written": found.written,
        "files": len(found.files),
        "changed": changed,
        "problems": [data.problem(each) for each in found.problems],
        "exit_code": found.exit_code(check=check),
    }


def _redacted(file: FormattedFile) -> tuple[str, str]:
    old, new = (redact(each, file.hidden) for each in (file.old, file.new))
    return old, new
