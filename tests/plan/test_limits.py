"""How much a plan may do: each limit, at it and above it, and what does not count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import Place
from lettaform.model import Limits, Live, Observed, PlanOptions, Removed
from lettaform.plan.limits import HINT, exceeded
from tests.plan.samples import HERE, at, difference, living, manifest, observed, wanted

NONE = Limits(deleted_percent=None)
PRUNE = {"prune": True}


def block(key: str, value: str = "") -> Live:
    return living(f"blocks.{key}", f"block-{key}", {"value": value}, value=value)


def blocks(number: int) -> Observed:
    return observed(*(block(f"b{n:03}") for n in range(number)))


def found(wants: Any, has: Observed, limits: Limits = NONE, **options: Any) -> list[str]:
    wants = replace(wants, limits=limits)
    problems = exceeded(difference(wants, has, **options), wants, has, PlanOptions(**options))
    assert {(each.hint, each.severity) for each in problems} <= {(HINT, "error")}
    return [each.message for each in problems]


def kept(*keys: str) -> Any:
    return manifest(*(wanted(f"blocks.{key}") for key in keys))


# --- the share of the stack ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("live", "declared", "refused"),
    [
        (0, 0, False),
        (5, 0, False),  # at most 5 objects
        (6, 0, True),
        (12, 6, False),  # exactly one half
        (12, 5, True),
        (500, 0, True),
        (500, 499, False),
    ],
)
def test_by_default_at_most_half_of_the_stack_is_deleted(live: int, declared: int, refused: bool) -> None:
    wants = kept(*(f"b{n:03}" for n in range(declared)))
    assert bool(found(wants, blocks(live), Limits(), **PRUNE)) is refused


def test_the_message_names_counts_and_objects() -> None:
    (message,) = found(manifest(), blocks(7), Limits(), **PRUNE)
    what = "the plan deletes or replaces 7 of the 7 objects of the stack, and the limit is 50 %"
    assert message == f"{what}: blocks.b000, blocks.b001, blocks.b002, blocks.b003, blocks.b004 and 2 more"
    (message,) = found(manifest(), blocks(2), Limits(deleted=1), **PRUNE)
    assert message == "the plan deletes or replaces 2 objects, and the limit is 1: blocks.b000, blocks.b001"


def test_objects_of_others_do_not_make_the_stack_larger() -> None:
    foreign = [replace(block(f"x{n}"), stack="other") for n in range(20)]
    assert found(manifest(), observed(*(block(f"b{n}") for n in range(6)), *foreign), Limits(), **PRUNE)


@pytest.mark.parametrize(("percent", "refused"), [(None, False), (100, False), (99, True), (0, True)])
def test_the_share_is_set_in_the_manifest(percent: int | None, refused: bool) -> None:
    assert bool(found(manifest(), blocks(8), Limits(deleted_percent=percent), **PRUNE)) is refused


@pytest.mark.parametrize(("most", "refused"), [(None, False), (3, False), (2, True), (0, True)])
def test_the_number_is_set_in_the_manifest(most: int | None, refused: bool) -> None:
    assert bool(found(manifest(), blocks(3), Limits(deleted=most), **PRUNE)) is refused


@pytest.mark.parametrize(
    "options",
    [{"destroy": True}, {"prune": True, "ignore_limits": True}, {"prune": True, "allow_destroy": ("blocks.*",)}, {}],
)
def test_what_is_not_judged(options: dict[str, Any]) -> None:
    assert found(manifest(), blocks(8), Limits(), **options) == []


def test_what_removed_names_does_not_count() -> None:
    has = blocks(8)
    named = tuple(Removed(at(f"blocks.b{n:03}"), True, HERE) for n in range(8))
    assert found(manifest(removed=named), has, Limits(deleted=0)) == []
    assert found(manifest(removed=named[:7]), has, Limits(deleted=0), **PRUNE)
    owner, part = living("agents.a", "agent-1", model="m/m"), living("agents.a.memory.x", "block-1")
    removed = manifest(removed=(Removed(at("agents.a"), True, HERE),))
    assert found(removed, observed(owner, part), Limits(deleted=0)) == []


def test_a_problem_stands_where_the_limit_is_written() -> None:
    place = Place("lettaform.yaml", 3, 5)
    wants = manifest(limits=Limits(deleted=0, places={"deleted": place}))
    (problem,) = exceeded(difference(wants, blocks(1), prune=True), wants, blocks(1), PlanOptions(prune=True))
    assert (problem.place, problem.field) == (place, "limits.deleted")


# --- agents ----------------------------------------------------------------------------------------------------------

ANN, BOB = (living(f"agents.{name}", f"agent-{name}", model="m/m", system="old") for name in ("ann", "bob"))
ORG = living("blocks.org", "block-org", {"value": "x"}, value="x")


def agents(system: str = "new") -> Any:
    return manifest(*(wanted(f"agents.{name}", system=system, model="m/m") for name in ("ann", "bob", "new")))


@pytest.mark.parametrize(("most", "refused"), [(None, False), (2, False), (1, True)])
def test_agents_that_exist_and_change_are_counted(most: int | None, refused: bool) -> None:
    messages = found(agents(), observed(ANN, BOB), replace(NONE, agents=most))
    assert bool(messages) is refused
    if refused:
        what = "the plan changes, deletes or recompiles 2 agents, and the limit is 1"
        assert messages == [f"{what}: agents.ann, agents.bob"]


def test_agents_that_do_not_change_are_not_counted() -> None:
    assert found(agents("old"), observed(ANN, BOB), replace(NONE, agents=0)) == []


def test_an_own_block_counts_for_its_agent() -> None:
    own = living("agents.ann.memory.human", "block-1", {"description": "a"}, description="a")
    wants = manifest(
        wanted("agents.ann", system="old", model="m/m"), wanted("agents.ann.memory.human", description="b", value="")
    )
    has = observed(ANN, own, attached={ANN.id: (own,)})
    assert len(found(wants, has, replace(NONE, agents=0))) == 1


def test_users_of_a_shared_block_are_counted() -> None:
    users = {"block-org": frozenset({"agent-ann", "agent-x", "agent-y"})}
    wants = manifest(wanted("blocks.org", {"value": "enforce"}, value="y"))
    (message,) = found(wants, observed(ORG, users=users), replace(NONE, agents=2))
    assert message.startswith("the plan changes, deletes or recompiles 3 agents")


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "refused"), [(None, False), (9, False), (8, True)])
def test_characters_of_deleted_blocks_are_counted(most: int | None, refused: bool) -> None:
    has = observed(block("a", "12345"), block("b", "1234"))
    messages = found(manifest(), has, replace(NONE, memory_lost=most), **PRUNE)
    assert bool(messages) is refused
    if refused:
        assert messages == ["the plan removes 9 characters of memory, and the limit is 8: blocks.a, blocks.b"]


@pytest.mark.parametrize(
    ("old", "new", "lost"),
    [
        ("one\ntwo", "one\ntwo\nthree", 0),
        ("one\ntwo", "two\none", 0),
        ("one\ntwo", "one", 3),
        ("one\none", "one", 3),
        ("one\ntwo", "", 6),
    ],
)
def test_characters_of_lines_that_leave_a_block_are_counted(old: str, new: str, lost: int) -> None:
    wants, has = manifest(wanted("blocks.a", {"value": "enforce"}, value=new)), observed(block("a", old))
    assert bool(found(wants, has, replace(NONE, memory_lost=max(lost - 1, 0)))) is bool(lost)
    assert found(wants, has, replace(NONE, memory_lost=lost)) == []


def test_memory_that_the_plan_keeps_is_not_counted() -> None:
    assert (
        found(manifest(wanted("blocks.a", value="other")), observed(block("a", "x")), replace(NONE, memory_lost=0))
        == []
    )


# --- prompts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("most", "refused"), [(None, False), (67, False), (66, True)])
def test_prompts_that_get_longer_are_judged(most: int | None, refused: bool) -> None:
    messages = found(agents("longer"), observed(ANN, BOB), replace(NONE, prompt_tokens=most))
    what = "the plan gives the prompts of 3 agents up to 67 estimated tokens, and the limit is 66"
    assert messages == [f"{what}: agents.ann, agents.bob, agents.new"] * refused


def test_a_prompt_that_gets_shorter_is_never_too_long() -> None:
    assert found(agents("x"), observed(ANN, BOB), replace(NONE, prompt_tokens=0))[0].endswith(": agents.new")
