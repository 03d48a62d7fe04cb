"""Failures that the machine found, each as a minimal test."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.model import PlanOptions
from lettaform.plan.saved import dump, moved
from tests.machine.environment import Fault, InMemory, Objects
from tests.machine.fleet import initial_with_all_kinds
from tests.machine.machine import Machine, RunResult

pytestmark = pytest.mark.thorough

A = "mch-a"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One applied stack: ann with two own blocks, bob with one, a shared block, a tool."""
    machine = Machine(InMemory(tmp_path, (A, "mch-b")))
    machine.apply_and_check(A, PlanOptions())
    return machine


def id_of(machine: Machine, address: str) -> str:
    (found,) = [id for id, where in machine.ours[A].items() if where == address]
    return found


def all_objects(machine: Machine) -> Objects:
    return machine.environment.all_objects()


def refused_message(machine: Machine, options: PlanOptions) -> str:
    """The messages of a refused plan; nothing is written."""
    result = machine.apply(A, options)
    assert isinstance(result.error, PlanError), result.error
    assert not result.writes
    return "\n".join(problem.message for problem in result.error.problems)


def state_move(machine: Machine, old: str, new: str, fault: Fault | None = None) -> RunResult:
    at = machine.environment
    return machine.run(A, lambda: flow.state_move(flow.Source(at.folder), at.connection(), old, new), fault)


# --- plan ------------------------------------------------------------------------------------------------------------


def test_target_with_missing_references_is_refused(tmp_path: Path) -> None:
    machine = Machine(InMemory(tmp_path, (A,)))
    assert "agents.bob needs blocks.org" in refused_message(machine, PlanOptions(target=("agents.bob",)))
    assert "agents.ann needs tools.t1" in refused_message(machine, PlanOptions(exclude=("tools.t1",)))


def test_create_with_two_blocks_of_same_label_is_refused(machine: Machine) -> None:
    # the server would silently leave out one of them
    machine.environment.ask("PATCH", f"/v1/blocks/{id_of(machine, 'blocks.org')}", {"label": "notes"})
    machine.specs[A]["agents"]["cy"] = {"memory": {"notes": {"value": "One."}}, "blocks": ["org"]}
    assert "two blocks labelled `notes`" in refused_message(machine, PlanOptions())


def test_tool_does_not_overwrite_another_of_same_stack(machine: Machine) -> None:
    # an upsert by name would give one object two addresses
    state_move(machine, "tools.t1", "tools.t2")
    assert "already exists as tools.t2" in refused_message(machine, PlanOptions())


def test_move_outside_target_is_deferred(machine: Machine) -> None:
    spec = machine.specs[A]
    spec["blocks"] = {"team": {**spec["blocks"].pop("org"), "label": "org"}}
    spec["moved"] = [["blocks.org", "blocks.team"]]
    for agent in spec["agents"].values():
        agent["blocks"] = ["team"]
    del spec["agents"]["bob"]["blocks"]
    machine.apply_and_check(A, PlanOptions(target=("agents.bob",), prune=True))
    assert id_of(machine, "blocks.org")
    machine.apply_and_check(A, PlanOptions())
    assert id_of(machine, "blocks.team")


def test_move_onto_existing_object_is_refused(machine: Machine) -> None:
    spec = machine.specs[A]
    spec["agents"]["bob"] = spec["agents"].pop("ann")
    spec["moved"] = [["agents.ann", "agents.bob"]]
    assert "agents.ann cannot become agents.bob: both exist" in refused_message(machine, PlanOptions(prune=True))


@pytest.mark.parametrize("at", range(1, 14))
def test_prune_after_killed_state_mv_deletes_nothing(machine: Machine, at: int) -> None:
    # the mark is written before the state: in between, one agent has two addresses
    bob, before = id_of(machine, "agents.bob"), all_objects(machine)
    result = state_move(machine, "agents.bob", "agents.cy", Fault("kill after", at))
    began = any(path.endswith(bob) for _, path, _ in result.writes)
    spec = machine.specs[A]
    if began:
        spec["agents"]["cy"] = {**spec["agents"].pop("bob"), "name": "bob"}
    plan = machine.plan(A, PlanOptions(prune=True)).plan
    assert plan is not None
    assert not plan.count("delete", "create", "replace")
    assert machine.apply(A, PlanOptions(prune=True)).done
    machine.assert_no_changes(A, PlanOptions(prune=True))
    assert all_objects(machine).keys() == before.keys()


def test_state_mv_and_rm_include_detached_blocks(machine: Machine) -> None:
    ann, human = id_of(machine, "agents.ann"), id_of(machine, "agents.ann.memory.human")
    machine.environment.ask("PATCH", f"/v1/agents/{ann}/core-memory/blocks/detach/{human}")
    state_move(machine, "agents.ann", "agents.cy")
    assert "lettaform:addr=agents.cy.memory.human" in all_objects(machine)[human]["tags"]
    at = machine.environment
    machine.run(A, lambda: flow.state_remove(flow.Source(at.folder), at.connection(), "agents.cy"))
    assert all_objects(machine)[human]["tags"] == []


