"""A project folder to the commit that git has checked out there."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lettaform.snapshot import Commit

PATIENCE = 5.0
"""Seconds that git may take."""


def commit_of(directory: Path) -> Commit | None:
    """The commit of a folder, and whether it has changes; None outside a repository, before its first commit, or
    without git."""
    commit = _git(directory, "rev-parse", "HEAD")
    changes = _git(directory, "status", "--porcelain", "--", ".")
    return None if not commit or changes is None else Commit(commit.strip(), bool(changes.strip()))


def _git(directory: Path, *words: str) -> str | None:
    """What a git command prints; None if it fails."""
    command = ["git", "-C", str(directory), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None
