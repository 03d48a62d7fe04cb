"""The finished changes of a plan to Problems: what cannot be done, and what needs consent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lettaform.address import Address
from lettaform.errors import Problem, nearest
from lettaform.kinds import kinds
from lettaform.kinds.traits import LabelsOf
from lettaform.model import Desired, Live, companion_ids
from lettaform.ownership.claims import of_another_stack
from lettaform.plan.additions import items_at_creation
from lettaform.plan.changes import ResourceChange, detached_by_agent
from lettaform.plan.lookup import Lookup
from lettaform.plan.mentions import unknown_names
from lettaform.plan.notes import fixed_fields, lost_users, named, replacement_note, used_by
from lettaform.values import Ref, refs


def conflicts(lookup: Lookup, changes: Sequence[ResourceChange]) -> tuple[Problem, ...]:
    """Every reason why the changes cannot be carried out. Each is found by one of the checks below."""
    finished = _Finished(lookup, changes)
    found = [problem for change in changes for check in _CHECKS for problem in check(finished, change)]
    return (
        *lookup.observed.problems,
        *_contested(lookup),
        *found,
        *unknown_names(lookup, changes),
        *_blocked_moves(lookup),
        *_crossing_moves(lookup),
        *_misnamed_moves(lookup),
    )


def _contested(lookup: Lookup) -> Iterator[Problem]:
    """Fields of agents that the stack does not own and that are declared elsewhere, too."""
    every = () if lookup.options.destroy else lookup.observed.contested
    yield from (each for each in every if each.address and lookup.is_selected(Address.parse(each.address)))


def guards(lookup: Lookup, changes: Iterable[ResourceChange]) -> tuple[Problem, ...]:
    """Every replacement and deletion that needs a consent which was not given."""
    asking = (change for change in changes if not lookup.is_allowed(change.address))
    return tuple(problem for change in asking for problem in _needed_consent(lookup, change))


@dataclass(frozen=True)
class _Finished:
    """The finished changes, and what the checks look up in them."""

    lookup: Lookup
    changes: Sequence[ResourceChange]

    @cached_property
    def available(self) -> frozenset[Address]:
        """Objects that exist or are created."""
        created = (each.address for each in self.changes if _is_created(each))
        blocks = (address for address in self.lookup.observed.detached if self.lookup.referable_block(address))
        return frozenset((*self.lookup.observed.objects, *created, *blocks))

    @cached_property
    def deleted(self) -> frozenset[str]:
        """Ids of the objects that are deleted."""
        return frozenset(each.live.id for each in self.changes if each.live and each.change.action == "delete")

    @cached_property
    def replaced(self) -> frozenset[str]:
        """Ids of the objects that are replaced."""
        return frozenset(each.live.id for each in self.changes if each.live and each.change.action == "replace")

    @cached_property
    def detached(self) -> Mapping[str, frozenset[str]]:
        """Id of an object to the ids of what the plan detaches from it."""
        return detached_by_agent(self.changes)

    @cached_property
    def agents_with(self) -> Mapping[str, list[Live]]:
        """Id of a block to the agents of the stack that have it."""
        found: dict[str, list[Live]] = {}
        for live in self.lookup.observed.objects.values():
            for block in self.lookup.attached_blocks(live):
                found.setdefault(block.id, []).append(live)
        return found

    def leaving(self, agent: Live) -> frozenset[str]:
        """Ids of the blocks that an agent loses: deleted, or detached from it."""
        return self.deleted | self.detached.get(agent.id, frozenset())

    @cached_property
    def removed(self) -> frozenset[str]:
        """Ids of the objects that are deleted or replaced."""
        return self.deleted | self.replaced


Check = Callable[[_Finished, ResourceChange], Iterator[Problem]]


def _problem(desired: Desired, path: str, message: str, hint: str | None = None) -> Problem:
    return Problem(message, desired.place_of(path), hint, str(desired.address), path or None)


def _is_created(resource: ResourceChange) -> bool:
    """Whether an object is created by a request of its own, or in the place of another one."""
    return resource.change.action in ("create", "replace")


def _created(resource: ResourceChange) -> Desired | None:
    """The declaration of an object that is created by a request; None for own blocks and what the server creates."""
    if not _is_created(resource) or resource.discover or resource.address.parent:
        return None
    return resource.desired


def _updated(resource: ResourceChange) -> tuple[Desired, Live] | None:
    """The declaration and the live object of an object that is updated; None for own blocks and other changes."""
    if _is_created(resource) or resource.address.parent or not resource.desired or not resource.live:
        return None
    return resource.desired, resource.live


# --- checks of objects that are created ------------------------------------------------------------------------------


def _missing_fields(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """Fields that the server requires of a new object."""
    desired = _created(resource)
    for line in kinds()[desired.kind].attrs().values() if desired else ():
        if desired and line.required and desired.values.get(line.name) is None:
            message = f"{desired.address} does not exist yet, so `{line.name}` must be given"
            yield _problem(desired, "", message, f"add `{line.name}:` to {desired.address}")


def _label_repeated(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """0.16.8 silently drops all but one of several blocks with one label when it creates an agent."""
    desired, taken = _created(resource), dict[str, Address]()
    for address, label in _labels_of_new(finished.lookup, desired, resource.reused) if desired else ():
        other = taken.setdefault(label, address)
        if desired and other != address:
            message = f"{desired.address} would get two blocks labelled `{label}`: {other} and {address}"
            yield _problem(desired, "blocks", message, f"give {address} another label, or leave it out")


def _labels_of_new(lookup: Lookup, desired: Desired, reused: Mapping[str, Any]) -> Iterator[tuple[Address, str]]:
    """The blocks of a new agent, each with its label."""
    for part in lookup.parts(desired.address):
        lives = (lookup.live(part.address), lookup.detached_block(part.address))
        block = next((live for live in lives if live and live.id == reused.get(part.address.child or "")), None)
        yield part.address, block.name if block else str(part.values.get("label"))
    for member in desired.values.get("blocks") or ():
        if isinstance(member, Ref):
            yield member.address, lookup.label(member) or ""


def _unwanted_items(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """Items that the server adds to a list of a new object for its members, although the list is exact."""
    desired = _created(resource)
    for line, rule, items in items_at_creation(finished.lookup, desired) if desired else ():
        if desired and desired.policies.get(line.name) == "enforce":
            message = f"{desired.address}: the server adds to `{line.name}`, which is exact: {items}"
            hint = f"add it, or remove `policy: {{{line.name}: enforce}}`, or `{rule.flag}` of the {rule.field}"
            yield _problem(desired, line.name, message, hint)


def _unknown_labels(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """Labels of blocks that another object lacks: 0.16.8 creates half of an object that names one, and answers 409."""
    desired = _created(resource)
    for line in kinds()[desired.kind].attrs().values() if desired else ():
        labels = line.related(LabelsOf)
        owner = desired.values.get(labels.field) if desired and labels else None
        if desired is None or not isinstance(owner, Ref):
            continue
        known = _labels(finished.lookup, owner.address)
        for label in desired.values.get(line.name) or ():
            if label not in known:
                near = nearest(label, sorted(known))
                hint = f"did you mean `{near}`?" if near else f"use a label of a block of {owner.address}"
                message = f"{desired.address}: {owner.address} has no block labelled `{label}`"
                yield _problem(desired, line.name, message, hint)


def _labels(lookup: Lookup, agent: Address) -> set[str]:
    """The labels of an agent's blocks, those that it has and those that are declared."""
    desired = lookup.manifest.objects.get(agent)
    shared = desired.values.get("blocks") or () if desired else ()
    found = {block.name for block in lookup.attached_blocks(lookup.live(agent))}
    found |= {str(part.values.get("label")) for part in lookup.parts(agent)}
    return found | {lookup.label(member) or "" for member in shared}


