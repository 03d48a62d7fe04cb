"""A live agent and the steps of a plan to the agent as the plan leaves it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.model import Attach, Create, Delete, Detach, Live, Observed, Step, Update
from lettaform.plan.planned import Planned, planned
from lettaform.values import UNREAD, Patch, Ref, Template

from .samples import at, living, observed

ANN = at("agents.ann")
NOTES = living("agents.ann.memory.notes", "block-1", value="none", limit=100)
TEAM = living("blocks.team", "block-2", value="We.", label="team")
LOOK = living("tools.look", "tool-1")
AGENT = living(
    "agents.ann", "agent-1", model="a/b", system="Be kind.", tools=["tool-1"], blocks=["block-1"], folders=UNREAD
)
HAS = observed(AGENT, NOTES, TEAM, LOOK)


def update(address: Address, kind: str, id: str, **fields: Any) -> Update:
    return Update(str(address), address, kind, id=id, fields=fields)


def attach(member: Any, field: str = "blocks") -> Attach:
    return Attach("+", ANN, "agent", id="agent-1", field=field, member=member)


def detach(member: Any, field: str = "blocks") -> Detach:
    return Detach("-", ANN, "agent", id="agent-1", field=field, member=member)


def after(*steps: Step, live: Live | None = AGENT, blocks: tuple[Live, ...] = (NOTES,), has: Observed = HAS) -> Planned:
    found = planned(ANN, live, blocks, steps, has)
    assert found is not None
    return found


def test_without_steps_the_agent_is_as_it_is() -> None:
    found = after()
    assert (found.values["system"], found.values["tools"], found.notes) == ("Be kind.", ["tool-1"], ())
    assert "folders" not in found.values
    assert (found.values["blocks"], found.values["include_base_tools"]) == (None, False)
    assert {label: each["value"] for label, each in found.blocks.items()} == {"notes": "none"}


TOOL = Create("tools.new", at("tools.new"), "tool", fields={"name": "new"})
SHARED = Create("blocks.new", at("blocks.new"), "block", fields={"label": "fresh", "value": "New."})
OWN = Create("own", at("agents.ann.memory.diary"), "block", fields={"value": "Dear."})


@pytest.mark.parametrize(
    ("steps", "values"),
    [
        ([update(ANN, "agent", "agent-1", system="Be brief.")], {"system": "Be brief."}),
        ([update(ANN, "agent", "agent-1", tags=Patch(put=("x",)))], {"tags": ["x"]}),
        ([update(ANN, "agent", "agent-1", metadata=Patch(entries=(("a", 1),)))], {"metadata": {"a": 1}}),
        ([attach("tool-2", "tools")], {"tools": ["tool-1", "tool-2"]}),
        ([detach("tool-1", "tools")], {"tools": []}),
        ([update(at("agents.bob"), "agent", "agent-2", system="x")], {"system": "Be kind."}),
        ([update(ANN, "agent", "agent-1", system=Template((Ref(at("blocks.team")), "!")))], {"system": "block-2!"}),
    ],
)
def test_values(steps: list[Step], values: dict[str, Any]) -> None:
    found = after(*steps)
    assert {name: found.values[name] for name in values} == values


@pytest.mark.parametrize(
    ("steps", "blocks"),
    [
        ([update(NOTES.address or ANN, "block", "block-1", value="x")], {"notes": "x"}),
        ([attach("block-2")], {"notes": "none", "team": "We."}),
        (
            [update(at("blocks.team"), "block", "block-2", value="You."), attach("block-2")],
            {"notes": "none", "team": "You."},
        ),
        (
            [attach("block-2"), update(at("blocks.team"), "block", "block-2", value="You.")],
            {"notes": "none", "team": "You."},
        ),
        ([SHARED, attach(Ref(at("blocks.new")))], {"notes": "none", "fresh": "New."}),
        ([OWN, attach(Ref(OWN.address))], {"notes": "none", "diary": "Dear."}),
        ([detach("block-1")], {}),
        ([Delete("-", at("agents.ann.memory.notes"), "block", id="block-1")], {}),
    ],
)
def test_blocks(steps: list[Step], blocks: dict[str, str]) -> None:
    assert {label: each["value"] for label, each in after(*steps).blocks.items()} == blocks


NEW = Create(
    "agents.ann",
    ANN,
    "agent",
    fields={
        "name": "ann",
        "model": "a/b",
        "blocks": ["block-2", Ref(at("blocks.new"))],
        "tools": [Ref(at("tools.new"))],
    },
    parts={"notes": {"value": "none"}},
)


@pytest.mark.parametrize("live", [None, AGENT])
def test_an_agent_that_the_plan_creates_or_replaces(live: Live | None) -> None:
    found = after(TOOL, SHARED, NEW, live=live)
    assert {label: each["value"] for label, each in found.blocks.items()} == {
        "notes": "none",
        "team": "We.",
        "fresh": "New.",
    }
    assert "blocks" not in found.values
    assert "include_base_tools" not in found.values
    assert (found.values["tools"], found.notes) == ([], ("without tools.new in `tools`: it does not exist yet",))


def test_a_tool_that_the_plan_changes_is_called_as_it_is() -> None:
    (note,) = after(update(at("tools.look"), "tool", "tool-1", source="x")).notes
    assert note == "with tools.look as it is: the copy of an agent calls the tool of the server"
    assert after(update(at("tools.other"), "tool", "tool-9", source="x")).notes == ()


def test_a_reference_to_what_the_server_created_along_with_another_object() -> None:
    has = replace(HAS, discovered={at("tools.found"): "tool-7"})
    assert after(attach(Ref(at("tools.found")), "tools"), has=has).values["tools"] == ["tool-1", "tool-7"]


@pytest.mark.parametrize(
    ("live", "steps"), [(None, []), (AGENT, [Delete("-", ANN, "agent", id="agent-1")])], ids=["missing", "deleted"]
)
def test_an_agent_that_does_not_exist(live: Live | None, steps: list[Step]) -> None:
    assert planned(ANN, live, (), steps, HAS) is None
