"""Agent files in one form: two exports of the same agent are equal, and can be imported."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lettaform.snapshot.agent_file import lacking, normal
from tests.snapshot.samples import agent_file


def another_export() -> dict[str, Any]:
    """The same agent, exported again: another time, other otids, other numbers in another order."""
    text = json.dumps(agent_file())
    for one, other in (
        ("block-0", "block-9"),
        ("block-1", "block-0"),
        ("tool-0", "tool-4"),
        ("message-0", "message-7"),
    ):
        text = text.replace(f'"{one}"', f'"{other}"')
    file: dict[str, Any] = json.loads(text)
    file["blocks"].reverse()
    file["agents"][0]["block_ids"].reverse()
    file["agents"][0]["messages"][0]["otid"] = "another"
    return {**file, "created_at": "later"}


def test_two_exports_of_an_agent_are_equal() -> None:
    assert another_export() != agent_file()
    assert normal(another_export()) == normal(agent_file())


def test_normalising_twice_changes_nothing() -> None:
    assert normal(normal(agent_file())) == normal(agent_file())


def test_references_lead_where_they_led() -> None:
    file = normal(another_export())
    texts = {block["id"]: block["value"] for block in file["blocks"]}
    assert sorted(texts[id] for id in file["agents"][0]["block_ids"]) == ["Ann, Bob", "none"]
    assert file["agents"][0]["in_context_message_ids"] == [file["agents"][0]["messages"][0]["id"]] == ["message-0"]
    assert file["agents"][0]["tool_ids"] == [file["tools"][0]["id"]]


def test_a_tool_call_keeps_its_id_although_a_part_has_the_same() -> None:
    file = agent_file()
    file["agents"][0]["messages"][0]["tool_calls"] = [{"id": "block-1", "function": {"name": "x", "arguments": "{}"}}]
    file["blocks"].reverse()
    assert normal(file)["agents"][0]["messages"][0]["tool_calls"][0]["id"] == "block-1"


def test_groups_refer_to_their_agents() -> None:
    second = {**agent_file()["agents"][0], "id": "agent-1", "name": "a first one", "group_ids": []}
    first = {**agent_file()["agents"][0], "group_ids": ["group-0"]}
    group = {"id": "group-0", "agent_ids": ["agent-1"], "manager_config": {"manager_agent_id": "agent-0"}}
    file = normal(agent_file(agents=[first, second], groups=[group]))
    names = {agent["id"]: agent["name"] for agent in file["agents"]}
    (group,) = file["groups"]
    assert [names[id] for id in group["agent_ids"]] == ["a first one"]
    assert names[group["manager_config"]["manager_agent_id"]] == "ann"


def test_credentials_of_mcp_servers_are_left_out() -> None:
    web = {"id": "mcp_server-0", "server_name": "web", "server_url": "https://me:pass@x.example/mcp?key=hunter2"}
    program = {
        "id": "mcp_server-1",
        "server_name": "p",
        "stdio_config": {"command": "run", "args": ["--key", "hunter2"]},
    }
    file = normal(agent_file(mcp_servers=[web, program]))
    assert "hunter2" not in json.dumps(file)
    assert "pass" not in json.dumps(file["mcp_servers"])
    assert {each.get("server_url") for each in file["mcp_servers"]} == {"https://x.example/mcp", None}


BLOCKS, TOOLS = {"team": "Ann, Bob", "notes": "none"}, {"send_message": "pass"}


def spoilt(path: list[Any], value: Any) -> dict[str, Any]:
    file: Any = agent_file()
    inner = file
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return dict(file)


@pytest.mark.parametrize(
    ("file", "what"),
    [
        (agent_file(), []),
        (agent_file(agents=[]), ["the agent `ann`"]),
        (spoilt(["agents", 0, "system"], "Be rude."), ["its prompt"]),
        (spoilt(["blocks", 0, "value"], "Ann"), ["the text of its block `team`"]),
        (spoilt(["agents", 0, "block_ids"], []), ["the text of its block `team`", "the text of its block `notes`"]),
        (agent_file(tools=[]), ["the source of its tool `send_message`"]),
        (spoilt(["agents", 0, "in_context_message_ids"], ["message-0", "message-1"]), ["1 messages of its context"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_a_file_lacks_is_named(file: dict[str, Any], what: list[str]) -> None:
    assert list(lacking(file, "ann", "Be kind.", BLOCKS, TOOLS)) == what
