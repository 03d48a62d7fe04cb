"""What conversations begin with: messages of their agent, values of own blocks, and notes on what they do not get."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.backend.listed import keys
from lettaform.model import Capabilities, Live, Observed
from lettaform.snapshot import Entry, Snapshot
from lettaform.snapshot.conversations import Histories, Seen, copies, talks_of
from lettaform.values import Patch
from tests.snapshot.samples import ANN, HEADER, agent_file, at

SAID = [
    {"id": "t", "date": "1", "message_type": "system_message", "content": "x"},
    {"id": "1", "date": "2", "message_type": "user_message", "content": "Old."},
    {"id": "2", "date": "3", "message_type": "user_message", "content": "Hello."},
]
TALK = Live("conversation", "conv-1", "talk", {"summary": "talk", "agent": "agent-1"}, at("conversations.talk"), "s")
COPY = Live("block", "block-9", "notes", {"label": "notes", "value": "learnt", "limit": 7, "tags": ["t"]})
ABLE = Capabilities(histories=frozenset({"agent", "conversation"}))


def load(name: str) -> Any:
    """The files of ann, and those of a conversation with one message in its context."""
    file = agent_file()
    if name == "talk.af":
        message = {"id": "message-1", "role": "user", "content": "Hello."}
        file["agents"][0]["messages"].append(message)
        file["agents"][0]["in_context_message_ids"].append("message-1")
    context = ["p"] if name.startswith("ann") else ["t", "2"]
    return file if name.endswith(".af") else {"messages": SAID, "context": context}


def snapshot(talk: Live = TALK, file: str | None = "ann.af", *, without: str = "") -> Snapshot:
    """`without`: the name of what has no messages."""
    ann = Entry(ANN, file=file, messages="ann.json" if file else None)
    every = (ann, Entry(talk, file="talk.af", messages="talk.json"), Entry(COPY))
    return Snapshot(HEADER, None, tuple(replace(e, without_messages="500" * (e.live.name == without)) for e in every))


def begun(
    of: Snapshot | None = None,
    observed: Observed | None = None,
    seen: Seen | None = None,
    creators: Any = None,
    restored: tuple[str, ...] = ("agents.ann", "conversations.talk"),
    address: str = "conversations.talk",
) -> tuple[Any, tuple[str, ...]]:
    found = of or snapshot()
    now = observed or Observed("u", "0.16.8", capabilities=ABLE)
    every = Histories(found, load, now, seen or Seen(), [at(each) for each in restored], creators or {})
    (entry,) = [each for each in found.entries if str(each.live.address) == address]
    past = every.of(at(address), entry)
    return past.history, past.notes


def with_ann(*said: Any) -> dict[str, Any]:
    """A server that has ann, with these messages."""
    observed = Observed("u", "0.16.8", objects={at("agents.ann"): ANN}, capabilities=ABLE)
    return {"observed": observed, "seen": Seen({"agent-1": said})}


OUTSIDE = "1 message outside its context is in the history of agents.ann alone"


def test_a_conversation_begins_with_the_messages_of_its_context() -> None:
    history, notes = begun()
    assert history == {"keys": [keys(SAID)["2"]]}
    assert notes == (OUTSIDE,)
    assert begun(**with_ann(*SAID)) == (history, notes)


@pytest.mark.parametrize(
    ("more", "note"),
    [
        (with_ann(SAID[1]), "its 2 messages are not restored: agents.ann no longer has them"),
        ({"creators": {at("agents.ann"): at("agents.bob")}}, "its 2 messages are not restored: those of agents.ann"),
        ({"of": snapshot(without="ann")}, "its 2 messages are not restored: those of agents.ann are not"),
        ({"of": snapshot(without="talk")}, "its messages are not restored: the snapshot was taken without them"),
        (
            {**with_ann(), "seen": Seen()},
            "its 2 messages are not restored: the server cannot list those of agents.ann",
        ),
        ({"of": snapshot(file=None)}, "its 2 messages are not restored: those of agents.ann are not"),
        (
            {"of": snapshot(replace(TALK, discovered={"block": ("block-9",)}))},
            "its 2 messages are in the history of agents.ann alone: a server gives messages to no conversation with",
        ),
        (
            {"observed": Observed("u", "0.16.6")},
            "its 2 messages are in the history of agents.ann alone: Letta 0.16.6 has no request",
        ),
    ],
)
def test_what_a_conversation_does_not_get_is_said(more: dict[str, Any], note: str) -> None:
    history, (found,) = begun(**more)
    assert history is None
    assert found.startswith(note)


def test_an_agent_gets_the_messages_of_its_conversations_restored_or_not() -> None:
    history, notes = begun(address="agents.ann")
    assert [each["role"] for each in history["messages"]] == ["system", "user", "user"]
    assert notes == ()
    note = "2 messages of conversations that are not restored are in its history"
    assert begun(address="agents.ann", restored=("agents.ann",))[1] == (note,)
    assert begun(address="agents.ann", creators={at("agents.ann"): at("agents.bob")}) == (
        None,
        ("its 2 messages are not restored: the server creates it along with agents.bob",),
    )


def test_an_agent_without_messages_begins_without_any() -> None:
    note = "its messages are not restored: the snapshot was taken without them"
    assert begun(snapshot(without="ann"), address="agents.ann") == (None, (note,))
    history, notes = begun(snapshot(without="talk"), address="agents.ann")
    assert ([each["role"] for each in history["messages"]].count("user"), notes) == (2, ())


def test_conversations_are_found_by_their_agent() -> None:
    assert talks_of(snapshot(without="talk")) == {}
    assert {id: [each.live.id for each in every] for id, every in talks_of(snapshot()).items()} == {
        "agent-1": ["conv-1"]
    }


WITH_COPY = Entry(replace(TALK, discovered={"block": ("block-9",)}))


def test_a_new_copy_gets_all_values() -> None:
    found, notes = copies(WITH_COPY, snapshot().by_id, None, Seen())
    assert found["notes"].id is None
    assert found["notes"].fields == {"value": "learnt", "limit": 7, "tags": Patch(put=("t",))}
    assert notes == []


def test_a_copy_gets_what_differs_and_keeps_what_others_added() -> None:
    values: dict[str, Any] = {"label": "notes", "value": "spoilt", "limit": 7, "tags": ["theirs"], "metadata": {"a": 1}}
    seen = Seen(copies={"conv-1": (replace(COPY, id="block-8", values=values),)})
    found, _ = copies(WITH_COPY, snapshot().by_id, TALK, seen)
    assert found["notes"].id == "block-8"
    assert found["notes"].fields == {"value": "learnt", "tags": Patch(put=("t",))}
    assert [each.path for each in found["notes"].changes] == ["isolated.notes.value", "isolated.notes.tags"]


def test_a_copy_that_is_equal_or_gone_is_not_written() -> None:
    more = replace(COPY, values={**COPY.values, "tags": ["t", "theirs"], "metadata": {"a": 1}})
    assert copies(WITH_COPY, snapshot().by_id, TALK, Seen(copies={"conv-1": (more,)})) == ({}, [])
    assert copies(WITH_COPY, snapshot().by_id, TALK, Seen(copies={"conv-1": (COPY,)})) == ({}, [])
    note = "its own copy of `notes` no longer exists, and cannot be created again"
    assert copies(WITH_COPY, snapshot().by_id, TALK, Seen()) == ({}, [note])
