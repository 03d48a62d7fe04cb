"""What failed is an error with what was done."""

from __future__ import annotations

import pytest

import lettaform
from lettaform.api.results import Failed, checked
from lettaform.model import Plan, Report
from lettaform.plan.status import StackStatus
from tests.api.conftest import World
from tests.standin import Ask, Refusal


def test_a_step_that_fails_is_an_error_with_what_was_done(world: World) -> None:
    world.write()
    world.refuse("c")
    stack = world.load()
    with pytest.raises(lettaform.Failed) as failed:
        stack.apply(consent=True)
    error = failed.value
    assert error.message == "the apply failed: 2 of 3 steps were carried out"
    assert (error.hint, error.exit_code) == ("apply again: what was done is not repeated", 5)
    assert [str(each) for each in error.problems] == [
        "lettaform.yaml:2:25: POST /v1/blocks/: 400 no such blocks here",
    ]
    assert error.result.report is not None
    assert world.labels == ["b"]
    world.standin.before = lambda ask: None
    assert stack.apply(consent=True).plan.summary["create"] == 1


def test_no_secret_is_in_the_error(world: World) -> None:
    world.write(
        "stack: s\nagents: {a: {model: letta/letta-free, embedding: letta/letta-free, secrets: {KEY: hunter22}}}\n"
    )

    def repeat(ask: Ask) -> None:
        if ask.method == "POST" and ask.path == "/v1/agents/":
            raise Refusal(400, f"cannot create {ask.body}")

    world.standin.before = repeat
    with pytest.raises(lettaform.Failed) as failed:
        world.load().apply(consent=True)
    assert "cannot create" in failed.value.problems[0].message
    assert "hunter22" not in str([*failed.value.problems, failed.value, failed.value.result])


def test_an_interrupted_apply_is_an_error() -> None:
    plan = Plan("s", "http://stand.in", "0.16.8")
    with pytest.raises(Failed, match="was interrupted") as failed:
        checked(plan, Report(interrupted=True))
    assert failed.value.exit_code == 130
    assert checked(plan, None).changed is False
    assert checked(plan, Report()).changed is True


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Plan("s", "http://here", "0.16.8"), "<Plan of s on http://here: 0 changes, 0 steps>"),
        (Report(seconds=1.25), "<Report: 0 of 0 steps done in 1.2 s>"),
        (StackStatus("s", "http://here", "0.16.8"), "<StackStatus of s on http://here: no objects>"),
    ],
)
def test_results_are_shown_in_one_line(value: object, shown: str) -> None:
    assert repr(value) == shown
