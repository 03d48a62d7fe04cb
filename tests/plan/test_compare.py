"""One declared object and one live object to what is written, attached, shown and remembered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lettaform.kinds import kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import Companions, Contents, Parts
from lettaform.model import APPLIED, Mark
from lettaform.plan.compare import Comparison, compare, differs
from lettaform.values import UNREAD, Item, Patch, Ref, Secret, digest
from tests.plan.samples import at, difference, living, lookup, manifest, observed, plan, short, wanted


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
    assert (made.steps[0].mark or Mark()).base["secrets.K"] == APPLIED
    applied = replace(live, mark=replace(live.mark, base={**live.mark.base, "secrets.K": APPLIED}))
    assert not plan(manifest(wanted("agents.a", secrets={"K": Secret("e", "old")})), observed(applied)).steps


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
    emptied = plan(manifest(wanted("blocks.org", value="x", metadata={})), observed(live))
    assert emptied.steps[0].fields == {"metadata": Patch(entries=(), drop=("a",))}
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


# --- lines that are removed ------------------------------------------------------------------------------------------


def lines(chosen: Callable[[Attr], object]) -> list[Any]:
    """Every line of every kind for which this holds, as the section and the line."""
    every = ((kind.section, line) for kind in kinds().values() for line in kind.attrs().values())
    return [pytest.param(s, each, id=f"{s}.{each.name}") for s, each in every if chosen(each)]


def without(section: str, have: dict[str, Any], base: dict[str, Any] | None = None, **values: Any) -> Comparison:
    """An object of which these values are declared, and that has these live values and values as last applied."""
    want, live = wanted(f"{section}.x", **values), living(f"{section}.x", "id-1", base, **have)
    return compare(lookup(manifest(want), observed(live)), want, live)


def is_value(line: Attr) -> bool:
    """Whether the line has one value, which lettaform compares."""
    return not (line.additive or line.partial or line.create_only or line.related(Parts) or line.related(Companions))


NAMES = {kind.name_field for kind in kinds().values()}


@pytest.mark.parametrize(("section", "line"), lines(lambda line: line.additive))
def test_members_of_a_removed_line_are_removed(section: str, line: Attr) -> None:
    have = [Item("ours", "o"), Item("theirs", "t")] if line.related(Contents) else ["ours", "theirs"]
    found = without(section, {line.name: have, "members": {line.name: ("ours",)}})
    removed = [(line.name, have[0])]
    assert list(found.detach) == removed or found.fields == {line.name: Patch((), (have[0],))}
    assert [(each.path, each.reason, each.new.drop) for each in found.fields_changed] == [
        (line.name, "undeclared", (have[0],))
    ]
    assert line.name not in found.members


@pytest.mark.parametrize(("section", "line"), lines(lambda line: line.partial and not line.merges))
@pytest.mark.parametrize("rest", [{}, {"kept": "k"}], ids=["the whole line", "one entry"])
def test_entries_of_a_removed_line_are_removed(section: str, line: Attr, rest: dict[str, Any]) -> None:
    base = {f"{line.name}.{key}": value for key, value in {"ours": "s3cret", **rest}.items()}
    values = {line.name: rest} if rest else {}
    found = without(section, {line.name: {"ours": "s3cret", "theirs": "w", **rest}}, base, **values)
    assert found.fields == {line.name: Patch(entries=(), drop=("ours",))}
    assert [(each.path, each.reason, each.secret) for each in found.fields_changed] == [
        (f"{line.name}.ours", "undeclared", line.secret)
    ]
    assert (f"{line.name}.ours" in found.base, f"{line.name}.kept" in found.base) == (False, bool(rest))
    assert not line.secret or "s3cret" not in repr(found.fields_changed)


@pytest.mark.parametrize(("section", "line"), lines(lambda line: line.merges))
def test_entries_that_the_server_cannot_remove_stay(section: str, line: Attr) -> None:
    found = without(section, {line.name: {"ours": 5, "theirs": 6}}, {f"{line.name}.ours": 5})
    assert (found.fields, found.fields_changed) == ({}, ())
    assert found.notes == (f"`{line.name}.ours` is no longer managed, stays 5",)
    assert f"{line.name}.ours" not in found.base


@pytest.mark.parametrize(
    ("section", "line"), lines(lambda line: is_value(line) and line.clear != [] and line.name not in NAMES)
)
def test_the_value_of_a_removed_line_stays(section: str, line: Attr) -> None:
    found = without(section, {} if line.read is None else {line.name: 5}, {line.name: 5})
    assert (found.fields, found.fields_changed, line.name in found.base) == ({}, (), False)
    stays = "as it is" if line.secret or line.read is None else "5"
    assert found.notes == (f"`{line.name}` is no longer managed, stays {stays}",)


@pytest.mark.parametrize(("section", "line"), lines(lambda line: line.clear == [] and not line.additive))
def test_a_list_is_emptied_if_it_is_as_lettaform_wrote_it(section: str, line: Attr) -> None:
    have = [{"type": "run_first", "tool_name": "t"}] if line.name == "tool_rules" else ["--fast"]
    found = without(section, {line.name: have}, {line.name: have})
    assert (found.fields, found.fields_changed[0].reason) == ({line.name: []}, "undeclared")
    changed = without(section, {line.name: have}, {line.name: [*have, "another"]})
    assert (changed.fields, changed.notes) == ({}, (f"`{line.name}` is no longer managed, stays as it is",))


def test_rules_that_the_server_added_outlive_those_that_are_no_longer_declared() -> None:
    approval, first = {"type": "requires_approval", "tool_name": "t"}, {"type": "run_first", "tool_name": "t"}
    found = without("agents", {"tool_rules": [first, approval]}, {"tool_rules": [first]})
    assert found.fields == {"tool_rules": [approval]}


def test_a_removed_line_whose_value_is_gone_needs_no_note() -> None:
    assert not without("agents", {"description": None}, {"description": "d"}).notes


def test_a_value_that_the_server_may_reset_is_not_said_to_stay() -> None:
    base = {"model": "m/a", "context_window": 9}
    found = without("agents", {"model": "m/a", "context_window": 9}, base, model="m/b")
    assert found.notes == ("`context_window` is no longer managed, and the server may reset it",)


@pytest.mark.parametrize(("have", "stays"), [("s", False), ("changed", True)])
def test_an_entry_that_agents_may_own_is_removed_while_nobody_changed_it(have: str, stays: bool) -> None:
    want = wanted("agents.x", {"metadata": "seed"})
    live = living("agents.x", "agent-1", {"metadata.a": "s"}, metadata={"a": have})
    found = compare(lookup(manifest(want), observed(live)), want, live)
    assert bool(found.fields) is not stays
    assert bool(found.notes) is stays


def test_what_is_ignored_is_forgotten_and_not_removed() -> None:
    want = wanted("agents.x", {"tags": "ignore", "metadata": "ignore", "system": "ignore"})
    base = {"metadata.a": 1, "system": "s"}
    live = living("agents.x", "a-1", base, tags=["t"], members={"tags": ("t",)}, metadata={"a": 1}, system="s")
    found = compare(lookup(manifest(want), observed(live)), want, live)
    assert (found.fields, found.fields_changed, found.notes, found.members) == ({}, (), (), {})
    assert set(found.base) == {"name"}


def test_a_policy_alone_does_not_remove_what_others_added() -> None:
    want = wanted("agents.x", {"tags": "enforce"})
    live = living("agents.x", "agent-1", tags=["ours", "theirs"], members={"tags": ("ours",)})
    assert compare(lookup(manifest(want), observed(live)), want, live).fields == {"tags": Patch((), ("ours",))}


def test_what_was_not_read_stays_in_the_mark() -> None:
    found = without("folders", {"files": UNREAD, "members": {"files": ("a 1 sha",)}})
    assert (found.detach, found.members) == ((), {"files": ("a 1 sha",)})


def test_inner_keys_are_removed_while_the_map_is_as_lettaform_wrote_it() -> None:
    base = {"metadata.n": {"x": 1, "y": 2}}
    found = without("blocks", {"metadata": {"n": {"x": 1, "y": 2}}}, base, metadata={"n": {"x": 1}})
    assert found.fields == {"metadata": Patch(entries=(("n", {"x": 1}),))}
    shared = without("blocks", {"metadata": {"n": {"x": 1, "y": 2, "z": 3}}}, base, metadata={"n": {"x": 1}})
    assert shared.fields == {}


def test_only_the_named_fields_are_compared_to_tell_whether_they_differ() -> None:
    want = wanted("agents.x", agent_type="memgpt_agent")
    live = living("agents.x", "a-1", {"agent_type": "memgpt_agent"}, agent_type="memgpt_agent", tags=["t"])
    live = replace(live, mark=replace(live.mark, members={"tags": ("t",)}))
    assert not differs(lookup(manifest(want), observed(live)), want, live, ["agent_type"])
    assert [each.change.action for each in difference(manifest(want), observed(live)).resources] == ["update"]


# --- what was lost on the server -------------------------------------------------------------------------------------


def test_a_secret_that_was_lost_is_drift_and_one_that_differs_is_not() -> None:
    want = wanted("agents.x", secrets={"K": Secret("${env.K}", "s3cret")})
    live = living("agents.x", "agent-1", secrets={})
    applied = replace(live, mark=replace(live.mark, base={**live.mark.base, "secrets.K": APPLIED}))

    def reasons(have: Any) -> list[str]:
        return [d.reason for d in compare(lookup(manifest(want), observed(have)), want, have).fields_changed]

    assert reasons(applied) == ["drift"]
    assert reasons(live) == ["manifest"]
    assert reasons(replace(applied, values={**live.values, "secrets": {"K": "other"}})) == ["manifest"]


@pytest.mark.parametrize("policy", ["seed", "yield", "ignore"])
def test_that_a_secret_was_applied_is_remembered_under_every_policy(policy: str) -> None:
    want = wanted("agents.x", {"secrets": policy}, secrets={"K": Secret("${env.K}", "s3cret")})
    live = living("agents.x", "agent-1", secrets={"K": "of the agent"})
    live = replace(live, mark=replace(live.mark, base={**live.mark.base, "secrets.K": APPLIED}))
    assert not plan(manifest(want), observed(live)).steps


@pytest.mark.parametrize(
    ("want", "have", "reason"),
    [
        pytest.param(["a"], [], "drift", id="lost"),
        pytest.param(["b", "a"], ["a"], "manifest", id="new"),
        pytest.param([], ["a"], "undeclared", id="no longer named"),
        pytest.param(["b"], ["a"], "manifest", id="exchanged"),
    ],
)
def test_why_members_change(want: list[str], have: list[str], reason: str) -> None:
    found = compared({"tags": want}, {"tags": have, "members": {"tags": ("a",)}})
    assert [each.reason for each in found.fields_changed] == [reason]
