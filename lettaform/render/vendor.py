"""The components that a manifest keeps of git repositories, to text and JSON."""

from __future__ import annotations

from typing import Any

from lettaform.model import Vendoring
from lettaform.render import data
from lettaform.render.clean import clean_line
from lettaform.render.inline import count

_SIGNS = {"fetched": "+", "removed": "-", "differs": "~"}


def text(found: Vendoring) -> str:
    """A line for each component that was fetched or removed, or differs, and one with their number."""
    lines = []
    for each in found.components:
        if each.outcome != "unchanged":
            why = f"  # {each.reason}" if each.reason else ""
            lines.append(clean_line(f"{_SIGNS[each.outcome]} {each.folder}  {each.outcome}  {each.source}{why}"))
    total = sum(each.outcome != "removed" for each in found.components)
    changed = len(lines)
    state = "differ" if found.checked else "changed"
    lines.append(f"{count(total, 'component')} of git repositories, {changed or 'none'} {state}.")
    return "\n".join(lines) + "\n"


def to_data(found: Vendoring) -> dict[str, Any]:
    """The object that `vendor --json` prints."""
    return {
        "format_version": data.FORMAT_VERSION,
        "checked": found.checked,
        "components": [
            {"source": each.source, "folder": each.folder, "outcome": each.outcome, "reason": each.reason or None}
            for each in found.components
        ],
        "exit_code": found.exit_code,
    }
