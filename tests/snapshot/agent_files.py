"""The agent files of the tests, and what they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "agent_files"
CLERK, OLDER, TEAM, TWICE = (FOLDER / f"{name}.af" for name in ("clerk", "older", "team", "twice"))
"""One agent with history; one of the older generation; several objects of every kind; JSON inside a JSON text."""


def changed(path: Path, folder: Path, **properties: Any) -> Path:
    """A copy of a file of one agent with other properties of the agent."""
    body = json.loads(path.read_text(encoding="utf-8"))
    body["agents"][0] |= properties
    copy = folder / path.name
    copy.write_text(json.dumps(body), encoding="utf-8")
    return copy
