"""The passes together: replacement spreads, destroy declares nothing, and a Diff carries every problem at once."""

from __future__ import annotations

from lettaform.model import Live
from lettaform.values import Ref
from tests.plan.samples import at, difference, living, lookup, manifest, messages, observed, wanted


def archive(embedding: str) -> Live:
    return living("archives.x", "archive-1", {"embedding": embedding}, embedding=embedding)


def test_an_object_is_replaced_if_a_fixed_field_differs() -> None:
    wants = manifest(wanted("archives.x", embedding="new/e"))
    assert lookup(wants, observed(archive("old/e"))).replaced == {at("archives.x")}
    assert lookup(wants, observed(archive("new/e"))).replaced == frozenset()


def test_nothing_is_replaced_that_is_excluded_or_destroyed() -> None:
    wants, has = manifest(wanted("archives.x", embedding="new/e")), observed(archive("old/e"))
    assert lookup(wants, has, exclude=("archives.x",)).replaced == frozenset()
    assert lookup(wants, has, destroy=True).replaced == frozenset()


def test_destroy_deletes_what_is_declared() -> None:
    wants = manifest(wanted("blocks.b", value="v"), wanted("blocks.new", value="v"))
    found = difference(wants, observed(living("blocks.b", "block-1", value="old")), destroy=True)
    assert [(each.change.action, str(each.address)) for each in found.resources] == [("delete", "blocks.b")]


def test_what_is_not_declared_is_unmanaged_without_prune() -> None:
    found = difference(manifest(), observed(living("blocks.b", "block-1")))
    assert [str(each.address) for each in found.unmanaged] == ["blocks.b"]
    assert found.resources == ()


def test_problems_and_guards_of_all_passes_are_reported_together() -> None:
    agent = wanted("agents.a", model="m/m", blocks=[Ref(at("blocks.x")), Ref(at("blocks.y"))])
    guarded = wanted("archives.x", embedding="new/e", prevent_destroy=True)
    wants = manifest(agent, wanted("blocks.x", label="same"), wanted("blocks.y", label="same"), guarded)
    found = messages(wants, observed(archive("old/e")))
    assert len(found) == 2, found
    assert "two blocks labelled `same`" in found[0]
    assert "archives.x" in found[1]
