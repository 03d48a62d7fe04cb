"""A Manifest and an Observed to a Diff: runs the passes of a plan one after the other."""

from __future__ import annotations

from collections.abc import Iterator

from lettaform.kinds import kinds
from lettaform.model import AgentChange, Desired, Manifest, Observed, PlanOptions, Unmanaged
from lettaform.plan.changes import Diff, ResourceChange
from lettaform.plan.compare import differs
from lettaform.plan.conflicts import conflicts, guards
from lettaform.plan.create import create, discover
from lettaform.plan.lookup import Lookup
from lettaform.plan.moves import Moves, move
from lettaform.plan.prompts import Prompts, recompile
from lettaform.plan.remove import remove
from lettaform.plan.update import move_orphaned_blocks, update, without_lost_blocks

Found = ResourceChange | AgentChange | Unmanaged
"""What a pass returns."""


def diff(manifest: Manifest, observed: Observed, options: PlanOptions) -> Diff:
    """Compare the declared objects with the live ones. All decisions of a plan are made here."""
    lookup = look_up(manifest, move(manifest, observed, options), options)
    declared = [] if options.destroy else list(_declared(lookup))
    changes = [each for each in declared if isinstance(each, ResourceChange)]
    removed = remove(lookup, changes)
    changes += [] if options.destroy else move_orphaned_blocks(lookup, (*changes, *_changes(removed)))
    prompts = Prompts(lookup, without_lost_blocks(lookup, [*changes, *_changes(removed)]))
    changes = recompile(prompts)
    owners = prompts.owners()
    return Diff(
        resources=tuple(changes),
        runtime=tuple(each for each in declared if isinstance(each, AgentChange)),
        unmanaged=tuple(each for each in removed if isinstance(each, Unmanaged)),
        problems=conflicts(lookup, changes),
        guards=guards(lookup, changes),
        owners={prompts.kind: owners} if prompts.kind and owners else {},
        observed=lookup.observed,
    )


def look_up(manifest: Manifest, moves: Moves, options: PlanOptions) -> Lookup:
    """The Lookup of a plan, with everything that must be replaced.

    An object is replaced if a field of it differs that cannot be changed, or if its owner is replaced. Each round may
    find more: what refers to a replaced object differs, too.
    """
    lookup = Lookup(manifest, moves, options)
    kept = [] if options.destroy else [d for a, d in manifest.objects.items() if a in moves.observed.objects]
    kept = [desired for desired in kept if lookup.is_selected(desired.address)]
    while more := frozenset(each.address for each in kept if _must_be_replaced(lookup, each)):
        lookup = Lookup(manifest, moves, options, lookup.replaced | more)
        kept = [desired for desired in kept if desired.address not in more]
    return lookup


def _must_be_replaced(lookup: Lookup, desired: Desired) -> bool:
    """Whether a field differs that cannot be changed, or the owner is replaced."""
    if desired.discovered_from in lookup.replaced:
        return True
    if desired.external or desired.address.parent or desired.created_with:
        return False
    lines = kinds()[desired.kind].attrs()
    fixed = [name for name in desired.values if lines[name].immutable]
    return bool(fixed) and differs(lookup, desired, lookup.observed.objects[desired.address], fixed)


def _declared(lookup: Lookup) -> Iterator[Found]:
    """The changes to declared objects: first what is created along with others, then each object with its parts."""
    objects = lookup.manifest.objects.values()
    selected = [each for each in objects if each.address.parent is None and lookup.is_selected(each.address)]
    for desired in selected:
        if desired.discovered_from and not lookup.exists(desired.address):
            yield from discover(lookup, desired)
    for desired in selected:
        if desired.external is None and (desired.created_with is None or lookup.exists(desired.address)):
            live = lookup.live(desired.address)
            yield from update(lookup, desired, live) if live else create(lookup, desired)


def _changes(found: list[ResourceChange | Unmanaged]) -> list[ResourceChange]:
    return [each for each in found if isinstance(each, ResourceChange)]