def _not_offered(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """Something that an external owner does not offer. An owner that the stack owns is refreshed instead."""
    desired, lookup = resource.desired, finished.lookup
    if desired is None or not resource.discover or not desired.external:
        return
    owner = resource.discover[1].address
    declared = lookup.manifest.objects.get(owner)
    if lookup.exists(owner) and declared and declared.external:
        name = desired.external.name
        message = f"{desired.address}: {owner} offers no {desired.kind} `{name}`"
        yield _problem(desired, "", message, f"correct the name, or refresh {owner} on the server: it is external")


# --- checks of objects that are updated ------------------------------------------------------------------------------


def _relabelled(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """0.16.8 refuses a label that another block of the same agent has, also if that one is to get another label."""
    lookup, desired, block = finished.lookup, resource.desired, resource.live
    if desired is None or block is None or desired.kind != "block" or "label" not in resource.fields:
        return
    label = lookup.label(block.id)
    for agent in finished.agents_with.get(block.id, ()):
        others = (each for each in lookup.attached_blocks(agent) if each.name == label and each.id != block.id)
        other = next(others, None)
        if other and {block.id, other.id}.isdisjoint(finished.leaving(agent)):
            what, hint = _other_block(lookup, other)
            message = f"{_name(lookup, agent)} already has a block labelled `{label}`: {what}"
            yield _problem(desired, "label", message, hint)


def _limit_below_text(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """0.16.8 accepts a limit below the text that a block keeps; agents can then never edit it."""
    desired, block, limit = resource.desired, resource.live, resource.fields.get("limit")
    if desired is None or block is None or desired.kind != "block" or not isinstance(limit, int):
        return
    text = resource.fields.get("value", block.values.get("value"))
    if isinstance(text, str) and len(text) > limit:
        message = f"{desired.address}: keeps a text of {len(text)} characters, more than its `limit` of {limit}"
        yield _problem(desired, "limit", message, "raise `limit`, or shorten the text on the server")


def _label_taken(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """0.16.8 refuses a second block with a label that the agent has already."""
    if (pair := _updated(resource)) is None or not resource.attach:
        return
    desired, agent = pair
    leaving, lookup = finished.leaving(agent), finished.lookup
    blocks = {lookup.label(b.id) or b.name: b for b in lookup.attached_blocks(agent) if b.id not in leaving}
    for member in (member for name, member in resource.attach if name == "blocks"):
        label = finished.lookup.label(member)
        other = blocks.get(label or "")
        if other and other.id != member:
            block, hint = _other_block(finished.lookup, other)
            message = f"{desired.address} already has a block labelled `{label}`: {block}"
            yield _problem(desired, "blocks", message, _move_hint(lookup, other, member) or hint)


def _name(lookup: Lookup, live: Live) -> str:
    return str(lookup.tables.addresses.get(live.id, live.id))


def _other_block(lookup: Lookup, block: Live) -> tuple[str, str]:
    """A block that is in the way, and what to do about it. It may hold an agent's memory: no hint deletes it."""
    address = lookup.tables.addresses.get(block.id, block.address)
    if address is None:
        return f"{block.id}, which the agent or somebody else attached", f"detach {block.id}, or declare it"
    if address in lookup.manifest.objects:
        return str(address), "give one of them another label, or leave one out"
    where = f"`memory:` of {address.parent}" if address.parent else "`blocks:`"
    hint = f"detach {block.id} from the agent, or declare it under {where}, or use another label"
    return f"{address}, which is no longer declared", hint


def _move_hint(lookup: Lookup, block: Live, member: Any) -> str | None:
    """How an own block that is no longer declared becomes the shared block that is to be created in its place."""
    old = lookup.tables.addresses.get(block.id, block.address)
    new = member.address if isinstance(member, Ref) else None
    if old is None or new is None or old.parent is None or old in lookup.manifest.objects or lookup.live(new):
        return None
    return f"`moved: [{{from: {old}, to: {new}}}]` keeps the block and its text"


def _second_member(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """A field that has one member, where somebody else attached another one."""
    if (pair := _updated(resource)) is None:
        return
    desired, live = pair
    # the deletion of a replaced object detaches it, and the member is its successor
    free = {member for _, member in resource.detach} | finished.replaced
    for name in dict.fromkeys(name for name, _ in resource.attach):
        want = desired.values.get(name)
        have = [item for item in live.values.get(name) or () if item not in free] if isinstance(want, Ref) else []
        if isinstance(want, Ref) and have:
            address = finished.lookup.tables.addresses.get(have[0])
            adopt = "" if address else f", or adopt it: `lettaform import '{want.address}' {have[0]}`"
            other = address or have[0]
            message = f"{desired.address} already has the {name} {other}, which the agent or somebody else attached"
            yield _problem(desired, name, message, f"detach {other} from the agent{adopt}")


def _block_shared(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """An unmarked block that would become an own block, while other agents have it, too."""
    lookup, desired, block = finished.lookup, resource.desired, resource.live
    if desired is None or block is None or block.marked or resource.discover:
        return
    owner = lookup.live(resource.address.parent)
    if owner is None or resource.address in lookup.observed.objects:
        return
    if others := lookup.users(block.id) - {owner.id, *companion_ids(owner)}:  # 0.16.8 attaches it to companions, too
        message = f"{desired.address}: the block {block.id} has this label and is shared with {named(lookup, others)}"
        yield _problem(desired, "", message, "declare it under `blocks:` instead")


def _moved_block_shared(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """A shared block that moves into an agent, while other agents keep it."""
    lookup, desired, block = finished.lookup, resource.desired, resource.live
    moved = lookup.observed.state.relocated.get(block.id) if block else None
    if desired is None or block is None or moved is None or moved.address.parent is None or moved.before.parent:
        return
    owner = lookup.live(resource.address.parent)
    released = {each.live.id for each in finished.changes if each.live and ("blocks", block.id) in each.detach}
    others = lookup.users(block.id) - released - finished.removed - ({owner.id} if owner else set())
    if others:
        message = f"{desired.address} is to be an own block, but {used_by(lookup, others)}"
        yield _problem(desired, "", message, f"keep it under `blocks:` as `{moved.before.key}`, without `moved`")


def _block_moves_in_place(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """A backend that keeps own blocks in their agent cannot give one to another agent."""
    lookup, live = finished.lookup, resource.live
    old = lookup.moves.old.get(resource.address)
    if live is None or resource.desired is None or old is None or lookup.attaches_parts():
        return
    owner = resource.address.parent
    before = lookup.moves.old.get(owner, owner) if owner else None
    if before != old.parent:
        message = f"{old} cannot become {resource.address}: this server keeps own blocks in their agent"
        yield _problem(resource.desired, "", message, "leave it where it is, and remove the entry of `moved`")


# --- checks of all changes -------------------------------------------------------------------------------------------


def _name_taken(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """A unique name that another object has: an upsert by name would overwrite that object."""
    desired, kind = resource.desired, kinds()[resource.change.kind] if resource.desired else None
    if desired is None or kind is None or not kind.unique:
        return
    if not _created(resource) and (resource.discover or kind.name_field not in resource.fields):
        return
    name, observed = desired.values.get(kind.name_field), finished.lookup.observed
    holders = finished.lookup.tables.holders.get((desired.kind, str(name)), ())
    other = next((address for address in holders if address != desired.address), None)
    foreign = observed.foreign.get((desired.kind, str(name)))
    if other:
        message = f"the {desired.kind} `{name}` already exists as {other}"
        hint = f"`lettaform state mv '{other}' '{desired.address}'` moves it"
        yield _problem(desired, kind.name_field, message, hint)
    elif foreign:
        yield _foreign_name(desired, kind.name_field, str(name), foreign)


def _foreign_name(desired: Desired, field: str, name: str, foreign: Live) -> Problem:
    if foreign.stack:
        return of_another_stack(foreign, desired.address, desired.place_of(field), field)
    message = f"the {desired.kind} `{name}` already exists and belongs to somebody else ({foreign.id})"
    adopt = f"`lettaform import '{desired.address}' {foreign.id}` adopts it"
    use = f"to use it without owning it, declare it with `external: true` and `id: {foreign.id}` alone"
    return _problem(desired, field, message, f"{adopt}; {use}")


def _missing_references(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """Objects that are referred to and that `--target` or `--exclude` leaves out before they exist."""
    desired = resource.desired
    if desired is None:
        return
    values = desired.values if _is_created(resource) else resource.fields
    attached = [member for _, member in resource.attach]
    needed = {ref.address for ref in refs([dict(values), attached, resource.discover])}
    for address in sorted(needed - finished.available):
        message = f"{desired.address} needs {address}, which does not exist and is left out of this plan"
        targeted = finished.lookup.options.target
        hint = f"`--target '{address}'` includes it" if targeted else f"do not `--exclude` {address}"
        yield _problem(desired, "", message, hint)


def _blocked_delete(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """An object that the server deletes only after another one, which is not deleted."""
    if resource.live is None or resource.change.action not in ("delete", "replace"):
        return
    for each in finished.lookup.dependents(resource.live.id).blockers:
        if each.id not in finished.removed:
            what = finished.lookup.tables.addresses.get(each.id) or f"{each.kind} {each.id}"
            message = f"{resource.address} cannot be deleted before {what}, which needs it"
            place = resource.desired.place if resource.desired else None
            hint = f"keep {resource.address}, or delete {what} first"
            yield Problem(message, place, hint, str(resource.address))


def _blocked_moves(lookup: Lookup) -> Iterator[Problem]:
    """Moves to an address that another object has: one of the two would count as undeclared, and be pruned."""
    objects = lookup.observed.objects
    blocked = () if lookup.options.destroy else lookup.moves.blocked
    for entry in blocked:
        rivals = (objects.get(each.old) for each in blocked if each.new == entry.new and each != entry)
        other = objects.get(entry.new) or next(filter(None, rivals), None)
        mine = objects.get(entry.old) or lookup.detached_block(entry.old)
        ids = " and ".join(each.id for each in (mine, other) if each)
        message = f"{entry.old} cannot become {entry.new}: both exist, {ids}"
        another = "move it to another key" if entry.new.parent else "`lettaform state mv` or `state rm` one of them"
        yield Problem(message, entry.place, f"{another}, or leave `{entry.old}` out of `moved`", str(entry.old))


def _crossing_moves(lookup: Lookup) -> Iterator[Problem]:
    """Moves from one shard to another: the run of a shard does not write what belongs to others."""
    for entry in () if lookup.options.destroy else lookup.moves.crossing:
        message = f"{entry.old} becomes {entry.new}, which belongs to another shard"
        hint = "`lettaform apply` without `--shard` moves it; runs of shards can go on after that"
        yield Problem(message, entry.place if entry.place.line else None, hint, str(entry.old))


def _replaced_for_others(finished: _Finished, resource: ResourceChange) -> Iterator[Problem]:
    """An object that gets another id, and that agents of other shards have."""
    lookup, desired, live = finished.lookup, resource.desired, resource.live
    if not lookup.options.shard or resource.change.action != "replace" or desired is None or live is None:
        return
    users = (lookup.tables.addresses.get(id) for id in lookup.users(live.id))
    if others := sorted(each for each in users if each and not lookup.is_in_shard(each)):
        message = f"{desired.address} is replaced, and agents of other shards have it, such as {others[0]}"
        hint = "`lettaform apply` without `--shard` replaces it, and gives them the new one"
        yield _problem(desired, fixed_fields(resource.change)[0], message, hint)


def _misnamed_moves(lookup: Lookup) -> Iterator[Problem]:
    """Moves of an instance where a single object exists, or the other way round: nothing would move."""
    addresses = {address for address, _ in _everything(lookup)} if lookup.manifest.moved else set[Address]()
    single = {address.in_instance(None): address for address in sorted(addresses)}
    known = addresses | lookup.moves.old.keys() | set(lookup.moves.old.values())
    for entry in () if lookup.options.destroy else lookup.manifest.moved:
        other = single.get(entry.old.in_instance(None))
        is_other_form = other is not None and (other.index is None) != (entry.old.index is None)
        if (
            other
            and is_other_form
            and other not in lookup.manifest.objects
            and known.isdisjoint((entry.old, entry.new))
        ):
            message = f"`moved` names {entry.old}, which does not exist; {other} does"
            to = entry.new.in_instance(None) if other.index is None else entry.new
            hint = f"name both ends: `from: {other}`, `to: {to}`, with the key of an instance where there are several"
            yield Problem(message, entry.place, hint, str(entry.old))


def _everything(lookup: Lookup) -> Iterator[tuple[Address, Live]]:
    yield from lookup.observed.objects.items()
    yield from lookup.observed.orphaned_blocks


_CHECKS: tuple[Check, ...] = (
    _missing_fields,
    _name_taken,
    _unwanted_items,
    _unknown_labels,
    _label_repeated,
    _not_offered,
    _label_taken,
    _second_member,
    _block_shared,
    _moved_block_shared,
    _block_moves_in_place,
    _replaced_for_others,
    _relabelled,
    _limit_below_text,
    _missing_references,
    _blocked_delete,
)


# --- consent ---------------------------------------------------------------------------------------------------------


def _needed_consent(lookup: Lookup, resource: ResourceChange) -> Iterator[Problem]:
    if resource.change.action == "replace" and resource.desired and not resource.discover:
        yield from _replacement(lookup, resource, resource.desired)
    if resource.change.action == "delete":
        yield from _protected(lookup, resource)


def _replacement(lookup: Lookup, resource: ResourceChange, desired: Desired) -> Iterator[Problem]:
    """An object is replaced that is protected, holds what cannot be created again, or is used by agents of others."""
    if kinds()[desired.kind].precious or _is_protected(lookup, desired.address) or lost_users(lookup, desired):
        first = fixed_fields(resource.change)[0]
        message = f"{desired.address}: {replacement_note(lookup, desired, resource.change)}"
        yield _problem(desired, first, message, f"`--allow-destroy '{desired.address}'` consents")


def _protected(lookup: Lookup, resource: ResourceChange) -> Iterator[Problem]:
    address, desired = resource.address, lookup.manifest.objects.get(resource.address)
    if _is_protected(lookup, address):
        message, hint = f"{address} is protected by `prevent_destroy`", f"`--allow-destroy '{address}'` consents"
        place = desired.place if desired else None
        yield Problem(message, place, hint, str(address), "lifecycle.prevent_destroy")


def _is_protected(lookup: Lookup, address: Address) -> bool:
    """Whether `prevent_destroy` is declared, or was declared when the object was last applied."""
    desired = lookup.manifest.objects.get(address)
    return address in lookup.observed.state.protected or (desired is not None and desired.prevent_destroy)
