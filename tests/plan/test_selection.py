"""Patterns select addresses; a pattern for an object is one for its parts, too."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lettaform.address import matches
from lettaform.model import Live, PlanOptions
from lettaform.plan.selection import is_selected, talkers, without_messages
from tests.plan.samples import at, living, manifest


@pytest.mark.parametrize(
    ("address", "patterns", "found"),
    [
        ("agents.a", (), False),
        ("agents.a", ("agents.a",), True),
        ("agents.a", ("agents.b", "agents.*"), True),
        ("agents.ab", ("agents.a",), False),
        ("agents.a[x]", ("agents.a[x]",), True),
        ("agents.a[x]", ("agents.a[*]",), True),
        # the key of a `for_each` stands for all its instances, and for their parts
        ("agents.a[x]", ("agents.a",), True),
        ("agents.ab[x]", ("agents.a",), False),
        ("agents.a", ("agents.a[x]",), False),
        ("agents.a[x].memory.human", ("agents.a",), True),
        ("agents.a[x].memory.human", ("agents.a.memory.human",), True),
        ("agents.a[x].memory.human", ("agents.a[y]",), False),
        # keys need no quotes
        ('blocks.brand["acme/eu"]', ("blocks.brand[acme/eu]",), True),
        ('blocks.brand["acme/eu"]', ('blocks.brand["acme/eu"]',), True),
        ('blocks.brand["acme/eu"]', ("blocks.brand[acme/*]",), True),
        ('blocks.brand["acme/eu"]', ("blocks.brand",), True),
        ('blocks["acme/eu"]', ("blocks.acme/eu",), True),
        ('blocks["v1.2"]', ("blocks[v1.2]",), True),
        ('blocks["v1.2"]', ("blocks.v1.2",), True),
        ('agents.a.memory["a b"]', ("agents.a.memory[a b]",), True),
        ('blocks["a\\"b"]', ('blocks["a\\"b"]',), True),
        ("agents.a.memory.human", ("agents.a",), True),
        ("agents.a.memory.human", ("*.memory.human",), True),
        ("agents.a", ("agents.a.memory.human",), False),
    ],
)
def test_patterns(address: str, patterns: tuple[str, ...], found: bool) -> None:
    assert matches(at(address), patterns) is found


@pytest.mark.parametrize(
    ("target", "exclude", "selected"),
    [((), (), True), (("agents.*",), (), True), (("blocks.*",), (), False), (("*",), ("agents.a",), False)],
)
def test_target_and_exclude(target: tuple[str, ...], exclude: tuple[str, ...], selected: bool) -> None:
    assert is_selected(at("agents.a"), manifest(), PlanOptions(target=target, exclude=exclude)) is selected


@pytest.mark.parametrize(
    ("target", "exclude", "selected"),
    [
        ((), (), True),
        (("agents.boss",), (), True),
        (("agents.boss-sleeptime",), (), True),
        (("agents.ann",), (), False),
        ((), ("agents.boss",), False),
        ((), ("agents.boss-sleeptime",), False),
    ],
)
def test_an_object_follows_the_one_along_with_which_it_was_created(
    target: tuple[str, ...], exclude: tuple[str, ...], selected: bool
) -> None:
    options, second = PlanOptions(target=target, exclude=exclude), at("agents.boss-sleeptime")
    assert is_selected(second, manifest(), options, at("agents.boss")) is selected


ANN = replace(living("agents.ann", "agent-1"), discovered={"agent": ("agent-2", "agent-3")})
SECOND = replace(living("agents.ann-sleeptime", "agent-2"), discovered={})
UNNAMED = Live("agent", "agent-3", "ann-sleeptime", {})
TALK, BEGUN = (living(f"conversations.{key}", f"conv-{key}", agent="agent-1") for key in ("talk", "begun"))
TALKERS = (ANN, SECOND, UNNAMED, TALK, replace(BEGUN, address=None), living("blocks.ann", "block-1"))


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ((), set()),
        (("agents.ann",), {"agent-1", "agent-3", "conv-talk", "conv-begun"}),
        (("conversations.talk",), {"conv-talk"}),
        (("agents.ann-*", "blocks.*"), {"agent-2"}),
    ],
)
def test_an_agent_is_named_with_its_conversations_and_what_has_no_address(
    patterns: tuple[str, ...], found: set[str]
) -> None:
    assert without_messages(TALKERS, patterns) == found


def test_a_conversation_is_named_by_its_own_address_first() -> None:
    names = {id: [str(each) for each in addresses] for id, addresses in talkers(TALKERS).items()}
    assert names["conv-talk"] == ["conversations.talk", "agents.ann"]
    assert (names["conv-begun"], names["agent-3"], names["agent-2"]) == (
        ["agents.ann"],
        ["agents.ann"],
        ["agents.ann-sleeptime"],
    )
