"""One declared object and the live object to a Comparison: what differs, what is written, and the next mark."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import AddedByServer, AddsTo, Contents, Parts, Policy
from lettaform.model import AgentChange, Desired, FieldChange, Live, Reason
from lettaform.plan.leaves import Leaf, leaves, member_key, overlay, project, shown, spelled
from lettaform.plan.lookup import UNKNOWN, Lookup
from lettaform.plan.policy import Decision, decide, policies
from lettaform.plan.selection import matches
from lettaform.values import Digest, Item, Patch, Ref, Secret, canonical, tainted

Members = tuple[tuple[str, Any], ...]
"""Pairs of a field and a member of it."""


@dataclass(frozen=True)
class FieldResult:
    """The comparison of one field.

    base     leaf to the digest to store in the mark; None: the stored digests are kept
    members  the members to store in the mark; None: the stored members are kept
    body     what to write, under the field's name
    """

    base: Mapping[str, Any] | None = None
    members: tuple[Any, ...] | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    fields_changed: tuple[FieldChange, ...] = ()
    attach: Members = ()
    detach: Members = ()
    agent_changes: tuple[AgentChange, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """The comparison of one object: what to write, to attach and to detach, and the mark's base and members."""

    base: Mapping[str, Any]
    members: Mapping[str, tuple[Any, ...]]
    fields: Mapping[str, Any]
    fields_changed: tuple[FieldChange, ...]
    attach: Members
    detach: Members
    agent_changes: tuple[AgentChange, ...]
    notes: tuple[str, ...]

    @property
    def touched(self) -> frozenset[str]:
        """The names of the fields that change."""
        return frozenset(each.path.split(".")[0] for each in self.fields_changed)


def compare(lookup: Lookup, desired: Desired, live: Live) -> Comparison:
    """Compare the declared fields of `desired` with `live`. Each leaf is decided by its policy."""
    reseed = matches(desired.address, lookup.options.reseed)
    pair = _Pair(lookup, desired, live, kinds()[desired.kind], policies(desired), reseed)
    results = {name: _compare_field(pair, name, value) for name, value in desired.values.items()}
    each = results.values()
    body = {name: value for result in each for name, value in result.body.items()}
    again = _reset_fields(pair, body)
    return Comparison(
        base=_base(pair, results),
        members=dict(live.mark.members) | {n: r.members for n, r in results.items() if r.members is not None},
        fields=body | again,
        fields_changed=tuple(change for result in each for change in result.fields_changed),
        attach=tuple(member for result in each for member in result.attach),
        detach=tuple(member for result in each for member in result.detach),
        agent_changes=tuple(change for result in each for change in result.agent_changes),
        notes=tuple(f"`{name}` is sent again as it is: the server would reset it" for name in again),
    )


@dataclass(frozen=True)
class _Pair:
    """A declared object and the live object.

    owners  the policy of every field
    reseed  whether `--reseed` names the object
    """

    lookup: Lookup
    desired: Desired
    live: Live
    kind: type[Kind]
    owners: Mapping[str, Policy]
    reseed: bool

    def is_exact(self, line: Attr) -> bool:
        """Whether the manifest says `enforce`: then items of others are removed."""
        return self.desired.policies.get(line.name) == "enforce"

    def stored_members(self, line: Attr) -> tuple[Any, ...]:
        """The members of a list that lettaform added, by the mark."""
        return self.live.mark.members.get(line.name, ())


def _compare_field(pair: _Pair, name: str, value: Any) -> FieldResult:
    line = pair.kind.attrs()[name]
    if line.create_only or line.related(Parts):
        return FieldResult()
    if line.additive:
        return _compare_members(pair, line, value)
    if line.write is not None:
        return _compare_value(pair, line, value)
    have = pair.live.values.get(name)
    if have == value:
        return FieldResult()
    # the field is never written: a tool is renamed by its source
    return FieldResult(body={name: value}, fields_changed=(FieldChange(name, have, value, pair.owners[name]),))


def _base(pair: _Pair, results: Mapping[str, FieldResult]) -> dict[str, Any]:
    """The digests to store in the mark. Those of fields that are no longer declared are removed."""
    base: dict[str, Any] = {}
    for path, value in pair.live.mark.base.items():
        result = results.get(path.split(".")[0])
        if result is not None and result.base is None:
            base[path] = value
    for result in results.values():
        base |= result.base or {}
    return base


def _reset_fields(pair: _Pair, body: Mapping[str, Any]) -> dict[str, Any]:
    """Declared fields that are sent again as they are: the server resets a whole group when one of it is written."""
    lines = pair.kind.attrs()
    groups = {lines[name].group for name in body} - {None}
    again: dict[str, Any] = {}
    for name, value in pair.desired.values.items() if groups else ():
        line = lines[name]
        if line.group not in groups or name in body or line.write is None or value is None:
            continue
        held = line.read is not None and pair.live.values.get(name) is not None
        same = project(pair.live.values[name], value) if held else value
        again[name] = Patch(entries=tuple(same.items())) if line.partial else same
    return again


