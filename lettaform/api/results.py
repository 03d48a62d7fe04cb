"""The report of an apply to a Result, or to the error that a caller cannot overlook."""

from __future__ import annotations

from dataclasses import dataclass

from lettaform.errors import LettaformError, Problem
from lettaform.model import Outcome, Plan, Report
from lettaform.render.data import secrets
from lettaform.render.text import message_and_hint


@dataclass(frozen=True)
class Result:
    """What was carried out.

    plan    the plan, as it was made under the lock
    report  what each step did. None if nothing was to do, or if consent was refused
    """

    plan: Plan
    report: Report | None = None

    @property
    def changed(self) -> bool:
        """Whether anything was carried out."""
        return self.report is not None


class Failed(LettaformError):
    """Steps of an apply failed, or were not begun because it was interrupted. What does not depend on them was done.

    result    what was carried out
    problems  one for each step that failed
    """

    def __init__(self, result: Result, report: Report) -> None:
        done, all_steps = sum(1 for _ in report.of("done")), len(report.outcomes)
        what = "was interrupted" if report.interrupted else "failed"
        hint = "apply again: what was done is not repeated"
        super().__init__(f"the apply {what}: {done} of {all_steps} steps were carried out", hint)
        self.result = result
        self.exit_code = report.exit_code
        self.problems = tuple(result.plan.located(_problem(each)) for each in report.of("failed"))


def _problem(outcome: Outcome) -> Problem:
    """Why a step failed. A server may repeat a secret that was sent: it is redacted."""
    message, hint = message_and_hint(outcome.error, secrets(outcome.step))
    return Problem(message, hint=hint or None, address=str(outcome.step.address) if outcome.step.address else None)


def checked(plan: Plan, report: Report | None) -> Result:
    """The result of an apply. Raises Failed if a part of it was not carried out."""
    result = Result(plan, report)
    if report is not None and report.exit_code:
        raise Failed(result, report)
    return result
