"""The reads of a plan, answered from what was read before."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lettaform.errors import NotFound
from lettaform.manifest import load
from lettaform.model import Capabilities, External, Live
from lettaform.ownership.unowned import Server
from lettaform.session.recorded import Recorded, faults_on_bare_server
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


def test_members_that_answers_leave_out() -> None:
    assert asyncio.run(READS.members("agent", "archive", ["n", "m"])) == {"a": "n"}
    assert asyncio.run(READS.members("agent", "archive", ["m"])) == {}


def test_a_server_that_was_not_read_has_what_the_manifest_uses(tmp_path: Path) -> None:
    agent = "{model: a/b, tools: [web_search, theirs, find, fetch, nowhere]}"
    (tmp_path / "lettaform.yaml").write_text(
        "stack: s\n"
        "mcp_servers:\n  mine: {type: sse, url: 'https://x.example.com'}\n  other: {external: true, name: o}\n"
        "tools:\n  theirs: {external: true, name: theirs}\n  find: {mcp: mine}\n  fetch: {mcp: other}\n"
        "  nowhere: {external: true, id: tool-1}\n"
        f"agents: {{a: {agent}}}\nimports: [{{to: agents.a, name: a}}]\n"
    )
    found = asyncio.run(faults_on_bare_server(load(tmp_path, environ={})))
    assert next(found).message == "tools.nowhere: the server has no tool `tool-1`"
    assert all("tools.nowhere" in each.message for each in found)
