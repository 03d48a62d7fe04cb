"""Taking a snapshot: its files, what it leaves out, what it takes over from the one before, and interruptions."""

from __future__ import annotations

import asyncio
import json
import threading
import tracemalloc
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lettaform.errors import SnapshotError, Unavailable
from lettaform.model import Live
from lettaform.snapshot import Header, Objects, take
from lettaform.values import Item, Secret
from tests.snapshot.samples import ANN, FACTS, HEADER, NOTES, OBJECTS, TEAM, TOOL, Server, at, body


def taken(directory: Path, objects: Objects = OBJECTS, server: Any = None, header: Header = HEADER) -> Path:
    return asyncio.run(take(server or Server(), header, objects, directory))


def later(number: int) -> Header:
    return replace(HEADER, created_at=f"2026-11-27T08:00:0{number}.000000Z")


def entries(folder: Path) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in body(folder)["objects"]}


def test_an_agent_that_ran_has_an_agent_file_and_its_messages(tmp_path: Path) -> None:
    folder = taken(tmp_path)
    ann = entries(folder)["agent-1"]
    assert (ann["file"], ann["messages"]) == ("001-ann.af", "001-ann.messages.json")
    assert json.loads((folder / ann["file"]).read_text())["agents"][0]["name"] == "ann"
    assert json.loads((folder / ann["messages"]).read_text())["messages"] == Server().history
    assert folder.name == "s-20261127T080000.000000Z"


def test_an_agent_that_never_ran_has_none(tmp_path: Path) -> None:
    server = Server()
    folder = taken(tmp_path, replace(OBJECTS, lives=(replace(ANN, unused=True),)), server)
    assert entries(folder)["agent-1"]["file"] is None
    assert server.asked == []


def test_a_shared_block_is_there_once(tmp_path: Path) -> None:
    bob = replace(ANN, id="agent-2", name="bob", address=at("agents.bob"), unused=True)
    folder = taken(tmp_path, replace(OBJECTS, lives=(ANN, bob, TEAM, NOTES)))
    held = [each for each in body(folder)["objects"] if each["kind"] == "block"]
    assert [each["values"]["value"] for each in held] == ["none", "Ann, Bob"]


def test_contents_are_a_file(tmp_path: Path) -> None:
    folder = taken(tmp_path)
    facts = entries(folder)["archive-1"]
    (passage,) = json.loads((folder / facts["contents"]).read_text())["passages"]
    assert passage == {"key": "key", "name": "One.", "body": {"text": "One."}}
    assert "passages" not in facts["values"]


def test_objects_of_others_are_named_and_built_in_ones_have_no_values(tmp_path: Path) -> None:
    server = Server()
    theirs = replace(FACTS, id="archive-2", stack="other", address=None)
    folder = taken(tmp_path, replace(OBJECTS, used=(TOOL, theirs)), server)
    assert (entries(folder)["tool-1"]["used"], entries(folder)["tool-1"]["values"]) == (True, {})
    assert entries(folder)["archive-2"]["contents"] is None
    assert "items archive-2" not in server.asked


def test_secrets_are_named_and_nothing_more(tmp_path: Path) -> None:
    url = Secret("", "", ("https://x?key=", Secret("live", "hunter2")))
    server = Live(
        "mcp_server", "mcp_server-1", "web", {"name": "web", "url": "https://x?key=hunter2", "token": "hunter2"}
    )
    declared = {at("mcp_servers.web"): {"url": url}}
    folder = taken(tmp_path, Objects((replace(server, address=at("mcp_servers.web"), stack="s"),), declared=declared))
    web = entries(folder)["mcp_server-1"]
    assert web["secrets"] == ["token", "url"]
    assert "hunter2" not in json.dumps(body(folder))


def test_two_snapshots_differ_in_the_time_alone(tmp_path: Path) -> None:
    class Shuffled(Server):
        async def export(self, live: Live) -> Any:
            file = await super().export(live)
            return {**file, "blocks": file["blocks"][::-1], "created_at": str(len(self.asked))}

    one = taken(tmp_path / "a", server=Shuffled())
    other = taken(tmp_path / "b", server=Server(), header=later(9))
    assert {each.name for each in one.iterdir()} == {each.name for each in other.iterdir()}
    for file in one.iterdir():
        if file.name != "snapshot.json":
            assert file.read_bytes() == (other / file.name).read_bytes()
    assert {key for key, value in body(one).items() if body(other)[key] != value} == {"created_at"}


