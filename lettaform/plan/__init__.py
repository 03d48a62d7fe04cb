"""The difference, pure: a Manifest and a Observed to a Plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lettaform.model import Change, Manifest, Mark, Observed, Plan, PlanOptions, Step
from lettaform.plan.changes import Diff, ResourceChange
from lettaform.plan.diff import diff
from lettaform.plan.guard import guard
from lettaform.plan.order import RECORD, order
from lettaform.values import Ref, settle

__all__ = ["Diff", "ResourceChange", "diff", "guard", "make"]


def make(manifest: Manifest, observed: Observed, options: PlanOptions, draft: Diff | None = None) -> Plan:
    """The plan: everything that was found, and the Steps that follow from it. PlanError if it cannot be."""
    draft = guard(draft or diff(manifest, observed, options))
    observed = draft.observed or observed
    # what is replaced gets another id
    gone = {resource.address for resource in draft.resources if resource.change.action == "replace"}

    def known(ref: Ref) -> Any:
        live = observed.objects.get(ref.address)
        if live is None or ref.address in gone:
            return ref
        return live.id if ref.path == "id" else live.values.get(ref.path)

    changes = tuple(resource.change for resource in draft.resources)
    steps = tuple(_settled(step, known) for step in order(draft.resources, manifest, observed, destroy=options.destroy))
    if steps and not changes:
        changes = (Change(RECORD, "stack", "record", reason="what the stack remembers of itself"),)
    return Plan(
        stack=manifest.stack,
        url=observed.url,
        version=observed.version,
        environment=manifest.environment,
        options=options,
        changes=changes,
        runtime=draft.runtime,
        unmanaged=draft.unmanaged,
        steps=steps,
        state=observed.state,
        outputs={} if options.destroy else {name: settle(value, known) for name, value in manifest.outputs.items()},
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
