"""A Manifest and an Observed to the Observed with every `moved` applied."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.model import Live, Manifest, Moved, Observed, PlanOptions
from lettaform.plan.selection import is_selected


@dataclass(frozen=True)
class Moves:
    """The result of all moves.

    observed  the Observed with the new addresses
    old       new address to old address, for every object that moved
    waiting   old addresses of the moves that this plan leaves out
    blocked   moves whose old and new address are held by two different objects
    """

    observed: Observed
    old: Mapping[Address, Address] = field(default_factory=dict)
    waiting: frozenset[Address] = frozenset()
    blocked: tuple[Moved, ...] = ()


def move(manifest: Manifest, observed: Observed, options: PlanOptions) -> Moves:
    """Apply the `moved` entries of the manifest, and those that an interrupted run began."""
    # an object that this plan leaves out keeps its old address, and does not count as undeclared there
    waiting = frozenset(entry.old for entry in manifest.moved if not is_selected(entry.new, manifest, options))
    entries = [entry for entry in manifest.moved if entry.old not in waiting]
    moving = _Moving(observed)
    blocked = moving.run([*entries, *_interrupted(manifest, observed)])
    moved = replace(observed, objects=moving.objects, detached=moving.detached, held_elsewhere=moving.held_elsewhere)
    return Moves(moved, moving.old, waiting, blocked)


def _interrupted(manifest: Manifest, observed: Observed) -> Iterator[Moved]:
    """Moves of objects that have two addresses.

    A crash after the mark was written and before the state was saved leaves an object at two addresses: the declared
    address wins, otherwise the address in the state. What was created along with another object follows that object.
    """
    nowhere = Place("", 0, 0)
    found = {live.id: address for address, live in observed.objects.items() if address.parent is None}
    for new, id in observed.discovered.items():
        if found.get(id, new) != new:
            yield Moved(found[id], new, nowhere)
    first: dict[str, Address] = {}
    for address, live in observed.objects.items():
        if address.parent is None and live.stack == manifest.stack:
            pair = (first.setdefault(live.id, address), address)
            old, new = sorted(pair, key=lambda each: (each in manifest.objects, each in observed.state.ids))
            if old != new:
                yield Moved(old, new, nowhere)


class _Moving:
    """The tables of an Observed while its objects move, each with its parts."""

    def __init__(self, observed: Observed) -> None:
        self.objects: dict[Address, Live] = dict(observed.objects)
        self.detached, self.held_elsewhere = dict(observed.detached), dict(observed.held_elsewhere)
        self.old: dict[Address, Address] = {}
        self.parts: dict[Address, dict[Address, None]] = {}
        for address in (*self.objects, *self.detached, *self.held_elsewhere):
            if address.parent:
                self.parts.setdefault(address.parent, {})[address] = None

    def run(self, entries: list[Moved]) -> tuple[Moved, ...]:
        """Move in the order of the entries; an entry waits while its new address is taken. Returns what still waits."""
        ready, waiting = list(range(len(entries))), dict[Address, list[int]]()
        left = set(ready)
        while ready:
            number = heapq.heappop(ready)
            entry = entries[number]
            if number not in left:
                continue
            if not self.is_free(entry):
                for address in (entry.old, entry.new):
                    waiting.setdefault(address, []).append(number)
                continue
            left.remove(number)
            self.move(entry)
            for waiter in waiting.pop(entry.old, ()):
                heapq.heappush(ready, waiter)
        return tuple(entries[number] for number in sorted(left))

    def is_free(self, entry: Moved) -> bool:
        """Whether no other object has the new address."""
        old, new = self.objects.get(entry.old), self.objects.get(entry.new)
        # a crash between mark and state leaves one object at both addresses
        return old is None or new is None or old.id == new.id

    def move(self, entry: Moved) -> None:
        """Move one object, its parts, and its orphaned blocks."""
        for old in (entry.old, *self.parts.pop(entry.old, ())):
            new = old.moved(entry.old, entry.new)
            if new.parent:
                self.parts.setdefault(new.parent, {})[new] = None
            self.move_object(old, new)
            for blocks in (self.detached, self.held_elsewhere):
                if old in blocks:
                    blocks[new] = (*blocks.get(new, ()), *blocks.pop(old))

    def move_object(self, old: Address, new: Address) -> None:
        if old in self.objects and (new not in self.objects or self.objects[new].id == self.objects[old].id):
            self.objects[new] = replace(self.objects.pop(old), address=new)
            self.old[new] = old
        elif old in self.objects and old.parent:  # another block has the new address: this one keeps its address
            self.parts.setdefault(old.parent, {})[old] = None
