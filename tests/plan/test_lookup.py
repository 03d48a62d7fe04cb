"""One plan to the questions that all passes ask."""

from __future__ import annotations

import pytest

from lettaform.address import matches
from lettaform.model import Moved
from lettaform.plan.lookup import UNKNOWN
from lettaform.values import Ref, Template
from tests.plan.samples import HERE, at, living, lookup, manifest, observed, plan, short, wanted

ORG = wanted("blocks.org", value="x")
LIVE_ORG = living("blocks.org", "block-1", {"value": "x"}, value="x")


@pytest.mark.parametrize(
    ("address", "pattern", "fits"),
    [
        ("agents.ann", "agents.ann", True),
        ("agents.ann", "agents.*", True),
        ("agents.ann", "*", True),
        ("agents.anna", "agents.ann", False),
        ("agents.ann.memory.human", "agents.ann", True),
        ("agents.ann", "agents.ann.memory.human", False),
        ("agents.worker[emea]", "agents.worker[*]", True),
        ("agents.worker[emea]", "agents.worker[emea]", True),
        ("agents.e", "agents.[emea]", False),
        ("agents.worker[emea]", "agents.worker", True),
    ],
)
def test_a_pattern_matches_an_address_and_its_parts(address: str, pattern: str, fits: bool) -> None:
    assert matches(at(address), ("blocks.other", pattern)) is fits


def test_no_pattern_matches_nothing() -> None:
    assert not matches(at("agents.ann"), ())


def test_a_known_value_has_ids_in_place_of_references() -> None:
    look = lookup(manifest(ORG, wanted("blocks.new")), observed(LIVE_ORG))
    assert look.known([Ref(at("blocks.org"))]) == ["block-1"]
    assert look.known(Template(("see ", Ref(at("blocks.org"))))) == "see block-1"
    assert look.known({"a": Ref(at("blocks.new"))}) is UNKNOWN
    assert look.member(Ref(at("blocks.new"))) == Ref(at("blocks.new"))
    assert look.named(["block-1", "block-9"]) == [Ref(at("blocks.org")), "block-9"]


def test_what_is_replaced_does_not_exist() -> None:
    old = {"name": "Shop", "identity_type": "org", "project_id": "one"}
    wants = manifest(wanted("identities.shop", **{**old, "project_id": "two"}))
    look = lookup(wants, observed(living("identities.shop", "identity-1", old, **old)))
    assert not look.exists(at("identities.shop"))
    assert look.known(Ref(at("identities.shop"))) is UNKNOWN


@pytest.mark.parametrize(
    ("want", "live", "base", "label"),
    [
        ("org", "org", "org", "org"),
        ("team", "org", "org", "team"),
        ("org", "renamed", "org", "renamed"),
        ("team", "renamed", "org", "renamed"),
    ],
)
def test_the_label_of_a_block_is_the_one_that_it_has_after_the_plan(
    want: str, live: str, base: str, label: str
) -> None:
    block = living("blocks.org", "block-1", {"label": base}, label=live)
    look = lookup(manifest(wanted("blocks.org", label=want)), observed(block))
    assert look.label("block-1") == look.label(Ref(at("blocks.org"))) == label


def test_the_label_of_a_new_block_is_the_declared_one() -> None:
    assert lookup(manifest(wanted("blocks.org", label="o")), observed()).label(Ref(at("blocks.org"))) == "o"


def test_parts_and_detached_blocks_are_found_by_address() -> None:
    human = wanted("agents.ann.memory.human")
    left = living("agents.ann.memory.human", "block-2")
    look = lookup(manifest(wanted("agents.ann"), human), observed(detached={human.address: (left,)}))
    assert look.parts(at("agents.ann")) == [human]
    assert look.detached_block(human.address) is left
    assert look.detached_block(at("agents.ann.memory.other")) is None


def test_a_block_that_moved_with_its_agent_is_not_pruned() -> None:
    own = living("agents.old.memory.human", "block-2")
    entry = Moved(at("agents.old"), at("agents.new"), HERE)
    wants = manifest(wanted("agents.new"), wanted("agents.new.memory.human"), moved=(entry,))
    look = lookup(wants, observed(living("agents.old", "agent-1"), own), prune=True)
    assert not look.is_pruned(own)
    assert look.is_pruned(living("agents.new.memory.gone", "block-3"))


def test_the_number_of_prompts_to_compile_again() -> None:
    org, ann = LIVE_ORG, living("agents.ann", "agent-1")
    attached = {"agent-1": (org,), "agent-2": (org,)}
    look = lookup(manifest(), observed(org, ann, attached=attached))
    assert [look.recompiles(org, ["value"]), look.recompiles(org, ["tags"]), look.recompiles(ann, ["system"])] == [
        2,
        0,
        1,
    ]
    everybody = {"block-1": frozenset({"agent-1", "agent-2", "agent-9"})}
    assert lookup(manifest(), observed(org, attached=attached, users=everybody)).recompiles(org, ["value"]) == 3


def test_target_and_exclude_select_objects() -> None:
    wants = manifest(wanted("blocks.a", value="x"), wanted("blocks.b", value="x"), wanted("blocks.c", value="x"))
    assert [a for _, a, _ in short(plan(wants, observed(), target=("blocks.a", "blocks.b")))] == [
        "blocks.a",
        "blocks.b",
    ]
    assert [a for _, a, _ in short(plan(wants, observed(), exclude=("blocks.[ab]", "blocks.a")))] == [
        "blocks.b",
        "blocks.c",
    ]


def test_an_entry_of_a_field_of_another_object_is_known() -> None:
    live = living("agents.ann", "agent-1", model="m/m", metadata={"floor": 3})
    look = lookup(manifest(wanted("agents.ann", model="m/m")), observed(live))
    assert look.known(Ref(at("agents.ann"), "metadata.floor")) == 3
    assert look.known(Ref(at("agents.ann"), "metadata.door")) is None
