"""A snapshot and the live objects to what restores it: a Manifest of its values, its marks, and its messages. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.address import Address, matches
from lettaform.errors import Place, Problem, SnapshotError
from lettaform.kinds import companions, kinds
from lettaform.kinds.base import Attr, Never
from lettaform.kinds.traits import Companions, Contents, DiscoveredBy, LabelsOf, Parts, Policy
from lettaform.model import Change, Copy, Desired, External, Live, Manifest, Mark, Observed
from lettaform.ownership import marks
from lettaform.plan.changes import Diff, ResourceChange
from lettaform.plan.leaves import spelled
from lettaform.snapshot.conversations import Histories, Seen, copies, talks_of
from lettaform.snapshot.format import Entry, Snapshot
from lettaform.snapshot.unowned import Present, Unowned, declared_external, letting_go
from lettaform.values import UNREAD, Digest, Item, Ref, Secret, canonical, has_refs, settle

Load = Callable[[str], Any]
"""The value of a file of a snapshot. Raises SnapshotError."""
PLACE = Place("", 0, 0)
COMPUTED = frozenset({"max_files_open", "per_file_view_window_char_limit"})
"""Fields that 0.16.8 derives from others unless they are set: they are restored if lettaform had set them."""


@dataclass(frozen=True)
class Restoration:
    """What restores a snapshot.

    manifest   the values of its objects, and what they use
    marks      address to the mark that the object had
    histories  address of an agent or a conversation that is gone to the messages that it begins with
    copies     address of a conversation to what is written to its own copies of blocks
    notes      address to what is not restored, for people
    brought    addresses of objects that nobody owned: the stack lets go of them at the end
    problems   what cannot be restored
    warnings   what the snapshot has and no address of it
    """

    manifest: Manifest
    marks: Mapping[Address, Mark] = field(default_factory=dict)
    histories: Mapping[Address, Mapping[str, Any]] = field(default_factory=dict)
    copies: Mapping[Address, Mapping[str, Copy]] = field(default_factory=dict)
    notes: Mapping[Address, tuple[str, ...]] = field(default_factory=dict)
    brought: frozenset[Address] = frozenset()
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()


def restoration(
    snapshot: Snapshot,
    load: Load,
    observed: Observed,
    declared: Manifest,
    patterns: tuple[str, ...] = (),
    seen: Seen | None = None,
    present: Present | None = None,
) -> Restoration:
    """What restores these objects of a snapshot, or all that have an address.

    observed  with all fields; what exists keeps its id
    declared  the manifest of the project: the values of secrets, which no snapshot has
    seen      what the server has of `unseen`
    present   what the server has of what agents made themselves
    """
    return _Builder(snapshot, load, observed, declared, patterns, seen or Seen(), present or Present()).build()


def unseen(snapshot: Snapshot, observed: Observed, patterns: tuple[str, ...] = ()) -> tuple[list[Live], list[Live]]:
    """What the restore of conversations needs: agents whose messages to read, and conversations with own copies."""
    agents, talks = dict[str, Live](), list[Live]()
    by_id = snapshot.by_id
    for owner, entries in talks_of(snapshot).items():
        for entry in entries:
            address = entry.live.address
            if address is None or (patterns and not matches(address, patterns)):
                continue
            live = observed.objects.get(address)
            agent = by_id[owner].live.address if owner in by_id else None
            if live is not None and entry.live.discovered.get("block"):
                talks.append(live)
            elif live is None and agent and agent in observed.objects and not by_id[owner].without_messages:
                agents[observed.objects[agent].id] = observed.objects[agent]
    return list(agents.values()), talks


def restorable(snapshot: Snapshot, patterns: tuple[str, ...] = ()) -> dict[Address, Entry]:
    """What a restore brings back: the objects that have an address, without own blocks that agents had detached."""
    orphaned = _orphaned(snapshot)
    return {
        entry.live.address: entry
        for entry in snapshot.entries
        if not entry.used and entry.live.address and (not patterns or matches(entry.live.address, patterns))
        if entry.live.id not in orphaned
    }


def creators(entries: Mapping[Address, Entry]) -> dict[Address, Address]:
    """Address of an object to the one along with which the server creates it."""
    return {
        created: owner
        for owner, entry in entries.items()
        for name, _, created in companions(owner)
        if entry.live.values.get(name) is True
    }


class _Builder:
    def __init__(
        self,
        snapshot: Snapshot,
        load: Load,
        observed: Observed,
        declared: Manifest,
        patterns: tuple[str, ...],
        seen: Seen,
        present: Present,
    ) -> None:
        self.snapshot, self.load, self.observed, self.declared = snapshot, load, observed, declared
        self.patterns, self.seen = patterns, seen
        self.problems = list[Problem]()
        restored = restorable(snapshot, patterns)
        self.unowned = Unowned(snapshot, restored, observed, declared, present)
        self.entries = {**restored, **self.unowned.brought}
        self.kept: dict[Address, Entry] = {
            address: Entry(replace(live, address=address))
            for address, live in observed.objects.items()
            if live.stack == declared.stack and address not in self.entries
        }
        """What else the stack has, as it is now. The plan needs it, and changes nothing of it."""
        self.owned = {live.id: a for a, live in observed.objects.items() if live.stack == declared.stack}
        self.by_id = {**{each.live.id: each for each in self.kept.values()}, **snapshot.by_id}
        self.creators = creators({**self.kept, **self.entries})
        self.externals: dict[Address, Desired] = {}
        self.found: dict[str, Ref] = {}
        """Id of an object of others, or of one that is not restored, to the reference that finds it."""
        self.notes = defaultdict[Address, list[str]](list)
        self.histories: dict[Address, Mapping[str, Any]] = {}
        self.copies: dict[Address, Mapping[str, Copy]] = {}
        self.past = Histories(snapshot, load, observed, seen, self.entries.keys(), self.creators)

    def build(self) -> Restoration:
        every = {**self.kept, **self.entries}
        objects = {address: self.desired(address, entry) for address, entry in every.items()}
        state = self.observed.state
        manifest = Manifest(
            stack=self.declared.stack,
            objects={**self.externals, **objects},
            environment=state.environment if state.exists else self.snapshot.header.environment,
            snapshots=self.declared.snapshots,
        )
        parts = defaultdict[Address | None, dict[str, dict[str, Any]]](dict)
        for address, entry in self.entries.items():
            parts[address.parent][address.child or ""] = dict(entry.live.mark.base)
        found = {address: _mark(self, address, entry, parts[address]) for address, entry in self.entries.items()}
        notes = {address: tuple(every) for address, every in self.notes.items()}
        warnings = (*(() if self.patterns else _left_out(self)), *self.unowned.changed(self.load))
        more = (frozenset(self.unowned.brought), tuple(self.problems), warnings)
        return Restoration(manifest, found, self.histories, self.copies, notes, *more)

    def live(self, address: Address) -> Live | None:
        return self.unowned.live(address)

    def problem(self, address: Address, message: str, field: str | None = None, hint: str | None = None) -> None:
        self.problems.append(Problem(f"{address}: {message}", hint=hint, address=str(address), field=field))

    # --- values

    def desired(self, address: Address, entry: Entry) -> Desired:
        """An object as the snapshot has it. Nothing of it belongs to the agents while it is restored."""
        kind, live = entry.live.kind, self.live(address)
        values = dict(self.values(address, entry, live))
        values |= self.labels(entry)
        if live is None:
            values |= self.secrets(address, entry)
            self.bring_back(address, entry, values)
            self.notes[address] += _given_parts(self, address, kind)
        if kinds()[kind].owner_line():
            self.copies[address], lost = copies(entry, self.by_id, live, self.seen)
            self.notes[address] += lost
        protected = self.observed.state.protected | (self.snapshot.state.protected if self.snapshot.state else set())
        brought = address in self.unowned.brought
        return Desired(
            address,
            kind,
            self.unowned.unfinished(address, values) if brought else values,
            PLACE,
            policies={} if brought else dict(_policies(kind, live, values, restored=address in self.entries)),
            prevent_destroy=address in protected,
            created_with=self.creators.get(address),
        )

    def values(self, address: Address, entry: Entry, live: Live | None) -> Iterator[tuple[str, Any]]:
        table = kinds()[entry.live.kind]
        for name, line in table.attrs().items():
            value = entry.live.values.get(name, UNREAD)
            if line.related(Contents) and entry.contents:
                yield name, self.items(entry, name)
            elif value is UNREAD or not self.is_restored(line, entry, live):
                continue
            elif line.to:
                yield from self.references(address, line, value, live)
            elif value is None:
                yield from self.emptied(address, line, live)
            elif live is not None or value not in ("", [], {}) or name == "value":
                self.check_changeable(address, line, value, live)
                self.note_merged(address, line, value, live)
                yield name, _without_added(line, value, live)

    def is_restored(self, line: Attr, entry: Entry, live: Live | None) -> bool:
        table = kinds()[entry.live.kind]
        if line.secret or line.create_only or line.related(Parts) or line.related(Contents):
            return False
        if line.name in COMPUTED:
            return line.name in entry.live.mark.base
        if line.related(Companions):
            return live is None or live.values.get(line.name) != entry.live.values.get(line.name)
        return bool(line.write or line.link) or line.name == table.name_field

    def emptied(self, address: Address, line: Attr, live: Live | None) -> Iterator[tuple[str, Any]]:
        """A field that had no value and has one now."""
        have = live.values.get(line.name) if live else None
        if have is UNREAD or have in (None, "", [], {}) or (isinstance(have, str) and not have.strip()):
            return  # 0.16.8 cannot empty the description of a group: a space remains of a mark
        if line.partial and not line.merges:
            yield line.name, _without_added(line, {}, live)
        elif line.clear is Never or line.immutable:
            self.problem(address, f"had no `{line.name}`, and the server cannot remove it", line.name)
        else:
            yield line.name, None

    def check_changeable(self, address: Address, line: Attr, value: Any, live: Live | None) -> None:
        table = kinds()[live.kind] if live else None
        if live is None or table is None or not line.immutable or line.read is None:
            return
        if spelled(table, line, live.values.get(line.name)) != spelled(table, line, value):
            self.problem(address, f"`{line.name}` cannot be changed back in place", line.name)

    def note_merged(self, address: Address, line: Attr, value: Any, live: Live | None) -> None:
        """Note the entries of a map that stay, because an update only adds to it."""
        have = live.values.get(line.name) if live else None
        if line.merges and isinstance(have, Mapping) and isinstance(value, Mapping):
            stay = sorted(key for key in have if key not in value and have[key] is not None)
            if stay:
                named = ", ".join(f"`{line.name}.{key}`" for key in stay)
                self.notes[address].append(f"keeps {named}: an update only adds entries to this map")

    def items(self, entry: Entry, name: str) -> list[Item]:
        """The passages or files of an object; what has no content is left as it is on the server."""
        held = self.load(entry.contents or "").get(name, [])
        return [Item(each["key"], each["name"], each["body"]) for each in held]

    def references(self, address: Address, line: Attr, value: Any, live: Live | None) -> Iterator[tuple[str, Any]]:
        ids = [id for id in (value if isinstance(value, list) else [value]) if isinstance(id, str)]
        own = {id for id in ids if (e := self.by_id.get(id)) and e.live.address and e.live.address.parent == address}
        found = [ref for id in ids if id not in own and (ref := self.reference(address, line, id)) is not None]
        if line.additive or isinstance(value, list):
            yield line.name, found
        elif found:
            yield line.name, found[0]

    def reference(self, address: Address, line: Attr, id: str) -> Ref | None:
        """A reference to an object: of the snapshot, of the stack, or of others by what finds it."""
        if (unowned := self.unowned.targets.get((address, id))) is not None:
            return self.unowned_reference(address, id, unowned)
        entry = self.by_id.get(id)
        target = entry.live.address if entry else None
        if target in self.entries or target in self.kept:
            return Ref(target)
        if address in self.kept:  # nothing is written to it
            return None
        if entry is None:
            self.problem(address, f"refers to {id}, which is not in the snapshot", line.name)
            return None
        unique = kinds()[entry.live.kind].unique
        if target and unique and self.snapshot.header.stack != self.declared.stack:
            return self.external(id, target, entry, External(name=entry.live.name))
        if target:
            hint = f"name it, too: '{address}' '{target}'"
            self.problem(address, f"needs {target}, which does not exist", line.name, hint)
            return None
        if (desired := declared_external(self.declared, entry)) is not None:
            self.externals.setdefault(desired.address, desired)
            return self.found.setdefault(id, Ref(desired.address))
        found = External(name=entry.live.name, offered_by=self.offering(entry)) if unique else External(id=id)
        return self.external(id, self.other(entry.live, found), entry, found)

    def unowned_reference(self, user: Address, id: str, target: Live | Address) -> Ref | None:
        """A reference to what is meant by one that nobody owned. None: the user has it already, as its own block."""
        if isinstance(target, Live):
            at = self.owned.get(target.id)
            if at is None:
                found = External(id=target.id)
                return self.external(target.id, self.other(target, found), Entry(target), found)
            if at.parent == user:
                return None
            target = at
        return self.found.setdefault(id, Ref(target))

    def other(self, live: Live, found: External) -> Address:
        """An address for an object of others: by its name, or by its id if that address is taken."""
        section = kinds()[live.kind].section
        address = Address.of(section, live.name or live.id)
        taken = address in self.entries or address in self.observed.objects
        taken = taken or (address in self.externals and self.externals[address].external != found)
        return Address.of(section, live.id) if taken else address

    def offering(self, entry: Entry) -> Address | None:
        """The address of the object that offers this one, such as the MCP server of a tool."""
        for line, _ in kinds()[entry.live.kind].relations(DiscoveredBy):
            owner = self.by_id.get(str(entry.live.values.get(line.name)))
            if owner and (owner.live.address in self.entries or owner.live.address in self.kept):
                return owner.live.address
        return None

    def external(self, id: str, address: Address, entry: Entry, external: External) -> Ref:
        self.externals.setdefault(address, Desired(address, entry.live.kind, {}, PLACE, external=external))
        return self.found.setdefault(id, Ref(address))

    def labels(self, entry: Entry) -> dict[str, Any]:
        """The labels of the blocks of which a conversation has its own copies. No answer holds them."""
        copies = [self.by_id[id].live.name for id in entry.live.discovered.get("block", ()) if id in self.by_id]
        return {line.name: copies for line, _ in kinds()[entry.live.kind].relations(LabelsOf) if copies}

    # --- what is gone

    def secrets(self, address: Address, entry: Entry) -> dict[str, Any]:
        """The secrets of an object that is created again, from the manifest of the project."""
        desired = self.declared.objects.get(address)
        found: dict[str, Any] = {}
        for path in entry.secrets:
            name, _, key = path.partition(".")
            value = desired.values.get(name) if desired else None
            value = value.get(key) if key and isinstance(value, Mapping) else value
            if value is None or (isinstance(value, Secret) and value.unset):
                hint = f"declare `{path}` of {address} in the manifest, and give its variable"
                self.problem(address, f"the value of its secret `{path}` is in no snapshot", name, hint)
            elif key:
                found.setdefault(name, {})[key] = value
            else:
                found[name] = value
        return found

    def bring_back(self, address: Address, entry: Entry, values: dict[str, Any]) -> None:
        """Messages of an agent or a conversation that is gone; notes on what is not restored."""
        if entry.file is None and not entry.without_messages:
            return
        if not kinds()[entry.live.kind].owner_line() and address not in self.creators:
            values["include_base_tools"] = values["include_base_tool_rules"] = False
        try:
            found = self.past.of(address, entry)
        except (SnapshotError, KeyError, TypeError, ValueError) as error:
            self.problem(address, f"its agent file cannot be used ({type(error).__name__})")
            return
        self.notes[address] += found.notes
        if found.history is not None:
            self.histories[address] = found.history


def _given_parts(builder: _Builder, address: Address, kind: str) -> Iterator[str]:
    """A note for each block that the server gives to an object that it creates, and that the object did not have."""
    for name, key in kinds()[kind].discovered_parts().items() if address in builder.creators else ():
        if address.part(name, key) not in builder.entries:
            yield f"gets the block `{key}`, which it did not have: the server creates it together with the agent"


def _left_out(builder: _Builder) -> Iterator[Problem]:
    """What is in the snapshot and has no address, such as conversations that people began."""
    orphaned = _orphaned(builder.snapshot)
    copies = {id for entry in builder.entries.values() for ids in entry.live.discovered.values() for id in ids}
    for entry in builder.snapshot.entries:
        if entry.live.id in orphaned:
            message = f"{entry.shown} ({entry.live.id}) was not attached to its agent, and is not restored"
            yield Problem(message, severity="warning", address=str(entry.live.address))
        elif entry.live.address in builder.entries and not _has_owner(builder, entry.live.address):
            message = f"{entry.shown} belongs to an agent that the snapshot does not have, and is not restored"
            yield Problem(message, severity="warning", address=str(entry.live.address))
        elif entry.live.address is None and not entry.used and entry.live.id not in copies:
            message = f"{entry.shown} has no address in the stack, and is not restored"
            yield Problem(message, severity="warning")


def _has_owner(builder: _Builder, address: Address | None) -> bool:
    """Whether an object is no part of another one, or its owner is restored or exists."""
    parent = address.parent if address else None
    return parent is None or parent in builder.entries or parent in builder.kept


def _without_added(line: Attr, value: Any, live: Live | None) -> Any:
    """A value of a snapshot; a map also has a null for each entry that was added since, which removes it."""
    have = live.values.get(line.name) if live else None
    if line.merges or not line.partial or not (isinstance(have, Mapping) and isinstance(value, Mapping)):
        return value
    return {**value, **{key: None for key in have if key not in value}}


def _policies(
    kind: str, live: Live | None, values: Mapping[str, Any], *, restored: bool
) -> Iterator[tuple[str, Policy]]:
    """What the snapshot has is written; what it has not stays: secrets, and members of what is not restored."""
    for name, line in kinds()[kind].attrs().items():
        is_unknown = not restored and (name not in values or bool(line.to))
        stays = is_unknown or (live is not None and (line.secret or line.embeds))
        yield name, "ignore" if stays else "enforce"


def _orphaned(snapshot: Snapshot) -> frozenset[str]:
    """The ids of own blocks that their agents had detached."""
    agents = {entry.live.address: entry.live for entry in snapshot.entries if entry.live.address}
    owned = [(entry.live, entry.live.address.parent) for entry in snapshot.entries if entry.live.address]
    pairs = ((live, agents[agent]) for live, agent in owned if agent in agents and live.kind == "block")
    return frozenset(live.id for live, agent in pairs if live.id not in agent.ids("blocks"))


# --- marks ----------------------------------------------------------------------------------------------------------


def _mark(builder: _Builder, address: Address, entry: Entry, parts: Mapping[str, Mapping[str, Any]]) -> Mark:
    """The mark that an object had, about the objects that exist now. `parts`: the bases of its own blocks."""
    table, old = kinds()[entry.live.kind], entry.live.mark
    base: dict[str, Any] = dict(old.base)
    for name, line in table.attrs().items():
        value = entry.live.values.get(name)
        if line.to and name in base and isinstance(value, str | list) and base[name] == spelled(table, line, value):
            now = [_now(builder, id) for id in value] if isinstance(value, list) else _now(builder, value)
            base[name] = Digest(now, line.unordered) if has_refs(now) else spelled(table, line, now)
    members = {name: tuple(_now(builder, each) for each in every) for name, every in old.members.items()}
    return Mark(base, members, {**old.parts, **parts}, promoted=old.promoted)


def _now(builder: _Builder, member: Any) -> Any:
    """A member of the mark of an object: the id of what is at its address now, or will be.

    Built-in tools and other objects of others can have other ids by now: what finds them says it.
    """
    entry = builder.by_id.get(member) if isinstance(member, str) else None
    address = entry.live.address if entry else None
    if address is None:
        return builder.found.get(member, member) if isinstance(member, str) else member
    live = builder.live(address)
    return live.id if live else Ref(address) if address in builder.entries else member


# --- the difference --------------------------------------------------------------------------------------------------


def restored(difference: Diff, found: Restoration) -> Diff:
    """The difference with the marks of the snapshot, and with the messages of agents that are created."""
    observed = difference.observed
    lives = observed.objects if observed else {}
    found = replace(found, marks={address: _known(mark, lives) for address, mark in found.marks.items()})
    own = {each.live.id: each.address.parent for each in difference.resources if each.live and each.address.parent}
    resources = [each for resource in difference.resources for each in _restored(_with_own(resource, own), found)]
    seen = {resource.address for resource in difference.resources}
    for address, mark in found.marks.items():
        live = lives.get(address)
        if address not in seen and live is not None and not _same(live.mark, mark):
            change = Change(address, live.kind, "mark", live.id, "restore")
            resources.append(ResourceChange(change, found.manifest.objects[address], live, mark=mark))
    resources = [_with_copies(each, found) for each in resources]
    if observed is not None:
        letting_go(resources, found.brought, observed)
    seen = {resource.address for resource in resources}
    for address, written in found.copies.items():
        live = lives.get(address)
        if address not in seen and live is not None and written:
            change = Change(address, live.kind, "update", live.id, "restore")
            resources.append(_with_copies(ResourceChange(change, found.manifest.objects[address], live), found))
    return replace(difference, resources=tuple(resources), runtime=(), unmanaged=(), warnings=())


def _with_copies(resource: ResourceChange, found: Restoration) -> ResourceChange:
    """A change that also writes the object's own copies of blocks."""
    written = found.copies.get(resource.address)
    if not written:
        return resource
    change, shown = resource.change, tuple(each for copy in written.values() for each in copy.changes)
    action = "update" if change.action == "mark" else change.action
    change = replace(change, action=action, fields_changed=(*change.fields_changed, *shown))
    return replace(resource, change=change, copies=written)


