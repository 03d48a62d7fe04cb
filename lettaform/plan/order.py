"""ResourceChanges to Steps: one operation each, with what must run before it, in an order in which they can run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from heapq import heapify, heappop, heappush
from itertools import pairwise
from typing import Any

from lettaform.address import Address
from lettaform.errors import PlanError, Problem
from lettaform.kinds import companions, is_matched, kinds, sections
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import Parts
from lettaform.model import (
    WHOLE,
    Attach,
    Call,
    Capabilities,
    Create,
    Delete,
    Desired,
    Detach,
    Discover,
    Live,
    Manifest,
    Mark,
    Observed,
    Relocation,
    SaveState,
    Shard,
    State,
    Step,
    Update,
    contents,
)
from lettaform.ownership import state
from lettaform.ownership.canaries import original_of
from lettaform.ownership.shards import Spread, narrowed, outlived
from lettaform.ownership.state import ADDRESS, Effects, keeps_id
from lettaform.plan.changes import ResourceChange
from lettaform.values import Item, Ref, refs

BEFORE = "state-before"
"""Key of the step that writes the state before anything else."""
LAST = "state"
"""Key of the step that writes the state after everything else."""
RESTORED = "everything restored"
"""Key of the barrier after which the stack lets go of objects."""

Barriers = Mapping[str, tuple[str, ...]]
"""Key of a barrier to the keys of the steps that it waits for."""


def order(
    resources: tuple[ResourceChange, ...],
    manifest: Manifest,
    observed: Observed,
    *,
    destroy: bool = False,
    shard: Shard = WHOLE,
) -> tuple[tuple[Step, ...], Barriers]:
    """The Steps of a plan in an order in which they could run one by one, and the barriers that they name.

    shard  the shard that the changes are about: its part of the state is written

    PlanError if steps wait for each other; it names them with their places.
    """
    here, mine = narrowed(manifest, observed, Spread.of(manifest, observed), shard) if shard else (manifest, observed)
    # what the server creates along with an object is deleted with it
    deleted = [each for each in resources if _deletes(each) and (not each.discover or each.address.parent)]
    parts = _by_owner(_inline_parts(resources))
    steps: dict[str, Step] = {}
    for resource in resources:
        for step in _steps(resource, parts.get(resource.address, {}), observed.capabilities):
            steps[step.key] = step
        steps |= {call.key: call for call in resource.calls}
    effects = _effects(resources, deleted, steps.values(), manifest, replace(observed, state=mine.state))
    lookups = _Lookups.of(resources, deleted, steps, observed)
    for resource in deleted:
        step = _delete(resource, lookups)
        steps[step.key] = replace(step, after=(*step.after, *_of_original(resource.address, steps)))
    by_address = defaultdict[Address, list[Step]](list)
    for step in steps.values():
        by_address[step.address].append(step)
    for resource in resources:
        steps |= {step.key: step for step in _after_prompts(resource, by_address)}
    before = state.before(here, mine, effects)
    barriers = {key: waited for key, waited in lookups.barriers.items() if waited}
    if let_go := [_let_go(resource) for resource in resources if resource.lets_go]:
        barriers |= {RESTORED: tuple(steps)} if steps else {}
        steps |= {step.key: step for step in let_go}
    known = {*steps, *barriers} | ({BEFORE} if before else set())
    linked = [_linked(step, steps, lookups, effects, known, observed) for step in steps.values()]
    used = {key for step in linked for key in step.after}
    barriers = {key: waited for key, waited in barriers.items() if key in used}
    return (
        (
            *([_save(BEFORE, before, shard=shard)] if before else []),
            *_arranged(linked, barriers, manifest),
            *_last(here, mine, effects, destroy, shard, writes=bool(linked)),
        ),
        barriers,
    )


def _save(key: str, to_write: State | None, *, last: bool = False, **more: Any) -> SaveState:
    return SaveState(key, ADDRESS, "stack", state=to_write, last=last, **more)


def _last(
    manifest: Manifest, observed: Observed, effects: Effects, destroy: bool, shard: Shard, *, writes: bool
) -> Iterator[Step]:
    """The step that writes the state at the end, or removes it."""
    now = observed.state
    drops = outlived(now, shard)
    # what is removed must not be read from the part of an earlier count again
    removable = all(each.count == shard.count or each in drops for each in now.heads)
    if destroy and state.is_empty(manifest, observed, effects) and removable:
        if now.exists:
            yield _save(LAST, None, last=True, shard=shard, drops=drops)
    elif (new := state.planned(manifest, observed, effects, writes=writes)) is not None:
        yield _save(LAST, new, last=True, created=effects.created, shard=shard, drops=drops)


def _deletes(resource: ResourceChange) -> bool:
    return resource.change.action in ("delete", "replace")


def _creates(resource: ResourceChange) -> bool:
    return resource.change.action in ("create", "replace")


# --- what the state must know ----------------------------------------------------------------------------------------


def _effects(
    resources: Sequence[ResourceChange],
    deleted: Iterable[ResourceChange],
    steps: Collection[Step],
    manifest: Manifest,
    observed: Observed,
) -> Effects:
    capabilities = observed.capabilities
    removed, created, marks, carried_over, intents, kept, matched = set(), set(), {}, {}, {}, {}, {}
    for resource in resources:
        address, change = resource.address, resource.change
        # the object was deleted on the server and is created again: a crash must not lead to a duplicate
        again = change.action == "create" and address in observed.state.ids
        if resource.matched is not None:
            matched[address] = resource.matched
        if _deletes(resource) or (change.action == "forget" and not is_matched(address)) or again:
            removed.add(address)
        if _creates(resource) and keeps_id(address, change.kind, capabilities) and resource.mark is not None:
            created.add(address)
        if (
            resource.live
            and change.action in ("adopt", "mark", "update")
            and keeps_id(address, change.kind, capabilities)
        ):
            kept[address] = resource.live.id
        if resource.mark is not None and change.action != "forget" and change.kind not in capabilities.marks:
            marks[address] = resource.mark
        if change.action == "replace":
            carried_over[address] = tuple(id for id in resource.reused.values() if isinstance(id, str))
        if (
            _creates(resource)
            and resource.desired
            and not resource.discover
            and change.kind not in capabilities.searchable
        ):
            intents[address] = str(resource.fields.get(kinds()[change.kind].name_field, ""))
    deleted_ids = frozenset(each.live.id for each in deleted if each.live)
    called = frozenset(step.address for step in steps if isinstance(step, Call))
    return Effects(
        frozenset(removed),
        frozenset(created),
        marks,
        called,
        carried_over,
        intents,
        deleted_ids,
        kept,
        dict(_unfinished(steps, deleted_ids, manifest, observed)),
        called | {address for each in resources if each.calls for address in each.waits},
        frozenset(each.address for each in resources if each.address in observed.state.pending) - called,
        matched,
    )


def _unfinished(
    steps: Iterable[Step], deleted: frozenset[str], manifest: Manifest, observed: Observed
) -> Iterator[tuple[str, Relocation]]:
    """The relocations that neither the server shows as finished nor the steps finish."""
    lives = {live.id: live for live in (*observed.objects.values(), *(live for _, live in observed.orphaned_blocks))}
    written = {step.id for step in steps if isinstance(step, Update) and (step.mark is not None or step.forget)}
    agents = {live.id: address for address, live in observed.objects.items() if live.id in observed.attached}
    attached = {(agents[id], block.id) for id, blocks in observed.attached.items() if id in agents for block in blocks}
    arriving = {(step.address, step.member) for step in steps if isinstance(step, Attach)}
    arriving |= {(step.address, id) for step in steps if isinstance(step, Create) for id in _ids(step)}
    leaving = {(step.address, step.member) for step in steps if isinstance(step, Detach)}
    arriving |= attached
    for id, moved in observed.state.relocated.items():
        live, agent, holder = lives.get(id), moved.address.parent, moved.before.parent
        if live is None or id in deleted:
            continue
        arrived = agent is None or (agent, id) in arriving
        left = holder in (None, agent) or (holder, id) not in attached or (holder, id) in leaving
        left = left or (holder is not None and _keeps(holder, moved.address, deleted, manifest, observed))
        if not (live.marked or id in written) or (moved.is_attached_anew and not (arrived and left)):
            yield id, moved


def _keeps(holder: Address, block: Address, deleted: frozenset[str], manifest: Manifest, observed: Observed) -> bool:
    """Whether an agent need not let go of a block: it is deleted, or declares the block as a shared one."""
    desired = manifest.objects.get(holder)
    shared = refs(desired.values.get("blocks")) if desired else ()
    return observed.objects[holder].id in deleted or any(ref.address == block for ref in shared)


# --- the steps of one resource ---------------------------------------------------------------------------------------


def _inline_parts(resources: Iterable[ResourceChange]) -> dict[Address, Mapping[str, Any]]:
    """Own blocks that are created with their agent, with their fields: one request instead of three."""
    found: dict[Address, Mapping[str, Any]] = {}
    for resource in resources:
        address, wanted = resource.address, resource.desired
        if address.parent and wanted and resource.live is None and resource.mark is None:
            found[address] = {name: value for name, value in wanted.values.items() if value is not None}
    return found


def _by_owner(parts: Mapping[Address, Mapping[str, Any]]) -> dict[Address, dict[str, Mapping[str, Any]]]:
    found: dict[Address, dict[str, Mapping[str, Any]]] = defaultdict(dict)
    for address, fields in parts.items():
        if address.parent and address.child:
            found[address.parent][address.child] = fields
    return found


def _steps(
    resource: ResourceChange, parts: Mapping[str, Mapping[str, Any]], capabilities: Capabilities
) -> Iterator[Step]:
    """What must be done to one object, except deleting it."""
    action = resource.change.action
    if action == "delete":
        return
    if _creates(resource):
        yield from _discovered(resource, capabilities) if resource.discover else _created(resource, parts, capabilities)
    elif resource.live is not None and action == "forget":
        yield from () if resource.lets_go else _forgotten(resource, capabilities)
    elif resource.live is not None:
        yield from _updated(resource, capabilities)


def _created(
    resource: ResourceChange, parts: Mapping[str, Mapping[str, Any]], capabilities: Capabilities
) -> Iterator[Step]:
    address, kind, key = resource.address, resource.change.kind, str(resource.address)
    if resource.mark is not None:  # else it is an own block that is created with its agent
        fields = dict(resource.fields)
        if resource.reused:
            fields["blocks"] = [*fields.get("blocks", ()), *resource.reused.values()]
        after = (f"-{address}",) if resource.change.action == "replace" else ()
        owner = Ref(address.parent) if address.parent and not capabilities.attach_parts else None
        more: dict[str, Any] = {"owner": owner, "after": after, "history": resource.history}
        parts = {**parts, **{label: each.fields for label, each in resource.copies.items()}}
        yield Create(key, address, kind, fields=fields, mark=resource.mark, parts=parts, **more)
        attached = tuple(_attached(resource))
        call = capabilities.calls.get(kind)
        # an agent file has the prompt of that time
        if call and (call.on_create or (resource.history is not None and not call.of_prompt)):
            yield from _called(resource, (key, *(step.key for step in attached)), capabilities)
    yield from _attached(resource)


def _discovered(resource: ResourceChange, capabilities: Capabilities) -> Iterator[Step]:
    """Discover what the server creates along with another object, after that object was created or called."""
    assert resource.discover is not None
    (name, source), key, kind = resource.discover, str(resource.address), resource.change.kind
    creator = sections()[source.address.section]
    call = capabilities.calls.get(creator)
    after = (
        (str(source.address), f"{source.address}!{call.name}") if call and call.on_create else (str(source.address),)
    )
    yield Discover(
        key,
        resource.address,
        kind,
        name=name,
        source=source,
        creator=creator,
        fields=resource.fields,
        mark=resource.mark,
        after=after,
    )
    linked = (*_detached(resource), *_attached(resource))
    if linked or kinds()[kind].compiled & resource.fields.keys():
        yield from _called(resource, (key, *(step.key for step in linked)), capabilities)
    yield from linked


def _detached(resource: ResourceChange) -> Iterator[Step]:
    """What the server attached to an object that it created along with another one, and that is not declared."""
    key, kind = str(resource.address), resource.change.kind
    for name, member in resource.detach:
        link = _detach_key(key, name, member)
        yield Detach(link, resource.address, kind, id=None, field=name, member=member, after=(key,))


def _attached(resource: ResourceChange) -> Iterator[Step]:
    """What is attached to an object after it was created."""
    key = str(resource.address)
    for name, member in resource.attach:
        link = _attach_key(key, name, member)
        yield Attach(
            link, resource.address, resource.change.kind, id=None, field=name, member=member, after=(str(key),)
        )


def _forgotten(resource: ResourceChange, capabilities: Capabilities) -> Iterator[Step]:
    assert resource.live is not None
    if resource.change.kind in capabilities.claims:
        key, id, kind = _key(resource), resource.live.id, resource.change.kind
        yield Update(key, resource.address, kind, id=id, mark=resource.mark, forget=True)


def _let_go(resource: ResourceChange) -> Step:
    """The step that forgets an object after everything else, so that a run that is killed finds it by its claim."""
    id, key = resource.live.id if resource.live else None, f"{resource.address} forgotten"
    return Update(key, resource.address, resource.change.kind, id=id, mark=Mark(), forget=True, after=(RESTORED,))


def _updated(resource: ResourceChange, capabilities: Capabilities) -> Iterator[Step]:
    assert resource.live is not None
    key, change, live = _key(resource), resource.change, resource.live
    waits: list[str] = []
    after: tuple[str, ...]
    attached = {item.name: _attach_key(key, name, item) for name, item in resource.attach if isinstance(item, Item)}
    for name, member in resource.detach:
        # an item is removed once the one that takes its place is there
        after = (attached[member.name],) if isinstance(member, Item) and member.name in attached else ()
        waits.append(_detach_key(key, name, member))
        yield Detach(waits[-1], resource.address, change.kind, id=live.id, field=name, member=member, after=after)
    for name, member in resource.attach:
        after = () if isinstance(member, Item) else tuple(waits)
        waits.append(_attach_key(key, name, member))
        yield Attach(waits[-1], resource.address, change.kind, id=live.id, field=name, member=member, after=after)
    claim = resource.claim and change.kind in capabilities.claims
    if resource.fields or claim or (resource.mark is not None and change.kind in capabilities.marks):
        yield Update(
            key,
            resource.address,
            change.kind,
            id=live.id,
            fields=resource.fields,
            mark=resource.mark,
            users=0 if change.kind in capabilities.calls else change.recompiles,
            replaces=resource.replaces,
            after=tuple(waits),
        )
        waits.append(key)
    for label, each in resource.copies.items():
        if each.id is not None:
            yield Update(f"{key} isolated {label}", resource.address, "block", id=each.id, fields=each.fields)
    if (change.recompiles or resource.attach or resource.detach) and not resource.quiet:
        yield from _called(resource, tuple(waits), capabilities)


def _called(resource: ResourceChange, after: tuple[str, ...], capabilities: Capabilities) -> Iterator[Step]:
    """The request that must follow a change; without it, the change has no effect."""
    call = capabilities.calls.get(resource.change.kind)
    if call is not None:
        key = f"{resource.address}!{call.name}"
        id = resource.live.id if resource.live and not _creates(resource) else None
        yield Call(key, resource.address, resource.change.kind, id=id, name=call.name, after=after)


def _after_prompts(resource: ResourceChange, steps: Mapping[Address, Sequence[Step]]) -> Iterator[Step]:
    """The calls of a change, or its creation, after all that changes the prompts that they compile.

    `steps`: those of each address.
    """
    waited = [step for address in resource.waits for step in steps.get(address, ()) if not isinstance(step, Call)]
    for step in steps.get(resource.address, ()) if waited else ():
        if isinstance(step, Call):
            yield replace(step, after=tuple(dict.fromkeys((*step.after, *(each.key for each in waited)))))
        elif isinstance(step, Create):  # whatever fails, the object is created
            others = (each.key for each in waited if each.address != resource.address)
            yield replace(step, after_end=(*step.after_end, *others))


def _delete(resource: ResourceChange, lookups: _Lookups) -> Delete:
    """Groups are deleted first, then agents, then what they used, after it is detached from all objects of the stack.

    What the server creates along with an object is deleted after that object: if it were deleted before, a crash would
    leave a part that cannot be distinguished from a duplicate.
    """
    live, address = resource.live, resource.address
    assert live is not None
    after = [BEFORE]
    if resource.discover:  # its successor has taken over its value
        after.append(str(address))
    if address in lookups.owners:
        after.append(f"-{lookups.owners[address]}")
    else:
        after += lookups.barriers_before[live.kind]
        after += lookups.detaches.get(live.id, ())
    return Delete(_delete_key(resource), address, live.kind, id=live.id, after=tuple(after))


def _of_original(address: Address, steps: Mapping[str, Step]) -> Iterator[str]:
    """The steps before the deletion of a canary: those of its original, whose changes it tries until they are there."""
    original = original_of(address)
    if original is not None:
        tops = (step for step in steps.values() if step.address.top == original)
        yield from (step.key for step in tops if not isinstance(step, Delete))


def _key(resource: ResourceChange) -> str:
    """The key of the step that changes a live object."""
    # of own blocks that are not declared there may be several at one address
    several = resource.desired is None and resource.address.parent and resource.live
    return f"{resource.address} {resource.live.id}" if several and resource.live else str(resource.address)


def _delete_key(resource: ResourceChange) -> str:
    """The key of the step that deletes a live object."""
    return f"-{_key(resource)}" if resource.surplus else f"-{resource.address}"


def _attach_key(key: str, name: str, member: Any) -> str:
    return f"{key}+{name}:{_named(member)}"


def _detach_key(key: str, name: str, member: Any) -> str:
    return f"{key}-{name}:{_named(member)}"


def _named(member: Any) -> str:
    if isinstance(member, Item):
        return f"{member.name} {member.key[-8:]}"
    return str(member.address) if isinstance(member, Ref) else str(member)


# --- what comes before what ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Lookups:
    """What the order of all steps follows from, computed once.

    addresses        id of a live object to the key of the step that would change it
    owners           what is deleted with another object, to that object
    barriers         key of a barrier to the deletions that it waits for: those of all objects of a kind
    barriers_before  kind to the barriers that its deletions wait for: those of the kinds that refer to it
    detaches         id to the steps that detach it
    detached_first   key of a step that detaches a member, to those that detach it from what was created along
    labels           object to the deletions of its parts, which make room for labels
    items            object to the steps that add or remove what it contains
    created_with     own block to the agent in whose request it is created
    moved            block that moves to the agent that it moves out of
    same_agent       key of the step that writes an agent for an entry of `matches`, to that of the entry before it
    """

    addresses: Mapping[str, str]
    owners: Mapping[Address, Address]
    barriers: Barriers
    barriers_before: Mapping[str, tuple[str, ...]]
    detaches: Mapping[str, list[str]]
    detached_first: Mapping[str, list[str]]
    labels: Mapping[Address, list[str]]
    items: Mapping[str, list[str]]
    created_with: Mapping[Address, Address]
    moved: Mapping[str, Address | None]
    same_agent: Mapping[str, list[str]]

    def creator(self, ref: Ref) -> str:
        """The key of the step that creates the object of a Ref."""
        return str(self.created_with.get(ref.address, ref.address))

    @classmethod
    def of(
        cls,
        resources: Iterable[ResourceChange],
        deleted: Iterable[ResourceChange],
        steps: Mapping[str, Step],
        observed: Observed,
    ) -> _Lookups:
        owners = {
            part: each.address
            for each in resources
            if each.change.action == "delete"
            for _, _, part in companions(each.address)
        }
        waited: dict[str, list[str]] = defaultdict(list)
        detaches: dict[str, list[str]] = defaultdict(list)
        first: dict[str, list[str]] = defaultdict(list)
        for each in resources:
            if _deletes(each) and not each.discover and each.address not in owners:
                waited[each.change.kind].append(_delete_key(each))
            for name, member in each.detach:
                key = _detach_key(str(each.address), name, member)
                if isinstance(member, str):
                    detaches[member].append(key)
                if each.desired and each.desired.created_with:
                    first[_detach_key(str(each.desired.created_with), name, member)].append(key)
        labels: dict[Address, list[str]] = defaultdict(list)
        for each in deleted:
            if each.address.parent:
                labels[each.address.parent].append(_delete_key(each))
        for agent, block in _renamed_blocks(steps.values(), observed):
            labels[agent].append(block)
        relocated = observed.state.relocated.items()
        moved = {id: each.before.parent for id, each in relocated if each.is_attached_anew}
        items: dict[str, list[str]] = defaultdict(list)
        for step in steps.values():
            if isinstance(step, Attach | Detach) and isinstance(step.member, Item):
                items[str(step.address)].append(step.key)
        return cls(
            {live.id: str(address) for address, live in observed.objects.items()},
            owners,
            {_barrier(kind): tuple(keys) for kind, keys in waited.items()},
            {kind: tuple(map(_barrier, _users(kind))) for kind in kinds()},
            detaches,
            first,
            labels,
            items,
            {part: part.parent for part in _inline_parts(resources) if part.parent},
            moved,
            dict(_one_after_another(steps.values())),
        )


def _one_after_another(steps: Iterable[Step]) -> Iterator[tuple[str, list[str]]]:
    """The steps that write one agent for entries of `matches`, each after the one before: they write what they read.

    An agent that the stack owns is written first.
    """
    before: dict[str, str] = {}
    for step in sorted(steps, key=lambda each: is_matched(each.address)):
        if isinstance(step, Update) and step.id:
            if step.id in before and is_matched(step.address):
                yield step.key, [before[step.id]]
            before[step.id] = step.key


def _renamed_blocks(steps: Iterable[Step], observed: Observed) -> Iterator[tuple[Address, str]]:
    """The agents whose blocks get another label, each with the step that writes it."""
    name = kinds()["block"].name_field
    updates = (step for step in steps if isinstance(step, Update) and step.kind == "block")
    renamed = {step.id: step.key for step in updates if name in step.fields}
    for address, live in observed.objects.items() if renamed else ():
        for block in observed.attached.get(live.id, ()):
            if block.id in renamed:
                yield address, renamed[block.id]


def _barrier(kind: str) -> str:
    return f"{kinds()[kind].section} deleted"


def _users(kind: str) -> Iterator[str]:
    """The kinds whose objects refer to objects of this kind, or own them."""
    for name, user in kinds().items():
        if name != kind and any(_uses(line, kind) for line in user.attrs().values()):
            yield name


def _linked(
    step: Step, steps: Mapping[str, Step], lookups: _Lookups, effects: Effects, known: set[str], observed: Observed
) -> Step:
    """The step with all that must come before it: what it refers to, what makes room for it, and the state."""
    sent = list(contents(step))
    inside = [lookups.addresses[each] for each in _ids(step) if each in lookups.addresses]
    named = [*(lookups.creator(ref) for ref in refs([sent, _members(step)])), *inside]
    # an update waits for what is created alone: it could wait for its own attachments otherwise
    waited = (Create, Discover, Update) if isinstance(step, Create | Attach) else (Create, Discover)
    needed = [key for key in named if key != step.key or _needs_itself(step, lookups)]
    after = [key for key in needed if isinstance(steps.get(key), waited)]
    if isinstance(step, Attach):
        after += lookups.labels.get(step.address, ())
    if isinstance(step, Update):
        after += _after_moves(step, steps, lookups)
    if isinstance(step, Detach):  # an interrupted apply leaves the difference from which the others follow
        after += lookups.detached_first.get(step.key, ())
    noted = step.address in observed.state.ids or step.kind not in observed.capabilities.searchable
    written = step.address in effects.prompts or step.address in effects.matched
    if written or (isinstance(step, Create) and noted) or observed.readdressed:
        after.append(BEFORE)
    if is_matched(step.address) and isinstance(step, Update):
        after += lookups.same_agent.get(step.key, ())
    # 0.16.8 fails to read a file while an agent gets its folder: contents first
    outside = [*(str(ref.address) for ref in refs(_spoken(step))), *inside] if lookups.items else []
    after_end = [key for name in outside if name != str(step.address) for key in lookups.items.get(name, ())]
    return replace(
        step,
        after=tuple(key for key in dict.fromkeys((*step.after, *after)) if key in known),
        after_end=tuple(dict.fromkeys((*step.after_end, *after_end))),
    )


def _after_moves(step: Update, steps: Mapping[str, Step], lookups: _Lookups) -> Iterator[str]:
    """What an update waits for while blocks move.

    A block that moves gets its new label once it is detached: its old agent may have another block with that label.
    """
    if step.id is not None and step.id in lookups.moved:
        yield from lookups.detaches.get(step.id, ())
        yield f"-{lookups.moved[step.id]}"
    elif step.address.parent and kinds()[step.kind].name_field in step.fields:
        yield from (key for key in lookups.labels.get(step.address.parent, ()) if isinstance(steps.get(key), Delete))


def _needs_itself(step: Step, lookups: _Lookups) -> bool:
    """Whether what is sent to create an object contains a value that only the object, or a part of it, has."""
    return isinstance(step, Create) and any(lookups.creator(ref) == step.key for ref in refs(list(contents(step))))


def _members(step: Step) -> list[Any]:
    mark = step.mark if isinstance(step, Create | Discover | Update) else None
    return list(mark.members.values()) if mark else []


def _spoken(step: Step) -> list[Any]:
    """What a step sends, without the own blocks that are created with an agent."""
    return [step.fields] if isinstance(step, Create) else list(contents(step))


def _ids(step: Step) -> Iterator[str]:
    """The texts in the lists that a step sends, and the members that it attaches or detaches: some are ids."""
    match step:
        case Create() | Discover() | Update():
            lists = (value for value in step.fields.values() if isinstance(value, list))
            yield from (each for value in lists for each in value if isinstance(each, str))
        case Attach() | Detach() if isinstance(step.member, str):
            yield step.member
        case _:
            return


# --- one order -------------------------------------------------------------------------------------------------------


def sorter(steps: Iterable[Step], barriers: Barriers) -> TopologicalSorter[str]:
    """The graph of the steps and barriers, prepared. PlanError if some of them wait for each other."""
    found = list(steps)
    return _prepared(_graph(found, barriers), found, {})


def _graph(steps: Iterable[Step], barriers: Barriers) -> dict[str, tuple[str, ...]]:
    """Key of each step and barrier to the keys that it waits for."""
    waits = {step.key: (*step.after, *step.after_end) for step in steps} | dict(barriers)
    return {key: tuple(each for each in waited if each in waits) for key, waited in waits.items()}


def _prepared(
    graph: Mapping[str, Sequence[str]], steps: Iterable[Step], objects: Mapping[Address, Desired]
) -> TopologicalSorter[str]:
    found = TopologicalSorter(graph)
    try:
        found.prepare()
    except CycleError as error:
        by_key = {step.key: step for step in steps}
        cycle = [by_key[key].address for key in reversed(error.args[1]) if key in by_key]
        around = [address for address, before in zip(cycle, [None, *cycle], strict=False) if address != before]
        around = around if len(around) > 1 else [*around, *around]
        places = {address: objects[address].place if address in objects else None for address in around}
        problems = [
            Problem(f"{one} needs {other} first", places[one], None, str(one)) for one, other in pairwise(around)
        ]
        message = f"cycle of references: {' → '.join(map(str, around))}"
        raise PlanError(message, "remove one of the references", problems) from None
    return found


def _arranged(steps: Sequence[Step], barriers: Barriers, manifest: Manifest) -> list[Step]:
    """The steps, each after those that it waits for; otherwise in the order of the manifest."""
    graph, by_key = _graph(steps, barriers), {step.key: step for step in steps}
    ready = _prepared(graph, steps, manifest.objects)
    rank = {key: position for position, key in enumerate(graph)}
    first = dict(rank)
    # as early as the first step that waits for it
    for key in reversed([*TopologicalSorter(graph).static_order()]):
        for waited in graph[key]:
            first[waited] = min(first[waited], first[key])
    found: list[Step] = []
    heap = [(first[key], rank[key], key) for key in ready.get_ready()]
    heapify(heap)
    while heap:
        _, _, key = heappop(heap)
        if key in by_key:
            found.append(by_key[key])
        ready.done(key)
        for each in ready.get_ready():
            heappush(heap, (first[each], rank[each], each))
    return found


# --- marks alone -----------------------------------------------------------------------------------------------------


def remark(observed: Observed, manifest: Manifest, forgotten: frozenset[Address] = frozenset()) -> tuple[Step, ...]:
    """The Steps that write the marks of objects again and the state, and that forget some, with their parts.

    An agent whose own block is forgotten stores nothing of it any more.
    """
    forgotten = state.with_companions(observed, forgotten)
    kept: dict[Address, Live] = {}
    steps: list[Step] = []
    # an own block that its agent detached is forgotten with its agent
    for address, live, several in _everything(observed):
        parts = {key: base for key, base in live.mark.parts.items() if not _is_forgotten(address, key, forgotten)}
        mark = replace(live.mark, parts=parts)
        if address in observed.objects:
            kept[address] = replace(live, mark=mark)
        if live.stack != manifest.stack or live.kind not in observed.capabilities.claims:
            continue
        if forgotten.isdisjoint((address, address.parent)):
            changed = parts != live.mark.parts
            steps += [Update(str(address), address, live.kind, id=live.id, mark=mark)] if changed else []
        else:
            steps.append(Update(f"{address}{several}", address, live.kind, id=live.id, mark=Mark(), forget=True))
    new = state.without(manifest, replace(observed, objects=kept), forgotten)
    return (*steps, _save(LAST, new, last=True))


def readdress(moved: Observed, new: Address, manifest: Manifest) -> tuple[Step, ...]:
    """The Steps that give an object, and its parts, the address `new`: first in the state, then in their marks.

    `moved`: what was observed, at the new addresses.
    """
    addresses, steps = state.with_companions(moved, {new}), list[Step]()
    for address, live, several in _everything(moved):
        if live.stack != manifest.stack or live.kind not in moved.capabilities.claims:
            continue
        if not addresses.isdisjoint((address, address.parent)):
            key = f"{address}{several}"
            steps.append(Update(key, address, live.kind, id=live.id, mark=live.mark, after=(BEFORE,)))
    first = replace(moved.state, serial=moved.state.serial + 1)
    unfinished = {id: each for id, each in first.relocated.items() if each.is_attached_anew}
    return (_save(BEFORE, first), *steps, _save(LAST, replace(first, relocated=unfinished), last=True))


def _everything(observed: Observed) -> Iterator[tuple[Address, Live, str]]:
    """All objects and orphaned blocks: address, object, and what distinguishes the step of one of several blocks."""
    yield from ((address, live, "") for address, live in observed.objects.items())
    yield from ((address, live, f" {live.id}") for address, live in observed.orphaned_blocks)


def _is_forgotten(agent: Address, key: str, forgotten: frozenset[Address]) -> bool:
    parts = (line.name for line, _ in kinds()["agent"].relations(Parts))
    return any(agent.part(field, key) in forgotten for field in parts)


def _uses(line: Attr, kind: str) -> bool:
    """Whether a field refers to objects of a kind, or owns them."""
    parts = line.related(Parts)
    return line.to == kind or (parts is not None and parts.kind == kind)
