"""A second agent that tends the memory of the first: made, changed, moved, forgotten and gone together with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import Guarded, LettaformError
from lettaform.model import PlanOptions
from tests.live.fleet import Fleet, Wire, changes

EVERYTHING = PlanOptions(destroy=True, allow_destroy=("*",))
SAID = "{frequency: 3, description: Tidies up., tags: [night], system: Tidy up.}"


@dataclass
class Pair:
    """A stack with one agent, and what the server made along with it."""

    fleet: Fleet

    def write(self, sleeptime: str | None = SAID, *, key: str = "ann", more: str = "", top: str = "") -> None:
        said = f", sleeptime: {sleeptime}" if sleeptime else ""
        memory = "memory: {notes: Nothing yet.}"
        self.fleet.write(f"agents:\n  {key}: {{include_base_tools: false, {memory}{said}{more}}}\n{top}")

    def build(self) -> None:
        """Apply what another test shows to be settled."""
        _, report = flow.apply(self.fleet.source, self.fleet.connection)
        assert report is not None
        assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]

    @property
    def first(self) -> dict[str, Any]:
        """The agent that the manifest names."""
        (found,) = [agent for agent in self.fleet.agents() if not agent["name"].endswith("-sleeptime")]
        return dict(found)

    @property
    def group(self) -> dict[str, Any]:
        found = self.fleet.raw.get(f"/v1/agents/{self.first['id']}").json()["managed_group"]
        return dict(self.fleet.raw.get(f"/v1/groups/{found['id']}").json())

    @property
    def second(self) -> dict[str, Any]:
        (id,) = self.group["agent_ids"]
        return dict(self.fleet.raw.get(f"/v1/agents/{id}").json())

    def persona(self) -> dict[str, Any]:
        """What the second one says of itself."""
        (found,) = [block for block in self.second["blocks"] if block["label"] == "memory_persona"]
        return dict(self.fleet.raw.get(f"/v1/blocks/{found['id']}").json())

    def is_there(self, path: str) -> bool:
        return self.fleet.raw.get(path).status_code == 200

    def everything(self) -> list[str]:
        """The way to each thing of both."""
        blocks = {block["id"] for agent in (self.first, self.second) for block in agent["blocks"]}
        agents = (self.first["id"], self.second["id"])
        return [
            f"/v1/groups/{self.group['id']}",
            *(f"/v1/agents/{id}" for id in agents),
            *(f"/v1/blocks/{id}" for id in sorted(blocks)),
        ]


@pytest.fixture
def pair(fleet: Fleet) -> Iterator[Pair]:
    made = Pair(fleet)
    made.write()
    yield made
    with suppress(LettaformError):
        flow.apply(fleet.source, fleet.connection, EVERYTHING)


def test_a_map_says_what_the_second_one_is(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.fleet.apply()
    second = pair.second
    assert (second["agent_type"], second["description"], second["system"]) == (
        "sleeptime_agent",
        "Tidies up.",
        "Tidy up.",
    )
    assert "night" in second["tags"]
    assert pair.group["sleeptime_agent_frequency"] == 3
    assert {block["label"] for block in second["blocks"]} == {"notes", "memory_persona"}
    assert sorted(str(live.address) for live in pair.fleet.state()) == [
        "agents.ann",
        "agents.ann-sleeptime",
        "agents.ann-sleeptime.memory.memory_persona",
        "agents.ann.memory.notes",
        "groups.ann-sleeptime",
    ]
    wire = Wire(monkeypatch)
    assert flow.apply(pair.fleet.source, pair.fleet.connection)[1] is None
    assert wire.writes() == []


def test_true_is_enough(pair: Pair) -> None:
    pair.write("true")
    pair.fleet.apply()
    assert pair.second["agent_type"] == "sleeptime_agent"
    flow.apply(pair.fleet.source, pair.fleet.connection, EVERYTHING)
    assert pair.fleet.state() == []


def test_a_living_agent_gets_one(pair: Pair) -> None:
    pair.write(None)
    pair.build()
    before = pair.first["id"]
    pair.write()
    pair.fleet.apply()
    assert (pair.first["id"], pair.group["sleeptime_agent_frequency"]) == (before, 3)
    assert pair.second["description"] == "Tidies up."


def test_its_frequency_changes_in_place(pair: Pair) -> None:
    pair.build()
    before = pair.everything()
    pair.write(SAID.replace("frequency: 3", "frequency: 7"))
    assert changes(pair.fleet.plan()) == [("update", "groups.ann-sleeptime", ["frequency"])]
    pair.fleet.apply()
    assert pair.group["sleeptime_agent_frequency"] == 7
    assert pair.everything() == before


def test_its_fields_change_and_drift_is_repaired(pair: Pair) -> None:
    pair.build()
    id, group = pair.second["id"], pair.group
    pair.fleet.patch(f"/v1/agents/{id}", description="Somebody else's.", system="Somebody else's.")
    config = {"manager_type": "sleeptime", "sleeptime_agent_frequency": 9}
    pair.fleet.patch(f"/v1/groups/{group['id']}", manager_config=config)
    told = {(action, address, *sorted(paths)) for action, address, paths in changes(pair.fleet.plan())}
    assert told == {
        ("update", "agents.ann-sleeptime", "description", "system"),
        ("update", "groups.ann-sleeptime", "frequency"),
    }
    pair.write(SAID.replace("[night]", "[day]").replace("Tidies up.", "Tidies up well."))
    pair.fleet.apply()
    second = pair.second
    assert (second["id"], second["description"], second["system"]) == (id, "Tidies up well.", "Tidy up.")
    assert ("day" in second["tags"], "night" in second["tags"]) == (True, False)
    assert pair.group["sleeptime_agent_frequency"] == 3


def test_what_it_says_of_itself_is_its_own(pair: Pair) -> None:
    pair.build()
    pair.fleet.patch(f"/v1/blocks/{pair.persona()['id']}", value="I have learnt much.")
    pair.fleet.settled()
    assert pair.persona()["value"] == "I have learnt much."


@pytest.mark.parametrize("said", ["false", None])
def test_turned_off_it_stays_until_it_is_pruned(pair: Pair, said: str | None) -> None:
    pair.build()
    doomed = [path for path in pair.everything() if pair.first["id"] not in path]
    notes = next(block["id"] for block in pair.first["blocks"] if block["label"] == "notes")
    pair.write(said)
    flow.apply(pair.fleet.source, pair.fleet.connection)
    assert all(map(pair.is_there, doomed))
    flow.apply(pair.fleet.source, pair.fleet.connection, PlanOptions(prune=True))
    assert [path for path in doomed if pair.is_there(path)] == [f"/v1/blocks/{notes}"]
    assert [block["label"] for block in pair.first["blocks"]] == ["notes"]
    pair.fleet.settled()


def test_one_that_somebody_deleted_comes_back(pair: Pair) -> None:
    pair.build()
    before = pair.second["id"]
    pair.fleet.raw.delete(f"/v1/agents/{before}").raise_for_status()  # the group goes along, and the flag is cleared
    pair.fleet.apply()
    assert (pair.second["id"] != before, pair.second["description"]) == (True, "Tidies up.")
    assert pair.group["sleeptime_agent_frequency"] == 3


def test_a_group_that_somebody_deleted_comes_back(pair: Pair) -> None:
    pair.build()
    pair.fleet.raw.delete(f"/v1/groups/{pair.group['id']}").raise_for_status()  # the flag stays, and says nothing
    pair.fleet.apply()
    assert (pair.group["sleeptime_agent_frequency"], pair.second["description"]) == (3, "Tidies up.")


def test_it_dies_with_the_first_and_nothing_is_left(pair: Pair) -> None:
    pair.build()
    doomed = pair.everything()
    assert len(doomed) == 5
    pair.fleet.write("blocks: {other: {value: x}}")
    flow.apply(pair.fleet.source, pair.fleet.connection, PlanOptions(prune=True))
    assert [path for path in doomed if pair.is_there(path)] == []
    pair.fleet.settled()


def test_what_somebody_else_asked_for_goes_along_and_the_plan_says_so(pair: Pair) -> None:
    pair.write(None)
    pair.build()
    pair.fleet.patch(f"/v1/agents/{pair.first['id']}", enable_sleeptime=True)
    pair.fleet.settled()
    (id,) = pair.group["agent_ids"]
    plan = flow.plan(pair.fleet.source, pair.fleet.connection, PlanOptions(destroy=True))
    (ours,) = [change for change in plan.changes if change.kind == "agent"]
    assert id in "".join(ours.notes)
    # it was the only other one that had the block
    assert [(str(c.address), c.action) for c in plan.changes if c.kind == "block"] == [
        ("agents.ann.memory.notes", "delete")
    ]
    flow.apply(pair.fleet.source, pair.fleet.connection, PlanOptions(destroy=True))
    assert not pair.is_there(f"/v1/agents/{id}")
    assert not pair.fleet.blocks()


def test_a_run_that_died_among_their_deaths_leaves_neither(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    # the second one without its group would be a copy that nobody could tell from somebody's
    pair.build()
    doomed = pair.everything()
    pair.fleet.dies(monkeypatch, lambda method, path: method == "DELETE", EVERYTHING)
    assert not all(map(pair.is_there, doomed))
    flow.apply(pair.fleet.source, pair.fleet.connection, EVERYTHING)
    assert [path for path in doomed if pair.is_there(path)] == []
    assert pair.fleet.state() == []


@pytest.mark.parametrize("then", ["destroyed", "dropped", "turned off", "no more spoken of"])
def test_half_made_and_then_not_wanted_leaves_nothing(pair: Pair, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # 0.16.8 makes both, a group and a block by one request; a run that dies there could mark the first one alone
    pair.fleet.dies(monkeypatch, lambda *asked: asked == ("POST", "/v1/agents/"))
    half = pair.everything()
    assert not pair.second["tags"]
    assert len(half) == 5
    theirs = (f"/v1/agents/{pair.first['id']}", *(path for path in half if pair.first["blocks"][0]["id"] in path))
    if then == "dropped":
        pair.fleet.write("agents: {}\n")
    elif then != "destroyed":
        pair.write("false" if then == "turned off" else None)
        pair.build()
        assert {each.reason for each in pair.fleet.plan().unmanaged} == {
            "marked, no longer declared; --prune deletes it"
        }
    options = EVERYTHING if then == "destroyed" else PlanOptions(prune=True, allow_destroy=("*",))
    plan, _ = flow.apply(pair.fleet.source, pair.fleet.connection, options)
    assert {("delete", "agents.ann-sleeptime"), ("delete", "agents.ann-sleeptime.memory.memory_persona")} <= {
        (change.action, str(change.address)) for change in plan.changes
    }
    left = () if then in ("destroyed", "dropped") else theirs
    assert [path for path in half if pair.is_there(path)] == [path for path in half if path in left]
    assert not flow.plan(pair.fleet.source, pair.fleet.connection, options).steps


def test_it_moves_with_the_first(pair: Pair) -> None:
    pair.build()
    before = pair.everything()
    pair.write(key="bob", more=", name: ann", top="moved: [{from: agents.ann, to: agents.bob}]\n")
    assert {action for action, _, _ in changes(pair.fleet.plan())} == {"mark"}
    pair.fleet.apply()
    assert pair.everything() == before
    assert sorted(str(live.address) for live in pair.fleet.state()) == [
        "agents.bob",
        "agents.bob-sleeptime",
        "agents.bob-sleeptime.memory.memory_persona",
        "agents.bob.memory.notes",
        "groups.bob-sleeptime",
    ]


def test_both_are_forgotten(pair: Pair) -> None:
    pair.build()
    before, first, second = pair.everything(), pair.first["id"], pair.second["id"]
    flow.state_remove(pair.fleet.source, pair.fleet.connection, "agents.ann")
    assert pair.fleet.state() == []
    assert all(map(pair.is_there, before))
    for path in before:
        told = pair.fleet.raw.get(path).json()
        assert not any(tag.startswith("lettaform") for tag in told.get("tags") or ())
        assert "lettaform" not in str(told.get("description"))
    for path in (f"/v1/agents/{first}", *(path for path in before if "blocks" in path)):
        pair.fleet.raw.delete(path)
    assert not pair.is_there(f"/v1/agents/{second}")


def test_what_it_says_of_itself_outlives_it_when_the_first_is_replaced(pair: Pair) -> None:
    pair.build()
    before = pair.second["id"]
    pair.fleet.patch(f"/v1/blocks/{pair.persona()['id']}", value="I have learnt much.")
    pair.write(more=", agent_type: memgpt_v2_agent")
    with pytest.raises(Guarded):
        pair.fleet.plan()
    pair.fleet.apply(allow_destroy=("agents.ann",))
    assert pair.second["id"] != before
    assert pair.persona()["value"] == "I have learnt much."
    assert pair.group["sleeptime_agent_frequency"] == 3


def test_a_block_that_is_attached_later_reaches_it(pair: Pair) -> None:
    pair.build()
    pair.write(more=", blocks: [rota]", top="blocks: {rota: {value: Ann.}}\n")
    pair.fleet.apply()
    assert {block["label"] for block in pair.second["blocks"]} == {"notes", "memory_persona", "rota"}