def _with_own(resource: ResourceChange, own: Mapping[str, Address | None]) -> ResourceChange:
    """A change that detaches no own block: one without a mark is not listed, if its creation was interrupted.

    own  id of an own block to the address of its agent
    """
    stay = {id for _, id in resource.detach if isinstance(id, str) and own.get(id) == resource.address}
    if not stay:
        return resource
    kept = tuple((name, id) for name, id in resource.detach if not (isinstance(id, str) and id in stay))
    lists = {name for name, _ in (*kept, *resource.attach)}
    shown = tuple(each for each in resource.change.fields_changed if each.path != "blocks" or "blocks" in lists)
    return replace(resource, detach=kept, change=replace(resource.change, fields_changed=shown))


def _known(mark: Mark, lives: Mapping[Address, Live]) -> Mark:
    """A mark with the ids of members that exist."""

    def member(each: Any) -> Any:
        return lives[each.address].id if isinstance(each, Ref) and each.address in lives else each

    def base(each: Any) -> Any:
        known = settle(each.value, member) if isinstance(each, Digest) else None
        return each if known is None or has_refs(known) else each.of(known)

    members = {name: tuple(map(member, every)) for name, every in mark.members.items()}
    return replace(mark, base={path: base(each) for path, each in mark.base.items()}, members=members)


