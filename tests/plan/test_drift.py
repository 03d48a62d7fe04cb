"""What counts as drift: the digests of the last apply tell a change on the server from an edit of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from lettaform.model import Manifest, Mark, Observed, PlanOptions, State, Unmanaged
from lettaform.plan.drift import GONE, Drift, ObjectDrift, classify, drift
from lettaform.values import Patch, Ref, Secret, kept_text

from .samples import at, difference, living, manifest, observed, wanted

AGENT = {"model": "a/b"}


def found(wants: Manifest, has: Observed, **options: Any) -> Drift:
    return drift(wants, difference(wants, has, **options), PlanOptions(**options))


def one(want: Mapping[str, Any], have: Mapping[str, Any], base: Mapping[str, Any] | None, **words: Any) -> ObjectDrift:
    """How one block or agent differs."""
    address, policies = words.pop("address", "blocks.a"), words.pop("policies", None)
    wants = manifest(wanted(address, policies, **want))
    every = classify(wants, difference(wants, observed(living(address, "id-1", base, **have, **words))))
    return every.get(at(address), ObjectDrift(at(address), "block"))


def classes(drifted: ObjectDrift) -> dict[str, tuple[str, str]]:
    """Path to class and reason of each field."""
    return {
        field.path: (name, field.reason)
        for name in ("written_back", "kept", "edited")
        for field in getattr(drifted, name)
    }


CASES: Mapping[str, tuple[str, str, str | None]] = {
    # name: manifest, live, base
    "nothing changed": ("x", "x", "x"),
    "only the server changed": ("x", "y", "x"),
    "only the manifest changed": ("z", "x", "x"),
    "both changed": ("z", "y", "x"),
    "both changed in the same way": ("y", "y", "x"),
    "never applied": ("x", "y", None),
}
EDITED, DRIFT, KEPT = ("edited", "manifest"), ("written_back", "drift"), ("kept", "drift")
BOTH = {"written_back": ("written_back", "conflict"), "kept": ("kept", "conflict")}
CLASSES: Mapping[str, tuple[tuple[str, str] | None, ...]] = {
    # policy: class and reason, in the order of the cases
    "enforce": (None, DRIFT, EDITED, BOTH["written_back"], None, EDITED),
    "seed": (None, KEPT, EDITED, BOTH["kept"], None, KEPT),
    "yield": (None, KEPT, EDITED, BOTH["kept"], None, KEPT),
    "ignore": (None, KEPT, None, BOTH["kept"], None, None),
}


@pytest.mark.parametrize("policy", CLASSES)
@pytest.mark.parametrize("name", CASES)
def test_the_class_of_a_value(policy: str, name: str) -> None:
    want, live, base = CASES[name]
    drifted = one({"value": want}, {"value": live}, base and {"value": base}, policies={"value": policy})
    expected = CLASSES[policy][[*CASES].index(name)]
    assert classes(drifted).get("value") == expected
    assert bool(drifted) is (expected not in (None, EDITED))


def test_a_field_goes_from_the_value_of_the_manifest_to_the_live_one() -> None:
    (field,) = one({"limit": 5}, {"limit": 7}, {"limit": 5}).written_back
    assert (field.path, field.old, field.new, field.policy) == ("limit", 5, 7, "enforce")
    (field,) = one({"value": "seed"}, {"value": "learned"}, {"value": "seed"}).kept
    assert (field.path, field.old, field.new, field.policy) == ("value", "seed", "learned", "seed")


def merged(want: str, live: str, base: str) -> ObjectDrift:
    made = living("blocks.a", "block-1", value=live)
    made = replace(made, mark=replace(made.mark, base={**made.mark.base, "value": kept_text(base)}))
    wants = manifest(wanted("blocks.a", {"value": "merge"}, value=want))
    return classify(wants, difference(wants, observed(made)))[at("blocks.a")]


@pytest.mark.parametrize(
    ("want", "live", "expected"),
    [
        ("a\nb\nc", "a\nb\nc2", ("kept", "drift")),
        ("a1\nb\nc", "a\nb\nc", ("edited", "manifest")),
        ("a1\nb\nc", "a\nb\nc2", ("kept", "merge")),
        ("a\nb\nc1", "a\nb\nc2", ("kept", "conflict")),
        ("a1\nb\nc2", "a\nb\nc2", ("kept", "merge")),  # the manifest has the agent's line, too
    ],
)
def test_a_text_that_is_merged_is_kept(want: str, live: str, expected: tuple[str, str]) -> None:
    drifted = merged(want, live, "a\nb\nc")
    assert classes(drifted)["value"] == expected
    (field,) = (*drifted.kept, *drifted.edited)
    assert (field.old, field.new) == (want, live)


# --- lists -----------------------------------------------------------------------------------------------------------


def tools(want: list[str], live: list[str], stored: list[str] | None, policy: str | None = None) -> ObjectDrift:
    """How an agent differs from its declaration: tools that it names, has, and got from lettaform."""
    every = [wanted(f"tools.{name}", source="def x(): ...") for name in "xyz"]
    agent = wanted(
        "agents.a", {"tools": policy} if policy else {}, **AGENT, tools=[Ref(at(f"tools.{name}")) for name in want]
    )
    lives = [living(f"tools.{name}", f"tool-{name}", {"source_code": name}, source="def x(): ...") for name in "xyz"]
    members = {} if stored is None else {"tools": tuple(f"tool-{name}" for name in stored)}
    have = living("agents.a", "agent-1", AGENT, **AGENT, tools=[f"tool-{name}" for name in live], members=members)
    wants = manifest(*every, agent)
    return classify(wants, difference(wants, observed(*lives, have))).get(at("agents.a"), ObjectDrift(at("a.b"), "x"))


def patch(*signed: str) -> Patch:
    """A Patch: `+x` was added on the server, `-x` removed."""
    named = {sign: tuple(Ref(at(f"tools.{each[1:]}")) for each in signed if each[0] == sign) for sign in "+-"}
    return Patch(named["+"], named["-"])


@pytest.mark.parametrize(
    ("want", "live", "stored", "policy", "expected"),
    [
        ("xy", "xy", "xy", None, []),
        ("xy", "x", "xy", None, [("written_back", "drift", patch("-y"))]),
        ("xy", "x", "x", None, [("edited", "manifest", patch("-y"))]),
        (
            "xyz",
            "x",
            "xy",
            None,
            [("written_back", "conflict", patch("-y")), ("edited", "manifest", patch("-y", "-z"))],
        ),
        ("x", "xy", "x", None, []),  # others may add members
        ("x", "xy", "x", "enforce", [("written_back", "drift", patch("+y"))]),
        ("x", "xy", "xy", "enforce", [("edited", "undeclared", patch("+y"))]),
        ("xz", "xy", "xz", "enforce", [("written_back", "drift", patch("+y", "-z"))]),
        ("x", "xy", None, "enforce", [("edited", "manifest", patch("+y"))]),  # adopted: nothing is known
    ],
)
def test_members_of_a_list(
    want: str, live: str, stored: str | None, policy: str | None, expected: list[tuple[str, str, Patch]]
) -> None:
    drifted = tools([*want], [*live], None if stored is None else [*stored], policy)
    got = [(name, f.reason, f.new) for name in ("written_back", "edited") for f in getattr(drifted, name)]
    assert got == expected


def test_a_tool_that_was_deleted_is_missing_and_lost_by_its_agents() -> None:
    wants = manifest(
        wanted("tools.x", source="def x(): ..."), wanted("agents.a", {}, **AGENT, tools=[Ref(at("tools.x"))])
    )
    agent = living("agents.a", "agent-1", AGENT, **AGENT, tools=[], members={"tools": ("tool-x",)})
    has = observed(agent)
    has = replace(has, state=replace(has.state, ids={**has.state.ids, at("tools.x"): "tool-x"}))
    every = classify(wants, difference(wants, has))
    assert every[at("tools.x")].missing
    assert every[at("tools.x")].id is None
    (lost,) = every[at("agents.a")].written_back
    assert (lost.reason, lost.new) == ("drift", patch("-x"))


# --- missing objects -------------------------------------------------------------------------------------------------


def known(*ids: str, **words: Any) -> State:
    return State({at(each): f"id-{each}" for each in ids}, exists=True, **words)


def test_an_object_that_was_applied_and_is_gone_is_missing() -> None:
    wants = manifest(wanted("blocks.a", value="x"), wanted("blocks.new", value="x"))
    has = replace(observed(), state=known("blocks.a"))
    found_ = found(wants, has)
    assert [(str(each.address), each.missing) for each in found_.objects] == [("blocks.a", True)]
    assert found_.objects[0].place is not None
    assert (found_.compared, found_.edited, bool(found_), found_.exit_code) == (1, 1, True, 2)


def test_what_an_interrupted_apply_deleted_is_not_missing() -> None:
    wants = manifest(wanted("blocks.a", value="x"), wanted("agents.a", **AGENT))
    state = known("blocks.a", "agents.a", tombstones={"id-blocks.a": living("blocks.a", "x").mark})
    has = replace(observed(), state=state, carried_over={at("agents.a"): ()})
    assert found(wants, has).objects == ()


def test_the_own_blocks_of_a_missing_agent_are_a_part_of_it() -> None:
    wants = manifest(wanted("agents.a", **AGENT), wanted("agents.a.memory.b", value="x"))
    found_ = found(wants, replace(observed(), state=known("agents.a")))
    assert [str(each.address) for each in found_.objects] == ["agents.a"]
    assert found_.compared == 1


@pytest.mark.parametrize(
    ("policy", "stored", "expected"),
    [("seed", True, "kept"), ("enforce", True, "missing"), ("seed", False, None), ("enforce", False, None)],
)
def test_an_own_block_that_its_agent_lost(policy: str, stored: bool, expected: str | None) -> None:
    wants = manifest(wanted("agents.a", **AGENT), wanted("agents.a.memory.b", {"value": policy}, value="x"))
    agent = living("agents.a", "agent-1", AGENT, **AGENT, parts={"b": {}} if stored else {})
    every = classify(wants, difference(wants, observed(agent)))
    block = every.get(at("agents.a.memory.b"))
    if expected is None:
        assert block is None
    elif expected == "missing":
        assert block is not None
        assert block.missing
    else:
        assert block is not None
        assert [(each.path, each.old, each.new) for each in block.kept] == [("attached", True, False)]


def test_an_exact_own_block_that_was_detached_is_attached_again() -> None:
    address = at("agents.a.memory.b")
    wants = manifest(wanted("agents.a", **AGENT), wanted(str(address), {"value": "enforce"}, value="x"))
    agent = living("agents.a", "agent-1", AGENT, **AGENT, parts={"b": {}})
    block = living(str(address), "block-1", {"value": "x"}, value="x")
    has = replace(observed(agent), detached={address: (block,)})
    every = classify(wants, difference(wants, has))
    assert [(each.path, each.old, each.new) for each in every[address].written_back] == [("attached", True, False)]
    assert not every.get(at("agents.a"))


# --- marks -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("digests", "known_", "expected"),
    [
        (True, True, {"marked": "written_back", "description": "edited"}),
        (False, True, {"marked": "written_back", "description": "written_back"}),
        (True, False, {"description": "edited"}),  # not adopted yet
    ],
)
def test_an_object_that_lost_its_mark(digests: bool, known_: bool, expected: dict[str, str]) -> None:
    wants = manifest(wanted("agents.a", **AGENT, description="new"))
    base = {**AGENT, "description": "old"}
    agent = replace(living("agents.a", "agent-1", base, **AGENT, description="old"), marked=False)
    agent = agent if digests else replace(agent, mark=Mark())
    has = observed(agent)
    has = has if known_ else replace(has, state=replace(has.state, ids={}))
    (drifted,) = classify(wants, difference(wants, has)).values()
    assert {path: name for path, (name, _) in classes(drifted).items()} == expected


# --- the whole -------------------------------------------------------------------------------------------------------


def test_what_no_line_declares_is_no_drift() -> None:
    has = observed(living("blocks.old", "block-9", value="x"))
    has = replace(has, state=replace(has.state, ids={**has.state.ids, at("blocks.gone"): "block-8"}))
    found_ = found(manifest(), has)
    assert {str(each.address) for each in found_.unmanaged} == {"blocks.old", "blocks.gone"}
    assert Unmanaged("block", "block-8", at("blocks.gone"), GONE) in found_.unmanaged
    assert (found_.objects, found_.exit_code, found_.compared) == ((), 0, 0)


def test_only_the_chosen_objects_are_compared() -> None:
    wants = manifest(wanted("blocks.a", limit=5), wanted("blocks.b", limit=5))
    has = observed(*(living(f"blocks.{key}", f"block-{key}", {"limit": 5}, limit=6) for key in "ab"))
    assert [str(each.address) for each in found(wants, has).objects] == ["blocks.a", "blocks.b"]
    chosen = found(wants, has, target=("blocks.b",))
    assert ([str(each.address) for each in chosen.objects], chosen.compared) == (["blocks.b"], 1)
    assert found(wants, has, exclude=("blocks.*",)).compared == 0
    assert found(wants, has).applied
    assert not found(wants, observed()).applied


def test_numbers() -> None:
    wants = manifest(wanted("blocks.a", value="x", limit=5), wanted("blocks.b", description="new"))
    has = observed(
        living("blocks.a", "block-1", {"value": "x", "limit": 5}, value="y", limit=6),
        living("blocks.b", "block-2", {"description": "old"}, description="old"),
    )
    found_ = found(wants, has)
    expected = {"compared": 2, "written_back": 1, "missing": 0, "kept": 1, "edited": 1, "unmanaged": 0}
    assert found_.summary == expected
    assert found_.pullable == {(at("blocks.a"), "value"), (at("blocks.a"), "limit")}
    assert found_.exit_code == 2


def test_values_that_agents_changed_alone_are_written_back_by_nobody() -> None:
    wants = manifest(wanted("blocks.a", value="x"))
    found_ = found(wants, observed(living("blocks.a", "block-1", {"value": "x"}, value="y")))
    assert (len(found_.objects), bool(found_), found_.exit_code) == (1, False, 0)


def test_a_secret_that_was_lost_is_drift_and_one_without_a_value_is_no_edit() -> None:
    def agent(live: Mapping[str, str]) -> ObjectDrift:
        want = wanted("agents.a", **AGENT, secrets={"KEY": Secret("var.key", "-", unset=True)})
        have = living("agents.a", "agent-1", AGENT, **AGENT, secrets=live)
        have = replace(have, mark=replace(have.mark, base={**have.mark.base, "secrets.KEY": "applied"}))
        wants = manifest(want)
        return classify(wants, difference(wants, observed(have))).get(at("agents.a"), ObjectDrift(at("a.b"), "agent"))

    assert classes(agent({})) == {"secrets.KEY": ("written_back", "drift")}
    assert agent({}).written_back[0].secret
    assert classes(agent({"KEY": "hunter22"})) == {}
