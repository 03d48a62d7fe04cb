"""Folders of snapshots: private, whole or not there, found by name, and each faulty file named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lettaform.errors import SnapshotError
from lettaform.snapshot import take
from lettaform.snapshot.folder import file_faults, find, folders, held, read
from tests.snapshot.samples import HEADER, OBJECTS, Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return asyncio.run(take(Server(), HEADER, OBJECTS, tmp_path))  # type: ignore[arg-type]


def test_only_its_owner_can_read_a_snapshot(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o600}


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "snapshots").write_text("in the way")
    with pytest.raises(SnapshotError, match="cannot write the snapshot") as refused:
        asyncio.run(take(Server(), HEADER, OBJECTS, tmp_path / "snapshots"))  # type: ignore[arg-type]
    assert "nothing was changed" in (refused.value.hint or "")


def test_lone_surrogates_and_unicode_survive(tmp_path: Path) -> None:
    server = Server()
    server.history = [{"id": "m", "message_type": "user_message", "content": "\ud800 🦜 \u2028"}]
    path = asyncio.run(take(server, HEADER, OBJECTS, tmp_path))  # type: ignore[arg-type]
    assert held(path, read(path))["agent-1"]["messages"] == ["None user: \ud800 🦜 \u2028"]


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "cannot be read"),
    "longer": (lambda path: path.write_text(path.read_text() + " "), "bytes, and not"),
    "changed": (lambda path: path.write_text(path.read_text().replace("ann", "bob")), "was changed"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILT.values(), ids=SPOILT)
def test_a_faulty_file_is_named(folder: Path, spoil: Callable[[Path], object], message: str) -> None:
    assert list(file_faults(folder, read(folder))) == []
    spoil(folder / "001-ann.af")
    (problem,) = file_faults(folder, read(folder))
    assert problem.message.startswith("001-ann.af: ")
    assert message in problem.message


def test_a_folder_without_an_index_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "s-1").mkdir()
    with pytest.raises(SnapshotError, match=r"has no snapshot\.json") as refused:
        read(tmp_path / "s-1")
    assert "interrupted" in (refused.value.hint or "")


def test_a_snapshot_is_found_by_path_name_and_age(folder: Path, tmp_path: Path) -> None:
    newer = replace(HEADER, created_at="2026-12-01T00:00:00.000000Z", stack="a")
    second = asyncio.run(take(Server(), newer, OBJECTS, tmp_path))  # type: ignore[arg-type]
    (tmp_path / "z-incomplete").mkdir()
    assert find(folder.name, tmp_path) == folder
    assert find(str(folder / "snapshot.json"), tmp_path) == folder
    assert find("latest", tmp_path) == second
    newest = replace(newer, created_at="2026-12-02T00:00:00.000000Z", scope="restore")
    asyncio.run(take(Server(), newest, OBJECTS, tmp_path))  # type: ignore[arg-type]
    assert find("latest", tmp_path) == second
    assert folders(tmp_path / "nowhere") == []


def test_an_unknown_name_is_an_error_with_the_nearest_one(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(SnapshotError) as refused:
        find(folder.name[:-1], tmp_path)
    assert refused.value.hint == f"did you mean `{folder.name}`?"
    with pytest.raises(SnapshotError, match="no snapshot in"):
        find("latest", tmp_path / "nowhere")
