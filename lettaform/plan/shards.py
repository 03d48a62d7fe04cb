"""A Manifest, an Observed and the shard of a plan to what the plan leaves out until other shards are applied. Pure.

The shard 0 applies the objects that several agents can use. What refers to one of them waits until it is there as it is
declared: a prompt that is compiled before its block is written would be stale.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.model import Manifest, Observed, PlanOptions, Shard
from lettaform.ownership.shards import Spread
from lettaform.plan.diff import diff
from lettaform.plan.selection import is_selected
from lettaform.values import refs

if TYPE_CHECKING:
    from lettaform.plan.changes import Diff

EXAMPLES = 3
"""The largest number of objects that a warning names one by one."""

Waiting = Mapping[Address, tuple[Address, ...]]
"""As of `Plan.waiting`."""


def waiting(manifest: Manifest, observed: Observed, options: PlanOptions) -> Waiting:
    """Declared objects of the shard to the objects of other shards that they need, and that are not there yet."""
    shard = options.shard
    if not shard or options.destroy:
        return {}
    spread = Spread.of(manifest, observed)
    needs = _needs(manifest, options, spread)
    outside = {each for every in needs.values() for each in every if not spread.has(shard, each)}
    missing = {each for each in outside if each not in observed.objects} - _external(manifest, outside)
    missing |= outside & _unready(manifest, observed, spread) if shard.index else set()
    found: dict[Address, tuple[Address, ...]] = {}
    while more := dict(_left_out(needs, missing, found, observed)):
        found |= more
    return found


def _needs(manifest: Manifest, options: PlanOptions, spread: Spread) -> Mapping[Address, set[Address]]:
    """The selected objects of the shard, with their parts, to all to which they refer."""
    found: dict[Address, set[Address]] = {}
    for address, desired in manifest.objects.items():
        chosen = spread.has(options.shard, address) and is_selected(address.top, manifest, options)
        if chosen and desired.external is None:
            needed = {ref.address for ref in refs(desired.values)} | {desired.discovered_from or address}
            found.setdefault(address.top, set()).update(each for each in needed if each.top != address.top)
    return found


def _external(manifest: Manifest, addresses: Iterable[Address]) -> set[Address]:
    """Those that no run of this stack writes."""
    return {each for each in addresses if (desired := manifest.objects.get(each)) and desired.external}


def _left_out(
    needs: Mapping[Address, set[Address]], missing: set[Address], found: Waiting, observed: Observed
) -> Iterator[tuple[Address, tuple[Address, ...]]]:
    """What waits for one of the missing objects, or for an object of this shard that waits and does not exist yet."""
    for address, needed in needs.items():
        if address in found:
            continue
        own = (found[each.top] for each in needed if each.top in found and each not in observed.objects)
        if why := {*(needed & missing), *(each for every in own for each in every)}:
            yield address, tuple(sorted(why))


def _unready(manifest: Manifest, observed: Observed, spread: Spread) -> set[Address]:
    """The objects of the shard 0 that several agents can use, and that it still has to create or to change."""
    shared = {address: desired for address, desired in manifest.objects.items() if spread.is_shared(address)}
    found = diff(replace(manifest, objects=shared, moved=(), removed=(), matches=()), observed, PlanOptions())
    writes = (each for each in found.resources if each.change.action in ("create", "update", "replace"))
    return {each.address for each in writes if each.desired is not None}


def certain(observed: Observed, manifest: Manifest, shard: Shard) -> Observed:
    """`observed` with the problems of a shard alone: in doubt, objects of other shards are as if they did not exist."""
    if not shard:
        return observed
    spread = Spread.of(manifest, observed)

    def concerns(problem: Problem) -> bool:
        try:
            return not problem.address or spread.has(shard, Address.parse(problem.address))
        except ValueError:
            return True

    return replace(observed, problems=tuple(filter(concerns, observed.problems)))


def warnings(difference: Diff, manifest: Manifest, observed: Observed, shard: Shard) -> Iterator[Problem]:
    """What is left out, a warning for each object that it waits for."""
    if not difference.waiting:
        return
    spread = Spread.of(manifest, observed)
    users: dict[Address, list[Address]] = {}
    for address, needed in difference.waiting.items():
        for each in needed:
            users.setdefault(each, []).append(address)
    for each, every in sorted(users.items()):
        names = ", ".join(map(str, sorted(every)[:EXAMPLES]))
        more = f" and {len(every) - EXAMPLES} more" if len(every) > EXAMPLES else ""
        verb = "waits" if len(every) == 1 else "wait"
        of = spread.shard_of(each, shard.count)
        state = "does not exist yet or differs from its declaration"
        message = f"{names}{more} {verb} for {each} of shard {of}, which {state}"
        hint = f"apply shard {of} first, or let `lettaform apply` wait for it with --wait"
        yield Problem(message, None, hint, str(each), severity="warning")
