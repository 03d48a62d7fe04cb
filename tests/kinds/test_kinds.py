"""The tables of the kinds, and their hooks."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.kinds import kinds, sections
from lettaform.kinds.base import Never, path_get
from lettaform.kinds.traits import Parts
from lettaform.values import Secret


def problems(kind: str, **values: Any) -> list[str]:
    return [f"{path}: {message}" for path, message, _ in kinds()[kind].check(values)]


def test_every_module_with_a_kind_is_registered() -> None:
    assert set(kinds()) >= {"agent", "block", "tool"}
    assert sections()["agents"] == "agent"


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_field_has_a_description(kind: str) -> None:
    for name, line in kinds()[kind].attrs().items():
        assert line.doc.endswith("."), name
        assert line.doc[0].isupper(), name
        assert line.clear is not Never or not line.partial or line.merges, name


@pytest.mark.parametrize("kind", sorted(kinds()))
def test_every_reference_is_to_a_registered_kind(kind: str) -> None:
    for line in kinds()[kind].attrs().values():
        assert (line.to or kind) in kinds()
        parts = line.related(Parts)
        assert (parts.kind if parts else kind) in kinds()


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("conversation", {"summary": "x"}, "agent: must be set"),
        ("schedule", {"cron": "0 9 * * *"}, "agent: must be set"),
        ("group", {"type": "round_robin", "agents": []}, "agents: is empty, and the server cannot remove all members"),
        (
            "group",
            {"type": "supervisor", "manager": "x", "max_turns": 3},
            "max_turns: is not allowed for a supervisor group",
        ),
        (
            "group",
            {"type": "round_robin", "termination_token": "X"},
            "termination_token: is not allowed for a round_robin group",
        ),
        ("agent", {"name": "bad/name"}, "name: the server does not accept the name 'bad/name'"),
        ("agent", {"name": ""}, "name: the server does not accept the name ''"),
        (
            "agent",
            {"secrets": {"K": Secret("x", "")}},
            "secrets.K: is empty, and the server cannot store an empty secret",
        ),
        (
            "agent",
            {"agent_type": "voice_convo_agent"},
            "agent_type: the server creates a `voice_convo_agent` only with a sleeptime agent",
        ),
        ("agent", {"timezone": "Europe/Berln"}, "timezone: 'Europe/Berln' is not a time zone"),
        (
            "agent",
            {"tags": ["git-memory-enabled"]},
            "tags: the tag `git-memory-enabled` is reserved by the server",
        ),
        ("block", {"value": "abcd", "limit": 3}, "value: has 4 characters, more than its `limit` of 3"),
        ("tool", {"source": "x = 1"}, "source: defines no function"),
        ("tool", {"source": "def f(): pass"}, "source: `f` has no docstring"),
        (
            "tool",
            {"source": 'def memory():\n "x"'},
            "source: defines `memory`, the name of a built-in tool of the server",
        ),
        (
            "tool",
            {"source": "async def f(): ..."},
            "source: defines only `async def f`, and the server derives no schema from it",
        ),
        (
            "tool",
            {"source": 'def f():\n    "F."\n    def g():\n        "G."'},
            "source: the server uses the nested function `g` as the tool",
        ),
        (
            "agent",
            {"tool_rules": [{"type": "run_first", "tool_name": "a"}, {"type": "run_first", "tool_name": "b"}]},
            "tool_rules.1: is a second `run_first` rule",
        ),
        (
            "agent",
            {
                "tool_rules": [
                    {"type": "exit_loop", "tool_name": "a"},
                    {"type": "exit_loop", "tool_name": "a", "args": {}},
                ]
            },
            "tool_rules.1: is the same as an earlier rule, and the server keeps only one",
        ),
        ("tool", {"source": "def f(:"}, "source: is not valid Python in line 1 of the source: invalid syntax"),
        ("tool", {"source": "x", "source_type": "typescript"}, "json_schema: is required for a TypeScript tool"),
        (
            "mcp_server",
            {"type": "sse", "url": "https://a.example", "token": "t", "headers": {"authorization": "Bearer t"}},
            "headers.authorization: is already set by `token`",
        ),
    ],
)
def test_check_reports_a_problem(kind: str, values: dict[str, Any], message: str) -> None:
    assert problems(kind, **values) == [message]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("agent", {"name": "Ünïcode name-1_'s", "timezone": "Europe/Berlin"}),
        ("block", {"value": "abc", "limit": 3}),
        ("tool", {"source": 'def f():\n    """F."""'}),
    ],
)
def test_check_accepts_valid_values(kind: str, values: dict[str, Any]) -> None:
    assert problems(kind, **values) == []


def test_path_get_reads_nested_values() -> None:
    body = {"a": {"b": 1}, "l": [{"id": "x"}, {"id": "y"}], "n": None}
    assert path_get(body, "a.b") == 1
    assert path_get(body, "l[].id") == ["x", "y"]
    assert path_get(body, "n.b") is None
    assert path_get(body, "m[].id") == []


def test_an_update_of_a_tool_sends_what_the_upsert_would_reset() -> None:
    live = {
        "source_code": "old",
        "source_type": "python",
        "return_char_limit": 777,
        "tags": ["t"],
        "json_schema": {"name": "f"},
    }
    body = kinds()["tool"].encode({"return_char_limit": 5}, live)
    assert (body["source_code"], body["return_char_limit"], body["json_schema"]) == ("old", 5, {"name": "f"})
    assert "json_schema" not in kinds()["tool"].encode({"source_code": "new"}, live)


def test_a_renamed_tool_keeps_its_parameters() -> None:
    arguments = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    live = {
        "name": "f",
        "source_code": 'def f(n):\n    "F."',
        "args_json_schema": arguments,
        "json_schema": {"name": "f"},
    }
    body = kinds()["tool"].encode({"source_code": 'def g(n):\n    "G."'}, live)
    assert body["json_schema"] == {"name": "g", "description": "G.", "parameters": arguments}
    assert "json_schema" not in kinds()["tool"].encode({"source_code": 'def f(n):\n    "Anew."'}, live)


def test_a_tool_always_sends_its_language() -> None:
    assert kinds()["tool"].encode({"source_code": "x"}, None)["source_type"] == "python"


def test_an_update_of_one_model_field_sends_the_others() -> None:
    live = {
        "model": "p/m",
        "llm_config": {"handle": "p/m", "context_window": 9, "max_tokens": 5, "parallel_tool_calls": False},
        "model_settings": {"provider_type": "openai", "temperature": 0.3, "max_output_tokens": 5},
    }
    body = kinds()["agent"].encode({"context_window_limit": 7}, live)
    assert body["model"] == "p/m"
    assert (body["context_window_limit"], body["max_tokens"], body["parallel_tool_calls"]) == (7, 5, False)
    assert body["model_settings"]["temperature"] == 0.3
    other = kinds()["agent"].encode({"model": "p/other"}, live)
    assert set(other) == {"model"}
    assert kinds()["agent"].encode({"system": "x"}, live) == {"system": "x"}


def test_a_token_with_headers_is_sent_as_a_header() -> None:
    table, url = kinds()["mcp_server"], "https://a.example"
    created = table.encode(
        {"mcp_server_type": "sse", "server_url": url, "auth_token": "t", "custom_headers": {"X": "1"}}, None
    )
    assert created["config"]["custom_headers"] == {"X": "1", "Authorization": "Bearer t"}
    live = {"mcp_server_type": "sse", "server_url": url, "auth_token": None, **created["config"]}
    assert table.decode(live | {"auth_token": None})["auth_token"] == "t"
    rotated = table.encode({"auth_token": "new"}, live)["config"]
    assert rotated["custom_headers"] == {"X": "1", "Authorization": "Bearer new"}
    assert rotated["auth_token"] == "new"
    others = table.encode({"custom_headers": {"Y": "2"}}, live)["config"]
    assert others["custom_headers"] == {"Y": "2", "Authorization": "Bearer t"}
    own = table.encode({"custom_headers": {"Authorization": "Basic b"}}, live)["config"]
    assert own["custom_headers"] == {"Authorization": "Basic b"}
    cleared = table.encode({"custom_headers": {}}, live)["config"]
    assert (cleared["custom_headers"], cleared["auth_token"]) == ({}, "t")


def test_a_preview_sends_the_token_with_its_prefix() -> None:
    preview = kinds()["mcp_server"].preview
    assert preview is not None
    body = preview.body({"name": "n", "type": "sse", "url": "https://a.example", "token": "t"})
    assert body["auth_token"] == "Bearer t"


def test_a_block_that_agents_cannot_write_is_enforced() -> None:
    block = kinds()["block"]
    enforced = dict.fromkeys(("value", "label", "description"), "enforce")
    assert block.policies({"read_only": True}, {}) == enforced
    assert block.policies({}, {"value": "enforce"}) == enforced
    assert block.policies({}, {"value": "seed"}) == {}
    assert block.policies({}, {}) == {}


def test_a_kind_answers_questions_about_its_relations() -> None:
    agent, conversation = kinds()["agent"], kinds()["conversation"]
    assert agent.discovered_parts() == {"memory": "memory_persona"}
    assert agent.foreign("tool_rules", {"type": "requires_approval", "tool_name": "t"})
    assert not agent.foreign("tool_rules", {"type": "run_first", "tool_name": "t"})
    assert not agent.foreign("tags", "x")
    owner = conversation.owner_line()
    assert owner is not None
    assert owner.name == "agent"
    assert kinds()["tool"].line_of("source", "x = 1\ndef f(): ...") == 2
    assert kinds()["archive"].item("passages", "a  b").name == "a b"
