"""How long the prompts become that a plan creates or changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.model import Live, Observed, Plan, PromptChange
from lettaform.values import Ref
from tests.plan.samples import at, living, manifest, observed, plan, wanted

ORG = living("blocks.org", "block-org", value="hello", limit=100)
MINE = living("agents.a.memory.human", "block-1", {"value": "x"}, value="Ann", limit=100)


def agent(key: str, **values: Any) -> Live:
    return living(f"agents.{key}", f"agent-{key}", {"system": "old"}, model="m/m", system="old", **values)


def have(*agents: Live, blocks: tuple[Live, ...] = ()) -> Observed:
    found = observed(*agents, *blocks)
    shared = tuple(each for each in blocks if not (each.address and each.address.parent))
    attached = {
        live.id: (*shared, *(each for each in blocks if each.address and each.address.parent == live.address))
        for live in agents
    }
    users = {each.id: frozenset(live.id for live in agents) for each in shared}
    return replace(found, attached=attached, users=users)


def found(made: Plan) -> dict[str, tuple[int | None, int]]:
    return {str(each.address): (each.before, each.growth) for each in made.prompts}


A = agent("a")
BEFORE = 1 + 65


def test_a_prompt_that_is_written() -> None:
    made = plan(manifest(wanted("agents.a", model="m/m", system="new!" * 10)), have(A))
    assert found(made) == {"agents.a": (BEFORE, 9)}


def test_what_stands_in_no_prompt() -> None:
    made = plan(manifest(wanted("agents.a", model="m/m", description="new")), have(A))
    assert made.changes
    assert made.prompts == ()


def test_nothing_changes() -> None:
    assert plan(manifest(wanted("agents.a", model="m/m", system="old")), have(A)).prompts == ()


def test_a_shared_block_changes_the_prompts_of_all_its_agents() -> None:
    agents = [agent(key, blocks=["block-org"]) for key in "ab"]
    wants = [wanted(f"agents.{key}", model="m/m", blocks=[Ref(at("blocks.org"))]) for key in "ab"]
    block = wanted("blocks.org", value="hello" + "x" * 40, limit=100)
    made = plan(manifest(*wants, replace(block, policies={"value": "enforce"})), have(*agents, blocks=(ORG,)))
    assert {growth for _, growth in found(made).values()} <= {10, 11}
    assert sorted(found(made)) == ["agents.a", "agents.b"]


def test_a_seed_that_agents_changed_is_counted_as_it_is() -> None:
    wants = manifest(wanted("agents.a", model="m/m", system="new!"), wanted("agents.a.memory.human", value="x"))
    before = plan(wants, have(A, blocks=(MINE,))).prompts[0].before
    longer = replace(MINE, values={**MINE.values, "value": "Ann" + "n" * 400})
    after = plan(wants, have(A, blocks=(longer,))).prompts[0].before
    assert before is not None
    assert after is not None
    assert after - before in (100, 101)


def test_a_new_agent_has_its_own_and_its_shared_blocks() -> None:
    wants = [wanted("blocks.org", value="o" * 400), wanted("agents.a.memory.human", value="h" * 400)]
    bare = plan(manifest(wanted("agents.a", model="m/m", system="S", context_window=500)), observed())
    full = wanted("agents.a", model="m/m", system="S", context_window=500, blocks=[Ref(at("blocks.org"))])
    made = plan(manifest(full, *wants), observed())
    assert found(bare) == {"agents.a": (None, BEFORE)}
    (prompt,) = made.prompts
    assert (prompt.id, prompt.before, prompt.window) == (None, None, 500)
    assert 200 + 2 * 28 < prompt.after - BEFORE < 200 + 3 * 30 + 30
    assert not prompt.is_near


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        ({}, 0),
        ({"agent_type": "memgpt_v2_agent"}, 149),
        ({"agent_type": "memgpt_v2_agent", "include_base_tool_rules": False}, 0),
        ({"tool_rules": [{"type": "continue_loop", "tool_name": "memory_insert"}]}, 80),  # an exact list
    ],
)
def test_rules_that_the_server_adds_are_counted(values: dict[str, Any], rules: int) -> None:
    (prompt,) = plan(manifest(wanted("agents.a", model="m/m", system="S", **values)), observed()).prompts
    assert prompt.after - BEFORE == rules


def test_a_new_block_of_an_existing_agent() -> None:
    wants = manifest(wanted("agents.a", model="m/m", system="old"), wanted("agents.a.memory.human", value="h" * 400))
    growth = found(plan(wants, have(A)))["agents.a"][1]
    assert 100 < growth < 180


def test_a_block_that_is_deleted() -> None:
    wants = manifest(wanted("agents.a", model="m/m", system="old"))
    made = plan(wants, have(A, blocks=(MINE,)), prune=True)
    assert found(made)["agents.a"][1] < 0


def test_a_replaced_agent_keeps_its_blocks() -> None:
    old = agent("a", agent_type="letta_v1_agent")
    new = wanted("agents.a", model="m/m", system="old", agent_type="memgpt_agent")
    wants = manifest(new, wanted("agents.a.memory.human", value="x"))
    made = plan(wants, have(old, blocks=(MINE,)), allow_destroy=("agents.a",))
    assert [change.action for change in made.changes if change.kind == "agent"] == ["replace"]
    assert found(made)["agents.a"][1] == 194  # the rules of its new type


def test_an_agent_that_is_deleted_or_foreign_has_none() -> None:
    foreign = replace(agent("b", blocks=["block-org"]), stack="other")
    lives = have(A, foreign, blocks=(ORG,))
    block = replace(wanted("blocks.org", value="x" * 90, limit=100), policies={"value": "enforce"})
    made = plan(manifest(block), lives, prune=True, allow_destroy=("*",))
    assert found(made) == {}
    assert plan(manifest(), have(A), destroy=True, allow_destroy=("*",)).prompts == ()


@pytest.mark.parametrize(
    ("window", "context", "near"),
    [(None, None, False), (1000, None, False), (111, None, True), (112, None, False), (1000, 900, True)],
)
def test_near_the_window(window: int | None, context: int | None, near: bool) -> None:
    assert PromptChange(at("agents.a"), "agent-1", 90, 100, window, context).is_near is near
