"""The last apply from a project: written, read for a rollback, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lettaform.errors import PlanError
from lettaform.model import Plan, Report
from lettaform.session.last_apply import FILE, Kept, read, write

PLAN = Plan("s", "http://here", "0.16.8")
OTHER = replace(PLAN, environment="dev")


def applied(project: Path, snapshot: str | None, *, finished: bool = True) -> Kept:
    write(project, PLAN, Report((), 0, snapshot=snapshot), finished=finished)
    return read(project, "s")


@pytest.mark.parametrize("finished", [True, False])
def test_an_apply_is_undone_by_its_snapshot(tmp_path: Path, finished: bool) -> None:
    kept = applied(tmp_path, str(tmp_path / "a"), finished=finished)
    assert (kept.folder, kept.url, len(kept.digests)) == (tmp_path / "a", "http://here", 1)


def test_a_finished_rollback_is_undone(tmp_path: Path) -> None:
    before = applied(tmp_path, str(tmp_path / "a"))
    write(tmp_path, OTHER, Report((), 0, snapshot=str(tmp_path / "b")), before, finished=True)
    assert read(tmp_path, "s").folder == tmp_path / "b"


@pytest.mark.parametrize("snapshot", ["b", None])
def test_a_rollback_that_did_not_finish_is_continued(tmp_path: Path, snapshot: str | None) -> None:
    before = applied(tmp_path, str(tmp_path / "a"))
    for _ in range(2):  # interrupted twice
        taken = str(tmp_path / snapshot) if snapshot else None
        write(tmp_path, OTHER, Report((), 0, snapshot=taken), read(tmp_path, "s"), finished=False)
        kept = read(tmp_path, "s")
        assert kept.folder == tmp_path / "a"
        assert len(kept.digests - before.digests) == 1


def test_a_snapshot_elsewhere_is_found_by_its_whole_path(tmp_path: Path) -> None:
    project = tmp_path / "project"
    assert applied(project, str(tmp_path / "bucket" / "a")).folder == tmp_path / "bucket" / "a"


def test_what_cannot_be_undone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="nothing was applied from this folder"):
        read(tmp_path, "s")
    with pytest.raises(PlanError, match="the last apply kept no snapshot"):
        applied(tmp_path, None)
    with pytest.raises(PlanError, match="was of the stack `s`, and this is `other`"):
        read(tmp_path, "other")
    for text in ("", "[]", "{}", '{"stack": "s", "server": "u", "digest": "d", "snapshot": "a"}', "\xff"):
        (tmp_path / FILE).write_bytes(text.encode("latin-1"))
        with pytest.raises(PlanError, match="cannot be read"):
            read(tmp_path, "s")
