"""Canaries on a stand-in: copies beside an agent that stays as it is, until its change is applied or dropped."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import ManifestError, PlanError
from lettaform.flow import CanaryOptions
from lettaform.model import Plan, PlanOptions, Report
from tests.session.test_status import MODELS, Stack
from tests.session.test_status import stack as stack
from tests.standin import StandIn

pytestmark = pytest.mark.thorough

FLEET = f"""stack: s
variables: {{key: {{secret: true}}}}
blocks:
  team: {{value: We are a team., limit: 100}}
  rules: {{value: Be kind., read_only: true}}
archives:
  facts: {{embedding: letta/letta-free, passages: [One fact.]}}
defaults: {{agents: {{{MODELS}, blocks: [team, rules]}}}}
agents:
  ann:
    system: You greet.
    memory: {{notes: none, mood: {{value: calm, policy: {{value: enforce}}}}}}
    tags: [lead]
    archive: facts
    secrets: {{KEY: "${{var.key}}"}}
  bob:
    for_each: [x, y]
    memory: {{notes: none}}
checks:
  says: {{agent: ann, say: hello, expect: {{answer: {{contains: hello}}}}, runs: 2}}
  bobs: {{agent: bob, say: hello}}
  fails: {{agent: ann, say: hello, expect: {{answer: {{contains: never}}}}}}
