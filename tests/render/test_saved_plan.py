"""A saved plan is shown as the plan was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from lettaform.model import FieldChange, Plan
from lettaform.render import data, saved_plan, text
from lettaform.values import Patch
from tests.render.samples import SENTINEL, at, everything, of, update


def again(plan: Plan) -> Plan:
    return saved_plan.to_plan(json.loads(data.dumps(data.plan(plan))))


def test_a_saved_plan_is_shown_as_it_was() -> None:
    before = everything()
    # the file does not say whether a hidden value was null, and names no id of a kept value
    expected = replace(before, changes=tuple(map(without_secrets, before.changes)), steps=())
    shown = replace(again(before), changes=tuple(map(without_secrets, again(before).changes)))
    assert text.plan(shown).splitlines() == text.plan(expected).splitlines()


def without_secrets(change: Any) -> Any:
    return replace(
        change, fields_changed=tuple(each for each in change.fields_changed if not data.is_secret(each, change.kind))
    )


def test_a_saved_plan_shows_names_and_conversations() -> None:
    detached = FieldChange("tools", [], Patch((), ("tool-1",)))
    before = of(
        replace(update("agents.a", detached), conversations=2), names={"tool-1": "web_search", "tool-2": "ring"}
    )
    assert data.plan(before)["names"] == {"tool-1": "web_search"}
    assert "-web_search\n" in text.plan(again(before))
    assert "recompiles the system prompts of 2 conversations" in text.plan(again(before))


def test_a_saved_plan_says_who_shares_what() -> None:
    before = of(update("agents.a"), shared={at("blocks.x"): (at("agents.a"), at("agents.b[c]"))})
    assert data.plan(before)["shared"] == {"blocks.x": ["agents.a", "agents.b[c]"]}
    assert again(before).shared == before.shared
    assert "shared" not in data.plan(of(update("agents.a")))


def test_a_secret_stays_hidden() -> None:
    shown = text.plan(again(everything()), verbose=True)
    assert "‹secret›" in shown
    assert SENTINEL not in shown


def test_what_is_read_again_is_the_same_json() -> None:
    before = data.plan(everything())
    after = data.plan(again(everything()))
    # outputs, the number of steps and what they do are not shown
    hidden = dict.fromkeys(("summary", "outputs", "digest"))
    assert {**after, **hidden} == {**before, **hidden}


@pytest.mark.parametrize("value", [{}, {"stack": 1}, {**data.plan(everything()), "changes": [{"address": "agents.a"}]}])
def test_what_is_no_plan(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no plan"):
        saved_plan.to_plan(value)
