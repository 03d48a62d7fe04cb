"""`memory` on a stand-in: few requests for any number of agents, and the server's numbers if they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.plan.memory import AgentMemory, MemoryReport
from tests.session.test_status import MANIFEST, Stack
from tests.session.test_status import stack as stack


def memory(stack: Stack, *patterns: str, count: bool = False) -> tuple[MemoryReport, list[str]]:
    with stack.requests() as asked:
        found = flow.memory(stack.source, stack.connection, patterns, count_tokens=count)
    return found, asked


def by_address(found: MemoryReport) -> dict[str, AgentMemory]:
    return {str(each.address): each for each in found.agents}


def test_before_the_first_apply_there_is_nothing(stack: Stack) -> None:
    found, _ = memory(stack)
    assert (found.agents, found.total) == ((), 0)


def test_estimates_need_the_same_requests_for_any_number_of_agents(stack: Stack) -> None:
    many = MANIFEST.replace("[x, y]", f"[{', '.join(f'w{n}' for n in range(60))}]")
    stack.apply()
    few, asked = memory(stack)
    stack.write(many + "archives: {facts: {embedding: letta/letta-free}}\n")
    stack.edit("    memory: {persona: I work.}", "    memory: {persona: I work.}\n    archive: facts")
    stack.apply()
    found, more = memory(stack)
    assert (few.total, found.total) == (3, 63)  # two are no longer declared
    assert len(more) <= len(asked) + 1  # the list of archives
    assert all(each.startswith("GET ") for each in more)


def test_estimates_are_what_the_server_counts(stack: Stack) -> None:
    stack.apply()
    stack.change("blocks", "human", value="x" * 19)
    estimated, _ = memory(stack)
    counted, asked = memory(stack, count=True)
    assert len([each for each in asked if each.endswith("/context")]) == 3
    for address, each in by_address(counted).items():
        known = by_address(estimated)[address].parts
        assert known == pytest.approx({name: each.parts[name] for name in known}, abs=1)
        assert (each.counted, each.messages) == (True, 1)
    boss = by_address(estimated)["agents.boss"]
    fullest = boss.blocks[0]
    assert (fullest.label, fullest.characters, fullest.is_near) == ("human", 19, True)


def test_selected_agents_are_counted_alone(stack: Stack) -> None:
    stack.apply()
    found, asked = memory(stack, "agents.worker", count=True)
    assert sorted(by_address(found)) == ["agents.worker[x]", "agents.worker[y]"]
    assert len([each for each in asked if each.endswith("/context")]) == 2
    for pattern in ("agents.nobody", "blocks.org"):
        with pytest.raises(PlanError, match="no object has the address"):
            memory(stack, pattern)


def test_an_agent_that_is_no_longer_declared_is_shown(stack: Stack, tmp_path: Path) -> None:
    stack.apply()
    stack.edit("[x, y]", "[x]")
    assert "agents.worker[y]" in by_address(memory(stack)[0])
