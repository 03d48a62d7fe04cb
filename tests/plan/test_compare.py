"""One declared object and one live object to what is written, attached, shown and remembered."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.model import Mark
from lettaform.plan.compare import Comparison, compare
from lettaform.values import UNREAD, Item, Patch, Ref, Secret, digest
from tests.plan.samples import at, living, lookup, manifest, observed, plan, short, wanted


def compared(values: dict[str, Any], live: dict[str, Any], base: dict[str, Any] | None = None) -> Comparison:
    """An agent `a` with these declared values, live values, and values as last applied."""
    want, have = wanted("agents.a", **values), living("agents.a", "agent-1", base, **live)
    return compare(lookup(manifest(want), observed(have)), want, have)


@pytest.mark.parametrize(
    ("want", "have", "base", "fields"),
    [
        pytest.param("d", "d", "d", {}, id="equal"),
        pytest.param("e", "d", "d", {"description": "e"}, id="changed in the manifest"),
        pytest.param("d", "e", "d", {"description": "d"}, id="changed on the server"),
        pytest.param("d", "e", None, {"description": "d"}, id="never applied"),
        pytest.param("", None, "", {}, id="several forms of nothing"),
    ],
)
def test_a_field_is_written_if_it_differs(want: str, have: str | None, base: str | None, fields: Any) -> None:
    remembered = {} if base is None else {"description": base}
    found = compared({"description": want}, {"description": have}, remembered)
    assert dict(found.fields) == fields
    assert found.base["description"] == digest(want or None)


@pytest.mark.parametrize(
    ("want", "have", "ours", "put", "drop"),
    [
        pytest.param(["a"], ["a"], ("a",), (), (), id="equal"),
        pytest.param(["a"], [], (), ("a",), (), id="new"),
        pytest.param([], ["a"], ("a",), (), ("a",), id="no longer declared"),
        pytest.param([], ["a"], (), (), (), id="of somebody else"),
        pytest.param(["b"], ["a", "c"], ("a",), ("b",), ("a",), id="exchanged"),
    ],
)
def test_members_are_compared_with_what_lettaform_attached(
    want: list[str], have: list[str], ours: tuple[str, ...], put: tuple[str, ...], drop: tuple[str, ...]
) -> None:
    found = compared({"tags": want}, {"tags": have, "members": {"tags": ours}})
    assert found.fields == ({"tags": Patch(put, drop)} if put or drop else {})
    assert found.members.get("tags", ()) == tuple(want)


def test_the_order_of_members_has_no_meaning() -> None:
    found = compared({"tags": ["a", "b"]}, {"tags": ["b", "a"], "members": {"tags": ("b", "a")}})
    assert (found.fields, found.members["tags"]) == ({}, ("b", "a"))


def test_items_without_an_address_are_compared_by_their_key() -> None:
    kept, new, old = Item("1", "kept"), Item("2", "new"), Item("3", "old", id="file-3")
    want = wanted("folders.f", files=[kept, new])
    have = living("folders.f", "source-1", files=[Item("1", "other name"), old], members={"files": ("1", "3")})
    found = compare(lookup(manifest(want), observed(have)), want, have)
    assert (found.attach, found.detach) == ((("files", new),), (("files", old),))
    assert found.members["files"] == ("1", "2")


def test_a_declared_field_that_was_not_read_is_an_internal_error() -> None:
    want, have = wanted("folders.f", files=[]), living("folders.f", "source-1", files=UNREAD)
    with pytest.raises(RuntimeError, match="was not read"):
        compare(lookup(manifest(want), observed(have)), want, have)


def test_a_field_that_was_not_read_and_is_not_declared_is_ignored() -> None:
    want, have = wanted("folders.f"), living("folders.f", "source-1", files=UNREAD)
    assert not plan(manifest(want), observed(have)).steps
    assert plan(manifest(), observed(have), destroy=True).changes[0].action == "delete"


def test_a_reference_to_what_does_not_exist_yet_differs() -> None:
    wants = manifest(wanted("agents.a", tools=[Ref(at("tools.t"))]), wanted("tools.t", name="t", source="s"))
    have = living("agents.a", "agent-1", tools=[])
    found = compare(lookup(wants, observed(have)), wants.objects[at("agents.a")], have)
    assert found.attach == (("tools", Ref(at("tools.t"))),)


def test_what_agents_changed_is_kept_and_reported() -> None:
    want, have = wanted("blocks.b", value="seed"), living("blocks.b", "block-1", {"value": "seed"}, value="learnt")
    found = compare(lookup(manifest(want), observed(have)), want, have)
    assert not found.fields
    assert [(change.path, change.live, change.want) for change in found.agent_changes] == [("value", "learnt", "seed")]
    assert found.base["value"] == digest("seed")


def test_a_cleared_map_forgets_the_digests_of_its_entries() -> None:
    base = {"value": "x", "metadata.a": 1}
    want, have = wanted("blocks.b", metadata=None), living("blocks.b", "block-1", base, metadata={"a": 1})
    assert "metadata.a" not in compare(lookup(manifest(want), observed(have)), want, have).base


def test_what_is_not_declared_is_not_compared() -> None:
    live = living("blocks.org", "block-1", {"value": "x"}, value="x", description="theirs", limit=7, tags=["theirs"])
    assert not plan(manifest(wanted("blocks.org", value="x")), observed(live)).steps


def test_null_clears_a_field() -> None:
    live = living("blocks.org", "block-1", {"value": "x", "description": "d"}, value="x", description="d")
    made = plan(manifest(wanted("blocks.org", value="x", description=None)), observed(live))
    assert short(made) == [("update", "blocks.org", ["description"])]
    assert made.steps[0].fields == {"description": ""}


def test_members_of_others_are_kept() -> None:
    live = living(
        "blocks.org",
        "block-1",
        {"value": "x"},
        value="x",
        tags=["ours", "old", "theirs"],
        members={"tags": ("ours", "old")},
    )
    made = plan(manifest(wanted("blocks.org", value="x", tags=["ours", "new"])), observed(live))
    assert made.steps[0].fields == {"tags": Patch(("new",), ("old",))}
    assert made.steps[0].mark is not None
    assert made.steps[0].mark.members == {"tags": ("ours", "new")}


def test_members_of_others_are_removed_with_enforce() -> None:
    live = living(
        "blocks.org", "block-1", {"value": "x"}, value="x", tags=["ours", "theirs"], members={"tags": ("ours",)}
    )
    made = plan(manifest(wanted("blocks.org", {"tags": "enforce"}, value="x", tags=["ours"])), observed(live))
    assert made.steps[0].fields == {"tags": Patch((), ("theirs",))}


def test_only_declared_entries_of_a_map_are_compared_and_null_removes_one() -> None:
    base = {"value": "x", "metadata.a": 1, "metadata.n": {"x": 1}, "metadata.gone": 2}
    metadata = {"a": 1, "n": {"x": 1, "theirs": 5}, "gone": 2, "foreign": 3}
    live = living("blocks.org", "block-1", base, value="x", metadata=metadata)
    want = {"a": 1.0, "n": {"x": 2}, "gone": None}
    made = plan(manifest(wanted("blocks.org", value="x", metadata=want)), observed(live))
    assert short(made) == [("update", "blocks.org", ["metadata.n", "metadata.gone"])]
    assert made.steps[0].fields == {"metadata": Patch(drop=("gone",), entries=(("n", {"x": 2, "theirs": 5}),))}


def test_secrets_are_compared_and_neither_shown_nor_digested() -> None:
    live = living("agents.a", "agent-1", secrets={"K": "old"}, model="m/m")
    agent = wanted("agents.a", secrets={"K": Secret("${env.K}", "s3cret")})
    made = plan(manifest(agent), observed(live))
    (difference,) = made.changes[0].fields_changed
    # that there was another is no secret
    assert (difference.path, difference.old, difference.secret) == ("secrets.K", Secret("live", ""), True)
    assert "s3cret" not in repr(made)
    assert not any("secrets" in path for path in (made.steps[0].mark or Mark()).base)
    assert not plan(manifest(wanted("agents.a", secrets={"K": Secret("e", "old")})), observed(live)).steps


def test_the_declared_fields_of_a_group_are_sent_together() -> None:
    live = living("agents.a", "agent-1", {"model": "m/a", "context_window": 9}, model="m/a", context_window=9)
    made = plan(manifest(wanted("agents.a", model="m/b", context_window=9)), observed(live))
    assert [d.path for d in made.changes[0].fields_changed] == ["model"]
    assert made.steps[0].fields == {"model": "m/b", "context_window": 9}
    assert "`context_window` is sent again" in made.changes[0].notes[0]


def test_an_unreadable_field_is_compared_with_what_was_applied() -> None:
    live = living("agents.a", "agent-1", {"reasoning": False}, model="m/a")
    assert not plan(manifest(wanted("agents.a", reasoning=False)), observed(live)).steps
    assert short(plan(manifest(wanted("agents.a", reasoning=True)), observed(live))) == [
        ("update", "agents.a", ["reasoning"])
    ]


def test_null_clears_a_whole_map_and_an_empty_map_declares_nothing() -> None:
    live = living("blocks.org", "block-1", {"value": "x", "metadata.a": 1}, value="x", metadata={"a": 1, "b": 2})
    assert not plan(manifest(wanted("blocks.org", value="x", metadata={})), observed(live)).changes[0].fields_changed
    made = plan(manifest(wanted("blocks.org", value="x", metadata=None)), observed(live))
    assert made.steps[0].fields == {"metadata": Patch(entries=(), drop=("a", "b"))}


def test_all_declared_entries_of_a_merged_map_are_sent() -> None:
    base = {"compaction_settings.mode": "all", "compaction_settings.prompt": "p"}
    live = living(
        "agents.a", "agent-1", base, compaction_settings={"mode": "all", "prompt": "p", "clip": 1}, model="m/m"
    )
    agent = wanted("agents.a", compaction_settings={"mode": "sliding_window", "prompt": "p"})
    made = plan(manifest(agent), observed(live))
    assert [d.path for d in made.changes[0].fields_changed] == ["compaction_settings.mode"]
    assert dict(made.steps[0].fields["compaction_settings"].entries) == {"mode": "sliding_window", "prompt": "p"}


def test_items_that_the_server_adds_by_itself_are_kept() -> None:
    approval = {"type": "requires_approval", "tool_name": "send_message"}
    first = {"type": "run_first", "tool_name": "send_message"}
    live = living(
        "agents.a", "agent-1", {"tool_rules": [first]}, tool_rules=[{**first, "args": None}, approval], model="m/m"
    )
    assert not plan(manifest(wanted("agents.a", tool_rules=[first])), observed(live)).steps
    made = plan(manifest(wanted("agents.a", tool_rules=[])), observed(live))
    assert made.steps[1].fields == {"tool_rules": [approval]}
    exact = plan(manifest(wanted("agents.a", {"tool_rules": "enforce"}, tool_rules=[])), observed(live))
    assert exact.steps[1].fields == {"tool_rules": []}
