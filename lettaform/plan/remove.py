"""Objects that are no longer declared to ResourceChanges and Unmanaged: deleted, forgotten, or kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from lettaform.address import Address
from lettaform.kinds import companions, kind_of, kinds
from lettaform.model import Change, Live, Mark, Removed, Unmanaged
from lettaform.ownership.canaries import original_of
from lettaform.ownership.unowned import is_temporary
from lettaform.plan.changes import ResourceChange, detached_by_agent
from lettaform.plan.lookup import Lookup
from lettaform.plan.notes import cascades, used_by

Found = ResourceChange | Unmanaged
"""What this pass returns."""
UNFINISHED = "kept: a restore that was interrupted lets go of it; the same command completes it"
"""Why an object that nobody owned is in the stack."""


def remove(lookup: Lookup, declared: Iterable[ResourceChange] = ()) -> list[Found]:
    """Delete, forget or keep the objects of this stack that are no longer declared.

    `declared`: the changes to declared objects. Agents that they detach from an object no longer use it.
    """
    undeclared = list(_undeclared(lookup))
    released = _Released.of(lookup, declared, undeclared)
    return [
        *(_removal(lookup, released, address, live) for address, live in undeclared),
        *(_surplus_removal(lookup, released, address, live) for address, live in _surplus(lookup)),
        *_missing(lookup),
        *_duplicates(lookup),
        *_held_elsewhere(lookup),
    ]


# --- what is no longer declared --------------------------------------------------------------------------------------


def _undeclared(lookup: Lookup) -> Iterator[tuple[Address, Live]]:
    """Objects of this stack that the plan may remove, by address."""
    observed = lookup.observed
    lives = {address: blocks[0] for address, blocks in observed.detached.items() if address not in observed.objects}
    lives |= dict(_unmarked_parts(lookup))
    lives |= observed.objects
    ours = (address for address, live in lives.items() if live.stack == lookup.manifest.stack)
    found = (each for each in ours if _is_undeclared(lookup, each) and lookup.is_selected(each))
    yield from ((address, lives[address]) for address in sorted(found, key=str))


def _surplus(lookup: Lookup) -> Iterator[tuple[Address, Live]]:
    """Orphaned blocks beside the block that their address has or gets: creates that failed leave one each."""
    for address, blocks in lookup.observed.detached.items():
        waiting = not lookup.moves.waiting.isdisjoint((address, address.parent))
        if lookup.is_selected(address) and not waiting:
            others = blocks if address in lookup.observed.objects else blocks[1:]
            yield from ((address, live) for live in others if live.stack == lookup.manifest.stack)


def _surplus_removal(lookup: Lookup, released: _Released, address: Address, live: Live) -> Found:
    found = _removal(lookup, released, address, live)
    if not isinstance(found, Unmanaged):
        return replace(found, surplus=True)
    if original_of(address) is not None:
        return found
    return replace(found, reason="an orphaned block beside the one of this address; --prune deletes it")


def _is_undeclared(lookup: Lookup, address: Address) -> bool:
    if lookup.options.destroy:
        return True
    if not lookup.moves.waiting.isdisjoint((address, address.parent)):
        return False
    return address not in lookup.manifest.objects or lookup.removed(address) is not None


def _unmarked_parts(lookup: Lookup) -> Iterator[tuple[Address, Live]]:
    """Blocks that the server created in an agent that it created along with another one, and that have no mark yet.

    An apply that is killed between the two leaves them so.
    """
    objects = lookup.observed.objects
    orphaned = {address for address, _ in lookup.observed.orphaned_blocks}
    found = (each for address in objects for _, _, each in companions(address) if each in objects)
    for address in found:
        owner = objects[address]
        blocks = lookup.attached_blocks(owner) if owner.stack == lookup.manifest.stack else ()
        for field, key in lookup.discovered_parts(owner.kind).items():
            part = address.part(field, key)
            block = next((each for each in blocks if each.name == key and each.stack is None), None)
            if block and part not in objects and part not in orphaned:
                yield part, replace(block, address=part, stack=lookup.manifest.stack)


def _removal(lookup: Lookup, released: _Released, address: Address, live: Live) -> Found:
    entry = lookup.removed(address)
    if _is_forgotten(lookup, entry):
        return _forget(address, live, "removed: {destroy: false}", entry)
    if entry is None and is_temporary(address) and address not in lookup.manifest.objects:
        # an agent made it: who deletes the stack does not delete what no stack owned
        unmanaged = Unmanaged(live.kind, live.id, address, UNFINISHED)
        return _forget(address, live, "no stack owned it: kept") if lookup.options.destroy else unmanaged
    original = original_of(address)
    if original is not None and entry is None and not lookup.options.destroy:
        return Unmanaged(live.kind, live.id, address, f"a canary of {original}")
    if _is_deleted(lookup, entry):
        return _delete(lookup, released, address, live)
    # who uses a shared object is read only for what is deleted
    user = "another agent" if address.parent else "an agent"
    unless = f" unless {user} uses it" if kinds()[live.kind].shared else ""
    return Unmanaged(live.kind, live.id, address, f"marked, no longer declared; --prune deletes it{unless}")


def _is_forgotten(lookup: Lookup, entry: Removed | None) -> bool:
    return entry is not None and not entry.destroy and not lookup.options.destroy


def _is_deleted(lookup: Lookup, entry: Removed | None) -> bool:
    return not _is_forgotten(lookup, entry) and (lookup.options.prune or lookup.options.destroy or entry is not None)


def _forget(address: Address, live: Live, reason: str, entry: Removed | None = None) -> ResourceChange:
    change = Change(address, live.kind, "forget", live.id, reason, place=entry.place if entry else None)
    return ResourceChange(change, None, live, mark=Mark())


def _delete(lookup: Lookup, released: _Released, address: Address, live: Live) -> Found:
    """Delete an object, unless agents that are kept use it."""
    owner = lookup.live(address.parent)
    users = released.remaining_users(live) - ({owner.id} if owner else set())
    if users and not lookup.is_allowed(address):
        if owner and owner.id in released.deleted:
            return _forget(address, live, f"its agent is deleted; kept, because {used_by(lookup, users)}")
        return Unmanaged(live.kind, live.id, address, _kept(lookup, users))
    original = original_of(address)
    reason = "no longer declared" if original is None else f"a canary of {original}"
    reason = "destroy" if lookup.options.destroy else reason
    change = Change(address, live.kind, "delete", live.id, reason, notes=tuple(cascades(lookup, live.id)))
    return ResourceChange(change, None, live)


def _kept(lookup: Lookup, users: frozenset[str]) -> str:
    """Who keeps an object, and what lets lettaform delete it, where only agents of this stack use it."""
    ours = all(id in lookup.tables.addresses for id in users)
    return f"kept: {used_by(lookup, users)}" + ("; detach it there first" if ours else "")


@dataclass(frozen=True)
class _Released:
    """Agents that no longer use an object after the plan.

    deleted   ids of agents that are deleted or replaced, and of what the server deletes along with them
    detached  agent id to the ids of what the plan detaches from it
    """

    lookup: Lookup
    deleted: frozenset[str]
    detached: Mapping[str, frozenset[str]]

    @classmethod
    def of(
        cls, lookup: Lookup, declared: Iterable[ResourceChange], undeclared: Iterable[tuple[Address, Live]]
    ) -> _Released:
        """Read the changes to declared objects, and which undeclared objects no agent can use and keep."""
        changes = [resource for resource in declared if resource.live]
        deleted = {each.live.id for each in changes if each.live and each.change.action == "replace"}
        deleted |= {
            live.id
            for address, live in undeclared
            if not kinds()[live.kind].shared and _is_deleted(lookup, lookup.removed(address))
        }
        deleted |= {each.id for id in deleted for each in lookup.dependents(id).cascades}
        return cls(lookup, frozenset(deleted), detached_by_agent(changes))

    def remaining_users(self, live: Live) -> frozenset[str]:
        """Ids of the agents that use an object and keep it."""
        users = self.lookup.users(live.id) - self.deleted
        # who uses an object that offers others has attached one of those
        several = self.lookup.discovers(live.kind)
        return frozenset(
            id for id in users if not (self.detached.get(id) if several else live.id in self.detached.get(id, ()))
        )


# --- what the state and the marks name besides -----------------------------------------------------------------------


def _missing(lookup: Lookup) -> Iterator[ResourceChange]:
    """Objects that the state names and that no longer exist."""
    for address, id in lookup.observed.state.ids.items():
        gone = id not in lookup.tables.addresses and address not in lookup.manifest.objects
        if gone and lookup.is_selected(address):
            kind = kind_of(address) or address.section
            yield ResourceChange(Change(address, kind, "forget", id, "no longer exists on the server"))


def _duplicates(lookup: Lookup) -> Iterator[Unmanaged]:
    reason = "a duplicate: it claims an address that belongs to another object; never changed"
    for live in lookup.observed.duplicates:
        if live.address and lookup.is_selected(live.address):
            yield Unmanaged(live.kind, live.id, live.address, reason)


def _held_elsewhere(lookup: Lookup) -> Iterator[Found]:
    """Own blocks that another agent has now: kept, and forgotten once their agent is no longer declared."""
    reason = "its agent detached it, and another agent has it: kept"
    for address, lives in lookup.observed.held_elsewhere.items():
        if not lookup.is_selected(address):
            continue
        entry, owner = lookup.removed(address), address.parent or address
        undeclared = lookup.options.prune and owner not in lookup.manifest.objects
        forgotten = lookup.options.destroy or entry is not None or undeclared
        for live in lives:
            unmanaged = Unmanaged(live.kind, live.id, address, reason)
            yield _forget(address, live, reason, entry) if forgotten else unmanaged
