"""The git commit of a folder, and what a CI system names without git."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lettaform.model import Commit
from lettaform.session.commit import commit_of


def git(folder: Path, *words: str) -> str:
    who = ("-c", "user.name=n", "-c", "user.email=e@example.com")
    done = subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    (tmp_path / "fleet").mkdir()
    return tmp_path / "fleet"


@pytest.fixture
def repository(outside: Path) -> Path:
    git(outside, "init", "-q")
    (outside / "lettaform.yaml").write_text("stack: s\n")
    git(outside, "add", "-A")
    git(outside, "commit", "-qm", "first")
    return outside


def test_without_a_repository_there_is_no_commit(outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit_of(outside) is None
    monkeypatch.setenv("CI_COMMIT_SHA", "c0ffee")
    assert commit_of(outside) == Commit("c0ffee", False)


def test_before_the_first_commit_there_is_none(outside: Path) -> None:
    git(outside, "init", "-q")
    assert commit_of(outside) is None


def test_without_git_the_ci_system_names_the_commit(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    assert commit_of(repository) is None
    monkeypatch.setenv("GITHUB_SHA", "c0ffee")
    assert commit_of(repository) == Commit("c0ffee", False)


def test_the_commit_is_dirty_if_a_file_differs(repository: Path) -> None:
    head = git(repository, "rev-parse", "HEAD")
    assert commit_of(repository) == Commit(head, False)
    (repository / "prompt.md").write_text("new")
    assert commit_of(repository) == Commit(head, True)


def test_what_lettaform_writes_and_other_folders_do_not_count(repository: Path) -> None:
    (repository / "fleet").mkdir()
    (repository / "fleet" / ".lettaform").mkdir()
    (repository / "fleet" / ".lettaform" / "last-apply.json").write_text("{}")
    (repository / "other.txt").write_text("elsewhere")
    assert commit_of(repository / "fleet") == Commit(git(repository, "rev-parse", "HEAD"), False)
