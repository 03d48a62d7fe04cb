"""The finished changes of a plan to its problems: what cannot be done, and what needs consent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lettaform.errors import Guarded, PlanError
from lettaform.model import Dependents, Desired, External, Live, Manifest, Moved, Observed, State
from lettaform.values import Ref
from tests.plan.samples import HERE, at, difference, living, manifest, messages, observed, plan, wanted

ORG = wanted("blocks.org", value="x")
LIVE_ORG = living("blocks.org", "block-1", {"value": "x"}, value="x")
MODEL = {"model": "letta/letta-free"}
ANN = living("agents.ann", "agent-1", model="m/m")
SHARED = manifest(wanted("agents.ann", blocks=[Ref(at("blocks.org"))]), ORG)


def external(text: str, **words: str) -> Desired:
    return replace(wanted(text), external=External(**words), values={})


def offered(owner: External | None) -> Manifest:
    tool = replace(wanted("tools.say"), external=External(name="say", offered_by=at("mcp_servers.echo")), values={})
    server = wanted("mcp_servers.echo", type="stdio", command="echo")
    return manifest(replace(server, external=owner) if owner else server, tool)


ECHO = living("mcp_servers.echo", "mcp-1", {"type": "stdio", "command": "echo"}, type="stdio", command="echo")


@pytest.mark.parametrize(
    ("wants", "has", "options", "message"),
    [
        pytest.param(
            manifest(wanted("agents.ann")),
            observed(),
            {},
            "agents.ann does not exist yet, so `model` must be given",
            id="a required field is missing",
        ),
        pytest.param(
            manifest(wanted("tools.new", name="shout", source="s"), wanted("tools.t", name="shout", source="s")),
            observed(living("tools.t", "tool-1", {"source": "s"}, name="shout", source="s")),
            {},
            "the tool `shout` already exists as tools.t",
            id="another object of the stack has the name",
        ),
        pytest.param(
            manifest(
                wanted("agents.ann", **MODEL, blocks=[Ref(at("blocks.org"))]), wanted("agents.ann.memory.org"), ORG
            ),
            observed(),
            {},
            "agents.ann would get two blocks labelled `org`: agents.ann.memory.org and blocks.org",
            id="two blocks of a new agent have one label",
        ),
        pytest.param(
            manifest(
                wanted("agents.ann", **MODEL),
                wanted("agents.ann.memory.human", value="h"),
                wanted("conversations.talk", agent=Ref(at("agents.ann")), isolated=["humann"]),
            ),
            observed(),
            {},
            "conversations.talk: agents.ann has no block labelled `humann`",
            id="a label is of no block",
        ),
        pytest.param(
            SHARED,
            observed(ANN),
            {"exclude": ("blocks.org",)},
            "agents.ann needs blocks.org, which does not exist and is left out of this plan",
            id="a reference is left out",
        ),
        pytest.param(
            SHARED,
            observed(ANN, LIVE_ORG, attached={"agent-1": (living("agents.ann.memory.org", "block-7"),)}),
            {},
            "agents.ann already has a block labelled `org`: agents.ann.memory.org, which is no longer declared",
            id="an own block that is no longer declared has the label",
        ),
        pytest.param(
            manifest(wanted("agents.ann", archive=Ref(at("archives.one"))), wanted("archives.one", embedding="e/e")),
            observed(living("agents.ann", "agent-1", archive=["archive-9"])),
            {},
            "agents.ann already has the archive archive-9, which the agent or somebody else attached",
            id="somebody else attached the one archive",
        ),
        pytest.param(
            manifest(wanted("agents.ann"), wanted("agents.ann.memory.human", value="h")),
            observed(
                ANN,
                attached={"agent-1": (Live("block", "block-5", "human", {"label": "human", "value": "h"}),)},
                users={"block-5": frozenset({"agent-1", "agent-2"})},
            ),
            {},
            "agents.ann.memory.human: the block block-5 has this label and is shared with 1 agent outside this stack",
            id="an unmarked block is shared",
        ),
        pytest.param(
            offered(External(name="echo")),
            observed(ECHO),
            {},
            "tools.say: mcp_servers.echo offers no tool `say`",
            id="an external server does not offer a tool",
        ),
        pytest.param(
            manifest(wanted("agents.bob"), moved=(Moved(at("agents.ann"), at("agents.bob"), HERE),)),
            observed(ANN, living("agents.bob", "agent-2", model="m/m")),
            {},
            "agents.ann cannot become agents.bob: both exist, agent-1 and agent-2",
            id="both addresses of a move are taken",
        ),
        pytest.param(
            manifest(),
            observed(ANN, dependents={"agent-1": Dependents(blockers=(Live("group", "group-1", "g", {}),))}),
            {"prune": True},
            "agents.ann cannot be deleted before group group-1, which needs it",
            id="something that stays needs what is deleted",
        ),
        pytest.param(
            manifest(wanted("mcp_servers.echo", type="sse", url="http://x", prevent_destroy=True)),
            observed(ECHO),
            {},
            "mcp_servers.echo: `type` cannot be changed on an existing mcp_server: replaced, "
            "and its tools are attached again to the agents that name them",
            id="what is protected is replaced",
        ),
    ],
)
def test_each_conflict_is_found(wants: Manifest, has: Observed, options: dict[str, object], message: str) -> None:
    assert messages(wants, has, **options) == [message]


def test_all_conflicts_are_found_at_once() -> None:
    wants = manifest(wanted("agents.a"), wanted("agents.b"), wanted("groups.g", type="dynamic"))
    found = messages(wants, observed())
    assert [message.split(" ")[0] for message in found] == ["agents.a", "agents.b", "groups.g"]


def test_the_label_of_a_deleted_block_is_free() -> None:
    own = living("agents.ann.memory.org", "block-7")
    has = observed(ANN, own, LIVE_ORG, attached={"agent-1": (own,)})
    assert messages(SHARED, has, prune=True) == []


def test_the_label_of_a_block_that_others_keep_is_not_free() -> None:
    old = living("blocks.old", "block-7", label="org")
    has = observed(ANN, old, LIVE_ORG, attached={"agent-1": (old,)}, users={"block-7": frozenset({"agent-9"})})
    (message,) = messages(SHARED, has, prune=True)
    assert message == "agents.ann already has a block labelled `org`: blocks.old, which is no longer declared"


def test_no_hint_deletes_memory() -> None:
    own = living("agents.ann.memory.org", "block-7")
    (problem,) = difference(SHARED, observed(ANN, LIVE_ORG, attached={"agent-1": (own,)})).problems
    assert problem.hint == (
        "detach block-7 from the agent, or declare it under `memory:` of agents.ann, or use another label"
    )


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"target": ("agents.ann",)}, "`--target 'blocks.org'` includes it"),
        ({"exclude": ("blocks.org",)}, "do not `--exclude` blocks.org"),
    ],
)
def test_what_is_left_out_is_named_with_the_option_that_includes_it(options: dict[str, object], hint: str) -> None:
    (problem,) = difference(SHARED, observed(ANN), **options).problems
    assert problem.hint == hint


def test_something_new_that_an_owner_of_ours_offers_is_no_conflict() -> None:
    found = difference(offered(None), observed(ECHO))
    assert not found.problems
    server = next(each.change for each in found.resources if each.change.kind == "mcp_server")
    assert (server.action, server.recompiles, server.reason) == ("update", 1, "what it offers is listed again")


def test_thousands_of_new_names_are_checked_in_linear_time() -> None:
    wants = manifest(*(wanted(f"tools.t{n}", name=f"t{n}", source="s") for n in range(2000)))
    has = observed(*(living(f"tools.old{n}", f"tool-{n}", name=f"old{n}") for n in range(2000)))
    assert len(difference(wants, has).resources) == 2000


def test_a_required_field_is_missing() -> None:
    with pytest.raises(PlanError, match="`model` must be given"):
        plan(manifest(wanted("agents.a")), observed())


def test_a_unique_name_belongs_to_a_foreign_object() -> None:
    foreign_tool = Live("tool", "tool-9", "shout", {"name": "shout"})
    tool = wanted("tools.t", name="shout", source="def shout(): ...")
    with pytest.raises(PlanError, match="belongs to somebody else") as refused:
        plan(manifest(tool), observed(foreign={("tool", "shout"): foreign_tool}))
    assert "lettaform import 'tools.t' tool-9" in str(refused.value.problems[0].hint)


def test_the_agent_has_a_block_with_this_label_already() -> None:
    live = living("agents.a", "agent-1", blocks=["block-7"], model="m/m")
    theirs = Live("block", "block-7", "org", {"label": "org"})
    with pytest.raises(PlanError, match="already has a block labelled `org`"):
        plan(
            manifest(wanted("agents.a", blocks=[Ref(at("blocks.org"))]), ORG),
            observed(live, LIVE_ORG, attached={"agent-1": (theirs,)}),
        )


def test_protection_outlives_the_manifest() -> None:
    live = living("agents.a", "agent-1", model="m/m")
    record = State({at("agents.a"): "agent-1"}, protected=frozenset({at("agents.a")}), exists=True)
    with pytest.raises(Guarded):
        plan(manifest(), observed(live, state=record), prune=True)
    assert plan(manifest(), observed(live, state=record), prune=True, allow_destroy=("agents.*",)).steps


KB = wanted("archives.kb", embedding="e/new")
OLD_KB = living("archives.kb", "archive-1", {"embedding": "e/old"}, embedding="e/old")
HAS_KB = {"archive": Ref(at("archives.kb")), **MODEL, "agent_type": "letta_v1_agent"}
ITS_ARCHIVE = {"archive": ["archive-1"], "agent_type": "letta_v1_agent"}


@pytest.mark.parametrize(
    ("agent", "has", "words"),
    [
        pytest.param(
            wanted("agents.ann", **HAS_KB),
            [living("agents.ann", "agent-1", **MODEL, **ITS_ARCHIVE, members={"archive": ("archive-1",)})],
            {},
            id="lettaform attached it",
        ),
        pytest.param(
            wanted("agents.ann", **HAS_KB),
            [living("agents.ann", "agent-1", **MODEL, **ITS_ARCHIVE)],
            {},
            id="somebody else attached it",
        ),
        pytest.param(wanted("agents.ann", **HAS_KB), [], {}, id="the agent is created"),
        pytest.param(
            wanted("agents.ann", **HAS_KB | {"agent_type": "react_agent"}),
            [living("agents.ann", "agent-1", **MODEL, **ITS_ARCHIVE, members={"archive": ("archive-1",)})],
            {},
            id="the agent is replaced",
        ),
        pytest.param(
            wanted("agents.ann", **HAS_KB),
            [living("agents.old", "agent-1", **MODEL, **ITS_ARCHIVE, members={"archive": ("archive-1",)})],
            {"moved": (Moved(at("agents.old"), at("agents.ann"), HERE),)},
            id="the agent is moved",
        ),
    ],
)
def test_a_replaced_archive_is_attached_again_with_one_consent(
    agent: Desired, has: list[Live], words: dict[str, Any]
) -> None:
    wants, allowed = manifest(KB, agent, **words), ("archives.kb", "agents.ann")
    made = plan(wants, observed(OLD_KB, *has), allow_destroy=allowed)
    first, *others = [n for n, step in enumerate(made.steps) if step.key in ("-archives.kb", "archives.kb")]
    last = next(n for n, step in enumerate(made.steps) if step.key == "agents.ann+archive:archives.kb")
    assert [made.steps[n].op for n in (first, *others, last)] == ["delete", "create", "attach"]
    if agent.values["agent_type"] == "letta_v1_agent":
        assert messages(wants, observed(OLD_KB, *has), allow_destroy=("archives.kb",)) == []


def test_another_archive_of_the_stack_is_named_by_its_address() -> None:
    agent = living("agents.ann", "agent-1", **MODEL, **ITS_ARCHIVE)
    wants = manifest(wanted("agents.ann", **HAS_KB | {"archive": Ref(at("archives.two"))}), wanted("archives.two"), KB)
    found = difference(wants, observed(replace(OLD_KB, values={**OLD_KB.values, "embedding": "e/new"}), agent))
    (problem,) = found.problems
    assert "already has the archive archives.kb" in problem.message
    assert problem.hint == "detach archives.kb from the agent"


def test_a_move_that_names_the_wrong_form_is_an_error() -> None:
    entry = Moved(at("blocks.team[eu]"), at("blocks.org[eu]"), HERE)
    wants = manifest(wanted("blocks.org[eu]"), moved=(entry,))
    assert messages(wants, observed(living("blocks.team", "block-1"))) == [
        "`moved` names blocks.team[eu], which does not exist; blocks.team does"
    ]
    assert messages(wants, observed(living("blocks.team[eu]", "block-1"))) == []


def test_a_shared_block_that_others_keep_does_not_become_an_own_one() -> None:
    block, ann, bob = living("blocks.org", "block-1"), living("agents.ann", "agent-1"), living("agents.bob", "agent-2")
    entry = Moved(at("blocks.org"), at("agents.ann.memory.org"), HERE)
    wants = manifest(wanted("agents.ann"), wanted("agents.bob"), wanted("agents.ann.memory.org"), moved=(entry,))
    has = observed(block, ann, bob, attached={"agent-1": (block,), "agent-2": (block,)})
    has = replace(has, users={"block-1": frozenset({"agent-1", "agent-2"})})
    assert messages(wants, has) == ["agents.ann.memory.org is to be an own block, but agents.bob uses it"]


def test_a_label_that_another_block_of_the_agent_has_is_an_error() -> None:
    x, y = living("agents.ann.memory.x", "block-1"), living("agents.ann.memory.y", "block-2")
    ann = living("agents.ann", "agent-1", parts={"x": {}, "y": {}})
    wants = manifest(
        wanted("agents.ann"), wanted("agents.ann.memory.x", label="y"), wanted("agents.ann.memory.y", label="z")
    )
    (message,) = messages(wants, observed(ann, x, y, attached={"agent-1": (x, y)}))
    assert message == "agents.ann already has a block labelled `y`: agents.ann.memory.y"


@pytest.mark.parametrize(("reseed", "limit"), [((), 4), ((), 5), (("blocks.org",), 4)])
def test_a_limit_below_the_text_that_is_kept_is_an_error(reseed: tuple[str, ...], limit: int) -> None:
    wants = manifest(wanted("blocks.org", value="new", limit=limit))
    has = observed(living("blocks.org", "block-1", {"value": "old", "limit": 9}, value="older", limit=9))
    message = "blocks.org: keeps a text of 5 characters, more than its `limit` of 4"
    assert messages(wants, has, reseed=reseed) == ([message] if limit == 4 and not reseed else [])


def test_an_own_block_in_the_way_of_a_new_shared_one_moves_as_the_hint_says() -> None:
    own = living("agents.ann.memory.org", "block-7", label="org")
    has = observed(living("agents.ann", "agent-1", model="m/m", blocks=["block-7"]), own, attached={"agent-1": (own,)})
    (problem,) = difference(SHARED, has).problems
    assert problem.hint == "`moved: [{from: agents.ann.memory.org, to: blocks.org}]` keeps the block and its text"
    moved = Moved(at("agents.ann.memory.org"), at("blocks.org"), HERE)
    assert messages(replace(SHARED, moved=(moved,)), has) == []
