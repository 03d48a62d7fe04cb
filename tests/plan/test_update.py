"""An existing object and its own blocks to what is written, attached, marked, and how it is shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.model import AgentChange, Dependents, Live, Mark, Moved
from lettaform.plan.changes import Diff, ResourceChange
from lettaform.plan.notes import cascades, lost_users
from lettaform.values import Patch, Ref, digest
from tests.plan.samples import HERE, at, difference, living, lookup, manifest, observed, wanted

PARTS = {"human": {"label": digest("human"), "value": digest("h")}}
ANN = living("agents.ann", "agent-1", model="m/m")
KNOWS_HUMAN = living("agents.ann", "agent-1", parts=PARTS, model="m/m")
LEFT = living("agents.ann.memory.human", "block-2", {"value": "h"}, value="h")
WANTS = manifest(wanted("agents.ann"), wanted("agents.ann.memory.human", value="h"))


def actions(found: Diff) -> list[tuple[str, str, str]]:
    return [(str(each.address), each.change.action, each.change.reason) for each in found.resources]


def test_what_is_as_declared_is_not_in_the_diff() -> None:
    assert difference(WANTS, observed(KNOWS_HUMAN, LEFT, attached={"agent-1": (LEFT,)})).resources == ()


@pytest.mark.parametrize(
    ("words", "state", "action", "reason"),
    [
        pytest.param({"marked": False}, {}, "adopt", "marks only", id="without a mark"),
        pytest.param({"mark": Mark()}, {}, "mark", "marks only", id="with an old mark"),
        pytest.param({}, {"ids": {}}, "mark", "not in the state of the stack", id="not in the state"),
        pytest.param(
            {},
            {"pending": frozenset({at("agents.ann")})},
            "update",
            "interrupted before its prompt was recompiled",
            id="a call is pending",
        ),
    ],
)
def test_what_is_written_besides_fields(words: Any, state: Any, action: str, reason: str) -> None:
    has = observed(replace(ANN, **words))
    has = replace(has, state=replace(has.state, **state))
    assert actions(difference(manifest(wanted("agents.ann")), has)) == [("agents.ann", action, reason)]


def test_an_object_that_moved_is_marked_again() -> None:
    wants = manifest(wanted("agents.bob", name="ann"), moved=(Moved(at("agents.ann"), at("agents.bob"), HERE),))
    (found,) = difference(wants, observed(ANN)).resources
    assert (found.change.action, found.change.reason, found.claim) == ("mark", "moved from agents.ann", True)


# --- own blocks ------------------------------------------------------------------------------------------------------


def own_block(agent: Live, **words: Any) -> tuple[list[tuple[str, str]], Any, list[AgentChange]]:
    """Actions, what is attached to the agent, and what it changed by itself."""
    options = words.pop("options", {})
    found = difference(WANTS, observed(agent, *words.pop("lives", ()), **words), **options)
    attached = [each.attach for each in found.resources if each.change.kind == "agent"]
    return [(a.rpartition(".")[2], action) for a, action, _ in actions(found)], attached, list(found.runtime)


def test_a_block_that_the_agent_never_had_is_created_and_attached() -> None:
    shown, attached, _ = own_block(ANN)
    assert shown == [("human", "create"), ("ann", "update")]
    assert attached == [(("blocks", Ref(at("agents.ann.memory.human"))),)]


def test_a_detached_block_is_attached_to_an_agent_that_never_had_it() -> None:
    shown, attached, _ = own_block(ANN, detached={LEFT.address: (LEFT,)})
    assert shown == [("human", "adopt"), ("ann", "update")]
    assert attached == [(("blocks", "block-2"),)]


def test_a_block_that_the_agent_detached_stays_detached() -> None:
    shown, _, changed = own_block(KNOWS_HUMAN, detached={LEFT.address: (LEFT,)})
    assert not shown
    assert changed == [AgentChange(at("agents.ann.memory.human"), "attached", "block-2", live=False, want=True)]


def test_reseed_attaches_a_detached_block_again() -> None:
    options = {"reseed": ("agents.ann.memory.human",)}
    shown, attached, _ = own_block(KNOWS_HUMAN, detached={LEFT.address: (LEFT,)}, options=options)
    assert shown == [("human", "adopt"), ("ann", "update")]
    assert attached == [(("blocks", "block-2"),)]


def test_a_block_that_the_agent_created_itself_is_adopted() -> None:
    theirs = Live("block", "block-5", "human", {"label": "human", "value": "learnt"})
    found = difference(WANTS, observed(KNOWS_HUMAN, attached={"agent-1": (theirs,)}))
    (block,) = found.resources
    assert (block.change.action, block.change.id, block.fields, block.claim) == ("adopt", "block-5", {}, True)
    assert [(each.path, each.live) for each in found.runtime] == [("value", "learnt")]


def test_new_own_blocks_are_shown_as_memory_of_the_agent() -> None:
    agent = difference(WANTS, observed(ANN)).resources[-1]
    assert [(each.path, each.new) for each in agent.change.fields_changed] == [
        ("memory", Patch((Ref(at("agents.ann.memory.human")),)))
    ]
    assert agent.mark is not None
    assert agent.mark.parts == {"human": {}}


def test_orphaned_blocks_of_a_moved_agent_are_marked_again() -> None:
    entry = Moved(at("agents.ann"), at("agents.bob"), HERE)
    wants = manifest(wanted("agents.bob", name="ann"), wanted("agents.bob.memory.human", value="h"), moved=(entry,))
    found = difference(wants, observed(KNOWS_HUMAN, detached={LEFT.address: (LEFT,)}))
    block = next(each for each in found.resources if each.address.parent)
    assert (str(block.address), block.change.action, block.claim) == ("agents.bob.memory.human", "mark", True)


@pytest.mark.parametrize("others", [[], ["agents.bob"]], ids=["renamed", "a chain"])
def test_undeclared_own_blocks_move_with_their_agent(others: list[str]) -> None:
    human, bobs = LEFT, living("agents.bob.memory.human", "block-3", value="h")
    bob = living("agents.bob", "agent-2", parts=PARTS, model="m/m")
    lives = [KNOWS_HUMAN, human, *((bob, bobs) if others else ())]
    attached = {"agent-1": (human,), "agent-2": (bobs,)}
    entries = [Moved(at("agents.ann"), at("agents.cy"), HERE)]
    entries += [Moved(at(each), at("agents.ann"), HERE) for each in others]
    declared = [wanted("agents.cy", name="ann")]
    declared += [wanted("agents.ann", name="bob"), wanted("agents.ann.memory.human")] if others else []
    found = difference(manifest(*declared, moved=tuple(entries)), observed(*lives, attached=attached))
    block = next(each for each in found.resources if each.live and each.live.id == human.id)
    assert (str(block.address), block.change.action, block.claim) == ("agents.cy.memory.human", "mark", True)


def test_an_orphaned_block_that_is_deleted_is_not_marked_before() -> None:
    entry = Moved(at("agents.ann"), at("agents.bob"), HERE)
    wants = manifest(wanted("agents.bob", name="ann"), moved=(entry,))
    found = difference(wants, observed(ANN, detached={LEFT.address: (LEFT,)}), prune=True)
    assert [(a, action) for a, action, _ in actions(found)] == [
        ("agents.bob", "mark"),
        ("agents.bob.memory.human", "delete"),
    ]


# --- replacement -----------------------------------------------------------------------------------------------------


def test_what_refers_to_a_replaced_object_in_a_fixed_field_is_replaced_too() -> None:
    old = {"agent_type": "memgpt_agent"}
    ann = living("agents.ann", "agent-1", old, **old)
    group = living(
        "groups.g", "group-1", {"manager": "agent-1", "type": "supervisor"}, manager="agent-1", type="supervisor"
    )
    wants = manifest(
        wanted("agents.ann", agent_type="letta_v1_agent", model="m/m"),
        wanted("groups.g", type="supervisor", agents=[Ref(at("agents.ann"))], manager=Ref(at("agents.ann"))),
    )
    found: tuple[ResourceChange, ...] = difference(wants, observed(ann, group)).resources
    assert [(str(each.address), each.change.action) for each in found] == [
        ("agents.ann", "replace"),
        ("groups.g", "replace"),
    ]


def test_up_to_three_dependents_are_named() -> None:
    def talks(count: int) -> list[str]:
        along = tuple(Live("conversation", f"conv-{n}", "", {}) for n in range(count))
        return list(cascades(lookup(manifest(), observed(dependents={"agent-1": Dependents(along)})), "agent-1"))

    assert talks(0) == []
    assert talks(2) == ["also deletes conv-0, conv-1, not declared in this manifest"]
    assert talks(4) == ["also deletes 4 conversations, not declared in this manifest"]


@pytest.mark.parametrize(
    ("identities", "members", "lost"),
    [
        pytest.param([], (), 1, id="somebody attached it"),
        pytest.param([Ref(at("identities.shop"))], (), 0, id="it gets the new one"),
        pytest.param([], ("identity-1",), 0, id="the manifest takes it away"),
    ],
)
def test_who_loses_what_is_replaced(identities: list[Ref], members: tuple[str, ...], lost: int) -> None:
    wants = manifest(shop := wanted("identities.shop"), wanted("agents.ann", identities=identities))
    ann = living("agents.ann", "agent-1", members={"identities": members})
    users = {"identity-1": frozenset({"agent-1"})}
    look = lookup(wants, observed(living("identities.shop", "identity-1"), ann, users=users))
    assert len(lost_users(look, shop)) == lost


def test_a_deleted_block_is_created_when_it_is_declared_again() -> None:
    # the agent's mark would say that the agent has detached it
    ann = living("agents.ann", "agent-1", parts={"human": {}, "gone": {}}, model="m/m")
    human = living("agents.ann.memory.human", "block-1")
    has = observed(ann, human, attached={"agent-1": (human,)})
    found = difference(manifest(wanted("agents.ann")), has, prune=True)
    (agent,) = [each for each in found.resources if not each.address.parent]
    assert agent.mark is not None
    assert agent.mark.parts == {}


def test_a_moved_block_is_detached_attached_and_marked() -> None:
    ann = living("agents.ann", "agent-1", parts={"human": {}})
    bob, human = living("agents.bob", "agent-2"), living("agents.ann.memory.human", "block-1")
    entry = Moved(at("agents.ann.memory.human"), at("agents.bob.memory.human"), HERE)
    has = observed(ann, bob, human, attached={"agent-1": (human,), "agent-2": ()})
    wants = manifest(wanted("agents.ann"), wanted("agents.bob"), wanted("agents.bob.memory.human"), moved=(entry,))
    found = {str(each.address): each for each in difference(wants, has).resources}
    assert found["agents.ann"].detach == (("blocks", "block-1"),)
    assert found["agents.ann"].mark is not None
    assert found["agents.ann"].mark.parts == {}
    assert found["agents.bob"].attach == (("blocks", "block-1"),)
    assert found["agents.bob.memory.human"].claim
    undeclared = manifest(wanted("agents.bob"), wanted("agents.bob.memory.human"), moved=(entry,))
    found = {str(each.address): each for each in difference(undeclared, has).resources}
    assert found["agents.ann"].detach == (("blocks", "block-1"),)


@pytest.mark.parametrize(
    ("words", "blocks", "detached"),
    [
        ({}, ["block-1"], ["block-1"]),  # the line that attached it is removed
        ({"blocks": [Ref(at("blocks.org"))]}, ["block-1"], []),
        ({}, [], []),  # it has lost it already
    ],
)
def test_a_block_is_detached_from_what_was_created_along_with_its_agent_too(
    words: dict[str, Any], blocks: list[str], detached: list[str]
) -> None:
    block = living("blocks.org", "block-1", value="v")
    ann = living("agents.ann", "agent-1", blocks=["block-1"], members={"blocks": ("block-1",)})
    along = living("agents.ann-sleeptime", "agent-2", blocks=blocks)
    sleeping = replace(wanted("agents.ann-sleeptime"), created_with=at("agents.ann"))
    wants = manifest(wanted("agents.ann", **words), sleeping, wanted("blocks.org", value="v"))
    attached = {"agent-1": (block,), "agent-2": (block,) if blocks else ()}
    found = {str(r.address): r for r in difference(wants, observed(ann, along, block, attached=attached)).resources}
    changed = found.get("agents.ann-sleeptime")
    assert [member for _, member in changed.detach if changed] == detached if changed else not detached
    assert ("agents.ann" in found) is not bool(words)
