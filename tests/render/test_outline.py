from __future__ import annotations

import pytest

from lettaform.model import FieldChange
from lettaform.plan.saved import approval
from lettaform.render import outline

from .samples import everything, of, update


def test_changes_are_split_by_whether_they_only_restore() -> None:
    others, restored = outline.changes(everything())
    assert [str(change.address) for change in restored] == ["blocks.organization"]
    assert len(others) == len(everything().changes) - 1


def test_ids_in_fields_have_their_names() -> None:
    plan = of(update("agents.a", FieldChange("tools", ["tool-1"], [])), names={"tool-1": "web_search"})
    assert outline.changes(plan)[0][0].fields_changed[0].old == ["web_search"]
    assert outline.changes(plan, ids=True)[0][0].fields_changed[0].old == ["web_search (tool-1)"]


def test_the_digest_of_a_plan() -> None:
    plan = everything()
    assert outline.digest(plan) == approval(plan)
    assert outline.digest(of(steps=())) == ""


@pytest.mark.parametrize(
    ("known", "shown"), [("a" * 32 + ".12345678", True), ("", False), ("`x`", False), ("A", False)]
)
def test_the_digest_of_a_saved_plan_is_a_digest_or_left_out(known: str, shown: bool) -> None:
    assert outline.digest(everything(), known) == (known if shown else "")


def test_a_kept_value_is_one_that_somebody_changed() -> None:
    assert [each.path for each in outline.kept(everything())] == ["value", "value"]
    assert len(outline.notices(everything())) == 1
