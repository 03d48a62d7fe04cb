"""What is no longer declared: deleted, forgotten, or kept and listed."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lettaform.model import Dependents, Live, Moved, Observed, Removed
from lettaform.plan.remove import remove
from tests.plan.samples import HERE, at, difference, living, lookup, manifest, observed, plan, wanted

LIVE_ORG = living("blocks.org", "block-1", {"value": "x"}, value="x")
ANN, BOB = living("agents.ann", "agent-1", model="m/m"), living("agents.bob", "agent-2", model="m/m")
OWN = living("agents.ann.memory.human", "block-2")


def used_by(*ids: str, id: str = "block-1") -> dict[str, frozenset[str]]:
    return {id: frozenset(ids)}


@pytest.mark.parametrize(
    ("options", "removed", "action"),
    [
        pytest.param({}, None, "unmanaged", id="listed"),
        pytest.param({"prune": True}, None, "delete", id="prune"),
        pytest.param({"destroy": True}, None, "delete", id="destroy"),
        pytest.param({}, True, "delete", id="removed"),
        pytest.param({}, False, "forget", id="removed: {destroy: false}"),
        pytest.param({"prune": True}, False, "forget", id="prune and removed: {destroy: false}"),
        pytest.param({"destroy": True}, False, "delete", id="destroy and removed: {destroy: false}"),
        pytest.param({"prune": True, "exclude": ("blocks.org",)}, None, None, id="excluded"),
    ],
)
def test_what_becomes_of_an_undeclared_object(
    options: dict[str, object], removed: bool | None, action: str | None
) -> None:
    entries = () if removed is None else (Removed(at("blocks.org"), removed, HERE),)
    found = remove(lookup(manifest(removed=entries), observed(LIVE_ORG), **options))
    assert [getattr(getattr(each, "change", None), "action", "unmanaged") for each in found] == [action] * bool(action)


BROUGHT = "blocks.block-3f2c0f6e-8a43-4b3e-9c5c-0d6d4f1a2b3c"


@pytest.mark.parametrize(
    ("options", "removed", "action"),
    [
        pytest.param({}, None, "unmanaged", id="listed"),
        pytest.param({"prune": True, "allow_destroy": ("*",)}, None, "unmanaged", id="prune"),
        pytest.param({"destroy": True, "allow_destroy": ("*",)}, None, "forget", id="destroy"),
        pytest.param({}, True, "delete", id="removed"),
        pytest.param({}, False, "forget", id="removed: {destroy: false}"),
    ],
)
def test_what_a_restore_brings_back_for_agents_is_not_deleted_unless_it_is_named(
    options: dict[str, object], removed: bool | None, action: str
) -> None:
    entries = () if removed is None else (Removed(at(BROUGHT), removed, HERE),)
    found = remove(lookup(manifest(removed=entries), observed(living(BROUGHT, "block-1")), **options))
    assert [getattr(getattr(each, "change", None), "action", "unmanaged") for each in found] == [action]


def test_what_is_declared_under_such_an_address_is_as_any_other() -> None:
    seen = observed(living(BROUGHT, "block-1", {"value": "x"}, value="x"))
    found = difference(manifest(wanted(BROUGHT, value="x")), seen, destroy=True)
    assert [each.change.action for each in found.resources] == ["delete"]


@pytest.mark.parametrize(
    ("users", "reason"),
    [
        (("agent-1",), "kept: agents.ann uses it; detach it there first"),
        (("agent-1", "agent-2"), "kept: agents.ann and agents.bob use it; detach it there first"),
        (("agent-8",), "kept: 1 agent outside this stack uses it"),
        (("agent-8", "agent-9"), "kept: 2 agents outside this stack use it"),
        (("agent-1", "agent-9"), "kept: agents.ann and 1 agent outside this stack use it"),
    ],
)
def test_who_uses_an_object_keeps_it(users: tuple[str, ...], reason: str) -> None:
    wants = manifest(wanted("agents.ann"), wanted("agents.bob"))
    found = difference(wants, observed(ANN, BOB, LIVE_ORG, users=used_by(*users)), prune=True)
    assert [each.reason for each in found.unmanaged] == [reason]
    assert not any(each.change.action == "delete" for each in found.resources)


def test_what_prune_would_do_is_not_promised_of_what_agents_can_use() -> None:
    reasons = [each.reason for each in difference(manifest(), observed(ANN, OWN, LIVE_ORG)).unmanaged]
    assert reasons == [
        "marked, no longer declared; --prune deletes it",
        "marked, no longer declared; --prune deletes it unless another agent uses it",
        "marked, no longer declared; --prune deletes it unless an agent uses it",
    ]


def deleted(has: Observed, *declared: str, **options: object) -> list[str]:
    wants = manifest(*(wanted(text, **({"blocks": []} if text == "agents.ann" else {})) for text in declared))
    found = difference(wants, has, **{"prune": True, **options})
    return [str(each.address) for each in found.resources if each.change.action == "delete"]


def test_who_is_deleted_keeps_nothing() -> None:
    assert deleted(observed(ANN, LIVE_ORG, users=used_by("agent-1"))) == ["agents.ann", "blocks.org"]


def test_who_is_left_out_of_the_plan_keeps_what_it_uses() -> None:
    assert deleted(observed(ANN, LIVE_ORG, users=used_by("agent-1")), target=("blocks.org",)) == []


def test_who_detaches_an_object_does_not_keep_it() -> None:
    ann = living("agents.ann", "agent-1", blocks=["block-1"], members={"blocks": ("block-1",)}, model="m/m")
    other = living("blocks.other", "block-3")
    users = used_by("agent-1") | used_by("agent-1", id="block-3")
    # what else it uses is kept
    assert deleted(observed(ann, LIVE_ORG, other, users=users), "agents.ann") == ["blocks.org"]


def test_who_loses_the_line_of_an_object_does_not_keep_it() -> None:
    ann = living("agents.ann", "agent-1", blocks=["block-1"], members={"blocks": ("block-1",)}, model="m/m")
    wants, has = manifest(wanted("agents.ann")), observed(ann, LIVE_ORG, users=used_by("agent-1"))
    operations = [step.op for step in plan(wants, has, prune=True).steps]
    assert operations.index("detach") < operations.index("delete")


def test_what_the_server_deletes_along_with_an_agent_keeps_nothing() -> None:
    tied = Dependents(cascades=(Live("agent", "agent-7", "sleeper", {}),))
    has = observed(ANN, LIVE_ORG, users=used_by("agent-7"), dependents={"agent-1": tied})
    found = difference(manifest(), has, prune=True)
    assert [str(each.address) for each in found.resources] == ["agents.ann", "blocks.org"]
    assert found.resources[0].change.notes == ("also deletes sleeper (agent-7), not declared in this manifest",)


def test_an_own_block_that_others_use_outlives_its_agent_without_a_mark() -> None:
    found = difference(manifest(), observed(ANN, OWN, users=used_by("agent-9", id="block-2")), prune=True)
    agent, block = found.resources
    assert (agent.change.action, block.change.action) == ("delete", "forget")
    assert block.change.reason == "its agent is deleted; kept, because 1 agent outside this stack uses it"


def test_consent_deletes_what_others_use() -> None:
    has = observed(LIVE_ORG, users=used_by("agent-9"))
    assert deleted(has, allow_destroy=("blocks.org",)) == ["blocks.org"]


def test_what_another_agent_has_now_is_kept() -> None:
    has = observed(ANN, held_elsewhere={at("agents.ann.memory.human"): (OWN,)})
    (listed,) = difference(manifest(wanted("agents.ann")), has, prune=True).unmanaged
    assert (listed.id, listed.reason) == ("block-2", "its agent detached it, and another agent has it: kept")
    found = difference(manifest(), has, prune=True).resources
    assert [(each.change.action, each.change.id) for each in found] == [("delete", "agent-1"), ("forget", "block-2")]


def test_a_duplicate_is_listed_and_never_deleted() -> None:
    copy = replace(LIVE_ORG, id="block-9")
    found = difference(manifest(), observed(LIVE_ORG, duplicates=(copy,)), destroy=True)
    assert [each.id for each in found.unmanaged] == ["block-9"]
    assert [each.change.id for each in found.resources] == ["block-1"]


def test_what_is_gone_from_the_server_is_forgotten() -> None:
    has = observed(LIVE_ORG)
    (gone,) = difference(manifest(), replace(has, objects={}, detached={})).resources
    assert (gone.change.action, gone.change.id, gone.live) == ("forget", "block-1", None)


def test_a_move_that_is_left_out_does_not_remove_its_old_address() -> None:
    wants = manifest(wanted("blocks.team"), moved=(Moved(at("blocks.org"), at("blocks.team"), HERE),))
    found = difference(wants, observed(LIVE_ORG), prune=True, exclude=("blocks.team",))
    assert not found.resources


def test_what_other_agents_use_is_kept() -> None:
    made = plan(manifest(), observed(LIVE_ORG, users={"block-1": frozenset({"agent-x"})}), prune=True)
    assert not any(step.op == "delete" for step in made.steps)
    assert "1 agent outside" in made.unmanaged[0].reason


# --- with --target ---------------------------------------------------------------------------------------------------

BOSS, SECOND = living("agents.boss", "agent-1", model="m/m"), living("agents.boss-sleeptime", "agent-2", model="m/m")
GROUP = living("groups.boss-sleeptime", "group-1")
THEIR_BLOCK = living("agents.boss-sleeptime.memory.memory_persona", "block-5")
COMPANY = (
    "agents.boss",
    "agents.boss-sleeptime",
    "agents.boss-sleeptime.memory.memory_persona",
    "groups.boss-sleeptime",
)


@pytest.mark.parametrize("verb", ["prune", "destroy"])
@pytest.mark.parametrize(
    ("options", "addresses"),
    [
        pytest.param({"target": ("agents.boss",)}, COMPANY, id="with what was created along with it"),
        pytest.param({"exclude": ("agents.boss",)}, ("agents.bob",), id="without what was created along with it"),
        pytest.param({"target": ("agents.bob",)}, ("agents.bob",), id="one object"),
    ],
)
def test_only_what_is_selected_is_deleted(verb: str, options: dict[str, object], addresses: tuple[str, ...]) -> None:
    has = observed(BOSS, SECOND, GROUP, THEIR_BLOCK, replace(BOB, id="agent-3"))
    found = difference(manifest(), has, **{verb: True, **options})
    assert [str(each.address) for each in found.resources if each.change.action == "delete"] == list(addresses)


def test_what_is_gone_and_not_selected_is_not_forgotten() -> None:
    has = replace(observed(LIVE_ORG, ANN), objects={at("agents.ann"): ANN})
    found = difference(manifest(), has, destroy=True, target=("agents.ann",))
    assert [str(each.address) for each in found.resources] == ["agents.ann"]


# --- several orphaned blocks at one address --------------------------------------------------------------------------

LEFT, ALSO_LEFT = (living("agents.ann.memory.human", f"block-{id}") for id in (7, 8))


@pytest.mark.parametrize(
    ("has", "declared", "surplus"),
    [
        pytest.param(observed(ANN, OWN, attached={"agent-1": (OWN,)}), True, ["block-7", "block-8"], id="beside one"),
        pytest.param(observed(), True, ["block-8"], id="the first goes to the new agent"),
        pytest.param(observed(), False, ["block-8"], id="not declared"),
    ],
)
def test_every_orphaned_block_is_listed_and_pruned_and_destroyed(
    has: Observed, declared: bool, surplus: list[str]
) -> None:
    has = replace(has, detached={LEFT.address: (LEFT, ALSO_LEFT)}) if LEFT.address else has
    wants = (
        manifest(wanted("agents.ann", model="m/m"), wanted("agents.ann.memory.human", value=""))
        if declared
        else manifest()
    )
    listed = [each.id for each in difference(wants, has).unmanaged if "beside" in each.reason]
    assert listed == surplus
    for options in ({"prune": True}, {"destroy": True, "allow_destroy": ("*",)}):
        made = plan(wants, has, **options)
        gone = [step.id for step in made.steps if step.op == "delete"]
        assert set(surplus) <= set(gone)
        assert len({step.key for step in made.steps}) == len(made.steps)


def test_an_agent_still_knows_its_own_block_after_another_one_of_the_address_is_deleted() -> None:
    ann = living("agents.ann", "agent-1", parts={"human": {}}, model="old")
    has = replace(observed(ann, OWN, attached={"agent-1": (OWN,)}), detached={at("agents.ann.memory.human"): (LEFT,)})
    wants = manifest(wanted("agents.ann", model="m/m"), wanted("agents.ann.memory.human", value=""))
    made = plan(wants, has, prune=True)
    assert [step.id for step in made.steps if step.op == "delete"] == ["block-7"]
    assert [step.mark.parts.keys() for step in made.steps if step.op == "update" and step.id == "agent-1"] == [
        {"human"}
    ]


def test_one_orphaned_block_that_is_attached_again_is_not_listed() -> None:
    wants = manifest(wanted("agents.ann", model="m/m"), wanted("agents.ann.memory.human", value=""))
    has = replace(observed(), detached={at("agents.ann.memory.human"): (LEFT,)})
    assert not difference(wants, has).unmanaged
    assert not any(step.op == "delete" for step in plan(wants, has, prune=True).steps)
