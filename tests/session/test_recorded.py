"""The reads of a plan, answered from what was read before."""

from __future__ import annotations

import asyncio

import pytest

from lettaform.errors import NotFound
from lettaform.model import Capabilities, External, Live
from lettaform.ownership.unowned import Server
from lettaform.session.recorded import Recorded
from lettaform.values import Item

BLOCK, ARCHIVE = Live("block", "b", "x", {}), Live("archive", "n", "n", {"passages": [Item("1")]})
AGENT = Live("agent", "a", "a", {"archive": "n"})
TOOL, TALK = Live("tool", "t", "t", {"mcp": "docs"}), Live("schedule", "s", "s", {"agent": "a"})
READS = Recorded(
    Server({each.id: each for each in (BLOCK, ARCHIVE, AGENT, TOOL, TALK)}, {"a": (BLOCK,), "second": (BLOCK,)}),
    *("http://x", "0.16.8"),
    Capabilities(),
)


def test_lists_show_everything_and_no_state() -> None:
    found = asyncio.run(READS.listing("s", {"agent": (), "group": ()}))
    assert found.objects == {"agent": (AGENT,), "group": ()}
    assert asyncio.run(READS.states()) == {}
    assert asyncio.run(READS.fetch([("agent", "a"), ("block", "gone")])).objects == {"agent": (AGENT,), "block": ()}


def test_single_objects_come_with_their_blocks() -> None:
    assert asyncio.run(READS.several([("agent", "a")])) == [(AGENT, (BLOCK,))]
    with pytest.raises(NotFound):
        asyncio.run(READS.one("agent", "gone"))


def test_contents_and_what_others_offer() -> None:
    assert asyncio.run(READS.contents([(ARCHIVE, "passages", ()), (AGENT, "archive", ())])) == [[Item("1")], ["n"]]
    assert asyncio.run(READS.offered(Live("mcp_server", "docs", "docs", {}), "tool")) == [TOOL]
    assert asyncio.run(READS.nested("schedule", "a")) == [TALK]
    assert READS.users() == {"b": frozenset({"a", "second"})}


def test_candidates_are_all_of_a_kind() -> None:
    from lettaform.address import Address
    from lettaform.errors import Place
    from lettaform.model import Desired

    wanted = Desired(Address.parse("tools.t"), "tool", {}, Place("f", 1, 1), external=External(name="t"))
    assert asyncio.run(READS.candidates(wanted)) == [TOOL]
