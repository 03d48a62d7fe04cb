"""The status of each object: classes of drift, what agents changed, memory, users, and what is not declared."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.model import APPLIED, Change, FieldChange, Live, Manifest, Observed, PlanOptions
from lettaform.plan.status import Memory, ObjectStatus, StackStatus, Status, StatusOptions, status, status_of
from lettaform.values import Ref, Secret

from .samples import at, difference, living, manifest, observed, plan, wanted


def found(wants: Manifest, has: Observed) -> StackStatus:
    return status(wants, difference(wants, has))


def one(wants: Manifest, has: Observed, address: str) -> ObjectStatus:
    (each,) = [each for each in found(wants, has).objects if str(each.address) == address]
    return each


def change(action: Any, *reasons: Any, **words: Any) -> Change:
    fields = tuple(FieldChange(f"f{number}", 1, 2, reason=reason) for number, reason in enumerate(reasons))
    return Change(at("agents.a"), "agent", action, fields_changed=fields, **words)


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        (change("create", "manifest"), "missing"),
        (change("update", "manifest"), "outdated"),
        (change("update", "undeclared"), "outdated"),
        (change("update", "merge"), "outdated"),
        (change("update", recompiles=1), "stale"),
        (change("update", conversations=1), "stale"),
        (change("update", "manifest", recompiles=1), "outdated"),
        (change("update"), "outdated"),
        (change("replace", "manifest"), "outdated"),
        (change("adopt", "manifest"), "unowned"),
        (change("mark"), "unmarked"),
        (change("delete", id="agent-1"), "removed"),
        (change("forget", id="agent-1", place=wanted("agents.a").place), "removed"),
        (change("forget", id="agent-1"), "gone"),
    ],
)
def test_what_a_planned_change_says_about_its_object(planned: Change, expected: Status) -> None:
    assert status_of(planned) == expected


@pytest.mark.parametrize("action", ["update", "replace"])
def test_an_object_of_which_something_changed_outside_is_drifted(action: Any) -> None:
    assert status_of(change(action, "manifest", "drift"), ("f1",)) == "drifted"


BLOCK: dict[str, Any] = {"value": "Nobody.", "limit": 100}


@pytest.mark.parametrize(
    ("want", "live", "base", "expected", "drifted", "changed", "kept", "seeds"),
    [
        ({}, {}, {}, "ok", (), (), (), ()),
        ({}, {"limit": 200}, {}, "drifted", ("limit",), (), (), ()),
        ({"limit": 300}, {}, {}, "outdated", (), ("limit",), (), ()),
        ({"limit": 300}, {"limit": 200}, {}, "drifted", ("limit",), (), (), ()),
        ({}, {"value": "Ada."}, {}, "ok", (), (), ("value",), ()),
        ({"value": "Bob."}, {}, {}, "ok", (), (), (), ("value",)),
        ({"value": "Bob."}, {"value": "Ada."}, {}, "ok", (), (), ("value",), ()),
        ({}, {"value": "Ada.", "limit": 1}, {}, "drifted", ("limit",), (), ("value",), ()),
    ],
)
def test_the_fields_of_an_object(
    want: Any, live: Any, base: Any, expected: str, drifted: Any, changed: Any, kept: Any, seeds: Any
) -> None:
    declared = manifest(wanted("blocks.b", **{**BLOCK, **want}))
    has = observed(living("blocks.b", "block-1", {**BLOCK, **base}, **{**BLOCK, **live}))
    each = one(declared, has, "blocks.b")
    assert (each.status, each.drifted, each.changed, each.kept, each.seeds) == (
        expected,
        drifted,
        changed,
        kept,
        seeds,
    )


def test_a_text_that_cannot_be_merged_is_a_conflict() -> None:
    declared = manifest(wanted("blocks.b", {"value": "merge"}, value="mine", limit=9))
    has = observed(living("blocks.b", "block-1", {"value": "old", "limit": 9}, value="theirs", limit=9))
    each = one(declared, has, "blocks.b")
    assert (each.status, each.kept) == ("conflict", ())


def fleet() -> tuple[Manifest, Observed]:
    """An agent with an own and a shared block, a missing agent, an undeclared block, and an external tool."""
    own = living("agents.a.memory.m", "block-1", {"value": "Ann"}, value="Ann", limit=10)
    shared = living("blocks.org", "block-2", {"value": "x" * 19}, value="x" * 19, limit=20, tags=["core"])
    old = living("blocks.old", "block-3", value="", limit=5)
    tool = Live("tool", "tool-1", "web_search", {"name": "web_search", "tags": ["builtin"]}, at("tools.web"))
    parts = {"m": {}}
    agent = living(
        "agents.a", "agent-1", {"model": "p/m"}, model="p/m", blocks=["block-1", "block-2"], tools=["tool-1"],
        tags=["lead"], parts=parts, members={"blocks": ("block-2",), "tools": ("tool-1",)},
    )  # fmt: skip
    wants = manifest(
        wanted("agents.a", model="p/m", blocks=[Ref(at("blocks.org"))], tools=[Ref(at("tools.web"))]),
        wanted("agents.a.memory.m", value="Ann"),
        wanted("agents.b", model="p/n", name="Bob", tags=["new"]),
        wanted("agents.b.memory.m", value="Ann"),
        wanted("blocks.org", value="x" * 19),
    )
    external = replace(wanted("tools.web"), values={}, external=_external("web_search"))
    wants = replace(wants, objects={**wants.objects, external.address: external})
    has = observed(agent, own, shared, old, tool, attached={"agent-1": (own, shared)})
    return wants, has


def _external(name: str) -> Any:
    from lettaform.model import External

    return External(name=name)


def test_the_objects_of_a_stack_by_kind_and_address() -> None:
    wants, has = fleet()
    shown = found(wants, has)
    assert [(str(each.address), each.status) for each in shown.objects] == [
        ("agents.a", "ok"),
        ("agents.b", "missing"),
        ("agents.a.memory.m", "ok"),
        ("agents.b.memory.m", "missing"),
        ("blocks.old", "undeclared"),
        ("blocks.org", "ok"),
        ("tools.web", "external"),
    ]
    assert (shown.total, shown.count) == (6, 6)
    assert shown.counts["ok"] == plan(wants, has).unchanged == 3
    assert shown.counts["missing"] == plan(wants, has).count("create") == 2
    assert sum(shown.counts.values()) == 7


def test_an_agent_has_the_memory_of_all_blocks_that_are_attached_to_it() -> None:
    agent = one(*fleet(), "agents.a")
    assert agent.memory == Memory(22, 30)
    assert agent.fullest == ("org", Memory(19, 20))
    assert agent.memory.share == pytest.approx(22 / 30)
    assert (agent.members["blocks"], agent.members["tools"], agent.model) == (2, 1, "p/m")
    assert Memory().share == 0


def test_the_number_of_agents_that_use_an_object() -> None:
    assert one(*fleet(), "blocks.org").users == 1
    assert one(*fleet(), "blocks.old").users == 0
    assert one(*fleet(), "tools.web").users == 1
    assert one(*fleet(), "agents.a").users is None


def test_what_is_missing_is_known_from_its_declaration() -> None:
    missing = one(*fleet(), "agents.b")
    assert (missing.id, missing.name, missing.model, missing.tags) == (None, "Bob", "p/n", ("new",))
    assert (missing.memory, missing.changed, missing.action) == (None, (), "create")
    assert missing.place == wanted("agents.b").place


def test_an_undeclared_object_says_why_it_stays() -> None:
    old = one(*fleet(), "blocks.old")
    assert (old.action, old.id, old.memory) == (None, "block-3", Memory(0, 5))
    assert "no longer declared" in old.reason


def test_duplicates_orphans_and_what_is_gone() -> None:
    wants = manifest(wanted("agents.a"))
    copy = replace(living("agents.a", "agent-2"), address=at("agents.a"))
    loose = living("agents.a.memory.m", "block-1", value="x", limit=5)
    elsewhere = living("agents.a.memory.n", "block-2", value="x", limit=5)
    has = observed(
        living("agents.a", "agent-1"),
        duplicates=(copy,),
        detached={at("agents.a.memory.m"): (loose,)},
        held_elsewhere={at("agents.a.memory.n"): (elsewhere,)},
    )
    has = replace(has, state=replace(has.state, ids={**has.state.ids, at("blocks.lost"): "block-9"}))
    assert {(each.id, each.status) for each in found(wants, has).objects} == {
        ("agent-1", "ok"),
        ("agent-2", "duplicate"),
        ("block-1", "orphaned"),
        ("block-2", "orphaned"),
        ("block-9", "gone"),
    }


def names(shown: StackStatus) -> list[str]:
    return [str(each.address) for each in shown.objects]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (StatusOptions(), 7),
        (StatusOptions(("agents.a",)), ["agents.a", "agents.a.memory.m"]),
        (StatusOptions(("blocks.*", "tools.web")), ["blocks.old", "blocks.org", "tools.web"]),
        (StatusOptions(tags=("core",)), ["blocks.org"]),
        (StatusOptions(tags=("lead", "core")), ["agents.a", "agents.a.memory.m", "blocks.org"]),
        (StatusOptions(tags=("new",)), ["agents.b", "agents.b.memory.m"]),
        (StatusOptions(("blocks.*",), ("core",)), ["blocks.org"]),
        (StatusOptions(("agents.*",), ("core",)), []),
        (StatusOptions(tags=("none",)), []),
    ],
)
def test_a_selection(options: StatusOptions, expected: Any) -> None:
    chosen = found(*fleet()).select(options)
    assert (len(chosen.objects) if isinstance(expected, int) else names(chosen)) == expected
    assert chosen.total == 6


def test_a_secret_without_a_value_is_not_compared() -> None:
    unset = Secret("${var.key}", "unset", unset=True)
    wants = manifest(wanted("agents.a", secrets={"KEY": unset}))
    agent = living("agents.a", "agent-1", secrets={"KEY": "hunter2"})
    has = observed(replace(agent, mark=replace(agent.mark, base={**agent.mark.base, "secrets.KEY": APPLIED})))
    assert not plan(wants, has)
    shown = found(wants, has)
    assert [each.status for each in shown.objects] == ["ok"]
    (warning,) = shown.warnings
    assert warning.message == "${var.key}: without a value here, and therefore not compared"
    assert "hunter2" not in repr(shown)


def test_a_secret_with_a_value_is_compared() -> None:
    wants = manifest(wanted("agents.a", secrets={"KEY": Secret("${var.key}", "new")}))
    has = observed(living("agents.a", "agent-1", {"secrets.KEY": "applied"}, secrets={"KEY": "old"}))
    (each,) = found(wants, has).objects
    assert (each.status, each.changed or each.drifted) == (status_of(_change(wants, has)), ("secrets.KEY",))
    assert found(wants, has).warnings == ()


def _change(wants: Manifest, has: Observed) -> Change:
    return plan(wants, has, **vars(PlanOptions())).changes[0]


def test_addresses_of_one_kind_are_sorted_as_text() -> None:
    wants = manifest(*(wanted(f"blocks.b{number}") for number in (3, 1, 2)))
    assert names(found(wants, observed())) == ["blocks.b1", "blocks.b2", "blocks.b3"]
    assert found(manifest(), observed()).objects == ()
    assert isinstance(found(wants, observed()).objects[0].address, Address)
