"""The files of a project in canonical layout: which ones, what is wrong with others, and what a diff hides."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lettaform import flow
from lettaform.errors import PlanError, Stale
from lettaform.flow import Source
from lettaform.manifest import formatted as module
from lettaform.manifest.formatted import Formatted, format_files, format_text
from lettaform.manifest.layout import Unlike

CARELESS, CANONICAL = "stack:   s\n", "stack: s\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lettaform.yaml").write_text("stack:   s\ninclude: ['teams/*.yaml', 'teams/a.yaml']\n")
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams/a.yaml").write_text("agents:  {}\n")
    (tmp_path / "teams/b.yaml").write_text("blocks: {}\n")
    (tmp_path / "other.yaml").write_text(CARELESS)
    return tmp_path


def changed(found: Formatted) -> list[str]:
    return [each.name for each in found.changed]


def test_all_files_of_the_manifest(project: Path) -> None:
    found = format_files(project)
    assert [each.name for each in found.files] == ["lettaform.yaml", "teams/a.yaml", "teams/b.yaml"]
    assert (changed(found), found.problems, found.written) == (["lettaform.yaml", "teams/a.yaml"], (), False)
    assert changed(format_files(project, [Path("teams/a.yaml")])) == ["teams/a.yaml"]


def test_named_files_alone(project: Path) -> None:
    assert changed(format_files(project, paths=[Path("other.yaml"), Path("./other.yaml")])) == ["other.yaml"]


def test_fmt_writes_what_changes_and_nothing_the_second_time(project: Path) -> None:
    before = (project / "teams/b.yaml").stat()
    assert changed(flow.fmt(Source(project), write=False)) == ["lettaform.yaml", "teams/a.yaml"]
    assert (project / "teams/a.yaml").read_text() == "agents:  {}\n"
    found = flow.fmt(Source(project))
    assert (found.written, found.exit_code(check=False)) == (True, 0)
    assert (project / "teams/a.yaml").read_text() == "agents: {}\n"
    assert (project / "teams/b.yaml").stat() == before
    again = flow.fmt(Source(project))
    assert (again.changed, again.written, again.exit_code(check=True)) == ((), False, 0)
    assert flow.fmt_text(CARELESS.encode()).files[0].new == CANONICAL


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        (b"a: [\n", "teams/b.yaml:2:1", "invalid YAML"),
        (b"a: 1\na:  2\n", "teams/b.yaml:2:1", "defined twice"),
        (b"- a\n", "teams/b.yaml:1:1", "map of sections"),
        (b"a: 012\n", "teams/b.yaml:1:4", "ambiguous"),
        (b"a: 1\n---\nb: 2\n", "teams/b.yaml:2:1", "second document"),
        (b"a: \xff\n", "teams/b.yaml:1:4", "UTF-8"),
        (b"", "teams/b.yaml:1:1", "empty"),
    ],
)
def test_a_file_with_a_problem_stays_and_the_others_are_written(
    content: bytes, place: str, words: str, project: Path
) -> None:
    (project / "teams/b.yaml").write_bytes(content)
    found = flow.fmt(Source(project))
    (problem,) = found.problems
    assert (str(problem.place), words in problem.message) == (place, True)
    assert (project / "teams/b.yaml").read_bytes() == content
    assert (project / "teams/a.yaml").read_text() == "agents: {}\n"
    assert found.exit_code(check=False) == 1


def test_what_is_missing_is_a_problem(project: Path) -> None:
    assert "gone.yaml" in format_files(project, paths=[Path("gone.yaml")]).problems[0].message
    (project / "empty").mkdir()
    assert "there is no manifest" in format_files(project / "empty").problems[0].message


def test_a_file_that_would_be_read_otherwise_stays(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(text: str) -> str:
        raise Unlike("its values would change")

    monkeypatch.setattr(module, "layout", wrong)
    found = flow.fmt(Source(project))
    assert "its values would change. It stays as it is" in found.problems[0].message
    assert "report" in (found.problems[0].hint or "")
    assert (project / "teams/a.yaml").read_text() == "agents:  {}\n"


def test_a_file_that_changes_meanwhile_is_not_written(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replaced(contents: object) -> None:
        (project / "teams/a.yaml").write_text("agents: {new: {}}\n")
        genuine(contents)  # type: ignore[arg-type]

    genuine = flow.replace_contents
    monkeypatch.setattr(flow, "replace_contents", replaced)
    with pytest.raises(Stale, match="no file was written"):
        flow.fmt(Source(project))
    assert (project / "lettaform.yaml").read_text().startswith(CARELESS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_a_file_that_cannot_be_written(project: Path) -> None:
    (project / "teams/a.yaml").chmod(0o444)
    with pytest.raises(PlanError, match="no file was changed"):
        flow.fmt(Source(project))
    assert (project / "lettaform.yaml").read_text().startswith(CARELESS)


def test_a_link_stays_a_link(project: Path) -> None:
    (project / "link.yaml").symlink_to("other.yaml")
    flow.fmt(Source(project), [Path("link.yaml")])
    assert (project / "link.yaml").is_symlink()
    assert (project / "other.yaml").read_text() == CANONICAL


def test_what_a_diff_hides() -> None:
    text = (
        "variables: {k: {secret: true, default: first-secret}, open: {default: shown}}\n"
        "agents: {a: {secrets: {K: second-secret, L: '${var.k}'}, name: shown}}\n"
        "providers: {p: {api_key: third-secret, base_url: shown}}\n"
        "# ghp_0123456789012345678901234567890123456789\n"
    )
    (file,) = format_text(text.encode()).files
    assert {"first-secret", "second-secret", "third-secret"} < file.hidden
    assert any(each.startswith("ghp_") for each in file.hidden)
    assert not {"shown", "${var.k}"} & file.hidden
