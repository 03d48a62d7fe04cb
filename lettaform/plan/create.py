"""Declared objects that do not exist yet to ResourceChanges: created by a request, or along with another object."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import Companions, Contents, Parts, Policy
from lettaform.model import APPLIED, AgentChange, Change, Desired, FieldChange, Live, Mark
from lettaform.plan.additions import creation_notes, default_members, switched_off
from lettaform.plan.changes import ResourceChange
from lettaform.plan.compare import compare
from lettaform.plan.leaves import leaves, member_key, to_keep
from lettaform.plan.lookup import Lookup
from lettaform.plan.policy import policies
from lettaform.plan.promotion import creating
from lettaform.values import Patch, Ref, tainted


def create(
    lookup: Lookup, desired: Desired, replaced: ResourceChange | None = None
) -> list[ResourceChange | AgentChange]:
    """Create an object and its parts.

    `replaced`: the change to the object whose place it takes; every block of that object is attached to the new one.
    """
    parts = [(part, _existing_block(lookup, part, replaced)) for part in lookup.parts(desired.address)]
    reused: dict[str, Any] = {part.address.child or "": block.id for part, block in parts if block}
    apart = [part for part, block in parts if not block and lookup.created_apart(part)]
    if lookup.attaches_parts():
        reused |= {part.address.child or "": Ref(part.address) for part in apart}
    reused |= _carried_over(lookup, desired, replaced, reused)
    values = {**_cleared(desired), **switched_off(lookup, desired)}
    lines = kinds()[desired.kind].attrs()
    mark = initial_mark(lookup, desired)
    known_parts = {part.address.child or "": initial_mark(lookup, part).base for part, _ in parts}
    change = replaced.change if replaced else _created(desired, values)
    change = replace(change, notes=(*change.notes, *creation_notes(lookup, desired)))
    resource = ResourceChange(
        change,
        desired,
        replaced.live if replaced else None,
        fields={name: value for name, value in values.items() if lines[name].write and _is_written(lines[name], value)},
        mark=replace(mark, parts=known_parts),
        attach=tuple(_attached_afterwards(lookup, desired)),
        reused=reused,
    )
    return [creating(lookup, resource), *(each for part, block in parts for each in _part(lookup, part, block))]


def create_block(lookup: Lookup, part: Desired) -> ResourceChange:
    """Create an own block by a request of its own."""
    fields = {name: value for name, value in part.values.items() if value is not None}
    return creating(lookup, ResourceChange(_created(part, part.values), part, None, fields, initial_mark(lookup, part)))


def initial_mark(lookup: Lookup, desired: Desired) -> Mark:
    """The mark of an object that is created as declared. Its parts are left out."""
    kind, owners = kinds()[desired.kind], policies(desired)
    base: dict[str, Any] = {}
    members: dict[str, tuple[Any, ...]] = {}
    for name, value in desired.values.items():
        line = kind.attrs()[name]
        if line.related(Parts) or not (line.write or line.link or line.related(Contents)):
            continue
        if line.additive:
            keys = tuple(member_key(lookup.member(item)) for item in _members(value))
        else:
            base |= _initial_base(kind, line, owners[name], value)
            # the server adds such items by itself; these are declared
            declared = value if isinstance(value, list) else ()
            keys = tuple(kind.item_key(name, item) for item in declared if kind.foreign(name, item))
        members |= {name: keys} if keys else {}
    return Mark(base, members)


def _initial_base(kind: type[Kind], line: Attr, policy: Policy, value: Any) -> dict[str, Any]:
    if line.secret:
        return {leaf.path: APPLIED for leaf in leaves(line, value, None) if leaf.want}
    if line.partial and value == {}:  # an empty map declares nothing
        return {}
    return {
        leaf.path: to_keep(kind, line, policy, leaf.want)
        for leaf in leaves(line, line.clear if value is None else value, None)
        if not tainted(leaf.want)  # no digest of a secret is kept
    }


def _created(desired: Desired, values: Mapping[str, Any]) -> Change:
    kind = kinds()[desired.kind]
    lines, derived = kind.attrs(), {kind.name_field} if kind.naming.fields else set()
    shown = (lines[name] for name, value in values.items() if _is_written(lines[name], value))
    # the server takes a derived name from other fields
    written = (
        each for each in shown if desired.address.parent or each.write or each.attached() or each.name in derived
    )
    changes = tuple(FieldChange(line.name, None, values[line.name], secret=line.secret) for line in written)
    return Change(desired.address, desired.kind, "create", fields_changed=changes, place=desired.place)


def _is_written(line: Attr, value: Any) -> bool:
    """Whether a new object is given a value. Null is a value where the server has one of its own (0.16.8)."""
    return value is not None or line.clear is None


def _cleared(desired: Desired) -> dict[str, Any]:
    """The values of a new object: null stands for the empty text where the server has one, and removes nothing."""
    lines = kinds()[desired.kind].attrs()
    # 0.16.8 writes a system prompt of its own if none is sent
    return {
        name: lines[name].clear if value is None and lines[name].clear == "" else lines[name].without_removed(value)
        for name, value in desired.values.items()
    }


def _attached_afterwards(lookup: Lookup, desired: Desired) -> Iterator[tuple[str, Any]]:
    """Members that the request that creates the object cannot contain."""
    lines = kinds()[desired.kind].attrs()
    for name, value in desired.values.items():
        if value is not None and lines[name].attached():
            for item in _members(value):
                yield name, lookup.member(item)


def _members(value: Any) -> Sequence[Any]:
    """The members that a field names: some fields name one, without a list."""
    return [value] if isinstance(value, Ref) else value or ()


# --- own blocks of a new agent ---------------------------------------------------------------------------------------


def _existing_block(lookup: Lookup, part: Desired, replaced: ResourceChange | None) -> Live | None:
    """The own block that the new agent gets: of the agent that it replaces, of an earlier one, or of another one."""
    live = lookup.live(part.address)
    return live if live and (replaced or lookup.is_moved(live)) else lookup.detached_block(part.address)


def _part(lookup: Lookup, part: Desired, block: Live | None) -> Iterator[ResourceChange | AgentChange]:
    """An own block of a new agent: created with it unless a block exists already."""
    if block is None:
        yield create_block(lookup, part) if lookup.created_apart(part) else _inline(part)
        return
    compared = compare(lookup, part, block)
    same = part.values.get("value") in (None, block.values.get("value"))
    note = "its memory is kept" if same else "its memory differs from the manifest's value and is kept"
    moved = lookup.moves.old.get(part.address)
    reason = f"moved from {moved}" if moved and lookup.is_moved(block) else "re-attached"
    change = Change(part.address, part.kind, "adopt", block.id, reason, compared.fields_changed, place=part.place)
    notes = () if "value" in compared.fields else (note,)
    claim = not block.marked or moved is not None
    mark = Mark(compared.base, compared.members) if claim or compared.fields else None
    yield from compared.agent_changes
    yield ResourceChange(replace(change, notes=notes), part, block, compared.fields, mark, claim=claim)


def _inline(part: Desired) -> ResourceChange:
    """An own block that the request for its agent contains."""
    return ResourceChange(_created(part, part.values), part)


def _carried_over(
    lookup: Lookup, desired: Desired, replaced: ResourceChange | None, reused: Mapping[str, Any]
) -> dict[str, str]:
    """Blocks of a replaced agent that the manifest does not mention: it created them, or others attached them."""
    if replaced and replaced.live:
        blocks = lookup.attached_blocks(replaced.live)
    else:
        blocks = lookup.observed.carried_over.get(desired.address, ())
    wanted = desired.values.get("blocks") or ()
    ids = {*reused.values(), *(lookup.member(item) for item in wanted)}
    ids |= {member for _, member in replaced.detach} if replaced else set()
    labels = {*reused, *(lookup.label(item) for item in wanted)}
    free = (block for block in blocks if block.id not in ids and block.name not in labels)
    return {f"{block.name} {block.id}": block.id for block in free if not lookup.is_pruned(block)}


# --- objects that the server creates along with another one ----------------------------------------------------------


def discover(lookup: Lookup, desired: Desired) -> list[ResourceChange]:
    """An object that the server creates along with its owner, or that the owner offers and that has no object yet."""
    owner, old = desired.discovered_from, lookup.live(desired.address)
    assert owner is not None
    note = f"created {'again ' if old else ''}along with {owner}"
    change = Change(desired.address, desired.kind, "replace" if old else "create", old.id if old else None)
    change = replace(change, place=desired.place, notes=(note,))
    if desired.external:
        return [ResourceChange(change, desired, old, discover=(desired.external.name or "", Ref(owner)))]
    parts = lookup.parts(desired.address)
    resource = _discovered(lookup, desired, change, Ref(owner))
    return [resource, *(_discovered_part(lookup, part, Ref(desired.address)) for part in parts)]


def _discovered(lookup: Lookup, desired: Desired, change: Change, owner: Ref) -> ResourceChange:
    """An object of the stack that is discovered once its owner exists, and is then updated to what is declared."""
    lines = kinds()[desired.kind].attrs()
    values = {name: lines[name].clear if value is None else value for name, value in desired.values.items()}
    shown = tuple(FieldChange(name, None, value, secret=lines[name].secret) for name, value in values.items())
    linked = {name: value for name, value in values.items() if lines[name].link}
    attach = tuple((name, lookup.member(item)) for name, value in linked.items() for item in _members(value))
    fields = _beside(lines, {name: value for name, value in values.items() if name not in linked})
    parts: dict[str, Mapping[str, str]] = {p.address.child or "": {} for p in lookup.parts(desired.address)}
    mark = replace(initial_mark(lookup, desired), parts=parts)
    old, change = lookup.live(desired.address), replace(change, fields_changed=shown)
    wanted = {name: {member for each, member in attach if each == name} for name in linked}
    detach = tuple(_given(lookup, desired, owner.address, wanted))
    return ResourceChange(change, desired, old, fields, mark, attach, detach, discover=("", owner))


def _given(
    lookup: Lookup, desired: Desired, owner: Address, wanted: Mapping[str, Collection[Any]]
) -> Iterator[tuple[str, Any]]:
    """Members that the server gives to a companion, its owner's and its own, and that its exact list does not have."""
    creator, lines = lookup.manifest.objects[owner], kinds()[desired.kind].attrs()
    exact = {name for name in wanted if desired.policies.get(name) == "enforce"}
    shared = {name for _, made in kinds()[creator.kind].relations(Companions) for name in made.shared}
    for name in sorted(exact):
        given: list[Any] = sorted(default_members(lookup, desired, None, lines[name]))
        if name in shared and creator.kind == desired.kind:
            parts = (Ref(part.address) for part in lookup.parts(owner))
            given += map(lookup.member, (*parts, *_members(creator.values.get(name))))
            given += (block.id for block in lookup.attached_blocks(lookup.live(owner)))
        yield from ((name, member) for member in dict.fromkeys(given) if member not in wanted[name])


