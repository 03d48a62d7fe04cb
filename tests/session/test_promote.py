"""Promotions on a stand-in: the manifest follows once one environment has tried it, and memory by policy."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import Conflicting, Locked, PlanError
from lettaform.model import Lock, Plan, PlanOptions, Report
from lettaform.plan import Diff
from lettaform.session import Session
from lettaform.session.pull import compare
from tests.session.test_canary import applied, changed
from tests.session.test_status import MODELS, Stack
from tests.session.test_status import stack as stack

pytestmark = pytest.mark.thorough

FLEET = f"""stack: s
variables: {{key: {{secret: true, default: hunter-22}}}}
environments:
  dev: {{stack: s-dev}}
  prod: {{agents: {{ann: {{description: The real one.}}}}}}
blocks:
  team: {{value: "one\\ntwo\\nthree"}}
  rules: {{value: Be kind., policy: {{value: enforce}}}}
  terms: {{value: "a\\nb\\nc", policy: {{value: merge}}}}
defaults: {{agents: {{{MODELS}, blocks: [team, rules, terms]}}}}
agents:
  ann:
    system: You greet.
    memory: {{notes: none}}
    secrets: {{KEY: "${{var.key}}"}}
"""


def apply(stack: Stack, environment: str) -> None:
    stack.environment = environment
    stack.apply()


@pytest.fixture
def fleet(stack: Stack) -> Stack:
    stack.environment = "dev"
    applied(stack, FLEET)
    apply(stack, "prod")
    return stack


def promote(stack: Stack, *addresses: str, **words: Any) -> tuple[Plan, Report | None]:
    return flow.promote(stack.source, stack.connection, "dev", "prod", addresses, **{"consent": True, **words})


def block(stack: Stack, environment: str, address: str) -> dict[str, Any]:
    tags = {f"lettaform:stack={'s-dev' if environment == 'dev' else 's'}", f"lettaform:addr={address}"}
    (found,) = (each for each in stack.standin.tables.blocks.values() if tags <= {*each["tags"]})
    return found


def text(stack: Stack, environment: str, address: str = "blocks.team") -> str:
    return str(block(stack, environment, address)["value"])


def write(stack: Stack, environment: str, address: str, value: str) -> None:
    block(stack, environment, address)["value"] = value


def check_done(stack: Stack) -> None:
    """Both environments are as the manifest declares, and another promotion has nothing to do."""
    for environment in ("dev", "prod"):
        stack.environment = environment
        assert not flow.plan(stack.source, stack.connection)


def test_definitions_follow_and_memory_stays(fleet: Stack) -> None:
    write(fleet, "dev", "blocks.team", "learned in dev")
    write(fleet, "prod", "blocks.team", "learned in prod")
    fleet.edit("You greet.", "You greet everybody.")
    with pytest.raises(PlanError) as raised:
        promote(fleet)
    assert raised.value.message.startswith("`dev` is not as the manifest declares it")
    assert [each.message for each in raised.value.problems] == ["agents.ann differs there: `system`"]
    apply(fleet, "dev")
    plan, report = promote(fleet)
    assert report is not None
    assert report.exit_code == 0
    assert changed(plan) == [("update", "agents.ann")]
    assert plan.environment == "prod"
    assert (text(fleet, "dev"), text(fleet, "prod")) == ("learned in dev", "learned in prod")
    fleet.environment = "prod"
    assert flow.history(fleet.source, fleet.connection)[0].verb == "promote"
    check_done(fleet)


def test_copied_memory_replaces_that_of_the_other_after_a_snapshot(fleet: Stack) -> None:
    write(fleet, "dev", "blocks.team", "learned in dev")
    write(fleet, "dev", "agents.ann.memory.notes", "Ann rides.")
    write(fleet, "dev", "blocks.terms", "a\nb\nc\nd")
    write(fleet, "prod", "blocks.team", "learned in prod")
    plan, report = promote(fleet, memory="copy")
    assert report is not None
    assert report.snapshot is not None
    found = {str(each.address): each.fields_changed[0] for each in plan.changes}
    assert {address: each.reason for address, each in found.items()} == dict.fromkeys(
        ("agents.ann.memory.notes", "blocks.team", "blocks.terms"), "promote"
    )
    assert (found["blocks.team"].old, found["blocks.team"].new) == ("learned in prod", "learned in dev")
    assert text(fleet, "prod") == "learned in dev"
    assert text(fleet, "prod", "agents.ann.memory.notes") == "Ann rides."
    assert text(fleet, "prod", "blocks.terms") == "a\nb\nc\nd"
    check_done(fleet)
    assert not promote(fleet, memory="copy")[0]
    restored = flow.snapshot_read(Path(report.snapshot))
    assert "learned in prod" in [entry.live.values.get("value") for entry in restored.entries]


def test_merged_memory_keeps_what_both_learned_again_and_again(fleet: Stack) -> None:
    for address in ("blocks.team", "blocks.terms"):
        first, last = text(fleet, "dev", address).split("\n")[0], text(fleet, "dev", address).split("\n")[-1]
        write(fleet, "dev", address, text(fleet, "dev", address).replace(first, f"{first} dev"))
        write(fleet, "prod", address, text(fleet, "prod", address).replace(last, f"{last} prod"))
    promote(fleet, memory="merge")
    assert text(fleet, "prod") == "one dev\ntwo\nthree prod"
    assert text(fleet, "prod", "blocks.terms") == "a dev\nb\nc prod"
    assert text(fleet, "dev") == "one dev\ntwo\nthree"
    check_done(fleet)
    assert not promote(fleet, memory="merge")[0]
    write(fleet, "dev", "blocks.team", "one dev\nand more\ntwo\nthree")
    write(fleet, "prod", "blocks.team", "one dev\ntwo\nthree prod\nfour")
    promote(fleet, memory="merge")
    assert text(fleet, "prod") == "one dev\nand more\ntwo\nthree prod\nfour"
    check_done(fleet)


def test_texts_that_became_equal_are_remembered_as_promoted(fleet: Stack) -> None:
    for environment in ("dev", "prod"):
        write(fleet, environment, "blocks.team", "one\ntwo\nthree\nfour")
    plan, _ = promote(fleet, memory="merge")
    assert ("mark", "blocks.team") in changed(plan)
    write(fleet, "dev", "blocks.team", "one\ntwo\nthree\nfour\nfive")
    promote(fleet, memory="merge")
    assert text(fleet, "prod") == "one\ntwo\nthree\nfour\nfive"


def test_a_conflict_changes_nothing_until_a_side_is_chosen(fleet: Stack, tmp_path: Path) -> None:
    write(fleet, "dev", "blocks.team", "one\ndev\nthree")
    write(fleet, "prod", "blocks.team", "one\nprod\nthree")
    before = copy.deepcopy(fleet.standin.tables)
    with pytest.raises(Conflicting) as raised:
        promote(fleet, memory="merge")
    assert "`--theirs 'blocks.team'` takes those of `dev`" in (raised.value.problems[0].hint or "")
    assert fleet.standin.tables.blocks == before.blocks
    plan, report = promote(fleet, memory="merge", consent=False, interactive=True)
    assert report is None
    assert "<<<<<<< here\nprod\n||||||| last promoted\ntwo\n=======\ndev\n>>>>>>> dev" in str(
        plan.conflicts[0].conflict and plan.conflicts[0].conflict.text
    )
    with pytest.raises(Conflicting):
        flow.save(plan, tmp_path / "plan.json")
    promote(fleet, memory="merge", theirs=("blocks.team",))
    assert text(fleet, "prod") == "one\ndev\nthree"
    write(fleet, "dev", "blocks.team", "one\ndev 2\nthree")
    write(fleet, "prod", "blocks.team", "one\nprod 2\nthree")
    promote(fleet, memory="merge", ours=("blocks.team",))
    assert text(fleet, "prod") == "one\nprod 2\nthree"
    assert not promote(fleet, memory="merge")[0]


def test_what_is_created_begins_with_the_memory_of_the_other(fleet: Stack) -> None:
    fleet.edit("agents:\n  ann:", "agents:\n  bob: {memory: {diary: empty}}\n  ann:")
    fleet.edit("  terms:", "  news: {value: none}\n  terms:")
    apply(fleet, "dev")
    write(fleet, "dev", "agents.bob.memory.diary", "Dear diary.")
    write(fleet, "dev", "blocks.news", "It rains.")
    promote(fleet, memory="merge")
    assert text(fleet, "prod", "agents.bob.memory.diary") == "Dear diary."
    assert text(fleet, "prod", "blocks.news") == "It rains."
    check_done(fleet)
    write(fleet, "dev", "agents.bob.memory.diary", "Dear diary.\nMore.")
    write(fleet, "prod", "agents.bob.memory.diary", "Hello.\nDear diary.")
    promote(fleet, memory="merge")
    assert text(fleet, "prod", "agents.bob.memory.diary") == "Hello.\nDear diary.\nMore."


def test_a_saved_promotion_does_what_was_shown(fleet: Stack, tmp_path: Path) -> None:
    write(fleet, "dev", "blocks.team", "learned in dev")
    plan, _ = promote(fleet, memory="copy", consent=False, interactive=True)
    path = tmp_path / "plan.json"
    flow.save(plan, path)
    write(fleet, "dev", "blocks.team", "learned later")
    fleet.environment = None
    _, report = flow.apply_saved(path, fleet.source, fleet.connection, consent=True)
    assert report is not None
    assert report.exit_code == 0
    assert report.snapshot is not None
    assert text(fleet, "prod") == "learned in dev"
    fleet.environment = "prod"
    assert flow.history(fleet.source, fleet.connection)[0].verb == "promote"
    flow.rollback(fleet.source, fleet.connection, consent=True)
    assert text(fleet, "prod") == "one\ntwo\nthree"


def test_only_what_is_named_is_promoted(fleet: Stack) -> None:
    for address in ("blocks.team", "agents.ann.memory.notes"):
        write(fleet, "dev", address, "learned")
    plan, _ = promote(fleet, "ann", memory="copy")
    assert changed(plan) == [("update", "agents.ann.memory.notes")]
    with pytest.raises(PlanError, match=r"no object has the address `agents\.zoe`"):
        promote(fleet, "zoe")


def test_secrets_and_blocks_that_agents_made_are_left_out_and_named(fleet: Stack) -> None:
    write(fleet, "dev", "blocks.team", "the key is hunter-22")
    id = next(id for id, each in fleet.standin.tables.agents.items() if "lettaform:stack=s-dev" in each["_tags"])
    made = fleet.send("POST", "/v1/blocks/", {"label": "diary", "value": "Mine."})
    fleet.send("PATCH", f"/v1/agents/{id}/core-memory/blocks/attach/{made['id']}")
    plan, report = promote(fleet, memory="copy")
    assert text(fleet, "prod") == "one\ntwo\nthree"
    said = [each.message for each in plan.warnings]
    assert any("blocks.team: its text in `dev` contains" in each for each in said)
    assert "agents.ann: the block `diary`, which the agent made itself, is not promoted" in said
    assert "hunter-22" not in repr((plan.options, plan.changes, report))


def test_an_agent_that_writes_meanwhile_is_not_overwritten(fleet: Stack) -> None:
    write(fleet, "dev", "blocks.team", "learned in dev")

    def meanwhile(plan: Plan) -> bool:
        write(fleet, "prod", "blocks.team", "learned meanwhile")
        return True

    _, report = promote(fleet, memory="copy", consent=meanwhile)
    assert report is not None
    assert report.exit_code != 0
    assert text(fleet, "prod") == "learned meanwhile"


def test_what_cannot_be_promoted(fleet: Stack) -> None:
    with pytest.raises(PlanError, match="cannot be promoted to itself"):
        flow.promote(fleet.source, fleet.connection, "dev", "dev", consent=True)
    fleet.edit("  dev: {stack: s-dev}", "  dev: {}")
    with pytest.raises(PlanError, match="`dev` and `prod` are one stack, `s`, on one server"):
        promote(fleet)
    fleet.edit("  dev: {}", "  dev: {stack: s-new}")
    with pytest.raises(PlanError, match="`dev` has no objects"):
        promote(fleet)


def test_an_apply_under_way_in_the_first_is_waited_for(fleet: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    async def with_holder(session: Session, options: PlanOptions) -> tuple[Diff, Lock | None]:
        return (await compare(session, options))[0], Lock("lock-1", "bob", "now")

    monkeypatch.setattr("lettaform.session.promote.compare", with_holder)
    with pytest.raises(Locked, match="stack `s-dev` of `dev` is locked by bob since now"):
        promote(fleet)


def test_a_rollback_undoes_it_and_it_can_be_promoted_again(fleet: Stack) -> None:
    write(fleet, "dev", "blocks.team", "one\ndev\nthree")
    promote(fleet, memory="merge")
    write(fleet, "dev", "blocks.team", "one\ndev\nthree\nfour")
    promote(fleet, memory="merge")
    fleet.environment = "prod"
    flow.rollback(fleet.source, fleet.connection, consent=True)
    assert text(fleet, "prod") == "one\ndev\nthree"
    promote(fleet, memory="merge")
    assert text(fleet, "prod") == "one\ndev\nthree\nfour"


def test_destroy_and_ordinary_plans_bring_nothing(fleet: Stack) -> None:
    write(fleet, "dev", "blocks.team", "learned in dev")
    fleet.environment = "prod"
    assert not flow.plan(fleet.source, fleet.connection, PlanOptions(reseed=("blocks.team",)))
