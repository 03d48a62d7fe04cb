"""`matches`: fields of agents that the stack does not own, from the first apply to the destroy. On the stand-in."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import Conflicting, Guarded, PlanError, Stale
from lettaform.model import Plan, PlanOptions
from tests.backend.v1.served import Served

pytestmark = pytest.mark.thorough

SOURCE = 'def audit() -> str:\n    """Write it down."""\n    return ""\n'
OWN = "tools: {audit: {source: audit.py}}\nblocks: {notice: {value: Maintenance., description: What is new.}}\n"
ADDED = "tools: [audit], blocks: [notice], tags: [audited], metadata: {reviewed: yes it is}, secrets: {KEY: k}"
SUPPORT = f"matches: {{upgrade: {{match: {{tags: [support]}}, {ADDED}}}}}\n"


class World:
    """A server with agents that nobody owns, and a folder for each stack."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.server = folder, Served()

    def agent(self, name: str, *tags: str, **more: Any) -> str:
        given = {"system": f"You are {name}.", "metadata": {"team": "a"}, "secrets": {"OLD": "o"}, **more}
        blocks = [{"label": "persona", "value": f"I am {name}."}]
        return str(self.server.agent(name, tags=list(tags), memory_blocks=blocks, **given)["id"])

    def agents(self) -> dict[str, Any]:
        """Id to what the server stores of each agent, without the times of changes."""
        found = deepcopy(self.server.standin.tables.agents)
        for each in found.values():  # a list of secrets that is written again has new ids
            each["_secrets"] = {key: value for key, (_, value) in each["_secrets"].items()}
        return {
            id: {key: each[key] for key in each if key not in ("updated_at", "_changed")} for id, each in found.items()
        }

    def source(self, text: str, stack: str = "ops") -> flow.Source:
        folder = self.folder / stack
        folder.mkdir(exist_ok=True)
        (folder / "audit.py").write_text(SOURCE)
        (folder / "lettaform.yaml").write_text(f"stack: {stack}\n{text}")
        return flow.Source(folder)

    def run(self, verb: Callable[[flow.Connection], Any]) -> Any:
        through = mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.server))
        self.server.asked.clear()
        with through:
            return verb(flow.Connection(url="http://stand.in", patience=None))

    def plan(self, text: str, stack: str = "ops", **options: Any) -> Plan:
        source = self.source(text, stack)
        return self.run(lambda at: flow.plan(source, at, PlanOptions(**options)))

    def apply(self, text: str, stack: str = "ops", **options: Any) -> Plan:
        """Apply until the end, and check that nothing is left to do."""
        source = self.source(text, stack)
        plan, report = self.run(lambda at: flow.apply(source, at, PlanOptions(**options), consent=True))
        assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
        if not options.get("destroy"):
            again = self.plan(text, stack, **options)
            assert not again.steps, [(str(each.address), each.fields_changed) for each in again.changes]
        return plan

    def state(self, stack: str = "ops") -> dict[str, Any]:
        rows = self.server.standin.tables.blocks.values()
        (row,) = [each for each in rows if f"lettaform:stack={stack}" in each["tags"] and each["label"] == "lettaform"]
        return json.loads(row["value"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def differing(before: dict[str, Any], after: dict[str, Any]) -> dict[str, set[str]]:
    """Id of each agent that differs to the names of what differs."""
    found = {id: {name for name in each if after[id].get(name) != each[name]} for id, each in before.items()}
    return {id: names for id, names in found.items() if names}


# --- what is written, and what is not --------------------------------------------------------------------------------


def test_only_declared_fields_of_selected_agents_change_and_removing_the_entry_takes_them_back(world: World) -> None:
    one, two, other = world.agent("one", "support"), world.agent("two", "support", "vip"), world.agent("three", "sales")
    before = world.agents()
    plan = world.apply(OWN + SUPPORT)
    found = {(str(each.address), each.action, each.name) for each in plan.changes if each.kind == "agent"}
    assert found == {(f"matches.upgrade[{one}]", "update", "one"), (f"matches.upgrade[{two}]", "update", "two")}
    changed = differing(before, world.agents())
    assert changed.keys() == {one, two}
    assert other not in changed
    assert world.agents()[two]["_tags"] == ["support", "vip", "audited"]
    assert world.agents()[one]["metadata"] == {"team": "a", "reviewed": "yes it is"}
    assert not any("lettaform" in str(each) for each in world.agents().values())
    taken = world.apply(OWN)
    assert {each.reason for each in taken.changes if each.kind == "agent"} == {"no longer declared"}
    assert differing(before, world.agents()) == {}
    assert "matched" not in world.state()


def test_removing_a_field_and_an_agent_that_is_no_longer_selected(world: World) -> None:
    one, two = world.agent("one", "support"), world.agent("two", "support")
    before = world.agents()
    world.apply(OWN + SUPPORT)
    world.apply(
        OWN + "matches: {upgrade: {match: {tags: [support]}, tags: [audited], metadata: {reviewed: yes it is}}}\n"
    )
    assert {each["metadata"]["reviewed"] for each in world.agents().values()} == {"yes it is"}
    assert {len(each["_tools"]) for each in world.agents().values()} == {0}
    plan = world.apply(
        OWN + f"matches: {{upgrade: {{match: {{tags: [support], exclude: {{id: {two}}}}}, tags: [audited]}}}}\n"
    )
    assert {(each.name, each.reason) for each in plan.changes} == {("one", "undeclared"), ("two", "no longer selected")}
    assert differing(before, world.agents()) == {one: {"_tags"}}


def test_what_others_attached_is_neither_taken_over_nor_detached(world: World) -> None:
    tool = world.server.tool("mine")["id"]
    one = world.agent("one", "support", "audited", tool_ids=[tool])
    before = world.agents()
    tools = "tools: {mine: {external: true, name: mine}}\n"
    entry = tools + "matches: {upgrade: {match: {tags: [support]}, tools: [mine], tags: [audited]}}\n"
    world.apply(entry)
    world.apply("")
    assert differing(before, world.agents()) == {}, one


def test_a_new_model_keeps_what_the_server_would_reset(world: World) -> None:
    one = world.agent("one", "support", context_window_limit=7000, max_tokens=600)
    before = world.agents()
    plan = world.apply("matches: {trial: {match: {name: on*}, model: openai-proxy/echo}}\n")
    assert any("`context_window` is sent again" in note for note in plan.changes[0].notes)
    config = world.agents()[one]["llm_config"]
    assert (config["handle"], config["context_window"], config["max_tokens"]) == ("openai-proxy/echo", 7000, 600)
    assert differing(before, world.agents())[one] <= {"llm_config", "model", "model_settings", "compaction_settings"}
    world.apply("")
    assert world.agents()[one]["llm_config"]["handle"] == "openai-proxy/echo"


def test_two_entries_write_one_agent_and_a_field_is_declared_once(world: World) -> None:
    world.agent("one", "support")
    first = "matches:\n  a: {match: {tags: [support]}, tags: [x]}\n"
    two = first + "  b: {match: {name: one}, tags: [%s], metadata: {k: v}}\n"
    world.apply(two % "y")
    (agent,) = world.agents().values()
    assert agent["_tags"] == ["support", "x", "y"]
    with pytest.raises(PlanError) as refused:
        world.plan(two % "x")
    (problem,) = refused.value.problems
    assert problem.message.startswith("matches.b: matches.a declares `tags` of one (agent-")
    assert "lettaform.yaml:3" in problem.message
    assert problem.place
    assert problem.place.line == 4
    world.apply("matches: {a: {match: {tags: [support]}, tags: [x]}}\n")
    (agent,) = world.agents().values()
    assert agent["_tags"] == ["support", "x"]
    assert agent["metadata"] == {"team": "a"}


def test_a_renamed_entry_takes_over_what_the_old_one_added(world: World) -> None:
    world.agent("one", "support")
    world.apply(OWN + SUPPORT)
    before = world.agents()
    plan = world.apply(OWN + SUPPORT.replace("upgrade", "audit"))
    assert {each.op for each in plan.steps} == {"save_state"}
    assert differing(before, world.agents()) == {}
    world.apply(OWN)
    (agent,) = world.agents().values()
    assert (agent["_tools"], agent["_tags"]) == ([], ["support"])


def test_an_agent_that_the_stack_adopts_keeps_what_its_declaration_names(world: World) -> None:
    one = world.agent("one", "support")
    world.apply(OWN + SUPPORT)
    own = f"agents: {{one: {{name: one, tools: [audit], tags: [support]}}}}\nimports: [{{to: agents.one, id: {one}}}]\n"
    world.apply(OWN + SUPPORT + own)
    agent = world.agents()[one]
    assert len(agent["_tools"]) == 1
    assert "audited" not in agent["_tags"]
    assert agent["metadata"]["team"] == "a"


# --- whom it selects -------------------------------------------------------------------------------------------------


def test_agents_of_other_stacks_need_consent_and_keep_the_fields_that_their_stack_declares(world: World) -> None:
    theirs = "agents: {shop: {model: letta/letta-free, embedding: letta/letta-free, system: Sell., tags: [support]}}\n"
    world.apply(theirs, "shop")
    plan = world.plan("matches: {upgrade: {match: {tags: [support]}, tags: [audited]}}\n")
    assert [each.message for each in plan.warnings] == ["matches.upgrade selects no agent"]
    entry = "matches: {upgrade: {match: {tags: [support], stacks: [shop]}, %s}}\n"
    with pytest.raises(PlanError) as refused:
        world.plan(entry % "system: Buy.")
    (problem,) = refused.value.problems
    assert "`system` of shop (agent-" in problem.message
    assert "agents.shop of stack `shop`" in problem.message
    assert problem.hint
    assert "exclude: {id: agent-" in problem.hint
    world.apply(entry % "tags: [audited], description: Sells.")
    assert not world.plan(theirs, "shop").steps
    (agent,) = world.agents().values()
    assert agent["description"] == "Sells."
    assert "lettaform:stack=shop" in agent["_tags"]
    world.apply("")
    assert not world.plan(theirs, "shop").steps


def test_agents_of_this_stack_and_what_the_server_makes_along_are_not_selected(world: World) -> None:
    mine = "agents: {mine: {model: letta/letta-free, embedding: letta/letta-free, tags: [support]}}\n"
    world.agent("one", "support", enable_sleeptime=True)
    plan = world.apply(mine + 'matches: {all: {match: {name: "*"}, tags: [audited]}}\n')
    assert [each.name for each in plan.changes if each.address.section == "matches"] == ["one"]
    again = world.plan(mine + 'matches: {all: {match: {name: "*"}, tags: [audited]}}\n')
    assert [each.message for each in again.warnings] == ["matches.all leaves out 1 agent of this stack: agents.mine"]
    entry = 'matches: {all: {match: {name: "*", exclude: {name: mine}}, tags: [audited]}}\n'
    assert not world.plan(mine + entry).warnings


def test_the_hint_of_a_text_that_cannot_be_merged_works(world: World) -> None:
    one = world.agent("one", "support")
    entry = "matches: {up: {match: {tags: [support]}, system: Be kind., policy: {system: merge}}}\n"
    with pytest.raises(Conflicting) as refused:
        world.apply(entry)
    (problem,) = refused.value.problems
    assert f"`--ours 'matches.up[{one}]'`" in (problem.hint or "")
    source = world.source(entry)
    world.run(lambda at: flow.apply(source, at, PlanOptions(ours=(f"matches.up[{one}]",)), consent=True))
    assert world.agents()[one]["system"] == "Be kind."


def test_more_agents_than_the_limit_are_refused_and_an_empty_entry_is_a_warning(world: World) -> None:
    for number in range(3):
        world.agent(f"a{number}", "support")
    entry = "matches: {upgrade: {match: {tags: [support]}, limit: 2, tags: [audited]}}\n"
    with pytest.raises(Guarded) as refused:
        world.plan(entry)
    (problem,) = refused.value.problems
    assert problem.message.startswith("matches.upgrade selects 3 agents, and the limit is 2: a0 (agent-")
    assert problem.place
    assert problem.field == "limit"
    assert len(world.plan(entry, ignore_limits=True).changes) == 3
    assert len(world.plan(entry.replace("limit: 2", "limit: null")).changes) == 3


def test_target_and_state_rm(world: World) -> None:
    one, two = world.agent("one", "support"), world.agent("two", "support")
    world.apply(OWN + SUPPORT, target=("matches.upgrade", "tools.audit", "blocks.notice"))
    source = world.source(OWN + SUPPORT)
    world.run(lambda at: flow.state_remove(source, at, f"matches.upgrade[{one}]"))
    assert [*world.state()["matched"]] == [f"matches.upgrade[{two}]"]
    with pytest.raises(PlanError):
        world.run(lambda at: flow.state_remove(source, at, "matches.nothing"))
    world.apply(OWN)
    assert "audited" in world.agents()[one]["_tags"]
    assert "audited" not in world.agents()[two]["_tags"]


# --- the rest --------------------------------------------------------------------------------------------------------


def test_destroy_takes_back_what_was_added_and_deletes_no_agent(world: World) -> None:
    world.agent("one", "support")
    before = world.agents()
    world.apply(OWN + SUPPORT)
    plan = world.apply(OWN + SUPPORT, destroy=True)
    assert [each.action for each in plan.changes if each.kind == "agent"] == ["update"]
    assert differing(before, world.agents()) == {}
    assert all(each["name"] != "audit" for each in world.server.standin.tables.tools.values())


def test_an_agent_that_was_deleted_is_forgotten(world: World) -> None:
    one = world.agent("one", "support")
    world.apply(OWN + SUPPORT)
    world.server.post(f"/v1/agents/{one}", "DELETE")
    plan = world.apply(OWN + SUPPORT)
    assert [(str(each.address), each.action) for each in plan.changes] == [(f"matches.upgrade[{one}]", "forget")]
    assert "matched" not in world.state()


def test_a_saved_plan_is_stale_once_another_agent_is_selected(world: World, tmp_path: Path) -> None:
    world.agent("one", "support")
    source = world.source(OWN + SUPPORT)
    flow.save(world.plan(OWN + SUPPORT), tmp_path / "plan.json")
    world.agent("two", "support")
    with pytest.raises(Stale) as stale:
        world.run(lambda at: flow.apply_saved(tmp_path / "plan.json", source, at, consent=True))
    assert "matches.upgrade[" in str(stale.value.problems or stale.value)


def test_many_agents_take_as_many_reads_as_one(world: World) -> None:
    entry = "matches: {upgrade: {match: {tags: [support]}, limit: null, description: Helps.}}\n"
    world.agent("one", "support")
    world.plan(entry)
    few = len(world.server.asked)
    for number in range(200):
        world.agent(f"a{number}", "support")
    assert len(world.plan(entry).changes) == 201
    assert len(world.server.asked) <= few + 10  # pages


def test_status_drift_and_show_know_the_agents(world: World) -> None:
    one = world.agent("one", "support")
    world.apply(OWN + SUPPORT)
    world.server.post(f"/v1/agents/{one}", "PATCH", tags=["support"], tool_ids=[])
    source = world.source(OWN + SUPPORT)
    address = f"matches.upgrade[{one}]"
    status = world.run(lambda at: flow.status(source, at))
    assert [(each.status, each.drifted) for each in status.objects if str(each.address) == address] == [
        ("drifted", ("tools", "tags"))
    ]
    drift = world.run(lambda at: flow.drift(source, at))
    assert [str(each.address) for each in drift.objects] == [address]
    shown = world.run(lambda at: flow.show(source, at, "matches.upgrade"))
    assert [str(each.address) for each in shown.objects] == [address]
    plan = world.apply(OWN + SUPPORT)
    assert {each.reason for change in plan.changes for each in change.fields_changed} == {"drift"}


def test_a_label_that_the_agent_has_is_refused(world: World) -> None:
    one = world.agent("one", "support")
    notice = world.server.block("notice", value="Mine.")["id"]
    world.server.attach(one, "core-memory/blocks", notice)
    with pytest.raises(PlanError) as refused:
        world.apply(OWN + SUPPORT)
    (problem,) = refused.value.problems
    assert f"matches.upgrade[{one}] already has a block labelled `notice`: {notice}" in problem.message
