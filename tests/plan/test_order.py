"""The order of Steps: what waits for what, barriers, and cycles of references."""

from __future__ import annotations

import time
from dataclasses import replace
from graphlib import CycleError

import pytest

from lettaform.errors import PlanError
from lettaform.model import Change, Mark, Observed, Plan, PlanOptions
from lettaform.plan import Diff, ResourceChange, make
from lettaform.plan.order import RESTORED
from lettaform.values import Item, Ref, Template
from tests.plan.samples import at, difference, keys, living, manifest, observed, plan, wanted

MODEL = {"model": "m/m"}


def agent(name: str, **values: object):
    return wanted(f"agents.{name}", **{**MODEL, **values})


def of(name: str) -> Ref:
    return Ref(at(name))


@pytest.mark.parametrize(
    ("objects", "order"),
    [
        ([], []),
        ([agent("b"), agent("a")], ["agents.b", "agents.a"]),
        ([agent("a", blocks=[of("blocks.x")]), wanted("blocks.x", value="x")], ["blocks.x", "agents.a"]),
        (
            [agent("a", system=Template(("ask ", of("agents.c")))), agent("b"), agent("c")],
            ["agents.c", "agents.a", "agents.b"],
        ),
        (
            [wanted("blocks.z", value="z"), agent("b", metadata={"x": of("agents.a")}), agent("a"), agent("c")],
            ["blocks.z", "agents.a", "agents.b", "agents.c"],
        ),
    ],
    ids=["nothing", "manifest order", "list of references", "template", "nested value"],
)
def test_what_is_referred_to_is_created_first_and_otherwise_the_manifest_decides(objects: list, order: list) -> None:
    made = plan(manifest(*objects), observed())
    assert [step.key for step in made.steps if step.op == "create"] == order


def test_every_step_stands_after_all_that_it_waits_for() -> None:
    made = plan(manifest(), fleet(4), destroy=True, allow_destroy=("*",))
    place = {step.key: position for position, step in enumerate(made.steps)}
    for step in made.steps:
        waited = [key for each in step.after for key in made.barriers.get(each, (each,))]
        assert all(place[key] < place[step.key] for key in waited)


def test_the_order_does_not_depend_on_the_run() -> None:
    wants = manifest(agent("a", blocks=[of("blocks.x")]), agent("b"), wanted("blocks.x", value="x"))
    assert keys(plan(wants, observed())) == keys(plan(wants, observed()))


@pytest.mark.parametrize(
    ("objects", "circle"),
    [
        ([agent("a", metadata={"me": of("agents.a")})], ["agents.a", "agents.a"]),
        (
            [agent("a", system=Template((of("agents.b"),))), agent("b", system=Template((of("agents.a"),)))],
            ["agents.a", "agents.b", "agents.a"],
        ),
        (
            [
                agent("a", system=Template((of("groups.g"),))),
                wanted("groups.g", type="round_robin", agents=[of("agents.a")]),
            ],
            ["agents.a", "groups.g", "agents.a"],
        ),
        (
            [agent("a"), wanted("agents.a.memory.me", value=Template(("I am ", of("agents.a"))))],
            ["agents.a", "agents.a"],
        ),
        (
            [agent("a", metadata={"me": of("agents.a.memory.me")}), wanted("agents.a.memory.me", value="I")],
            ["agents.a", "agents.a"],
        ),
    ],
    ids=["itself", "two agents", "agent and group", "own block", "agent to its own block"],
)
def test_references_in_a_circle_are_an_error_that_names_them_with_their_places(objects: list, circle: list) -> None:
    with pytest.raises(PlanError, match="cycle of references") as refused:
        plan(manifest(*objects), observed())
    named = refused.value.message.split(": ", 1)[1].split(" → ")
    assert named[0] == named[-1]
    assert set(named) == set(circle)
    assert len(named) == len(circle)
    assert all(problem.place and problem.address for problem in refused.value.problems)
    assert not isinstance(refused.value.__cause__, CycleError)


def test_an_object_that_lives_may_refer_to_itself() -> None:
    live = living("agents.a", "agent-1", model="m/m", metadata={"me": "agent-1"})
    made = plan(manifest(agent("a", metadata={"me": of("agents.a")})), observed(live))
    assert not any(step.op == "create" for step in made.steps)


def fleet(count: int) -> Observed:
    lives, attached = [], {}
    for number in range(count):
        blocks = [living(f"agents.a{number}.memory.{key}", f"block-{number}{key}", value="v") for key in "xyz"]
        lives += [living(f"agents.a{number}", f"agent-{number}", model="m/m"), *blocks]
        attached[f"agent-{number}"] = tuple(blocks)
    lives += [living("blocks.org", "block-org", value="v")]
    return observed(*lives, attached=attached)


