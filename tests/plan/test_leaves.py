"""What is compared by itself, and in which form."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.kinds import kinds
from lettaform.plan.leaves import Leaf, leaves, member_key, overlay, project, spelled
from lettaform.values import Item, digest

AGENT = kinds()["agent"]
LINES = AGENT.attrs()


@pytest.mark.parametrize(
    ("field", "want", "have", "found"),
    [
        ("system", "new", "old", [Leaf("system", "new", "old")]),
        ("metadata", {"a": 1, "b": 2}, {"a": 1}, [Leaf("metadata.a", 1, 1), Leaf("metadata.b", 2, None)]),
        ("metadata", {"a": 1}, None, [Leaf("metadata.a", 1, None)]),
        ("metadata", {}, {"a": 1}, [Leaf("metadata", {}, {"a": 1})]),
        ("metadata", None, {"a": 1}, [Leaf("metadata", None, {"a": 1})]),
    ],
)
def test_a_partial_map_is_compared_entry_by_entry(field: str, want: Any, have: Any, found: list[Leaf]) -> None:
    assert list(leaves(LINES[field], want, have)) == found


@pytest.mark.parametrize(
    ("field", "one", "other", "same"),
    [
        ("tags", ["a", "b"], ["b", "a"], True),
        ("tags", [], None, True),
        ("description", "", None, True),
        ("metadata", {"a": 1.0}, {"a": 1}, True),
        ("description", "a", "b", False),
        ("tags", ["a"], ["a", "b"], False),
    ],
)
def test_spellings_of_one_value_have_one_digest(field: str, one: Any, other: Any, same: bool) -> None:
    assert (spelled(AGENT, LINES[field], one) == spelled(AGENT, LINES[field], other)) is same


def test_nothing_has_the_digest_of_none() -> None:
    assert spelled(AGENT, LINES["tags"], []) == digest(None)


@pytest.mark.parametrize(
    ("have", "want", "projected", "laid_over"),
    [
        ({"a": 1, "b": 2}, {"a": 3}, {"a": 1}, {"a": 3, "b": 2}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 3}}, {"a": {"x": 1}}, {"a": {"x": 3, "y": 2}}),
        ({}, {"a": None}, {}, {"a": None}),
        ({}, {"a": 1}, {"a": None}, {"a": 1}),
        (None, {"a": 1}, None, {"a": 1}),
        ("old", "new", "old", "new"),
    ],
)
def test_what_is_declared_of_a_map(have: Any, want: Any, projected: Any, laid_over: Any) -> None:
    assert project(have, want) == projected
    assert overlay(have, want) == laid_over


def test_members_as_the_mark_stores_them() -> None:
    assert member_key(Item("key", "name")) == "key"
    assert member_key("block-1") == "block-1"
