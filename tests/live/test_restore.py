"""Restore and rollback on a real server: the same stack, an empty server, another stack; nothing reads as changed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.backend.listed import grouped
from lettaform.errors import LettaformError
from lettaform.model import Plan, Verified
from lettaform.snapshot.messages import rebuilt
from tests.faults.harness import ID
from tests.live.conftest import Letta
from tests.live.fleet import TOOL, Fleet, RequestLog, changes
from tests.live.organization import OrganizationTransport, new_organization
from tests.live.test_import_all import api
from tests.live.test_snapshots import DESTROY, create, diff, say

MANIFEST = """
variables: {key: {secret: true, default: hunter22}}
blocks: {team: {value: "Ann, Bob", tags: [people]}}
tools: {weather: {source: weather.py}}
identities: {lead: {name: Lead, identity_type: user}}
folders: {papers: {embedding: EMBEDDING, files: [paper.txt]}}
archives: {facts: {embedding: EMBEDDING, passages: [One fact., Two facts.]}}
agents:
  ann:
    system: Be kind.
    memory: {notes: none}
    blocks: [team]
    tools: [weather, send_message]
    folders: [papers]
    archive: facts
    identities: [lead]
    secrets: {KEY: "${var.key}"}
    sleeptime: {frequency: 3}
    hidden: true
    compaction_settings: {clip_chars: 777}
  bob: {memory: {notes: none}, blocks: [team]}
  eve: {memory: {notes: none}, blocks: [team]}
