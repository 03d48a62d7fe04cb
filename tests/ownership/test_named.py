"""Names in `imports:` to objects: tables of who has what, and which object is meant."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import Place, Problem
from lettaform.kinds import kind_of
from lettaform.model import Desired, Import, Live, Manifest, Observed, State
from lettaform.ownership.named import meant, order
from lettaform.ownership.unowned import Server
from lettaform.values import Ref

at = Address.parse
HERE = Place("imports.yaml", 1, 1)


def live(kind: str, id: str, name: str, **more: Any) -> Live:
    return Live(kind, id, name, more.pop("values", {}), **more)


MANIFEST = Manifest(
    "s",
    {
        at(address): Desired(at(address), kind_of(at(address)) or "", values, HERE)
        for address, values in {
            "agents.lead": {"blocks": [Ref(at("blocks.team"))], "archive": Ref(at("archives.facts"))},
            "blocks.team": {},
            "archives.facts": {},
            "tools.shop": {},
            "conversations.talk": {"agent": Ref(at("agents.lead"))},
        }.items()
    },
)
LEAD, OTHER = live("agent", "lead-1", "lead"), live("agent", "other-1", "other")
TEAM = [live("block", f"team-{n}", "team") for n in range(4)]
FACTS = [live("archive", f"facts-{n}", "facts") for n in range(3)]


def found(address: str, name: str, *lives: Live, attached: Any = None, ours: Any = (LEAD,), state: Any = None) -> Any:
    server = Server({each.id: each for each in (LEAD, OTHER, *lives)}, attached or {})
    objects = {at("agents.lead"): each for each in ours}
    observed = Observed("", "", State(ids=state or {}), objects=objects)
    result = meant(Import(at(address), None, HERE, name), MANIFEST, observed, server)
    return result.message if isinstance(result, Problem) else result and result.id


@pytest.mark.parametrize(
    ("attached", "expected"),
    [
        ({}, "blocks.team: the server has 2 blocks named `team`: team-0, team-1"),
        ({"lead-1": (TEAM[0],)}, "team-0"),
        ({"other-1": (TEAM[0],)}, "team-1"),
        ({"lead-1": (TEAM[0],), "other-1": (TEAM[0], TEAM[1])}, "team-0"),
        ({"other-1": (TEAM[0], TEAM[1])}, None),
        ({"lead-1": (TEAM[0], TEAM[1])}, "blocks.team: the server has 2 blocks named `team`: team-0, team-1"),
    ],
)
def test_a_block_is_that_of_the_agents_that_declare_it(attached: Any, expected: Any) -> None:
    assert found("blocks.team", "team", *TEAM[:2], attached=attached) == expected


def test_an_archive_is_that_of_the_agents_that_declare_it() -> None:
    mine, theirs = (live("agent", each.id, each.name, values={"archive": id}) for each, id in
                    ((LEAD, "facts-1"), (OTHER, "facts-0")))  # fmt: skip
    assert found("archives.facts", "facts", *FACTS, mine, theirs) == "facts-1"
    assert found("archives.facts", "facts", *FACTS[:2], theirs) == "facts-1"


@pytest.mark.parametrize(
    ("lives", "expected"),
    [
        ([], None),
        ([live("tool", "t", "shop")], "t"),
        ([live("tool", "t", "shop", stack="other")], None),
        ([live("tool", "t", "shop", stack="s")], None),
        ([live("tool", "t", "shop", values={"mcp": "docs"}), live("mcp_server", "docs", "docs")], None),
        ([live("tool", "t", "shopping")], None),
        ([live("block", "t", "shop")], None),
    ],
)
def test_what_somebody_owns_or_something_offers_is_not_meant(lives: list[Live], expected: Any) -> None:
    assert found("tools.shop", "shop", *lives) == expected


def test_what_the_stack_owns_under_another_address_is_not_meant() -> None:
    tool = live("tool", "t", "shop")
    assert found("tools.shop", "shop", tool, state={at("tools.old"): "t"}) is None


def test_a_conversation_is_one_of_its_agent() -> None:
    mine, theirs = (live("conversation", f"talk-{id}", "Daily", values={"agent": id}) for id in ("lead-1", "other-1"))
    assert found("conversations.talk", "Daily", mine, theirs) == "talk-lead-1"
    assert found("conversations.talk", "Daily", mine, ours=()) is None


def test_agents_come_before_what_they_have() -> None:
    entries = [Import(at(each), None, HERE, "x") for each in ("blocks.team", "agents.lead")]
    assert [order(each, MANIFEST) for each in entries] == [1, 0]
