"""A declared object that does not exist to how it is created, with its parts and the blocks that it takes over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import PlanError
from lettaform.model import APPLIED, Create, External, Live
from lettaform.plan.changes import ResourceChange
from lettaform.plan.create import create, discover, initial_mark
from lettaform.values import Digest, Item, Patch, Ref, Secret, Template, digest
from tests.plan.samples import at, difference, living, lookup, manifest, observed, plan, wanted

MODEL = {"model": "m/m"}


def test_an_agent_is_created_with_its_own_blocks() -> None:
    ann, human = wanted("agents.ann", **MODEL), wanted("agents.ann.memory.human", value="h")
    agent, block = create(lookup(manifest(ann, human), observed()), ann)
    assert (agent.change.action, agent.fields, agent.reused) == ("create", {"name": "ann", **MODEL}, {})
    assert agent.mark is not None
    assert agent.mark.parts == {"human": {"label": digest("human"), "value": digest("h")}}
    # the request for the agent contains the block: nothing is written on its own
    assert (block.change.action, block.mark, block.fields) == ("create", None, {})


def test_null_is_left_out_except_for_what_has_an_empty_text() -> None:
    ann = wanted("agents.ann", **MODEL, system=None, max_tokens=None)
    fields = {"name": "ann", "system": "", "max_tokens": None, **MODEL}  # the server has a default of its own for it
    (change,) = create(lookup(manifest(ann), observed()), ann)
    assert change.fields == fields
    assert ("max_tokens", None) in [(each.path, each.new) for each in change.change.fields_changed]
    # a null removes an entry of a map, and there is none yet; in a map that the server merges it is a value
    maps = {"metadata": {"a": 1, "b": None}, "secrets": {"K": None}, "compaction_settings": {"clip_chars": None}}
    ann = wanted("agents.ann", **MODEL, **maps)
    fields = create(lookup(manifest(ann), observed()), ann)[0].fields
    assert (fields["metadata"], fields["secrets"]) == ({"a": 1}, {})
    assert fields["compaction_settings"] == {"clip_chars": None}


def test_an_empty_map_is_no_declared_value() -> None:
    for address in ("agents.ann", "blocks.org", "folders.docs"):
        new = wanted(address, metadata={})
        mark = initial_mark(lookup(manifest(new), observed()), new)
        live = replace(living(address, "id"), mark=mark)
        assert not difference(manifest(new), observed(live)).resources, "the mark is written again"


def test_members_that_the_request_cannot_contain_are_attached_afterwards() -> None:
    file = Item("1", "a.md")
    folder, ann = (
        wanted("folders.f", embedding="e/e", files=[file]),
        wanted("agents.ann", **MODEL, archive=Ref(at("archives.a"))),
    )
    look = lookup(manifest(folder, ann, wanted("archives.a")), observed())
    assert create(look, folder)[0].attach == (("files", file),)
    assert create(look, ann)[0].attach == (("archive", Ref(at("archives.a"))),)


def test_a_detached_block_is_reused_and_its_memory_kept() -> None:
    ann, human = wanted("agents.ann", **MODEL), wanted("agents.ann.memory.human", value="seed")
    left = living("agents.ann.memory.human", "block-2", value="learnt")
    found = create(lookup(manifest(ann, human), observed(detached={human.address: (left,)})), ann)
    agent, block = (each for each in found if isinstance(each, ResourceChange))
    assert agent.reused == {"human": "block-2"}
    assert (block.change.action, block.change.reason, block.live) == ("adopt", "re-attached", left)
    assert block.change.notes == ("its memory differs from the manifest's value and is kept",)


def test_others_refer_to_the_detached_block_that_a_new_agent_gets() -> None:
    # regression: a restore that was cancelled between an own block and its agent was refused: the block "is left out"
    human = Ref(at("agents.ann.memory.human"))
    declared = [wanted("agents.ann", **MODEL), wanted("agents.ann.memory.human", value="seed")]
    bob = wanted("agents.bob", **MODEL, blocks=[human], description=Template(("it is ", human)))
    left = living("agents.ann.memory.human", "block-2", value="learnt")
    wants, has = manifest(*declared, bob), observed(detached={human.address: (left,)})
    made = plan(wants, has)
    fields = {str(step.address): step.fields for step in made.steps if isinstance(step, Create)}
    assert fields["agents.bob"]["blocks"] == ["block-2"]
    assert fields["agents.bob"]["description"] == "it is block-2"
    # as well where the agent exists: then it gets the block again, or had detached it and keeps it so
    ann = living("agents.ann", "agent-1", **MODEL)
    made = plan(wants, observed(ann, detached={human.address: (left,)}))
    assert [step.fields["blocks"] for step in made.steps if isinstance(step, Create)] == [["block-2"]]
    # others do not get it before there is its agent
    with pytest.raises(PlanError) as error:
        plan(wants, has, target=("agents.bob",))
    assert [each.message for each in error.value.problems] == [
        "agents.bob needs agents.ann.memory.human, which does not exist and is left out of this plan"
    ]


def replaced(*blocks: Live, **options: Any) -> dict[str, Any]:
    """What a replaced agent's successor is created with: own block `human`, shared block `org`."""
    old = living("agents.ann", "agent-1", {"agent_type": "memgpt_agent"}, agent_type="memgpt_agent", model="m/m")
    org = living("blocks.org", "block-1")
    ann = wanted("agents.ann", **MODEL, agent_type="letta_v1_agent", blocks=[Ref(at("blocks.org"))])
    wants = manifest(ann, wanted("agents.ann.memory.human"), wanted("blocks.org"))
    own = living("agents.ann.memory.human", "block-2")
    has = observed(old, own, org, attached={"agent-1": (own, org, *blocks)})
    found = difference(wants, has, allow_destroy=("*",), **options)
    return dict(next(each for each in found.resources if each.change.kind == "agent").reused)


