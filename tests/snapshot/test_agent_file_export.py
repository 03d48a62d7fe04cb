"""What is taken out of an agent file, and what is said of what it lacks."""

from __future__ import annotations

import json

from lettaform.model import Live
from lettaform.snapshot.agent_file_export import lost, shareable
from tests.snapshot.agent_files import CLERK, TEAM

SECRETS = {"KEY": 'a"b\\c', "LONG": 'xa"b\\cx', "TINY": "is"}


def test_marks_and_secrets_are_taken_out() -> None:
    file = json.loads(CLERK.read_text())
    file["groups"] = [{"id": "group-0", "agent_ids": ["agent-0"], "description": "Us.\n[lettaform s groups.us]"}]
    file["agents"][0]["system"] = 'This is a"b\\c and xa"b\\cx.'
    call = file["agents"][0]["messages"][2]["tool_calls"][0]["function"]
    call["arguments"] = json.dumps({"key": 'a"b\\c'})
    found = shareable(file, SECRETS)
    (agent,) = found["agents"]
    assert agent["system"] == "This is ‹secret KEY› and ‹secret LONG›."
    assert json.loads(agent["messages"][2]["tool_calls"][0]["function"]["arguments"]) == {"key": "‹secret KEY›"}
    assert (agent["tags"], agent["metadata"]) == (["shop"], {"team": "a"})
    assert found["groups"][0]["description"] == "Us."
    assert "lettaform" not in json.dumps(found)


def test_the_file_is_the_same_whatever_the_order_and_time() -> None:
    file = json.loads(TEAM.read_text())
    other = {**file, "created_at": "now", "blocks": file["blocks"][::-1], "tools": file["tools"][::-1]}
    assert json.dumps(shareable(other, {})) == json.dumps(shareable(file, {}))


def test_what_is_lost_is_said() -> None:
    file = shareable(json.loads(TEAM.read_text()), {})
    values = {"secrets": {"B": "b", "A": "a"}, "archive": "archive-1", "identities": ["identity-9"], "hidden": True}
    others = [Live("archive", "archive-1", "notes", {}), Live("block", "block-1", "b", {"tags": ["t"]})]
    said = list(lost(Live("agent", "agent-1", "a", values), file, others, 9, 2))
    assert said == [
        "the values of its secrets: A, B",
        "archive `notes` with its passages",
        "identities identity-9",
        "its `hidden`",
        "the tags of its block `b`: t",
        "token, headers, variables, arguments and the query of the URL of the MCP server `finder`",
        "6 of 9 messages: those that are not in the context",
        "its conversations: 2. `lettaform export conversations.KEY` writes one",
    ]


def test_nothing_is_said_of_an_agent_that_the_file_holds() -> None:
    file = shareable(json.loads(CLERK.read_text()), {})
    plain = {"secrets": {}, "archive": None, "identities": [], "hidden": None, "sleeptime": False}
    assert list(lost(Live("agent", "agent-1", "clerk", plain), file, [], 5, 0)) == []


def test_what_looks_like_a_key_is_named_and_stays() -> None:
    file = json.loads(CLERK.read_text())
    file["blocks"][0]["value"] = "sk-live-0123456789abcdefghij"
    found = shareable(file, {})
    (said,) = lost(Live("agent", "agent-1", "clerk", {}), found, [], 5, 0)
    assert said.startswith("a check of blocks.")
    assert "sk-live" not in said
