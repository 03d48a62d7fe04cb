"""The difference, pure: a Manifest and a World to a Plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lettaform.model import Change, Manifest, Plan, Step, Wish, World
from lettaform.plan.diff import Draft, diff
from lettaform.plan.guard import guard
from lettaform.plan.order import RECORD, order
from lettaform.words import Ref, settle

__all__ = ["Draft", "diff", "guard", "make"]


def make(manifest: Manifest, world: World, wish: Wish, draft: Draft | None = None) -> Plan:
    """The plan: everything that was found, and the Steps that follow from it. PlanError if it cannot be."""
    draft = guard(draft or diff(manifest, world, wish))
    changes = tuple(delta.change for delta in draft.deltas)
    steps = tuple(_settled(step, world) for step in order(draft.deltas, manifest, world, destroy=wish.destroy))
    if steps and not changes:
        changes = (Change(RECORD, "stack", "record", reason="what the stack remembers of itself"),)
    return Plan(
        stack=manifest.stack,
        url=world.url,
        version=world.version,
        environment=manifest.environment,
        changes=changes,
        runtime=draft.runtime,
        unmanaged=draft.unmanaged,
        steps=steps,
        record=world.record,
        outputs={name: settle(value, lambda ref: _known(ref, world)) for name, value in manifest.outputs.items()},
        warnings=manifest.warnings,
    )


def _settled(step: Step, world: World) -> Step:
    def answer(ref: Ref) -> Any:
        return _known(ref, world)

    mark = step.mark and replace(step.mark, base=settle(dict(step.mark.base), answer))
    return replace(step, fields=settle(dict(step.fields), answer), parts=settle(dict(step.parts), answer), mark=mark)


def _known(ref: Ref, world: World) -> Any:
    live = world.objects.get(ref.address)
    if live is None:
        return ref
    return live.id if ref.path == "id" else live.values.get(ref.path)
