"""A project folder to the commit that git has checked out there."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lettaform.model import Commit

OWN = ":(exclude).lettaform"
PATIENCE = 5.0
"""Seconds that git may take."""


def commit_of(directory: Path) -> Commit | None:
    """The commit of a folder, and whether its files differ from it; None outside a repository, or before its first
    commit.

    Without git, the commit is what a CI system names. Only files below the folder count as changed; ignored ones do
    not, and neither do the files that lettaform writes.
    """
    commit = _git(directory, "rev-parse", "HEAD")
    changes = _git(directory, "status", "--porcelain", "--", ".", OWN)
    if commit and changes is not None:
        return Commit(commit.strip(), bool(changes.strip()))
    named = os.environ.get("GITHUB_SHA") or os.environ.get("CI_COMMIT_SHA")
    return Commit(named, False) if named else None


def _git(directory: Path, *words: str) -> str | None:
    """What a git command prints; None if it fails."""
    # an optional lock would disturb a git command that runs at the same time
    command = ["git", "--no-optional-locks", "-C", str(directory), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None
