"""What agents made themselves: which object is meant by each reference, what is created, and what is said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import Place
from lettaform.model import Capabilities, Change, Desired, External, Live, Manifest, Mark, Observed
from lettaform.ownership.unowned import temporary_address
from lettaform.plan.changes import ResourceChange
from lettaform.snapshot import Entry, Snapshot
from lettaform.snapshot.restore import restorable
from lettaform.snapshot.take import to_entries
from lettaform.snapshot.unowned import RELEASED, Present, Unowned, is_made_by_agent, letting_go, made_by_agents
from tests.snapshot.samples import ANN, HEADER, OBJECTS, TEAM, at

CAN = Capabilities(claims=frozenset({"agent", "block", "archive"}))
IDS = tuple(f"block-00000000-0000-4000-8000-00000000000{number}" for number in range(4))
ARCHIVE = "archive-00000000-0000-4000-8000-000000000000"
BOB = replace(ANN, id="agent-2", name="bob", address=at("agents.bob"))
DIARY = Live("block", IDS[0], "diary", {"label": "diary", "value": "Dear diary."})
LEARNT = Live("archive", ARCHIVE, "ann's Archive", {"name": "ann's Archive"})
BROUGHT = temporary_address(DIARY)


def having(agent: Live, *blocks: str, archive: str | None = None) -> Live:
    return replace(agent, values={**agent.values, "blocks": list(blocks), "archive": [archive] if archive else []})


def snapshot(*lives: Live, stack: str = "s") -> Snapshot:
    lives = lives or (having(ANN, DIARY.id, archive=ARCHIVE), having(BOB, DIARY.id))
    entries = to_entries(replace(OBJECTS, lives=lives, used=(DIARY, LEARNT)))
    files = (replace(each, contents="learnt.json") if each.live.id == ARCHIVE else each for each in entries)
    return Snapshot(replace(HEADER, stack=stack), None, tuple(files))


def load(name: str) -> Any:
    return {"learnt.json": {"passages": [{"key": "one"}, {"key": "two"}]}}[name]


def observed(attached: Mapping[str, tuple[Live, ...]] | None = None, *lives: Live) -> Observed:
    objects = {live.address: live for live in lives if live.address}
    return Observed("u", "0.16.8", objects=objects, attached=attached or {}, capabilities=CAN)


def unowned(
    seen: Observed | None = None, present: Present | None = None, *, of: Snapshot | None = None, stack: str = "s"
) -> Unowned:
    of = of or snapshot()
    return Unowned(of, restorable(of), seen or observed(), Manifest(stack, {}), present or Present())


def target(found: Unowned, agent: str = "agents.ann", id: str = DIARY.id) -> Any:
    meant = found.targets[at(agent), id]
    return meant.id if isinstance(meant, Live) else meant


# --- what agents make -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "made"),
    [
        (Entry(DIARY, used=True), True),
        (Entry(DIARY), False),
        (Entry(replace(DIARY, stack="other"), used=True), False),
        (Entry(replace(DIARY, stack=""), used=True), False),  # the manifest declared it as external
        (Entry(LEARNT, contents="learnt.json", used=True), True),
        (Entry(LEARNT, used=True), False),  # its passages are in no file
        (Entry(Live("tool", "tool-9", "weather", {}), used=True), False),
    ],
)
def test_what_agents_make_is_used_whole_and_nobodys(entry: Entry, made: bool) -> None:
    assert is_made_by_agent(entry) is made


def test_what_the_manifest_declares_and_what_cannot_carry_a_claim_is_left_out() -> None:
    address = at("blocks.rules")
    external = Desired(address, "block", {}, Place("", 0, 0), external=External(name="diary"))
    assert made_by_agents(snapshot(), Manifest("s", {}), CAN).keys() == {DIARY.id, ARCHIVE}
    assert made_by_agents(snapshot(), Manifest("s", {address: external}), CAN).keys() == {ARCHIVE}
    assert made_by_agents(snapshot(), Manifest("s", {}), Capabilities()) == {}


# --- what is meant ----------------------------------------------------------------------------------------------------


def test_what_is_gone_is_brought_back_once_for_all_who_had_it() -> None:
    found = unowned()
    assert {target(found), target(found, "agents.bob")} == {BROUGHT}
    assert found.brought.keys() == {BROUGHT, temporary_address(LEARNT)}


def test_what_has_the_id_is_meant_unless_another_stack_gets_a_copy() -> None:
    present = Present({DIARY.id: DIARY})
    assert target(unowned(present=present)) == DIARY.id
    assert target(unowned(present=present, stack="copy")) == BROUGHT


def test_what_an_agent_has_under_the_label_is_meant_also_for_others() -> None:
    other = replace(DIARY, id=IDS[1])
    found = unowned(observed({ANN.id: (other,)}, ANN))
    assert (target(found), target(found, "agents.bob")) == (IDS[1], IDS[1])


def test_an_own_block_of_that_label_is_meant_for_its_agent_alone() -> None:
    own = replace(DIARY, id=IDS[1], address=at("agents.ann.memory.diary"), stack="s")
    found = unowned(observed({ANN.id: (own,)}, ANN, own))
    assert (target(found), target(found, "agents.bob")) == (IDS[1], BROUGHT)


def test_what_the_snapshot_has_itself_under_that_label_is_not_meant() -> None:
    team = replace(TEAM, name="diary")
    ann = having(ANN, team.id, DIARY.id)
    assert target(unowned(observed({ANN.id: (team,)}, ann, team), of=snapshot(ann, team))) == BROUGHT


def test_an_interrupted_restore_is_continued_where_it_has_begun() -> None:
    begun = replace(DIARY, id=IDS[2], address=BROUGHT, stack="s", marked=True)
    assert target(unowned(observed({}, begun))) == BROUGHT
    found = unowned(observed({ANN.id: (begun,)}, ANN, begun))
    assert (target(found), target(found, "agents.bob")) == (BROUGHT, BROUGHT)
    assert found.unfinished(BROUGHT, DIARY.values) == {"label": "diary"}  # its agent may have gone on with the rest
    archive = replace(LEARNT, id="archive-2", address=temporary_address(LEARNT), stack="s")
    found = unowned(present=Present(begun={temporary_address(LEARNT): archive}))
    values = {**LEARNT.values, "description": "x", "passages": []}
    assert found.unfinished(temporary_address(LEARNT), values).keys() == {"name", "passages"}
    assert found.unfinished(BROUGHT, DIARY.values) == DIARY.values


def test_the_archive_that_an_agent_has_is_meant() -> None:
    other = replace(LEARNT, id="archive-2")
    assert target(unowned(observed({}, ANN), Present(archives={ANN.id: other})), id=ARCHIVE) == "archive-2"


# --- what is said -----------------------------------------------------------------------------------------------------


def test_what_exists_and_lacks_something_is_said_once() -> None:
    spoilt = replace(DIARY, id=IDS[1], values={"label": "diary", "value": "Spoilt."})
    archive = replace(LEARNT, id="archive-2")
    seen = observed({ANN.id: (spoilt,), BOB.id: (spoilt,)}, ANN, BOB)

    def said(keys: set[str]) -> list[str]:
        present = Present(archives={ANN.id: archive}, passages={"archive-2": keys})
        return [f"{each.message}; {each.hint}" for each in unowned(seen, present).changed(load)]

    stays = "has changed since the snapshot: the stack does not own it, and it stays as it is"
    block = (
        f"the block `diary` ({IDS[1]}) of agents.ann {stays}; "
        "detach it from agents.ann and agents.bob, and restore again: the block of the snapshot takes its place"
    )
    assert said({"one", "two", "three"}) == [block]
    archive_too = (
        f"the archive `ann's Archive` (archive-2) of agents.ann {stays}; "
        "detach it from agents.ann, and restore again: the archive of the snapshot takes its place"
    )
    assert said({"one"}) == [block, archive_too]


def test_nothing_is_suggested_for_what_is_still_there_and_nothing_said_of_what_the_stack_owns() -> None:
    spoilt = replace(DIARY, values={"label": "diary", "value": "Spoilt."})
    (problem,) = unowned(present=Present({DIARY.id: spoilt})).changed(load)
    assert problem.hint is None
    ours = replace(spoilt, stack="s", address=at("blocks.diary"))
    assert list(unowned(present=Present({DIARY.id: ours})).changed(load)) == []


# --- the end ----------------------------------------------------------------------------------------------------------


def test_the_stack_lets_go_of_what_is_created_and_of_what_was_begun() -> None:
    created = ResourceChange(Change(BROUGHT, "block", "create"))
    archive = replace(LEARNT, id="archive-2", address=temporary_address(LEARNT), stack="s")
    resources = [created]
    letting_go(resources, [BROUGHT, temporary_address(LEARNT)], observed({}, archive))
    assert [each.lets_go for each in resources] == [True, True]
    assert resources[0].change.notes == (RELEASED,)
    assert (resources[1].change.action, resources[1].change.id, resources[1].mark) == ("forget", "archive-2", Mark())
