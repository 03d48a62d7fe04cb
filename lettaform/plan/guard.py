"""What must not happen unasked, and what cannot happen at all: a Diff, or an error with every problem."""

from __future__ import annotations

from lettaform.errors import Guarded, PlanError
from lettaform.plan.changes import Diff


def guard(draft: Diff) -> Diff:
    """Hand the draft on, or refuse it. Exit 7 where only consent is missing, 1 where it cannot be done."""
    problems = (*draft.problems, *draft.guards)
    if draft.problems:
        raise PlanError(f"{len(problems)} problems" if len(problems) > 1 else problems[0].message, problems=problems)
    if draft.guards:
        raise Guarded("the plan would destroy what is protected", draft.guards[0].hint, problems)
    return draft
