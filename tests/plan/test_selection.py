"""Patterns select addresses; a pattern for an object is one for its parts, too."""

from __future__ import annotations

import pytest

from lettaform.model import PlanOptions
from lettaform.plan.selection import is_selected, matches
from tests.plan.samples import at, manifest


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