# --- values ----------------------------------------------------------------------------------------------------------

Judged = list[tuple[Leaf, Decision]]


def _compare_value(pair: _Pair, line: Attr, value: Any) -> FieldResult:
    want, have = line.clear if value is None else value, pair.live.values.get(line.name)
    if line.partial and value is not None and want == {}:
        return FieldResult(base={})  # an empty map declares nothing
    kept, members = _server_items(pair, line, want, have)
    if kept and isinstance(have, list):
        have = _without(pair.kind, line, have, kept)
    judged = [(leaf, judge(pair, line, leaf)) for leaf in leaves(line, want, have)]
    return FieldResult(
        base=_new_base(line, judged),
        members=members,
        body=_write(line, value, want, have, judged, kept),
        fields_changed=tuple(_show(pair, line, leaf, reason) for leaf, d in judged if (reason := d.write)),
        agent_changes=tuple(_kept(pair, line, leaf, d) for leaf, d in judged if d.runtime or d.seed_moved),
    )


def judge(pair: _Pair, line: Attr, leaf: Leaf) -> Decision:
    """Decide one leaf by its policy: digests of the value as last applied, as declared, and as found."""
    known = pair.lookup.known(leaf.want)
    # what does not exist yet has no digest, and differs from everything
    want = object() if known is UNKNOWN else spelled(pair.kind, line, known)
    base = _base_of(pair, line, leaf)
    if base is None and line.immutable and line.read is None:
        return Decision(base=want)  # the value at creation is not known
    have: object = base
    if line.read is not None:
        same = type(known) is str and type(leaf.have) is str and known == leaf.have
        have = want if same else spelled(pair.kind, line, project(leaf.have, known) if known else leaf.have)
    return decide(pair.owners[line.name], base, want, have, reseed=pair.reseed)


def _base_of(pair: _Pair, line: Attr, leaf: Leaf) -> str | None:
    """The digest of a leaf as last applied; None if there is none, as of every secret."""
    return None if line.secret or tainted(leaf.want) else pair.live.mark.base.get(leaf.path)


def _write(line: Attr, value: Any, want: Any, have: Any, judged: Judged, kept: list[Any]) -> dict[str, Any]:
    """What to send of a field: nothing if no leaf is written."""
    if not any(decision.write for _, decision in judged):
        return {}
    if not line.partial or not isinstance(want, Mapping):
        return {line.name: [*want, *kept] if kept else want}
    if value is None:
        return {line.name: Patch(entries=(), drop=tuple(have or ()))}
    # 0.16.8 merges such a map, and resets what depends on the changed entries: all declared entries are sent
    sent = [leaf for leaf, decision in judged if decision.write or line.merges]
    entries = {leaf.path[len(line.name) + 1 :]: overlay(leaf.have, leaf.want) for leaf in sent}
    dropped = tuple(key for key, item in entries.items() if item is None)
    return {line.name: Patch(entries=tuple((k, v) for k, v in entries.items() if v is not None), drop=dropped)}


def _new_base(line: Attr, judged: Judged) -> dict[str, Any]:
    """The base of a field: its leaves' digests. No digest of a secret is kept."""
    if line.secret:
        return {}
    return {
        leaf.path: decision.base if isinstance(decision.base, str) else Digest(leaf.want, line.unordered)
        for leaf, decision in judged
        if decision.base is not None and not tainted(leaf.want)
    }


def _show(pair: _Pair, line: Attr, leaf: Leaf, reason: Reason) -> FieldChange:
    old = pair.lookup.named(leaf.have) if line.to else shown(line, leaf.have, leaf.want, _base_of(pair, line, leaf))
    if line.secret and old is not None:  # that a secret exists may be shown, so that it appears as changed
        old = Secret("live", "")
    return FieldChange(leaf.path, old, leaf.want, pair.owners[line.name], reason, line.secret)


def _kept(pair: _Pair, line: Attr, leaf: Leaf, decision: Decision) -> AgentChange:
    have, want = (None, None) if line.secret else (leaf.have, leaf.want)
    have = shown(line, have, want, _base_of(pair, line, leaf))
    return AgentChange(pair.desired.address, leaf.path, pair.live.id, have, want, decision.seed_moved)


def _server_items(pair: _Pair, line: Attr, want: Any, have: Any) -> tuple[list[Any], tuple[Any, ...] | None]:
    """Items of a live list that the server added by itself and that were never declared: they are kept.

    Also returns the declared items of that sort, to store in the mark; None if there are none.
    """
    if (
        pair.is_exact(line)
        or not line.related(AddedByServer)
        or not (isinstance(want, list) and isinstance(have, list))
    ):
        return [], None
    kind, stored = pair.kind, pair.stored_members(line)
    declared = tuple(_item_key(kind, line, item) for item in want if kind.foreign(line.name, item))
    ours = {*stored, *(_item_key(kind, line, item) for item in want)}
    foreign = [item for item in kind.normal(line.name, have) if kind.foreign(line.name, item)]
    kept = [item for item in foreign if _item_key(kind, line, item) not in ours]
    return kept, declared if declared or line.name in pair.live.mark.members else None


