"""`load`, and the methods of a Stack, on a stand-in."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import lettaform
from lettaform import flow
from lettaform.api.stack import ApplyOptions, DestroyOptions, Options
from lettaform.errors import Guarded, ManifestError, PlanError, Stale
from lettaform.flow import PlanOptions
from tests.api.conftest import MANIFEST, World

pytestmark = pytest.mark.thorough

BLOCKS = {"stack": "s", "blocks": {"b": {"value": "x"}}}


# --- load ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [".", "lettaform.yaml", Path("lettaform.yaml"), ["lettaform.yaml"], None])
def test_a_folder_a_file_and_files_are_loaded(given: Any, world: World) -> None:
    world.write()
    stack = lettaform.load() if given is None else lettaform.load(given)
    assert (stack.name, stack.source.directory.resolve()) == ("s", world.folder)
    assert sorted(map(str, stack.manifest().objects)) == ["blocks.b", "blocks.c"]


def test_paths_of_a_mapping_are_relative_to_the_directory(world: World) -> None:
    (world.folder / "sub").mkdir()
    (world.folder / "sub" / "text.md").write_text("Hello.")
    document = {"stack": "s", "blocks": {"b": {"value": lettaform.File("text.md")}}}
    stack = world.load(document, directory="sub")
    (block,) = stack.manifest().objects.values()
    assert block.values["value"] == "Hello."


def test_load_reports_all_problems_at_once(world: World) -> None:
    world.write("stack: S\nblocks: {b: {vlaue: x}}\n")
    with pytest.raises(ManifestError) as refused:
        world.load()
    assert [str(each.place) for each in refused.value.problems] == ["lettaform.yaml:1:8", "lettaform.yaml:2:14"]
    with pytest.raises(ManifestError) as refused:
        world.load({"stack": "S", "blocks": {"b": {"vlaue": "x"}}})
    assert [str(each.place) for each in refused.value.problems] == ["blocks.b.vlaue", "stack"]
    assert refused.value.problems[0].hint == "did you mean `value`?"


def test_nothing_there_is_a_clear_error(world: World) -> None:
    with pytest.raises(ManifestError, match=r"there is no manifest in `\.`"):
        lettaform.load()
    with pytest.raises(ManifestError, match=r"there is no file `none\.yaml`"):
        lettaform.load("none.yaml")
    with pytest.raises(ManifestError, match="cannot read the folder `none`"):
        lettaform.load("none")


def test_variables_have_their_types_and_are_needed_by_a_plan_alone(world: World) -> None:
    world.write(
        "stack: s\nvariables: {limit: {type: number}, on: {type: bool}, tags: {type: list}, text: {}}\n"
        'blocks: {b: {value: "${var.text}", limit: "${var.limit}", read_only: "${var.on}", tags: "${var.tags}"}}\n'
    )
    stack = world.load()
    assert stack.show().objects == ()
    with pytest.raises(ManifestError, match="the variable `limit` has no value"):
        stack.plan()
    stack = world.load(variables={"limit": 7, "on": True, "tags": ["a", "b"], "text": "7"})
    (block,) = stack.manifest().objects.values()
    assert {name: block.values[name] for name in ("limit", "read_only", "tags", "value")} == {
        "limit": 7,
        "read_only": True,
        "tags": ["a", "b"],
        "value": "7",
    }


def test_a_stack_is_used_from_another_folder(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write()
    (world.folder / "values.yaml").write_text("{}")
    stacks = [lettaform.load(each, variable_files=["values.yaml"]) for each in (".", "lettaform.yaml", BLOCKS)]
    monkeypatch.chdir("/")
    assert [len(stack.manifest().objects) for stack in stacks] == [2, 2, 1]


def test_an_environment_and_another_name_of_the_stack(world: World) -> None:
    world.write(MANIFEST + "environments: {prod: {blocks: {b: {limit: 7}}}}\n")
    assert world.load(environment="prod", stack="mine").plan().stack == "mine"
    with pytest.raises(ManifestError, match="there is no environment `prd`"):
        world.load(environment="prd")


def test_warnings_are_there(world: World) -> None:
    world.write(MANIFEST + "include: [none/*.yaml]\n")
    assert [each.message for each in world.load().warnings] == ["no file matches `none/*.yaml`"]


# --- plan and apply --------------------------------------------------------------------------------------------------


def test_exactly_the_plan_is_applied(world: World) -> None:
    world.write()
    stack = world.load()
    plan = stack.plan()
    assert (bool(plan), world.labels) == (True, [])
    result = stack.apply(plan)
    assert (result.changed, result.plan.summary["create"], world.labels) == (True, 2, ["b", "c"])
    assert not stack.plan()
    assert stack.apply(stack.plan()).changed is False


def test_a_plan_that_is_no_longer_true_is_stale(world: World) -> None:
    world.write()
    stack = world.load()
    plan = stack.plan()
    world.write(MANIFEST.replace("limit: 100", "limit: 99"))
    with pytest.raises(Stale, match=r"lettaform\.yaml has changed"):
        stack.apply(plan)
    assert world.labels == []


def test_a_plan_keeps_its_options(world: World) -> None:
    world.write()
    stack = world.load()
    stack.apply(stack.plan(target=["blocks.b"]))
    assert world.labels == ["b"]
    stack.apply(stack.plan(target="blocks.c"))
    assert world.labels == ["b", "c"]
    stack.apply(stack.plan(destroy=True))
    assert world.labels == []


@pytest.mark.parametrize("consent", [False, lambda plan: False])
def test_nothing_is_applied_without_consent(consent: Any, world: World) -> None:
    world.write()
    stack = world.load()
    with pytest.raises(TypeError, match="nothing is applied without consent"):
        stack.apply()  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="nothing is applied without consent"):
        stack.applying()  # type: ignore[call-overload]
    for verb in (stack.destroy, stack.restore, stack.rollback, stack.pull):
        assert inspect.signature(verb).parameters["consent"].default is inspect.Parameter.empty
    assert stack.apply(consent=consent).changed is False
    assert [event.event for event in stack.applying(consent=consent)] == []
    assert world.labels == []


async def unawaited(plan: lettaform.Plan) -> bool:
    return True


@pytest.mark.parametrize("consent", ["yes", 1, lambda plan: "yes", lambda plan: None, unawaited])
def test_only_true_is_consent(consent: Any, world: World) -> None:
    world.write()
    stack = world.load()
    for verb in (stack.apply, stack.destroy):
        world.standin.tables.blocks.clear()
        if verb == stack.destroy:
            stack.apply(consent=True)
        with pytest.raises(TypeError, match="consent must be True or False"):
            verb(consent=consent)
    assert world.labels == ["b", "c"]


def test_consent_sees_the_plan(world: World) -> None:
    world.write()
    seen: list[lettaform.Plan] = []

    def consent(plan: lettaform.Plan) -> bool:
        seen.append(plan)
        return True

    assert world.load().apply(consent=consent, target="blocks.b").plan == seen[0]
    assert world.labels == ["b"]


def test_options_beside_a_plan_are_an_error(world: World) -> None:
    world.write()
    stack = world.load()
    with pytest.raises(TypeError, match="remove consent, prune"):
        stack.apply(stack.plan(), consent=True, prune=True)  # type: ignore[call-overload]


def test_destructive_things_are_guarded(world: World) -> None:
    world.write(MANIFEST.replace("value: x}", "value: x, lifecycle: {prevent_destroy: true}}", 1))
    stack = world.load()
    stack.apply(consent=True)
    with pytest.raises(Guarded):
        stack.destroy(consent=True)
    assert world.labels == ["b", "c"]
    assert stack.destroy(consent=True, allow_destroy="blocks.b").changed
    assert world.labels == []


def test_what_is_on_the_server(world: World) -> None:
    world.write()
    stack = world.load()
    stack.apply(consent=True)
    assert [str(each.address) for each in stack.status("blocks.b").objects] == ["blocks.b"]
    assert [str(each.address) for each in stack.show().objects] == ["blocks.b", "blocks.c"]
    assert [each.verb for each in stack.history()] == ["apply"]
    (row,) = (row for row in world.standin.tables.blocks.values() if row["label"] == "c")
    row["limit"] = 55
    assert [str(each.address) for each in stack.drift(target="blocks.c").objects] == ["blocks.c"]


def test_pull_writes_files_with_consent_alone(world: World) -> None:
    world.write()
    stack = world.load()
    stack.apply(consent=True)
    (row,) = (row for row in world.standin.tables.blocks.values() if row["label"] == "b")
    row["value"] = "learnt"
    assert not stack.pull(consent=False).written
    assert "learnt" not in (world.folder / "lettaform.yaml").read_text()
    assert stack.pull("blocks.b", consent=True).written
    assert "learnt" in (world.folder / "lettaform.yaml").read_text()
    with pytest.raises(PlanError, match="has no files to write"):
        world.load(BLOCKS).pull(consent=True)


def test_a_snapshot_is_restored_and_an_apply_is_rolled_back(world: World) -> None:
    world.write()
    stack = world.load(working=world.folder / "elsewhere")
    stack.apply(consent=True)
    folder = stack.snapshot()
    assert folder.parent == world.folder / "elsewhere" / ".lettaform" / "snapshots"
    stack.destroy(consent=True)
    assert stack.restore(folder, consent=lambda plan: False).changed is False
    assert stack.restore(folder, consent=True).changed
    assert world.labels == ["b", "c"]
    stack.destroy(consent=True, target="blocks.c")
    assert stack.rollback(consent=True).changed
    assert world.labels == ["b", "c"]
    assert not (world.folder / ".lettaform").exists()


def test_several_stacks_at_once_in_threads(world: World) -> None:
    names = [f"s{number}" for number in range(6)]
    met = threading.Barrier(len(names), timeout=10)

    def work(name: str) -> bool:
        stack = world.load({"blocks": {name: {"value": "x"}}}, stack=name)
        met.wait()
        return stack.apply(consent=True).changed and not stack.plan()

    with ThreadPoolExecutor(len(names)) as pool:
        assert all(pool.map(work, names))
    assert world.labels == names


def test_methods_take_every_option_of_a_plan() -> None:
    # what is promoted is read by `promote`
    assert Options.__annotations__.keys() == {each.name for each in fields(PlanOptions)} - {"promotion"}
    assert DestroyOptions.__annotations__.keys() - ApplyOptions.__annotations__.keys() < Options.__annotations__.keys()
    assert ApplyOptions.__annotations__.keys() < inspect.signature(flow.apply).parameters.keys()


def test_a_canary_is_started_checked_and_promoted(world: World) -> None:
    def fleet(system: str) -> dict[str, Any]:
        ann = {"model": "letta/letta-free", "include_base_tools": False, "system": system}
        checks = {"says": {"agent": "ann", "say": "hello", "expect": {"answer": {"contains": "hello"}}}}
        return {"stack": "tried", "agents": {"ann": ann}, "checks": checks}

    world.load(fleet("One.")).apply(consent=True)
    stack = world.load(fleet("Two."))
    stack.canary("start", "ann", consent=True, memory="isolated")
    assert not stack.plan()
    assert stack.canary_check("ann", names="says").exit_code == 0
    with pytest.raises(TypeError, match="memory: of a start alone"):
        stack.canary("remove", "ann", consent=True, memory="copy")
    stack.canary("promote", "ann", consent=True)
    assert not stack.plan()
    (agent,) = world.standin.tables.agents.values()
    assert agent["system"] == "Two."


def test_an_environment_is_promoted(world: World) -> None:
    fleet = {
        "stack": "s",
        "environments": {"dev": {"stack": "s-dev"}, "prod": {}},
        "blocks": {"team": {"value": "We are a team."}},
    }
    for environment in ("dev", "prod"):
        world.load(fleet, environment=environment).apply(consent=True)
    tags = {"lettaform:stack=s-dev", "lettaform:addr=blocks.team"}
    (block,) = (each for each in world.standin.tables.blocks.values() if tags <= {*each["tags"]})
    block["value"] = "learned"
    plan = world.load(fleet).promote("dev", "prod", consent=True, memory="copy", ours="blocks.team").plan
    assert [str(each.address) for each in plan.changes] == ["blocks.team"]


def test_checks_run_on_copies(world: World) -> None:
    with pytest.raises(lettaform.PlanError, match="the manifest declares no checks"):
        world.load(BLOCKS).check()
    fleet = {
        "stack": "checked",
        "agents": {"ann": {"model": "letta/letta-free", "include_base_tools": False}},
        "checks": {
            "says": {"agent": "ann", "say": "hello", "expect": {"answer": {"contains": "hello"}}},
            "fails": {"agent": "ann", "say": "hello", "expect": {"answer": {"contains": "bye"}}},
        },
    }
    stack = world.load(fleet)
    assert [each.status for each in stack.check("says", planned=True).results] == ["passed"]
    stack.apply(consent=True)
    assert [each.status for each in stack.check().results] == ["passed", "failed"]
    assert len(world.standin.tables.agents) == 1
