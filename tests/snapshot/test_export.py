"""Snapshots: an agent file per agent, the values of everything else, no secret, and one folder for its owner alone."""

from __future__ import annotations

import asyncio
import json
import threading
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lettaform.errors import LettaformError, NotFound, Unavailable
from lettaform.model import Live
from lettaform.snapshot import export
from lettaform.values import UNREAD, Item

AGENT = Live("agent", "agent-1", "Ann/../x", {"name": "Ann", "secrets": {"K": "s3cret"}})
BLOCK = Live("block", "block-1", "b", {"label": "b", "value": "text"})
FOLDER = Live("folder", "folder-1", "f", {"name": "f", "files": UNREAD})


class Server:
    """What a snapshot asks a backend. `lost`: ids that were deleted in the meantime."""

    def __init__(self, *lost: str) -> None:
        self.lost = lost

    async def all_items(self, live: Live) -> Mapping[str, list[Item]]:
        if live.id in self.lost:
            raise NotFound("no such object")
        return {"files": [Item("key", "a.md", {"text": "a"}), Item("other", "b.md")]} if live is FOLDER else {}

    async def copies(self, live: Live) -> list[Live]:
        return [BLOCK] if live is FOLDER else []

    async def export(self, live: Live) -> Any:
        if live.id in self.lost:
            raise NotFound("no such agent")
        return {"agents": [live.id]}


def written(tmp_path: Path, lives: Sequence[tuple[str, Live]], *lost: str) -> tuple[Path, dict[str, Any]]:
    folder = asyncio.run(export(Server(*lost), "s", lives, {}, tmp_path / "snapshots"))  # type: ignore[arg-type]
    return folder, json.loads((folder / "snapshot.json").read_text())


def test_an_agent_is_a_file_whose_name_is_safe(tmp_path: Path) -> None:
    folder, snapshot = written(tmp_path, [("agents.ann", AGENT)])
    (entry,) = snapshot["objects"]
    assert (entry["address"], entry["id"], entry["file"]) == ("agents.ann", "agent-1", "001-Ann----x.af")
    assert json.loads((folder / entry["file"]).read_text()) == {"agents": ["agent-1"]}
    assert "s3cret" not in json.dumps(snapshot)


def test_other_objects_are_their_values_and_what_they_contain(tmp_path: Path) -> None:
    _, snapshot = written(tmp_path, [("", BLOCK), ("folders.f", FOLDER)])
    block, folder = snapshot["objects"]
    assert (block["address"], block["values"]) == (None, {"label": "b", "value": "text"})
    assert folder["values"] == {"name": "f", "files": [{"text": "a"}, "other"]}
    assert folder["copies"] == [{"label": "b", "value": "text"}]


def test_what_was_deleted_in_the_meantime_is_left_out(tmp_path: Path) -> None:
    _, snapshot = written(tmp_path, [("agents.ann", AGENT), ("", BLOCK)], "agent-1")
    assert [each["id"] for each in snapshot["objects"]] == ["block-1"]


def test_only_its_owner_can_read_a_snapshot(tmp_path: Path) -> None:
    folder, _ = written(tmp_path, [("agents.ann", AGENT)])
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in folder.iterdir()} == {0o600}


def test_a_folder_that_cannot_be_written_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "snapshots").write_text("in the way")
    with pytest.raises(LettaformError, match="cannot write the snapshot") as refused:
        written(tmp_path, [("", BLOCK)])
    assert "nothing was changed" in (refused.value.hint or "")


# --- large, and interrupted ------------------------------------------------------------------------------------------

MEGABYTE = 1_000_000


class Large(Server):
    """Agent files and passages of a megabyte each."""

    async def all_items(self, live: Live) -> Mapping[str, list[Item]]:
        return {"passages": [Item("key", "p", {"text": "p" * MEGABYTE})]} if live.kind == "archive" else {}

    async def export(self, live: Live) -> Any:
        return {"agents": [live.id], "text": "x" * MEGABYTE}


def test_the_memory_of_a_snapshot_does_not_grow_with_the_fleet(tmp_path: Path) -> None:
    fleet = [("", Live("agent", f"agent-{number}", "a", {})) for number in range(40)]
    fleet += [("", Live("archive", f"archive-{number}", "a", {})) for number in range(40)]
    tracemalloc.start()
    try:
        folder = asyncio.run(export(Large(), "s", fleet, {}, tmp_path))  # type: ignore[arg-type]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * MEGABYTE
    assert len(json.loads((folder / "snapshot.json").read_text())["objects"]) == 80
    assert len(list(folder.glob("*.af"))) == 40


def test_files_are_written_outside_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[threading.Thread] = set()
    dump = json.dump

    def noted(*words: Any, **named: Any) -> None:
        threads.add(threading.current_thread())
        dump(*words, **named)

    monkeypatch.setattr(json, "dump", noted)
    written(tmp_path, [("agents.ann", AGENT), ("", BLOCK)])
    assert threads
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("stop", [asyncio.CancelledError(), Unavailable("no answer"), OSError("full")])
def test_an_unfinished_snapshot_is_removed(tmp_path: Path, stop: BaseException) -> None:
    class Stopping(Server):
        async def export(self, live: Live) -> Any:
            raise stop

    with pytest.raises((asyncio.CancelledError, LettaformError)):
        asyncio.run(export(Stopping(), "s", [("", BLOCK), ("agents.ann", AGENT)], {}, tmp_path))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
