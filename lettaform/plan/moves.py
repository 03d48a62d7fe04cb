"""A Manifest and an Observed to the Observed with every `moved` applied."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import companions
from lettaform.model import Live, Manifest, Moved, Observed, PlanOptions, Relocation, Shard, State
from lettaform.ownership import state
from lettaform.ownership.shards import Spread, within
from lettaform.plan.selection import is_selected


@dataclass(frozen=True)
class Moves:
    """The result of all moves.

    observed  the Observed with the new addresses
    old       new address to old address, for every object that moved
    waiting   old addresses of the moves that this plan leaves out
    crossing  those of them from one shard to another, of which this plan is about one: they need the whole stack
    blocked   moves whose new address another object has or gets
    """

    observed: Observed
    old: Mapping[Address, Address] = field(default_factory=dict)
    waiting: frozenset[Address] = frozenset()
    crossing: tuple[Moved, ...] = ()
    blocked: tuple[Moved, ...] = ()


def move(
    manifest: Manifest, observed: Observed, options: PlanOptions, later: Collection[Address] = frozenset()
) -> Moves:
    """Apply the `moved` entries of the manifest, and those that an interrupted run began. `later`: what is left out."""
    mine = _of_shard(manifest, observed, options.shard)
    crossing = tuple(_crossing(manifest, observed, mine)) if options.shard else ()

    def is_due(entry: Moved) -> bool:
        left_out = entry in crossing or entry.new.top in later or not mine(entry.new)
        return not left_out and is_selected(entry.new, manifest, options)

    # an object that this plan leaves out keeps its old address, and does not count as undeclared there
    waiting = frozenset(entry.old for entry in manifest.moved if not is_due(entry))
    entries = [entry for entry in manifest.moved if entry.old not in waiting]
    # an address that is declared again says nothing about whether its former object has moved: the state does
    again = {entry.old: entry.new for entry in manifest.moved if entry.old in manifest.objects}
    done = observed.state.moved if observed.state.exists else again
    due = [entry for entry in entries if done.get(entry.old) != entry.new or entry.old not in again]
    due += _companions(observed)
    moves = relocate(without_duplicates(observed, manifest.stack, manifest.objects), due, manifest.objects)
    carried_out = {entry.old for entry in entries} - {entry.old for entry in moves.blocked} | done.keys()
    known = {old: new for old, new in again.items() if old in carried_out}
    # what other shards have carried out stands in their part of the state
    known = {old: new for old, new in {**done, **known}.items() if (old in known if mine(old) else old in done)}
    now = replace(moves.observed.state, moved=known)
    before, after = observed.state, now
    if options.shard:
        before = within(before, Spread.of(manifest, observed), options.shard)
        after = within(now, Spread.of(manifest, moves.observed), options.shard)
    changed = replace(moves.observed, state=now, readdressed=after != before)
    return replace(moves, observed=changed, waiting=waiting, crossing=crossing)


def _of_shard(manifest: Manifest, observed: Observed, shard: Shard) -> Callable[[Address], bool]:
    """Whether an address belongs to a shard."""
    if not shard:
        return lambda address: True
    spread = Spread.of(manifest, observed)
    return lambda address: spread.has(shard, address)


def _crossing(manifest: Manifest, observed: Observed, mine: Callable[[Address], bool]) -> Iterator[Moved]:
    """Entries of `moved` about an existing object that leaves the shard, or enters it."""
    present = {*observed.objects, *observed.detached, *observed.held_elsewhere}
    for entry in manifest.moved:
        if entry.old in present and mine(entry.old) != mine(entry.new):
            yield entry
    # an interrupted run of the whole stack began these
    for each in observed.state.relocated.values():
        if each.before != each.address and mine(each.before) != mine(each.address):
            yield Moved(each.before, each.address, Place("", 0, 0))


def relocate(observed: Observed, entries: Iterable[Moved], declared: Collection[Address] = ()) -> Moves:
    """Give objects, what they contain and what the server created along with them, their new addresses.

    Every entry is about the object that has its old address now. If none has, it is about the one that gets it, and
    that is not `declared` there: an object can have been renamed twice.
    """
    new = _NewAddresses(observed, {entry.old: entry for entry in entries}, declared)
    blocked = new.settle()
    return Moves(_readdressed(observed, new), new.old, blocked=blocked)


def _companions(observed: Observed) -> list[Moved]:
    """The moves of what the server created along with other objects: it follows them."""
    found = {live.id: address for address, live in observed.objects.items() if address.parent is None}
    nowhere = Place("", 0, 0)
    return [Moved(found[id], new, nowhere) for new, id in observed.discovered.items() if found.get(id, new) != new]


# --- what an interrupted run left ------------------------------------------------------------------------------------


def without_duplicates(observed: Observed, stack: str, declared: Collection[Address]) -> Observed:
    """`observed` with one address for each object of a stack.

    An object can have two: one in its mark, and one in the state. The declared address wins, otherwise the address in
    the state.
    """
    pairs = dict(_two_addresses(observed, stack, declared))
    if not pairs:
        return observed
    objects: dict[Address, Live] = {}
    for address, live in observed.objects.items():
        new = _follow(address, pairs)
        other = observed.objects.get(new)
        if new == address or other is None:
            objects[new] = replace(live, address=new)
        elif other.id != live.id:
            objects[address] = live
    orphans = (_renamed(blocks, lambda a: _follow(a, pairs)) for blocks in (observed.detached, observed.held_elsewhere))
    detached, held = orphans
    return replace(
        observed,
        objects=objects,
        detached=detached,
        held_elsewhere=held,
        state=state.with_addresses(observed.state, lambda address: _follow(address, pairs)),
    )


def _two_addresses(observed: Observed, stack: str, declared: Collection[Address]) -> Iterator[tuple[Address, Address]]:
    """The address that an object loses, and the one that it keeps."""
    first: dict[str, Address] = {}
    for address, live in observed.objects.items():
        if address.parent is None and live.stack == stack:
            pair = (first.setdefault(live.id, address), address)
            old, new = sorted(pair, key=lambda each: (each in declared, each in observed.state.ids))
            if old != new:
                yield old, new


def _follow(address: Address, pairs: Mapping[Address, Address]) -> Address:
    owner = address.parent or address
    return address.moved(owner, pairs[owner]) if owner in pairs else address


# --- the new addresses -----------------------------------------------------------------------------------------------


class _NewAddresses:
    """The new address of every object of an Observed, and of its parts.

    new      old address to new address, for everything that moves
    old      new address to old address, for every object that moves
    """

    def __init__(self, observed: Observed, entries: Mapping[Address, Moved], declared: Collection[Address]) -> None:
        self.observed, self.entries, self.declared = observed, entries, declared
        orphans = (*observed.detached, *observed.held_elsewhere)
        self.present = frozenset((*observed.objects, *orphans))
        self.parts: dict[Address, list[Address]] = defaultdict(list)
        for address in (*observed.objects, *orphans):
            if address.parent and address not in self.parts[address.parent]:
                self.parts[address.parent].append(address)
        self.new: dict[Address, Address] = {}
        if entries:
            self.plan()

    @property
    def old(self) -> dict[Address, Address]:
        moved = ((new, old) for old, new in self.new.items() if old in self.observed.objects)
        return {**dict(moved), **{new: old for old, new in self.new.items() if self.is_promoted(old)}}

    def of(self, address: Address) -> Address:
        """The new address of an object, of a part, or of what only the state names."""
        if address in self.new or address in self.present:
            return self.new.get(address, address)
        owner = address.parent
        return address.moved(owner, self.of(owner)) if owner else self.final(address)

    def plan(self) -> None:
        """Find the new addresses, first of objects and then of their parts."""
        for parts in (False, True):
            for address in sorted(self.present):
                if bool(address.parent) == parts and (new := self.wanted(address)) != address:
                    self.new[address] = new
            for address in [] if parts else list(self.new):
                self.add_companions(address)

    def add_companions(self, address: Address) -> None:
        others = {(name, kind): other for name, kind, other in companions(self.new[address])}
        for name, kind, each in companions(address):
            if each in self.present and each not in self.new and (name, kind) in others:
                self.new[each] = others[name, kind]

    def wanted(self, address: Address) -> Address:
        """The address that an object or a part is to get."""
        if address in self.entries or not address.parent:
            return self.new.get(address) or self.final(address)
        follows = address.moved(address.parent, self.of(address.parent))
        return follows if follows == address or follows in self.present else self.final(follows)

    def final(self, address: Address) -> Address:
        """The end of all moves that begin at an address."""
        at, seen = address, {address}
        while at in self.entries and self.entries[at].new not in seen and (at == address or at not in self.declared):
            at = self.entries[at].new
            seen.add(at)
        return at

    def settle(self) -> tuple[Moved, ...]:
        """Let an object keep its address if another one has the new address, or gets it. Returns the entries left."""
        self.getting: dict[Address, list[Address]] = defaultdict(list)
        for address in (*self.observed.objects, *filter(self.is_promoted, self.new)):
            self.getting[self.of(address)].append(address)
        self.crowded = [new for new, olds in self.getting.items() if len(olds) > 1]
        blocked: dict[Address, Moved] = {}
        while self.crowded:
            new = self.crowded.pop()
            movers = [old for old in self.getting[new] if old != new] if len(self.getting[new]) > 1 else []
            for old in [each for each in movers if each in self.entries] or movers:
                if old in self.entries:
                    blocked[old] = replace(self.entries[old], new=new)
                self.stay(old)
        return tuple(blocked[old] for old in self.entries if old in blocked)

    def stay(self, address: Address) -> None:
        """Let an object keep its address, with the parts that only follow it."""
        for each in (address, *self.parts.get(address, ())):
            if each in self.new and (each == address or each not in self.entries):
                new = self.new.pop(each)
                self.getting[new] = [other for other in self.getting[new] if other != each]
                self.getting[each].append(each)
                self.crowded.append(each)

    def is_promoted(self, address: Address) -> bool:
        """Whether an orphaned block gets another owner: then it is attached to that one."""
        new, owner = self.new.get(address), address.parent
        if new is None or owner is None or address in self.observed.objects or address not in self.entries:
            return False
        return new.parent != self.of(owner)


# --- everything at its new address -----------------------------------------------------------------------------------


def _readdressed(observed: Observed, new: _NewAddresses) -> Observed:
    """`observed` with everything at its new address, and a state that says so."""
    if not new.new:
        return observed
    objects = {new.of(address): (address, live) for address, live in observed.objects.items()}
    detached, held = dict(observed.detached), dict(observed.held_elsewhere)
    for address in filter(new.is_promoted, new.new):
        blocks = detached if address in detached else held
        first, *others = blocks.pop(address)
        objects[new.of(address)] = address, first
        blocks |= {address: tuple(others)} if others else {}
    moved = {
        address: live if old == address else replace(live, address=address) for address, (old, live) in objects.items()
    }
    detached, held = _renamed(detached, new.of), _renamed(held, new.of)
    carried_over = _renamed(observed.carried_over, new.of)
    now = replace(_state(observed, new, moved), relocated=_relocated(observed, new, objects))
    return replace(
        observed, objects=moved, detached=detached, held_elsewhere=held, carried_over=carried_over, state=now
    )


def _renamed(
    blocks: Mapping[Address, tuple[Live, ...]], new: Callable[[Address], Address]
) -> dict[Address, tuple[Live, ...]]:
    found: dict[Address, tuple[Live, ...]] = {}
    for address, lives in blocks.items():
        found[new(address)] = (*found.get(new(address), ()), *lives)
    return found


def _state(observed: Observed, new: _NewAddresses, objects: Mapping[Address, Live]) -> State:
    """The state with the new addresses. Only a shared block has an entry in it, an own block has none."""
    known = frozenset(observed.state.ids.values())
    moved = state.with_addresses(observed.state, new.of)
    kept = {a: live for a, live in objects.items() if state.keeps_id(a, live.kind, observed.capabilities)}
    ids = {a: id for a, id in moved.ids.items() if a in kept or a not in objects}
    return replace(moved, ids=ids | {a: live.id for a, live in kept.items() if live.id in known or a in new.old})


def _relocated(
    observed: Observed, new: _NewAddresses, objects: Mapping[Address, tuple[Address, Live]]
) -> dict[str, Relocation]:
    """The relocations of own blocks that move, with their agent or by themselves, and those that are unfinished."""
    found = dict(observed.state.relocated)
    moving = {live.id: (old, address, live, True) for address, (old, live) in objects.items()}
    for old, live in observed.orphaned_blocks:
        moving.setdefault(live.id, (old, new.of(old), live, False))
    for id, (old, address, live, is_object) in moving.items():
        if old in new.new and (old.parent or address.parent) and live.kind in observed.capabilities.claims:
            before = _before(new, old, found.get(id)) if is_object else address
            # until the mark of the block is written, the mark of its old agent holds its base, and may be lost
            found[id] = Relocation(address, before, live.mark.base if before != address else {})
    return found


def _before(new: _NewAddresses, old: Address, unfinished: Relocation | None) -> Address:
    """The address of a block before it moved, or before an unfinished move, under the new address of its agent."""
    places = [unfinished.before, unfinished.address] if unfinished else [old]
    before, *others = (place.moved(place.parent, new.of(place.parent)) if place.parent else place for place in places)
    return others[0] if others and before == new.of(old) else before
