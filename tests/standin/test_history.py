"""lettaform on a stand-in: agents with one declaration end up equal, whatever was declared before."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from lettaform.manifest import load
from lettaform.model import Plan
from tests.standin.test_end_to_end import SOURCE, LettaformOnStandIn

pytestmark = pytest.mark.thorough

HEAD = "stack: s\ndefaults: {agents: {model: openai-proxy/echo, embedding: letta/letta-free}}\n"
PAY = SOURCE.format(name="pay", about="Pay.")


class Stack(LettaformOnStandIn):
    """One stack whose manifest is written in YAML."""

    def write(self, manifest: str) -> None:
        (self.folder / "pay.py").write_text(PAY)
        (self.folder / "lettaform.yaml").write_text(HEAD + textwrap.dedent(manifest))

    def applied(self, manifest: str) -> Plan:
        """Apply, then assert that two plans are empty. Returns the plan that was applied."""
        self.write(manifest)
        loaded = load(self.folder)
        plan, report = self.run(loaded)
        if report is not None:
            assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]
        self.assert_no_changes(loaded)
        return plan

    def lists(self, name: str) -> Mapping[str, list[str]]:
        """The tools and rules of an agent."""
        agent = self.agent(name)
        rules = (f"{rule['type']} {rule['tool_name']}" for rule in agent["tool_rules"])
        return {"tools": sorted(tool["name"] for tool in agent["tools"]), "rules": sorted(rules)}


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


TOOLS = ("tools: {pay: {source: pay.py}}", "tools: {pay: {source: pay.py, default_requires_approval: true}}")
OFF = "tools: {pay: {source: pay.py, default_requires_approval: false}}"
FOLDER = "folders: {f: {embedding: letta/letta-free}}"


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            "{tools: [conversation_search, web_search]}", "{tools: [web_search]}", id="a base tool is no longer named"
        ),
        pytest.param("{tools: [send_message]}", "{tools: []}", id="a tool of another type is no longer named"),
        pytest.param(
            "{tools: [send_message_to_agent_async], include_multi_agent_tools: true}",
            "{tools: [], include_multi_agent_tools: true}",
            id="a tool for messages is no longer named",
        ),
        pytest.param(
            "{tools: [send_message, web_search], sleeptime: true}",
            "{tools: [web_search], sleeptime: true}",
            id="a tool of an agent with a sleeptime agent is no longer named",
        ),
        pytest.param(
            "{tools: [open_files], folders: [f]}", "{tools: [], folders: [f]}", id="a tool for files is no longer named"
        ),
        pytest.param(
            "{tools: [open_files], folders: [f]}",
            "{tools: [open_files], folders: []}",
            id="the last folder is detached",
        ),
        pytest.param(
            "{tools: [open_files], folders: [f]}", "{tools: [open_files]}", id="folders are no longer declared"
        ),
        pytest.param("{tools: [open_files], folders: [f]}", "{folders: [f]}", id="tools are no longer declared"),
        pytest.param("{tools: [conversation_search]}", "{}", id="neither are declared"),
        pytest.param(
            "{tools: [conversation_search, web_search], policy: {tools: enforce}}",
            "{tools: [web_search], policy: {tools: enforce}}",
            id="an exact list",
        ),
        pytest.param(
            "{agent_type: memgpt_agent, tool_rules: [{type: run_first, tool_name: memory}]}",
            "{agent_type: memgpt_agent, tool_rules: []}",
            id="rules are no longer named",
        ),
        pytest.param("{tools: [pay]}", "{tools: []}", id="a tool is detached"),
        pytest.param(
            "{agent_type: memgpt_agent, tools: []}",
            "{agent_type: memgpt_agent, tools: [archival_memory_insert]}",
            id="a tool with a rule is attached",
        ),
        pytest.param(
            "{agent_type: memgpt_agent, tools: [archival_memory_insert]}",
            "{agent_type: memgpt_agent, tools: []}",
            id="a tool with a rule is detached",
        ),
        pytest.param(
            "{tools: [memory_insert]}", "{tools: [memory_insert], policy: {tools: enforce}}", id="a list becomes exact"
        ),
    ],
)
@pytest.mark.parametrize("tools", [TOOLS, (TOOLS[1], OFF)], ids=["approval on", "approval off"])
def test_agents_with_one_declaration_end_up_equal(
    stack: Stack, before: str, after: str, tools: tuple[str, str]
) -> None:
    stack.applied(f"{tools[0]}\n{FOLDER}\nagents: {{old: {before}}}")
    stack.applied(f"{tools[1]}\n{FOLDER}\nagents: {{old: {after}, new: {after}}}")
    assert stack.lists("old") == stack.lists("new")


@pytest.mark.parametrize(
    "agent",
    [
        "{tools: [web_search], policy: {tools: enforce}}",
        "{tools: [web_search], policy: {tools: enforce}, sleeptime: true}",
        "{tools: [web_search], policy: {tools: enforce}, folders: [f]}",
        "{tools: [pay, send_message], policy: {tools: enforce}, agent_type: memgpt_agent}",
        "{tool_rules: []}",
        "{tool_rules: [], agent_type: memgpt_agent}",
        "{tool_rules: null, agent_type: memgpt_v2_agent}",
        "{tool_rules: [], agent_type: sleeptime_agent, tools: [pay]}",
        "{tool_rules: [{type: requires_approval, tool_name: pay}], policy: {tool_rules: enforce}, tools: [pay]}",
    ],
)
@pytest.mark.parametrize("tools", TOOLS, ids=["approval off", "approval on"])
def test_an_exact_list_needs_one_apply(stack: Stack, agent: str, tools: str) -> None:
    stack.applied(f"{tools}\n{FOLDER}\nagents: {{a: {agent}}}")


@pytest.mark.parametrize(
    "agent",
    [
        "{max_tokens: null}",
        "{max_tokens: null, model_settings: {provider_type: openai}}",
        "{sleeptime: {max_tokens: null}}",
    ],
)
def test_null_at_creation_needs_one_apply(stack: Stack, agent: str) -> None:
    stack.applied(f"agents: {{a: {agent}}}")


def test_an_approval_reaches_the_agents_that_have_the_tool(stack: Stack) -> None:
    old = "{tools: [pay]}"
    stack.applied(f"{TOOLS[0]}\nagents: {{old: {old}, own: {{tools: [pay], tool_rules: []}}}}")
    tool = next(id for id, each in stack.standin.tables.tools.items() if each["name"] == "pay")
    body: dict[str, Any] = {"name": "theirs", "model": "openai-proxy/echo", "tool_ids": [tool]}
    theirs = stack.raw.post("/v1/agents/", json=body).json()["id"]
    exact = "{tools: [pay], tool_rules: [], policy: {tool_rules: enforce}}"
    plan = stack.applied(f"{TOOLS[1]}\nagents: {{old: {old}, own: {exact}, new: {old}}}")
    notes = {str(change.address): change.notes for change in plan.changes}
    assert notes["tools.pay"] == (
        f"`default_requires_approval` does not reach 1 agent outside this manifest, which keeps its `tool_rules`: "
        f"{theirs}",
    )
    asking = ["requires_approval pay"]
    assert [stack.lists(name)["rules"] for name in ("old", "new", "own", "theirs")] == [asking, asking, [], []]
    stack.applied(f"{OFF}\nagents: {{old: {old}, own: {exact}, new: {old}}}")
    assert [stack.lists(name)["rules"] for name in ("old", "new")] == [[], []]


def test_a_removed_approval_is_drift(stack: Stack) -> None:
    stack.applied(f"{TOOLS[1]}\nagents: {{a: {{tools: [pay]}}}}")
    stack.raw.patch(f"/v1/agents/{stack.agent('a')['id']}", json={"tool_rules": []})
    plan = stack.applied(f"{TOOLS[1]}\nagents: {{a: {{tools: [pay]}}}}")
    assert [(each.path, each.reason) for each in plan.changes[0].fields_changed] == [("tool_rules.pay", "drift")]
    assert stack.lists("a")["rules"] == ["requires_approval pay"]


def test_a_renamed_tool_keeps_its_approval(stack: Stack) -> None:
    stack.applied(f"{TOOLS[1]}\nagents: {{a: {{tools: [pay]}}}}")
    other = TOOLS[1].replace("pay.py", "other.py")
    (stack.folder / "other.py").write_text(SOURCE.format(name="pay_now", about="Pay."))
    stack.applied(f"{other}\nagents: {{a: {{tools: [pay]}}, new: {{tools: [pay]}}}}")
    assert stack.lists("a") == stack.lists("new")
    assert stack.lists("a")["rules"] == ["requires_approval pay_now"]
