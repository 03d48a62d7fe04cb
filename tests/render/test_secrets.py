"""Secrets are never printed, wherever they are in a plan."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lettaform.errors import ServerError
from lettaform.model import Answer, Event, Live, Outcome, Report
from lettaform.render import data, objects, progress, text

from .samples import SECRET, SENTINEL, at, hidden

plan = hidden()
error = ServerError(f"POST failed: {SENTINEL}", f"not {SENTINEL}", words=SENTINEL)
outcomes = (
    Outcome(plan.steps[0], "done", Answer("agent-1", {"secrets": SENTINEL})),
    Outcome(plan.steps[1], "failed", error=error),
)
report = Report(outcomes, outputs=plan.outputs)
events = [Event(outcome.status, outcome.step, 1, 2, 0.1, outcome) for outcome in outcomes]
live = Live("agent", "agent-1", "a", {"secrets": {"KEY": SENTINEL}, "metadata": {"KEY": SECRET}}, at("agents.a"))


@pytest.mark.parametrize(
    "shown",
    [
        text.plan(plan),
        text.plan(plan, color=True, verbose=True),
        text.plan(replace(plan, changes=tuple(replace(change, action="create") for change in plan.changes[:1]))),
        text.plan(replace(plan, changes=tuple(replace(change, action="replace") for change in plan.changes))),
        text.report(plan, report),
        text.notices(plan),
        objects.objects([live]),
        data.dumps(data.plan(plan)),
        data.dumps(data.plan_event(plan)),
        data.dumps(data.summary(report)),
        data.dumps(data.live(live, mark=True)),
        json.dumps([data.event(event) for event in events]),
        "\n".join(str(progress.line(event)) for event in events),
        repr(plan.changes[0].fields_changed[0].new),
    ],
)
def test_no_secret_is_shown(shown: str) -> None:
    assert "hunter2" not in shown
    assert "SENTINEL" not in shown


def test_the_samples_contain_the_secret() -> None:
    assert list(data.secrets(plan.steps[0])) == [SENTINEL, SENTINEL]
    assert "‹secret›" in text.plan(plan)
    assert [field["path"] for change in data.plan(plan)["changes"] for field in change["fields"] if field["secret"]]