def detached_and_held_by_another(machine: Machine) -> str:
    """An own block that its agent detached and another agent holds."""
    ann, human = id_of(machine, "agents.ann"), id_of(machine, "agents.ann.memory.human")
    machine.environment.ask("PATCH", f"/v1/agents/{ann}/core-memory/blocks/detach/{human}")
    theirs = machine.environment.ask("POST", "/v1/agents/", {"name": "theirs", "model": machine.environment.model})
    machine.environment.ask("PATCH", f"/v1/agents/{theirs['id']}/core-memory/blocks/attach/{human}")
    return human


def test_state_mv_and_rm_include_blocks_held_by_other_agents(machine: Machine) -> None:
    human, at = detached_and_held_by_another(machine), machine.environment
    state_move(machine, "agents.ann", "agents.cy")
    assert "lettaform:addr=agents.cy.memory.human" in all_objects(machine)[human]["tags"]
    machine.run(A, lambda: flow.state_remove(flow.Source(at.folder), at.connection(), "agents.cy"))
    assert all_objects(machine)[human]["tags"] == []


def test_block_held_by_other_agent_is_listed_kept_and_unmarked_by_destroy(machine: Machine) -> None:
    human = detached_and_held_by_another(machine)
    plan = machine.plan(A, PlanOptions(prune=True)).plan
    assert plan is not None
    assert [(u.id, u.reason) for u in plan.unmanaged] == [
        (human, "its agent detached it, and another agent has it: kept")
    ]
    assert not plan
    machine.apply(A, PlanOptions(destroy=True, allow_destroy=("*",)))
    assert all_objects(machine)[human]["tags"] == []


def test_destroy_keeps_and_unmarks_block_shared_with_other_agent(machine: Machine) -> None:
    # regression: the block was kept, but only a second destroy removed its mark
    persona = id_of(machine, "agents.bob.memory.persona")
    theirs = machine.environment.ask("POST", "/v1/agents/", {"name": "theirs", "model": machine.environment.model})
    machine.environment.ask("PATCH", f"/v1/agents/{theirs['id']}/core-memory/blocks/attach/{persona}")
    everything = PlanOptions(destroy=True)
    machine.apply(A, everything)
    assert all_objects(machine)[persona]["tags"] == []
    machine.assert_no_changes(A, everything)


def test_moved_includes_detached_blocks(machine: Machine) -> None:
    # regression: at its old address it counted as undeclared, and the next prune deleted it
    ann, human = id_of(machine, "agents.ann"), id_of(machine, "agents.ann.memory.human")
    machine.environment.ask("PATCH", f"/v1/agents/{ann}/core-memory/blocks/detach/{human}")
    spec = machine.specs[A]
    spec["agents"]["cy"] = {**spec["agents"].pop("ann"), "name": "ann"}
    spec["moved"] = [["agents.ann", "agents.cy"]]
    machine.apply_and_check(A, PlanOptions(prune=True))
    assert "lettaform:addr=agents.cy.memory.human" in all_objects(machine)[human]["tags"]


@pytest.mark.parametrize("at", range(1, 14))
def test_killed_state_mv_can_be_repeated(machine: Machine, at: int) -> None:
    state_move(machine, "agents.bob", "agents.cy", Fault("kill after", at))
    again = state_move(machine, "agents.bob", "agents.cy")
    assert again.error is None or "no object has the address `agents.bob`" in str(again.error)
    claims = [tag for body in all_objects(machine).values() for tag in body["tags"] if "addr=agents.bob" in tag]
    assert claims == []


@pytest.mark.parametrize("at", range(10, 26, 2))
def test_object_deleted_by_others_is_recreated_once(machine: Machine, at: int) -> None:
    # regression: the state kept the old id, so after a crash the new object passed for a copy
    machine.environment.ask("DELETE", f"/v1/blocks/{id_of(machine, 'blocks.org')}")
    machine.apply(A, PlanOptions(), Fault("kill after", at))
    assert machine.apply(A, PlanOptions()).done
    machine.assert_no_changes(A, PlanOptions())
    assert sum("lettaform:addr=blocks.org" in body["tags"] for body in all_objects(machine).values()) == 1


