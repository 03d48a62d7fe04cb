"""A ResourceChange stands at the address of its Change, and an empty Diff finds nothing."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import pytest

from lettaform.model import Change
from lettaform.plan.changes import Diff, ResourceChange
from tests.plan.samples import at


def test_a_resource_change_has_the_address_of_its_change() -> None:
    assert ResourceChange(Change(at("blocks.b"), "block", "create")).address == at("blocks.b")


def test_an_empty_diff_finds_nothing() -> None:
    assert not any(getattr(Diff(), field.name) for field in fields(Diff))


def test_a_change_is_not_changed_after_it_was_found() -> None:
    change = ResourceChange(Change(at("blocks.b"), "block", "create"))
    with pytest.raises(FrozenInstanceError):
        change.claim = True  # type: ignore[misc]
