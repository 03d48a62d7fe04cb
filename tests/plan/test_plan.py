"""A manifest and a observed to a plan: what is shown, and in which order it is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import Guarded, PlanError
from lettaform.model import Live, Mark, Moved, Plan, Removed, State
from lettaform.values import Patch, Ref, Secret, Template, digest
from tests.plan.samples import HERE, at, keys, living, manifest, observed, plan, short, wanted

ORG = wanted("blocks.org", value="x")
LIVE_ORG = living("blocks.org", "block-1", {"value": "x"}, value="x")
MODEL = {"model": "letta/letta-free"}


def test_what_is_as_declared_is_no_change() -> None:
    assert not plan(manifest(ORG), observed(LIVE_ORG)).steps


def test_what_is_not_declared_is_not_compared() -> None:
    live = living("blocks.org", "block-1", {"value": "x"}, value="x", description="theirs", limit=7, tags=["theirs"])
    assert not plan(manifest(ORG), observed(live)).steps


def test_null_clears() -> None:
    live = living("blocks.org", "block-1", {"value": "x", "description": "d"}, value="x", description="d")
    made = plan(manifest(wanted("blocks.org", value="x", description=None)), observed(live))
    assert short(made) == [("update", "blocks.org", ["description"])]
    assert made.steps[0].fields == {"description": ""}


def test_an_agent_is_born_with_its_blocks_in_one_step_after_what_it_refers_to() -> None:
    agent = wanted(
        "agents.a", **MODEL, blocks=[Ref(at("blocks.org"))], system=Template(("see ", Ref(at("blocks.org"))))
    )
    made = plan(manifest(agent, wanted("agents.a.memory.human", value="h"), ORG), observed())
    assert keys(made) == ["create blocks.org", "create agents.a", "record record"]
    born = made.steps[1]
    assert born.after == ("blocks.org",)
    assert born.parts == {"human": {"label": "human", "value": "h"}}
    assert born.mark is not None
    assert born.mark.parts == {"human": {"label": digest("human"), "value": digest("h")}}
    assert short(made)[1:] == [
        ("create", "agents.a.memory.human", ["label", "value"]),
        ("create", "blocks.org", ["label", "value"]),
    ]


def test_without_what_a_birth_needs_there_is_no_plan() -> None:
    with pytest.raises(PlanError, match="`model` must be given"):
        plan(manifest(wanted("agents.a")), observed())


def test_a_name_that_a_stranger_has_is_not_taken() -> None:
    stranger = Live("tool", "tool-9", "shout", {"name": "shout"})
    tool = wanted("tools.t", name="shout", source="def shout(): ...")
    with pytest.raises(PlanError, match="belongs to somebody else") as refused:
        plan(manifest(tool), observed(foreign={("tool", "shout"): stranger}))
    assert "lettaform import 'tools.t' tool-9" in str(refused.value.problems[0].hint)


def test_lists_are_additive() -> None:
    live = living(
        "blocks.org",
        "block-1",
        {"value": "x"},
        value="x",
        tags=["ours", "old", "theirs"],
        members={"tags": ("ours", "old")},
    )
    made = plan(manifest(wanted("blocks.org", value="x", tags=["ours", "new"])), observed(live))
    assert made.steps[0].fields == {"tags": Patch(("new",), ("old",))}
    assert made.steps[0].mark is not None
    assert made.steps[0].mark.members == {"tags": ("ours", "new")}


def test_lists_are_exact_where_the_manifest_says_enforce() -> None:
    live = living(
        "blocks.org", "block-1", {"value": "x"}, value="x", tags=["ours", "theirs"], members={"tags": ("ours",)}
    )
    made = plan(manifest(wanted("blocks.org", {"tags": "enforce"}, value="x", tags=["ours"])), observed(live))
    assert made.steps[0].fields == {"tags": Patch((), ("theirs",))}


def test_of_a_map_only_what_is_declared_is_compared_and_null_drops_an_entry() -> None:
    base = {"value": "x", "metadata.a": 1, "metadata.n": {"x": 1}, "metadata.gone": 2}
    metadata = {"a": 1, "n": {"x": 1, "theirs": 5}, "gone": 2, "foreign": 3}
    live = living("blocks.org", "block-1", base, value="x", metadata=metadata)
    want = {"a": 1.0, "n": {"x": 2}, "gone": None}
    made = plan(manifest(wanted("blocks.org", value="x", metadata=want)), observed(live))
    assert short(made) == [("update", "blocks.org", ["metadata.n", "metadata.gone"])]
    assert made.steps[0].fields == {"metadata": Patch(drop=("gone",), entries=(("n", {"x": 2, "theirs": 5}),))}


def test_an_exact_list_spares_what_the_server_puts_there_by_itself() -> None:
    theirs = {("tool", name): living(f"tools.{name}", f"tool-{name}") for name in ("open_files", "whistle")}
    has = {"tools": ["tool-open_files", "tool-whistle"], "folders": ["source-1"]}
    agent = wanted("agents.a", {"tools": "enforce"}, tools=[])
    made = plan(manifest(agent), observed(living("agents.a", "agent-1", **has), foreign=theirs))
    assert [step.member for step in made.steps if step.op == "unlink"] == [("tools", "tool-whistle")]
    has["folders"] = []  # without a folder it is not the server that wants it there
    made = plan(manifest(agent), observed(living("agents.a", "agent-1", **has), foreign=theirs))
    assert len([step for step in made.steps if step.op == "unlink"]) == 2


def test_secrets_are_compared_and_neither_shown_nor_digested() -> None:
    live = living("agents.a", "agent-1", secrets={"K": "old"}, model="m/m")
    agent = wanted("agents.a", secrets={"K": Secret("${env.K}", "s3cret")})
    made = plan(manifest(agent), observed(live))
    (difference,) = made.changes[0].fields_changed
    # that there was another is no secret
    assert (difference.path, difference.old, difference.secret) == ("secrets.K", Secret("live", ""), True)
    assert "s3cret" not in repr(made)
    assert not any("secrets" in path for path in (made.steps[0].mark or Mark()).base)
    assert not plan(manifest(wanted("agents.a", secrets={"K": Secret("e", "old")})), observed(live)).steps


def test_of_a_group_the_declared_others_are_sent_again() -> None:
    live = living("agents.a", "agent-1", {"model": "m/a", "context_window": 9}, model="m/a", context_window=9)
    made = plan(manifest(wanted("agents.a", model="m/b", context_window=9)), observed(live))
    assert [d.path for d in made.changes[0].fields_changed] == ["model"]
    assert made.steps[0].fields == {"model": "m/b", "context_window": 9}
    assert "`context_window` is sent again" in made.changes[0].notes[0]


def test_what_cannot_be_read_is_compared_with_what_was_applied() -> None:
    live = living("agents.a", "agent-1", {"reasoning": False}, model="m/a")
    assert not plan(manifest(wanted("agents.a", reasoning=False)), observed(live)).steps
    assert short(plan(manifest(wanted("agents.a", reasoning=True)), observed(live))) == [
        ("update", "agents.a", ["reasoning"])
    ]


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
    assert keys(made) == ["record record-", "delete -agents.a", "create agents.a", "record record"]
    assert made.steps[2].fields["blocks"] == ["block-2", "block-3"]
    assert made.steps[2].parts == {}


def test_links_wait_for_what_makes_room_for_them_and_one_recompile_follows() -> None:
    live = living("agents.a", "agent-1", blocks=["block-1", "block-8"], members={"blocks": ("block-1",)}, model="m/m")
    new = wanted("blocks.new", label="org", value="n")
    agent = wanted("agents.a", blocks=[Ref(at("blocks.new"))])
    made = plan(manifest(agent, new), observed(live, LIVE_ORG, attached={"agent-1": (LIVE_ORG,)}))
    assert keys(made) == [
        "record record-",
        "unlink agents.a-blocks:block-1",
        "create blocks.new",
        "link agents.a+blocks:blocks.new",
        "update agents.a",
        "call agents.a!recompile",
        "record record",
    ]
    assert set(made.steps[3].after) == {"blocks.new", "agents.a-blocks:block-1", "record-"}
    assert made.steps[0].fields["pending"] == ["agents.a"]


def test_a_label_that_the_agent_has_already_is_in_the_way() -> None:
    live = living("agents.a", "agent-1", blocks=["block-7"], model="m/m")
    theirs = Live("block", "block-7", "org", {"label": "org"})
    with pytest.raises(PlanError, match="already has a block labelled `org`"):
        plan(
            manifest(wanted("agents.a", blocks=[Ref(at("blocks.org"))]), ORG),
            observed(live, LIVE_ORG, attached={"agent-1": (theirs,)}),
        )


def test_a_block_that_its_agent_took_off_stays_off_until_reseed() -> None:
    live = living("agents.a", "agent-1", parts={"human": {"value": digest("h")}}, model="m/m")
    left = living("agents.a.memory.human", "block-2", {"value": "h"}, value="h")
    has = replace(observed(live), detached={left.address: (left,)}) if left.address else observed(live)
    wants = manifest(wanted("agents.a"), wanted("agents.a.memory.human", value="h"))
    made = plan(wants, has)
    assert not made.steps
    assert [(str(r.address), r.path) for r in made.runtime] == [("agents.a.memory.human", "attached")]
    assert "link agents.a+blocks:block-2" in keys(plan(wants, has, reseed=("agents.a.memory.human",)))


def test_a_block_never_given_is_made_and_attached() -> None:
    live = living("agents.a", "agent-1", model="m/m")
    made = plan(manifest(wanted("agents.a"), wanted("agents.a.memory.human", value="h")), observed(live))
    assert keys(made)[1:-1] == [
        "create agents.a.memory.human",
        "link agents.a+blocks:agents.a.memory.human",
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
    assert keys(made)[0] == "record record-"
    assert {step.key: set(step.after) for step in made.steps if step.op == "delete"} == {
        "-agents.a": {"record-"},
        "-agents.a.memory.human": {"record-", "-agents.a"},
        "-blocks.org": {"record-", "-agents.a"},
    }


def test_what_agents_outside_use_is_kept() -> None:
    made = plan(manifest(), observed(LIVE_ORG, users={"block-1": frozenset({"agent-x"})}), prune=True)
    assert not any(step.op == "delete" for step in made.steps)
    assert "1 agents outside" in made.unmanaged[0].reason


def test_protection_outlives_the_manifest() -> None:
    live = living("agents.a", "agent-1", model="m/m")
    record = State({at("agents.a"): "agent-1"}, protected=frozenset({at("agents.a")}), exists=True)
    with pytest.raises(Guarded):
        plan(manifest(), observed(live, state=record), prune=True)
    assert plan(manifest(), observed(live, state=record), prune=True, allow_destroy=("agents.*",)).steps


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
        ("record", "agents.new"),
        ("record", "agents.new.memory.human"),
    }
    assert keys(made) == ["update agents.new.memory.human", "update agents.new", "record record"]


def test_removed_without_destroy_forgets() -> None:
    wants = manifest(removed=(Removed(at("blocks.org"), destroy=False, place=HERE),))
    made = plan(wants, observed(LIVE_ORG))
    assert short(made) == [("forget", "blocks.org", [])]
    assert made.steps[1].member == ("forget", None)


def test_targets_and_exclusions() -> None:
    wants = manifest(wanted("blocks.a", value="x"), wanted("blocks.b", value="x"), wanted("blocks.c", value="x"))
    assert [a for _, a, _ in short(plan(wants, observed(), target=("blocks.a", "blocks.b")))] == [
        "blocks.a",
        "blocks.b",
    ]
    assert [a for _, a, _ in short(plan(wants, observed(), exclude=("blocks.[ab]", "blocks.a")))] == [
        "blocks.b",
        "blocks.c",
    ]


def test_a_mark_without_room_on_its_object_goes_into_the_record() -> None:
    made = plan(manifest(wanted("tools.t", name="t", source="s")), observed())
    record = made.steps[-1]
    assert record.fields["marks"]["tools.t"].base == {"source": digest("s")}


def test_what_the_server_puts_into_a_list_by_itself_stays() -> None:
    approval = {"type": "requires_approval", "tool_name": "t"}
    first = {"type": "run_first", "tool_name": "t"}
    live = living(
        "agents.a", "agent-1", {"tool_rules": [first]}, tool_rules=[{**first, "args": None}, approval], model="m/m"
    )
    assert not plan(manifest(wanted("agents.a", tool_rules=[first])), observed(live)).steps
    made = plan(manifest(wanted("agents.a", tool_rules=[])), observed(live))
    assert made.steps[1].fields == {"tool_rules": [approval]}
    exact = plan(manifest(wanted("agents.a", {"tool_rules": "enforce"}, tool_rules=[])), observed(live))
    assert exact.steps[1].fields == {"tool_rules": []}


def test_an_own_block_that_cannot_be_born_whole_is_made_before_its_agent() -> None:
    wants = manifest(wanted("agents.a", **MODEL), wanted("agents.a.memory.human", value="h", tags=["t"]))
    made = plan(wants, observed())
    assert keys(made) == ["create agents.a.memory.human", "create agents.a", "record record"]
    assert made.steps[1].fields["blocks"] == [Ref(at("agents.a.memory.human"))]
    assert made.steps[1].parts == {}


def test_null_clears_a_whole_map_and_an_empty_one_says_nothing() -> None:
    live = living("blocks.org", "block-1", {"value": "x", "metadata.a": 1}, value="x", metadata={"a": 1, "b": 2})
    assert not plan(manifest(wanted("blocks.org", value="x", metadata={})), observed(live)).changes[0].fields_changed
    made = plan(manifest(wanted("blocks.org", value="x", metadata=None)), observed(live))
    assert made.steps[0].fields == {"metadata": Patch(entries=(), drop=("a", "b"))}


def test_of_a_map_that_the_server_merges_all_that_is_declared_goes_along() -> None:
    base = {"compaction_settings.mode": "all", "compaction_settings.prompt": "p"}
    live = living(
        "agents.a", "agent-1", base, compaction_settings={"mode": "all", "prompt": "p", "clip": 1}, model="m/m"
    )
    agent = wanted("agents.a", compaction_settings={"mode": "sliding_window", "prompt": "p"})
    made = plan(manifest(agent), observed(live))
    assert [d.path for d in made.changes[0].fields_changed] == ["compaction_settings.mode"]
    assert dict(made.steps[0].fields["compaction_settings"].entries) == {"mode": "sliding_window", "prompt": "p"}


def test_a_prompt_that_was_not_compiled_again_is_not_forgotten() -> None:
    live = living("agents.a", "agent-1", model="m/m")
    has = observed(live)
    has = replace(has, state=replace(has.state, pending=frozenset({at("agents.a")})))
    made = plan(manifest(wanted("agents.a")), has)
    assert short(made) == [("update", "agents.a", [])]
    assert "before its prompt was recompiled" in made.changes[0].reason
    assert keys(made) == ["call agents.a!recompile", "record record"]


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
    assert next(key for key in keys(made) if "ann" in key) == "link agents.ann+identities:identities.shop"


def test_who_gives_up_what_is_replaced_does_not_lose_it() -> None:
    assert short(_replaced([]))[0] == ("replace", "identities.shop", ["project_id"])


def test_who_would_lose_what_is_replaced_must_be_agreed_to() -> None:
    with pytest.raises(Guarded) as refused:
        _replaced([], others=("agent-2",))
    assert "1 agents outside this manifest would lose it" in refused.value.problems[0].message
    assert _replaced([], others=("agent-2",), allow_destroy=("identities.shop",)).steps
