"""Bodies of answers to Live objects: what was not asked for is UNREAD."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.backend.v1.decode import decode
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents, ListedAt
from lettaform.model import LastRun, Mark
from lettaform.values import UNREAD

BASE = ("agent.blocks", "agent.tools", "agent.tags", "agent.secrets")
RELATIONS = {"folders": "agent.sources", "identities": "agent.identities", "sleeptime": "agent.managed_group"}

AGENT: dict[str, Any] = {
    "id": "agent-1",
    "name": "a",
    "blocks": [{"id": "block-2"}, {"id": "block-1"}],
    "tools": [{"id": "tool-2"}, {"id": "tool-1"}],
    "sources": [{"id": "source-2"}, {"id": "source-1"}],
    "identities": [{"id": "identity-2"}, {"id": "identity-1"}],
    "enable_sleeptime": True,
    "managed_group": {"id": "group-1", "manager_type": "sleeptime", "agent_ids": ["agent-2"]},
    "tags": ["lettaform:stack=s", "z", "lettaform:addr=agents.a", "b"],
    "metadata": {"theirs": 1, "lettaform": {"v": 1, "base": {"name": "digest"}}},
    "secrets": [{"key": "KEY", "value": "value"}],
    "llm_config": {"handle": "letta/letta-free", "context_window": 30000},
}


def unread(values: Any) -> set[str]:
    return {name for name, value in values.items() if value is UNREAD}


@pytest.mark.parametrize("field", RELATIONS)
def test_a_relation_that_was_not_asked_for_is_unread(field: str) -> None:
    asked = [*BASE, *(include for name, include in RELATIONS.items() if name != field)]
    assert unread(decode("agent", AGENT, asked).values) == {field, "archive"}


def test_a_relation_that_was_asked_for_is_read_although_it_is_empty() -> None:
    empty = {**AGENT, "sources": [], "identities": [], "managed_group": None}
    values = decode("agent", empty, [*BASE, *RELATIONS.values()]).values
    assert (values["folders"], values["identities"], values["sleeptime"]) == ([], [], False)


def test_without_a_list_of_relations_all_of_them_were_asked_for() -> None:
    assert unread(decode("agent", AGENT).values) == {"archive"}


@pytest.mark.parametrize(("kind", "field"), [("agent", "archive"), ("archive", "passages"), ("folder", "files")])
def test_a_field_that_no_answer_holds_is_unread(kind: str, field: str) -> None:
    aside = {name for name, line in kinds()[kind].attrs().items() if isinstance(line.relation, ListedAt | Contents)}
    assert aside == {field}
    assert unread(decode(kind, {"id": "1", field: ["from somewhere else"]}).values) == {field}


def test_fields_that_can_only_be_written_are_missing() -> None:
    assert {"memory", "reasoning"}.isdisjoint(decode("agent", AGENT).values)
    assert "isolated" not in decode("conversation", {"id": "1", "summary": "c"}).values


def test_an_unread_field_cannot_be_compared() -> None:
    value = decode("archive", {"id": "1"}).values["passages"]
    for compare in (lambda: value == [], lambda: bool(value), lambda: list(value), lambda: "x" in value):
        with pytest.raises(RuntimeError, match="was not read"):
            compare()


@pytest.mark.parametrize("field", ["blocks", "tools", "folders", "identities"])
def test_relations_are_sorted(field: str) -> None:
    # 0.16.8 answers them in any order
    value = decode("agent", AGENT).values[field]
    assert (len(value), value) == (2, sorted(value))


def test_lists_that_have_an_order_keep_it() -> None:
    assert decode("group", {"id": "1", "description": "g", "agent_ids": ["2", "1"]}).values["agents"] == ["2", "1"]


@pytest.mark.parametrize(
    ("kind", "body", "included", "discovered"),
    [
        ("agent", AGENT, None, {"group": ("group-1",), "agent": ("agent-2",), "block": ("block-2", "block-1")}),
        ("agent", AGENT, BASE, {"block": ("block-2", "block-1")}),
        (
            "agent",
            {**AGENT, "managed_group": None},
            [*BASE, "agent.managed_group"],
            {"group": (), "agent": (), "block": ("block-2", "block-1")},
        ),
        # a group that the agent did not get from `sleeptime`
        (
            "agent",
            {**AGENT, "managed_group": {"id": "group-1", "manager_type": "dynamic", "agent_ids": ["agent-2"]}},
            None,
            {"group": (), "agent": (), "block": ("block-2", "block-1")},
        ),
        ("conversation", {"id": "1", "isolated_block_ids": ["block-1"]}, None, {"block": ("block-1",)}),
        ("mcp_server", {"id": "1", "server_name": "m"}, None, {}),  # its tools have a list of their own
        ("block", {"id": "1", "label": "b"}, None, {}),
    ],
)
def test_what_was_discovered(kind: str, body: Any, included: Any, discovered: Any) -> None:
    assert decode(kind, body, included).discovered == discovered


NEW = {**AGENT, "last_stop_reason": None, "last_run_completion": None}


@pytest.mark.parametrize(
    ("kind", "messages", "unused"),
    [
        ("letta_v1_agent", 1, True),
        ("letta_v1_agent", 2, False),
        ("sleeptime_agent", 1, True),
        ("sleeptime_agent", 4, False),
        *((kind, 4, True) for kind in ("memgpt_agent", "memgpt_v2_agent", "react_agent", "workflow_agent")),
        ("memgpt_agent", 5, False),
        ("voice_convo_agent", 1, False),  # the number at creation is not known
    ],
)
def test_an_agent_with_the_messages_of_its_creation_is_unused(kind: str, messages: int, unused: bool) -> None:
    assert decode("agent", {**NEW, "agent_type": kind, "message_ids": ["message"] * messages}).unused == unused


@pytest.mark.parametrize("field", ["last_stop_reason", "last_run_completion"])
def test_an_agent_that_ran_or_may_have_run_is_not_unused(field: str) -> None:
    body = {**NEW, "agent_type": "letta_v1_agent", "message_ids": ["message-1"]}
    assert decode("agent", body).unused
    assert not decode("agent", {**body, field: "end_turn"}).unused
    assert not decode("agent", {name: each for name, each in body.items() if name != field}).unused
    assert not decode("agent", {name: each for name, each in body.items() if name != "message_ids"}).unused


def test_a_conversation_is_never_unused() -> None:
    assert not decode("conversation", {"id": "1", "summary": "c", "message_ids": []}).unused


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("agent", {}, None),
        ("agent", {"last_run_completion": None, "last_stop_reason": None}, None),
        ("agent", {"last_run_completion": None, "last_stop_reason": "end_turn"}, LastRun("", "end_turn")),
        ("agent", {"last_run_completion": "2026-11-27T08:00:00Z"}, LastRun("2026-11-27T08:00:00Z")),
        ("conversation", {"last_message_at": "2026-11-27T08:00:00Z"}, LastRun("2026-11-27T08:00:00Z")),
        ("block", {"last_stop_reason": "end_turn"}, None),
    ],
)
def test_the_last_run(kind: str, body: Any, expected: LastRun | None) -> None:
    assert decode(kind, {**AGENT, **body} if kind == "agent" else {"id": "1", **body}).last_run == expected


def test_when_it_was_created() -> None:
    assert decode("agent", {**AGENT, "created_at": "2026-11-27T08:00:00Z"}).created == "2026-11-27T08:00:00Z"
    assert decode("block", {"id": "1", "label": "b"}).created == ""


def test_a_mark_is_taken_out_of_the_values() -> None:
    live = decode("agent", AGENT)
    assert (live.stack, live.address, live.marked) == ("s", Address.parse("agents.a"), True)
    assert live.mark == Mark({"name": "digest"})
    assert (live.values["tags"], live.values["metadata"]) == (["b", "z"], {"theirs": 1})


@pytest.mark.parametrize(
    ("kind", "body", "name"),
    [
        ("agent", AGENT, "a"),
        ("block", {"id": "1", "label": "notes"}, "notes"),
        ("identity", {"id": "1", "identifier_key": "ann", "name": "Ann"}, "ann"),
        ("mcp_server", {"id": "1", "server_name": "m"}, "m"),
        ("conversation", {"id": "1", "summary": "desk\n[lettaform s conversations.desk]"}, "desk"),
        ("archive", {"id": "1", "name": None}, ""),
    ],
)
def test_the_name_by_which_people_know_it(kind: str, body: Any, name: str) -> None:
    assert decode(kind, body).name == name
