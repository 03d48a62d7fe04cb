"""Changes of what stands in compiled prompts are followed by calls to the agents and conversations that have it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.model import Call, Change, Live, Manifest, Observed, Plan, PlanOptions
from lettaform.plan import make
from lettaform.plan.prompts import LIMITS, Prompts, changes_prompt, recompile
from lettaform.plan.saved import dump, same
from lettaform.values import Item, Ref
from tests.plan.samples import at, difference, keys, living, lookup, manifest, observed, plan, short, wanted

ANN = Ref(at("agents.ann"))


def talk(id: str, agent: str = "agent-1") -> Live:
    """A conversation that somebody began."""
    return Live("conversation", id, "", {"agent": agent})


def world(*owned: Live, **words: Any) -> Observed:
    """An agent with a shared block, an own block and a declared conversation, and conversations that others began."""
    ann = living("agents.ann", "agent-1", {"system": "old"}, system="old", members={"blocks": ("block-1",)})
    ann = replace(
        ann, values={**ann.values, "blocks": ["block-1", "block-2"]}, mark=replace(ann.mark, parts={"diary": {}})
    )
    diary = living("agents.ann.memory.diary", "block-2", {"value": "old"}, value="old", label="diary")
    policies = living("blocks.policies", "block-1", {"value": "old"}, value="old")
    ticket = living("conversations.ticket", "conv-1", {"agent": "agent-1"}, agent="agent-1")
    ours = talk("conv-1")
    lives = {"agent-1": (policies, diary)}
    users = {"block-1": frozenset({"agent-1"}), "block-2": frozenset({"agent-1"})}
    words = {"attached": lives, "users": users, "owned": {"agent-1": (ours, *owned)}} | words
    return observed(ann, diary, policies, ticket, **words)


def declared(
    *,
    system: str = "old",
    value: str = "old",
    diary: str = "old",
    ticket: dict[str, Any] | None = None,
    recompile: Any = None,
) -> Manifest:
    ann = replace(wanted("agents.ann", system=system, blocks=[Ref(at("blocks.policies"))]), recompile=recompile)
    return manifest(
        wanted("blocks.policies", {"value": "enforce"}, value=value),
        ann,
        wanted("agents.ann.memory.diary", {"value": "enforce"}, value=diary, label="diary"),
        wanted("conversations.ticket", agent=ANN, **(ticket or {})),
    )


def calls(made: Plan) -> dict[str, Call]:
    return {step.key: step for step in sorted(made.steps, key=lambda step: step.key) if isinstance(step, Call)}


def change(made: Plan, address: str) -> Change:
    return next(each for each in made.changes if str(each.address) == address)


def test_nothing_is_called_where_no_prompt_changes() -> None:
    made = plan(declared(), world(talk("conv-2")))
    assert (short(made), calls(made)) == ([], {})


def test_a_changed_agent_is_recompiled_with_its_conversations() -> None:
    made = plan(declared(system="new"), world(talk("conv-2"), talk("conv-3")))
    assert short(made) == [("update", "agents.ann", ["system"]), ("update", "conversations.ticket", [])]
    assert change(made, "agents.ann").conversations == 2
    assert change(made, "conversations.ticket").reason == "the prompt of agents.ann changes"
    found = calls(made)
    assert [*found] == ["agents.ann!recompile", "agents.ann!recompile conversations", "conversations.ticket!recompile"]
    others = found["agents.ann!recompile conversations"]
    assert (others.owners, others.without) == (("agent-1",), ("conv-1",))
    assert all("agents.ann" in each.after for each in found.values())
    assert found["conversations.ticket!recompile"].id == "conv-1"


def test_an_agent_whose_only_conversation_is_declared_needs_no_list() -> None:
    made = plan(declared(system="new"), world())
    assert [*calls(made)] == ["agents.ann!recompile", "conversations.ticket!recompile"]
    assert change(made, "agents.ann").conversations == 0


def test_a_changed_shared_block_is_followed_by_the_conversations_of_its_users() -> None:
    made = plan(declared(value="new"), world(talk("conv-2")))
    assert short(made) == [("update", "blocks.policies", ["value"]), ("update", "conversations.ticket", [])]
    found = calls(made)
    # the server recompiles the agent with the block
    assert [*found] == ["blocks.policies!recompile conversations", "conversations.ticket!recompile"]
    assert found["blocks.policies!recompile conversations"].owners == ("agent-1",)
    assert (change(made, "blocks.policies").recompiles, change(made, "blocks.policies").conversations) == (1, 1)


def test_a_changed_own_block_is_followed_by_the_conversations_of_its_agent() -> None:
    made = plan(declared(diary="new"), world(talk("conv-2")))
    assert short(made)[0] == ("update", "agents.ann.memory.diary", ["value"])
    found = calls(made)
    assert [*found] == ["agents.ann!recompile conversations", "conversations.ticket!recompile"]
    assert all("agents.ann.memory.diary" in each.after for each in found.values())


def test_an_agent_and_its_block_that_change_together_recompile_each_conversation_once() -> None:
    made = plan(declared(system="new", value="new", diary="new"), world(talk("conv-2")))
    found = calls(made)
    assert [*found] == ["agents.ann!recompile", "agents.ann!recompile conversations", "conversations.ticket!recompile"]
    assert {"agents.ann", "blocks.policies", "agents.ann.memory.diary"} <= {
        *found["conversations.ticket!recompile"].after
    }


def test_the_state_knows_of_the_calls_before_anything_is_written() -> None:
    made = plan(declared(value="new"), world(talk("conv-2")))
    first = made.steps[0]
    assert keys(made)[0] == "save_state state-before"
    assert {str(a) for a in first.state.pending} == {"blocks.policies", "conversations.ticket"}  # type: ignore[union-attr]
    written = next(step for step in made.steps if step.key == "blocks.policies")
    assert "state-before" in written.after


@pytest.mark.parametrize("address", ["blocks.policies", "agents.ann", "conversations.ticket"])
def test_calls_of_an_interrupted_apply_are_made_by_the_next(address: str) -> None:
    has = world(talk("conv-2"))
    has = replace(has, state=replace(has.state, pending=frozenset({at(address)})))
    made = plan(declared(), has)
    assert "interrupted before" in change(made, address).reason
    assert any(key.startswith(f"{address}!recompile") for key in calls(made))


def test_a_call_that_no_longer_concerns_anybody_is_forgotten() -> None:
    has = replace(
        world(),
        objects={a: live for a, live in world().objects.items() if str(a) == "blocks.policies"},
        attached={},
        users={},
        owned={},
    )
    has = replace(
        has,
        state=replace(has.state, ids={at("blocks.policies"): "block-1"}, pending=frozenset({at("blocks.policies")})),
    )
    made = plan(manifest(wanted("blocks.policies", {"value": "enforce"}, value="old")), has)
    assert (calls(made), keys(made)) == ({}, ["save_state state"])
    assert made.steps[-1].state.pending == frozenset()  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("limit", "keys"),
    [
        (None, ["agents.ann!recompile", "agents.ann!recompile conversations", "conversations.ticket!recompile"]),
        ("agents", ["agents.ann!recompile"]),
        ("none", []),
    ],
)
def test_lifecycle_limits_what_is_recompiled_and_the_plan_says_so(limit: Any, keys: list[str]) -> None:
    made = plan(declared(system="new", recompile=limit), world(talk("conv-2")))
    assert [*calls(made)] == keys
    assert (LIMITS[limit] in change(made, "agents.ann").notes) if limit else not change(made, "agents.ann").notes


def test_a_limit_does_not_hide_that_the_server_recompiles_with_the_block() -> None:
    made = plan(declared(value="new", recompile="none"), world(talk("conv-2")))
    (note,) = change(made, "blocks.policies").notes
    assert note.startswith("agents.ann: lifecycle.recompile is `none`, but the server compiles its prompt again")
    assert calls(made) == {}


@pytest.mark.parametrize(("isolated", "called"), [(["policies"], False), (["diary"], True), ([], True)])
def test_a_conversation_with_its_own_copy_of_the_block_is_left_out(isolated: list[str], called: bool) -> None:
    wants, has = declared(value="new", ticket={"isolated": isolated}), world()
    live = has.objects[at("conversations.ticket")]
    has = replace(
        has, objects={**has.objects, live.address: replace(live, values={**live.values, "isolated": isolated})}
    )  # type: ignore[dict-item]
    assert ("conversations.ticket!recompile" in calls(plan(wants, has))) is called


def test_agents_of_others_are_named_and_not_called() -> None:
    has = world(users={"block-1": frozenset({"agent-1", "agent-8", "agent-9"})})
    made = plan(declared(value="new"), has)
    assert change(made, "blocks.policies").notes == (
        "the conversations of 2 agents outside this manifest keep their prompts",
    )
    assert [*calls(made)] == ["conversations.ticket!recompile"]


def folder(**changed: Any) -> tuple[Manifest, Observed]:
    """A folder that an agent of the stack, and one of others, has attached."""
    has = living("folders.handbook", "source-1", {"description": "old"}, description="old", files=[])
    ann = living("agents.ann", "agent-1", members={"folders": ("source-1",)}, folders=["source-1"])
    wants = manifest(
        wanted("folders.handbook", **{"description": "old", **changed}),
        wanted("agents.ann", folders=[Ref(at("folders.handbook"))]),
    )
    return wants, observed(
        has, ann, users={"source-1": frozenset({"agent-1", "agent-9"})}, owned={"agent-1": (talk("conv-2"),)}
    )


@pytest.mark.parametrize("changed", [{"description": "new"}, {"files": [Item("a 1 x", "a.md", {})]}])
def test_a_changed_folder_is_followed_by_its_agents_and_their_conversations(changed: Any) -> None:
    made = plan(*folder(**changed))
    found = calls(made)
    assert [*found] == ["folders.handbook!recompile", "folders.handbook!recompile conversations"]
    assert (found["folders.handbook!recompile"].users, change(made, "folders.handbook").recompiles) == (("agent-1",), 1)
    assert (
        "the prompts of 1 agent outside this manifest are not compiled again" in change(made, "folders.handbook").notes
    )


def test_what_stands_in_no_prompt_is_followed_by_nothing() -> None:
    assert calls(plan(*folder(metadata={"a": "b"}))) == {}


def test_a_deleted_own_block_is_followed_by_its_agent() -> None:
    # 0.16.8 does not recompile an agent when a block of it is deleted
    wants = declared()
    wants = replace(wants, objects={a: d for a, d in wants.objects.items() if a != at("agents.ann.memory.diary")})
    made = plan(wants, world(talk("conv-2")), prune=True)
    assert ("delete", "agents.ann.memory.diary", []) in short(made)
    found = calls(made)
    assert [*found] == ["agents.ann!recompile", "agents.ann!recompile conversations", "conversations.ticket!recompile"]
    assert all("-agents.ann.memory.diary" in each.after for each in found.values())


def test_a_new_conversation_begins_after_the_prompt_of_its_agent_has_changed() -> None:
    has = world()
    has = replace(
        has, objects={a: live for a, live in has.objects.items() if a != at("conversations.ticket")}, owned={}
    )
    made = plan(declared(value="new", diary="new"), has)
    created = next(step for step in made.steps if str(step.address) == "conversations.ticket")
    assert {"blocks.policies", "agents.ann.memory.diary"} <= {*created.after_end}


@pytest.mark.parametrize("options", [{"exclude": ("conversations.ticket",)}, {"target": ("agents.ann",)}])
def test_a_declared_conversation_that_is_not_selected_is_called_like_the_others(options: Any) -> None:
    made = plan(declared(system="new"), world(), **options)
    others = calls(made)["agents.ann!recompile conversations"]
    assert (others.without, change(made, "agents.ann").conversations) == ((), 1)


def test_a_conversation_that_begins_after_the_plan_does_not_make_it_stale() -> None:
    one, other = (make(declared(system="new"), world(*more), PlanOptions()) for more in ((), (talk("conv-2"),)))
    assert (same(one, other), same(other, one)) == (True, True)
    assert dump(one)["steps"] != dump(other)["steps"]


def test_a_server_that_cannot_recompile_conversations_is_not_asked_to() -> None:
    has = world(talk("conv-2"))
    able = replace(has.capabilities, calls={"agent": has.capabilities.calls["agent"]})
    has = replace(has, capabilities=able)
    assert [*calls(plan(declared(system="new"), has))] == ["agents.ann!recompile"]
    assert difference(declared(system="new"), has).owners == {}


def test_the_plan_asks_for_the_conversations_of_the_agents_whose_prompts_change() -> None:
    assert difference(declared(system="new"), world()).owners == {"conversation": ("agent-1",)}
    assert difference(declared(), world()).owners == {}
    assert difference(declared(system="new", recompile="agents"), world()).owners == {}


def test_each_agent_of_the_stack_has_one_place_where_it_is_called() -> None:
    look = lookup(declared(value="new", diary="new"), world(talk("conv-2")))
    resources = difference(declared(value="new", diary="new"), world(talk("conv-2"))).resources
    changed = [replace(each, calls=(), waits=()) for each in resources if each.change.fields_changed]
    prompts = Prompts(look, changed)
    assert prompts.target("agent-1") == at("agents.ann")
    waits = {str(address) for address in prompts.waits(["agent-1"])}
    assert waits == {"agents.ann", "blocks.policies", "agents.ann.memory.diary"}
    assert all(changes_prompt(look, each) for each in changed)
    called = [str(call.key) for each in recompile(prompts) for call in each.calls]
    assert sorted(called) == ["agents.ann!recompile conversations", "conversations.ticket!recompile"]


@pytest.mark.parametrize("blocks", [["blocks.policies", "blocks.new"], ["blocks.policies"]])
def test_an_attached_block_is_followed_by_what_was_created_along_with_the_agent(blocks: list[str]) -> None:
    ann = living("agents.ann", "agent-1", blocks=["block-1"], members={"blocks": ("block-1",)})
    along = living("agents.ann-sleeptime", "agent-2", blocks=["block-1"])
    lives = [living("blocks.policies", "block-1"), living("blocks.new", "block-2")]
    has = observed(ann, along, *lives, attached={"agent-1": (lives[0],), "agent-2": (lives[0],)})
    sleeping = replace(wanted("agents.ann-sleeptime"), created_with=at("agents.ann"))
    mine = wanted("agents.ann", blocks=[Ref(at(each)) for each in blocks])
    made = calls(plan(manifest(mine, sleeping, wanted("blocks.policies"), wanted("blocks.new")), has))
    call = made.get("agents.ann-sleeptime!recompile")
    assert (call is not None) is (len(blocks) == 2)
    assert call is None or "agents.ann+blocks:block-2" in call.after or "agents.ann+blocks:blocks.new" in call.after
