"""Which agents `matches` selects, what the state says of them, and which fields are declared twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds.agent import MADE_ALONG
from lettaform.model import Desired, Listing, Live, Manifest, Mark, Match, Observed, Selector, State
from lettaform.ownership.matched import fields, lists, selects, unlisted, with_matched
from lettaform.ownership.others import Others
from lettaform.values import UNREAD, Ref

at = Address.parse
HERE, THERE = Place("lettaform.yaml", 1, 1), Place("lettaform.yaml", 9, 1)
UP, OTHER, SHOP = at("matches.up"), at("matches.other"), at("agents.shop")


def agent(id: str = "agent-1", name: str = "worker-1", *tags: str, **more: Any) -> Live:
    stack, address, mark = more.pop("stack", None), more.pop("address", None), more.pop("mark", Mark())
    values = {"name": name, "tags": list(tags), "hidden": None, "agent_type": "letta_v1_agent", **more}
    return Live("agent", id, name, values, address=address, stack=stack, mark=mark)


def match(address: Address = UP, place: Place = HERE, **more: Any) -> Match:
    values, exclude = more.pop("values", {}), more.pop("exclude", Selector())
    stacks = more.pop("stacks", ())
    return Match(address, Selector(**(more or {"names": ("*",)})), values, place, exclude, stacks)


def manifest(*matches: Match, objects: Any = ()) -> Manifest:
    return Manifest("ops", {each.address: each for each in objects}, matches=matches)


def found(*agents: Live) -> Listing:
    return Listing({"agent": agents}, {each.id: () for each in agents})


def seen(wants: Manifest, *agents: Live, known: Others = Others()) -> Observed:  # noqa: B008
    return with_matched(Observed("http://here", "0.16.8"), wants, found(*agents), known)


# --- which agents ----------------------------------------------------------------------------------------------------

SELECTED = agent("agent-1", "worker-1", "support", "vip")


@pytest.mark.parametrize(
    ("entry", "live", "expected"),
    [
        (match(names=("worker-*",)), SELECTED, True),
        (match(names=("Worker-*",)), SELECTED, False),
        (match(names=("x", "worker-?")), SELECTED, True),
        (match(tags=("support",)), SELECTED, True),
        (match(tags=("support", "vip")), SELECTED, True),
        (match(tags=("support", "sales")), SELECTED, False),
        (match(names=("worker-1",), tags=("sales",)), SELECTED, False),
        (match(exclude=Selector(names=("worker-*",))), SELECTED, False),
        (match(exclude=Selector(tags=("vip", "x"))), SELECTED, False),
        (match(exclude=Selector(ids=("agent-1",))), SELECTED, False),
        (match(exclude=Selector(ids=("agent-2",))), SELECTED, True),
        (match(), agent(hidden=True), False),
        (match(), agent(agent_type=MADE_ALONG[0]), False),
        (match(), agent(stack="ops", address=SHOP), False),
        (match(stacks=("ops",)), agent(stack="ops", address=SHOP), False),
        (match(), agent(stack="shop", address=SHOP), False),
        (match(stacks=("shop",)), agent(stack="shop", address=SHOP), True),
        (match(stacks=("shop",)), agent("agent-2", stack="shop", address=SHOP), False),  # a duplicate
        (match(stacks=("shop",)), agent(stack="shop"), False),  # its address cannot be read
        (match(stacks=("shop",)), agent(stack="shop/check", address=SHOP), False),
    ],
)
def test_an_entry_selects_by_names_and_tags_what_nobody_else_owns(entry: Match, live: Live, expected: bool) -> None:
    assert selects(entry, live, "ops", Others(addresses={("shop", SHOP): "agent-1"})) is expected


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((), []),
        ((match(tags=("a",)), match(tags=("a",), names=("x",)), match(tags=("b", "c"))), [("a",), ("b", "c")]),
        ((match(tags=("a",)), match(names=("x",))), [()]),
    ],
)
def test_one_list_for_each_set_of_tags_or_one_for_all(entries: Any, expected: Any) -> None:
    assert lists(manifest(*entries)) == expected


def test_the_fields_that_are_declared_or_were_and_agents_that_no_list_shows() -> None:
    state = State(matched={at("matches.up[agent-9]"): Mark({"metadata.k": "1"}, {"tools": ("t",), "gone": ("x",)})})
    assert fields(manifest(match(values={"model": "a/b"})), state) == {"model", "metadata", "tools"}
    assert unlisted(state, found(agent())) == ["agent-9"]
    assert unlisted(state, found(agent("agent-9"))) == []


# --- the objects, and their marks ------------------------------------------------------------------------------------


def test_selected_agents_are_at_the_address_of_the_entry_with_the_mark_of_the_state() -> None:
    theirs = Mark({"model": "1"})
    lives = agent("agent-2", "b"), agent("agent-1", "a", mark=theirs), agent("agent-3", "c")
    observed = seen(manifest(match(names=("a", "b"))), *lives)
    assert observed.matched == {UP: (UP.instance("agent-1"), UP.instance("agent-2"))}
    one = observed.objects[UP.instance("agent-1")]
    assert (one.stack, one.mark, one.marked) == ("", Mark(), True)
    assert observed.attached.keys() == {"agent-1", "agent-2"}


OLD = Mark({"metadata.k": "1", "model": "2"}, {"tags": ("a", "b"), "metadata": ("k",)})


@pytest.mark.parametrize(
    ("values", "new", "old"),
    [
        ({"tags": ["a"]}, Mark({}, {"tags": ("a",)}), replace(OLD, members={"tags": ("b",), "metadata": ("k",)})),
        ({"model": "x/y"}, Mark({"model": "2"}), replace(OLD, base={"metadata.k": "1"})),
        (
            {"metadata": {"k": 1}},
            Mark({"metadata.k": "1"}, {"metadata": ("k",)}),
            Mark({"model": "2"}, {"tags": ("a", "b")}),
        ),
        ({"system": "x"}, Mark(), OLD),
    ],
)
def test_what_a_removed_entry_added_goes_over_to_the_one_that_declares_it(values: Any, new: Mark, old: Mark) -> None:
    wants = manifest(match(OTHER, values=values))
    state = State(matched={UP.instance("agent-1"): OLD})
    observed = with_matched(Observed("", "", state), wants, found(agent()), Others())
    assert observed.objects[OTHER.instance("agent-1")].mark == new
    assert observed.objects[UP.instance("agent-1")].mark == old


def test_an_agent_that_the_stack_owns_keeps_what_its_declaration_names() -> None:
    own = replace(agent("agent-1"), address=at("agents.mine"), stack="ops")
    wants = manifest(match(), objects=[Desired(at("agents.mine"), "agent", {"tags": ["a"]}, HERE)])
    state = State(matched={UP.instance("agent-1"): OLD})
    observed = with_matched(Observed("", "", state, {at("agents.mine"): own}), wants, found(agent()), Others())
    assert observed.matched == {UP: ()}
    assert observed.objects[UP.instance("agent-1")].mark.members == {"tags": ("b",), "metadata": ("k",)}


def test_members_that_did_not_exist_when_the_state_was_written_get_their_ids() -> None:
    tool = Live("tool", "tool-1", "audit", {}, address=at("tools.audit"), stack="ops")
    state = State(
        matched={UP.instance("agent-1"): Mark({}, {"tools": ("tools.audit", "tools.gone", "tool-1", "tool-2")})}
    )
    observed = with_matched(
        Observed("", "", state, {at("tools.audit"): tool}), manifest(match()), found(agent()), Others()
    )
    assert observed.objects[UP.instance("agent-1")].mark.members == {"tools": ("tool-1", "tool-2")}


@pytest.mark.parametrize(
    ("begun", "have", "expected"),
    [
        ({"tags": ("a", "b")}, {"tags": ["b", "c"]}, {"tags": ("b",)}),
        ({"blocks": ("block-1",)}, {"blocks": []}, {}),  # the run was killed before: the agent did not drop it
        ({"blocks": ("block-1",)}, {"blocks": ["block-1"]}, {"blocks": ("block-1",)}),
        ({"metadata": ("k",)}, {"metadata": {"k": 1}}, {"metadata": ("k",)}),
        ({"metadata": ("k",)}, {"metadata": {}}, {}),
        ({"archive": ("archive-1",)}, {"archive": UNREAD}, {"archive": ("archive-1",)}),
    ],
)
def test_what_a_killed_run_was_about_to_add_is_ours_where_it_is_there(begun: Any, have: Any, expected: Any) -> None:
    state = State(begun={UP.instance("agent-1"): Mark({}, begun)})
    observed = with_matched(Observed("", "", state), manifest(match()), found(agent(**have)), Others())
    assert observed.objects[UP.instance("agent-1")].mark == Mark({}, expected)
    assert unlisted(state, found()) == ["agent-1"]


# --- fields that are declared twice ----------------------------------------------------------------------------------

TOOL, BLOCK = Ref(at("tools.audit")), Ref(at("blocks.notice"))


@pytest.mark.parametrize(
    ("one", "two", "field"),
    [
        ({"model": "a/b"}, {"model": "a/b"}, "model"),
        ({"model": "a/b"}, {"system": "x"}, None),
        ({"tools": [TOOL]}, {"tools": [TOOL]}, "tools"),
        ({"tags": ["a"]}, {"tags": ["b"]}, None),
        ({"tags": ["a", "b"]}, {"tags": ["b"]}, "tags"),
        ({"secrets": {"A": "x"}}, {"secrets": {"A": "y"}}, "secrets"),
        ({"secrets": {"A": "x"}}, {"secrets": {"B": "y"}}, None),
        ({"tool_rules": []}, {"tool_rules": []}, "tool_rules"),
    ],
)
def test_two_entries_that_declare_one_field_of_one_agent(one: Any, two: Any, field: str | None) -> None:
    wants = manifest(match(values=one), match(OTHER, THERE, values=two))
    problems = seen(wants, agent()).contested
    assert [(each.address, each.field, each.place) for each in problems] == (
        [("matches.other[agent-1]", field, THERE)] if field else []
    )
    for each in problems:
        assert "matches.up declares" in each.message
        assert "lettaform.yaml:1" in each.message


@pytest.mark.parametrize(
    ("values", "base", "refused"),
    [
        ({"model": "a/b"}, {"model": "1"}, "model"),
        ({"model": "a/b"}, {"system": "1"}, None),
        ({"tags": ["a"]}, {"tags": "1"}, None),  # both may add to it
        ({"metadata": {"k": 1}}, {"metadata.k": "1"}, "metadata.k"),
        ({"metadata": {"k": 1}}, {"metadata.j": "1"}, None),
    ],
)
def test_a_field_that_the_agents_own_stack_declares_is_refused(values: Any, base: Any, refused: str | None) -> None:
    live = agent(stack="shop", address=SHOP, mark=Mark(base))
    known = Others(addresses={("shop", SHOP): "agent-1"})
    problems = seen(manifest(match(stacks=("shop",), values=values)), live, known=known).contested
    assert len(problems) == bool(refused)
    for each in problems:
        assert f"`{refused}` of worker-1 (agent-1) is declared by agents.shop of stack `shop`" in each.message
        assert "`exclude: {id: agent-1}`" in (each.hint or "")
