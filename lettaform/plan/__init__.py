"""The difference, pure: a Manifest and an Observed to a Plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, assert_never

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.model import (
    Attach,
    Call,
    Change,
    Create,
    Delete,
    Desired,
    Detach,
    Discover,
    Manifest,
    Mark,
    Observed,
    Plan,
    PlanOptions,
    SaveState,
    Step,
    Update,
    value_of,
)
from lettaform.ownership.canaries import held
from lettaform.ownership.shards import Spread, within
from lettaform.ownership.state import ADDRESS
from lettaform.plan.canaries import waiting
from lettaform.plan.changes import Diff, ResourceChange, Settled
from lettaform.plan.diff import diff, unchanged
from lettaform.plan.guard import guard
from lettaform.plan.notes import losing_messages
from lettaform.plan.order import order
from lettaform.plan.promotion import left_out
from lettaform.plan.prompt_changes import prompt_changes
from lettaform.plan.shards import warnings as shard_warnings
from lettaform.values import Ref, refs, settle

__all__ = ["Diff", "ResourceChange", "Settled", "diff", "guard", "make", "unchanged"]


def make(manifest: Manifest, observed: Observed, options: PlanOptions, difference: Diff | None = None) -> Plan:
    """The plan: the changes, and the Steps that carry them out. Raises PlanError if the changes cannot be carried out.

    difference  the Diff of these arguments, if it is known already
    """
    difference = guard(difference or diff(manifest, observed, options))
    observed = difference.observed or observed
    # a replaced object gets another id
    replaced = {resource.address for resource in difference.resources if resource.change.action == "replace"}
    created = {resource.address for resource in difference.resources if resource.change.action == "create"}
    detached = {address: blocks[0] for address, blocks in observed.detached.items() if address not in created}

    def known(ref: Ref) -> Any:
        live = observed.objects.get(ref.address) or detached.get(ref.address)
        if live is None or ref.address in replaced:
            return ref
        return value_of(ref, live)

    names = observed.names
    planned = (resource.change for resource in difference.resources)
    changes = tuple(losing_messages(planned, observed, options.without_messages))
    shard, spread = options.shard, Spread.of(manifest, observed) if options.shard else Spread({})
    steps, barriers = order(difference.resources, manifest, observed, destroy=options.destroy, shard=shard)
    changed = {change.address for change in changes}
    waits = {} if options.destroy else held(manifest, observed)
    if steps and not changes:
        changes = (Change(ADDRESS, "stack", "mark", reason="the state of the stack"),)
    return Plan(
        stack=manifest.stack,
        url=observed.url,
        version=observed.version,
        environment=manifest.environment,
        options=options,
        changes=changes,
        unchanged=sum(
            _is_unchanged(each, observed)
            for a, each in manifest.objects.items()
            if not (a in changed or a.top in waits) and spread.has(shard, a)
        ),
        runtime=difference.runtime,
        unmanaged=difference.unmanaged,
        steps=tuple(_settled(step, known, names) for step in steps),
        barriers=barriers,
        state=within(observed.state, spread, shard),
        outputs={} if options.destroy else {name: settle(value, known) for name, value in manifest.outputs.items()},
        inputs=manifest.inputs,
        warnings=(
            *manifest.warnings,
            *difference.warnings,
            *waiting(manifest, waits),
            *left_out(options),
            *shard_warnings(difference, manifest, observed, shard),
        ),
        manifest=manifest,
        names=names,
        shared=_shared(manifest),
        prompts=() if options.destroy else prompt_changes(difference.resources, manifest, observed),
        waiting=difference.waiting,
    )


def _shared(manifest: Manifest) -> dict[Address, tuple[Address, ...]]:
    """Address of a block, folder or archive to the objects to which the manifest attaches it."""
    users: dict[Address, list[Address]] = {}
    for address, desired in manifest.objects.items():
        for name in desired.values.keys() & _sharing_fields(desired.kind):
            for ref in refs(desired.values[name]):
                users.setdefault(ref.address, []).append(address)
    return {shared: tuple(users[shared]) for shared in sorted(users)}


@cache
def _sharing_fields(kind: str) -> frozenset[str]:
    """The fields of a kind that attach blocks, folders or archives."""
    lines = kinds()[kind].attrs().items()
    return frozenset(name for name, line in lines if line.link and line.to and kinds()[line.to].precious)


def _is_unchanged(desired: Desired, observed: Observed) -> bool:
    """Whether a declared object that no change is about is one of the stack, and exists."""
    return desired.external is None and desired.address in observed.objects


def _settled(step: Step, known: Callable[[Ref], Any], names: Mapping[str, str]) -> Step:
    """The step with its Refs replaced, as far as their values are known, and with the names of what it attaches."""

    def fields(values: Mapping[str, Any]) -> dict[str, Any]:
        return dict(settle(dict(values), known))

    def mark(planned: Mark) -> Mark:
        return replace(planned, base=settle(dict(planned.base), known))

    match step:
        case Create():
            owner = settle(step.owner, known)
            return replace(
                step, fields=fields(step.fields), parts=fields(step.parts), mark=mark(step.mark), owner=owner
            )
        case Discover():
            source = settle(step.source, known)
            return replace(step, fields=fields(step.fields), source=source, mark=step.mark and mark(step.mark))
        case Update():
            return replace(step, fields=fields(step.fields), mark=step.mark and mark(step.mark))
        case SaveState():
            if step.state is None:
                return step
            marks, matched = ({a: mark(m) for a, m in each.items()} for each in (step.state.marks, step.state.matched))
            return replace(step, state=replace(step.state, marks=marks, matched=matched))
        case Attach() | Detach():
            return replace(step, shown=names.get(step.member, "")) if isinstance(step.member, str) else step
        case Delete() | Call():
            return step
        case _:
            assert_never(step)
