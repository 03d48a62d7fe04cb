"""An address to the shard of the stack that it belongs to, and a state to the part of it that one shard writes. Pure.

An agent belongs to the shard that the digest of its address gives, with its own blocks, its conversations and
schedules, what the server creates along with it, and the copies of its canary. Everything else, such as shared blocks,
tools and groups, belongs to the shard 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache

from lettaform.address import Address
from lettaform.kinds import companions, is_matched, is_spread, kind_of, kinds
from lettaform.model import Head, Manifest, Observed, Shard, State
from lettaform.ownership.canaries import original_of
from lettaform.values import Ref, digest


class Spread:
    """Where every address of a stack belongs. `owners`: as of `State.owners`."""

    def __init__(self, owners: Mapping[Address, Address]) -> None:
        self.owners = owners

    @classmethod
    def of(cls, manifest: Manifest, observed: Observed) -> Spread:
        """By what is declared, by what exists, and by the state."""
        kept = {each: owner for each, owner in observed.state.owners.items() if each not in manifest.objects}
        return cls({**kept, **dict(_live_owners(manifest, observed)), **dict(declared_owners(manifest))})

    def slot(self, address: Address) -> int:
        """The number of an address: it belongs to the shard that `has` it."""
        top, seen = address.top, set[Address]()
        while (above := original_of(top) or self.owners.get(top)) and top not in seen:
            seen.add(top)
            top = above.top
        return _slot(str(top)) if _is_spread(top) else 0

    def has(self, shard: Shard, address: Address) -> bool:
        """Whether an address belongs to a shard. To the whole stack, each one does."""
        return not shard or shard.has(self.slot(address))

    def shard_of(self, address: Address, count: int) -> Shard:
        """The shard to which an address belongs, of so many."""
        return Shard(self.slot(address) % count, count)

    def is_shared(self, address: Address) -> bool:
        """Whether an address belongs to the shard 0, however many shards there are."""
        return address.top not in self.owners and not _is_spread(address.top)

    def owners_of(self, *addresses: Address) -> dict[Address, Address]:
        """Those of these objects that belong to another one, each with that other one."""
        return {each.top: self.owners[each.top] for each in addresses if each.top in self.owners}


def _is_spread(address: Address) -> bool:
    """Whether objects of a section are spread. Fields of agents that the stack does not own are not."""
    kind = kind_of(address)
    return kind is not None and is_spread(kind) and not is_matched(address)


@cache
def _slot(text: str) -> int:
    return int(digest(text)[:8], 16)


def declared_owners(manifest: Manifest) -> Iterator[tuple[Address, Address]]:
    """Declared objects that belong to another one, each with that other one."""
    for address, desired in manifest.objects.items():
        if address.parent is not None or desired.external is not None:
            continue
        line = kinds()[desired.kind].owner_line()
        above = desired.values.get(line.name) if line else None
        if desired.created_with is not None:
            yield address, desired.created_with
        elif isinstance(above, Ref):
            yield address, above.address


def _live_owners(manifest: Manifest, observed: Observed) -> Iterator[tuple[Address, Address]]:
    """Live objects that belong to another one, each with that other one."""
    addresses = {live.id: address for address, live in observed.objects.items()}
    for address, live in observed.objects.items():
        line = kinds()[live.kind].owner_line()
        above = live.values.get(line.name) if line else None
        if isinstance(above, str) and above in addresses:
            yield address, addresses[above]
    for owner in dict.fromkeys((*manifest.objects, *observed.objects)):
        for _, _, each in companions(owner):
            if each in observed.objects and each not in manifest.objects:
                yield each, owner


# --- one shard -------------------------------------------------------------------------------------------------------


def within(state: State, spread: Spread, shard: Shard) -> State:
    """The part of a state that the run of a shard writes. The history of the whole stack stays with the shard 0."""
    if not shard:
        return state

    def mine(address: Address) -> bool:
        return spread.has(shard, address)

    head, others = state.heads.get(shard, Head()), {str(each) for each in state.heads if each.count == shard.count}
    runs = (run for run in state.history if run.shard == str(shard) or (shard.index == 0 and run.shard not in others))
    return replace(
        state,
        ids={address: id for address, id in state.ids.items() if mine(address)},
        marks={address: mark for address, mark in state.marks.items() if mine(address)},
        protected=frozenset(filter(mine, state.protected)),
        pending=frozenset(filter(mine, state.pending)),
        carried_over={address: ids for address, ids in state.carried_over.items() if mine(address)},
        kinds=head.kinds,
        tombstones={id: mark for id, mark in state.tombstones.items() if id in head.tombstones},
        matched={address: mark for address, mark in state.matched.items() if mine(address)},
        begun={address: mark for address, mark in state.begun.items() if mine(address)},
        intents={address: name for address, name in state.intents.items() if mine(address)},
        relocated={id: each for id, each in state.relocated.items() if mine(each.address)},
        moved={old: new for old, new in state.moved.items() if mine(old)},
        written={address: serial for address, serial in state.written.items() if mine(address)},
        owners={address: owner for address, owner in state.owners.items() if mine(address)},
        history=tuple(runs),
    )


def narrowed(manifest: Manifest, observed: Observed, spread: Spread, shard: Shard) -> tuple[Manifest, Observed]:
    """What is declared and what exists of one shard, with its part of the state."""
    if not shard:
        return manifest, observed

    def mine(address: Address | None) -> bool:
        return address is not None and spread.has(shard, address)

    declared = {address: desired for address, desired in manifest.objects.items() if mine(address)}
    found = replace(
        observed,
        state=within(observed.state, spread, shard),
        objects={address: live for address, live in observed.objects.items() if mine(address)},
        duplicates=tuple(each for each in observed.duplicates if mine(each.address)),
        carried_over={address: lives for address, lives in observed.carried_over.items() if mine(address)},
    )
    return replace(manifest, objects=declared), found


def outlived(state: State, shard: Shard) -> frozenset[Shard]:
    """The shards of another count whose part of the state is no longer read once this shard has written its own."""
    if not shard:
        return frozenset(state.heads) - {shard}
    now = {each: head.serial for each, head in state.heads.items() if each.count == shard.count}
    now[shard] = max((head.serial for head in state.heads.values()), default=0) + 1
    oldest = min(now.values()) if len(now) == shard.count else 0
    return frozenset(
        each
        for each, head in state.heads.items()
        if each.count != shard.count and (head.serial < oldest or _contains(shard, each))
    )


def _contains(shard: Shard, other: Shard) -> bool:
    """Whether every object of another shard is one of this shard."""
    return other.count % shard.count == 0 and other.index % shard.count == shard.index
