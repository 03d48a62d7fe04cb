"""Lists and states to what nobody owns: tables of objects, and what is selected of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.model import Listing, Live
from lettaform.ownership.others import Others
from lettaform.ownership.unowned import Filter, Server, is_temporary, temporary_address

at = Address.parse


def live(kind: str, id: str, **more: Any) -> Live:
    return Live(kind, id, more.pop("name", id), more.pop("values", {}), **more)


def server(*lives: Live, attached: dict[str, Sequence[Live]] | None = None, others: Others = Others()) -> Server:  # noqa: B008
    objects: dict[str, tuple[Live, ...]] = {}
    for each in lives:
        objects[each.kind] = (*objects.get(each.kind, ()), each)
    return Server.of(Listing(objects, {id: tuple(every) for id, every in (attached or {}).items()}), others)


def ids(lives: Sequence[Live]) -> list[str]:
    return [each.id for each in lives]


BOSS = live("agent", "boss", discovered={"agent": ("second",), "group": ("pair",), "block": ("own",)})
SECOND, PAIR = live("agent", "second"), live("group", "pair", values={"agents": ["second"], "manager": "boss"})
OWN, PERSONA = live("block", "own", name="human"), live("block", "persona", name="memory_persona")


def test_what_the_server_created_along_with_another_object_is_not_free() -> None:
    found = server(BOSS, SECOND, PAIR, OWN, PERSONA, attached={"boss": [OWN], "second": [OWN, PERSONA]})
    assert ids(found.free) == ["boss", "own"]
    assert found.holders["own"] == ("boss",)
    assert found.creators == {"second": "boss", "pair": "boss"}
    assert found.select(Filter()) == (found.free, ())


def test_tools_of_every_server_and_of_mcp_servers_are_not_free() -> None:
    offered = live("tool", "t", values={"mcp": "docs"})
    found = server(live("tool", "x", name="send_message"), offered, live("mcp_server", "docs"), live("tool", "mine"))
    assert ids(found.free) == ["docs", "mine"]


def test_copies_of_blocks_belong_to_their_conversation() -> None:
    talk = live("conversation", "talk", values={"agent": "boss"}, discovered={"block": ("copy",)})
    found = server(BOSS, talk, live("block", "copy"))
    assert ids(found.free) == ["boss", "talk"]


@pytest.mark.parametrize(
    ("each", "others"),
    [
        (live("block", "b", stack="s", address=at("blocks.b")), Others()),
        (live("block", "b"), Others(ids={"b": "s"})),
        (live("identity", "b", name="ann"), Others(intents={("identity", "ann"): "s"})),
    ],
)
def test_a_claim_a_state_and_an_intent_own(each: Live, others: Others) -> None:
    found = server(each, others=others)
    assert found.free == ()
    assert found.lives["b"].stack == "s"


def test_what_only_agents_of_a_stack_have_is_theirs() -> None:
    theirs = live("agent", "theirs", stack="s", values={"archive": "notes"})
    learned, both, notes = live("block", "learned"), live("block", "both"), live("archive", "notes")
    attached = {"theirs": [learned, both], "mine": [both]}
    found = server(theirs, live("agent", "mine"), learned, both, notes, attached=attached)
    assert ids(found.free) == ["mine", "both"]
    _, left = found.select(Filter())
    assert [(each.live.id, each.reason) for each in left] == [
        ("learned", "only agents of stack `s` have it"),
        ("notes", "only agents of stack `s` have it"),
    ]


TALK = live("conversation", "talk", values={"agent": "a"})
A = live("agent", "a", name="worker-a", values={"tools": ["t"], "tags": ["x"], "identities": ["i"]})
B = live("agent", "b", name="worker-b", values={"tools": ["mine"], "tags": ["x", "y"]})
REST = (
    *(live("tool", "t", values={"mcp": "docs"}), live("tool", "mine"), live("mcp_server", "docs")),
    *(live("identity", "i"), live("identity", "j"), live("block", "shared"), TALK),
    live("group", "g", values={"agents": ["a", "b"]}),
)


@pytest.mark.parametrize(
    ("only", "chosen"),
    [
        (Filter(names=("worker-a",)), {"a", "docs", "i", "shared", "talk"}),
        (Filter(match=("worker-*",)), {"a", "b", "docs", "i", "shared", "talk", "mine", "g"}),
        (Filter(tags=("y",)), {"b", "mine", "shared"}),
        (Filter(tags=("x",), match=("*-b",)), {"b", "mine", "shared"}),
        (Filter(ids=("j",)), {"j"}),
        (Filter(ids=("g",)), {"a", "b", "docs", "i", "shared", "talk", "mine", "g"}),
        (Filter(names=("worker",)), set()),
    ],
)
def test_a_filter_selects_objects_and_what_they_need(only: Filter, chosen: set[str]) -> None:
    shared = next(each for each in REST if each.id == "shared")
    found = server(A, B, *REST, attached={"a": [shared], "b": [shared]})
    assert {each.id for each in found.select(only)[0]} == chosen


def test_a_filter_says_why_an_object_is_left_out() -> None:
    found = server(BOSS, SECOND, PAIR, live("agent", "theirs", stack="s"), live("tool", "x", name="send_message"))
    _, left = found.select(Filter(ids=("second", "theirs", "x")))
    assert {each.live.id: each.reason for each in left} == {
        "second": "the server created it along with `boss`",
        "theirs": "it belongs to stack `s`",
        "x": "every server has it",
    }


UUID = "3f2c0f6e-8a43-4b3e-9c5c-0d6d4f1a2b3c"


@pytest.mark.parametrize("kind", ["block", "archive"])
def test_a_restore_finds_what_it_brings_back_by_the_address_of_its_old_id(kind: str) -> None:
    address = temporary_address(live(kind, f"{kind}-{UUID}"))
    assert str(address) == f"{kind}s.{kind}-{UUID}"
    assert is_temporary(address)


@pytest.mark.parametrize(
    "address",
    [
        *("blocks.team", f"blocks.archive-{UUID}", f"agents.agent-{UUID}", f"blocks.block-{UUID}-2"),
        *(f"agents.ann.memory.block-{UUID}", "blocks.block-1"),
    ],
)
def test_other_addresses_are_those_of_objects_that_the_stack_keeps(address: str) -> None:
    assert not is_temporary(at(address))
