"""A manifest and a observed to a plan: what is shown, and in which order it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import Guarded
from lettaform.model import Live, Moved, Plan, Removed
from lettaform.values import Ref, Template, digest
from tests.plan.samples import HERE, at, keys, living, manifest, observed, plan, short, wanted

ORG = wanted("blocks.org", value="x")
LIVE_ORG = living("blocks.org", "block-1", {"value": "x"}, value="x")
MODEL = {"model": "letta/letta-free"}


def test_what_is_as_declared_is_no_change() -> None:
    assert not plan(manifest(ORG), observed(LIVE_ORG)).steps


def test_an_agent_is_created_with_its_blocks_in_one_step_after_what_it_refers_to() -> None:
    agent = wanted(
        "agents.a", **MODEL, blocks=[Ref(at("blocks.org"))], system=Template(("see ", Ref(at("blocks.org"))))
    )
    made = plan(manifest(agent, wanted("agents.a.memory.human", value="h"), ORG), observed())
    assert keys(made) == ["create blocks.org", "create agents.a", "save_state state"]
    create = made.steps[1]
    assert create.after == ("blocks.org",)
    assert create.parts == {"human": {"label": "human", "value": "h"}}
    assert create.mark is not None
    assert create.mark.parts == {"human": {"label": digest("human"), "value": digest("h")}}
    assert short(made)[1:] == [
        ("create", "agents.a.memory.human", ["label", "value"]),
        ("create", "blocks.org", ["label", "value"]),
    ]


def test_a_plan_says_who_shares_what() -> None:
    agents = [
        wanted(f"agents.{key}", **MODEL, blocks=[Ref(at("blocks.org"))], tools=[Ref(at("tools.t"))]) for key in "ab"
    ]
    archive = replace(agents[1], values={**agents[1].values, "archive": Ref(at("archives.x"))})
    made = plan(
        manifest(
            agents[0],
            archive,
            ORG,
            wanted("archives.x", name="x"),
            wanted("tools.t", source='def t() -> str:\n    """T."""\n    return ""\n'),
        ),
        observed(),
    )
    assert made.shared == {
        at("archives.x"): (at("agents.b"),),
        at("blocks.org"): (at("agents.a"), at("agents.b")),
    }


def test_an_exact_list_spares_what_the_server_puts_there_by_itself() -> None:
    theirs = {("tool", name): living(f"tools.{name}", f"tool-{name}") for name in ("open_files", "whistle")}
    has = {"tools": ["tool-open_files", "tool-whistle"], "folders": ["source-1"]}
    agent = wanted("agents.a", {"tools": "enforce"}, tools=[])
    made = plan(manifest(agent), observed(living("agents.a", "agent-1", **has), foreign=theirs))
    assert [(s.field, s.member) for s in made.steps if s.op == "detach"] == [("tools", "tool-whistle")]
    has["folders"] = []  # without a folder it is not the server that wants it there
    made = plan(manifest(agent), observed(living("agents.a", "agent-1", **has), foreign=theirs))
    assert len([step for step in made.steps if step.op == "detach"]) == 2


def test_a_fixed_field_needs_consent_and_takes_every_block_along() -> None:
    live = living(
        "agents.a", "agent-1", {"agent_type": "letta_v1_agent"}, agent_type="letta_v1_agent", parts={"human": {}}
    )
    own = living("agents.a.memory.human", "block-2", {"value": "h"}, value="h")
    made_by_agent = Live("block", "block-3", "notes", {"label": "notes"})
    has = observed(live, own, attached={"agent-1": (own, made_by_agent)})
    wants = manifest(
        wanted("agents.a", **MODEL, agent_type="memgpt_v2_agent"), wanted("agents.a.memory.human", value="h")
    )
    with pytest.raises(Guarded) as refused:
        plan(wants, has)
    assert "--allow-destroy 'agents.a'" in str(refused.value.hint)
    made = plan(wants, has, allow_destroy=("agents.a",))
    assert keys(made) == ["save_state state-before", "delete -agents.a", "create agents.a", "save_state state"]
    assert made.steps[2].fields["blocks"] == ["block-2", "block-3"]
    assert made.steps[2].parts == {}


def test_links_wait_for_what_makes_room_for_them_and_one_recompile_follows() -> None:
    live = living("agents.a", "agent-1", blocks=["block-1", "block-8"], members={"blocks": ("block-1",)}, model="m/m")
    new = wanted("blocks.new", label="org", value="n")
    agent = wanted("agents.a", blocks=[Ref(at("blocks.new"))])
    made = plan(manifest(agent, new), observed(live, LIVE_ORG, attached={"agent-1": (LIVE_ORG,)}))
    assert keys(made) == [
        "save_state state-before",
        "detach agents.a-blocks:block-1",
        "create blocks.new",
        "attach agents.a+blocks:blocks.new",
        "update agents.a",
        "call agents.a!recompile",
        "save_state state",
    ]
    assert set(made.steps[3].after) == {"blocks.new", "agents.a-blocks:block-1", "state-before"}
    assert made.steps[0].state.pending == {at("agents.a")}


def test_a_block_that_its_agent_took_off_stays_off_until_reseed() -> None:
    live = living("agents.a", "agent-1", parts={"human": {"value": digest("h")}}, model="m/m")
    left = living("agents.a.memory.human", "block-2", {"value": "h"}, value="h")
    has = replace(observed(live), detached={left.address: (left,)}) if left.address else observed(live)
    wants = manifest(wanted("agents.a"), wanted("agents.a.memory.human", value="h"))
    made = plan(wants, has)
    assert not made.steps
    assert [(str(r.address), r.path) for r in made.runtime] == [("agents.a.memory.human", "attached")]
    assert "attach agents.a+blocks:block-2" in keys(plan(wants, has, reseed=("agents.a.memory.human",)))


def test_a_block_never_given_is_made_and_attached() -> None:
    live = living("agents.a", "agent-1", model="m/m")
    made = plan(manifest(wanted("agents.a"), wanted("agents.a.memory.human", value="h")), observed(live))
    assert keys(made)[1:-1] == [
        "create agents.a.memory.human",
        "attach agents.a+blocks:agents.a.memory.human",
        "update agents.a",
        "call agents.a!recompile",
    ]
    assert short(made)[1] == ("update", "agents.a", ["memory"])


def test_undeclared_is_listed_and_pruned_after_those_who_use_it() -> None:
    agent = living("agents.a", "agent-1", blocks=["block-1"], model="m/m")
    own = living("agents.a.memory.human", "block-2")
    has = observed(agent, own, LIVE_ORG)
    assert {str(u.address) for u in plan(manifest(), has).unmanaged} == {
        "agents.a",
        "agents.a.memory.human",
        "blocks.org",
    }
    made = plan(manifest(), has, prune=True)
    assert keys(made)[0] == "save_state state-before"
    assert {step.key: set(step.after) for step in made.steps if step.op == "delete"} == {
        "-agents.a": {"state-before"},
        "-agents.a.memory.human": {"state-before", "agents deleted"},
        "-blocks.org": {"state-before", "agents deleted"},
    }
    assert made.barriers == {"agents deleted": ("-agents.a",)}


def test_moved_rewrites_the_mark_of_an_object_and_its_parts() -> None:
    live = living(
        "agents.old", "agent-1", parts={"human": {"value": digest("h"), "label": digest("human")}}, model="m/m"
    )
    own = living("agents.old.memory.human", "block-2", {"value": "h"}, value="h")
    wants = manifest(
        wanted("agents.new", name="old"),
        wanted("agents.new.memory.human", value="h"),
        moved=(Moved(at("agents.old"), at("agents.new"), HERE),),
    )
    made = plan(wants, observed(live, own))
    assert {(c.action, str(c.address)) for c in made.changes} == {
        ("mark", "agents.new"),
        ("mark", "agents.new.memory.human"),
    }
    # the move is decided once the state is written; until the mark of the block is, the state also names the block
    assert keys(made) == [
        *("save_state state-before", "update agents.new.memory.human", "update agents.new", "save_state state")
    ]


def test_removed_without_destroy_forgets() -> None:
    wants = manifest(removed=(Removed(at("blocks.org"), destroy=False, place=HERE),))
    made = plan(wants, observed(LIVE_ORG))
    assert short(made) == [("forget", "blocks.org", [])]
    assert made.steps[1].forget


def test_a_mark_without_room_on_its_object_goes_into_the_record() -> None:
    made = plan(manifest(wanted("tools.t", name="t", source="s")), observed())
    saved = made.steps[-1]
    assert saved.state.marks[at("tools.t")].base == {"source": digest("s")}


def test_an_own_block_that_cannot_be_created_inline_is_created_before_its_agent() -> None:
    wants = manifest(wanted("agents.a", **MODEL), wanted("agents.a.memory.human", value="h", tags=["t"]))
    made = plan(wants, observed())
    assert keys(made) == ["create agents.a.memory.human", "create agents.a", "save_state state"]
    assert made.steps[1].fields["blocks"] == [Ref(at("agents.a.memory.human"))]
    assert made.steps[1].parts == {}


def test_a_prompt_that_was_not_compiled_again_is_not_forgotten() -> None:
    live = living("agents.a", "agent-1", model="m/m")
    has = observed(live)
    has = replace(has, state=replace(has.state, pending=frozenset({at("agents.a")})))
    made = plan(manifest(wanted("agents.a")), has)
    assert short(made) == [("update", "agents.a", [])]
    assert "before its prompt was recompiled" in made.changes[0].reason
    assert keys(made) == ["call agents.a!recompile", "save_state state"]


def _replaced(identities: list[Ref], **words: Any) -> Plan:
    """An identity that must be made anew, while the one agent that has it names these."""
    old = {"name": "Shop", "identity_type": "org", "project_id": "one"}
    shop = living("identities.shop", "identity-1", base=old, **old)
    ann = living("agents.ann", "agent-1", identities=["identity-1"], members={"identities": ("identity-1",)})
    has = observed(shop, ann, users={"identity-1": frozenset({"agent-1", *words.pop("others", ())})})
    wants = manifest(
        wanted("identities.shop", **{**old, "project_id": "two"}), wanted("agents.ann", identities=identities)
    )
    return plan(wants, has, **words)


def test_what_refers_to_something_replaced_is_attached_to_its_successor_in_the_same_plan() -> None:
    made = _replaced([Ref(at("identities.shop"))])
    assert short(made) == [("replace", "identities.shop", ["project_id"]), ("update", "agents.ann", ["identities"])]
    assert next(key for key in keys(made) if "ann" in key) == "attach agents.ann+identities:identities.shop"


def test_who_gives_up_what_is_replaced_does_not_lose_it() -> None:
    assert short(_replaced([]))[0] == ("replace", "identities.shop", ["project_id"])


def test_who_would_lose_what_is_replaced_must_be_agreed_to() -> None:
    with pytest.raises(Guarded) as refused:
        _replaced([], others=("agent-2",))
    assert "1 agent outside this stack would lose it" in refused.value.problems[0].message
    assert _replaced([], others=("agent-2",), allow_destroy=("identities.shop",)).steps
