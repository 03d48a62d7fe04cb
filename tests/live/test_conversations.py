"""Conversations on a real server: create, update, replace and delete; isolated blocks; order relative to the agent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import Guarded, LettaformError, PlanError
from lettaform.model import PlanOptions
from tests.live.fleet import Fleet, RequestLog, changes

EVERYTHING = PlanOptions(destroy=True, allow_destroy=("*",))
ANN = "agents:\n  ann: {include_base_tools: false, memory: {diary: Nothing yet., notes: None.}}\n"
TALK = "conversations:\n  talk: {agent: ann, summary: What we say., isolated: [diary]}\n"


@pytest.fixture
def stack(fleet: Fleet) -> Iterator[Fleet]:
    """An agent, and a manifest with one conversation with it."""
    fleet.write(ANN + TALK)
    yield fleet
    with suppress(LettaformError):
        flow.apply(fleet.source, fleet.connection, EVERYTHING, consent=True)


def build(fleet: Fleet) -> None:
    """Apply, for tests that do not need to check the plan after it."""
    _, report = flow.apply(fleet.source, fleet.connection, consent=True)
    assert report is not None
    assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]


def conversations(fleet: Fleet) -> list[dict[str, Any]]:
    found = fleet.raw.get("/v1/conversations/", params={"agent_id": fleet.agent("ann")["id"]}).raise_for_status()
    return list(found.json())


def test_apply_creates_conversation_once_with_mark(stack: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.apply()
    (made,) = conversations(stack)
    assert made["summary"] == f"What we say.\n[lettaform {stack.stack} conversations.talk]"
    (copy,) = made["isolated_block_ids"]
    block = stack.raw.get(f"/v1/blocks/{copy}").json()
    assert (block["label"], block["value"]) == ("diary", "Nothing yet.")
    requests = RequestLog(monkeypatch)
    assert flow.apply(stack.source, stack.connection, consent=True)[1] is None
    assert requests.writes() == []


def test_summary_and_model_update_in_place(stack: Fleet) -> None:
    build(stack)
    (before,) = conversations(stack)
    stack.write(
        ANN + TALK.replace("What we say.", "What we said.").replace("isolated", "model: letta/letta-free, isolated")
    )
    assert changes(stack.plan()) == [("update", "conversations.talk", ["summary", "model"])]
    stack.apply()
    (now,) = conversations(stack)
    assert (now["id"], now["model"]) == (before["id"], "letta/letta-free")
    assert now["summary"].startswith("What we said.\n")
    stack.patch(f"/v1/conversations/{now['id']}", model="openai/gpt-4o-mini")
    assert [d.reason for d in stack.plan().changes[0].fields_changed] == ["drift"]


def test_foreign_conversations_are_untouched(stack: Fleet) -> None:
    build(stack)
    agent = stack.agent("ann")["id"]
    theirs = stack.raw.post("/v1/conversations/", params={"agent_id": agent}, json={"summary": "Theirs."}).json()
    stack.assert_no_changes()
    stack.write(ANN)
    flow.apply(stack.source, stack.connection, PlanOptions(prune=True), consent=True)
    assert [each["id"] for each in conversations(stack)] == [theirs["id"]]


def test_plan_refuses_isolated_label_the_agent_lacks(stack: Fleet) -> None:
    # 0.16.8 would create the conversation and then answer 400
    stack.write(ANN + TALK.replace("[diary]", "[dairy]"))
    for _ in range(2):  # before the agent exists, and after
        with pytest.raises(PlanError) as refused:
            stack.plan()
        (problem,) = refused.value.problems
        assert problem.message == "conversations.talk: agents.ann has no block labelled `dairy`"
        assert (problem.hint, problem.place and problem.place.line) == ("did you mean `diary`?", 6)
        flow.apply(
            stack.source, stack.connection, PlanOptions(target=("agents.ann",)), consent=True
        ) if not stack.agents() else None
    assert conversations(stack) == []


def test_plan_refuses_duplicate_isolated_label(stack: Fleet) -> None:
    stack.write(ANN + TALK.replace("[diary]", "[diary, diary]"))
    with pytest.raises(LettaformError, match="twice"):
        stack.plan()
    assert stack.agents() == []


def test_changed_isolated_blocks_replace_conversation_only_with_consent(stack: Fleet) -> None:
    build(stack)
    (before,) = conversations(stack)
    stack.write(ANN + TALK.replace("[diary]", "[notes]"))
    with pytest.raises(Guarded):
        stack.plan()
    stack.apply(allow_destroy=("conversations.talk",))
    (now,) = conversations(stack)
    assert now["id"] != before["id"]
    assert stack.raw.get(f"/v1/blocks/{before['isolated_block_ids'][0]}").status_code == 404
    assert stack.raw.get(f"/v1/blocks/{now['isolated_block_ids'][0]}").json()["label"] == "notes"


def test_destroy_deletes_conversation_and_isolated_blocks_before_agent(
    stack: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # deleting the agent deletes its conversations but leaves their isolated blocks
    build(stack)
    (made,) = conversations(stack)
    requests = RequestLog(monkeypatch)
    flow.apply(stack.source, stack.connection, EVERYTHING, consent=True)
    gone = [path.split("/")[2] for method, path, _ in requests.writes() if method == "DELETE"]
    assert gone.index("conversations") < gone.index("agents")
    assert stack.raw.get(f"/v1/blocks/{made['isolated_block_ids'][0]}").status_code == 404


def test_destroy_plan_names_foreign_conversations_deleted_with_agent(stack: Fleet) -> None:
    # 0.16.8 deletes every conversation with its agent
    build(stack)
    path = {"agent_id": stack.agent("ann")["id"]}
    theirs = stack.raw.post("/v1/conversations/", params=path, json={"summary": "Theirs."}).json()["id"]
    for options in (
        EVERYTHING,
        PlanOptions(destroy=True, target=("agents.ann", "conversations.talk"), allow_destroy=("*",)),
    ):
        (change_of_ann,) = [
            change for change in stack.plan(**vars(options)).changes if str(change.address) == "agents.ann"
        ]
        assert change_of_ann.notes == (f"also deletes Theirs. ({theirs}), not declared in this manifest",)
    more = [stack.raw.post("/v1/conversations/", params=path, json={}).raise_for_status() for _ in range(3)]
    (change_of_ann,) = [
        change for change in stack.plan(**vars(EVERYTHING)).changes if str(change.address) == "agents.ann"
    ]
    assert change_of_ann.notes == (f"also deletes {len(more) + 1} conversations, not declared in this manifest",)


def test_snapshot_contains_messages_and_isolated_blocks_of_conversations(stack: Fleet) -> None:
    # an agent file contains the agent's blocks and at most one conversation, but no isolated blocks
    build(stack)
    agent, (ours,) = stack.agent("ann")["id"], conversations(stack)
    begun = {"summary": "Theirs.", "isolated_block_labels": ["notes"]}
    theirs = stack.raw.post("/v1/conversations/", params={"agent_id": agent}, json=begun).json()
    for each, word in ((ours, "ours"), (theirs, "theirs")):
        body = {"messages": [{"role": "user", "content": f"said to {word}"}], "streaming": False}
        stack.raw.post(f"/v1/conversations/{each['id']}/messages", json=body).raise_for_status()
        stack.raw.patch(f"/v1/blocks/{each['isolated_block_ids'][0]}", json={"value": f"learnt of {word}"})
    flow.apply(stack.source, stack.connection, EVERYTHING, consent=True)
    (listed,) = stack.folder.glob(".lettaform/snapshots/*/snapshot.json")
    objects = {each["id"]: each for each in json.loads(listed.read_text())["objects"]}
    found = {id: each for id, each in objects.items() if each["kind"] == "conversation"}
    assert {each["address"] for each in found.values()} == {"conversations.talk", None}
    for each, word, label in ((ours, "ours", "diary"), (theirs, "theirs", "notes")):
        kept = found[each["id"]]
        copies = [objects[id]["values"] for id in kept["discovered"]["block"]]
        assert [(copy["label"], copy["value"]) for copy in copies] == [(label, f"learnt of {word}")]
        messages = json.loads((listed.parent / kept["file"]).read_text())["agents"][0]["messages"]
        assert f"said to {word}" in json.dumps(messages)


TOLD = """\
blocks: {policies: {value: "Refunds within 30 days.", policy: {value: enforce}}}
agents:
  ann: {system: You sell., include_base_tools: false, memory: {diary: Nothing.}, blocks: [policies]}
