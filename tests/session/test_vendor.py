"""`lettaform vendor`: what git gives is kept, checked at each load, and fetched at no other time."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from lettaform.errors import ManifestError
from lettaform.manifest import load
from lettaform.manifest.vendored import LOCK, Source, Unusable
from lettaform.model import Vendoring
from lettaform.session.vendor import vendor

pytestmark = pytest.mark.thorough

DESK = "variables: {region: {}}\nagents: {lead: {model: a/b, system: !file lead.md, description: '${var.region}'}}\n"


def run(folder: Path, *words: str) -> str:
    who = [f"GIT_{role}_{part}" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")]
    done = subprocess.run(
        ["git", "-C", str(folder), *words],
        env={**os.environ, **dict.fromkeys(who, "a@b")},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


class Repository:
    """A git repository on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        run(folder, "init", "--quiet")

    def commit(self, **files: str) -> str:
        for name, text in files.items():
            path = self.folder / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        run(self.folder, "add", "-A")
        run(self.folder, "commit", "--quiet", "-m", "x")
        return run(self.folder, "rev-parse", "HEAD")

    def use(self, commit: str, folder: str = "//desk") -> str:
        return f"git::file://{self.folder}{folder}?ref={commit}"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository.git")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def write(project: Path, use: str) -> None:
    (project / "lettaform.yaml").write_text(
        f"stack: s\ncomponents:\n  emea:\n    use: {use}\n    inputs: {{region: EMEA}}\n"
    )


def outcomes(found: Vendoring) -> list[str]:
    return [each.outcome for each in found.components]


FILES = {"desk__component.yaml": DESK, "desk__lead.md": "You lead."}


def test_a_component_is_fetched_once_and_read_from_the_project(repository: Repository, project: Path) -> None:
    write(project, repository.use(repository.commit(**FILES)))
    with pytest.raises(ManifestError) as caught:
        load(project)
    assert "run `lettaform vendor`" in (caught.value.problems[0].hint or "")
    assert str(caught.value.problems[0].place) == "lettaform.yaml:4:10"
    assert outcomes(vendor(project, check=True)) == ["differs"]
    assert outcomes(vendor(project)) == ["fetched"]
    (repository.folder / ".git").rename(repository.folder / "gone")
    assert [str(each) for each in load(project).objects] == ["components.emea.agents.lead"]
    assert outcomes(vendor(project)) == ["unchanged"]
    assert vendor(project, check=True).exit_code == 0


def test_a_changed_file_is_noticed_at_each_load(repository: Repository, project: Path) -> None:
    write(project, repository.use(repository.commit(**FILES)))
    folder = project / vendor(project).components[0].folder
    for change in (
        lambda: (folder / "lead.md").write_text("You obey."),
        lambda: (folder / "new.md").write_text("x"),
        lambda: (folder / "lead.md").unlink(),
        lambda: (folder / "link.md").symlink_to("/etc/passwd"),
    ):
        change()
        with pytest.raises(ManifestError):
            load(project)
        assert vendor(project, check=True).exit_code == 2
        assert outcomes(vendor(project)) == ["fetched"]
        assert load(project)


def test_a_component_of_a_component_is_vendored_too(repository: Repository, project: Path, tmp_path: Path) -> None:
    inner = repository.use(repository.commit(**FILES))
    other = Repository(tmp_path / "other")
    outer = (
        f"variables: {{region: {{}}}}\ncomponents:\n  desk: {{use: '{inner}', inputs: {{region: '${{var.region}}'}}}}\n"
    )
    write(project, other.use(other.commit(**{"team__component.yaml": outer}), "//team"))
    assert outcomes(vendor(project)) == ["fetched", "fetched"]
    assert [str(each) for each in load(project).objects] == ["components.emea.components.desk.agents.lead"]
    write(project, inner)
    assert sorted(outcomes(vendor(project))) == ["removed", "unchanged"]
    assert len(json.loads((project / LOCK).read_text())["components"]) == 1
    assert len(list((project / "vendor").iterdir())) == 1


def test_a_vendored_component_uses_nothing_of_the_project(repository: Repository, project: Path) -> None:
    inner = "components: {x: {use: ../../components/secret}}\n"
    (project / "components" / "secret").mkdir(parents=True)
    (project / "components" / "secret" / "component.yaml").write_text("{}")
    write(project, repository.use(repository.commit(**{"desk__component.yaml": inner})))
    with pytest.raises(ManifestError, match="outside the component of the git repository"):
        vendor(project)


@pytest.mark.parametrize(
    ("text", "reported"),
    [
        ("git::https://h/r.git//desk?ref=main", "is not a full commit"),
        ("git::https://h/r.git//desk", "does not name a component"),
        ("git::ext::sh -c touch?ref=" + "a" * 40, "does not name a component"),
        ("git::http://h/r?ref=" + "a" * 40, "does not name a component"),
        ("git::https://u:p@h/r?ref=" + "a" * 40, "contains a password or a token"),
        ("git::https://token@h/r?ref=" + "a" * 40, "contains a password"),
        ("git::https://-oProxy/r?ref=" + "a" * 40, "does not name a component"),
        ("git::https://h/r//../x?ref=" + "a" * 40, "does not name a component"),
        ("git::ssh://git@-oProxyCommand=x/r?ref=" + "a" * 40, "does not name a component"),
    ],
)
def test_what_git_may_not_fetch_is_refused(text: str, reported: str) -> None:
    with pytest.raises(Unusable) as caught:
        Source.read(text)
    assert reported in caught.value.message
    assert ":p@" not in caught.value.message + caught.value.hint
