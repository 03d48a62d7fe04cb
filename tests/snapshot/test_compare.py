"""Differences of two snapshots: by address and field, whatever the ids are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from lettaform.model import Change
from lettaform.snapshot import Snapshot
from lettaform.snapshot.compare import compare, held_by
from lettaform.snapshot.take import to_entries
from tests.snapshot.samples import ANN, FACTS, HEADER, NOTES, OBJECTS, TEAM, at


def snapshot(*lives: Any, scope: Any = "stack") -> Snapshot:
    objects = replace(OBJECTS, lives=lives or OBJECTS.lives)
    return Snapshot(replace(HEADER, scope=scope), None, tuple(to_entries(objects)))


def changes(old: Snapshot, new: Snapshot, held: Any = None, now: Any = None) -> dict[str, Change]:
    return {str(change.address): change for change in compare(old, new, held or {}, now or {})}


def test_equal_snapshots_do_not_differ() -> None:
    assert changes(snapshot(), snapshot()) == {}


def test_a_changed_value_is_a_field() -> None:
    spoilt = replace(TEAM, values={"label": "team", "value": "nothing"})
    (found,) = changes(snapshot(), snapshot(ANN, spoilt, NOTES, FACTS)).values()
    assert (str(found.address), found.action) == ("blocks.team", "update")
    assert [(each.path, each.old, each.new) for each in found.fields_changed] == [("value", "Ann, Bob", "nothing")]


def test_objects_of_one_side_alone_are_named() -> None:
    found = changes(snapshot(TEAM, NOTES), snapshot(TEAM, FACTS))
    assert {address: change.action for address, change in found.items()} == {
        "agents.ann.memory.notes": "delete",
        "archives.facts": "create",
    }


def test_restored_objects_with_other_ids_are_equal() -> None:
    ann = replace(ANN, id="agent-9", values={**ANN.values, "blocks": ["block-9", "block-8"]})
    other = snapshot(ann, replace(TEAM, id="block-9"), replace(NOTES, id="block-8"), replace(FACTS, id="archive-9"))
    assert changes(snapshot(), other) == {}


def test_new_messages_and_passages_are_shown() -> None:
    before = {"agent-1": {"messages": ["1 user: a"]}, "archive-1": {"passages": ["One."]}}
    after = {"agent-1": {"messages": ["1 user: a", "2 user: b"]}, "archive-1": {"passages": []}}
    found = changes(snapshot(), snapshot(), before, after)
    assert found["agents.ann"].fields_changed[0].new == ["1 user: a", "2 user: b"]
    assert (found["archives.facts"].fields_changed[0].path, found["archives.facts"].fields_changed[0].new) == (
        "passages",
        [],
    )


def test_what_was_not_read_is_not_compared() -> None:
    assert changes(snapshot(), snapshot(), {"agent-1": {"messages": ["1 user: a"]}}, {}) == {}


def test_messages_that_a_snapshot_lacks_are_not_compared() -> None:
    whole = snapshot()
    lacking = replace(whole, entries=tuple(replace(each, without_messages="500") for each in whole.entries))
    for old, new in ((lacking, whole), (whole, lacking)):
        assert changes(old, new, {}, {"agent-1": {"messages": ["1 user: a"]}}) == {}
        assert "agents.ann" in changes(whole, whole, {}, {"agent-1": {"messages": ["1 user: a"]}})


def test_a_snapshot_before_an_apply_is_compared_by_its_own_objects() -> None:
    assert changes(snapshot(TEAM, scope="plan"), snapshot()) == {}


def test_an_object_without_an_address_is_compared_by_its_id() -> None:
    theirs = replace(TEAM, id="block-7", address=None, stack=None)
    spoilt = replace(theirs, values={"label": "team", "value": "x"})
    assert changes(snapshot(theirs), snapshot(spoilt)).keys() == {str(at("blocks.block-7"))}


def test_objects_of_others_are_left_out() -> None:
    theirs = replace(FACTS, id="archive-9", stack=None, address=None)
    one = replace(OBJECTS, used=(*OBJECTS.used, theirs))
    assert changes(Snapshot(HEADER, None, tuple(to_entries(one))), snapshot()) == {}


def test_the_time_of_a_compiled_prompt_is_no_difference() -> None:
    prompt = {"id": "m", "message_type": "system_message"}
    one, other = (held_by(None, [{**prompt, "date": at, "content": at}]) for at in ("at noon", "at one"))
    assert one == other
    assert held_by(None, [{**prompt, "message_type": "tool_return_message"}]) == {"messages": []}
