"""What fills the contexts of agents: estimates, and what the server counted."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lettaform.errors import Problem
from lettaform.model import Context, Observed
from lettaform.plan.memory import AgentMemory, BlockMemory, MemoryReport, memory_of
from tests.plan.samples import at, living, observed

ORG = living("blocks.org", "block-org", value="hello", limit=100)
HUMAN = living("agents.a.memory.human", "block-1", value="x" * 95, limit=100)
LOOSE = replace(living("blocks.loose", "block-2", value="x", limit=0), address=None, stack=None)
SCHEMAS = {"tool-1": {"name": "search", "parameters": {}}, "tool-9": {"name": "other"}}


def have() -> Observed:
    a = living("agents.a", "agent-a", model="m/m", system="S" * 40, context_window=300, tools=["tool-1", "tool-2"])
    b = living("agents.b", "agent-b", model="m/m", system="S")
    foreign = replace(living("agents.x", "agent-x", model="m/m", system="S"), stack="other")
    return observed(a, b, foreign, ORG, HUMAN, attached={"agent-a": (ORG, HUMAN, LOOSE), "agent-b": (ORG,)})


def report() -> MemoryReport:
    return memory_of(have(), "s", SCHEMAS, "prod")


def test_the_fullest_is_first_and_other_stacks_are_left_out() -> None:
    found = report()
    assert [str(each.address) for each in found.agents] == ["agents.a", "agents.b"]
    assert (found.total, found.environment) == (2, "prod")


def test_estimated_parts() -> None:
    a, b = report().agents
    assert {name: a.parts[name] for name in ("system", "rules", "metadata")} == {
        "system": 10,
        "rules": 0,
        "metadata": 65,
    }
    assert [*a.parts] == ["system", "blocks", "tools", "rules", "metadata"]
    assert 20 < a.parts["tools"] < 30  # the other tool is not known
    assert b.parts["tools"] == 0
    assert (a.counted, a.messages, a.window, b.window) == (False, None, 300, None)
    assert a.used == sum(a.parts.values())
    assert (b.share, b.is_near) == (0.0, False)


def test_blocks_with_the_fullest_first() -> None:
    a = report().agents[0]
    assert [(each.label, str(each.address), each.characters, each.limit) for each in a.blocks] == [
        ("human", "agents.a.memory.human", 95, 100),
        ("org", "blocks.org", 5, 100),
        ("loose", "None", 1, 0),
    ]
    assert [each.label for each in a.full_blocks] == ["human"]


@pytest.mark.parametrize(
    ("characters", "limit", "near"), [(89, 100, False), (90, 100, True), (101, 100, True), (1, 0, False)]
)
def test_a_block_near_its_limit(characters: int, limit: int, near: bool) -> None:
    assert BlockMemory("a", "block-1", None, 1, characters, limit).is_near is near


@pytest.mark.parametrize(("used", "near"), [(269, False), (270, True), (400, True)])
def test_an_agent_near_its_window(used: int, near: bool) -> None:
    assert AgentMemory(at("agents.a"), "agent-a", "a", "m/m", {"system": used}, window=300).is_near is near


def test_what_the_server_counted_takes_the_place_of_the_estimate() -> None:
    context = Context({"messages": 5, "system": 7, "files": 1}, 10, 3)
    warning = Problem("the server does not count", severity="warning")
    found = report().with_contexts({"agent-b": context}, (warning,))
    first, second = found.agents
    assert (str(first.address), first.parts, first.window) == ("agents.b", {"system": 7, "files": 1, "messages": 5}, 10)
    assert (first.counted, first.messages, second.counted) == (True, 3, False)
    assert found.warnings == (warning,)


def test_selected() -> None:
    found = report().select(("agents.b*",))
    assert ([str(each.address) for each in found.agents], found.total) == (["agents.b"], 2)
    assert report().select(()) == report()
