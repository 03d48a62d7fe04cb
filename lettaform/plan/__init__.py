"""The difference, pure: a Manifest and a World to a Plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lettaform.model import Change, Manifest, Mark, Plan, Step, Wish, World
from lettaform.plan.diff import Delta, Draft, diff
from lettaform.plan.guard import guard
from lettaform.plan.order import RECORD, order
from lettaform.words import Ref, settle

__all__ = ["Delta", "Draft", "diff", "guard", "make"]


def make(manifest: Manifest, world: World, wish: Wish, draft: Draft | None = None) -> Plan:
    """The plan: everything that was found, and the Steps that follow from it. PlanError if it cannot be."""
    draft = guard(draft or diff(manifest, world, wish))
    world = draft.world or world
    # what is replaced gets another id
    gone = {delta.address for delta in draft.deltas if delta.change.action == "replace"}

    def known(ref: Ref) -> Any:
        live = world.objects.get(ref.address)
        if live is None or ref.address in gone:
            return ref
        return live.id if ref.path == "id" else live.values.get(ref.path)

    changes = tuple(delta.change for delta in draft.deltas)
    steps = tuple(_settled(step, known) for step in order(draft.deltas, manifest, world, destroy=wish.destroy))
    if steps and not changes:
        changes = (Change(RECORD, "stack", "record", reason="what the stack remembers of itself"),)
    return Plan(
        stack=manifest.stack,
        url=world.url,
        version=world.version,
        environment=manifest.environment,
        wish=wish,
        changes=changes,
        runtime=draft.runtime,
        unmanaged=draft.unmanaged,
        steps=steps,
        record=world.record,
        outputs={} if wish.destroy else {name: settle(value, known) for name, value in manifest.outputs.items()},
        warnings=manifest.warnings,
    )


def _settled(step: Step, known: Callable[[Ref], Any]) -> Step:
    def told(mark: Mark) -> Mark:
        return replace(mark, base=settle(dict(mark.base), known))

    fields = settle(dict(step.fields), known)
    if step.op == "record":
        fields |= {"marks": {address: told(mark) for address, mark in fields["marks"].items()}}
    mark, member = step.mark and told(step.mark), step.member
    if member is not None and step.op == "take":  # what brings it may live already
        member = (member[0], settle(member[1], known))
    return replace(step, fields=fields, parts=settle(dict(step.parts), known), mark=mark, member=member)
