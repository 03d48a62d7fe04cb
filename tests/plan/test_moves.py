"""`moved` entries and what was observed to what stands at which address."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lettaform.model import Live, Moved, Observed, PlanOptions, State
from lettaform.plan.moves import Moves, move
from tests.plan.samples import HERE, at, living, manifest, observed, wanted


def entries(*pairs: str) -> tuple[Moved, ...]:
    """`a>b` for each move of a block."""
    return tuple(Moved(*(at(f"blocks.{key}") for key in pair.split(">")), HERE) for pair in pairs)


def moved(has: Observed, *pairs: str, declared: str = "", **options: tuple[str, ...]) -> Moves:
    wants = [wanted(f"blocks.{key}") for key in declared]
    return move(manifest(*wants, moved=entries(*pairs)), has, PlanOptions(**options))


@pytest.mark.parametrize(
    ("pairs", "before", "after"),
    [
        pytest.param(["a>b"], "a", "b", id="one"),
        pytest.param(["a>b"], "b", "b", id="done already"),
        pytest.param(["a>b", "b>c"], "ab", "bc", id="a chain"),
        pytest.param(["b>c", "a>b"], "ab", "bc", id="a chain, the last first"),
        pytest.param(["a>b", "b>c", "c>d"], "abc", "bcd", id="a long chain"),
        pytest.param(["a>b", "b>c"], "a", "c", id="two moves of one object"),
        pytest.param(["b>c", "a>b"], "a", "c", id="two moves of one object, the last first"),
        pytest.param(["a>b", "b>a"], "ab", "ba", id="a swap"),
        pytest.param(["a>b", "b>c", "c>a"], "abc", "bca", id="a cycle"),
        pytest.param(["a>b", "b>a"], "a", "b", id="a swap of which one object is missing"),
    ],
)
def test_objects_move(pairs: list[str], before: str, after: str) -> None:
    lives = [living(f"blocks.{key}", f"block-{key}") for key in before]
    found = moved(observed(*lives), *pairs, declared=after)
    assert not found.blocked
    assert {str(a): live.id for a, live in found.observed.objects.items()} == {
        f"blocks.{new}": f"block-{old}" for old, new in zip(before, after, strict=True)
    }
    assert all(live.address == address for address, live in found.observed.objects.items())


@pytest.mark.parametrize(
    ("pairs", "before"), [(["a>b"], "ab"), (["a>b", "c>b"], "abc"), (["a>d", "c>d"], "ac"), (["a>b", "b>c"], "abc")]
)
def test_moves_onto_what_stays_are_blocked(pairs: list[str], before: str) -> None:
    lives = [living(f"blocks.{key}", f"block-{key}") for key in before]
    found = moved(observed(*lives), *pairs, declared="bcd")
    assert found.blocked == entries(*pairs)
    assert not found.old


def test_a_chain_of_thousands_takes_linear_time() -> None:
    count = 3000
    lives = [living(f"blocks.a{n}", f"block-{n}") for n in range(count)]
    chain = entries(*(f"a{n}>a{n + 1}" for n in range(count)))
    wants = [wanted(f"blocks.a{n + 1}") for n in range(count)]
    found = move(manifest(*wants, moved=chain), observed(*lives), PlanOptions())
    assert not found.blocked
    assert found.observed.objects[at(f"blocks.a{count}")].id == f"block-{count - 1}"
    wants.append(wanted("blocks.a0"))
    stuck = move(manifest(*wants, moved=chain), observed(*lives, living(f"blocks.a{count}", "block-z")), PlanOptions())
    assert len(stuck.blocked) == count


def test_the_parts_of_an_object_move_with_it() -> None:
    agent, own = living("agents.a", "agent-1"), living("agents.a.memory.human", "block-1")
    left, lent = living("agents.a.memory.left", "block-2"), living("agents.a.memory.lent", "block-3")
    has = observed(agent, own, detached={left.address: (left,)}, held_elsewhere={lent.address: (lent,)})
    found = move(manifest(moved=(Moved(at("agents.a"), at("agents.b"), HERE),)), has, PlanOptions())
    assert {str(address) for address in found.observed.objects} == {"agents.b", "agents.b.memory.human"}
    assert [str(address) for address, _ in found.observed.orphaned_blocks] == [
        "agents.b.memory.left",
        "agents.b.memory.lent",
    ]
    assert found.old == {at("agents.b"): at("agents.a"), at("agents.b.memory.human"): at("agents.a.memory.human")}


def test_a_move_that_the_plan_leaves_out_waits() -> None:
    found = moved(observed(living("blocks.a", "block-1")), "a>b", exclude=("blocks.b",))
    assert (list(found.observed.objects), found.waiting) == ([at("blocks.a")], {at("blocks.a")})


@pytest.mark.parametrize(
    ("declared", "recorded", "stays"), [("b", "a", "b"), ("a", "b", "a"), (None, "a", "a"), (None, "b", "b")]
)
def test_an_object_at_two_addresses_gets_the_declared_one(declared: str | None, recorded: str, stays: str) -> None:
    lives = {at(f"blocks.{key}"): living(f"blocks.{key}", "block-1") for key in "ab"}
    has = Observed("", "", State({at(f"blocks.{recorded}"): "block-1"}), lives)
    wants = manifest(*([wanted(f"blocks.{declared}")] if declared else []))
    assert list(move(wants, has, PlanOptions()).observed.objects) == [at(f"blocks.{stays}")]


ENTRIES = {
    "own": (Moved(at("agents.a.memory.x"), at("agents.b.memory.y"), HERE),),
    "shared": (Moved(at("agents.a.memory.x"), at("blocks.x"), HERE),),
    "with its agent": (Moved(at("agents.a"), at("agents.c"), HERE),),
    "out of a renamed agent": (
        Moved(at("agents.a"), at("agents.c"), HERE),
        Moved(at("agents.a.memory.x"), at("agents.b.memory.y"), HERE),
    ),
    "out of an agent by its new address": (
        Moved(at("agents.a"), at("agents.c"), HERE),
        Moved(at("agents.c.memory.x"), at("agents.b.memory.y"), HERE),
    ),
}


@pytest.mark.parametrize(
    ("name", "address", "before"),
    [
        ("own", "agents.b.memory.y", "agents.a.memory.x"),
        ("shared", "blocks.x", "agents.a.memory.x"),
        ("with its agent", "agents.c.memory.x", "agents.c.memory.x"),
        ("out of a renamed agent", "agents.b.memory.y", "agents.c.memory.x"),
        ("out of an agent by its new address", "agents.b.memory.y", "agents.c.memory.x"),
    ],
)
def test_an_own_block_that_moves_is_noted_in_the_state(name: str, address: str, before: str) -> None:
    a, b = living("agents.a", "agent-1"), living("agents.b", "agent-2")
    own = living("agents.a.memory.x", "block-1")
    found = move(manifest(moved=ENTRIES[name]), observed(a, b, own), PlanOptions()).observed
    assert found.readdressed
    assert found.objects[at(address)].id == "block-1"
    noted = found.state.relocated["block-1"]
    assert (noted.address, noted.before) == (at(address), at(before))
    assert (at("blocks.x") in found.state.ids) == (name == "shared")


def test_a_shared_block_that_becomes_an_own_one_leaves_the_state() -> None:
    agent, block = living("agents.a", "agent-1"), living("blocks.x", "block-1")
    entry = Moved(at("blocks.x"), at("agents.a.memory.x"), HERE)
    found = move(manifest(moved=(entry,)), observed(agent, block), PlanOptions()).observed
    assert found.state.ids == {at("agents.a"): "agent-1"}
    assert found.objects[at("agents.a.memory.x")].id == "block-1"


def test_a_swap_is_carried_out_once() -> None:
    wants = manifest(wanted("blocks.a"), wanted("blocks.b"), moved=entries("a>b", "b>a"))
    first = move(wants, observed(living("blocks.a", "block-1"), living("blocks.b", "block-2")), PlanOptions()).observed
    assert first.objects[at("blocks.a")].id == "block-2"
    second = move(wants, replace(first, readdressed=False), PlanOptions())
    assert not second.old
    assert not second.observed.readdressed
    # a stack without a state has carried out nothing, and says nothing about what it would exchange
    fresh = move(wants, observed(), PlanOptions())
    assert fresh.observed.state.moved == first.state.moved


def test_what_another_object_creates_stands_where_that_object_is() -> None:
    group = Live("group", "group-1", "g", {}, at("groups.old-sleeptime"), "s", marked=True)
    has = observed(group, discovered={at("groups.new-sleeptime"): "group-1"})
    assert list(move(manifest(), has, PlanOptions()).observed.objects) == [at("groups.new-sleeptime")]
