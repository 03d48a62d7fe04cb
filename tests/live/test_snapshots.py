"""Snapshots of a real server: whole, equal as long as nothing changes, and proven before anything is deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import LettaformError, SnapshotError
from lettaform.model import PlanOptions
from tests.live.fleet import TOOL, Fleet

DESTROY = PlanOptions(destroy=True, allow_destroy=("*",))
MANIFEST = """
variables: {key: {secret: true, default: hunter22}}
blocks: {team: {value: "Ann, Bob", tags: [people]}}
tools: {weather: {source: weather.py}}
agents:
  ann:
    system: Be kind.
    memory: {notes: none}
    blocks: [team]
    tools: [weather]
    secrets: {KEY: "${var.key}"}
    sleeptime: {frequency: 3}
    hidden: true
    compaction_settings: {clip_chars: 777}
  bob: {memory: {notes: none}, blocks: [team]}
conversations: {talk: {agent: ann, isolated: [notes]}}
"""


@pytest.fixture
def stack(fleet: Fleet) -> Iterator[Fleet]:
    """A stack with shared memory and a conversation, destroyed afterwards."""
    fleet.write(MANIFEST, weather_py=TOOL.format(name=f"weather_{fleet.stack.replace('-', '_')}"))
    fleet.apply()
    yield fleet
    with suppress(LettaformError):
        flow.apply(fleet.source, fleet.connection, DESTROY, consent=True)


def say(stack: Fleet, path: str, text: str) -> None:
    body = {"messages": [{"role": "user", "content": text}], "streaming": False}
    stack.raw.post(f"{path}/messages", json=body).raise_for_status()


def create(stack: Fleet) -> Path:
    return flow.snapshot_create(stack.source, stack.connection)


def diff(stack: Fleet, old: Path) -> dict[str, list[str]]:
    found = flow.snapshot_diff(stack.source, stack.connection, old)
    return {str(change.address): [each.path for each in change.fields_changed] for change in found.changes}


def test_a_snapshot_is_whole_equal_and_shows_what_changes(stack: Fleet) -> None:
    bob, ann = stack.agent("bob")["id"], stack.agent("ann")["id"]
    say(stack, f"/v1/agents/{bob}", "Hello.")
    talk = stack.raw.get("/v1/conversations/", params={"agent_id": ann}).json()[0]["id"]
    say(stack, f"/v1/conversations/{talk}", "In the thread.")
    one, other = create(stack), create(stack)
    bodies = [json.loads((each / "snapshot.json").read_text()) for each in (one, other)]
    assert {key for key in bodies[0] if bodies[0][key] != bodies[1][key]} == {"created_at"}
    assert flow.snapshot_verify(one) == []
    texts = "".join(file.read_text() for file in one.iterdir())
    assert ("hunter22" in texts, "Hello." in texts, "In the thread." in texts) == (False, True, True)
    entries = {str(entry.live.address): entry for entry in flow.snapshot_read(one).entries}
    kept = entries["agents.ann"].live.values
    assert (kept["hidden"], kept["compaction_settings"]["clip_chars"]) == (True, 777)
    assert entries["blocks.team"].live.values["tags"] == ["people"]
    assert entries["groups.ann-sleeptime"].live.values["frequency"] == 3
    assert entries["agents.ann"].secrets == ("secrets.KEY",)
    assert diff(stack, one) == {}
    stack.patch(f"/v1/agents/{bob}/core-memory/blocks/team", value="Spoilt.")
    stack.patch(f"/v1/agents/{bob}", system="Be rude.")
    say(stack, f"/v1/agents/{bob}", "Again.")
    assert diff(stack, one) == {"agents.bob": ["system", "messages"], "blocks.team": ["value"]}


def test_destroy_proves_its_snapshot_first(stack: Fleet) -> None:
    say(stack, f"/v1/agents/{stack.agent('bob')['id']}", "Hello.")
    announced: list[tuple[Path, int]] = []
    keep = flow.Snapshots(stack.folder / "kept", lambda path: announced.append((path, len(stack.agents()))))
    flow.apply(stack.source, stack.connection, DESTROY, snapshots=keep, consent=True)
    ((folder, alive),) = announced
    assert (alive, stack.agents()) == (3, [])
    assert flow.snapshot_verify(folder) == []
    assert "Hello." in "".join(each.read_text() for each in folder.glob("*.messages.json"))


# --- messages that the server cannot list -----------------------------------------------------------------------------


class Broken(httpx.AsyncHTTPTransport):
    """The server, which answers 500 to every request about the messages of one agent, as after a broken row."""

    def __init__(self, agent: str) -> None:
        super().__init__()
        self.paths = {f"/v1/agents/{agent}/{each}" for each in ("export", "messages")}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path in self.paths:
            return httpx.Response(500, json={"detail": "An unknown error occurred"})
        return await super().handle_async_request(request)


def without(*patterns: str) -> PlanOptions:
    return PlanOptions(destroy=True, allow_destroy=("*",), without_messages=patterns)


def test_an_agent_whose_messages_cannot_be_listed_is_deleted_and_comes_back_without_them(
    stack: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lettaform.backend.v1.client._pause", lambda state: 0.0)
    ann, bob = stack.agent("ann")["id"], stack.agent("bob")["id"]
    for each in (ann, bob):
        say(stack, f"/v1/agents/{each}", "Hello.")
    with monkeypatch.context() as patch:
        patch.setattr(flow, "connect", lambda url, **more: connect(url, **more, transport=Broken(bob)))
        with pytest.raises(SnapshotError) as refused:
            flow.apply(stack.source, stack.connection, DESTROY, consent=True)
        (problem,) = refused.value.problems
        assert problem.address == "agents.bob"
        assert f"GET /v1/agents/{bob}/export: 500" in problem.message
        assert len(stack.agents()) == 3
        _, report = flow.apply(stack.source, stack.connection, without("agents.bob"), consent=True)
    assert report is not None
    assert (report.exit_code, [each.severity for each in report.warnings], stack.agents()) == (0, ["warning"], [])
    folder = Path(str(report.snapshot))
    plan, report = flow.restore(stack.source, stack.connection, folder, consent=True)
    assert report is not None
    assert report.exit_code == 0
    notes = {str(change.address): change.notes for change in plan.changes}
    assert notes["agents.bob"] == ("its messages are not restored: the snapshot was taken without them",)
    said = {
        name: [
            each.get("content")
            for each in stack.raw.get(f"/v1/agents/{stack.agent(name)['id']}/messages").json()
            if each["message_type"] == "user_message"
        ]
        for name in ("ann", "bob")
    }
    assert said == {"ann": ["Hello."], "bob": []}
    stack.assert_no_changes()


def test_an_agent_that_the_server_cannot_export_is_deleted_and_what_can_be_read_is_kept(
    stack: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lettaform.backend.v1.client._pause", lambda state: 0.0)
    bob = stack.agent("bob")["id"]
    say(stack, f"/v1/agents/{bob}", "Hello.")
    # 0.16.8 takes such a name when an agent is changed, and answers 500 to each export of it
    stack.patch(f"/v1/agents/{bob}", name="bad/name")
    with pytest.raises(SnapshotError, match="does not give all messages"):
        flow.apply(stack.source, stack.connection, DESTROY, consent=True)
    _, report = flow.apply(stack.source, stack.connection, without("agents.bob"), consent=True)
    assert report is not None
    assert (report.exit_code, stack.agents()) == (0, [])
    (entry,) = flow.snapshot_read(Path(str(report.snapshot))).without_messages
    assert (str(entry.live.address), entry.file) == ("agents.bob", None)
    assert "Hello." in (Path(str(report.snapshot)) / str(entry.messages)).read_text()