conversations: {talk: {agent: bob, isolated: [notes]}, open: {agent: eve, model: MODEL}, other: {agent: eve}}
"""


@pytest.fixture
def stack(fleet: Fleet, letta: Letta) -> Iterator[Fleet]:
    """A stack with shared memory and messages, destroyed afterwards."""
    tool = TOOL.format(name=f"weather_{fleet.stack.replace('-', '_')}")
    manifest = MANIFEST.replace("EMBEDDING", letta.embedding).replace("MODEL", letta.model)
    manifest = manifest.replace("name: Lead", f"name: Lead, identifier_key: {fleet.stack}")
    manifest = manifest.replace("papers: {", f"papers: {{name: papers-{fleet.stack}, ")
    fleet.write(manifest, weather_py=tool, **{"paper.txt": "A paper.\n"})
    try:
        fleet.apply()
        for name in ("ann", "bob", "eve"):
            say(fleet, f"/v1/agents/{fleet.agent(name)['id']}", f"Hello, {name}.")
        for name in ("open", "other"):
            say(fleet, f"/v1/conversations/{talk(fleet.raw, fleet.agent('eve')['id'], name)['id']}", f"In {name}.")
        fleet.patch(f"/v1/agents/{fleet.agent('ann')['id']}/core-memory/blocks/notes", value="learnt")
        (copied,) = talk(fleet.raw, fleet.agent("bob")["id"], "talk")["isolated_block_ids"]
        fleet.patch(f"/v1/blocks/{copied}", value="learnt there", limit=777)
        yield fleet
    finally:
        with suppress(LettaformError):
            flow.apply(fleet.source, fleet.connection, DESTROY, consent=True)


def restore(fleet: Fleet, path: Path, *addresses: str, **more: Any) -> Plan:
    plan, report = flow.restore(fleet.source, fleet.connection, path, addresses, **more, consent=True)
    assert report is not None, "nothing was to do"
    assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]
    return plan


def talk(raw: httpx.Client, agent: str, name: str) -> dict[str, Any]:
    """The conversation of an agent with this summary."""
    every = raw.get("/v1/conversations/", params={"agent_id": agent, "limit": 100}).json()
    (found,) = [each for each in every if (each["summary"] or "").split("\n")[0] == name]
    return dict(found)


def listed(raw: httpx.Client, path: str) -> list[tuple[str, str, str]]:
    """Type, date and text of the messages of an agent or a conversation, without prompts."""
    params = {"limit": 100, "order": "asc", "use_assistant_message": False}
    every = raw.get(f"{path}/messages", params=params).json()
    texts = ("content", "reasoning", "tool_calls", "tool_returns", "approvals")
    return [
        (each["message_type"], each["date"], str([each.get(name) for name in texts]))
        for each in every
        if each["message_type"] != "system_message"
    ]


def agent_named(raw: httpx.Client, name: str, stack: str) -> str:
    params = {"tags": f"lettaform:stack={stack}", "limit": 1000, "show_hidden_agents": True}
    (agent,) = [each for each in raw.get("/v1/agents/", params=params).json() if each["name"] == name]
    return str(agent["id"])


def said(raw: httpx.Client, name: str, stack: str) -> list[Any]:
    """The messages of an agent, of the contexts of its conversations, and of its own context."""
    id = agent_named(raw, name, stack)
    talks = raw.get("/v1/conversations/", params={"agent_id": id, "limit": 100, "order": "asc"}).json()
    threads = {each["summary"].split("\n")[0]: listed(raw, f"/v1/conversations/{each['id']}") for each in talks}
    own = raw.get(f"/v1/agents/{id}/export").raise_for_status().json()["agents"]
    (context,) = [[part["created_at"] for part in each["messages"][1:]] for each in own if each["name"] == name]
    return [listed(raw, f"/v1/agents/{id}"), sorted(threads.items()), context]


def test_spoilt_memory_prompts_and_attachments_are_as_they_were(stack: Fleet) -> None:
    before = create(stack)
    ann, team = stack.agent("ann")["id"], stack.block("team")["id"]
    stack.patch(f"/v1/agents/{ann}/core-memory/blocks/notes", value="spoilt")
    stack.patch(f"/v1/blocks/{team}", value="spoilt")
    stack.patch(f"/v1/agents/{ann}", system="Be rude.")
    stack.patch(f"/v1/agents/{stack.agent('bob')['id']}/core-memory/blocks/detach/{team}")
    plan = restore(stack, before)
    assert {(address, path) for _, address, paths in changes(plan) for path in paths} == {
        ("agents.ann", "system"),
        ("agents.ann.memory.notes", "value"),
        ("blocks.team", "value"),
        ("agents.bob", "blocks"),
    }
    assert diff(stack, before) == {}
    stack.assert_no_changes()
    assert flow.restore(stack.source, stack.connection, before, consent=True)[1] is None


def test_a_destroyed_fleet_comes_back_with_its_messages(stack: Fleet) -> None:
    names = ("ann", "bob", "eve")
    messages = {name: said(stack.raw, name, stack.stack) for name in names}
    before = create(stack)
    flow.apply(stack.source, stack.connection, DESTROY, consent=True)
    assert stack.agents() == []
    plan = restore(stack, before)
    stack.assert_no_changes()
    assert {name: said(stack.raw, name, stack.stack) for name in names} == messages
    team = stack.block("team")["id"]
    assert all(team in [b["id"] for b in stack.agent(name)["blocks"]] for name in names)
    assert stack.block("notes", "ann")["value"] == "learnt"
    assert stack.raw.get(f"/v1/agents/{stack.agent('ann')['id']}").json()["secrets"][0]["value"] == "hunter22"
    copied = talk(stack.raw, stack.agent("bob")["id"], "talk")["isolated_block_ids"]
    block = stack.raw.get(f"/v1/blocks/{copied[0]}").json()
    assert (block["value"], block["limit"]) == ("learnt there", 777)
    assert talk(stack.raw, stack.agent("eve")["id"], "open")["model"] is not None
    # messages of the sleeptime agent are not restored; own copies of blocks have no address
    found = {
        address: paths for address, paths in diff(stack, before).items() if not address.startswith("blocks.block-")
    }
    assert found.keys() <= {"agents.ann-sleeptime"}
    assert all(paths == ["messages"] for paths in found.values())
    notes = {str(change.address): change.notes for change in plan.changes}
    assert [notes[each] for each in ("conversations.open", "conversations.other", "agents.eve")] == [()] * 3


def test_an_empty_second_server_gets_the_same_fleet(
    stack: Fleet, letta: Letta, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("ann", "bob", "eve")
    messages = {name: said(stack.raw, name, stack.stack) for name in names}
    with new_organization(letta.url, letta.password, api()) as second:

        def connect_by_name(url: str, **more: Any) -> Any:
            if url == letta.url:
                return connect(url, **more)
            return connect(letta.url, **more, transport=OrganizationTransport(second.user))

        monkeypatch.setattr(flow, "connect", connect_by_name)
        first, other = stack.connection, replace(stack.connection, url="http://second.test")

        def assert_same() -> None:
            stack.assert_no_changes()
            assert {name: said(second.http, name, stack.stack) for name in names} == messages
            params = {"tags": f"lettaform:stack={stack.stack}", "limit": 100}
            blocks = second.http.get("/v1/blocks/", params=params).json()
            (team,) = [each for each in blocks if each["label"] == "team"]
            users = second.http.get(f"/v1/blocks/{team['id']}/agents").json()
            assert {"ann", "bob", "eve"} <= {each["name"] for each in users}
            flow.apply(stack.source, stack.connection, DESTROY, consent=True)

        _assert_migrated(stack, first, other, monkeypatch)
        stack.connection = other
        assert_same()
        stack.connection = first
        before = create(stack)
        flow.apply(stack.source, stack.connection, DESTROY, consent=True)
        stack.connection = other
        restore(stack, before)
        assert_same()
        stack.connection = first


def _assert_migrated(
    stack: Fleet, first: flow.Connection, other: flow.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Migrate, and assert that the second server has everything as it was, and that the first was only read."""
    with monkeypatch.context() as patch:
        log = RequestLog(patch)
        plan, report = flow.migrate(stack.source, first, other, consent=True)
        sent = {id for _, path, _ in log.writes() for id in ID.findall(path)}
    assert report is not None
    assert report.verified == Verified(), report
    assert sent.isdisjoint({each["id"] for each in (*stack.agents(), *stack.blocks())})
    assert not [note for change in plan.changes for note in change.notes if "own copies" in note]
    plan, report = flow.migrate(stack.source, first, other, consent=True)
    assert (plan.steps, report) == ((), None)


