"""What a pull does about each value that differs on the server: pulls it, or leaves it, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lettaform.plan.pull import MISSING, LiveValue, Pull, PullOptions, live_values, present
from lettaform.values import UNREAD, Secret

from .samples import at, difference, living, manifest, observed, wanted

AGENT = {"model": "a/b"}
AGENT_NAMED = {"name": "a", **AGENT}


def found(want: Mapping[str, Any], have: Mapping[str, Any], base: Mapping[str, Any] | None, **words: Any) -> Any:
    """Path to outcome of one block or agent."""
    address, policies = words.pop("address", "blocks.a"), words.pop("policies", None)
    wants = manifest(wanted(address, policies, **want))
    seen = observed(living(address, "id-1", base, **have))
    return {each.path: each for each in live_values(wants, difference(wants, seen), PullOptions(**words))}


def outcomes(*words: Any, **more: Any) -> dict[str, str]:
    return {path: each.outcome for path, each in found(*words, **more).items()}


CASES: Mapping[str, tuple[str, str, str | None, str | None]] = {
    # name: manifest, live, base, outcome
    "nothing changed": ("x", "x", "x", None),
    "the agent changed it": ("x", "y", "x", "pull"),
    "only the manifest changed": ("z", "x", "x", "manifest"),
    "both changed it": ("z", "y", "x", "conflict"),
    "both changed it in the same way": ("y", "y", "x", None),
    "never applied": ("x", "y", None, "pull"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("policy", ["seed", "yield"])
def test_values_that_belong_to_agents(name: str, policy: str) -> None:
    want, live, base, outcome = CASES[name]
    got = outcomes({"value": want}, {"value": live}, base and {"value": base}, policies={"value": policy})
    assert got.get("value") == outcome


@pytest.mark.parametrize(
    ("want", "live", "base", "without", "with_drift"),
    [
        ("x", "y", "x", "drift", "pull"),
        ("z", "y", "x", "drift", "conflict"),
        ("z", "x", "x", "manifest", "manifest"),
        ("x", "y", None, "manifest", "manifest"),
    ],
)
def test_values_with_the_policy_enforce_are_pulled_only_if_drift_is_asked_for(
    want: str, live: str, base: str | None, without: str, with_drift: str
) -> None:
    sides: Any = ({"system": want, **AGENT}, {"system": live, **AGENT}, {**AGENT, **({"system": base} if base else {})})
    assert outcomes(*sides, address="agents.a") == {"system": without}
    assert outcomes(*sides, address="agents.a", drift=True) == {"system": with_drift}
    assert outcomes(*sides, address="agents.a", theirs=("agents.a",)) == {"system": "pull"}


def test_ours_and_theirs_decide_where_both_sides_changed() -> None:
    both: Any = ({"value": "z", "limit": 9}, {"value": "y", "limit": 9}, {"value": "x", "limit": 9})
    assert outcomes(*both, theirs=("blocks.*",)) == {"value": "pull"}
    assert outcomes(*both, ours=("blocks.a",)) == {"value": "ours"}
    assert outcomes(*both, ours=("blocks.b",)) == {"value": "conflict"}


def test_ours_does_not_keep_what_only_the_agent_changed() -> None:
    assert outcomes({"value": "x"}, {"value": "y"}, {"value": "x"}, ours=("*",)) == {"value": "pull"}


def test_addresses_choose_objects() -> None:
    changed: Any = ({"value": "x"}, {"value": "y"}, {"value": "x"})
    assert outcomes(*changed, addresses=("blocks.a",)) == {"value": "pull"}
    assert outcomes(*changed, addresses=("blocks.b", "agents.*")) == {}


def test_ignored_values_are_never_pulled() -> None:
    assert outcomes({"value": "x"}, {"value": "y"}, {"value": "x"}, policies={"value": "ignore"}, theirs=("*",)) == {}


def test_description_of_a_seeded_block_belongs_to_agents_and_its_limit_does_not() -> None:
    want = {"value": "x", "description": "d", "limit": 5}
    got = outcomes(want, {"value": "x", "description": "e", "limit": 6}, want)
    assert got == {"description": "pull", "limit": "drift"}


def test_a_value_carries_both_sides() -> None:
    (value,) = found({"value": "x"}, {"value": "y"}, {"value": "x"}).values()
    assert (value.want, value.live, value.agents) == ("x", "y", True)


@pytest.mark.parametrize("drift", [True, False])
def test_secrets_and_lists_of_attached_objects_are_no_values(drift: bool) -> None:
    want = {"secrets": {"KEY": Secret("${var.k}", "hunter22")}, "tags": ["x"], **AGENT}
    have = {"secrets": {"KEY": "other"}, "tags": [], **AGENT}
    got = found(want, have, {**AGENT, "secrets.KEY": "hunter22"}, address="agents.a", drift=drift)
    assert {each.outcome for each in got.values()} <= {"not a value", "manifest", "drift"}
    assert [each for each in got.values() if "other" in repr(each) or "hunter22" in repr(each)] == []


def test_a_detached_block_is_no_value() -> None:
    agent, part = wanted("agents.a", **AGENT), wanted("agents.a.memory.human", value="x")
    wants = manifest(agent, part)
    live = living("agents.a", "agent-1", AGENT, **AGENT, parts={"human": {"value": "0"}})
    (value,) = live_values(wants, difference(wants, observed(live)), PullOptions())
    assert (str(value.address), value.path, value.outcome) == ("agents.a.memory.human", "attached", "not a value")


def test_objects_that_do_not_exist_have_no_live_values() -> None:
    wants = manifest(wanted("blocks.a", value="x"))
    assert live_values(wants, difference(wants, observed()), PullOptions(drift=True, theirs=("*",))) == []


def test_present_tells_missing_and_unread_values_from_none() -> None:
    seen = observed(living("agents.a", "agent-1", system=None, metadata={"k": 1}, description=UNREAD))
    assert present(seen, at("agents.a"), "system") is None
    assert present(seen, at("agents.a"), "metadata.k") == 1
    for path in ("description", "description.x", "metadata.other", "system.x", "nothing"):
        assert present(seen, at("agents.a"), path) is MISSING
    assert present(seen, at("agents.b"), "system") is MISSING


def value(outcome: Any = "pull") -> LiveValue:
    return LiveValue(at("blocks.a"), "value", "x", "y", outcome)


@pytest.mark.parametrize(
    ("words", "check", "code"),
    [
        ({}, True, 0),
        ({"files": {"f": ("a", "b")}}, True, 2),
        ({"files": {"f": ("a", "b")}}, False, 0),
        ({"kept": ("problem",)}, False, 0),
        ({"kept": ("problem",), "options": PullOptions(("blocks.a",))}, False, 1),
        ({"refused": ("problem",), "files": {"f": ("a", "b")}}, True, 1),
        ({"refused": ("problem",), "conflicts": (value("conflict"),)}, False, 4),
    ],
)
def test_exit_codes(words: dict[str, Any], check: bool, code: int) -> None:
    assert Pull("s", "http://here", "1", **words).exit_code(check=check) == code


def test_unrecorded_objects_are_those_without_a_written_mark() -> None:
    pull = Pull("s", "http://here", "1", pulled=(value(),))
    assert pull.unrecorded == {at("blocks.a")}
    assert Pull("s", "http://here", "1", pulled=(value(),), recorded=frozenset({at("blocks.a")})).unrecorded == set()
