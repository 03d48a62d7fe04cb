"""Everything that is wrong with an agent file, at once, each with its place."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lettaform.errors import AgentFileError
from lettaform.snapshot.agent_file_read import read, secrets_of
from tests.snapshot.agent_files import OLDER, TWICE

AGENT: dict[str, Any] = {"id": "agent-0", "name": "a"}


def problems(body: Any) -> dict[str, str | None]:
    """Message to hint of what is wrong with a file. Every problem has a place."""
    with pytest.raises(AgentFileError) as refused:
        read(json.dumps(body).encode(), "a.af")
    assert all(each.place and each.place.file == "a.af" for each in refused.value.problems)
    return {each.message: each.hint for each in refused.value.problems}


def file(*agents: Any, **parts: Any) -> dict[str, Any]:
    return {"agents": [{**AGENT, **each} for each in agents or ({},)], **parts}


BLOCK = {"id": "block-10", "label": "l", "value": ""}
DYNAMIC = {"manager_type": "dynamic", "manager_agent_id": "agent-x"}
GENERATIONS = "a file of the current generation has `agents`, one of the older has `core_memory`"
NEITHER = "`name`, `core_memory`, `llm_config` are missing"
ROLES = "system, user, assistant, tool, function, approval, summary"
CASES: dict[str, tuple[Any, str | None]] = {
    "expected a map, found a list": ([], None),
    "agents: is empty": ({"agents": []}, None),
    NEITHER: ({"x": 1}, GENERATIONS),
    'agents.0.id: expected `agent-` and a number, found "a"': (file({"id": "a"}), None),
    f'agents.0.tags: expected a list or null, found "{"x" * 40}…"': (file({"tags": "x" * 50}), None),
    "agents.0.tool_rules.0: expected a map, found null": (file({"tool_rules": [None]}), None),
    "agents.0.llm_config: expected a map or null, found a list": (file({"llm_config": [1]}), None),
    'agents.0.llm_config.context_window: expected a whole number or null, found "x"': (
        file({"llm_config": {"context_window": "x"}}),
        None,
    ),
    "agents.0.max_files_open: expected at least 0, found -1": (file({"max_files_open": -1}), None),
    "blocks.0.label: is empty": (file(blocks=[{**BLOCK, "label": ""}]), None),
    "blocks.0: `value` is missing": (
        file(blocks=[{"id": "block-0", "label": "l", "vlaue": "x"}]),
        "did you mean `value`, and not `vlaue`?",
    ),
    f'agents.0.messages.0.role: expected one of {ROLES}, found "users"': (
        file({"messages": [{"id": "message-0", "role": "users"}]}),
        "did you mean `user`?",
    ),
    "agents.0.block_ids: the file has no `block-1`": (
        file({"block_ids": ["block-1"]}, blocks=[BLOCK]),
        "did you mean `block-10`?",
    ),
    "agents.0.in_context_message_ids: the file has no `message-4`": (
        file({"in_context_message_ids": ["message-4"]}),
        None,
    ),
    "`agent-0` stands twice in agents": (file({}, {}), None),
    "files.0.source_id: the file has no `source-1`": (file(files=[{"id": "file-0", "source_id": "source-1"}]), None),
    "groups.0.agent_ids: the file has no `agent-3`": (
        file(groups=[{"id": "group-0", "agent_ids": ["agent-3"]}]),
        "did you mean `agent-0`?",
    ),
    "groups.0.manager_config.manager_agent_id: the file has no `agent-x`": (
        file(groups=[{"id": "group-0", "agent_ids": [], "manager_config": DYNAMIC}]),
        "did you mean `agent-0`?",
    ),
    "core_memory.0: `value` is missing": ({"name": "a", "core_memory": [{"label": "l"}], "llm_config": {}}, None),
}


@pytest.mark.parametrize(("message", "body", "hint"), [(message, *case) for message, case in CASES.items()])
def test_a_problem_of_a_file(message: str, body: Any, hint: str | None) -> None:
    assert problems(body)[message] == hint


def test_a_misspelled_key_of_the_file_is_guessed() -> None:
    assert problems({"agent": []}) == {NEITHER: "did you mean `agents`, and not `agent`?"}


def test_all_problems_are_named_at_once() -> None:
    body = file({"tags": 3, "tool_ids": [1]}, blocks=[{}], tools=[{"id": "tool-1"}])
    assert {*problems(body)} == {
        "agents.0.tags: expected a list or null, found 3",
        "agents.0.tool_ids.0: expected a text, found 1",
        "blocks.0: `id`, `label`, `value` are missing",
        "tools.0: `name` is missing",
    }


def test_references_are_checked_beside_other_problems() -> None:
    body = file({"timezone": 3, "block_ids": ["block-7"]})
    assert {*problems(body)} == {
        "agents.0.timezone: expected a text or null, found 3",
        "agents.0.block_ids: the file has no `block-7`",
    }


def test_inline_blocks_and_tools_are_as_those_of_others() -> None:
    inline = {"memory_blocks": [{"label": "l", "value": "v"}], "tools": ["web_search"]}
    body = read(json.dumps(file(inline)).encode(), "a.af").body
    (agent,), (block,), (tool,) = body["agents"], body["blocks"], body["tools"]
    assert agent["block_ids"] == [block["id"]]
    assert agent["tool_ids"] == [tool["id"]]
    assert (block["label"], tool["name"]) == ("l", "web_search")


def test_a_file_inside_a_text_and_an_older_one_are_read() -> None:
    assert read(TWICE.read_bytes(), "t.af").body["blocks"][0]["value"] == "Zeile 1\nZeile 2\t→"
    older = read(OLDER.read_bytes(), "o.af")
    assert older.older
    place = older.problem(("blocks", 1, "value"), "x").place
    assert place is not None
    assert '"value": "I am old."' in OLDER.read_text().split("\n")[place.line - 1]


def test_secrets_have_names_and_maybe_values() -> None:
    assert secrets_of({"secrets": {"A": "", "B": "b"}, "tool_exec_environment_variables": None}) == {"A": "", "B": "b"}
    assert secrets_of({"secrets": None, "tool_exec_environment_variables": {"C": None}}) == {"C": ""}
