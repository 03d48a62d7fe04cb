"""Failures that the machine found, each as a minimal test."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from lettaform import flow
from lettaform.errors import PlanError
from lettaform.model import PlanOptions
from lettaform.plan import saved
from lettaform.plan.pull import PullOptions
from tests.machine.environment import Fault, InMemory, Objects
from tests.machine.fleet import initial_with_all_kinds
from tests.machine.machine import Machine, RunResult
from tests.machine.way_back import WayBack

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
    before = {"server": {"url": plan.url}, "stack": plan.stack, "environment": plan.environment, **saved.dump(plan)}
    assert [saved.moved(before, each) for each in again if each] == [[]] * 8
    assert environment.recorder.writes == []


# --- the way back ----------------------------------------------------------------------------------------------------


@pytest.fixture
def back(tmp_path: Path) -> WayBack:
    """One applied stack with an object of every kind."""
    machine = WayBack(InMemory(tmp_path, (A, "mch-b")), start=initial_with_all_kinds)
    machine.apply_and_check(A, PlanOptions())
    return machine


def kept(machine: WayBack) -> Path:
    """The folder of a snapshot of the stack as it is."""
    found = machine.keep(A)
    assert found is not None
    return found.path


def restored(machine: WayBack, path: Path) -> RunResult:
    return machine.run(A, lambda: flow.restore(*machine.at(), path, consent=True))


def rolled_back(machine: WayBack, options: PlanOptions) -> RunResult:
    """A rollback of an apply that keeps what it changes."""
    keeping = flow.Snapshots(changed=True)
    assert machine.run(A, lambda: flow.apply(*machine.at(), options, snapshots=keeping, consent=True)).done
    return machine.run(A, lambda: flow.rollback(*machine.at(), consent=True))


def test_a_restore_of_what_has_not_changed_writes_nothing(back: WayBack) -> None:
    # regression: the secrets of an MCP server are in no snapshot, and its tools were listed again at each restore
    result = restored(back, kept(back))
    assert result.done
    assert not result.plan
    assert not result.writes


def test_what_a_snapshot_lacks_is_in_no_plan_of_it(tmp_path: Path) -> None:
    # regression: prompts were compiled again, because the plan took the files of folders for undeclared
    machine = WayBack(InMemory(tmp_path, (A,)), start=initial_with_all_kinds)
    path = kept(machine)
    machine.apply_and_check(A, PlanOptions())
    assert not restored(machine, path).writes


def test_a_rollback_attaches_an_own_block_that_was_pruned(back: WayBack) -> None:
    # regression: the block was created again, and its agent, which the snapshot does not have, did not get it
    before = back.remember(A)
    del back.specs[A]["agents"]["bob"]["memory"]["persona"]
    assert rolled_back(back, PlanOptions(prune=True)).done
    block = id_of(back, "agents.bob.memory.persona") if back.ours[A] else ""
    agent = all_objects(back)[id_of(back, "agents.bob")]
    assert agent["labels"].keys() >= {"persona"}
    assert all_objects(back)[agent["labels"]["persona"]]["value"] == before.objects[block]["value"]


@pytest.mark.parametrize("address", ["blocks.org", "folders.manuals", "archives.sold", "agents.bob"])
def test_a_stack_of_which_somebody_deleted_an_object_can_be_kept_and_destroyed(back: WayBack, address: str) -> None:
    # regressions: the state names the object, and a group keeps the ids of deleted agents: no snapshot was whole
    section, id = address.partition(".")[0], id_of(back, address)
    back.environment.ask("DELETE", f"/v1/{section}/{id}")
    path = kept(back)
    assert not [each for each in flow.snapshot_verify(path) if each.severity == "error"]
    assert not restored(back, path).error
    assert back.apply(A, PlanOptions(destroy=True, allow_destroy=("*",))).done


def move_bob_and_org(machine: WayBack) -> None:
    """An agent and a shared block get other addresses."""
    spec = machine.specs[A]
    spec["agents"]["cy"] = {**spec["agents"].pop("bob"), "name": "bob", "system": "Be brief."}
    spec["blocks"]["team"] = {**spec["blocks"].pop("org"), "label": "org"}
    for agent in spec["agents"].values():
        agent["blocks"] = ["team"]
    spec["moved"] = [["agents.bob", "agents.cy"], ["blocks.org", "blocks.team"]]


def test_a_restore_after_a_move_makes_no_second_object(tmp_path: Path) -> None:
    # regression: a snapshot has the address of its time, at which nothing is any more
    back = WayBack(InMemory(tmp_path, (A,)))
    back.apply_and_check(A, PlanOptions())
    path, before = kept(back), all_objects(back)
    move_bob_and_org(back)
    back.apply_and_check(A, PlanOptions())
    result = restored(back, path)
    assert result.done
    assert result.plan is not None
    assert [str(each.address) for each in result.plan.changes] == ["agents.cy"]
    assert [each.message for each in result.plan.warnings] == [
        "agents.cy is agents.bob in the snapshot, and keeps its address",
        "blocks.team is blocks.org in the snapshot, and keeps its address",
    ]
    after = all_objects(back)
    assert after.keys() == before.keys()
    assert after[id_of(back, "agents.cy")]["system"] == before[id_of(back, "agents.cy")]["system"]


def test_what_an_apply_moves_and_changes_can_be_rolled_back(back: WayBack) -> None:
    # regression: what moved has its old address where the objects to keep were looked for, and nothing was kept
    for each in ("groups", "conversations"):
        back.specs[A][each] = {}
    before, bob = all_objects(back), id_of(back, "agents.bob")
    move_bob_and_org(back)
    assert rolled_back(back, PlanOptions()).done
    assert all_objects(back)[bob]["system"] == before[bob]["system"]
    assert all_objects(back).keys() == before.keys()


def test_a_block_that_belongs_to_another_agent_now_is_moved_back_first(back: WayBack) -> None:
    path, block = kept(back), id_of(back, "agents.ann.memory.human")
    memory = back.specs[A]["agents"]
    memory["bob"]["memory"]["human"] = memory["ann"]["memory"].pop("human")
    back.specs[A]["moved"] = [["agents.ann.memory.human", "agents.bob.memory.human"]]
    back.apply_and_check(A, PlanOptions())
    error = restored(back, path).error
    assert isinstance(error, PlanError)
    (problem,) = error.problems
    assert problem.message == f"agents.ann.memory.human: {block} is agents.bob.memory.human now"
    way = "moved: [{from: agents.bob.memory.human, to: agents.ann.memory.human}]"
    assert problem.hint == f"`{way}` in the manifest moves it back with the next apply"
    memory["ann"]["memory"]["human"] = memory["bob"]["memory"].pop("human")
    back.specs[A]["moved"] = [["agents.bob.memory.human", "agents.ann.memory.human"]]
    back.apply_and_check(A, PlanOptions())
    assert restored(back, path).done
    assert block in all_objects(back)[id_of(back, "agents.ann")]["blocks"]


@pytest.mark.parametrize("address", ["agents.ann", "blocks.org", "archives.sold"])
def test_what_the_stack_forgot_is_not_created_again(back: WayBack, address: str) -> None:
    # regression: the restore created a second one beside it
    path, id, before = kept(back), id_of(back, address), all_objects(back)
    at = back.environment
    back.run(A, lambda: flow.state_remove(flow.Source(at.folder), at.connection(), address))
    error = restored(back, path).error
    assert isinstance(error, PlanError)
    assert f"{address}: {id} still exists, and no stack owns it" in [each.message for each in error.problems]
    assert f"`lettaform import '{address}' {id}` adopts it as it is" in [each.hint for each in error.problems]
    for problem in error.problems:
        _, _, where, found = (problem.hint or "").split("`")[1].replace("'", "").split(" ")
        assert back.run(A, partial(flow.adopt, *back.at(), where, found)).error is None
    assert restored(back, path).done
    assert all_objects(back).keys() == before.keys()


@pytest.mark.parametrize("at", range(4, 17, 4))
def test_a_pull_that_is_killed_while_it_records_is_completed_by_the_next(tmp_path: Path, at: int) -> None:
    # regression: the files had the values already, and the marks were never written
    back = WayBack(InMemory(tmp_path, (A,)))
    back.apply_and_check(A, PlanOptions())
    for address in ("agents.ann.memory.human", "blocks.org"):
        back.environment.ask("PATCH", f"/v1/blocks/{id_of(back, address)}", {"value": "Learnt."})
    fault = Fault("kill after", at)
    back.pull(A, PullOptions(record=True), fault)
    assert fault.happened
    assert back.done["pull"] == 1


def test_a_companion_that_had_detached_its_block_gets_one_again_and_the_plan_says_so(back: WayBack) -> None:
    second, block = id_of(back, "agents.ann-sleeptime"), id_of(back, "agents.ann-sleeptime.memory.memory_persona")
    back.environment.ask("PATCH", f"/v1/agents/{second}/core-memory/blocks/detach/{block}")
    path = kept(back)
    assert back.apply(A, PlanOptions(destroy=True, allow_destroy=("*",))).done
    result = restored(back, path)
    assert result.done
    assert result.plan is not None
    notes = {str(each.address): each.notes for each in result.plan.changes}["agents.ann-sleeptime"]
    note = "gets the block `memory_persona`, which it did not have: the server creates it together with the agent"
    assert note in notes
