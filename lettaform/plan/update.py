"""An existing object and its own blocks to ResourceChanges: what is written, attached, detached and marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.address import Address, matches
from lettaform.kinds import kinds
from lettaform.kinds.traits import Parts
from lettaform.model import Action, AgentChange, Change, Desired, FieldChange, Live, Mark
from lettaform.plan.changes import ResourceChange
from lettaform.plan.compare import compare
from lettaform.plan.create import create, create_block
from lettaform.plan.lookup import Lookup
from lettaform.plan.notes import cascades, fixed_fields, replacement_note, unreached
from lettaform.plan.policy import policies
from lettaform.values import Patch, Ref

Found = ResourceChange | AgentChange
"""What this pass returns."""


def update(lookup: Lookup, desired: Desired, live: Live) -> list[Found]:
    """Change an existing object to what is declared; replace it if a field of it cannot be changed."""
    resource, found = _compared(lookup, desired, live)
    if resource.change.action == "replace":
        return [*found, *create(lookup, desired, resource)]
    blocks = [_own_block(lookup, live, part) for part in lookup.parts(desired.address)]
    resource = _with_blocks(lookup, resource, live, blocks)
    own = (each for block in blocks for each in block.found)
    return [*found, *own, *_kept(lookup, resource)]


# --- one object ------------------------------------------------------------------------------------------------------


def _compared(lookup: Lookup, desired: Desired, live: Live) -> tuple[ResourceChange, list[Found]]:
    """The change to an existing object, and what agents changed of it."""
    compared = compare(lookup, desired, live)
    change = Change(
        desired.address,
        desired.kind,
        "update",
        live.id,
        fields_changed=compared.fields_changed,
        recompiles=lookup.recompiles(live, compared.touched),
        place=desired.place,
        notes=(*compared.notes, *unreached(lookup, live, compared.touched)),
    )
    if fixed_fields(change):
        notes = (replacement_note(lookup, desired, change), *cascades(lookup, live.id))
        change = replace(change, action="replace", notes=notes)
    mark = Mark(compared.base, compared.members, live.mark.parts, promoted={**live.mark.promoted, **compared.promoted})
    fields, attach, detach = compared.fields, compared.attach, compared.detach
    resource = ResourceChange(change, desired, live, fields, mark, attach, detach, replaces=compared.replaces)
    resource = _with_released(lookup, resource, live)
    resource = _with_lost_by_creator(lookup, resource, live)
    if change.action == "replace":
        resource = replace(resource, change=replace(resource.change, recompiles=change.recompiles))
    return resource, list(compared.agent_changes)


def _with_released(lookup: Lookup, resource: ResourceChange, agent: Live) -> ResourceChange:
    """The change to an agent, with the blocks to detach: they moved out of it, and are not among its shared blocks."""
    return _detaching(lookup, resource, agent, "memory", lookup.released(agent))


def _with_lost_by_creator(lookup: Lookup, resource: ResourceChange, agent: Live) -> ResourceChange:
    """The change to an agent that was created along with another one, without the blocks that the other one loses.

    0.16.8 attaches a block to both agents, and detaches it from one.
    """
    address = resource.desired.created_with if resource.desired else None
    creator = lookup.live(address)
    if address is None or creator is None or creator.kind != agent.kind or address in lookup.replaced:
        return resource
    lost = [*compare(lookup, lookup.manifest.objects[address], creator).detach]
    ids = {*(member for name, member in lost if name == "blocks"), *lookup.released(creator)}
    have = [block.id for block in lookup.attached_blocks(agent)]
    return _detaching(lookup, resource, agent, "blocks", [id for id in have if id in ids])


def _detaching(
    lookup: Lookup, resource: ResourceChange, agent: Live, name: str, blocks: Sequence[str]
) -> ResourceChange:
    """The change to an agent that also detaches blocks that are not among its shared ones. `name`: field to show."""
    if not blocks:  # most agents
        return resource
    shared = (resource.desired.values.get("blocks") or ()) if resource.desired else ()
    kept = {lookup.member(item) for item in shared} | {member for _, member in resource.detach}
    leaving = [id for id in blocks if id not in kept]
    if not leaving:
        return resource
    resource = replace(resource, detach=(*resource.detach, *(("blocks", id) for id in leaving)))
    return _with_memory(lookup, resource, agent, Patch(drop=tuple(map(lookup.named, leaving))), name)


def _with_memory(
    lookup: Lookup, resource: ResourceChange, agent: Live, patch: Patch, name: str = "memory"
) -> ResourceChange:
    """The change to an agent, with the blocks that it gets or loses. `name`: the field to show."""
    change = resource.change
    others = tuple(each for each in change.fields_changed if each.path != name)
    before = [each.new for each in change.fields_changed if each.path == name]
    every = [*before, patch]
    merged = Patch(tuple(m for each in every for m in each.put), tuple(m for each in every for m in each.drop))
    recompiles = max(change.recompiles, lookup.recompiles(agent, [name]))
    shown = (*others, FieldChange(name, None, merged))
    return replace(resource, change=replace(change, fields_changed=shown, recompiles=recompiles))


def _kept(lookup: Lookup, resource: ResourceChange) -> Iterator[ResourceChange]:
    """The change, if it does anything, with its mark, its claim, and the action to show."""
    live, address, change = resource.live, resource.address, resource.change
    assert live is not None
    claim = not live.marked or address in lookup.moves.old
    marks = claim or resource.mark != live.mark
    call = lookup.call(change.kind)
    interrupted = call if call and address in lookup.observed.state.pending else None
    owes = interrupted is not None or address in lookup.incomplete_owners
    unseen = call is None and address in lookup.observed.state.pending
    if resource.fields or resource.attach or resource.detach:
        shown: tuple[Action, str] | None = ("update", _reason(change))
    elif owes:
        shown = (
            "update",
            f"interrupted before {interrupted.done}" if interrupted else "what it offers is listed again",
        )
    elif unseen:
        shown = ("update", "interrupted before the prompts that contain it were recompiled")
    else:
        shown = _without_writes(lookup, resource, marks=marks)
    if shown:
        action, reason = shown
        moved = lookup.moves.old.get(address)
        notes = (f"moved from {moved}", *change.notes) if moved and action == "update" else change.notes
        recompiles = max(change.recompiles, int(owes))
        change = replace(change, action=action, reason=reason, recompiles=recompiles, notes=notes)
        yield replace(resource, change=change, claim=claim, mark=resource.mark if marks else None)


def _reason(change: Change) -> str:
    return change.fields_changed[0].reason if change.fields_changed else "manifest"


def _without_writes(lookup: Lookup, resource: ResourceChange, *, marks: bool) -> tuple[Action, str] | None:
    """Action and reason of a change that writes no field; None: nothing is to be done."""
    address, moved = resource.address, lookup.moves.old.get(resource.address)
    if marks:
        action: Action = "mark" if resource.live and resource.live.marked else "adopt"
        return action, f"moved from {moved}" if moved else "marks only"
    if not address.parent and address not in lookup.observed.state.ids:
        return "mark", "not in the state of the stack"
    return None


# --- own blocks of an existing agent ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _OwnBlock:
    """One own block of an existing agent.

    found   the change to the block, if there is one
    attach  the block to attach to the agent
    base    what the agent's mark stores of the block; None: no change
    """

    part: Desired
    found: tuple[Found, ...] = ()
    attach: Any = None
    base: Mapping[str, str] | None = field(default=None)


def _own_block(lookup: Lookup, agent: Live, part: Desired) -> _OwnBlock:
    stored = agent.mark.parts.get(part.address.child or "")
    block = lookup.live(part.address) or _unmarked_block(lookup, agent, part)
    if block is not None:
        resource, found = _compared(lookup, part, block)
        here = any(each.id == block.id for each in lookup.attached_blocks(agent))
        anew = lookup.is_moved(block) and (not here or block.id in lookup.released(agent))
        attach = block.id if anew else None
        return _OwnBlock(part, (*found, *_kept(lookup, resource)), attach=attach, base=stored or {})
    detached = lookup.detached_block(part.address)
    exact = policies(part)["value"] == "enforce" or matches(part.address, lookup.options.reseed)
    if stored is not None and not exact:
        # the agent detached it, which is allowed
        id = detached.id if detached else agent.id
        return _OwnBlock(part, (AgentChange(part.address, "attached", id, want=True, live=False),))
    if detached is None:
        new = Ref(part.address) if lookup.attaches_parts() else None
        return _OwnBlock(part, (create_block(lookup, part),), attach=new, base={})
    resource, found = _compared(lookup, part, detached)
    change = replace(resource.change, action="adopt", reason="re-attached", recompiles=0)
    return _OwnBlock(part, (*found, replace(resource, change=change)), attach=detached.id, base={})


def _unmarked_block(lookup: Lookup, agent: Live, part: Desired) -> Live | None:
    """A block of the agent with the declared label and no mark: it created the block, or somebody removed the mark."""
    blocks = lookup.attached_blocks(agent)
    label = part.values.get("label")
    block = next((each for each in blocks if each.name == label and not each.marked), None)
    stored = agent.mark.parts.get(part.address.child or "", {})
    return replace(block, mark=Mark(stored)) if block else None


def _with_blocks(lookup: Lookup, resource: ResourceChange, agent: Live, blocks: Iterable[_OwnBlock]) -> ResourceChange:
    """The change to an agent, with the blocks to attach and the bases of its own blocks."""
    blocks, mark = list(blocks), resource.mark or Mark()
    stored = {key: base for key, base in mark.parts.items() if _is_own_block(lookup, resource.address, key)}
    bases = {block.part.address.child or "": block.base for block in blocks if block.base is not None}
    resource = replace(resource, mark=replace(mark, parts={**stored, **bases}))
    added = [block.attach for block in blocks if block.attach is not None]
    if not added:
        return resource
    resource = _with_memory(lookup, resource, agent, Patch(tuple(lookup.named(block) for block in added)))
    return replace(resource, attach=(*resource.attach, *(("blocks", block) for block in added)))


def _is_own_block(lookup: Lookup, agent: Address, key: str) -> bool:
    """Whether an agent has an own block under a key: declared, or left by the manifest."""
    addresses = (agent.part(line.name, key) for line, _ in kinds()["agent"].relations(Parts))
    return any(each in lookup.manifest.objects or lookup.has_block(each) for each in addresses)


# --- own blocks that an agent loses ----------------------------------------------------------------------------------


def without_lost_blocks(lookup: Lookup, changes: Sequence[ResourceChange]) -> list[ResourceChange]:
    """The finished changes of a plan, with the changes to agents that lose own blocks in it.

    The mark of an agent forgets a block that is deleted or forgotten: it is created when it is declared again. A block
    that moved is detached from its agent, also where nothing else changes that agent.
    """
    lost = _lost_blocks(changes)
    found = [_without_parts(each, lost.get(each.address, frozenset())) for each in changes]
    known = {each.address: each.change.action for each in changes if not each.address.parent}
    for address, live in lookup.observed.objects.items():
        ours = live.stack == lookup.manifest.stack and lookup.is_in_shard(address)
        if ours and known.get(address, "forget") == "forget":
            keys = frozenset[str]() if address in known else lost.get(address, frozenset())
            found += _losing(lookup, address, live, keys)
    return found


def _lost_blocks(changes: Iterable[ResourceChange]) -> Mapping[Address, frozenset[str]]:
    """Agent to the keys of its own blocks that the plan deletes or forgets."""
    found: dict[Address, frozenset[str]] = {}
    for each in changes:
        owner, key = each.address.parent, each.address.child
        lost = each.desired is None and each.change.action in ("delete", "forget") and not each.surplus
        if owner and key and lost:
            found[owner] = found.get(owner, frozenset()) | {key}
    return found


def _without_parts(resource: ResourceChange, keys: frozenset[str]) -> ResourceChange:
    live, mark = resource.live, resource.mark
    if live is None or resource.change.action in ("replace", "delete", "forget") or keys.isdisjoint(live.mark.parts):
        return resource
    mark = mark or live.mark
    return replace(resource, mark=replace(mark, parts={k: base for k, base in mark.parts.items() if k not in keys}))


def _losing(lookup: Lookup, address: Address, agent: Live, keys: frozenset[str]) -> Iterator[ResourceChange]:
    """The change to an agent that nothing else changes: blocks that moved are detached, and its mark forgets `keys`."""
    stored = agent.mark.parts
    if keys.isdisjoint(stored) and not lookup.released(agent):
        return
    desired = lookup.manifest.objects.get(address)
    change = Change(address, agent.kind, "mark", agent.id, "marks only", place=desired.place if desired else None)
    resource = _with_released(lookup, ResourceChange(change, desired, agent), agent)
    kept = {k: base for k, base in stored.items() if k not in keys and _is_own_block(lookup, address, k)}
    if resource.detach:
        resource = replace(resource, change=replace(resource.change, action="update", reason="manifest"))
    if resource.detach or not keys.isdisjoint(stored):
        yield replace(resource, mark=None if kept == stored else replace(agent.mark, parts=kept))


def move_undeclared_blocks(lookup: Lookup, changes: Iterable[ResourceChange]) -> Iterator[ResourceChange]:
    """Give the undeclared own blocks of a moved agent its new address, attached or not.

    At the old one they would count as undeclared there, or as a copy of the block that gets it. `changes`: the other
    changes of the plan. A block that one of them is about is left out.
    """
    changed = {resource.live.id for resource in changes if resource.live}
    for address, live, old in _undeclared_blocks(lookup):
        stays = live.marked and old == address
        if not stays and live.id not in changed and lookup.is_in_shard(address):
            reason = "marks only" if old in (None, address) else f"moved from {old}"
            change = Change(address, live.kind, "mark", live.id, reason)
            yield ResourceChange(change, None, live, mark=live.mark, claim=True)


def _undeclared_blocks(lookup: Lookup) -> Iterator[tuple[Address, Live, Address | None]]:
    """Orphaned blocks, and attached ones that move with their agent: address, block, and the address in its mark."""
    for address, live in lookup.observed.orphaned_blocks:
        yield address, live, live.address
    # those that move now, and those of which an interrupted run did not write the mark
    for id, moved in lookup.observed.state.relocated.items():
        address, block = moved.address, lookup.live(moved.address)
        old = lookup.moves.old.get(address)
        is_undeclared = address.parent is not None and address not in lookup.manifest.objects
        if block and block.id == id and is_undeclared and (old or not block.marked):
            yield address, block, old
