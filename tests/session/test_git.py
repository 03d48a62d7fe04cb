"""What git gives of a repository: plain files of one folder, and nothing of the repository runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lettaform.errors import ManifestError
from lettaform.manifest.vendored import LOCK
from lettaform.session import git
from lettaform.session.vendor import vendor
from tests.session.test_vendor import FILES, Repository, outcomes, write


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository.git")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def link(folder: Path) -> None:
    (folder / "desk" / "link").symlink_to("/etc/passwd")


def large(folder: Path) -> None:
    for number in range(1001):
        (folder / "desk" / f"{number}.md").write_text("x")


def odd(folder: Path) -> None:
    (folder / "desk" / "a\\b.md").write_text("x")


@pytest.mark.parametrize(
    ("change", "reported"),
    [(link, "has the link `desk/link`"), (large, "larger than 1,000 files"), (odd, "a file with the name")],
)
def test_what_no_component_may_have_is_refused(
    change: Callable[[Path], None], reported: str, repository: Repository, project: Path
) -> None:
    repository.commit(**FILES)
    change(repository.folder)
    write(project, repository.use(repository.commit()))
    with pytest.raises(ManifestError, match=reported):
        vendor(project)
    assert not (project / LOCK).exists()


def test_hooks_and_settings_of_a_repository_do_not_run(
    repository: Repository, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = repository.commit(**FILES, **{".gitattributes": "*.md filter=evil\n"})
    seen = tmp_path / "seen"
    template = tmp_path / "template" / "hooks"
    template.mkdir(parents=True)
    for name in ("post-checkout", "post-merge", "reference-transaction"):
        hook = template / name
        hook.write_text(f"#!/bin/sh\ntouch {seen}\n")
        hook.chmod(0o755)
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(template.parent))
    write(project, repository.use(commit))
    assert outcomes(vendor(project)) == ["fetched"]
    assert not seen.exists()


def test_a_commit_that_is_not_there_is_an_error_at_its_use(repository: Repository, project: Path) -> None:
    repository.commit(**FILES)
    write(project, repository.use("0123456789" * 4))
    with pytest.raises(ManifestError) as caught:
        vendor(project)
    assert "has no commit 0123456789" in caught.value.problems[0].message


def test_without_git_the_error_says_so(repository: Repository, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project, repository.use("a" * 40))
    monkeypatch.setattr(git, "_environment", lambda: {"PATH": ""})
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ManifestError, match="not installed"):
        vendor(project)
