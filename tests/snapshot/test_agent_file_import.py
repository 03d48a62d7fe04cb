"""The file that creates an agent: its own blocks and its messages, and nothing that could be left behind."""

from __future__ import annotations

import json

import pytest

from lettaform.errors import PlanError
from lettaform.snapshot.agent_file_import import (
    blocks_of,
    importable,
    message_problems,
    only_agent,
    same_history,
    tools_of,
)
from lettaform.snapshot.agent_file_read import read
from tests.snapshot.agent_files import CLERK, TEAM

FILE = read(CLERK.read_bytes(), "clerk.af")


def test_the_file_creates_one_agent_and_nothing_else() -> None:
    body = importable(FILE, "x", ["human"], ["look_up"], {})
    (agent,) = body["agents"]
    assert not any(value for name, value in body.items() if name != "agents")
    assert agent["memory_blocks"] == [
        {
            "label": "human",
            "value": "Nobody yet.",
            "limit": 20000,
            "description": "Who asks.",
            "read_only": False,
            "metadata": {},
        }
    ]
    assert (agent["name"], agent["tools"], agent["tags"], agent["metadata"]) == (
        "x",
        ["look_up"],
        ["shop"],
        {"team": "a"},
    )
    assert (agent["secrets"], agent["tool_ids"], agent["block_ids"]) == ({}, [], [])
    assert agent["messages"] == only_agent(FILE)["messages"]
    assert agent["llm_config"]["handle"] == "openai/gpt-4o-mini"
    assert "lettaform" not in json.dumps(body)


def test_the_server_adds_nothing() -> None:
    body = json.loads(CLERK.read_text())
    body["agents"][0] |= {"include_base_tools": True, "include_default_source": True, "enable_sleeptime": True}
    (agent,) = importable(read(json.dumps(body).encode(), "clerk.af"), "x", [], [], {})["agents"]
    assert not [name for name in agent if name.startswith(("include_", "enable_")) and agent[name]]


def test_a_configuration_that_is_replaced_is_not_sent() -> None:
    (agent,) = importable(FILE, "x", [], [], {"model", "embedding"})["agents"]
    assert (agent["llm_config"], agent["embedding_config"]) == (None, None)


def test_what_the_agent_has() -> None:
    assert list(blocks_of(FILE)) == ["persona", "human"]
    assert list(tools_of(FILE)) == ["look_up", "plan", "conversation_search"]
    with pytest.raises(PlanError, match="3 agents"):
        only_agent(read(TEAM.read_bytes(), "team.af"))


def test_messages_that_a_server_cannot_list_are_refused_with_their_places() -> None:
    assert list(message_problems(FILE)) == []
    body = json.loads(CLERK.read_text())
    tool = body["agents"][0]["messages"][3]
    tool |= {"tool_call_id": None, "tool_returns": [], "content": [{"type": "text", "text": "On its way."}]}
    text = json.dumps(body, indent=1)
    first, second = message_problems(read(text.encode(), "clerk.af"))
    assert first.message == "agents.0.messages.3: a message of a tool needs a `tool_call_id`"
    assert second.message == "agents.0.messages.3: the text of a tool's message is no JSON object"
    assert first.place is not None
    assert text.split("\n")[first.place.line].strip().startswith('"type": "message"')
    tool |= {"tool_call_id": "call-1", "tool_returns": [{"func_response": "On its way."}]}
    assert len(list(message_problems(read(json.dumps(body).encode(), "clerk.af")))) == 1


@pytest.mark.parametrize(("content", "sent"), [("Hi", [{"type": "text", "text": "Hi"}]), (None, [])])
def test_a_content_is_sent_as_a_list(content: str | None, sent: list[object]) -> None:
    body = json.loads(CLERK.read_text())
    body["agents"][0]["messages"][1]["content"] = content
    (agent,) = importable(read(json.dumps(body).encode(), "clerk.af"), "x", [], [], {})["agents"]
    assert agent["messages"][1]["content"] == sent


def test_equal_histories_have_the_same_roles_and_texts() -> None:
    exported = json.loads(CLERK.read_text())
    for each in exported["agents"][0]["messages"]:
        each |= {"created_at": None, "otid": "x", "content": each["content"][0]["text"]}
    assert same_history(FILE, exported)
    exported["agents"][0]["messages"][1]["content"] = "Where?"
    assert not same_history(FILE, exported)
    exported["agents"][0]["in_context_message_ids"] = []
    assert not same_history(FILE, exported)
