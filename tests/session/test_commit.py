"""The commit of a project folder, with git on this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lettaform.session import commit
from lettaform.session.commit import commit_of


def git(folder: Path, *words: str) -> str:
    me = ["-c", "user.name=me", "-c", "user.email=me@example.com", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *me, "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_a_commit_is_clean_until_a_file_changes(tmp_path: Path) -> None:
    git(tmp_path, "init")
    assert commit_of(tmp_path) is None  # before the first commit
    (tmp_path / "a").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    found = commit_of(tmp_path)
    assert found is not None
    assert (found.commit, found.dirty) == (git(tmp_path, "rev-parse", "HEAD"), False)
    (tmp_path / "a").write_text("2")
    changed = commit_of(tmp_path)
    assert changed is not None
    assert (changed.commit, changed.dirty) == (found.commit, True)


def test_there_is_none_outside_a_repository_or_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commit_of(tmp_path) is None

    def missing(*words: object, **named: object) -> None:
        raise FileNotFoundError("git")

    monkeypatch.setattr(commit.subprocess, "run", missing)
    assert commit_of(tmp_path) is None
