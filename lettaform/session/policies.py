"""A Plan and the policies of its manifest to the plan with warnings, or to an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from lettaform.address import matches
from lettaform.errors import Guarded, Problem
from lettaform.manifest.policies import activation, compiled
from lettaform.model import Change, Live, Manifest, Observed, Plan, PlanPolicy
from lettaform.plan.leaves import shown_live
from lettaform.render import data
from lettaform.render.inline import count

HINT = "change the manifest, or add an entry with a reason to `waivers` of the policy"


def judged(plan: Plan, manifest: Manifest, observed: Observed) -> Plan:
    """The plan, with a warning for each policy of that severity that it does not meet.

    Raises Guarded if it does not meet another one, or if a policy cannot be evaluated.
    """
    if not manifest.policies:
        return plan
    found = list(_Judged(plan, manifest, observed).problems())
    if errors := tuple(each for each in found if each.severity == "error"):
        message = errors[0].message if len(errors) == 1 else f"the plan is refused: {count(len(errors), 'problem')}"
        raise Guarded(message, errors[0].hint, errors)
    return replace(plan, warnings=(*plan.warnings, *found))


@dataclass(frozen=True)
class _Judged:
    """A plan, and what the rules may ask about it: what `plan --json` shows, without secrets."""

    plan: Plan
    manifest: Manifest
    observed: Observed

    def problems(self) -> Iterator[Problem]:
        """Every policy that is not met: of the plan, and then of each change."""
        of_plan = [each for each in self.manifest.policies if each.about == "plan" and not each.waivers]
        prompts = [data.prompt(each) for each in self.plan.prompts]
        given = {"plan.changes": self._shown, "plan.prompts": prompts} if of_plan else {}
        yield from self._judge(of_plan, given, None)
        of_changes = [each for each in self.manifest.policies if each.about == "change"]
        for change, shown in zip(self.plan.changes, self._shown, strict=True) if of_changes else ():
            policies = [each for each in of_changes if not matches(change.address, each.waivers)]
            yield from self._judge(policies, _values(shown), change)

    @cached_property
    def _shown(self) -> list[dict[str, Any]]:
        """The changes, with what is live and what is declared of each object."""
        return [{**data.change_data(change), **self._objects(change)} for change in self.plan.changes]

    @cached_property
    def _anywhere(self) -> Mapping[str, Any]:
        plan = self.plan
        return {"stack": plan.stack, "environment": plan.environment or "", "plan.summary": dict(plan.summary)}

    @cached_property
    def _lives(self) -> Mapping[str, Live]:
        every = (*self.observed.objects.values(), *(live for _, live in self.observed.orphaned_blocks))
        return {live.id: live for live in every}

    def _objects(self, change: Change) -> dict[str, Any]:
        desired, live = self.manifest.objects.get(change.address), self._lives.get(change.id or "")
        values = desired.values if desired else {}
        declared = Live(change.kind, "", "", values)
        return {
            "live": data.live(shown_live(live, values))["values"] if live else {},
            "declared": data.live(declared)["values"],
        }

    def _judge(self, policies: list[PlanPolicy], values: Mapping[str, Any], change: Change | None) -> Iterator[Problem]:
        """The problems of the rules that are false, or cannot be evaluated."""
        if not policies:
            return
        given = activation(policies[0].about, {**self._anywhere, **values})
        for policy in policies:
            met, why = _evaluated(policy, given)
            if met is not True:
                yield _problem(policy, change, None if met is False else why)


def _problem(policy: PlanPolicy, change: Change | None, why: str | None) -> Problem:
    """The problem with a policy. `why`: why it cannot be evaluated; None: it is not met."""
    about, address = (f"{change.address}: ", str(change.address)) if change else ("", None)
    if why is not None:
        message = f"{about}the policy `{policy.name}` cannot be evaluated: {why}"
        return Problem(message, policy.place, "test for what may be missing with `has(…)` or `in`", address)
    message = f"{about}{policy.message or 'the policy is not met'} (policy `{policy.name}`)"
    place = (change.place if change else None) or policy.place
    return Problem(message, place, HINT, address, severity=policy.severity)


_NONE: Mapping[str, Any] = {
    **dict.fromkeys(("address", "kind", "action", "reason"), ""),
    "fields": [],
    "recompiles": 0,
    "live": {},
    "declared": {},
}
"""What stands in a variable for a key that `plan --json` leaves out."""


def _values(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that begin with `change.`."""
    return {f"change.{name}": shown.get(name, none) for name, none in _NONE.items()}


def _evaluated(policy: PlanPolicy, values: Any) -> tuple[bool | None, str]:
    """Whether a rule is true; None if that is not known, and why."""
    try:
        result = compiled(policy.about, policy.rule).eval(values).value()
    except (RuntimeError, TypeError, ValueError) as error:
        return None, str(error)
    return (result, "") if isinstance(result, bool) else (None, str(result).split("\n")[0])