# --- from the one before ---------------------------------------------------------------------------------------------


def test_files_of_an_unchanged_agent_are_links(tmp_path: Path) -> None:
    first, server = taken(tmp_path), Server()
    second = taken(tmp_path, server=server, header=later(1))
    assert server.asked == ["items archive-1"]
    assert (second / "001-ann.af").samefile(first / "001-ann.af")
    assert body(first)["digest"] == body(second)["digest"]


CHANGES: dict[str, Objects] = {
    "messages": replace(OBJECTS, lives=(replace(ANN, activity="messages-2"), *OBJECTS.lives[1:])),
    "a field": replace(OBJECTS, lives=(replace(ANN, values={**ANN.values, "system": "Be rude."}), *OBJECTS.lives[1:])),
    "a block": replace(OBJECTS, lives=(ANN, replace(TEAM, values={"label": "team", "value": "x"}), NOTES, FACTS)),
    "a tool": replace(OBJECTS, used=(replace(TOOL, name="send_it"),)),
    "no proof": replace(OBJECTS, lives=(replace(ANN, activity=""), *OBJECTS.lives[1:])),
}


@pytest.mark.parametrize("objects", CHANGES.values(), ids=CHANGES)
def test_files_of_a_changed_agent_are_exported_again(tmp_path: Path, objects: Objects) -> None:
    taken(tmp_path)
    server = Server()
    taken(tmp_path, objects, server, later(1))
    assert "export agent-1" in server.asked


def test_a_conversation_shows_nothing_of_its_messages(tmp_path: Path) -> None:
    talk = Live(
        "conversation", "conv-1", "talk", {"summary": "talk", "agent": "agent-1"}, at("conversations.talk"), "s"
    )
    objects, server = replace(OBJECTS, lives=(*OBJECTS.lives, talk)), Server()
    taken(tmp_path, objects)
    taken(tmp_path, objects, server, later(1))
    assert [each for each in server.asked if "export" in each] == ["export agent-1", "export conv-1"]


@pytest.mark.parametrize("spoil", ["changed", "removed", "of another server", "not readable"])
def test_a_spoilt_snapshot_is_not_taken_over(tmp_path: Path, spoil: str) -> None:
    first, server = taken(tmp_path), Server()
    header = later(1)
    match spoil:
        case "changed":
            (first / "001-ann.af").write_text("{}")
        case "removed":
            (first / "001-ann.messages.json").unlink()
        case "of another server":
            header = replace(header, url="http://elsewhere")
        case _:
            (first / "snapshot.json").write_text("{")
    second = taken(tmp_path, server=server, header=header)
    assert "export agent-1" in server.asked
    assert json.loads((second / "001-ann.af").read_text())["agents"]


# --- messages that the server does not give --------------------------------------------------------------------------


class Unreadable(Server):
    """Answers 500 to these requests about messages. `alive`: whether it answers others."""

    def __init__(self, *requests: str, alive: bool = True) -> None:
        super().__init__()
        self.requests, self.alive = requests, alive

    async def export(self, live: Live) -> Any:
        self.refuse("export")
        return await super().export(live)

    async def messages(self, live: Live) -> list[Mapping[str, Any]]:
        self.refuse("messages")
        return await super().messages(live)

    async def context(self, live: Live) -> list[str]:
        if not self.alive:
            raise Unavailable("GET /v1/agents/agent-1: 500 down")
        return await super().context(live)

    def refuse(self, request: str) -> None:
        if request in self.requests:
            raise Unavailable(f"GET /{request}: 500 An unknown error occurred")


OPTIONAL = replace(OBJECTS, optional=frozenset({"agent-1"}))
TALK = Live("conversation", "conv-1", "", {"summary": "talk", "agent": "agent-1"}, None)


@pytest.mark.parametrize(
    ("requests", "file", "messages"),
    [
        (("export", "messages"), None, None),
        (("export",), None, "001-ann.messages.json"),
        (("messages",), "001-ann.af", None),
    ],
    ids=["neither", "no agent file", "no list"],
)
def test_what_the_server_gives_of_the_messages_is_kept(
    tmp_path: Path, requests: tuple[str, ...], file: str | None, messages: str | None
) -> None:
    folder = taken(tmp_path, OPTIONAL, Unreadable(*requests))
    ann = entries(folder)["agent-1"]
    assert (ann["file"], ann["messages"], ann["evidence"]) == (file, messages, "")
    assert ann["without_messages"] == f"GET /{requests[0]}: 500 An unknown error occurred"
    assert sorted(each.name for each in folder.glob("001-ann*")) == [each for each in (file, messages) if each]
    assert "without_messages" not in entries(folder)["block-1"]