def test_every_block_of_a_replaced_agent_is_carried_over() -> None:
    made_by_agent = Live("block", "block-3", "notes", {"label": "notes"})
    assert replaced(made_by_agent) == {"human": "block-2", "notes block-3": "block-3"}


def test_a_block_is_not_carried_over_if_its_label_is_declared() -> None:
    assert replaced(Live("block", "block-3", "org", {"label": "org"})) == {"human": "block-2"}


def test_a_block_is_not_carried_over_if_it_is_pruned() -> None:
    gone = living("agents.ann.memory.gone", "block-3")
    assert replaced(gone) == {"human": "block-2", "gone block-3": "block-3"}
    assert replaced(gone, prune=True) == {"human": "block-2"}


def test_blocks_of_a_replacement_that_was_interrupted_are_carried_over() -> None:
    ann = wanted("agents.ann", **MODEL)
    has = observed(carried_over={at("agents.ann"): (Live("block", "block-3", "notes", {"label": "notes"}),)})
    assert create(lookup(manifest(ann), has), ann)[0].reused == {"notes block-3": "block-3"}


def test_the_first_mark_holds_digests_and_members() -> None:
    look = lookup(manifest(wanted("blocks.org")), observed(living("blocks.org", "block-1")))
    system = [Ref(at("blocks.new"))]
    values: dict[str, Any] = {"metadata": {"a": 1}, "tags": ["t"], "blocks": [Ref(at("blocks.org"))], "secrets": {}}
    mark = initial_mark(look, wanted("agents.ann", **values, system=system, include_base_tools=True))
    only_now = {"include_base_tools": digest(True)}
    assert mark.base == {"name": digest("ann"), "metadata.a": digest(1), "system": Digest(system), **only_now}
    assert mark.members == {"tags": ("t",), "blocks": ("block-1",)}


def test_the_name_that_the_server_derives_is_shown_and_not_sent() -> None:
    tool = wanted("tools.t", name="the_function", source="s")
    (created,) = create(lookup(manifest(tool), observed()), tool)
    assert {each.path: each.new for each in created.change.fields_changed} == {"name": "the_function", "source": "s"}
    assert created.fields == {"source": "s"}


def test_a_tool_of_an_mcp_server_is_discovered_there() -> None:
    tool = replace(wanted("tools.say"), external=External(name="say", offered_by=at("mcp_servers.echo")), values={})
    look = lookup(manifest(wanted("mcp_servers.echo", type="stdio", command="x"), tool), observed())
    (found,) = discover(look, tool)
    assert (found.change.action, found.discover) == ("create", ("say", Ref(at("mcp_servers.echo"))))
    assert found.change.notes == ("created along with mcp_servers.echo",)


