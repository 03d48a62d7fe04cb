"""What the machine has found, each as the shortest story that shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.model import PlanOptions
from lettaform.plan.saved import dump, moved
from tests.machine.ground import Body, Fault, InMemory
from tests.machine.machine import Machine, Ran

A = "mch-a"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One stack that lives: ann with two own blocks and bob with one, a shared block, a tool."""
    made = Machine(InMemory(tmp_path, (A, "mch-b")))
    made.applied(A, PlanOptions())
    return made


def id_of(machine: Machine, address: str) -> str:
    (found,) = [id for id, where in machine.ours[A].items() if where == address]
    return found


def observed(machine: Machine) -> Body:
    return machine.ground.look()


def refused(machine: Machine, options: PlanOptions) -> str:
    """What a plan says against it. Nothing was written."""
    ran = machine.apply(A, options)
    assert isinstance(ran.error, PlanError), ran.error
    assert not ran.writes
    return "\n".join(problem.message for problem in ran.error.problems)


def state_move(machine: Machine, old: str, new: str, fault: Fault | None = None) -> Ran:
    at = machine.ground
    return machine.run(A, lambda: flow.state_move(flow.Source(at.folder), at.connection(), old, new), fault)


# --- plan ------------------------------------------------------------------------------------------------------------


def test_a_target_whose_references_do_not_live_is_refused(tmp_path: Path) -> None:
    machine = Machine(InMemory(tmp_path, (A,)))
    assert "agents.bob needs blocks.org" in refused(machine, PlanOptions(target=("agents.bob",)))
    assert "agents.ann needs tools.t1" in refused(machine, PlanOptions(exclude=("tools.t1",)))


def test_an_agent_is_not_born_with_two_blocks_of_one_label(machine: Machine) -> None:
    # the server would leave out one of them without a word
    machine.ground.ask("PATCH", f"/v1/blocks/{id_of(machine, 'blocks.org')}", {"label": "notes"})
    machine.specs[A]["agents"]["cy"] = {"memory": {"notes": {"value": "One."}}, "blocks": ["org"]}
    assert "two blocks labelled `notes`" in refused(machine, PlanOptions())


def test_a_tool_does_not_overwrite_another_of_the_same_stack(machine: Machine) -> None:
    # an upsert by name would give one object to two addresses
    state_move(machine, "tools.t1", "tools.t2")
    assert "exists already as tools.t2" in refused(machine, PlanOptions())


def test_a_move_that_is_left_out_of_a_plan_waits(machine: Machine) -> None:
    spec = machine.specs[A]
    spec["blocks"] = {"team": {**spec["blocks"].pop("org"), "label": "org"}}
    spec["moved"] = [["blocks.org", "blocks.team"]]
    for agent in spec["agents"].values():
        agent["blocks"] = ["team"]
    del spec["agents"]["bob"]["blocks"]
    machine.applied(A, PlanOptions(target=("agents.bob",), prune=True))
    assert id_of(machine, "blocks.org")
    machine.applied(A, PlanOptions())
    assert id_of(machine, "blocks.team")


def test_a_move_onto_what_lives_is_refused_and_nothing_is_pruned(machine: Machine) -> None:
    spec = machine.specs[A]
    spec["agents"]["bob"] = spec["agents"].pop("ann")
    spec["moved"] = [["agents.ann", "agents.bob"]]
    assert "agents.ann cannot become agents.bob: both exist" in refused(machine, PlanOptions(prune=True))


@pytest.mark.parametrize("at", range(1, 14))
def test_a_state_mv_that_was_killed_loses_nothing_to_prune(machine: Machine, at: int) -> None:
    # the mark is written before the record: in between, one agent has two addresses
    bob, before = id_of(machine, "agents.bob"), observed(machine)
    ran = state_move(machine, "agents.bob", "agents.cy", Fault("kill after", at))
    began = any(path.endswith(bob) for _, path, _ in ran.writes)
    spec = machine.specs[A]
    if began:
        spec["agents"]["cy"] = {**spec["agents"].pop("bob"), "name": "bob"}
    plan = machine.plan(A, PlanOptions(prune=True)).plan
    assert plan is not None
    assert not plan.count("delete", "create", "replace")
    assert machine.apply(A, PlanOptions(prune=True)).done
    machine.settled(A, PlanOptions(prune=True))
    assert observed(machine).keys() == before.keys()