conversations: {talk: {agent: ann}}
"""


def prompts(fleet: Fleet) -> dict[str, str]:
    """The first line of the summary of each conversation of the agent to its system prompt."""
    found = {}
    for each in conversations(fleet):
        messages = fleet.raw.get(f"/v1/conversations/{each['id']}/messages").raise_for_status().json()
        (found[each["summary"].split("\n")[0]],) = (
            m["content"] for m in messages if m["message_type"] == "system_message"
        )
    return found


def begin(fleet: Fleet) -> None:
    """Another conversation with the agent; a message in each."""
    agent = fleet.agent("ann")["id"]
    fleet.raw.post("/v1/conversations/", params={"agent_id": agent}, json={"summary": "theirs"}).raise_for_status()
    for each in conversations(fleet):
        body = {"messages": [{"role": "user", "content": "Hello"}], "streaming": False}
        fleet.raw.post(f"/v1/conversations/{each['id']}/messages", json=body).raise_for_status()


CHANGES = {
    "system": ("You sell.", "You sell and repair."),
    "shared block": ("30 days", "60 days"),
    "own block": ("diary: Nothing.", "diary: {value: Something., policy: {value: enforce}}"),
    "attached block": ("diary: Nothing.", "diary: Nothing., notes: Take notes."),
}


@pytest.mark.parametrize("change", CHANGES)
def test_apply_recompiles_begun_conversations(fleet: Fleet, change: str) -> None:
    fleet.write(TOLD)
    build(fleet)
    begin(fleet)
    old, new = CHANGES[change]
    fleet.write(TOLD.replace(old, new))
    plan = fleet.plan()
    assert "conversations.talk" in [str(each.address) for each in plan.changes]
    assert sum(each.conversations for each in plan.changes) == 1
    fleet.apply()
    word = {"own block": "Something.", "attached block": "Take notes."}.get(change, new)
    assert [word in text for text in prompts(fleet).values()] == [True, True]


def test_lifecycle_keeps_conversations_as_they_are(fleet: Fleet) -> None:
    fleet.write(TOLD)
    build(fleet)
    begin(fleet)
    fleet.write(TOLD.replace("You sell.,", "You repair., lifecycle: {recompile: agents},"))
    assert [note for each in fleet.plan().changes for note in each.notes if "lifecycle.recompile" in note]
    fleet.apply()
    assert ["You repair." in text for text in prompts(fleet).values()] == [False, False]


def test_next_apply_recompiles_conversations_of_interrupted_apply(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.write(TOLD)
    build(fleet)
    begin(fleet)
    fleet.write(TOLD.replace("30 days", "60 days"))
    fleet.apply_interrupted(monkeypatch, lambda method, path: path.endswith("/recompile"))
    assert "interrupted before" in " ".join(each.reason for each in fleet.plan().changes)
    fleet.apply()
    assert ["60 days" in text for text in prompts(fleet).values()] == [True, True]


def test_apply_recreates_conversation_deleted_by_others(stack: Fleet) -> None:
    build(stack)
    (before,) = conversations(stack)
    stack.raw.delete(f"/v1/conversations/{before['id']}").raise_for_status()
    stack.apply()
    (now,) = conversations(stack)
    assert now["id"] != before["id"]


def test_apply_resumes_after_interrupted_create(stack: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.apply_interrupted(monkeypatch, lambda *asked: asked == ("POST", "/v1/conversations/"))
    assert len(conversations(stack)) == 1
    stack.apply()
    assert len(conversations(stack)) == 1
