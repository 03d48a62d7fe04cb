"""Agents that `matches` selects, to what is written, to what the state keeps, and to what is taken back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import Place
from lettaform.model import Live, Manifest, Mark, Match, Observed, PlanOptions, Selector, State
from lettaform.plan import Diff, diff, make
from lettaform.plan.limits import exceeded
from lettaform.plan.matches import expand
from lettaform.values import Patch, digest
from tests.plan.samples import HERE, at, manifest, observed, wanted

UP = at("matches.up")
ONE = UP.instance("agent-1")


def live(mark: Mark = Mark(), **values: Any) -> Live:  # noqa: B008
    given = {"name": "one", "tags": [], "metadata": {}, "tools": [], "blocks": [], "tool_rules": [], **values}
    return Live("agent", "agent-1", "one", given, ONE, "", mark, marked=True)


def world(
    agent: Live | None, values: Any, *, selected: bool = True, stored: bool = True, **policies: Any
) -> tuple[Manifest, Observed]:
    """An entry with these values, and the agent that it selects."""
    entry = Match(UP, Selector(("*",)), values, HERE, policies=policies)
    wants = replace(manifest(), matches=(entry,))
    has = observed(*([agent] if agent else []))
    marks = {ONE: agent.mark if agent else Mark({"model": "1"})} if stored else {}
    state = State(matched={a: mark for a, mark in marks.items() if mark != Mark()}, exists=True)
    has = replace(has, state=state, matched={UP: (ONE,) if selected and agent else ()})
    return expand(wants, has), has


def changed(*given: Any, **more: Any) -> tuple[Diff, Any]:
    wants, has = world(*given, **more)
    found = diff(wants, has, PlanOptions())
    return found, next((each for each in found.resources if each.address == ONE), None)


# --- what the state keeps --------------------------------------------------------------------------------------------

TAGS = Mark({}, {"tags": ("a",)})


@pytest.mark.parametrize(
    ("mark", "have", "want", "written", "kept"),
    [
        # added, and known as ours
        (Mark(), {}, {"tags": ["a"]}, {"tags": Patch(("a",))}, TAGS),
        # somebody else added it: nothing is ours
        (Mark(), {"tags": ["a"]}, {"tags": ["a"]}, None, None),
        (Mark(), {"tags": ["a"]}, {"tags": ["a", "b"]}, {"tags": Patch(("b",))}, Mark({}, {"tags": ("b",)})),
        (TAGS, {"tags": ["a", "x"]}, {"tags": ["b"]}, {"tags": Patch(("b",), ("a",))}, Mark({}, {"tags": ("b",)})),
        (TAGS, {"tags": ["x"]}, {"tags": ["a"]}, {"tags": Patch(("a",))}, None),  # lost
        # an entry of a map that is added, and one that is replaced
        (
            Mark(),
            {"metadata": {"x": 1}},
            {"metadata": {"k": 1}},
            {"metadata": Patch(entries=(("k", 1),))},
            Mark({"metadata.k": digest(1)}, {"metadata": ("k",)}),
        ),
        (
            Mark(),
            {"metadata": {"k": 2}},
            {"metadata": {"k": 1}},
            {"metadata": Patch(entries=(("k", 1),))},
            Mark({"metadata.k": digest(1)}),
        ),
        # a value that is there already is only noted
        (Mark(), {"description": "x"}, {"description": "x"}, {}, Mark({"description": digest("x")})),
    ],
)
def test_what_is_written_and_what_the_state_keeps(mark: Mark, have: Any, want: Any, written: Any, kept: Any) -> None:
    _, resource = changed(live(mark, **have), want)
    assert (resource and resource.fields) == written
    assert (resource and resource.matched) == kept
    if resource:
        assert (resource.mark, resource.claim, resource.change.name) == (None, False, "one")
        assert resource.change.action == ("update" if written else "mark")


@pytest.mark.parametrize(
    ("want", "kept"),
    [
        ({"model": "openai/b"}, {"context_window", "max_tokens", "model_settings"}),
        ({"model": "anthropic/b"}, {"context_window", "max_tokens"}),
        ({"model": "openai/b", "max_tokens": 6}, {"context_window", "model_settings"}),
        ({"model": "openai/a", "max_tokens": 6}, set()),
    ],
)
def test_a_new_model_keeps_what_it_would_reset(want: Any, kept: Any) -> None:
    settings = {"provider_type": "openai", "temperature": 0.5}
    agent = live(model="openai/a", context_window=9, max_tokens=5, parallel_tool_calls=None, model_settings=settings)
    _, resource = changed(agent, want)
    assert resource.fields.keys() - want.keys() == set(kept)
    assert all(any(f"`{name}` is sent again" in note for note in resource.change.notes) for name in kept)


@pytest.mark.parametrize(
    ("policy", "mark", "have", "written"),
    [
        ("yield", Mark(), "theirs", True),  # the first time
        ("seed", Mark(), "theirs", True),
        ("ignore", Mark(), "theirs", True),
        ("yield", Mark({"description": digest("before")}), "before", True),
        ("yield", Mark({"description": digest("before")}), "theirs", False),
        ("seed", Mark({"description": digest("before")}), "before", False),
        ("ignore", Mark({"description": digest("before")}), "before", False),
        ("enforce", Mark({"description": digest("ours")}), "theirs", True),
    ],
)
def test_the_first_value_is_written_and_then_the_policy_decides(
    policy: Any, mark: Mark, have: str, written: bool
) -> None:
    _, resource = changed(live(mark, description=have), {"description": "ours"}, description=policy)
    assert bool(resource and resource.fields) is written


def test_a_text_that_is_merged_is_not_overwritten_without_a_question() -> None:
    found, resource = changed(live(system="theirs"), {"system": "ours"}, system="merge")
    assert (resource, found.runtime[0].conflict is not None) == (None, True)


def test_an_interrupted_call_is_made_up_for() -> None:
    wants, has = world(live(TAGS, tags=["a"]), {"tags": ["a"]})
    has = replace(has, state=replace(has.state, pending=frozenset({ONE})))
    plan = make(wants, has, PlanOptions())
    assert [(each.op, each.key) for each in plan.steps if each.op == "call"] == [("call", f"{ONE}!recompile")]


# --- what is taken back ----------------------------------------------------------------------------------------------

ALL = Mark(
    {"description": "1", "metadata.k": digest(1), "metadata.j": digest(2), "tool_rules": digest([])},
    {"tags": ("a",), "metadata": ("k",)},
)


@pytest.mark.parametrize(
    ("selected", "options", "reason"),
    [
        (False, PlanOptions(), "no longer selected"),
        (True, PlanOptions(destroy=True), "destroy"),
    ],
)
def test_what_was_added_is_taken_back_and_values_stay(selected: bool, options: PlanOptions, reason: str) -> None:
    have = {"description": "x", "metadata": {"k": 1, "j": 2, "x": 3}, "tags": ["a", "b"]}
    wants, has = world(live(ALL, **have), {"tags": ["a"]}, selected=selected)
    (resource,) = [each for each in diff(wants, has, options).resources if each.address == ONE]
    assert resource.fields == {"tags": Patch((), ("a",)), "metadata": Patch(entries=(), drop=("k",))}
    assert (resource.change.action, resource.change.reason, resource.matched) == ("update", reason, Mark())
    assert resource.change.notes == ('`description` is no longer managed, stays "x"',)
    plan = make(wants, has, options)
    assert {step.op for step in plan.steps} == {"update", "save_state"}
    assert all(getattr(step, "mark", None) is None and not getattr(step, "forget", False) for step in plan.steps)


@pytest.mark.parametrize("agent", [live(Mark({"description": "1"}), description="x"), None])
def test_what_has_nothing_to_take_back_is_forgotten(agent: Live | None) -> None:
    wants, has = world(agent, {"tags": ["a"]}, selected=False)
    (resource,) = [each for each in diff(wants, has, PlanOptions()).resources if each.address == ONE]
    assert (resource.change.action, resource.live, resource.matched) == ("forget", None, Mark())
    (step,) = make(wants, has, PlanOptions()).steps
    assert step.op == "save_state"


def test_agents_that_were_not_read_are_left_as_they_are() -> None:
    wants, has = world(None, {"tags": ["a"]}, selected=False)
    assert not diff(wants, replace(has, matched=None), PlanOptions()).resources


# --- entries ---------------------------------------------------------------------------------------------------------


def test_expanding_again_replaces_what_was_added() -> None:
    wants, has = world(live(), {"tags": ["a"]})
    assert wants.objects.keys() == {ONE}
    assert expand(wants, replace(has, matched={})).objects == {}
    plain = manifest(wanted("blocks.b"))
    assert expand(plain, has) is plain


def test_an_entry_that_selects_nothing_is_a_warning() -> None:
    wants, has = world(None, {"tags": ["a"]}, stored=False)
    found = diff(wants, has, PlanOptions())
    assert [(each.message, each.severity) for each in found.warnings] == [("matches.up selects no agent", "warning")]
    assert not diff(wants, has, PlanOptions(target=("blocks.b",))).warnings


@pytest.mark.parametrize(
    ("limit", "options", "refused"),
    [
        (0, PlanOptions(), True),
        (1, PlanOptions(), False),
        (None, PlanOptions(), False),
        (0, PlanOptions(ignore_limits=True), False),
        (0, PlanOptions(destroy=True), False),
        (0, PlanOptions(target=("blocks.b",)), False),
        (0, PlanOptions(target=("matches.up",)), True),
    ],
)
def test_an_entry_that_selects_more_than_its_limit(limit: Any, options: PlanOptions, refused: bool) -> None:
    wants, has = world(live(), {"tags": ["a"]})
    there = Place("lettaform.yaml", 7, 3)
    (entry,) = wants.matches
    wants = replace(wants, matches=(replace(entry, limit=limit, places={"limit": there}),))
    problems = exceeded(diff(wants, has, options), wants, has, options)
    assert [(each.field, each.place) for each in problems] == ([("limit", there)] if refused else [])