def test_what_an_agent_took_off_is_forgotten_and_moved_with_it(machine: Machine) -> None:
    ann, human = id_of(machine, "agents.ann"), id_of(machine, "agents.ann.memory.human")
    machine.ground.ask("PATCH", f"/v1/agents/{ann}/core-memory/blocks/detach/{human}")
    state_move(machine, "agents.ann", "agents.cy")
    assert "lettaform:addr=agents.cy.memory.human" in observed(machine)[human]["tags"]
    at = machine.ground
    machine.run(A, lambda: flow.state_remove(flow.Source(at.folder), at.connection(), "agents.cy"))
    assert observed(machine)[human]["tags"] == []


def lent(machine: Machine) -> str:
    """An own block that its agent took off, and that hangs on a stranger's now."""
    ann, human = id_of(machine, "agents.ann"), id_of(machine, "agents.ann.memory.human")
    machine.ground.ask("PATCH", f"/v1/agents/{ann}/core-memory/blocks/detach/{human}")
    theirs = machine.ground.ask("POST", "/v1/agents/", {"name": "theirs", "model": machine.ground.model})
    machine.ground.ask("PATCH", f"/v1/agents/{theirs['id']}/core-memory/blocks/attach/{human}")
    return human


def test_what_a_stranger_took_over_is_forgotten_and_moved_with_its_agent(machine: Machine) -> None:
    human, at = lent(machine), machine.ground
    state_move(machine, "agents.ann", "agents.cy")
    assert "lettaform:addr=agents.cy.memory.human" in observed(machine)[human]["tags"]
    machine.run(A, lambda: flow.state_remove(flow.Source(at.folder), at.connection(), "agents.cy"))
    assert observed(machine)[human]["tags"] == []


def test_what_a_stranger_took_over_is_named_kept_and_let_go(machine: Machine) -> None:
    human = lent(machine)
    plan = machine.plan(A, PlanOptions(prune=True)).plan
    assert plan is not None
    assert [(u.id, u.reason) for u in plan.unmanaged] == [
        (human, "its agent detached it, and another agent has it: kept")
    ]
    assert not plan
    machine.apply(A, PlanOptions(destroy=True, allow_destroy=("*",)))
    assert observed(machine)[human]["tags"] == []


def test_memory_that_a_stranger_shares_outlives_its_agent_unmarked(machine: Machine) -> None:
    # it was kept, and only the plan after it let it go
    persona = id_of(machine, "agents.bob.memory.persona")
    theirs = machine.ground.ask("POST", "/v1/agents/", {"name": "theirs", "model": machine.ground.model})
    machine.ground.ask("PATCH", f"/v1/agents/{theirs['id']}/core-memory/blocks/attach/{persona}")
    everything = PlanOptions(destroy=True)
    machine.apply(A, everything)
    assert observed(machine)[persona]["tags"] == []
    machine.settled(A, everything)


def test_what_an_agent_took_off_moves_with_it_in_a_plan_too(machine: Machine) -> None:
    # at its old address it counted as undeclared, and the next prune deleted it
    ann, human = id_of(machine, "agents.ann"), id_of(machine, "agents.ann.memory.human")
    machine.ground.ask("PATCH", f"/v1/agents/{ann}/core-memory/blocks/detach/{human}")
    spec = machine.specs[A]
    spec["agents"]["cy"] = {**spec["agents"].pop("ann"), "name": "ann"}
    spec["moved"] = [["agents.ann", "agents.cy"]]
    machine.applied(A, PlanOptions(prune=True))
    assert "lettaform:addr=agents.cy.memory.human" in observed(machine)[human]["tags"]


@pytest.mark.parametrize("at", range(1, 14))
def test_a_state_mv_that_was_killed_can_be_said_again(machine: Machine, at: int) -> None:
    state_move(machine, "agents.bob", "agents.cy", Fault("kill after", at))
    again = state_move(machine, "agents.bob", "agents.cy")
    assert again.error is None or "nothing answers to `agents.bob`" in str(again.error)
    claims = [tag for body in observed(machine).values() for tag in body["tags"] if "addr=agents.bob" in tag]
    assert claims == []