def _beside(lines: Mapping[str, Attr], values: Mapping[str, Any]) -> dict[str, Any]:
    """What is written to an object that the server has created: it fills its lists, and their members are kept."""
    return {name: Patch(tuple(value)) if lines[name].additive else value for name, value in values.items()}


def _discovered_part(lookup: Lookup, part: Desired, owner: Ref) -> ResourceChange:
    """A block that the server creates in such an object gets what is wanted of it.

    It keeps the value of the block that it replaces, unless its policy is `enforce`.
    """
    old = lookup.live(part.address) or lookup.detached_block(part.address)
    kind = kinds()[part.kind]
    wanted = {name: value for name, value in part.values.items() if value is not None and name != kind.name_field}
    fields = _beside(kind.attrs(), wanted)
    if old and policies(part)["value"] != "enforce":
        fields["value"] = old.values.get("value") or ""
    kept = old is not None and fields.get("value") == (old.values.get("value") or "")
    note = f"created along with {owner.address}" + (", with the value of the block that it replaces" if kept else "")
    shown = tuple(FieldChange(name, None, value) for name, value in fields.items())
    change = Change(part.address, part.kind, "replace" if old else "create", old.id if old else None)
    change = replace(change, fields_changed=shown, place=part.place, notes=(note,))
    name = str(part.values.get("label") or part.address.child)
    return ResourceChange(change, part, old, fields, initial_mark(lookup, part), discover=(name, owner))
