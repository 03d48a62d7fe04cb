"""A Manifest and its Diff to a StackStatus: what is on the server, how it differs, and how full its memory is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from lettaform.address import Address, matches
from lettaform.errors import Place, Problem
from lettaform.kinds import kind_of, kinds
from lettaform.kinds.traits import Contents
from lettaform.model import (
    WHOLE,
    Action,
    AgentChange,
    Change,
    Desired,
    LastRun,
    Live,
    Lock,
    Manifest,
    Observed,
    Shard,
)
from lettaform.ownership.canaries import original_of
from lettaform.ownership.shards import Spread
from lettaform.plan.changes import Diff
from lettaform.plan.drift import classify
from lettaform.values import UNREAD, secrets

Status = Literal[
    "ok",
    "drifted",
    "outdated",
    "stale",
    "missing",
    "conflict",
    "unowned",
    "unmarked",
    "removed",
    "gone",
    "undeclared",
    "canary",
    "orphaned",
    "duplicate",
    "external",
]
"""How an object differs from the manifest.

ok          it is as declared
drifted     changed outside lettaform; the next apply writes the manifest's values back
outdated    the manifest has changed; the next apply updates or replaces it
stale       nothing of it differs, but its prompt is compiled again, because something that stands in it changes
missing     declared, and not on the server; the next apply creates it
conflict    the manifest and the server changed the same lines of a text
unowned     on the server, and not of the stack yet; the next apply adopts it
unmarked    as declared; the next apply writes its mark
removed     an entry of `removed:` names it; the next apply deletes or forgets it
gone        neither declared nor on the server; the next apply removes it from the state
undeclared  marked, and no longer declared; it is left as it is
canary      a copy of an agent that tries its change; it is left as it is
orphaned    a memory block of the stack that its agent does not have
duplicate   marked with an address that belongs to another object
external    used by the stack, and never written
"""

STATUSES: tuple[Status, ...] = get_args(Status)


@dataclass(frozen=True)
class Memory:
    """Characters in one block, or in all blocks of an agent, and the sum of their limits."""

    used: int = 0
    limit: int = 0

    def __add__(self, other: Memory) -> Memory:
        return Memory(self.used + other.used, self.limit + other.limit)

    @property
    def share(self) -> float:
        """The part that is used, from 0 to 1, and more where a text is longer than its limit allows."""
        return self.used / self.limit if self.limit else 0.0


@dataclass(frozen=True)
class ObjectStatus:
    """The status of one object.

    id        None if it is not on the server
    action    what a plan does with it; None: nothing
    drifted   paths of the fields that were changed outside lettaform and would be written back
    changed   paths of the fields that would be written for another reason
    kept      paths of the values that were changed by agents and are kept
    seeds     paths of the values that the manifest changed, and that are not written because they belong to agents
    reason    why an undeclared object is left as it is; empty for others
    model     the handle of its language model, if it has one
    members   field to the number of objects, passages or files in it, as far as it was read
    users     number of agents of the stack that use it; None if agents cannot, or if that was not read
    memory    of a block, and of an agent with all blocks that are attached to it
    fullest   label and memory of that block of an agent of which the largest share is used
    created   when the server created it, in ISO 8601; empty if that is not known
    last_run  what the server says about its last run
    unused    an agent that never ran
    place     where it is declared
    """

    address: Address
    kind: str
    id: str | None
    name: str
    status: Status
    action: Action | None = None
    drifted: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    reason: str = ""
    model: str | None = None
    tags: tuple[str, ...] = ()
    members: Mapping[str, int] = field(default_factory=dict)
    users: int | None = None
    memory: Memory | None = None
    fullest: tuple[str, Memory] | None = None
    created: str = ""
    last_run: LastRun | None = None
    unused: bool = False
    place: Place | None = None


@dataclass(frozen=True)
class StatusOptions:
    """Which objects are shown: those of which a pattern matches the address, and that have one of the tags.

    shard  only the objects of this shard
    """

    patterns: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    shard: Shard = WHOLE


@dataclass(frozen=True, repr=False)
class StackStatus:
    """The status of the objects of a stack, by kind in the order of the manifest, and then by address.

    total     number of objects of the stack, selected or not; external objects are not counted
    lock      the lock, if a run holds it
    shard     the shard of which the objects are
    """

    stack: str
    url: str
    version: str
    environment: str | None = None
    objects: tuple[ObjectStatus, ...] = ()
    total: int = 0
    lock: Lock | None = None
    warnings: tuple[Problem, ...] = ()
    shard: Shard = WHOLE

    def __repr__(self) -> str:
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items() if number)
        return f"<StackStatus of {self.stack} on {self.url}: {counts or 'no objects'}>"

    @property
    def counts(self) -> dict[Status, int]:
        """Status to the number of selected objects that have it."""
        found = Counter(each.status for each in self.objects)
        return {status: found[status] for status in STATUSES}

    @property
    def count(self) -> int:
        """Number of selected objects of the stack."""
        return sum(each.status != "external" for each in self.objects)

    @property
    def kept(self) -> int:
        """Number of values that were changed by agents and are kept."""
        return sum(len(each.kept) for each in self.objects)

    @property
    def seeds(self) -> int:
        """Number of values that the manifest changed and that are not written."""
        return sum(len(each.seeds) for each in self.objects)

    def select(self, options: StatusOptions) -> StackStatus:
        """The same with the selected objects alone. An own block is selected with its agent."""
        chosen = [each for each in self.objects if not options.patterns or matches(each.address, options.patterns)]
        if options.tags:
            tagged = {each.address for each in self.objects if not {*each.tags}.isdisjoint(options.tags)}
            chosen = [each for each in chosen if not tagged.isdisjoint((each.address, each.address.parent))]
        return replace(self, objects=tuple(chosen))


def status(manifest: Manifest, difference: Diff, shard: Shard = WHOLE) -> StackStatus:
    """The status of every object of a shard that the manifest declares, or that the stack owns."""
    observed = difference.observed
    assert observed is not None
    found = _Found.of(manifest, difference)
    declared = (each for a in manifest.objects if (each := found.declared(manifest.objects[a])))
    objects = sorted([*declared, *found.others(manifest)], key=lambda each: (_order(each), str(each.address)))
    everything = StackStatus(
        manifest.stack, observed.url, observed.version, manifest.environment, tuple(objects), warnings=found.warnings()
    )
    spread = Spread.of(manifest, observed) if shard else Spread({})
    mine = tuple(each for each in objects if spread.has(shard, each.address))
    return replace(everything, total=everything.count, objects=mine, shard=shard)


# --- drift -----------------------------------------------------------------------------------------------------------


def status_of(change: Change, drifted: Collection[str] = ()) -> Status:
    """How the object of a planned change differs from the manifest. `drifted`: its fields that changed outside."""
    match change.action:
        case "create":
            return "missing"
        case "adopt":
            return "unowned"
        case "mark":
            return "unmarked"
        case "delete":
            return "removed"
        case "forget":
            return "removed" if change.id and change.place else "gone"
        case "update" | "replace":
            return _updated(change, drifted)


def _updated(change: Change, drifted: Collection[str]) -> Status:
    if change.reason == "drift" or drifted:
        return "drifted"
    is_compiled = change.recompiles + change.conversations > 0
    return "stale" if change.action == "update" and is_compiled and not change.fields_changed else "outdated"


def _unset_secrets(manifest: Manifest, observed: Observed) -> set[str]:
    """The expressions of the secrets of existing objects that have no value in this run."""
    existing = (each for address, each in manifest.objects.items() if address in observed.objects)
    return {secret.expression for each in existing for secret in secrets(each.values) if secret.unset}


def _compared(change: Change) -> Change:
    """A change without the fields whose value is a secret that has no value in this run."""
    fields = tuple(each for each in change.fields_changed if not any(secret.unset for secret in secrets(each.new)))
    return replace(change, fields_changed=fields)


# --- objects ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Found:
    """A Diff by address, and what the live objects say about each other.

    changes  address to its change, without the secrets that have no value in this run
    drifted  address to the paths of the fields that were changed outside lettaform and would be written back
    unknown  expressions of these secrets
    agents   address to what agents changed of it
    users    id to the number of agents that refer to it
    used     the kinds that agents can use, as far as that was read
    """

    observed: Observed
    difference: Diff
    changes: Mapping[Address, Change]
    drifted: Mapping[Address, tuple[str, ...]]
    unknown: tuple[str, ...]
    agents: Mapping[Address, Sequence[AgentChange]]
    users: Mapping[str, int]
    used: frozenset[str]

    @classmethod
    def of(cls, manifest: Manifest, difference: Diff) -> _Found:
        observed, changes = difference.observed, dict[Address, Change]()
        assert observed is not None
        classes = classify(manifest, difference).items()
        drifted = {address: tuple(field.path for field in each.written_back) for address, each in classes}
        for resource in difference.resources:
            change = _compared(resource.change)
            left_out = len(change.fields_changed) < len(resource.change.fields_changed)
            if left_out and change.action == "update" and not change.fields_changed:
                continue
            if not resource.surplus:
                changes[change.address] = change
        agents = defaultdict(list)
        for each in difference.runtime:
            agents[each.address].append(each)
        users, used = _users(observed), _used_by_agents(observed)
        unknown = tuple(sorted(_unset_secrets(manifest, observed)))
        return cls(observed, difference, changes, drifted, unknown, agents, users, used)

    def declared(self, desired: Desired) -> ObjectStatus | None:
        """The status of a declared object; None if it is external and not there."""
        address, live = desired.address, self.observed.objects.get(desired.address)
        change, of_agents = self.changes.get(address), self.agents.get(address, ())
        drifted = self.drifted.get(address, ()) if change and live else ()
        if live is None and change is None:
            return None
        if any(each.conflict for each in of_agents):
            status: Status = "conflict"
        elif change is not None:
            status = status_of(change, drifted)
        else:
            status = "external" if desired.external else "ok"
        shown = self.of_live(live, address) if live else _missing(desired)
        return replace(
            shown,
            status=status,
            action=change.action if change else None,
            drifted=drifted,
            changed=tuple(each.path for each in change.fields_changed if each.path not in drifted)
            if change and live
            else (),
            kept=tuple(each.path for each in of_agents if each.live_moved and each.conflict is None),
            seeds=tuple(each.path for each in of_agents if each.seed_moved and not each.live_moved),
            place=desired.place,
        )

    def others(self, manifest: Manifest) -> Iterator[ObjectStatus]:
        """The objects of the stack that the manifest does not declare."""
        lives = {live.id: live for live in self.observed.objects.values()}
        lives |= {live.id: live for live in self.observed.duplicates}
        lives |= {live.id: live for _, live in self.observed.orphaned_blocks}
        duplicates = {live.id for live in self.observed.duplicates}
        orphaned = {live.id for _, live in self.observed.orphaned_blocks}
        for each in self.difference.unmanaged:
            left: Status = "undeclared" if original_of(each.address) is None else "canary"
            status: Status = "duplicate" if each.id in duplicates else "orphaned" if each.id in orphaned else left
            known = lives.get(each.id)
            row = self.of_live(known, each.address) if known else _bare(each.address, each.kind, each.id)
            yield replace(row, status=status, reason=each.reason)
        for address, change in self.changes.items():
            if address not in manifest.objects and kind_of(address):
                known = lives.get(change.id or "")
                row = self.of_live(known, address) if known else _bare(address, change.kind, change.id)
                yield replace(row, status=status_of(change), action=change.action, place=change.place)

    def of_live(self, live: Live, address: Address) -> ObjectStatus:
        """What a live object says about itself, as if it were as declared."""
        blocks = self.observed.attached.get(live.id, ())
        model, tags = live.values.get("model"), live.values.get("tags")
        return ObjectStatus(
            address,
            live.kind,
            live.id,
            live.name,
            "ok",
            model=model if isinstance(model, str) else None,
            tags=_texts(tags),
            members=dict(_members(live)),
            users=self.users.get(live.id, 0) if live.kind in self.used else None,
            memory=_memory(live, blocks),
            fullest=_fullest(blocks),
            created=live.created,
            last_run=live.last_run,
            unused=live.unused,
        )

    def warnings(self) -> tuple[Problem, ...]:
        if not self.unknown:
            return ()
        message = f"{', '.join(self.unknown)}: without a value here, and therefore not compared"
        return (Problem(message, None, "set the variable to have its value compared", severity="warning"),)


def _missing(desired: Desired) -> ObjectStatus:
    """What a declaration says about an object that does not exist yet."""
    values = desired.values
    name, model, tags = values.get(kinds()[desired.kind].name_field), values.get("model"), values.get("tags")
    return ObjectStatus(
        desired.address,
        desired.kind,
        None,
        name if isinstance(name, str) else "",
        "missing",
        model=model if isinstance(model, str) else None,
        tags=_texts(tags),
    )


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(each for each in value if isinstance(each, str)) if isinstance(value, list) else ()


def _bare(address: Address, kind: str, id: str | None) -> ObjectStatus:
    """What is known of an object that was not read."""
    return ObjectStatus(address, kind, id, "", "gone")


def _order(each: ObjectStatus) -> int:
    """Agents first, then blocks, and then the other kinds."""
    names = [*kinds()]
    return {"agent": -2, "block": -1}.get(each.kind, names.index(each.kind) if each.kind in names else len(names))


# --- what a live object holds ----------------------------------------------------------------------------------------


def _members(live: Live) -> Iterator[tuple[str, int]]:
    """Each list of references or contents of an object that was read, and how many it holds."""
    for name, line in kinds()[live.kind].attrs().items():
        value = live.values.get(name, UNREAD)
        if (line.to or line.related(Contents)) and isinstance(value, list):
            yield name, len(value)


def _memory(live: Live, blocks: Iterable[Live]) -> Memory | None:
    """The memory of a block, or of an agent with these blocks; None for other kinds."""
    if live.kind == "block":
        return _of_block(live)
    return sum(map(_of_block, blocks), Memory()) if live.kind == "agent" else None


def _of_block(live: Live) -> Memory:
    value, limit = live.values.get("value"), live.values.get("limit")
    return Memory(len(value) if isinstance(value, str) else 0, limit if isinstance(limit, int) else 0)


def _fullest(blocks: Iterable[Live]) -> tuple[str, Memory] | None:
    each = ((live.name, _of_block(live)) for live in blocks)
    return max(each, key=lambda pair: (pair[1].share, pair[1].used), default=None)


def _users(observed: Observed) -> Mapping[str, int]:
    """Id of an object to the number of agents of the stack that refer to it."""
    found: Counter[str] = Counter()
    for live in _agents(observed):
        ids = {id for name, line in kinds()[live.kind].attrs().items() if line.to for id in live.ids(name)}
        found.update(ids)
    return found


def _used_by_agents(observed: Observed) -> frozenset[str]:
    """The kinds to which a field of agents refers that was read of every agent."""
    lines: Mapping[str, Any] = {name: line for name, line in kinds()["agent"].attrs().items() if line.to}
    read = {name for name in lines if all(live.values.get(name) is not UNREAD for live in _agents(observed))}
    return frozenset(lines[name].to for name in read)


def _agents(observed: Observed) -> Iterator[Live]:
    return (live for live in observed.objects.values() if live.kind == "agent")
