"""Addresses to canaries: copies of an agent that try its change beside it. Pure.

`agents["clerk@canary-1"]` is the first copy of `agents.clerk`. Its address alone says whose copy it is: no manifest can
declare such a key.
"""

from __future__ import annotations

import re
from collections import defaultdict

from lettaform.address import Address
from lettaform.model import Manifest, Observed

KIND = "agent"
"""The kind of which there are canaries."""
SECTION = "agents"
_KEY = re.compile(r"([\s\S]+)@canary-([1-9][0-9]*)")
NOT_CANARY = r"^(?![\s\S]*@canary-[1-9][0-9]*$)[\s\S]+"
"""The pattern of the keys of agents that a manifest may declare."""


def copy_address(original: Address, number: int) -> Address:
    """The address of a copy of an agent. `number`: counted from 1."""
    return original.sibling(original.section, f"{original.key}@canary-{number}")


def original_of(address: Address) -> Address | None:
    """The agent of which the object at an address, or the object that contains it, is a copy; None if it is no copy."""
    found = _KEY.fullmatch(address.key) if address.section == SECTION else None
    return address.top.sibling(SECTION, found[1]) if found else None


def number_of(copy: Address) -> int:
    """Which copy of its agent it is, counted from 1."""
    found = _KEY.fullmatch(copy.key)
    assert found is not None, copy
    return int(found[2])


def canaries(observed: Observed, stack: str) -> dict[Address, list[Address]]:
    """Each agent that has copies in a stack to these, in their order. Of a failed create, only blocks may be there."""
    found = defaultdict[Address, set[Address]](set)
    for address, live in (*observed.objects.items(), *observed.orphaned_blocks):
        original = original_of(address) if live.stack == stack else None
        if original is not None:
            found[original].add(address.top)
    return {original: sorted(found[original], key=number_of) for original in sorted(found)}


def held(manifest: Manifest, observed: Observed) -> dict[Address, list[Address]]:
    """Each declared agent whose changes wait for the end of its canary to its copies.

    Copies that the manifest itself declares, or names in `removed`, do not count: the plan is about them.
    """
    planned = {*manifest.objects, *(entry.address for entry in manifest.removed)}
    waiting = {
        original: [copy for copy in copies if copy not in planned]
        for original, copies in canaries(observed, manifest.stack).items()
    }
    return {original: copies for original, copies in waiting.items() if copies and original in manifest.objects}