def _item_key(kind: type[Kind], line: Attr, item: Any) -> str:
    return canonical(kind.normal(line.name, [item]))


def _without(kind: type[Kind], line: Attr, have: list[Any], kept: list[Any]) -> list[Any]:
    """A live list in its normal form, without the items that are kept as they are."""
    keys = {_item_key(kind, line, item) for item in kept}
    return [item for item in kind.normal(line.name, have) if _item_key(kind, line, item) not in keys]


# --- lists to which others add members, too --------------------------------------------------------------------------


def _compare_members(pair: _Pair, line: Attr, value: Any) -> FieldResult:
    if pair.owners[line.name] == "ignore":
        return FieldResult()
    want = [pair.lookup.member(item) for item in ([value] if isinstance(value, Ref) else value or ())]
    have = list(_live_members(pair, line))
    wanted, live, ours = frozenset(want), frozenset(have), frozenset(pair.stored_members(line))
    missing = [item for item in want if item not in live]
    dropped = frozenset(item for item in missing if _is_dropped(pair, line, item, ours))
    add = [item for item in missing if item not in dropped]
    drop = [item for item in have if item not in wanted and _is_ours(item, ours, pair, line)]
    drop = _without_entailed(pair, line, drop)
    one_by_one = line.link is not None or line.related(Contents) is not None
    return FieldResult(
        members=_members_to_store(pair, line, want, ours),
        body={} if one_by_one or not (add or drop) else {line.name: Patch(tuple(add), tuple(drop))},
        fields_changed=_show_members(pair, line, have, add, drop) if add or drop else (),
        attach=tuple((line.name, item) for item in add) if one_by_one else (),
        detach=tuple((line.name, item) for item in drop) if one_by_one else (),
        agent_changes=tuple(_dropped_block(pair, item) for item in missing if item in dropped),
    )


def _live_members(pair: _Pair, line: Attr) -> Iterator[Any]:
    """The members of a live list, without the object's own parts and without what this plan replaces."""
    addresses = pair.lookup.tables.addresses
    for item in pair.live.values.get(line.name) or ():
        address = None if isinstance(item, Item) else addresses.get(item)
        if address is None or (address.parent != pair.desired.address and address not in pair.lookup.replaced):
            yield item


def _is_ours(item: Any, ours: frozenset[Any], pair: _Pair, line: Attr) -> bool:
    """Whether a member that is not declared may be removed."""
    return pair.is_exact(line) or member_key(item) in ours


def _without_entailed(pair: _Pair, line: Attr, drop: list[Any]) -> list[Any]:
    """`drop` without the members that the server only puts back, because another field of the object needs them."""
    if not drop or not pair.is_exact(line):
        return drop
    lines = pair.kind.attrs().values()
    others = [adds for other in lines if (adds := other.related(AddsTo)) and pair.live.values.get(other.name)]
    names = {name for adds in others for name in adds.fields.get(line.name, ())}
    needed = {pair.lookup.tables.unique_ids.get((line.to or "", name)) for name in names}
    return [item for item in drop if item not in needed]


def _is_dropped(pair: _Pair, line: Attr, item: Any, ours: frozenset[Any]) -> bool:
    """Whether the agent itself detached a shared block, and may do so."""
    if line.to != "block" or pair.reseed or item not in ours:
        return False
    shared = _shared_block(pair, item)
    return shared is not None and not shared.external and policies(shared)["value"] != "enforce"


def _shared_block(pair: _Pair, item: Any) -> Desired | None:
    address = pair.lookup.tables.addresses.get(item)
    return pair.lookup.manifest.objects.get(address) if address else None


def _dropped_block(pair: _Pair, item: Any) -> AgentChange:
    shared = _shared_block(pair, item)
    path = f"blocks[{shared.address.key if shared else item}]"
    return AgentChange(pair.desired.address, path, pair.live.id, live=False, want=True)


def _members_to_store(pair: _Pair, line: Attr, want: list[Any], ours: frozenset[Any]) -> tuple[Any, ...] | None:
    """The members to store in the mark; None if nothing changes. Their order has no meaning."""
    keys = tuple(member_key(item) for item in want)
    same = len(keys) == len(pair.stored_members(line)) and all(key in ours for key in keys)
    return keys if not same and (keys or line.name in pair.live.mark.members) else None


def _show_members(pair: _Pair, line: Attr, have: list[Any], add: list[Any], drop: list[Any]) -> tuple[FieldChange, ...]:
    stored = pair.live.mark.members.get(line.name)
    ours = frozenset(stored or ())
    moved = all(member_key(item) in ours for item in add) and not any(member_key(item) in ours for item in drop)
    reason: Reason = "drift" if moved and stored is not None else "manifest"
    named = pair.lookup.named
    change = Patch(tuple(map(named, add)), tuple(map(named, drop)))
    return (FieldChange(line.name, named(have), change, pair.owners[line.name], reason),)
