"""Addresses to canaries: whose copy an object is, and which agents wait for their end."""

from __future__ import annotations

import re

import pytest

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.model import Desired, Live, Manifest, Observed, Removed
from lettaform.ownership.canaries import NOT_CANARY, canaries, copy_address, held, number_of, original_of

at = Address.read
HERE = Place("a.yaml", 1, 1)


@pytest.mark.parametrize(
    ("copy", "original"),
    [
        ("agents.ann@canary-1", "agents.ann"),
        ("agents.worker@canary-12[emea]", "agents.worker[emea]"),
        ('agents["v1.2@canary-3"]', 'agents["v1.2"]'),
        ("agents.ann@canary-1.memory.notes", "agents.ann"),
        ("agents.ann", None),
        ("agents.ann@canary-0", None),
        ("agents.ann@canary", None),
        ("blocks.ann@canary-1", None),
    ],
)
def test_an_address_says_whose_copy_it_is(copy: str, original: str | None) -> None:
    assert original_of(at(copy)) == (at(original) if original else None)
    if at(copy).section == "agents":
        assert bool(re.match(NOT_CANARY, at(copy).key)) is (original is None)


@pytest.mark.parametrize("original", ["agents.ann", "agents.worker[emea]", 'agents["a b"]["é.x"]'])
def test_a_copy_leads_back_to_its_original(original: str) -> None:
    copy = copy_address(at(original), 7)
    assert (original_of(copy), number_of(copy)) == (at(original), 7)
    assert Address.parse(str(copy)) == copy


def live(address: str, stack: str = "s") -> Live:
    return Live("agent", address, address, {}, address=at(address), stack=stack)


def observed(*addresses: str, orphaned: tuple[str, ...] = (), **words: str) -> Observed:
    return Observed(
        "http://here",
        "0.16.8",
        objects={at(each): live(each, **words) for each in addresses},
        detached={at(each): (live(each),) for each in orphaned},
    )


def test_copies_are_found_in_their_order_with_what_a_failed_create_has_left() -> None:
    found = observed(
        "agents.ann",
        "agents.ann@canary-10",
        "agents.ann@canary-2",
        orphaned=("agents.bob@canary-1.memory.notes", "agents.bob.memory.notes"),
    )
    assert {str(a): [number_of(each) for each in every] for a, every in canaries(found, "s").items()} == {
        "agents.ann": [2, 10],
        "agents.bob": [1],
    }
    assert canaries(observed("agents.ann@canary-1", stack="other"), "s") == {}


def test_an_agent_waits_for_copies_that_the_plan_is_not_about() -> None:
    objects = {at("agents.ann"): Desired(at("agents.ann"), "agent", {}, HERE)}
    manifest = Manifest("s", objects)
    there = observed("agents.ann", "agents.ann@canary-1", "agents.gone@canary-1")
    assert held(manifest, there) == {at("agents.ann"): [at("agents.ann@canary-1")]}
    removed = (Removed(at("agents.ann@canary-1"), True, HERE),)
    assert held(Manifest("s", objects, removed=removed), there) == {}
    copy = at("agents.ann@canary-1")
    assert held(Manifest("s", {**objects, copy: Desired(copy, "agent", {}, HERE)}), there) == {}
