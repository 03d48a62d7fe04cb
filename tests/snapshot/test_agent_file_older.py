"""A file of the older generation holds the same once it is one of the current generation."""

from __future__ import annotations

import json

import pytest

from lettaform.snapshot.agent_file_older import older_path, upgraded
from tests.snapshot.agent_files import OLDER


def test_nothing_of_an_older_file_is_lost() -> None:
    older = json.loads(OLDER.read_text())
    body = upgraded(older)
    (agent,) = body["agents"]
    assert (agent["name"], agent["system"], agent["agent_type"]) == ("old timer", "You are old.", "memgpt_agent")
    assert (agent["tags"], agent["metadata"], agent["secrets"]) == (
        ["2025"],
        {"kept": True},
        {"OLD_KEY": "the-old-value-4711"},
    )
    assert [(each["label"], each["value"], each["limit"]) for each in body["blocks"]] == [
        ("human", "Ann.", 5000),
        ("persona", "I am old.", 5000),
    ]
    assert [each["name"] for each in body["tools"]] == ["look_up", "send_message"]
    assert agent["block_ids"] == ["block-0", "block-1"]
    assert agent["tool_ids"] == ["tool-0", "tool-1"]
    assert [(each["id"], each["role"]) for each in agent["messages"]] == [
        ("message-0", "system"),
        ("message-1", "user"),
        ("message-2", "assistant"),
    ]
    assert agent["in_context_message_ids"] == ["message-0", "message-1", "message-2"]  # 9 is beyond the last one
    assert agent["messages"][1]["content"] == [{"type": "text", "text": "Hello"}]


def test_a_content_may_be_a_text() -> None:
    older = {"name": "a", "core_memory": [], "llm_config": {}, "messages": [{"role": "user", "content": "x"}]}
    assert upgraded(older)["agents"][0]["messages"][0]["content"] == [{"type": "text", "text": "x"}]


def test_the_schema_of_a_tool_is_that_of_today() -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    heartbeat = {"request_heartbeat": {"type": "boolean"}}
    old = {"properties": {**parameters["properties"], **heartbeat}, "required": ["a", "request_heartbeat"]}  # type: ignore[dict-item]
    schema = {"name": "f", "type": None, "required": [], "parameters": {**parameters, **old}}
    older = {
        "name": "a",
        "core_memory": [],
        "llm_config": {},
        "tools": [{"name": "f", "json_schema": schema}, {"name": "g"}],
    }
    first, second = upgraded(older)["tools"]
    assert first["json_schema"] == {"name": "f", "parameters": parameters}
    assert second["json_schema"] is None


@pytest.mark.parametrize(
    ("path", "older"),
    [
        (("blocks", 1, "value"), ("core_memory", 1, "value")),
        (("agents", 0, "system"), ("system",)),
        (("agents", 0, "metadata", "a"), ("metadata_", "a")),
        (("agents", 0, "secrets", "K"), ("tool_exec_environment_variables",)),
        (("agents", 0), ()),
        (("tools", 0, "source_code"), ("tools", 0, "source_code")),
    ],
)
def test_paths_lead_to_the_older_file(path: tuple[str | int, ...], older: tuple[str | int, ...]) -> None:
    assert tuple(older_path(path)) == older
