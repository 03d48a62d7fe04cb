"""The plan of one shard: what it is about, what waits for other shards, what needs the whole stack."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import Guarded, PlanError, Problem
from lettaform.model import Head, Limits, Moved, Observed, Plan, PlanOptions, SaveState, Shard, State
from lettaform.ownership.shards import Spread
from lettaform.plan import diff, make, saved
from lettaform.plan.limits import limited
from lettaform.plan.shards import certain, waiting
from lettaform.values import Ref
from tests.plan.samples import HERE, at, living, manifest, messages, observed, short, wanted

COUNT = 4
NOTHING = Spread({})


def agents_in(index: int, number: int) -> list[str]:
    """Keys of agents in a shard of four."""
    keys = (f"a{each}" for each in range(200))
    return [key for key in keys if Shard(index, COUNT).has(NOTHING.slot(at(f"agents.{key}")))][:number]


(ZERO,), (ONE, ONE_2), (TWO,) = agents_in(0, 1), agents_in(1, 2), agents_in(2, 1)
MODEL = {"model": "letta/letta-free", "embedding": "letta/letta-free"}


def planned(wants: Any, has: Observed, index: int, **options: Any) -> Plan:
    chosen = PlanOptions(shard=Shard(index, COUNT), **options)
    return make(wants, has, chosen, diff(wants, has, chosen, {}, waiting(wants, has, chosen)))


def left_out(wants: Any, has: Observed, index: int, **options: Any) -> dict[str, list[str]]:
    found = waiting(wants, has, PlanOptions(shard=Shard(index, COUNT), **options))
    return {str(each): [*map(str, needed)] for each, needed in found.items()}


def changed(made: Plan) -> list[tuple[str, str]]:
    return sorted((action, address) for action, address, _ in short(made))


def fleet(**more: Any) -> Any:
    agents = [wanted(f"agents.{key}", blocks=[Ref(at("blocks.policy"))], **MODEL) for key in (ZERO, ONE, ONE_2, TWO)]
    return manifest(wanted("blocks.policy", value="Be kind."), *agents, **more)


# --- what it is about ------------------------------------------------------------------------------------------------


def test_the_plans_of_all_shards_are_the_plan_of_the_stack() -> None:
    has = observed(living("blocks.policy", "block-1", {"value": "Be kind."}, value="Be kind."))
    every = [change for index in range(COUNT) for change in changed(planned(fleet(), has, index))]
    assert sorted(every) == sorted(("create", f"agents.{key}") for key in (ZERO, ONE, ONE_2, TWO))


def test_the_shard_0_creates_what_several_agents_can_use() -> None:
    assert changed(planned(fleet(), observed(), 0)) == [("create", f"agents.{ZERO}"), ("create", "blocks.policy")]


def test_objects_of_other_shards_are_neither_undeclared_nor_pruned() -> None:
    lives = [living(f"agents.{key}", f"agent-{key}") for key in (ZERO, ONE, TWO)]
    has = observed(*lives, living("blocks.old", "block-1"))
    assert changed(planned(manifest(), has, 1, prune=True)) == [("delete", f"agents.{ONE}")]
    assert [str(each.address) for each in planned(manifest(), has, 1).unmanaged] == [f"agents.{ONE}"]
    assert [str(each.address) for each in planned(manifest(), has, 0).unmanaged] == [f"agents.{ZERO}", "blocks.old"]
    assert changed(planned(manifest(), has, 2, destroy=True)) == [("delete", f"agents.{TWO}")]


def test_what_is_gone_is_forgotten_by_the_shard_that_it_was_in() -> None:
    gone = {at(f"agents.{ONE}"): "agent-1", at("conversations.talk"): "conv-1"}
    has = replace(
        observed(), state=State(ids=gone, owners={at("conversations.talk"): at(f"agents.{ONE}")}, exists=True)
    )
    assert changed(planned(manifest(), has, 1)) == [("forget", f"agents.{ONE}"), ("forget", "conversations.talk")]
    assert [changed(planned(manifest(), has, index)) for index in (0, 2, 3)] == [[], [], []]


def test_only_objects_of_the_shard_count_as_unchanged() -> None:
    has = observed(living("blocks.b", "block-1", {"value": "x"}, value="x"), living(f"agents.{ONE}", "agent-1"))
    wants = manifest(wanted("blocks.b", value="x"), wanted(f"agents.{ONE}"))
    assert [planned(wants, has, index).unchanged for index in range(3)] == [1, 1, 0]


def test_the_state_that_is_written_is_that_of_the_shard() -> None:
    lives = [living(f"agents.{key}", f"agent-{key}") for key in (ZERO, ONE, TWO)]
    wants = manifest(*(wanted(f"agents.{key}", description="new") for key in (ZERO, ONE, TWO)))
    has = observed(*lives)
    has = replace(has, state=replace(has.state, heads={Shard(0, 2): Head(3), Shard(1, 2): Head(3)}, serial=3))
    made = planned(wants, has, 1)
    (last,) = (step for step in made.steps if isinstance(step, SaveState) and step.last)
    assert last.state is not None
    assert (last.shard, last.state.ids, last.drops) == (Shard(1, 4), {at(f"agents.{ONE}"): f"agent-{ONE}"}, frozenset())
    assert made.state.ids == last.state.ids


def test_what_another_run_just_created_is_no_reason_to_write_the_state() -> None:
    has = observed(living(f"agents.{ONE}", "agent-1"), living(f"agents.{TWO}", "agent-2"))
    has = replace(has, state=State(ids={at(f"agents.{ONE}"): "agent-1"}, exists=True, heads={Shard(1, 4): Head(1)}))
    wants = manifest(wanted(f"agents.{ONE}"), wanted(f"agents.{TWO}"))
    assert not planned(wants, has, 1)
    assert changed(planned(wants, has, 2)) == [("mark", f"agents.{TWO}")]


@pytest.mark.parametrize(
    ("heads", "removes"),
    [([Shard(1, 4)], True), ([Shard(1, 4), Shard(2, 4)], True), ([Shard(1, 4), Shard(0, 2), Shard(1, 2)], False)],
)
def test_a_state_under_which_an_earlier_one_lies_is_emptied_and_not_removed(heads: list[Shard], removes: bool) -> None:
    has = observed(living(f"agents.{ONE}", "agent-1"))
    has = replace(has, state=replace(has.state, heads={each: Head(1) for each in heads}))
    made = planned(manifest(wanted(f"agents.{ONE}")), has, 1, destroy=True)
    (last,) = (step for step in made.steps if isinstance(step, SaveState) and step.last)
    assert (last.state is None) == removes
    assert last.state is None or last.state.ids == {}


def test_the_share_of_deleted_objects_is_that_of_the_shard() -> None:
    keys = agents_in(1, 8)
    has = observed(*(living(f"agents.{key}", f"agent-{key}") for key in (*keys, *agents_in(2, 40))))
    wants, chosen = manifest(limits=Limits(deleted_percent=50)), PlanOptions(prune=True, shard=Shard(1, COUNT))
    found = limited(diff(wants, has, chosen), wants, has, chosen)
    assert [each.message.partition(":")[0] for each in found.exceeded] == [
        "the plan deletes or replaces 8 of the 8 objects of the stack, and the limit is 50 %"
    ]
    with pytest.raises(Guarded):
        make(wants, has, chosen, found)


def test_a_doubt_about_another_shard_stops_no_plan() -> None:
    doubts = [Problem("two claim it", None, None, f"agents.{key}") for key in (ONE, TWO)] + [Problem("all")]
    found = certain(observed(problems=tuple(doubts)), manifest(), Shard(1, COUNT))
    assert [each.address for each in found.problems] == [f"agents.{ONE}", None]


def test_a_saved_plan_knows_its_shard() -> None:
    made = planned(fleet(), observed(), 0)
    kept = saved.dump(made)
    assert kept["options"]["shard"] == "0/4"
    assert saved.options(kept).shard == Shard(0, 4)


# --- what waits ------------------------------------------------------------------------------------------------------


def test_agents_wait_for_the_shared_objects_that_they_need() -> None:
    assert left_out(fleet(), observed(), 0) == {}
    assert left_out(fleet(), observed(), 1) == {f"agents.{key}": ["blocks.policy"] for key in (ONE, ONE_2)}
    assert left_out(fleet(), observed(), 1, target=(f"agents.{ONE}",)) == {f"agents.{ONE}": ["blocks.policy"]}
    assert left_out(fleet(), observed(), 1, destroy=True) == {}
    made = planned(fleet(), observed(), 1)
    assert not made
    assert [each.message for each in made.warnings] == [
        f"agents.{ONE}, agents.{ONE_2} wait for blocks.policy of shard 0/4, "
        "which does not exist yet or differs from its declaration"
    ]


@pytest.mark.parametrize(("value", "waits"), [("Be kind.", False), ("Be rude.", True)])
def test_agents_wait_until_a_shared_object_is_as_declared(value: str, waits: bool) -> None:
    has = observed(living("blocks.policy", "block-1", {"value": value}, value=value))
    wants = manifest(
        wanted("blocks.policy", {"value": "enforce"}, value="Be kind."),
        wanted(f"agents.{ONE}", blocks=[Ref(at("blocks.policy"))], **MODEL),
    )
    assert bool(left_out(wants, has, 1)) == waits


def test_what_belongs_to_an_agent_that_waits_waits_with_it() -> None:
    talk = wanted("conversations.talk", agent=Ref(at(f"agents.{ONE}")))
    sleeper = replace(wanted(f"agents.{ONE}-sleeptime"), created_with=at(f"agents.{ONE}"))
    found = left_out(
        replace(fleet(), objects={**fleet().objects, talk.address: talk, sleeper.address: sleeper}), observed(), 1
    )
    assert {"conversations.talk", f"agents.{ONE}-sleeptime"} <= found.keys()
    assert {*map(tuple, found.values())} == {("blocks.policy",)}


def test_a_group_waits_for_agents_of_other_shards_and_the_rest_of_the_shard_does_not() -> None:
    group = wanted("groups.all", type="round_robin", agents=[Ref(at(f"agents.{key}")) for key in (ZERO, ONE)])
    wants = manifest(group, wanted(f"agents.{ZERO}", **MODEL), wanted(f"agents.{ONE}", **MODEL))
    made = planned(wants, observed(), 0)
    assert made.waiting == {group.address: (at(f"agents.{ONE}"),)}
    assert changed(made) == [("create", f"agents.{ZERO}")]


def test_an_existing_object_that_waits_is_left_as_it_is() -> None:
    has = observed(living(f"agents.{ONE}", "agent-1", description="old"))
    wants = manifest(
        wanted(f"agents.{ONE}", description="new", blocks=[Ref(at("blocks.policy"))]), wanted("blocks.policy")
    )
    made = planned(wants, has, 1, prune=True)
    assert (changed(made), [*made.waiting]) == ([], [at(f"agents.{ONE}")])


# --- what needs the whole stack --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "refused"), [(1, True), (2, True), (3, False)])
def test_a_move_between_shards_is_refused_by_both(index: int, refused: bool) -> None:
    has = observed(living(f"agents.{ONE}", "agent-1"))
    wants = manifest(wanted(f"agents.{TWO}"), moved=(Moved(at(f"agents.{ONE}"), at(f"agents.{TWO}"), HERE),))
    if refused:
        with pytest.raises(PlanError) as raised:
            planned(wants, has, index)
        (problem,) = (each for each in raised.value.problems if "belongs to another shard" in each.message)
        assert "without `--shard`" in str(problem.hint)
    else:
        assert changed(planned(wants, has, index)) == []


def test_a_move_inside_of_a_shard_is_carried_out_there_alone() -> None:
    has = observed(living(f"agents.{ONE}", "agent-1"))
    wants = manifest(wanted(f"agents.{ONE_2}"), moved=(Moved(at(f"agents.{ONE}"), at(f"agents.{ONE_2}"), HERE),))
    assert changed(planned(wants, has, 1)) == [("update", f"agents.{ONE_2}")]
    assert [bool(planned(wants, has, index)) for index in (0, 2, 3)] == [False, False, False]


def test_a_move_that_has_happened_does_not_matter() -> None:
    has = observed(living(f"agents.{TWO}", "agent-1"))
    wants = manifest(wanted(f"agents.{TWO}"), moved=(Moved(at(f"agents.{ONE}"), at(f"agents.{TWO}"), HERE),))
    assert [bool(planned(wants, has, index)) for index in range(COUNT)] == [False] * COUNT


def test_a_shared_object_that_agents_of_other_shards_have_is_not_replaced() -> None:
    archive = living("archives.x", "archive-1", {"embedding": "a/b"}, embedding="a/b")
    has = observed(archive, living(f"agents.{ONE}", "agent-1"), users={"archive-1": frozenset({"agent-1"})})
    wants = manifest(wanted("archives.x", embedding="c/d"), wanted(f"agents.{ONE}", archive=Ref(at("archives.x"))))
    more = {"shard": Shard(0, COUNT), "allow_destroy": ("*",)}
    (message,) = messages(wants, has, **more)
    assert message == f"archives.x is replaced, and agents of other shards have it, such as agents.{ONE}"
    assert messages(wants, has, allow_destroy=("*",)) == []


def test_the_whole_stack_is_one_shard() -> None:
    assert PlanOptions() == PlanOptions(shard=Shard(0, 1))
    address = Address.of("agents", "x")
    assert Shard(0, 1).has(NOTHING.slot(address))
