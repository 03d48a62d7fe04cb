"""A Diff to itself, or to an error that carries all its problems."""

from __future__ import annotations

from lettaform.errors import Conflicting, Guarded, PlanError, Problem
from lettaform.model import AgentChange, Plan, Promotion
from lettaform.plan.changes import Diff


def guard(difference: Diff) -> Diff:
    """Return the Diff if it can be carried out.

    Raises PlanError (exit code 1) if it cannot, and Guarded (exit code 7) if only consent is missing.
    """
    problems = (*difference.problems, *difference.guards, *difference.exceeded)
    if difference.problems:
        raise PlanError(f"{len(problems)} problems" if len(problems) > 1 else problems[0].message, problems=problems)
    if difference.guards:
        raise Guarded("the plan would destroy what is protected", difference.guards[0].hint, problems)
    if difference.exceeded:
        number = len(difference.exceeded)
        message = f"the plan exceeds {number} limits" if number > 1 else difference.exceeded[0].message
        raise Guarded(message, difference.exceeded[0].hint, problems)
    return difference


def check_merged(plan: Plan) -> None:
    """Raise Conflicting (exit code 4) if a text of the plan cannot be merged."""
    brings = plan.options.promotion
    problems = tuple(plan.located(_conflict(each, brings)) for each in plan.conflicts)
    if problems:
        count = f"{len(problems)} texts" if len(problems) > 1 else "a text"
        shows = "the plan shows the versions" if brings else "`lettaform plan` shows the versions"
        raise Conflicting(f"{count} cannot be merged", shows, problems)


def _conflict(kept: AgentChange, brings: Promotion | None) -> Problem:
    assert kept.conflict is not None
    ours, theirs = f"`--ours '{kept.address}'` takes", f"`--theirs '{kept.address}'` takes"
    if brings is None:
        first = "add the server's lines that you want to keep to the manifest's text; then"
        hint = f"{first} {ours} the manifest's lines. {theirs} the server's"
    else:
        hint = f"{ours} the lines of this environment. {theirs} those of `{brings.source}`"
    message = f"{kept.address}: `{kept.path}` cannot be merged: {kept.conflict.reason}"
    return Problem(message, None, hint, str(kept.address), kept.path)