def _restored(resource: ResourceChange, found: Restoration) -> Iterator[ResourceChange]:
    mark = found.marks.get(resource.address)
    if mark is None:
        if resource.desired is not None and resource.desired.external:
            yield resource
        elif own := _own_blocks(resource, found):  # an agent that is not restored itself gets own blocks back
            shown = tuple(
                replace(each, reason="restore") for each in resource.change.fields_changed if each.path == "memory"
            )
            change = replace(resource.change, action="update", fields_changed=shown, notes=(), place=None)
            yield replace(resource, change=change, fields={}, attach=own, detach=(), mark=None)
        elif resource.calls and resource.live is not None:  # it is compiled again, and stays what it is
            change = replace(resource.change, action="update", fields_changed=(), notes=(), place=None)
            yield replace(resource, change=change, fields={}, attach=(), detach=(), mark=None)
        return
    resource = _without_secrets(resource)
    change, live = resource.change, resource.live
    writes = resource.fields or resource.attach or resource.detach or resource.calls or change.fields_changed
    bare = live is not None and change.action in ("mark", "update") and not (writes or change.recompiles)
    if bare and live is not None and live.marked and _same(live.mark, mark):
        return
    if live is not None and change.action in ("mark", "update"):
        change = replace(change, action="mark" if bare else "update")
    fields = tuple(replace(each, reason="restore") for each in change.fields_changed)
    # the notes of an update say what a manifest no longer declares
    notes = (*(change.notes if live is None else ()), *found.notes.get(resource.address, ()))
    change = replace(change, fields_changed=fields, reason="manifest", place=None, notes=notes)
    inline = resource.mark is None and live is None  # an own block that is created with its agent
    history = found.histories.get(resource.address) if live is None else None
    kept = live is not None and live.marked and _same(live.mark, mark) and change.action == "update"
    if history is not None and (owner := _owner(resource)):  # it gets messages of its agent, and then its prompt
        resource = replace(resource, waits=(*resource.waits, owner))
    yield _without_empty(replace(resource, change=change, mark=None if inline or kept else mark, history=history))


