"""The tables in which a plan looks things up."""

from __future__ import annotations

from dataclasses import replace

from lettaform.errors import Place
from lettaform.model import Removed
from lettaform.plan.tables import Tables
from lettaform.values import Ref
from tests.plan.samples import at, living, manifest, observed, wanted

BLOCK = living("blocks.b", "block-1")
ANN = living("agents.ann", "agent-1", members={"blocks": ("block-1",)})
TOOL = living("tools.t", "tool-1")
AGENT = wanted("agents.ann", model="m/m", blocks=[Ref(at("blocks.b"))])
HUMAN = wanted("agents.ann.memory.human", value="h")
WANTS = manifest(AGENT, HUMAN, wanted("blocks.b"))
HAS = observed(BLOCK, ANN, TOOL, attached={"agent-1": (BLOCK,), "agent-2": (BLOCK,)})


def test_what_was_observed_by_id() -> None:
    tables = Tables(WANTS, HAS)
    assert tables.addresses == {"block-1": at("blocks.b"), "agent-1": at("agents.ann"), "tool-1": at("tools.t")}
    assert tables.attached_to["block-1"] == {"agent-1", "agent-2"}
    assert tables.attached_by_us == {"block-1": {"agent-1"}}
    assert tables.referrers == {at("blocks.b"): {"agent-1"}}


def test_parts_of_a_declared_object() -> None:
    assert Tables(WANTS, HAS).parts == {at("agents.ann"): [HUMAN]}


def test_objects_with_a_unique_name_whoever_owns_them() -> None:
    other = replace(TOOL, id="tool-2", name="other", address=None, stack=None)
    tables = Tables(WANTS, observed(TOOL, BLOCK, foreign={("tool", "other"): other}))
    assert tables.unique_ids == {("tool", "t"): "tool-1", ("tool", "other"): "tool-2"}
    assert tables.holders == {("tool", "t"): [at("tools.t")]}


def test_entries_of_removed_objects() -> None:
    entry = Removed(at("agents.old"), destroy=True, place=Place("lettaform.yaml", 1, 1))
    found = Tables(manifest(removed=(entry,)), observed()).removed
    assert found[at("agents.old")] is entry
    assert set(found.values()) == {entry}


def test_what_was_created_along_with_an_object() -> None:
    boss, second = living("agents.boss", "agent-1"), at("agents.boss-sleeptime")
    assert Tables(manifest(), observed(boss)).created_along[second] == at("agents.boss")
    declared = wanted("agents.boss-sleeptime")
    along = replace(declared, created_with=at("agents.boss"))
    assert Tables(manifest(along), observed(boss)).created_along[second] == at("agents.boss")
    # an agent that is declared by itself only has the same name
    assert second not in Tables(manifest(declared), observed(boss)).created_along
