"""Verification: each thing that a snapshot lacks is named, of itself and of what the server has."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lettaform.errors import Problem
from lettaform.model import Live
from lettaform.snapshot import Objects, Snapshot, take
from lettaform.snapshot.folder import content, read
from lettaform.snapshot.take import to_entries
from lettaform.snapshot.verify import faults, unproven
from lettaform.values import Item
from tests.snapshot.samples import ANN, FACTS, HEADER, NOTES, OBJECTS, TEAM, Server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return asyncio.run(take(Server(), HEADER, OBJECTS, tmp_path))  # type: ignore[arg-type]


def found(folder: Path, snapshot: Snapshot | None = None) -> list[Problem]:
    return list(faults(snapshot or read(folder), partial(content, folder)))


def test_a_whole_snapshot_has_no_fault(folder: Path) -> None:
    assert found(folder) == []


def without(*ids: str) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: replace(snapshot, entries=tuple(e for e in snapshot.entries if e.live.id not in ids))


def with_entry(id: str, **fields: Any) -> Callable[[Snapshot], Snapshot]:
    def change(snapshot: Snapshot) -> Snapshot:
        entries = (replace(entry, **fields) if entry.live.id == id else entry for entry in snapshot.entries)
        return replace(snapshot, entries=tuple(entries))

    return change


def test_messages_that_were_left_out_are_a_warning_that_names_what_is_there(folder: Path) -> None:
    change = with_entry("agent-1", messages=None, without_messages="GET /messages: 500")
    (problem,) = found(folder, change(read(folder)))
    assert problem.severity == "warning"
    assert problem.message == (
        "agents.ann: a restore brings it back without its messages: GET /messages: 500; "
        "001-ann.af has those in its context"
    )


INDEXES: dict[str, Callable[[Snapshot], Snapshot]] = {
    "agents.ann: refers to the tool tool-1, which is not in the snapshot": without("tool-1"),
    "agents.ann: has no agent file": with_entry("agent-1", file=None),
    "agents.ann: has no file with its messages": with_entry("agent-1", messages=None),
    "archives.facts: has no file with its passages": with_entry("archive-1", contents=None),
    "blocks.team: the state names block-1, which is not in the snapshot": without("block-1"),
}


@pytest.mark.parametrize(("message", "change"), INDEXES.items(), ids=INDEXES)
def test_what_the_index_lacks_is_named(folder: Path, message: str, change: Callable[[Snapshot], Snapshot]) -> None:
    assert message in [problem.message for problem in found(folder, change(read(folder)))]


FILES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "does not hold its prompt": ("001-ann.af", lambda file: file["agents"][0].update(system="Be rude.")),
    "does not hold the text of its block `team`": ("001-ann.af", lambda file: file["blocks"].clear()),
    "does not hold the source of its tool `send_message`": ("001-ann.af", lambda file: file["tools"].clear()),
    "does not hold the agent `ann`": ("001-ann.af", lambda file: file["agents"].clear()),
    "is no agent file (KeyError)": ("001-ann.af", lambda file: file["agents"][0].pop("messages")),
    "holds no list of messages": ("001-ann.messages.json", lambda file: file.clear()),
    "holds no list of passages": ("003-facts.contents.json", lambda file: file.clear()),
}


@pytest.mark.parametrize(("message", "spoilt"), FILES.items(), ids=FILES)
def test_what_a_file_lacks_is_named(folder: Path, message: str, spoilt: tuple[str, Callable[[Any], Any]]) -> None:
    name, change = spoilt
    value = json.loads((folder / name).read_text())
    change(value)
    (folder / name).write_text(json.dumps(value))
    assert any(problem.message.endswith(message) for problem in found(folder)), found(folder)


def test_content_that_the_server_does_not_give_is_a_warning(tmp_path: Path) -> None:
    class Bare(Server):
        async def all_items(self, live: Live) -> Any:
            return {"files": [Item("a.pdf 3 ?", "a.pdf")]}

    shelf = Live("folder", "source-1", "shelf", {"name": "shelf"}, stack="s")
    path = asyncio.run(take(Bare(), HEADER, Objects((shelf,)), tmp_path))  # type: ignore[arg-type]
    (problem,) = found(path)
    assert (problem.severity, "`a.pdf` has no content" in problem.message) == ("warning", True)


# --- proof -----------------------------------------------------------------------------------------------------------


def proof(folder: Path, *lives: Live) -> list[str]:
    return [problem.message for problem in unproven(read(folder), to_entries(Objects(lives)))]


def test_a_snapshot_proves_what_the_server_has(folder: Path) -> None:
    assert proof(folder, ANN, TEAM, NOTES, FACTS) == []


@pytest.mark.parametrize(
    ("live", "message"),
    [
        (replace(ANN, id="agent-9"), "agents.ann: is not in the snapshot"),
        (replace(TEAM, values={"label": "team", "value": "x"}), "`value` was changed while the snapshot was taken"),
        (replace(ANN, activity="messages-2"), "agents.ann: got messages while the snapshot was taken"),
        (replace(TEAM, values={**TEAM.values, "limit": 9}), "blocks.team: `limit` is not in the snapshot"),
    ],
    ids=["missing", "changed", "messages", "field"],
)
def test_what_it_does_not_prove_is_named(folder: Path, live: Live, message: str) -> None:
    (problem,) = proof(folder, live)
    assert problem.endswith(message)