def _own_blocks(resource: ResourceChange, found: Restoration) -> tuple[tuple[str, Any], ...]:
    """The own blocks among the members that are attached, as far as they are restored."""
    pairs = ((name, each) for name, each in resource.attach if isinstance(each, Ref) and each.address in found.marks)
    return tuple((name, each) for name, each in pairs if each.address.parent == resource.address)


def _owner(resource: ResourceChange) -> Address | None:
    """The address of the object to which an object belongs, as a conversation to its agent."""
    line = kinds()[resource.change.kind].owner_line()
    value = resource.desired.values.get(line.name) if resource.desired and line else None
    return value.address if isinstance(value, Ref) else None


def _without_empty(resource: ResourceChange) -> ResourceChange:
    """A change without the files of which the snapshot has no content, as of a PDF. A note names them."""
    empty = [member.name for _, member in resource.attach if isinstance(member, Item) and not member.body]
    if not empty:
        return resource
    kept = tuple((name, each) for name, each in resource.attach if not (isinstance(each, Item) and not each.body))
    note = f"not restored, because the server does not give their content: {', '.join(sorted(empty))}"
    change = replace(resource.change, notes=(*resource.change.notes, note))
    return replace(resource, change=change, attach=kept)


def _without_secrets(resource: ResourceChange) -> ResourceChange:
    """A change of an existing object without its secrets: no snapshot has them, and they stay as they are."""
    if resource.live is None:
        return resource
    secret = {name for name, line in kinds()[resource.live.kind].attrs().items() if line.secret or line.embeds}
    shown = tuple(each for each in resource.change.fields_changed if each.path.split(".")[0] not in secret)
    fields = {name: value for name, value in resource.fields.items() if name not in secret}
    return replace(resource, change=replace(resource.change, fields_changed=shown), fields=fields)


def _same(one: Mark, other: Mark) -> bool:
    return _spelled(one) == _spelled(other)


def _spelled(mark: Mark) -> str:
    body = marks.metadata(mark)
    members = {name: sorted(map(str, every)) for name, every in body.get("members", {}).items()}
    base = {path: str(each) for path, each in body.get("base", {}).items()}
    return canonical({"base": base, "members": members, "lent": body.get("lent"), "promoted": body.get("promoted")})