def test_what_the_server_creates_along_with_an_agent_gets_the_declared_values() -> None:
    created_with = {"created_with": at("agents.ann")}
    second = replace(
        wanted("agents.ann-sleeptime", name="ann-sleeptime", tags=["t"], tools=[Ref(at("tools.t"))]), **created_with
    )
    part = wanted("agents.ann-sleeptime.memory.memory_persona", value="seed")
    before = living("agents.ann-sleeptime.memory.memory_persona", "block-2", value="learnt")
    wants = manifest(wanted("agents.ann", **MODEL), second, part, wanted("tools.t", source="s"))
    agent, block = discover(lookup(wants, observed(detached={part.address: (before,)})), second)
    assert agent.fields == {"name": "ann-sleeptime", "tags": Patch(("t",))}
    assert agent.attach == (("tools", Ref(at("tools.t"))),)
    assert agent.discover == ("", Ref(at("agents.ann")))
    # without a block before it, the new one gets what is wanted; otherwise the memory of that one
    _, new = discover(lookup(wants, observed()), second)
    assert (new.change.action, new.fields) == ("create", {"value": "seed"})
    assert [each.path for each in new.change.fields_changed] == ["value"]
    assert (block.change.action, block.fields) == ("replace", {"value": "learnt"})
    assert block.discover == ("memory_persona", Ref(second.address))


def test_a_companion_loses_what_the_server_gives_it_if_its_list_is_exact() -> None:
    human = wanted("agents.ann.memory.human", value="h")
    team, notes = (wanted(f"blocks.{key}", value="x") for key in ("team", "notes"))
    ann = wanted("agents.ann", **MODEL, blocks=[Ref(team.address), Ref(notes.address)])
    second = replace(wanted("agents.ann-sleeptime", blocks=[Ref(team.address)]), created_with=ann.address)
    known = observed(living("blocks.notes", "block-n", value="x"))
    (additive,) = discover(lookup(manifest(ann, human, team, notes, second), known), second)
    assert (additive.attach, additive.detach) == ((("blocks", Ref(team.address)),), ())
    exact = replace(second, policies={"blocks": "enforce"})
    (found,) = discover(lookup(manifest(ann, human, team, notes, exact), known), exact)
    assert found.attach == (("blocks", Ref(team.address)),)
    assert {*found.detach} == {("blocks", Ref(human.address)), ("blocks", "block-n")}


def test_a_companion_loses_the_tools_of_its_type_that_its_exact_list_does_not_have() -> None:
    # regression: a restore brought back a tool that had been detached before the snapshot
    rethink = Live("tool", "tool-0", "memory_rethink", {})
    kept = replace(wanted("tools.memory_insert"), external=External(id="tool-1"), values={})
    insert = Live("tool", "tool-1", "memory_insert", {}, kept.address)
    values = {"agent_type": "sleeptime_agent", "tools": [Ref(kept.address)]}
    second = replace(wanted("agents.ann-sleeptime", {"tools": "enforce"}, **values), created_with=at("agents.ann"))
    known = observed(insert, foreign={("tool", "memory_rethink"): rethink})
    (found,) = discover(lookup(manifest(wanted("agents.ann", **MODEL), kept, second), known), second)
    assert (found.attach, found.detach) == ((("tools", "tool-1"),), (("tools", "tool-0"),))


def test_a_block_of_a_companion_gets_all_that_is_wanted_and_keeps_what_was_learnt() -> None:
    second = replace(wanted("agents.ann-sleeptime"), created_with=at("agents.ann"))
    part = wanted("agents.ann-sleeptime.memory.memory_persona", value="seed", limit=900)
    before = living("agents.ann-sleeptime.memory.memory_persona", "block-2", value="learnt")
    for policies, value in (({}, "learnt"), ({"value": "enforce"}, "seed")):
        wants = manifest(wanted("agents.ann", **MODEL), second, replace(part, policies=policies))
        _, block = discover(lookup(wants, observed(detached={part.address: (before,)})), second)
        assert block.fields == {"value": value, "limit": 900}


def test_the_mark_says_which_secrets_were_applied_and_holds_no_digest_of_them() -> None:
    secrets = {"K": Secret("${env.K}", "s3cret"), "NONE": None}
    ann, provider = (
        wanted("agents.ann", **MODEL, secrets=secrets),
        wanted("providers.p", api_key=Secret("${env.P}", "s3cret")),
    )
    look = lookup(manifest(ann, provider), observed())
    assert {p: b for p, b in initial_mark(look, ann).base.items() if p.startswith("secrets")} == {"secrets.K": APPLIED}
    assert initial_mark(look, provider).base["api_key"] == APPLIED