DIARY = {"label": "diary", "value": "Dear diary.", "description": "What happened.", "limit": 777, "read_only": True}
DIARY_MORE = {"tags": ["theirs"], "metadata": {"mood": "good"}}


def test_what_agents_made_themselves_comes_back_and_nobody_owns_it(fleet: Fleet) -> None:
    fleet.write("agents: {ann: {memory: {notes: none}}, bob: {}}\n")
    fleet.apply()
    made = set[str]()

    def remembered() -> list[Any]:
        """The block and the archive that agents made themselves: their values, users and passages."""
        ann, bob = (fleet.agent(name)["id"] for name in ("ann", "bob"))
        (archive,) = fleet.raw.get("/v1/archives/", params={"agent_id": ann}).json()
        memory = f"/v1/agents/{ann}/archival-memory"
        ids = {fleet.raw.get(f"/v1/agents/{id}/core-memory/blocks/diary").json()["id"] for id in (ann, bob)}
        (block,) = [fleet.raw.get(f"/v1/blocks/{id}").json() for id in ids]
        made.update((f"/v1/blocks/{block['id']}", f"/v1/archives/{archive['id']}"))
        return [
            {name: block[name] for name in (*DIARY, *DIARY_MORE)},
            (archive["name"], archive["description"]),
            sorted((each["text"], each["tags"]) for each in fleet.raw.get(memory, params={"limit": 10}).json()),
        ]

    try:
        ann = fleet.agent("ann")["id"]
        say(fleet, f"/v1/agents/{ann}", "Hello, ann.")
        for text in ("Ann knows this.", "And that."):
            body = {"text": text, "tags": ["x"]}
            fleet.raw.post(f"/v1/agents/{ann}/archival-memory", json=body).raise_for_status()
        diary = fleet.raw.post("/v1/blocks/", json={**DIARY, **DIARY_MORE}).raise_for_status().json()["id"]
        for name in ("ann", "bob"):
            path = f"/v1/agents/{fleet.agent(name)['id']}/core-memory/blocks/attach/{diary}"
            fleet.raw.patch(path).raise_for_status()
        before, had = create(fleet), remembered()
        assert had[0] == {**DIARY, **DIARY_MORE}
        assert len(had[2]) == 2
        flow.apply(fleet.source, fleet.connection, DESTROY, consent=True)
        for path in made:
            fleet.raw.delete(path).raise_for_status()
        made.clear()
        plan = restore(fleet, before)
        assert remembered() == had
        owned = flow.state_list(fleet.source, fleet.connection)
        assert {str(each.address) for each in owned} == {"agents.ann", "agents.ann.memory.notes", "agents.bob"}
        assert "lettaform" not in str([fleet.raw.get(path).json() for path in made])
        fleet.assert_no_changes()
        assert flow.restore(fleet.source, fleet.connection, before, consent=True)[1] is None
        assert len([each for each in plan.changes if each.notes]) == 2
    finally:
        flow.apply(fleet.source, fleet.connection, DESTROY, consent=True)
        for path in made:
            fleet.raw.delete(path)


def test_another_stack_gets_a_copy(stack: Fleet) -> None:
    before = create(stack)
    copy = f"{stack.stack}-copy"
    parts = ("blocks.team", "agents.bob*", "agents.eve*")
    restore(stack, before, *parts, stack=copy)
    try:
        stack.assert_no_changes()
        assert said(stack.raw, "bob", copy)[0] == said(stack.raw, "bob", stack.stack)[0]
    finally:
        text = (stack.folder / "lettaform.yaml").read_text()
        (stack.folder / "lettaform.yaml").write_text(f"stack: {copy}\n")
        flow.apply(stack.source, stack.connection, DESTROY, consent=True)
        (stack.folder / "lettaform.yaml").write_text(text)


