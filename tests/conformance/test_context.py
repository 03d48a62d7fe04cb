"""The context of an agent: its parts add up, and four bytes count as one token."""

from __future__ import annotations

from typing import Any

from tests.conformance.server_under_test import Server, refusal, unknown_id


def _context(server: Server, agent: dict[str, Any]) -> dict[str, Any]:
    return dict(server.get(f"/v1/agents/{agent['id']}/context"))


def _tokens(found: dict[str, Any]) -> dict[str, int]:
    return {name.removeprefix("num_tokens_"): n for name, n in found.items() if name.startswith("num_tokens_")}


def test_the_parts_add_up(server: Server) -> None:
    found = _context(server, server.agent(include_base_tools=True, context_window_limit=20_000))
    assert found["context_window_size_max"] == 20_000
    assert sum(_tokens(found).values()) == found["context_window_size_current"]
    assert (found["num_messages"], _tokens(found)["messages"]) == (1, 0)
    parts = {
        *("system", "core_memory", "memory_filesystem", "tool_usage_rules", "directories"),
        *("external_memory_summary", "functions_definitions", "messages", "summary_memory"),
    }
    assert {*_tokens(found)} == parts
    assert _tokens(found)["functions_definitions"] > 10


def test_four_bytes_are_a_token(server: Server) -> None:
    blocks = [{"label": "a", "value": "", "description": "d"}, {"label": "b", "value": "é", "description": "d"}]
    small = server.agent(system="Be kind.")
    large = server.agent(system="é" * 400, memory_blocks=blocks)
    assert _tokens(_context(server, small))["system"] == 2
    assert _tokens(_context(server, small))["core_memory"] == 0
    assert _tokens(_context(server, large))["system"] == 200
    before = _tokens(_context(server, large))["core_memory"]
    block = next(each for each in large["blocks"] if each["label"] == "b")
    server.call("PATCH", f"/v1/blocks/{block['id']}", {"value": "é" + "x" * 400})
    assert _tokens(_context(server, large))["core_memory"] - before in (100, 101)


def test_messages_are_counted(server: Server) -> None:
    agent = server.agent()
    server.call("POST", f"/v1/agents/{agent['id']}/messages", {"messages": [{"role": "user", "content": "Hi " * 100}]})
    found = _context(server, agent)
    assert found["num_messages"] == 3
    assert _tokens(found)["messages"] > 100


def test_an_unknown_agent(server: Server) -> None:
    assert refusal(server.ask("GET", f"/v1/agents/{unknown_id('agent')}/context"))[0] == 404