"""


_APPLIED: dict[str, Any] = {}
"""What the stand-in has after the apply of a manifest: it is applied once, and copied for each test."""


def applied(stack: Stack, text: str) -> None:
    """A stand-in that has what a manifest declares."""
    stack.write(text)
    if text not in _APPLIED:
        stack.apply()
        _APPLIED[text] = copy.deepcopy(stack.standin.tables)
    stack.standin = StandIn(seed=1)  # another one: it gives out other ids
    stack.standin.tables = copy.deepcopy(_APPLIED[text])


@pytest.fixture
def fleet(stack: Stack) -> Stack:
    applied(stack, FLEET)
    stack.edit("You greet.", "You greet everybody.")
    mine = "lettaform:addr=agents.ann.memory.notes"
    (notes,) = (each for each in stack.standin.tables.blocks.values() if mine in each["tags"])
    notes["value"] = "Ann rides."
    stack.change("blocks", "team", value="We are five.")
    return stack


def start(stack: Stack, *addresses: str, **words: Any) -> tuple[Plan, Report | None]:
    options = CanaryOptions(**words)
    return flow.canary_start(stack.source, stack.connection, addresses or ("ann",), options, consent=True)


def end(stack: Stack, does: str, *addresses: str) -> tuple[Plan, Report | None]:
    verb = {"promote": flow.canary_promote, "remove": flow.canary_remove}[does]
    return verb(stack.source, stack.connection, addresses or ("ann",), consent=True)


def agent(stack: Stack, name: str) -> dict[str, Any]:
    (found,) = (each for each in stack.standin.tables.agents.values() if each["name"] == name)
    return dict(found)


def memory(stack: Stack, name: str) -> dict[str, str]:
    """Label to text of the blocks of an agent."""
    blocks = (stack.standin.tables.blocks[id] for id in agent(stack, name)["_blocks"])
    return {block["label"]: block["value"] for block in blocks}


def texts(stack: Stack) -> dict[str, str]:
    """Every block that belongs to no copy, and is no state."""
    blocks = stack.standin.tables.blocks.values()
    found = {next((t for t in each["tags"] if ":addr=" in t), each["label"]): each["value"] for each in blocks}
    return {tag: value for tag, value in found.items() if "canary" not in tag and tag != "lettaform"}


def changed(plan: Plan) -> list[tuple[str, str]]:
    return [(each.action, str(each.address)) for each in plan.changes]


def test_copies_get_what_is_declared_and_copies_of_all_memory(fleet: Stack) -> None:
    before, original = texts(fleet), agent(fleet, "ann")
    plan, report = start(fleet, copies=2)
    assert report is not None
    assert report.exit_code == 0
    assert {action for action, _ in changed(plan)} == {"create"}
    assert memory(fleet, "ann-canary-1") == {
        "notes": "Ann rides.",
        "mood": "calm",
        "team": "We are five.",
        "rules": "Be kind.",
    }
    second = agent(fleet, "ann-canary-2")
    assert second["system"] == "You greet everybody."
    assert [tag for tag in second["_tags"] if not tag.startswith("lettaform:")] == ["canary:agents.ann"]
    rules = next(id for id, each in fleet.standin.tables.blocks.items() if each["label"] == "rules")
    assert rules in second["_blocks"]  # no agent can change it
    assert texts(fleet) == before
    assert agent(fleet, "ann") == original
    assert [each.message for each in plan.warnings] == ["agents.ann: its copies do not have its archive"]


def test_isolated_copies_begin_with_the_seeds(fleet: Stack) -> None:
    start(fleet, memory="isolated")
    assert memory(fleet, "ann-canary-1")["notes"] == "none"
    assert memory(fleet, "ann-canary-1")["team"] == "We are a team."


def test_shared_copies_get_the_blocks_and_the_archive_themselves(fleet: Stack) -> None:
    plan, _ = start(fleet, shared=True)
    team = next(id for id, each in fleet.standin.tables.blocks.items() if each["label"] == "team")
    assert team in agent(fleet, "ann-canary-1")["_blocks"]
    assert plan.warnings == ()


def test_until_it_ends_plans_hold_the_agent_back_and_keep_the_copies(fleet: Stack) -> None:
    start(fleet, copies=2)
    for options in (PlanOptions(), PlanOptions(prune=True), PlanOptions(target=("agents.ann",))):
        plan = flow.plan(fleet.source, fleet.connection, options)
        assert not plan
        assert "held back" in plan.warnings[-1].message
        assert plan.unchanged == 7  # without the agent and its two blocks
    fleet.edit("for_each: [x, y]", "for_each: [x, y, z]")
    assert ("create", "agents.bob[z]") in changed(flow.plan(fleet.source, fleet.connection))
    found = {str(each.address): each.status for each in fleet.status().objects}
    assert found["agents.ann"] == "outdated"
    assert found['agents["ann@canary-1"]'] == found['agents["ann@canary-2"].memory.team'] == "canary"


def test_started_again_it_brings_later_changes_to_the_copies_and_nothing_to_their_memory(fleet: Stack) -> None:
    start(fleet)
    copied = next(id for id in agent(fleet, "ann-canary-1")["_blocks"])
    fleet.standin.tables.blocks[copied]["value"] = "The copy learned."
    fleet.edit("You greet everybody.", "You greet the world.")
    plan, _ = start(fleet, copies=2)
    assert changed(plan)[0] == ("update", 'agents["ann@canary-1"]')
    assert {action for action, _ in changed(plan)[1:]} == {"create"}
    assert "The copy learned." in memory(fleet, "ann-canary-1").values()
    plan, report = start(fleet)
    assert (changed(plan), report, plan.runtime) == ([], None, ())


@pytest.mark.parametrize("does", ["promote", "remove"])
def test_its_end_removes_the_copies_and_never_writes_the_memory(does: str, fleet: Stack) -> None:
    before = texts(fleet)
    start(fleet, copies=2)
    plan, report = end(fleet, does)
    assert report is not None
    assert (report.exit_code, bool(report.snapshot)) == (0, True)
    assert not [each for each in fleet.standin.tables.agents.values() if "canary" in each["name"]]
    assert texts(fleet) == before
    assert agent(fleet, "ann")["system"] == ("You greet everybody." if does == "promote" else "You greet.")
    assert bool(flow.plan(fleet.source, fleet.connection)) is (does == "remove")
    deletes = [step for step in plan.steps if step.op == "delete" and not step.address.parent]
    assert all(("agents.ann" in step.after) is (does == "promote") for step in deletes)


def test_each_plan_can_be_saved_and_applied(fleet: Stack, tmp_path: Path) -> None:
    before = texts(fleet)
    path = tmp_path / "canary.json"
    for run in (flow.canary_start, flow.canary_promote):
        plan, report = run(fleet.source, fleet.connection, ("ann",), consent=False, interactive=True)
        assert report is None
        flow.save(plan, path)
        _, report = flow.apply_saved(path, fleet.source, fleet.connection, consent=True)
        assert report is not None
        assert report.exit_code == 0
    assert agent(fleet, "ann")["system"] == "You greet everybody."
    assert texts(fleet) == before
    assert not flow.plan(fleet.source, fleet.connection)


def test_destroy_deletes_the_copies_with_the_stack(fleet: Stack) -> None:
    start(fleet, copies=2)
    flow.apply(fleet.source, fleet.connection, PlanOptions(destroy=True), consent=True)
    assert not fleet.standin.tables.agents
    assert not fleet.standin.tables.blocks


def test_blocks_that_the_agent_made_are_copied_and_those_that_it_dropped_are_not(fleet: Stack) -> None:
    id = next(id for id, each in fleet.standin.tables.agents.items() if each["name"] == "ann")
    diary = fleet.send("POST", "/v1/blocks/", {"label": "diary", "value": "Dear diary."})
    fleet.send("PATCH", f"/v1/agents/{id}/core-memory/blocks/attach/{diary['id']}")
    notes = next(
        each for each in agent(fleet, "ann")["_blocks"] if fleet.standin.tables.blocks[each]["label"] == "notes"
    )
    fleet.send("PATCH", f"/v1/agents/{id}/core-memory/blocks/detach/{notes}")
    start(fleet)
    assert memory(fleet, "ann-canary-1").keys() == {"diary", "mood", "team", "rules"}
    tried = next(id for id, each in fleet.standin.tables.agents.items() if each["name"] == "ann-canary-1")
    own = fleet.send("POST", "/v1/blocks/", {"label": "thoughts", "value": "Hm."})
    fleet.send("PATCH", f"/v1/agents/{tried}/core-memory/blocks/attach/{own['id']}")
    plan, _ = end(fleet, "remove")
    assert "made the block `thoughts` itself" in plan.warnings[-1].message


def test_a_secret_in_memory_is_not_copied(fleet: Stack) -> None:
    fleet.change("blocks", "team", value="the key is hunter-22")
    plan, _ = start(fleet)
    assert memory(fleet, "ann-canary-1")["team"] == "We are a team."
    assert any("contains `secrets`" in each.message or "var.key" in each.message for each in plan.warnings)
    assert "hunter-22" not in repr(plan.changes)


def test_instances_are_copied_one_by_one(fleet: Stack) -> None:
    fleet.edit("for_each: [x, y]\n", "for_each: [x, y]\n    system: New.\n")
    plan, _ = start(fleet, "agents.bob*")
    tops = [address for _, address in changed(plan) if "memory" not in address]
    assert tops == ['agents["bob@canary-1"][x]', 'agents["bob@canary-1"][y]']
    plan, _ = end(fleet, "promote", "agents.bob[x]")
    assert ("update", "agents.bob[x]") in changed(plan)
    assert not [address for _, address in changed(plan) if "[y]" in address]


def test_checks_run_on_both(fleet: Stack) -> None:
    start(fleet)
    found = flow.canary_check(fleet.source, fleet.connection)
    assert [(a.check.name, a.status, str(b.agent), b.status) for a, b in found.pairs] == [
        ("says", "passed", 'agents["ann@canary-1"]', "passed"),
        ("fails", "failed", 'agents["ann@canary-1"]', "failed"),
    ]
    assert found.exit_code == 3
    passing = flow.canary_check(fleet.source, fleet.connection, ["ann"], flow.CheckOptions(("says",)))
    assert (len(passing.pairs[0][1].runs), passing.exit_code) == (2, 0)
    assert not [each for each in fleet.standin.tables.agents.values() if each["name"].startswith("check")]


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda stack: start(stack, "agents.zoe"), "no object has the address `agents.zoe`"),
        (lambda stack: start(stack, "blocks.team"), "no object has the address `blocks.team`"),
        (lambda stack: end(stack, "promote"), "`agents.ann` has no canary"),
        (lambda stack: end(stack, "remove", "agents.*"), "`agents.*` has no canary"),
        (lambda stack: flow.canary_check(stack.source, stack.connection), "no agent of the stack has a canary"),
        (lambda stack: flow.canary_check(stack.source, stack.connection, ["ann"]), "`agents.ann` has no canary"),
    ],
    ids=["unknown", "no agent", "promote", "remove", "check", "check of one"],
)
def test_what_cannot_be_done(run: Any, message: str, fleet: Stack) -> None:
    with pytest.raises(PlanError) as raised:
        run(fleet)
    assert raised.value.message == message


def test_fewer_copies_than_there_are_is_refused(fleet: Stack) -> None:
    start(fleet, copies=2)
    with pytest.raises(PlanError, match="has a canary of 2 copies, and --copies says 1"):
        start(fleet, copies=1)


def test_what_a_copy_needs_must_exist(fleet: Stack) -> None:
    fleet.edit("archives:", "tools: {new: {source: new.py}}\narchives:")
    (fleet.folder / "new.py").write_text('def new() -> str:\n    """New."""\n    return "new"\n')
    fleet.edit("    tags: [lead]\n", "    tags: [lead]\n    tools: [new]\n")
    with pytest.raises(PlanError, match=r"agents.ann needs tools.new, which does not exist yet") as raised:
        start(fleet)
    assert raised.value.hint == "`lettaform apply --target 'tools.new'` creates what is missing"
    flow.apply(fleet.source, fleet.connection, PlanOptions(target=("tools.new",)), consent=True)
    _, report = start(fleet)
    assert report is not None
    assert report.exit_code == 0


def test_an_agent_that_does_not_exist_or_does_not_differ(fleet: Stack) -> None:
    fleet.edit("for_each: [x, y]", "for_each: [x, y, z]")
    with pytest.raises(PlanError, match=r"agents.bob\[z\] does not exist on the server"):
        start(fleet, "agents.bob*")
    plan, _ = start(fleet, "agents.bob[x]")
    assert "its copies do not differ from it" in plan.warnings[-1].message


def test_no_manifest_declares_a_copy(fleet: Stack) -> None:
    fleet.edit("  bob:\n", "  bob@canary-1:\n")
    fleet.edit("agent: bob,", "agent: ann,")
    with pytest.raises(ManifestError) as raised:
        flow.read(fleet.source)
    assert "the key 'bob@canary-1' must not be empty, and not end in" in raised.value.problems[0].message
