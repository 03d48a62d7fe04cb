"""What a real server adds to agents by itself: prevented, kept, or shown; approvals reach agents that exist."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.render import text
from tests.live.fleet import TOOL, Fleet, changes


@pytest.fixture
def stack(fleet: Fleet) -> Fleet:
    fleet.write("", pay_py=TOOL.format(name=fleet.stack.replace("-", "_")))
    return fleet


def tools(agent: dict[str, Any]) -> set[str]:
    return {tool["name"] for tool in agent["tools"]}


def rules(agent: dict[str, Any]) -> set[tuple[str, str]]:
    return {(rule["type"], rule["tool_name"]) for rule in agent["tool_rules"]}


def test_shorter_list_keeps_what_the_server_adds_to_new_agents(stack: Fleet) -> None:
    stack.write("agents: {old: {tools: [conversation_search, web_search]}}")
    stack.apply()
    stack.write("agents: {old: {tools: [web_search]}, new: {tools: [web_search]}}")
    shown = text.plan(stack.plan())
    assert "kept in `tools`: conversation_search, which the server adds by itself" in shown
    assert "the server adds to `tools`: conversation_search, memory_insert, memory_replace" in shown
    stack.apply()
    assert tools(stack.agent("old")) == tools(stack.agent("new"))


def test_exact_lists_need_one_apply(stack: Fleet) -> None:
    stack.write("""
        agents:
          exact: {tools: [web_search], policy: {tools: enforce}}
          rules: {agent_type: memgpt_agent, tool_rules: []}
    """)
    stack.apply()
    assert tools(stack.agent("exact")) == {"web_search"}
    assert rules(stack.agent("rules")) == set()


def test_approval_reaches_agents_that_have_the_tool(stack: Fleet) -> None:
    name = stack.stack.replace("-", "_")
    old = "old: {tools: [pay]}"
    stack.write(f"tools: {{pay: {{source: pay.py}}}}\nagents: {{{old}}}")
    stack.apply()
    tool = stack.tools()[0]["id"]
    body = {"name": "theirs", "model": "letta/letta-free", "tool_ids": [tool]}
    theirs = stack.raw.post("/v1/agents/", json=body).raise_for_status().json()["id"]
    try:
        stack.write(
            f"tools: {{pay: {{source: pay.py, default_requires_approval: true}}}}\n"
            f"agents: {{{old}, new: {{tools: [pay]}}}}"
        )
        plan = stack.plan()
        assert ("update", "agents.old", [f"tool_rules.{name}"]) in changes(plan)
        (note,) = [note for change in plan.changes if change.kind == "tool" for note in change.notes]
        assert note.endswith(f"1 agent outside this manifest, which keeps its `tool_rules`: {theirs}")
        stack.apply()
        asking = {("requires_approval", name)}
        assert [rules(stack.agent(each)) for each in ("old", "new")] == [asking, asking]
        stack.patch(f"/v1/agents/{stack.agent('old')['id']}", tool_rules=[])
        stack.write(
            f"tools: {{pay: {{source: pay.py, default_requires_approval: false}}}}\n"
            f"agents: {{{old}, new: {{tools: [pay]}}}}"
        )
        stack.apply()
        assert [rules(stack.agent(each)) for each in ("old", "new")] == [set(), set()]
    finally:
        stack.raw.delete(f"/v1/agents/{theirs}")