@pytest.mark.parametrize("at", range(8, 20))
def test_undeclared_own_block_follows_its_agent_through_a_chain(machine: Machine, at: int) -> None:
    # regression: it kept the address that the block of another agent got
    spec, left = machine.specs[A], id_of(machine, "agents.ann.memory.persona")
    del spec["agents"]["ann"]["memory"]["persona"]
    ann, bob = spec["agents"].pop("ann"), spec["agents"].pop("bob")
    spec["agents"] |= {"ann": {**bob, "name": "bob"}, "cy": {**ann, "name": "ann"}}
    spec["moved"] = [["agents.bob", "agents.ann"], ["agents.ann", "agents.cy"]]
    machine.apply(A, PlanOptions(), Fault("kill after", at))
    assert machine.apply(A, PlanOptions()).done
    machine.assert_no_changes(A, PlanOptions())
    assert "lettaform:addr=agents.cy.memory.persona" in all_objects(machine)[left]["tags"]


@pytest.mark.parametrize("at", range(8, 20))
def test_removed_block_leaves_sleeptime_agent_too(tmp_path: Path, at: int) -> None:
    # regression: the server attaches a block to both agents, and detaches it from one
    machine = Machine(InMemory(tmp_path, (A,)), start=initial_with_all_kinds)
    machine.apply_and_check(A, PlanOptions())
    block, sleeptime_agent = id_of(machine, "blocks.org"), id_of(machine, "agents.ann-sleeptime")
    assert block in all_objects(machine)[sleeptime_agent]["blocks"]
    del machine.specs[A]["agents"]["ann"]["blocks"]
    machine.apply(A, PlanOptions(), Fault("kill after", at))
    assert machine.apply(A, PlanOptions()).done
    machine.assert_no_changes(A, PlanOptions())
    assert block not in all_objects(machine)[sleeptime_agent]["blocks"]


def test_create_with_null_fields_converges(machine: Machine) -> None:
    machine.specs[A]["agents"]["cy"] = {"system": None, "description": None}
    machine.apply_and_check(A, PlanOptions())


# --- backend and render ----------------------------------------------------------------------------------------------


def test_plan_with_detach_can_be_saved(machine: Machine) -> None:
    machine.specs[A]["agents"]["bob"]["blocks"] = []
    plan = machine.plan(A, PlanOptions()).plan
    assert plan is not None
    flow.save(plan, machine.environment.folder / "plan.json")


def test_state_rm_removes_mark_of_tool(machine: Machine) -> None:
    # 0.16.8 keeps the tags of a tool if an upsert sends none
    tool, at = id_of(machine, "tools.t1"), machine.environment
    machine.run(A, lambda: flow.state_remove(flow.Source(at.folder), at.connection(), "tools.t1"))
    assert all_objects(machine)[tool]["tags"] == []


def test_agent_without_tags_keeps_its_blocks(machine: Machine) -> None:
    # it is then read by its id, and so must its blocks be
    ann, human = id_of(machine, "agents.ann"), id_of(machine, "agents.ann.memory.human")
    machine.environment.ask("PATCH", f"/v1/agents/{ann}", {"tags": []})
    machine.environment.ask("PATCH", f"/v1/blocks/{human}", {"value": "I learnt."})
    machine.apply_and_check(A, PlanOptions(reseed=("agents.ann.memory.human",)))
    assert all_objects(machine)[human]["value"] == "Two."


def test_killed_replace_keeps_blocks_created_by_agent(tmp_path: Path) -> None:
    for at in range(8, 20):
        (folder := tmp_path / str(at)).mkdir()
        machine = Machine(InMemory(folder, (A, "mch-b")))
        machine.apply_and_check(A, PlanOptions())
        block = machine.environment.ask("POST", "/v1/blocks/", {"label": "own", "value": "made"})
        path = f"/v1/agents/{id_of(machine, 'agents.ann')}/core-memory/blocks/attach/{block['id']}"
        machine.environment.ask("PATCH", path)
        machine.specs[A]["agents"]["ann"]["agent_type"] = "memgpt_v2_agent"
        consent = PlanOptions(allow_destroy=("agents.ann",))
        machine.apply(A, consent, Fault("kill before", at))
        assert machine.apply(A, consent).done
        assert any(block["id"] in body.get("blocks", ()) for body in all_objects(machine).values()), (
            f"killed at request {at}"
        )


def test_order_of_tools_does_not_make_saved_plan_stale(machine: Machine) -> None:
    # the stand-in answers them in another order each time
    machine.specs[A]["agents"]["ann"]["tools"] = ["web_search"]
    machine.specs[A]["tools"] = {}
    environment, plan = machine.environment, machine.plan(A, PlanOptions(prune=True, allow_destroy=("*",))).plan
    assert plan is not None
    again = (machine.plan(A, PlanOptions(prune=True, allow_destroy=("*",))).plan for _ in range(8))
    saved = {"server": {"url": plan.url}, "stack": plan.stack, "environment": plan.environment, **dump(plan)}
    assert [moved(saved, each) for each in again if each] == [[]] * 8
    assert environment.recorder.writes == []
