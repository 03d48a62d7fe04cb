"""Deltas to Steps: one operation each, with what must come before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from lettaform.address import Address
from lettaform.kinds import companions, kind_of, kinds, sections
from lettaform.model import FORGET, Live, Manifest, Mark, Observed, State, Step
from lettaform.plan.changes import ResourceChange
from lettaform.values import Item, Ref, refs

RECORD = Address.of("stack", "record")
"""Where the stack record stands among the addresses."""


def order(
    resources: tuple[ResourceChange, ...], manifest: Manifest, observed: Observed, *, destroy: bool = False
) -> tuple[Step, ...]:
    """The Steps of a plan, in an order in which they could run one by one."""
    # what another object brought goes with it
    doomed = [d for d in resources if d.change.action in ("delete", "replace") and (not d.discover or d.address.parent)]
    forgotten = {
        resource.address for resource in resources if resource.change.action in ("delete", "replace", "forget")
    }
    # what is made again in place of what somebody deleted: a crash must not make a copy of it
    forgotten |= {d.address for d in resources if d.change.action == "create" and d.address in observed.state.ids}
    inline = _inline(resources)
    steps = {step.key: step for resource in resources for step in _steps(resource, inline)}
    steps |= {
        step.key: step
        for resource in doomed
        for step in _death(resource, resources, bool(forgotten & observed.state.ids.keys()))
    }
    pending = frozenset(step.address for step in steps.values() if step.op == "call")
    linked = [_after(step, steps, observed, doomed, pending) for step in _behind(steps, observed)]
    # whose agent lives has them again, and what is gone is nobody's
    gone = {resource.live.id for resource in doomed if resource.live}
    carried_over = {
        address: tuple(live.id for live in lives if live.id not in gone)
        for address, lives in observed.carried_over.items()
    } | {
        resource.address: tuple(id for id in resource.reused.values() if isinstance(id, str))
        for resource in resources
        if resource.change.action == "replace"
    }
    due = replace(
        observed.state,
        environment=manifest.environment,
        duplicates=frozenset(copy.id for copy in observed.duplicates),
        pending=observed.state.pending | pending,
        carried_over={address: ids for address, ids in carried_over.items() if ids},
        intents=_intents(resources),
    )
    before = _forewarn(forgotten, due, manifest, observed)
    last = _record(resources, manifest, observed, forgotten, due, destroy=destroy)
    return (*before, *_sorted(linked), *last)


def _intents(resources: tuple[ResourceChange, ...]) -> dict[Address, str]:
    """What will be made and could not be found again by tags, were its answer lost."""
    born = [
        each for each in resources if each.change.action in ("create", "replace") and each.desired and not each.discover
    ]
    named = {each.address: each.fields.get(kinds()[each.change.kind].name_field, "") for each in born}
    return {each.address: str(named[each.address]) for each in born if not kinds()[each.change.kind].tagged()}


def remark(observed: Observed, manifest: Manifest, addresses: Mapping[Address, Address | None]) -> tuple[Step, ...]:
    """The Steps that give objects, and their parts, another address, or (None) let them go. And the record."""
    steps: list[Step] = []
    ids: dict[str, Any] = {}
    marks: dict[Address, Mark] = {}
    for old, new in [*addresses.items()]:  # what the server made along with it goes where it goes
        others = [each for _, _, each in companions(new)] if new else []
        pairs = zip_longest((each for _, _, each in companions(old)), others)
        addresses = {**addresses, **{o: n for o, n in pairs if o in observed.objects}}
    # a block that its agent took off goes where its agent goes
    free = observed.orphaned_blocks
    for address, live in (*observed.objects.items(), *free):
        if live.stack != manifest.stack:
            continue
        top, again = address.parent or address, f" {live.id}" if (address, live) in free else ""
        if top not in addresses:
            ids |= {} if address.parent else {str(address): live.id}
            marks |= {} if kinds()[live.kind].roomy() else {address: live.mark}
            continue
        new, silent = addresses[top], kinds()[live.kind].mark == "state"
        if new is None:
            if silent:
                continue
            steps.append(Step(f"{address}{again}", "update", address, live.kind, live.id, mark=Mark(), member=FORGET))
            continue
        moved = new.part(address.field or "", address.child or "") if address.parent else new
        ids |= {} if moved.parent else {str(moved): live.id}
        marks |= {} if kinds()[live.kind].roomy() else {moved: live.mark}
        if not silent:
            steps.append(Step(f"{moved}{again}", "update", moved, live.kind, live.id, mark=live.mark))
    protected = frozenset(addresses.get(a, a) or a for a in observed.state.protected)
    protected &= {Address.parse(a) for a in ids}
    record = replace(
        observed.state,
        protected=protected,
        duplicates=frozenset(copy.id for copy in observed.duplicates),
        tombstones={},
    )
    return (*steps, Step("record", "record", RECORD, "stack", fields=_fields(ids, record, marks)))


def _inline(resources: tuple[ResourceChange, ...]) -> Mapping[Address, Mapping[str, Mapping[str, Any]]]:
    """Own blocks that are born with their agent: one request instead of three."""
    found: dict[Address, dict[str, Mapping[str, Any]]] = {}
    for resource in resources:
        address, wanted = resource.address, resource.desired
        if address.parent and address.child and wanted and resource.live is None and resource.mark is None:
            values = {name: value for name, value in wanted.values.items() if value is not None}
            found.setdefault(address.parent, {})[address.child] = values
    return found


def _steps(resource: ResourceChange, inline: Mapping[Address, Mapping[str, Mapping[str, Any]]]) -> Iterator[Step]:
    change, address = resource.change, str(resource.address)
    if change.action == "delete":
        return
    if change.action in ("create", "replace"):
        yield from _arrival(resource) if resource.discover else _birth(resource, inline.get(resource.address, {}))
        for name, member in resource.attach:
            key = f"{address}+{name}:{_named(member)}"
            yield Step(key, "link", resource.address, change.kind, member=(name, member), after=(address,))
        return
    if resource.live is None:
        return
    if resource.desired is None and resource.address.parent:  # of those there may be several
        address = f"{address} {resource.live.id}"
    if change.action == "forget":
        if kinds()[change.kind].mark == "state":
            return
        yield Step(
            address, "update", resource.address, change.kind, resource.live.id, mark=resource.mark, member=FORGET
        )
        return
    waits: list[str] = []
    held = {item.name: f"{address}+{name}:{_named(item)}" for name, item in resource.attach if isinstance(item, Item)}
    for verb, sign, members in (("unlink", "-", resource.detach), ("link", "+", resource.attach)):
        for name, member in members:
            key = f"{address}{sign}{name}:{_named(member)}"
            before = () if verb == "unlink" else tuple(waits)
            # what is held comes in any order; but what another takes the place of goes once that is there
            if isinstance(member, Item):
                before = (held[member.name],) if verb == "unlink" and member.name in held else ()
            yield Step(key, verb, resource.address, change.kind, resource.live.id, member=(name, member), after=before)  # type: ignore[arg-type]
            waits.append(key)
    room = kinds()[change.kind].roomy()
    claim = resource.claim and kinds()[change.kind].mark != "state"
    if resource.fields or claim or (resource.mark is not None and room):
        users = 0 if kinds()[change.kind].call else change.recompiles
        fields = resource.fields
        yield Step(
            address,
            "update",
            resource.address,
            change.kind,
            resource.live.id,
            fields,
            resource.mark,
            after=tuple(waits),
            users=users,
        )
        waits.append(address)
    if change.recompiles or resource.attach or resource.detach:
        yield from _call(resource, tuple(waits))


def _call(resource: ResourceChange, after: tuple[str, ...]) -> Iterator[Step]:
    """What must be told after a change, or nothing follows from it."""
    call, change = kinds()[resource.change.kind].call, resource.change
    if call is not None:
        key, id = (
            f"{resource.address}!{call.name}",
            resource.live.id if resource.live and change.action == "update" else None,
        )
        yield Step(key, "call", resource.address, change.kind, id, member=(call.name, None), after=after)


def _arrival(resource: ResourceChange) -> Iterator[Step]:
    """What another object brings, once that is there and was told to bring it."""
    assert resource.discover is not None
    by, key = resource.discover[1].address, str(resource.address)
    call = kinds()[sections()[by.section]].call
    after = (str(by), f"{by}!{call.name}") if call and call.on_create else (str(by),)
    kind = kinds()[resource.change.kind]
    yield Step(
        key,
        "take",
        resource.address,
        resource.change.kind,
        None,
        resource.fields,
        resource.mark,
        member=resource.discover,
        after=after,
    )
    if resource.attach or kind.compiled & resource.fields.keys():
        yield from _call(resource, (key, *(f"{key}+{name}:{_named(member)}" for name, member in resource.attach)))


def _named(member: Any) -> str:
    if isinstance(member, Item):
        return f"{member.name} {member.key[-8:]}"
    return str(member.address) if isinstance(member, Ref) else str(member)


def _birth(resource: ResourceChange, parts: Mapping[str, Mapping[str, Any]]) -> Iterator[Step]:
    if resource.mark is None:  # an own block that is born with its agent
        return
    fields = dict(resource.fields)
    if resource.reused:
        fields["blocks"] = [*fields.get("blocks", ()), *resource.reused.values()]
    before = (f"-{resource.address}",) if resource.change.action == "replace" else ()
    kind = resource.change.kind
    yield Step(
        str(resource.address), "create", resource.address, kind, None, fields, resource.mark, parts=parts, after=before
    )
    call = kinds()[kind].call
    if call and call.on_create:
        yield from _call(resource, (str(resource.address),))


def _death(resource: ResourceChange, resources: tuple[ResourceChange, ...], recorded: bool) -> Iterator[Step]:
    """Groups first, then agents, then what they used; and only once nobody of ours holds it any more.

    What the server made along with an object goes where that goes: taken apart before, a crash would leave a part that
    nobody could tell from a copy.
    """
    along = {part: d.address for d in resources if d.change.action == "delete" for _, _, part in companions(d.address)}
    before = ["record-"] if recorded else []
    live = resource.live
    assert live is not None
    if resource.discover:  # its successor has taken over what it said
        before.append(str(resource.address))
    users = {name for name, kind in kinds().items() if any(live.kind in (a.to, a.own) for a in kind.attrs().values())}
    if resource.address in along:
        before.append(f"-{along[resource.address]}")
    elif users:
        before += [
            f"-{each.address}"
            for each in resources
            if each.change.action in ("delete", "replace") and each.change.kind in users
            if not each.discover and each.address not in along
        ]
        before += [
            f"{each.address}-{name}:{member}" for each in resources for name, member in each.detach if member == live.id
        ]
    yield Step(f"-{resource.address}", "delete", resource.address, live.kind, live.id, after=tuple(before))


def _after(
    step: Step, steps: Mapping[str, Step], observed: Observed, doomed: list[ResourceChange], pending: frozenset[Address]
) -> Step:
    """Refer to the steps that make or change what this one speaks of, or make room for it."""
    alive = {live.id: str(address) for address, live in observed.objects.items()}
    members = dict(step.mark.members) if step.mark else {}
    named = [str(ref.address) for ref in refs([dict(step.fields), step.member, dict(step.parts), members])]
    named += [alive[m] for m in _members(step) if m in alive]
    before = [
        key for key in named if key in steps and key != step.key and steps[key].op in ("create", "take", "update")
    ]
    # a cycle could only come from an update that waits for its own links
    before = [key for key in before if step.op in ("create", "link") or steps[key].op in ("create", "take")]
    if step.op == "link":  # a label is free once the block that has it is gone
        before += [f"-{resource.address}" for resource in doomed if resource.address.parent == step.address]
    noted = step.address in observed.state.ids or not kinds()[step.kind].tagged()
    if step.address in pending or (step.op == "create" and noted):
        before.append("record-")
    return replace(step, after=tuple(dict.fromkeys((*step.after, *before))))


def _behind(steps: Mapping[str, Step], observed: Observed) -> Iterator[Step]:
    """What is held comes before who has its holder: 0.16.8 fails to read a file while an agent gets its folder."""
    held: dict[str, list[str]] = {}
    for step in steps.values():
        if step.member and isinstance(step.member[1], Item):
            held.setdefault(str(step.address), []).append(step.key)
    alive = {live.id: str(address) for address, live in observed.objects.items()} if held else {}
    for step in steps.values():
        named = [str(ref.address) for ref in refs([dict(step.fields), step.member])] if held else []
        named += [alive[member] for member in _members(step) if member in alive]
        keys = (key for name in named if name != str(step.address) for key in held.get(name, ()))
        yield replace(step, behind=tuple(dict.fromkeys(keys)))


def _members(step: Step) -> list[Any]:
    listed = [item for value in step.fields.values() if isinstance(value, list) for item in value]
    return [m for m in (*listed, step.member[1] if step.member else None) if isinstance(m, str)]


def _forewarn(forgotten: set[Address], due: State, manifest: Manifest, observed: Observed) -> tuple[Step, ...]:
    """What a crash must not hide, written before anything else.

    What will die leaves the record first, or a stranger that took its place could pass for it. Whose prompt must be
    compiled again is noted, or nobody would know that it was not; and what hung on an agent that is replaced.
    """
    noted = due.pending == observed.state.pending and due.carried_over.items() <= observed.state.carried_over.items()
    noted = noted and due.intents.items() <= observed.state.intents.items()
    if noted and not forgotten & observed.state.ids.keys():
        return ()
    # what the record alone knows stays in it until it is dead
    silent = {a for a in forgotten if (kind := kind_of(a)) and kinds()[kind].mark == "state"}
    ids = {str(a): id for a, id in observed.state.ids.items() if a not in forgotten - silent}
    # an apply that died had made it and could not say so: once this is written, its intent is gone
    kept = _kept(manifest, observed, forgotten)
    ids |= {str(a): kept[a].id for a in observed.state.intents if a in kept}
    marks = {a: mark for a, mark in observed.state.marks.items() if a not in forgotten}
    tombstones = {
        observed.state.ids[a]: mark
        for a, mark in observed.state.marks.items()
        if a in forgotten & {*observed.state.ids}
    }
    told = _fields(ids, replace(due, tombstones={**observed.state.tombstones, **tombstones}), marks)
    return (Step("record-", "record", RECORD, "stack", fields=told),)


def _record(
    resources: tuple[ResourceChange, ...],
    manifest: Manifest,
    observed: Observed,
    forgotten: set[Address],
    due: State,
    *,
    destroy: bool,
) -> tuple[Step, ...]:
    born = {
        resource.address
        for resource in resources
        if resource.change.action in ("create", "replace")
        and resource.address.parent is None
        and resource.mark is not None
    }
    kept = _kept(manifest, observed, forgotten)
    ids: dict[str, Any] = {str(a): live.id for a, live in kept.items()} | {str(a): Ref(a) for a in born}
    marks = _marks(resources, kept, observed)
    declared = {a for a, d in manifest.objects.items() if d.prevent_destroy}
    protected = declared | {a for a in observed.state.protected if a not in manifest.objects and a in kept}
    record = replace(due, protected=frozenset(protected), tombstones={})
    if destroy and not ids and not record.duplicates:
        return (Step("record", "delete", RECORD, "stack"),) if observed.state.exists else ()
    told = record.pending or record.intents or observed.state.intents or observed.state.tombstones
    rewritten = bool(
        forgotten & observed.state.ids.keys() or told or record.carried_over != observed.state.carried_over
    )
    same = (
        not rewritten
        and ids == {str(a): id for a, id in observed.state.ids.items()}
        and protected == observed.state.protected
    )
    if (
        same
        and marks == dict(observed.state.marks)
        and record.environment == observed.state.environment
        and (observed.state.exists or not ids)
    ):
        return ()
    return (Step("record", "record", RECORD, "stack", fields=_fields(ids, record, marks)),)


def _marks(
    resources: tuple[ResourceChange, ...], kept: Mapping[Address, Live], observed: Observed
) -> dict[Address, Mark]:
    """Marks of what has no room for one on itself: as they were, and as they will be."""
    marks = {a: mark for a, mark in observed.state.marks.items() if a in kept}
    for resource in resources:
        if (
            resource.mark is not None
            and not kinds()[resource.change.kind].roomy()
            and resource.change.action != "forget"
        ):
            marks[resource.address] = resource.mark
    return marks


def _kept(manifest: Manifest, observed: Observed, forgotten: set[Address]) -> dict[Address, Live]:
    """What lives, is ours, and stays so."""
    return {a: live for a, live in observed.objects.items() if _ours(a, live, manifest) and a not in forgotten}


def _ours(address: Address, live: Live, manifest: Manifest) -> bool:
    adopted = address in manifest.objects and manifest.objects[address].external is None
    return address.parent is None and (live.stack == manifest.stack or adopted)


def _fields(ids: Mapping[str, Any], record: State, marks: Mapping[Address, Mark]) -> dict[str, Any]:
    protected = sorted(map(str, record.protected))
    told = {str(address): mark for address, mark in sorted(marks.items(), key=lambda item: item[0])}
    return {
        "ids": dict(sorted(ids.items())),
        "marks": told,
        "protected": protected,
        "copies": sorted(record.duplicates),
        "pending": sorted(map(str, record.pending)),
        "carried_over": {str(address): list(ids) for address, ids in record.carried_over.items()},
        "intents": {str(address): name for address, name in record.intents.items()},
        "tombstones": dict(record.tombstones),
        "environment": record.environment,
        "key": record.key,
    }


def _sorted(steps: list[Step]) -> list[Step]:
    """Depth first, stable: what a step waits for stands before it."""
    by_key, done = {step.key: step for step in steps}, dict[str, Step]()
    stack = [(step, False) for step in reversed(steps)]
    while stack:
        step, ready = stack.pop()
        if step.key in done:
            continue
        if ready:
            done[step.key] = step
            continue
        stack.append((step, True))
        before = reversed((*step.after, *step.behind))
        stack += [(by_key[key], False) for key in before if key in by_key and key not in done]
    return list(done.values())
