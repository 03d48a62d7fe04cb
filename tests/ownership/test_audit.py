"""Findings about a server: tables of objects, of states, and of the stack that is audited."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.model import Live
from lettaform.ownership.audit import Audit, Finding, Found, findings
from lettaform.ownership.others import Others
from lettaform.ownership.unowned import Server

from .test_unowned import live, server

at = Address.parse
NOBODY = Others()


def found(every: Server, states: Others = NOBODY, stack: str | None = "s", **listed: bool) -> dict[str, list[str]]:
    """Sort of finding to the ids of its objects, several with a plus between them."""
    kinds = {each.kind for each in every.lives.values()} | {name for name, yes in listed.items() if yes}
    result: dict[str, list[str]] = {}
    for each in findings(every, states, kinds, stack):
        result.setdefault(each.sort, []).append("+".join(one.id for one in each.objects))
    return result


def block(id: str, value: str = "", label: str = "b", **more: Any) -> Live:
    return live("block", id, name=label, values={"value": value}, **more)


def tool(id: str, source: str, **more: Any) -> Live:
    return live("tool", id, values={"source": source, **more.pop("values", {})}, **more)


def test_nothing() -> None:
    assert found(server()) == {}
    assert Audit("s", "http://here", "1").exit_code(strict=True) == 0


def test_what_nobody_owns() -> None:
    every = server(
        live("agent", "mine", stack="s", address=at("agents.a")),
        live("agent", "theirs", stack="other"),
        live("agent", "free"),
        live("tool", "x", name="send_message"),
        live("identity", "listed"),
        others=Others(ids={"listed": "other"}),
    )
    assert found(every) == {"unowned": ["free"]}


@pytest.mark.parametrize(
    ("lives", "groups"),
    [
        ([block("x", "t"), block("y", "t")], ["x+y"]),
        ([block("x", "t"), block("y", "t", "other label")], []),
        ([block("x", "t"), block("y", "u")], []),
        ([block("x", " \n"), block("y", " \n")], []),
        ([tool("x", "def f"), tool("y", "def f"), tool("z", "def g")], ["x+y"]),
        ([tool("x", "def f"), tool("y", "def f", values={"mcp": "m"}), live("mcp_server", "m")], []),
        ([block("x", "t", stack="s"), block("y", "t", stack="other")], ["y+x"]),
        ([block("x", "t", stack="other"), block("y", "t", stack="other")], []),
        ([block("x", "t", stack="s", address=at("agents.a.memory.b")), block("y", "t")], []),
        ([tool("x", "def f", name="send_message"), tool("y", "def f", name="send_message")], []),
    ],
)
def test_equal_content(lives: list[Live], groups: list[str]) -> None:
    assert found(server(*lives)).get("equal", []) == groups


@pytest.mark.parametrize(("stack", "ids"), [("s", ["copy"]), (None, ["copy", "other-copy"]), ("third", [])])
def test_duplicates(stack: str | None, ids: list[str]) -> None:
    address, own = at("agents.a"), at("agents.a.memory.b")
    every = server(
        live("agent", "genuine", stack="s", address=address),
        live("agent", "copy", stack="s", address=address),
        live("agent", "other-copy", stack="other", address=address),
        live("agent", "other", stack="other", address=address),
        live("agent", "alone", stack="s", address=at("agents.b")),
        live("block", "part", stack="s", address=own),
        live("block", "old part", stack="s", address=own),
    )
    addresses = {
        ("s", address): "genuine",
        ("other", address): "other",
        ("s", at("agents.b")): "gone",
        ("s", own): "part",
    }
    assert found(every, Others(addresses=addresses), stack).get("duplicate", []) == ids


def test_what_no_agent_has() -> None:
    agent = live("agent", "a", stack="other", values={"archive": "used", "folders": ["open"]})
    archives = [live("archive", "used"), live("archive", "alone"), live("archive", "mine", stack="s")]
    folders = [live("folder", "open"), live("folder", "shut"), live("folder", "theirs", stack="other")]
    blocks = [block("held"), block("loose"), block("gone", stack="s"), block("foreign", stack="other")]
    talk = live("conversation", "talk", values={"agent": "a"}, discovered={"block": ("copy",)})
    every = server(agent, *archives, *folders, *blocks, talk, block("copy"), attached={"a": [blocks[0]]})
    result = found(every)
    assert result["unattached"] == ["loose", "gone"]
    assert result["unused"] == ["alone", "mine", "shut"]


@pytest.mark.parametrize(("stack", "missing"), [("s", ["agent-1"]), (None, ["agent-2", "agent-1"]), ("third", [])])
def test_entries_of_the_state_whose_objects_are_gone(stack: str | None, missing: list[str]) -> None:
    addresses = {
        ("s", at("agents.a")): "agent-1",
        ("s", at("agents.b")): "agent-here",
        ("s", at("schedules.c")): "not-listed",
        ("other", at("agents.d")): "agent-2",
    }
    every = server(live("agent", "agent-here", stack="s"))
    assert found(every, Others(addresses=addresses), stack).get("missing", []) == missing


def test_findings_are_sorted_and_name_their_objects() -> None:
    every = server(block("y", "t"), block("x", "t", stack="s", address=at("blocks.b")), live("agent", "a"))
    states = Others(addresses={("s", at("agents.z")): "agent-1"})
    assert findings(every, states, {"agent"}, "s") == (
        Finding("unowned", (Found("agent", "a", "a"),)),
        Finding("unowned", (Found("block", "y", "b"),)),
        Finding("equal", (Found("block", "y", "b"), Found("block", "x", "b", "s", at("blocks.b")))),
        Finding("unattached", (Found("block", "y", "b"),)),
        Finding("unattached", (Found("block", "x", "b", "s", at("blocks.b")),)),
        Finding("missing", (Found("agent", "agent-1", None, "s", at("agents.z")),)),
    )
    assert Audit("s", "u", "1", findings(every, states, {"agent"}, "s")).exit_code(strict=True) == 1
    assert every.numbers == {"agent": {"": 1}, "block": {"": 1, "s": 1}}
