"""A Diff to itself, or to an error that carries all its problems."""

from __future__ import annotations

from lettaform.errors import Guarded, PlanError
from lettaform.plan.changes import Diff


def guard(difference: Diff) -> Diff:
    """Return the Diff if it can be carried out.

    Raises PlanError (exit code 1) if it cannot, and Guarded (exit code 7) if only consent is missing.
    """
    problems = (*difference.problems, *difference.guards)
    if difference.problems:
        raise PlanError(f"{len(problems)} problems" if len(problems) > 1 else problems[0].message, problems=problems)
    if difference.guards:
        raise Guarded("the plan would destroy what is protected", difference.guards[0].hint, problems)
    return difference