@pytest.mark.parametrize("at", range(10, 26, 2))
def test_what_is_made_again_after_a_stranger_deleted_it_is_made_once(machine: Machine, at: int) -> None:
    # the record still said the old id: after a crash, the new one passed for a copy
    machine.ground.ask("DELETE", f"/v1/blocks/{id_of(machine, 'blocks.org')}")
    machine.apply(A, PlanOptions(), Fault("kill after", at))
    assert machine.apply(A, PlanOptions()).done
    machine.settled(A, PlanOptions())
    assert sum("lettaform:addr=blocks.org" in body["tags"] for body in observed(machine).values()) == 1


def test_a_null_is_cleared_at_birth_too(machine: Machine) -> None:
    machine.specs[A]["agents"]["cy"] = {"system": None, "description": None}
    machine.applied(A, PlanOptions())


# --- server and render -----------------------------------------------------------------------------------------------


def test_a_plan_that_detaches_can_be_saved(machine: Machine) -> None:
    machine.specs[A]["agents"]["bob"]["blocks"] = []
    plan = machine.plan(A, PlanOptions()).plan
    assert plan is not None
    flow.save(plan, machine.ground.folder / "plan.json")


def test_a_forgotten_tool_carries_no_mark(machine: Machine) -> None:
    # 0.16.8 keeps the tags of a tool where an upsert brings none
    tool, at = id_of(machine, "tools.t1"), machine.ground
    machine.run(A, lambda: flow.state_remove(flow.Source(at.folder), at.connection(), "tools.t1"))
    assert observed(machine)[tool]["tags"] == []


def test_an_agent_that_lost_its_tags_has_its_blocks_still(machine: Machine) -> None:
    # it is read by its id then, and what hangs on it must be, too
    ann, human = id_of(machine, "agents.ann"), id_of(machine, "agents.ann.memory.human")
    machine.ground.ask("PATCH", f"/v1/agents/{ann}", {"tags": []})
    machine.ground.ask("PATCH", f"/v1/blocks/{human}", {"value": "I learnt."})
    machine.applied(A, PlanOptions(reseed=("agents.ann.memory.human",)))
    assert observed(machine)[human]["value"] == "Two."


def test_a_replace_that_was_killed_keeps_what_its_agent_made(tmp_path: Path) -> None:
    for at in range(8, 20):
        (folder := tmp_path / str(at)).mkdir()
        machine = Machine(InMemory(folder, (A, "mch-b")))
        machine.applied(A, PlanOptions())
        made = machine.ground.ask("POST", "/v1/blocks/", {"label": "own", "value": "made"})
        path = f"/v1/agents/{id_of(machine, 'agents.ann')}/core-memory/blocks/attach/{made['id']}"
        machine.ground.ask("PATCH", path)
        machine.specs[A]["agents"]["ann"]["agent_type"] = "memgpt_v2_agent"
        consent = PlanOptions(allow_destroy=("agents.ann",))
        machine.apply(A, consent, Fault("kill before", at))
        assert machine.apply(A, consent).done
        assert any(made["id"] in body.get("blocks", ()) for body in observed(machine).values()), (
            f"killed at request {at}"
        )


def test_a_saved_plan_is_no_staler_because_the_database_told_tools_in_another_order(machine: Machine) -> None:
    # the stand-in tells them in another order each time
    machine.specs[A]["agents"]["ann"]["tools"] = ["web_search"]
    machine.specs[A]["tools"] = {}
    ground, plan = machine.ground, machine.plan(A, PlanOptions(prune=True, allow_destroy=("*",))).plan
    assert plan is not None
    again = (machine.plan(A, PlanOptions(prune=True, allow_destroy=("*",))).plan for _ in range(8))
    saved = {"server": {"url": plan.url}, "stack": plan.stack, "environment": plan.environment, **dump(plan)}
    assert [moved(saved, each) for each in again if each] == [[]] * 8
    assert ground.wire.writes == []
