"""A snapshot and a server to what becomes of the objects that agents made themselves, and that nobody owns. Pure.

One that no longer exists is created again as an object of the stack, under an address that follows from its old id: a
restore that was killed finds it by its claim. Once everything is restored, the stack lets go of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.kinds import kinds
from lettaform.kinds.base import Kind
from lettaform.kinds.traits import Contents, ListedAt
from lettaform.model import Capabilities, Change, Desired, Live, Manifest, Mark, Observed
from lettaform.ownership.unowned import MADE_BY_AGENTS, temporary_address
from lettaform.plan.changes import ResourceChange
from lettaform.plan.leaves import spelled
from lettaform.snapshot.format import Entry, Snapshot
from lettaform.values import UNREAD

Load = Callable[[str], Any]
"""The value of a file of a snapshot. Raises SnapshotError."""
RELEASED = "no stack owned it: this one lets go of it once everything is restored"


@dataclass(frozen=True)
class Present:
    """What a server has of what agents made themselves.

    lives     id to object: those of the snapshot that exist
    archives  id of an agent to the archive that it has
    begun     address to what a restore that was interrupted has begun to bring back
    passages  id of an archive to the keys of what it contains
    """

    lives: Mapping[str, Live] = field(default_factory=dict)
    archives: Mapping[str, Live] = field(default_factory=dict)
    begun: Mapping[Address, Live] = field(default_factory=dict)
    passages: Mapping[str, Collection[str]] = field(default_factory=dict)


def is_made_by_agent(entry: Entry) -> bool:
    """Whether an object is one that agents make, that nobody owned, and of which the snapshot has everything."""
    live = entry.live
    whole = entry.contents is not None or not kinds()[live.kind].relations(Contents)
    return entry.used and live.stack is None and live.kind in MADE_BY_AGENTS and whole


def declared_external(declared: Manifest, entry: Entry) -> Desired | None:
    """How the manifest of the project finds an object of others: by its name, its id, or its stack and key."""
    live = entry.live
    for desired in declared.objects.values():
        found = desired.external
        if found is None or desired.kind != live.kind or found.offered_by:
            continue
        if found.stack and found.address:
            if (found.stack, found.address.key) == (live.stack, live.name):
                return desired
        elif live.id == found.id or (found.name is not None and found.name == live.name):
            return desired
    return None


def made_by_agents(snapshot: Snapshot, declared: Manifest, capabilities: Capabilities) -> dict[str, Entry]:
    """What agents made themselves, by id, without what the manifest declares as external.

    A restore needs to find it again: what has no room for a claim is left out.
    """
    return {
        entry.live.id: entry
        for entry in snapshot.entries
        if is_made_by_agent(entry) and entry.live.kind in capabilities.claims
        if declared_external(declared, entry) is None
    }


def users_of(snapshot: Snapshot, ids: Collection[str]) -> Mapping[str, list[Address]]:
    """Id to the addresses of the objects that used the object with that id."""
    found: dict[str, list[Address]] = defaultdict(list)
    for entry in snapshot.entries:
        for id in _references(entry.live) if not entry.used else ():
            if id in ids and entry.live.address:
                found[id].append(entry.live.address)
    return found


def _references(live: Live) -> Iterator[str]:
    yield from (id for name, line in kinds()[live.kind].attrs().items() if line.to for id in live.ids(name))


class Unowned:
    """What is meant by each reference to an object that nobody owned.

    targets  who refers to it, and its id: the object that the server has, or the address at which it is brought back
    brought  that address to its entry
    """

    def __init__(
        self,
        snapshot: Snapshot,
        restored: Mapping[Address, Entry],
        observed: Observed,
        declared: Manifest,
        present: Present,
    ) -> None:
        self.observed, self.restored, self.present = observed, restored, present
        self.made = made_by_agents(snapshot, declared, observed.capabilities)
        self.users = users_of(snapshot, self.made)
        # another stack gets everything as its own: also what agents of the first one use
        self.stack, self.is_same_stack = declared.stack, snapshot.header.stack == declared.stack
        self.targets: dict[tuple[Address, str], Live | Address] = {}
        self.brought: dict[Address, Entry] = {}
        for address, entry in restored.items():
            for id in (each for each in _references(entry.live) if each in self.made):
                target = self.targets[address, id] = self.target(address, id)
                if isinstance(target, Address):
                    self.brought[target] = self.made[id]

    def target(self, user: Address, id: str) -> Live | Address:
        """What is meant: what has the id, or else what the user or another one has in its place, or what is created."""
        entry, temporary = self.made[id], temporary_address(self.made[id].live)
        if self.is_same_stack and id in self.present.lives:
            return self.present.lives[id]
        if (held := self.held(user, entry)) is not None:
            return temporary if held.address == temporary else held
        if self.live(temporary) is not None:
            return temporary
        others = (self.held(other, entry) for other in self.users[id])
        return next((each for each in others if each and not (each.address and each.address.parent)), temporary)

    def held(self, user: Address, entry: Entry) -> Live | None:
        """What an object of the stack has in the place of one of the snapshot: the block of its label, its archive."""
        live = self.observed.objects.get(user)
        if live is None:
            return None
        if _is_listed_apart(entry.live.kind):  # an agent has one at most
            choices = [self.present.archives[live.id]] if live.id in self.present.archives else []
        else:
            choices = [each for each in self.observed.attached.get(live.id, ()) if each.name == entry.live.name]
        return next((each for each in choices if each.address not in self.restored), None)

    def live(self, address: Address) -> Live | None:
        """What an interrupted restore has begun to bring back at an address."""
        return self.observed.objects.get(address) or self.present.begun.get(address)

    def unfinished(self, address: Address, values: Mapping[str, Any]) -> dict[str, Any]:
        """What is still to be written to an object that is brought back. Its agents may have gone on with the rest."""
        live = self.live(address)
        lines = kinds()[live.kind].attrs() if live else {}
        kept = {name for name, line in lines.items() if line.related(Contents)}
        kept |= {kinds()[live.kind].name_field} if live else values.keys()
        return {name: value for name, value in values.items() if name in kept}

    def changed(self, load: Load) -> Iterator[Problem]:
        """Warnings about what exists with other values: it is nobody's, and nothing is written to it."""
        seen = set[str]()
        for (user, id), target in self.targets.items():
            entry = self.made[id]
            if isinstance(target, Address) or target.id in seen or self.is_ours(target):
                continue
            seen.add(target.id)
            if not self.differs(entry, target, load):
                continue
            what = f"the {target.kind} `{target.name}` ({target.id}) of {user}"
            message = f"{what} has changed since the snapshot: the stack does not own it, and it stays as it is"
            holders = " and ".join(str(each) for each in self.users[id] if self.has(each, target))
            hint = f"detach it from {holders}, and restore again: the {target.kind} of the snapshot takes its place"
            yield Problem(message, hint=None if target.id == id else hint, severity="warning", address=str(user))

    def has(self, user: Address, live: Live) -> bool:
        """Whether an object of the stack has another one attached."""
        held = self.held(user, Entry(live))
        return held is not None and held.id == live.id

    def is_ours(self, live: Live) -> bool:
        """Whether the stack owns an object by now."""
        return live.stack == self.stack

    def differs(self, entry: Entry, live: Live, load: Load) -> bool:
        """Whether an object lacks something of its entry."""
        table = kinds()[live.kind]
        if any(_differs(table, name, entry.live, live) for name in table.compiled):
            return True
        wanted = {item["key"] for items in load(entry.contents).values() for item in items} if entry.contents else set()
        return not wanted <= {*self.present.passages.get(live.id, ())}


def _is_listed_apart(kind: str) -> bool:
    """Whether no answer of an agent holds its objects of a kind."""
    return any(line.to == kind for table in kinds().values() for line, _ in table.relations(ListedAt))


def _differs(table: type[Kind], name: str, old: Live, now: Live) -> bool:
    line, values = table.attrs()[name], [each.values.get(name, UNREAD) for each in (old, now)]
    known = not any(value is UNREAD for value in values)
    return known and spelled(table, line, values[0]) != spelled(table, line, values[1])


def letting_go(resources: list[ResourceChange], brought: Collection[Address], observed: Observed) -> None:
    """Add to the changes that the stack lets go of these objects once everything is restored."""
    places = {resource.address: place for place, resource in enumerate(resources)}
    for address in brought:
        live = observed.objects.get(address)
        if address in places:
            resource = resources[places[address]]
            change = replace(resource.change, notes=(*resource.change.notes, RELEASED))
            resources[places[address]] = replace(resource, change=change, lets_go=True)
        elif live is not None:
            change = Change(address, live.kind, "forget", live.id, "it is restored, and no stack owned it")
            resources.append(ResourceChange(change, None, live, mark=Mark(), lets_go=True))