def test_an_error_names_what_has_no_address_by_its_agent(tmp_path: Path) -> None:
    objects = replace(OBJECTS, lives=(*OBJECTS.lives, TALK))
    with pytest.raises(SnapshotError) as refused:
        taken(tmp_path, objects, Unreadable("export"), replace(HEADER, scope="plan"))
    ann, talk = refused.value.problems
    assert ann.message == "agents.ann: GET /export: 500 An unknown error occurred"
    assert (talk.message, talk.address) == (
        "conversation conv-1: GET /export: 500 An unknown error occurred",
        "agents.ann",
    )
    assert "`--without-messages agents.ann`" in str(talk.hint)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_answers_nothing_at_all_is_no_fault_of_an_agent(tmp_path: Path) -> None:
    for objects in (OBJECTS, OPTIONAL):
        with pytest.raises(Unavailable, match="down"):
            taken(tmp_path, objects, Unreadable("export", "messages", alive=False))
    assert list(tmp_path.iterdir()) == []


def test_older_messages_are_not_linked_as_those_of_today(tmp_path: Path) -> None:
    first = taken(tmp_path, OPTIONAL)
    said_more = replace(OPTIONAL, lives=(replace(ANN, activity="messages-2"), *OBJECTS.lives[1:]))
    second = taken(tmp_path, said_more, Unreadable("export", "messages"), later(1))
    assert (entries(second)["agent-1"]["file"], list(second.glob("*.af"))) == (None, [])
    # what proves to be the same is linked, also if the server no longer gives it
    whole = taken(tmp_path / "again", OPTIONAL)
    linked = taken(tmp_path / "again", OPTIONAL, Unreadable("export", "messages"), later(2))
    assert "without_messages" not in entries(linked)["agent-1"]
    assert (linked / "001-ann.af").samefile(whole / "001-ann.af")
    # and nothing is linked from one without messages
    server = Server()
    third = taken(tmp_path, said_more, server, later(3))
    assert ("export agent-1" in server.asked, "without_messages" in entries(third)["agent-1"]) == (True, False)
    assert (first / "001-ann.af").exists()


# --- large, and interrupted ------------------------------------------------------------------------------------------

MEGABYTE = 1_000_000


class Large(Server):
    """Agent files and passages of a megabyte each."""

    async def all_items(self, live: Live) -> Mapping[str, list[Item]]:
        return {"passages": [Item("key", "p", {"text": "p" * MEGABYTE})]}

    async def export(self, live: Live) -> Any:
        return {"agents": [], "text": "x" * MEGABYTE}


def test_the_memory_of_a_snapshot_does_not_grow_with_the_fleet(tmp_path: Path) -> None:
    fleet = [Live("agent", f"agent-{number}", "a", {}, stack="s") for number in range(40)]
    fleet += [Live("archive", f"archive-{number}", "a", {}, stack="s") for number in range(40)]
    tracemalloc.start()
    try:
        folder = taken(tmp_path, Objects(tuple(fleet)), Large())
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * MEGABYTE
    assert len(body(folder)["objects"]) == 80
    assert len(list(folder.glob("*.af"))) == 40


def test_files_are_written_outside_the_event_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[threading.Thread] = set()
    dumps = json.dumps

    def noted(*words: Any, **named: Any) -> str:
        if named.get("sort_keys"):
            threads.add(threading.current_thread())
        return dumps(*words, **named)

    monkeypatch.setattr(json, "dumps", noted)
    taken(tmp_path)
    assert threads
    assert threading.main_thread() not in threads


def test_what_was_deleted_in_the_meantime_is_left_out(tmp_path: Path) -> None:
    folder = taken(tmp_path, server=Server("agent-1", "archive-1"))
    assert {"agent-1", "archive-1"} & set(entries(folder)) == set()
    assert "block-1" in entries(folder)


@pytest.mark.parametrize("stop", [asyncio.CancelledError(), Unavailable("no answer"), OSError(28, "full")])
def test_an_unfinished_snapshot_is_removed(tmp_path: Path, stop: BaseException) -> None:
    class Stopping(Server):
        async def export(self, live: Live) -> Any:
            raise stop

    with pytest.raises((asyncio.CancelledError, SnapshotError, Unavailable)):
        taken(tmp_path, server=Stopping())
    assert list(tmp_path.iterdir()) == []