def test_rollback_undoes_the_last_apply(stack: Fleet) -> None:
    text = (stack.folder / "lettaform.yaml").read_text()
    spoilt = text.replace("memory: {notes: none}\n", "memory: {notes: {value: spoilt, policy: {value: enforce}}}\n")
    (stack.folder / "lettaform.yaml").write_text(spoilt.replace("Be kind.", "Be rude."))
    flow.apply(stack.source, stack.connection, snapshots=flow.Snapshots(changed=True), consent=True)
    assert stack.block("notes", "ann")["value"] == "spoilt"
    (stack.folder / "lettaform.yaml").write_text(text)
    plan, report = flow.rollback(stack.source, stack.connection, consent=True)
    assert report is not None
    assert report.exit_code == 0
    assert {(address, path) for _, address, paths in changes(plan) for path in paths} == {
        ("agents.ann", "system"),
        ("agents.ann.memory.notes", "value"),
    }
    assert stack.block("notes", "ann")["value"] == "learnt"
    stack.assert_no_changes()


def text(text: str) -> list[Any]:
    return [{"type": "text", "text": text}]


def call(number: int, name: str = "send_message") -> dict[str, Any]:
    arguments = '{"message": "Hi."}'
    return {"id": f"call-{number}", "type": "function", "function": {"name": name, "arguments": arguments}}


ANSWERED = [
    {"tool_call_id": "call-1", "status": "success", "func_response": '{"status": "OK", "message": "None"}'},
    {"tool_call_id": "call-2", "status": "error", "func_response": '{"status": "Failed", "message": "bad"}'},
]
CONSENT = {"type": "approval", "tool_call_id": "call-3", "approve": False, "reason": "no"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
EVERY_FORM: list[dict[str, Any]] = [
    {"role": "system", "content": text("Be kind.")},
    {"role": "user", "content": text("Hello."), "name": "Bob"},
    {
        "role": "assistant",
        "content": [{"type": "reasoning", "is_native": True, "reasoning": "Hm.", "signature": "s"}, *text("I call.")],
        "tool_calls": [call(1), call(2, "other")],
    },
    {"role": "tool", "content": text("{}"), "tool_call_id": "call-1", "tool_returns": ANSWERED, "name": "send_message"},
    {"role": "user", "content": [*text("See."), PICTURE]},
    {"role": "assistant", "content": [{"type": "redacted_reasoning", "data": "x"}, {"type": "omitted_reasoning"}]},
    {"role": "approval", "content": text("May I?"), "tool_calls": [call(3, "other")]},
    {"role": "approval", "content": [], "approvals": [CONSENT], "approve": False, "approval_request_id": "call-3"},
    {"role": "summary", "content": text('{"type": "system_alert", "message": "Before that, …"}')},
    {"role": "user", "content": text('{"type": "user_message", "message": "Packed."}')},
]


def imported(fleet: Fleet, file: dict[str, Any], messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The list of the messages of an agent that is created with them, without what is new with each import."""
    numbered = [{"id": f"message-{n}", "agent_id": "agent-0", **each} for n, each in enumerate(messages)]
    file["agents"][0] |= {"messages": numbered, "in_context_message_ids": ["message-0"], "tags": []}
    answer = fleet.raw.post("/v1/agents/import", files={"file": ("a.af", json.dumps(file))})
    (id,) = answer.raise_for_status().json()["agent_ids"]
    params = {"order": "asc", "use_assistant_message": False}
    found = fleet.raw.get(f"/v1/agents/{id}/messages", params=params).raise_for_status().json()
    fleet.raw.delete(f"/v1/agents/{id}")
    numbers = {each: str(number) for number, each in enumerate(grouped(found))}
    new = {"otid": None, "step_id": None, "run_id": None}
    return [{**each, **new, "id": numbers[each["id"]]} for each in found]


def test_messages_that_are_put_together_are_listed_as_before(fleet: Fleet) -> None:
    fleet.write("agents: {ann: {}}\n")
    fleet.apply()
    try:
        file = fleet.raw.get(f"/v1/agents/{fleet.agent('ann')['id']}/export").json()
        dates = (f"2026-01-01T00:00:{number:02}.123456Z" for number in range(len(EVERY_FORM)))
        whole = [{"created_at": date, **each} for each, date in zip(EVERY_FORM, dates, strict=True)]
        before = imported(fleet, file, whole)
        again = [rebuilt(entries) or {} for entries in grouped(before).values()]
        assert len(again) == len(EVERY_FORM)
        assert imported(fleet, file, again) == before
    finally:
        flow.apply(fleet.source, fleet.connection, DESTROY, consent=True)
