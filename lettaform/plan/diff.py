"""A Manifest and an Observed to a Diff: runs the passes of a plan one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.model import AgentChange, Desired, Manifest, Observed, PlanOptions, Unmanaged
from lettaform.plan.changes import Diff, ResourceChange
from lettaform.plan.compare import differs
from lettaform.plan.conflicts import conflicts, guards
from lettaform.plan.create import create, discover
from lettaform.plan.lookup import Lookup
from lettaform.plan.moves import Moves, move
from lettaform.plan.notes import without_effect
from lettaform.plan.prompts import Prompts, recompile
from lettaform.plan.remove import remove
from lettaform.plan.update import move_undeclared_blocks, update, without_lost_blocks

Found = ResourceChange | AgentChange | Unmanaged
"""What a pass returns."""


def diff(manifest: Manifest, observed: Observed, options: PlanOptions, previous: Diff | None = None) -> Diff:
    """Compare the declared objects with the live ones. All decisions of a plan are made here.

    previous  the Diff of the same objects, before their users, dependents and owned objects were read. These matter to
              changes alone: what did not change is not compared again.
    """
    lookup = look_up(manifest, move(manifest, observed, options), options)
    known = previous.settled if previous else {}
    found = [] if options.destroy else list(_declared(lookup, known))
    declared = [each for _, every in found for each in every]
    changes = _changes(declared)
    removed = remove(lookup, changes)
    changes += [] if options.destroy else move_undeclared_blocks(lookup, (*changes, *_changes(removed)))
    prompts = Prompts(lookup, without_lost_blocks(lookup, [*changes, *_changes(removed)]))
    changes = recompile(prompts)
    owners = prompts.owners()
    return Diff(
        resources=tuple(changes),
        runtime=_agent_changes(declared),
        unmanaged=tuple(each for each in removed if isinstance(each, Unmanaged)),
        problems=conflicts(lookup, changes),
        guards=guards(lookup, changes),
        owners={prompts.kind: owners} if prompts.kind and owners else {},
        observed=lookup.observed,
        warnings=() if options.destroy else tuple(without_effect(lookup)),
        settled={a: agents for a, each in found if len(agents := _agent_changes(each)) == len(each)},
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


def _declared(
    lookup: Lookup, known: Mapping[Address, Sequence[AgentChange]]
) -> Iterator[tuple[Address, Sequence[Found]]]:
    """What is found of each declared object and its parts: first what is created along with others.

    known  objects that do not change, with what agents changed of them
    """
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
            yield address, update(lookup, desired, live) if live else create(lookup, desired)


def _changes(found: Iterable[Found]) -> list[ResourceChange]:
    return [each for each in found if isinstance(each, ResourceChange)]


def _agent_changes(found: Iterable[Found]) -> tuple[AgentChange, ...]:
    return tuple(each for each in found if isinstance(each, AgentChange))
