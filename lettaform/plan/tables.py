"""A Manifest and an Observed to the tables that a Lookup uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

from lettaform.address import Address
from lettaform.kinds import companions, kinds
from lettaform.model import Desired, Live, Manifest, Observed, Removed
from lettaform.ownership.shards import Spread
from lettaform.values import refs


class Tables:
    """Each table is built when it is first used, and once."""

    def __init__(self, manifest: Manifest, observed: Observed) -> None:
        self.manifest, self.observed = manifest, observed

    @cached_property
    def spread(self) -> Spread:
        """To which shard the objects belong."""
        return Spread.of(self.manifest, self.observed)

    @cached_property
    def addresses(self) -> Mapping[str, Address]:
        """Id to address."""
        return {live.id: address for address, live in self.observed.objects.items()}

    @cached_property
    def declared_ids(self) -> frozenset[str]:
        """Ids of the objects that the manifest declares, without external ones."""
        declared = self.manifest.objects
        lives = self.observed.objects.items()
        return frozenset(live.id for address, live in lives if (d := declared.get(address)) and not d.external)

    @cached_property
    def block_addresses(self) -> Mapping[str, Address]:
        """Id to address, also of the orphaned blocks that would be attached again."""
        return {**{lives[0].id: address for address, lives in self.observed.detached.items()}, **self.addresses}

    @cached_property
    def imported_names(self) -> Mapping[Address, str]:
        """Address to the name in `imports` by which an existing object is looked for."""
        return {entry.address: entry.name for entry in self.manifest.imports if entry.name}

    @cached_property
    def parts(self) -> Mapping[Address, list[Desired]]:
        """Address of an object to its declared parts."""
        return _grouped((d.address.parent, d) for d in self.manifest.objects.values() if d.address.parent)

    @cached_property
    def created_with(self) -> Mapping[Address, list[Address]]:
        """Address of an owner to the addresses of what the server creates along with it."""
        return _grouped((d.discovered_from, a) for a, d in self.manifest.objects.items() if d.discovered_from)

    @cached_property
    def created_along(self) -> Mapping[Address, Address]:
        """Address of what the server created along with another object to the address of that object.

        An object that the manifest declares by itself only has the same name.
        """
        owners = dict.fromkeys((*self.observed.objects, *self.manifest.objects))
        found = ((each, owner) for owner in owners for _, _, each in companions(owner))
        objects = self.manifest.objects
        return {each: owner for each, owner in found if each not in objects or objects[each].created_with == owner}

    @cached_property
    def attached_to(self) -> Mapping[str, frozenset[str]]:
        """Id of a block to the ids of the agents that have it, as far as agents were read."""
        attached = self.observed.attached.items()
        found = _grouped((block.id, agent) for agent, blocks in attached for block in blocks)
        return {id: frozenset(agents) for id, agents in found.items()}

    @cached_property
    def unique(self) -> Mapping[str, Live]:
        """Id to the object, whoever owns it, of kinds whose names are unique."""
        lives = (*self.observed.foreign.values(), *self.observed.objects.values())
        return {live.id: live for live in lives if kinds()[live.kind].unique}

    @cached_property
    def unique_ids(self) -> Mapping[tuple[str, str], str]:
        """Kind and unique name to the id of the object that has it, whoever owns it."""
        return {(live.kind, live.name): id for id, live in self.unique.items()}

    @cached_property
    def holders(self) -> Mapping[tuple[str, str], list[Address]]:
        """Kind and unique name to the addresses of such objects."""
        lives = self.observed.objects.items()
        return _grouped(((live.kind, live.name), a) for a, live in lives if kinds()[live.kind].unique)

    @cached_property
    def referrers(self) -> Mapping[Address, set[str]]:
        """Address to the ids of the existing objects whose manifest refers to it."""
        found = defaultdict[Address, set[str]](set)
        for address, desired in self.manifest.objects.items():
            if address in self.observed.objects:
                for ref in refs(desired.values):
                    found[ref.address].add(self.observed.objects[address].id)
        return found

    @cached_property
    def attached_by_us(self) -> Mapping[Any, set[str]]:
        """Id of a member to the ids of the declared objects to which lettaform attached it."""
        found = defaultdict[Any, set[str]](set)
        for address, live in self.observed.objects.items():
            for member in _members(live) if address in self.manifest.objects else ():
                found[member].add(live.id)
        return found

    @cached_property
    def removed(self) -> Mapping[Address, Removed]:
        """Address to its `removed` entry, which also applies to what the server created along with the object."""
        entries = {entry.address: entry for entry in self.manifest.removed}
        return entries | {a: entry for entry in self.manifest.removed for _, _, a in companions(entry.address)}


def _members(live: Live) -> Iterable[Any]:
    return (member for members in live.mark.members.values() for member in members)


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found
