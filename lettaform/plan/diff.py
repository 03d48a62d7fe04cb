"""A Manifest and an Observed to a Diff: runs the passes of a plan one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from types import MappingProxyType

from lettaform.address import Address
from lettaform.kinds import is_matched, kinds
from lettaform.model import AgentChange, Desired, Live, Manifest, Observed, PlanOptions, Unmanaged
from lettaform.plan.changes import Diff, ResourceChange, Settled
from lettaform.plan.compare import differs
from lettaform.plan.conflicts import conflicts, guards
from lettaform.plan.create import create, discover
from lettaform.plan.lookup import Lookup
from lettaform.plan.matches import release, unselected, update_matched
from lettaform.plan.moves import Moves, move
from lettaform.plan.notes import without_effect
from lettaform.plan.prompts import Prompts, recompile
from lettaform.plan.remove import remove
from lettaform.plan.renames import renamed
from lettaform.plan.update import move_undeclared_blocks, update, without_lost_blocks
from lettaform.values import UNREAD

Found = ResourceChange | AgentChange | Unmanaged
"""What a pass returns."""


def diff(manifest: Manifest, observed: Observed, options: PlanOptions, known: Settled = MappingProxyType({})) -> Diff:
    """Compare the declared objects with the live ones. All decisions of a plan are made here.

    known  what does not change, by a Diff of the same objects before their users, dependents and owned objects were
           read: these matter to changes alone. Or by `unchanged`. It is not compared again.
    """
    lookup = look_up(manifest, move(manifest, observed, options), options)
    found = [] if options.destroy else list(_declared(lookup, known))
    declared = [each for _, every in found for each in every]
    changes = [*_changes(declared), *release(lookup)]
    removed = remove(lookup, changes)
    changes += [] if options.destroy else move_undeclared_blocks(lookup, (*changes, *_changes(removed)))
    prompts = Prompts(lookup, without_lost_blocks(lookup, [*changes, *_changes(removed)]))
    changes = recompile(prompts)
    owners = prompts.owners()
    unmanaged = [each for each in removed if isinstance(each, Unmanaged)]
    return Diff(
        resources=tuple(changes),
        runtime=_agent_changes(declared),
        unmanaged=tuple(unmanaged),
        problems=conflicts(lookup, changes),
        guards=guards(lookup, changes),
        owners={prompts.kind: owners} if prompts.kind and owners else {},
        observed=lookup.observed,
        warnings=()
        if options.destroy
        else (*without_effect(lookup), *renamed(lookup, changes, unmanaged), *unselected(lookup)),
        settled=_settled(found),
    )


def unchanged(manifest: Manifest, observed: Observed, options: PlanOptions, addresses: Iterable[Address]) -> Settled:
    """Those of these objects that are known not to change, although not all objects were read yet.

    What refers to an object that was not read, has a part that was not read, or lacks a field that is read by a request
    of its own is left out.
    """
    lookup = look_up(manifest, move(manifest, observed, options), options)
    every = ((address, lookup.manifest.objects.get(address), lookup.live(address)) for address in addresses)
    read = ((desired, live) for _, desired, live in every if desired and live and _is_read(lookup, desired, live))
    return _settled([(desired.address, update(lookup, desired, live)) for desired, live in read])


def _is_read(lookup: Lookup, desired: Desired, live: Live) -> bool:
    """Whether everything was read that decides whether an object changes, but for what it refers to."""
    needed = (*desired.values, *live.mark.members)
    return (
        desired.external is None
        and desired.created_with is None
        and lookup.is_selected(desired.address)
        and not any(live.values.get(name) is UNREAD for name in needed)
        and all(part.address in lookup.observed.objects for part in lookup.parts(desired.address))
    )


def _settled(found: Iterable[tuple[Address, Sequence[Found]]]) -> Settled:
    return {address: agents for address, each in found if len(agents := _agent_changes(each)) == len(each)}


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


def _declared(lookup: Lookup, known: Settled) -> Iterator[tuple[Address, Sequence[Found]]]:
    """What is found of each declared object and its parts: first what is created along with others."""
    objects = lookup.manifest.objects.values()
    selected = [each for each in objects if each.address.parent is None and lookup.is_selected(each.address)]
    for desired in selected:
        if desired.discovered_from and not lookup.exists(desired.address):
            yield desired.address, discover(lookup, desired)
    for desired in selected:
        address = desired.address
        if address in known:
            yield address, known[address]
        elif desired.external is None and (desired.created_with is None or lookup.exists(address)):
            live = lookup.live(address)
            change = update_matched if is_matched(address) else update
            yield address, change(lookup, desired, live) if live else create(lookup, desired)


def _changes(found: Iterable[Found]) -> list[ResourceChange]:
    return [each for each in found if isinstance(each, ResourceChange)]


def _agent_changes(found: Iterable[Found]) -> tuple[AgentChange, ...]:
    return tuple(each for each in found if isinstance(each, AgentChange))
