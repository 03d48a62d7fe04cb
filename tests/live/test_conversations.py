"""Conversations: threads of their own with an agent, and copies of its blocks; gone before their agent is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import Guarded, LettaformError, PlanError
from lettaform.model import PlanOptions
from tests.live.fleet import Fleet, Wire, changes

EVERYTHING = PlanOptions(destroy=True, allow_destroy=("*",))
ANN = "agents:\n  ann: {include_base_tools: false, memory: {diary: Nothing yet., notes: None.}}\n"
TALK = "conversations:\n  talk: {agent: ann, summary: What we say., isolated: [diary]}\n"


@pytest.fixture
def talk(fleet: Fleet) -> Iterator[Fleet]:
    """An agent, and a conversation with it, written down."""
    fleet.write(ANN + TALK)
    yield fleet
    with suppress(LettaformError):
        flow.apply(fleet.source, fleet.connection, EVERYTHING)


def build(fleet: Fleet) -> None:
    """Apply what another test shows to be settled."""
    _, report = flow.apply(fleet.source, fleet.connection)
    assert report is not None
    assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]


def conversations(fleet: Fleet) -> list[dict[str, Any]]:
    found = fleet.raw.get("/v1/conversations/", params={"agent_id": fleet.agent("ann")["id"]}).raise_for_status()
    return list(found.json())


def test_it_is_made_once_and_only_with_its_mark(talk: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    talk.apply()
    (made,) = conversations(talk)
    assert made["summary"] == f"What we say.\n[lettaform {talk.stack} conversations.talk]"
    (copy,) = made["isolated_block_ids"]
    block = talk.raw.get(f"/v1/blocks/{copy}").json()
    assert (block["label"], block["value"]) == ("diary", "Nothing yet.")
    wire = Wire(monkeypatch)
    assert flow.apply(talk.source, talk.connection)[1] is None
    assert wire.writes() == []


def test_what_it_is_about_and_its_model_change_in_place(talk: Fleet) -> None:
    build(talk)
    (before,) = conversations(talk)
    talk.write(
        ANN + TALK.replace("What we say.", "What we said.").replace("isolated", "model: letta/letta-free, isolated")
    )
    assert changes(talk.plan()) == [("update", "conversations.talk", ["summary", "model"])]
    talk.apply()
    (now,) = conversations(talk)
    assert (now["id"], now["model"]) == (before["id"], "letta/letta-free")
    assert now["summary"].startswith("What we said.\n")
    talk.patch(f"/v1/conversations/{now['id']}", model="openai/gpt-4o-mini")
    assert [d.reason for d in talk.plan().changes[0].fields_changed] == ["drift"]


def test_conversations_of_others_are_nobodys_business(talk: Fleet) -> None:
    build(talk)
    agent = talk.agent("ann")["id"]
    theirs = talk.raw.post("/v1/conversations/", params={"agent_id": agent}, json={"summary": "Theirs."}).json()
    talk.settled()
    talk.write(ANN)
    flow.apply(talk.source, talk.connection, PlanOptions(prune=True))
    assert [each["id"] for each in conversations(talk)] == [theirs["id"]]


def test_a_label_that_its_agent_has_not_is_an_error_before_anything_is_made(talk: Fleet) -> None:
    # 0.16.8 would make the conversation, and then answer 400
    talk.write(ANN + TALK.replace("[diary]", "[dairy]"))
    for _ in range(2):  # before its agent lives, and after
        with pytest.raises(PlanError) as refused:
            talk.plan()
        (problem,) = refused.value.problems
        assert problem.message == "conversations.talk: agents.ann has no block labelled `dairy`"
        assert (problem.hint, problem.place and problem.place.line) == ("did you mean `diary`?", 6)
        flow.apply(talk.source, talk.connection, PlanOptions(target=("agents.ann",))) if not talk.agents() else None
    assert conversations(talk) == []


def test_the_same_label_twice_is_an_error_before_anything_is_made(talk: Fleet) -> None:
    talk.write(ANN + TALK.replace("[diary]", "[diary, diary]"))
    with pytest.raises(LettaformError, match="twice"):
        talk.plan()
    assert talk.agents() == []


def test_other_isolated_blocks_are_another_conversation_by_consent_alone(talk: Fleet) -> None:
    build(talk)
    (before,) = conversations(talk)
    talk.write(ANN + TALK.replace("[diary]", "[notes]"))
    with pytest.raises(Guarded):
        talk.plan()
    talk.apply(allow_destroy=("conversations.talk",))
    (now,) = conversations(talk)
    assert now["id"] != before["id"]
    assert talk.raw.get(f"/v1/blocks/{before['isolated_block_ids'][0]}").status_code == 404
    assert talk.raw.get(f"/v1/blocks/{now['isolated_block_ids'][0]}").json()["label"] == "notes"


def test_it_dies_before_its_agent_and_takes_its_copies_along(talk: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    # a conversation whose agent is gone is gone, too, and leaves its copies of blocks behind
    build(talk)
    (made,) = conversations(talk)
    wire = Wire(monkeypatch)
    flow.apply(talk.source, talk.connection, EVERYTHING)
    gone = [path.split("/")[2] for method, path, _ in wire.writes() if method == "DELETE"]
    assert gone.index("conversations") < gone.index("agents")
    assert talk.raw.get(f"/v1/blocks/{made['isolated_block_ids'][0]}").status_code == 404


def test_talks_that_others_began_are_named_before_they_die_with_their_agent(talk: Fleet) -> None:
    # 0.16.8 deletes every conversation with its agent
    build(talk)
    path = {"agent_id": talk.agent("ann")["id"]}
    theirs = talk.raw.post("/v1/conversations/", params=path, json={"summary": "Theirs."}).json()["id"]
    for options in (
        EVERYTHING,
        PlanOptions(destroy=True, target=("agents.ann", "conversations.talk"), allow_destroy=("*",)),
    ):
        (dying,) = [change for change in talk.plan(**vars(options)).changes if str(change.address) == "agents.ann"]
        assert dying.notes == (f"also deletes {theirs}, not declared in this manifest",)
    more = [talk.raw.post("/v1/conversations/", params=path, json={}).raise_for_status() for _ in range(3)]
    (dying,) = [change for change in talk.plan(**vars(EVERYTHING)).changes if str(change.address) == "agents.ann"]
    assert dying.notes == (f"also deletes {len(more) + 1} conversations, not declared in this manifest",)


def test_a_snapshot_holds_what_was_said_and_what_was_learnt_there(talk: Fleet) -> None:
    # agent files have the blocks of an agent, and of its conversations one at most, and not its copies
    build(talk)
    agent, (ours,) = talk.agent("ann")["id"], conversations(talk)
    begun = {"summary": "Theirs.", "isolated_block_labels": ["notes"]}
    theirs = talk.raw.post("/v1/conversations/", params={"agent_id": agent}, json=begun).json()
    for each, word in ((ours, "ours"), (theirs, "theirs")):
        told = {"messages": [{"role": "user", "content": f"said to {word}"}], "streaming": False}
        talk.raw.post(f"/v1/conversations/{each['id']}/messages", json=told).raise_for_status()
        talk.raw.patch(f"/v1/blocks/{each['isolated_block_ids'][0]}", json={"value": f"learnt of {word}"})
    flow.apply(talk.source, talk.connection, EVERYTHING)
    (listed,) = talk.folder.glob(".lettaform/snapshots/*/snapshot.json")
    found = {each["id"]: each for each in json.loads(listed.read_text())["objects"] if each["kind"] == "conversation"}
    assert {each["address"] for each in found.values()} == {"conversations.talk", None}
    for each, word, label in ((ours, "ours", "diary"), (theirs, "theirs", "notes")):
        kept = found[each["id"]]
        assert [(copy["label"], copy["value"]) for copy in kept["copies"]] == [(label, f"learnt of {word}")]
        said = json.loads((listed.parent / kept["file"]).read_text())["agents"][0]["messages"]
        assert f"said to {word}" in json.dumps(said)


def test_one_that_was_deleted_behind_our_back_is_made_again(talk: Fleet) -> None:
    build(talk)
    (before,) = conversations(talk)
    talk.raw.delete(f"/v1/conversations/{before['id']}").raise_for_status()
    talk.apply()
    (now,) = conversations(talk)
    assert now["id"] != before["id"]


def test_a_run_that_died_after_its_birth_is_taken_up(talk: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    talk.dies(monkeypatch, lambda *asked: asked == ("POST", "/v1/conversations/"))
    assert len(conversations(talk)) == 1
    talk.apply()
    assert len(conversations(talk)) == 1
