"""A Diff to the same Diff, or to an error that carries every problem of it."""

from __future__ import annotations

from lettaform.errors import Guarded, PlanError
from lettaform.plan.changes import Diff


def guard(draft: Diff) -> Diff:
    """Return the Diff if it can be carried out.

    Raises PlanError (exit code 1) if it cannot, and Guarded (exit code 7) if only consent is missing.
    """
    problems = (*draft.problems, *draft.guards)
    if draft.problems:
        raise PlanError(f"{len(problems)} problems" if len(problems) > 1 else problems[0].message, problems=problems)
    if draft.guards:
        raise Guarded("the plan would destroy what is protected", draft.guards[0].hint, problems)
    return draft
