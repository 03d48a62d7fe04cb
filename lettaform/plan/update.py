"""An existing object and its own blocks to ResourceChanges: what is written, attached, detached and marked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.model import Action, AgentChange, Change, Desired, FieldChange, Live, Mark
from lettaform.plan.changes import ResourceChange
from lettaform.plan.compare import compare
from lettaform.plan.create import create, create_block
from lettaform.plan.lookup import Lookup
from lettaform.plan.notes import cascades, fixed_fields, replacement_note
from lettaform.plan.policy import policies
from lettaform.plan.selection import matches
from lettaform.values import Patch, Ref

Found = ResourceChange | AgentChange
"""What this pass returns."""


def update(lookup: Lookup, desired: Desired, live: Live) -> list[Found]:
    """Change an existing object to what is declared; replace it if a field of it cannot be changed."""
    resource, found = _compared(lookup, desired, live)
    if resource.change.action == "replace":
        return [*found, *create(lookup, desired, resource)]
    blocks = [_own_block(lookup, live, part) for part in lookup.parts(desired.address)]
    resource = _with_blocks(lookup, resource, blocks)
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
        notes=compared.notes,
    )
    if fixed_fields(change):
        notes = (replacement_note(lookup, desired, change), *cascades(lookup, live.id))
        change = replace(change, action="replace", notes=notes)
    mark = Mark(compared.base, compared.members, live.mark.parts)
    fields, attach, detach = compared.fields, compared.attach, compared.detach
    return ResourceChange(change, desired, live, fields, mark, attach, detach), list(compared.agent_changes)


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
        change = replace(change, action=action, reason=reason, recompiles=max(change.recompiles, int(owes)))
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
        return _OwnBlock(part, (*found, *_kept(lookup, resource)), base=stored or {})
    detached = lookup.detached_block(part.address)
    exact = policies(part)["value"] == "enforce" or matches(part.address, lookup.options.reseed)
    if stored is not None and not exact:
        # the agent detached it, which is allowed
        id = detached.id if detached else agent.id
        return _OwnBlock(part, (AgentChange(part.address, "attached", id, want=True, live=False),))
    if detached is None:
        attach = Ref(part.address) if lookup.attaches_parts() else None
        return _OwnBlock(part, (create_block(lookup, part),), attach=attach, base={})
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


def _with_blocks(lookup: Lookup, resource: ResourceChange, blocks: Iterable[_OwnBlock]) -> ResourceChange:
    """The change to an agent, with the blocks to attach and the bases of its own blocks."""
    blocks = list(blocks)
    if not blocks:
        return resource
    mark, change = resource.mark or Mark(), resource.change
    bases = {block.part.address.child or "": block.base for block in blocks if block.base is not None}
    resource = replace(resource, mark=replace(mark, parts={**mark.parts, **bases}))
    added = [block.attach for block in blocks if block.attach is not None]
    if not added:
        return resource
    shown = FieldChange("memory", None, Patch(tuple(lookup.named(block) for block in added)))
    change = replace(change, fields_changed=(*change.fields_changed, shown))
    return replace(resource, change=change, attach=(*resource.attach, *(("blocks", block) for block in added)))


def move_orphaned_blocks(lookup: Lookup, changes: Iterable[ResourceChange]) -> Iterator[ResourceChange]:
    """Give the orphaned blocks of a moved agent its new address; at the old one they would count as undeclared.

    `changes`: the other changes of the plan. A block that one of them is about is left out.
    """
    changed = {resource.live.id for resource in changes if resource.live}
    for address, live in lookup.observed.orphaned_blocks:
        if live.address != address and live.id not in changed:
            change = Change(address, live.kind, "mark", live.id, f"moved from {live.address}")
            yield ResourceChange(change, None, live, mark=live.mark, claim=True)