def destroyed(count: int) -> Plan:
    return plan(manifest(), fleet(count), destroy=True, allow_destroy=("*",))


def test_deletions_wait_for_one_barrier_and_not_for_each_other() -> None:
    made = destroyed(3)
    assert made.barriers == {"agents deleted": ("-agents.a0", "-agents.a1", "-agents.a2")}
    after = {step.key: set(step.after) for step in made.steps if step.op == "delete"}
    assert after["-agents.a1"] == {"state-before"}
    assert after["-agents.a1.memory.x"] == {"state-before", "agents deleted"}
    assert after["-blocks.org"] == {"state-before", "agents deleted"}


def test_the_number_of_edges_grows_with_the_number_of_objects() -> None:
    def edges(made: Plan) -> int:
        return sum(len(step.after) for step in made.steps) + sum(map(len, made.barriers.values()))

    assert edges(destroyed(40)) <= 2.2 * edges(destroyed(20))


def test_steps_name_only_steps_and_barriers_of_the_plan() -> None:
    made = destroyed(2)
    known = {step.key for step in made.steps} | made.barriers.keys()
    assert all(key in known for step in made.steps for key in (*step.after, *step.after_end))


def test_a_block_makes_room_for_another_with_its_label() -> None:
    own = living("agents.a.memory.notes", "block-1", value="v")
    live = living("agents.a", "agent-1", model="m/m", blocks=["block-1"], parts={"notes": {}})
    new = wanted("blocks.new", label="notes", value="n")
    wants = manifest(agent("a", blocks=[of("blocks.new")]), new)
    made = plan(wants, observed(live, own, attached={"agent-1": (own,)}), prune=True, allow_destroy=("*",))
    (attach,) = [step for step in made.steps if step.op == "attach"]
    assert "-agents.a.memory.notes" in attach.after


def test_contents_come_before_those_that_get_what_contains_them() -> None:
    passage = Item("k" * 12, "a passage")
    made = plan(
        manifest(wanted("archives.x", passages=[passage]), agent("a", archive=of("archives.x"))),
        observed(),
    )
    (added,) = [step for step in made.steps if step.op == "attach" and isinstance(step.member, Item)]
    (given,) = [step for step in made.steps if step.op == "attach" and not isinstance(step.member, Item)]
    assert given.after_end == (added.key,)
    assert [step.key for step in made.steps].index(added.key) < [step.key for step in made.steps].index(given.key)


def test_who_refers_to_a_block_that_is_created_with_its_agent_waits_for_the_agent() -> None:
    human = wanted("agents.boss.memory.human", value="h")
    made = plan(
        manifest(agent("a", metadata={"see": of("agents.boss.memory.human")}), agent("boss"), human), observed()
    )
    (create,) = [step for step in made.steps if step.key == "agents.a"]
    assert create.after == ("agents.boss",)
    assert [step.key for step in made.steps if step.op == "create"] == ["agents.boss", "agents.a"]
    (mark,) = [step.mark for step in made.steps if step.key == "agents.boss" and step.op == "create"]
    assert set(mark.parts) == {"human"}


@pytest.mark.slow
def test_ordering_four_times_the_agents_takes_no_sixteen_times_the_time() -> None:
    from lettaform.model import PlanOptions
    from lettaform.plan import diff, guard
    from lettaform.plan.order import order

    spent = []
    for count in (500, 2000):
        has = fleet(count)
        resources = guard(diff(manifest(), has, PlanOptions(destroy=True, allow_destroy=("*",)))).resources
        began = time.process_time()
        order(resources, manifest(), has, destroy=True)
        spent.append(time.process_time() - began)
    assert spent[1] < 10 * spent[0]


def test_the_stack_lets_go_of_objects_after_everything_else() -> None:
    wants = manifest(agent("a", blocks=[of("blocks.x"), of("blocks.y")]), wanted("blocks.x", value="x"))
    seen = observed(living("blocks.y", "block-2", value="y"))
    changes = difference(wants, seen).resources
    forgotten = ResourceChange(Change(at("blocks.y"), "block", "forget", "block-2"), None, seen.objects[at("blocks.y")])
    changes = tuple(replace(each, lets_go=each.address == at("blocks.x")) for each in changes)
    found = make(wants, seen, PlanOptions(), Diff((*changes, replace(forgotten, mark=Mark(), lets_go=True))))
    assert [(step.key, step.id) for step in found.steps if RESTORED in step.after] == [
        ("blocks.x forgotten", None),
        ("blocks.y forgotten", "block-2"),
    ]
    assert set(found.barriers[RESTORED]) == {"agents.a", "blocks.x"}
    assert [step.op for step in found.steps if step.address == at("blocks.y")] == ["update"]
