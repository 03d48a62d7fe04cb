"""Objects that have other addresses than in the snapshot: each keeps its address, and none is made twice."""

from __future__ import annotations

from dataclasses import replace

from lettaform.model import Live, Observed, State
from lettaform.snapshot import Snapshot
from lettaform.snapshot.moved import AtPresent, at_present
from lettaform.snapshot.take import to_entries
from tests.snapshot.samples import ANN, HEADER, NOTES, OBJECTS, STATE, TEAM, at

BOB = replace(ANN, id="agent-9", name="bob", address=at("agents.bob"))
SLEEPER = replace(ANN, id="agent-7", name="ann-sleeptime", address=at("agents.ann-sleeptime"))
SNAPSHOT = Snapshot(HEADER, replace(STATE, protected=frozenset({at("agents.ann")})), tuple(to_entries(OBJECTS)))


def now(*lives: tuple[str, Live], snapshot: Snapshot = SNAPSHOT) -> AtPresent:
    """The snapshot beside a server that has these objects under these addresses."""
    objects = {at(address): replace(live, address=at(address)) for address, live in lives}
    return at_present(snapshot, Observed(State(), "http://here", "0.16.8", objects=objects), "s")


def addresses(found: AtPresent) -> dict[str, str]:
    return {entry.live.id: str(entry.live.address) for entry in found.snapshot.entries if entry.live.address}


def test_what_has_not_moved_stays() -> None:
    found = now(("agents.ann", ANN), ("agents.ann.memory.notes", NOTES), ("blocks.team", TEAM))
    assert found == AtPresent(SNAPSHOT)


def test_an_agent_keeps_the_address_of_today_with_its_memory() -> None:
    found = now(("agents.cy", ANN), ("agents.cy.memory.notes", NOTES), ("blocks.org", TEAM))
    assert addresses(found) == {
        "agent-1": "agents.cy",
        "block-2": "agents.cy.memory.notes",
        "block-1": "blocks.org",
        "archive-1": "archives.facts",
    }
    assert found.moved == {at("agents.cy"): at("agents.ann"), at("blocks.org"): at("blocks.team")}
    assert found.snapshot.state is not None
    assert found.snapshot.state.protected == {at("agents.cy")}
    assert not found.problems


def test_memory_that_is_gone_follows_its_agent() -> None:
    assert addresses(now(("agents.cy", ANN)))["block-2"] == "agents.cy.memory.notes"


def test_two_agents_can_have_changed_places() -> None:
    snapshot = Snapshot(HEADER, None, tuple(to_entries(replace(OBJECTS, lives=(ANN, BOB)))))
    found = now(("agents.bob", ANN), ("agents.ann", BOB), snapshot=snapshot)
    assert addresses(found) == {"agent-1": "agents.bob", "agent-9": "agents.ann"}
    assert not found.problems


def test_what_the_server_creates_along_follows() -> None:
    snapshot = Snapshot(HEADER, None, tuple(to_entries(replace(OBJECTS, lives=(ANN, SLEEPER)))))
    assert addresses(now(("agents.cy", ANN), snapshot=snapshot))["agent-7"] == "agents.cy-sleeptime"


def test_a_block_of_another_owner_is_a_problem() -> None:
    for address in ("agents.bob.memory.notes", "blocks.notes", "agents.ann.memory.other"):
        found = now(("agents.ann", ANN), (address, NOTES))
        (problem,) = found.problems.values()
        assert problem.message == f"agents.ann.memory.notes: block-2 is {address} now"


def test_an_address_that_another_object_has_taken_is_a_problem() -> None:
    snapshot = Snapshot(HEADER, None, tuple(to_entries(replace(OBJECTS, lives=(ANN, BOB)))))
    found = now(("agents.bob", ANN), snapshot=snapshot)
    assert [each.message for each in found.problems.values()] == [
        "agents.bob: its address belongs to another object of the snapshot now"
    ]


def test_objects_of_another_stack_have_not_moved() -> None:
    theirs = replace(ANN, stack="other")
    assert now(("agents.cy", theirs)) == AtPresent(SNAPSHOT)
