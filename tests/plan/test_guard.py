"""A Diff with problems is an error that carries all of them; missing consent has an exit code of its own."""

from __future__ import annotations

import pytest

from lettaform.errors import Guarded, PlanError, Problem
from lettaform.plan.changes import Diff
from lettaform.plan.guard import guard

ONE, TWO, GUARD = Problem("one"), Problem("two"), Problem("protected", hint="--allow-destroy x")
LIMIT = Problem("too many", hint="--ignore-limits")


def test_a_diff_without_problems_is_returned() -> None:
    assert guard(diff := Diff()) is diff


@pytest.mark.parametrize(
    ("diff", "error", "code", "message", "count"),
    [
        (Diff(problems=(ONE,)), PlanError, 1, "one", 1),
        (Diff(problems=(ONE, TWO)), PlanError, 1, "2 problems", 2),
        (Diff(problems=(ONE,), guards=(GUARD,)), PlanError, 1, "2 problems", 2),
        (Diff(guards=(GUARD,)), Guarded, 7, "the plan would destroy what is protected", 1),
        (Diff(exceeded=(LIMIT,)), Guarded, 7, "too many", 1),
        (Diff(exceeded=(LIMIT, LIMIT)), Guarded, 7, "the plan exceeds 2 limits", 2),
        (Diff(guards=(GUARD,), exceeded=(LIMIT,)), Guarded, 7, "the plan would destroy what is protected", 2),
        (Diff(problems=(ONE,), exceeded=(LIMIT,)), PlanError, 1, "2 problems", 2),
    ],
    ids=[
        "one",
        "several",
        "problem and guard",
        "guard alone",
        "limit",
        "limits",
        "guard and limit",
        "problem and limit",
    ],
)
def test_problems_are_one_error(diff: Diff, error: type[PlanError], code: int, message: str, count: int) -> None:
    with pytest.raises(error) as refused:
        guard(diff)
    assert (refused.value.exit_code, refused.value.message, len(refused.value.problems)) == (code, message, count)


def test_the_hint_of_a_guard_is_that_of_the_error() -> None:
    with pytest.raises(Guarded) as refused:
        guard(Diff(guards=(GUARD,)))
    assert refused.value.hint == GUARD.hint
