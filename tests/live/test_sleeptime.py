"""Sleeptime: the agent, group and block that the server creates along with an agent are managed with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import Guarded, LettaformError
from lettaform.model import PlanOptions
from tests.live.fleet import Fleet, RequestLog, changes

DESTROY_ALL = PlanOptions(destroy=True, allow_destroy=("*",))
SLEEPTIME = "{frequency: 3, description: Tidies up., tags: [night], system: Tidy up.}"


@dataclass
class SleeptimeStack:
    """A stack with one agent, and what the server created along with it."""

    fleet: Fleet

    def write(self, sleeptime: str | None = SLEEPTIME, *, key: str = "ann", more: str = "", top: str = "") -> None:
        sleeptime_field = f", sleeptime: {sleeptime}" if sleeptime else ""
        memory = "memory: {notes: Nothing yet.}"
        self.fleet.write(f"agents:\n  {key}: {{include_base_tools: false, {memory}{sleeptime_field}{more}}}\n{top}")

    def build(self) -> None:
        """Apply, for tests that do not need to check the plan after it."""
        _, report = flow.apply(self.fleet.source, self.fleet.connection, consent=True)
        assert report is not None
        assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]

    @property
    def primary(self) -> dict[str, Any]:
        """The agent that the manifest declares."""
        (found,) = [agent for agent in self.fleet.agents() if not agent["name"].endswith("-sleeptime")]
        return dict(found)

    @property
    def group(self) -> dict[str, Any]:
        found = self.fleet.raw.get(f"/v1/agents/{self.primary['id']}").json()["managed_group"]
        return dict(self.fleet.raw.get(f"/v1/groups/{found['id']}").json())

    @property
    def sleeptime_agent(self) -> dict[str, Any]:
        (id,) = self.group["agent_ids"]
        return dict(self.fleet.raw.get(f"/v1/agents/{id}").json())

    def persona(self) -> dict[str, Any]:
        """The `memory_persona` block of the sleeptime agent."""
        (found,) = [block for block in self.sleeptime_agent["blocks"] if block["label"] == "memory_persona"]
        return dict(self.fleet.raw.get(f"/v1/blocks/{found['id']}").json())

    def exists(self, path: str) -> bool:
        return self.fleet.raw.get(path).status_code == 200

    def all_paths(self) -> list[str]:
        """The path of every object of both agents."""
        blocks = {block["id"] for agent in (self.primary, self.sleeptime_agent) for block in agent["blocks"]}
        agents = (self.primary["id"], self.sleeptime_agent["id"])
        return [
            f"/v1/groups/{self.group['id']}",
            *(f"/v1/agents/{id}" for id in agents),
            *(f"/v1/blocks/{id}" for id in sorted(blocks)),
        ]


@pytest.fixture
def stack(fleet: Fleet) -> Iterator[SleeptimeStack]:
    stack = SleeptimeStack(fleet)
    stack.write()
    yield stack
    with suppress(LettaformError):
        flow.apply(fleet.source, fleet.connection, DESTROY_ALL, consent=True)


def test_sleeptime_map_configures_agent_and_group(stack: SleeptimeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.fleet.apply()
    sleeptime_agent = stack.sleeptime_agent
    assert (sleeptime_agent["agent_type"], sleeptime_agent["description"], sleeptime_agent["system"]) == (
        "sleeptime_agent",
        "Tidies up.",
        "Tidy up.",
    )
    assert "night" in sleeptime_agent["tags"]
    assert stack.group["sleeptime_agent_frequency"] == 3
    assert {block["label"] for block in sleeptime_agent["blocks"]} == {"notes", "memory_persona"}
    assert sorted(str(live.address) for live in stack.fleet.state()) == [
        "agents.ann",
        "agents.ann-sleeptime",
        "agents.ann-sleeptime.memory.memory_persona",
        "agents.ann.memory.notes",
        "groups.ann-sleeptime",
    ]
    requests = RequestLog(monkeypatch)
    assert flow.apply(stack.fleet.source, stack.fleet.connection, consent=True)[1] is None
    assert requests.writes() == []


def test_sleeptime_true_creates_sleeptime_agent(stack: SleeptimeStack) -> None:
    stack.write("true")
    stack.fleet.apply()
    assert stack.sleeptime_agent["agent_type"] == "sleeptime_agent"
    flow.apply(stack.fleet.source, stack.fleet.connection, DESTROY_ALL, consent=True)
    assert stack.fleet.state() == []


def test_sleeptime_is_added_to_existing_agent(stack: SleeptimeStack) -> None:
    stack.write(None)
    stack.build()
    before = stack.primary["id"]
    stack.write()
    stack.fleet.apply()
    assert (stack.primary["id"], stack.group["sleeptime_agent_frequency"]) == (before, 3)
    assert stack.sleeptime_agent["description"] == "Tidies up."


def test_frequency_updates_in_place(stack: SleeptimeStack) -> None:
    stack.build()
    before = stack.all_paths()
    stack.write(SLEEPTIME.replace("frequency: 3", "frequency: 7"))
    assert changes(stack.fleet.plan()) == [("update", "groups.ann-sleeptime", ["frequency"])]
    stack.fleet.apply()
    assert stack.group["sleeptime_agent_frequency"] == 7
    assert stack.all_paths() == before


def test_sleeptime_fields_update_and_drift_is_corrected(stack: SleeptimeStack) -> None:
    stack.build()
    id, group = stack.sleeptime_agent["id"], stack.group
    stack.fleet.patch(f"/v1/agents/{id}", description="Somebody else's.", system="Somebody else's.")
    config = {"manager_type": "sleeptime", "sleeptime_agent_frequency": 9}
    stack.fleet.patch(f"/v1/groups/{group['id']}", manager_config=config)
    planned = {(action, address, *sorted(paths)) for action, address, paths in changes(stack.fleet.plan())}
    assert planned == {
        ("update", "agents.ann-sleeptime", "description", "system"),
        ("update", "groups.ann-sleeptime", "frequency"),
    }
    stack.write(SLEEPTIME.replace("[night]", "[day]").replace("Tidies up.", "Tidies up well."))
    stack.fleet.apply()
    sleeptime_agent = stack.sleeptime_agent
    assert (sleeptime_agent["id"], sleeptime_agent["description"], sleeptime_agent["system"]) == (
        id,
        "Tidies up well.",
        "Tidy up.",
    )
    assert ("day" in sleeptime_agent["tags"], "night" in sleeptime_agent["tags"]) == (True, False)
    assert stack.group["sleeptime_agent_frequency"] == 3


def test_persona_changed_by_sleeptime_agent_is_kept(stack: SleeptimeStack) -> None:
    stack.build()
    stack.fleet.patch(f"/v1/blocks/{stack.persona()['id']}", value="I have learnt much.")
    stack.fleet.assert_no_changes()
    assert stack.persona()["value"] == "I have learnt much."


@pytest.mark.parametrize("sleeptime", ["false", pytest.param(None, marks=pytest.mark.slow)])
def test_disabled_sleeptime_stays_until_prune(stack: SleeptimeStack, sleeptime: str | None) -> None:
    stack.build()
    paths = [path for path in stack.all_paths() if stack.primary["id"] not in path]
    notes = next(block["id"] for block in stack.primary["blocks"] if block["label"] == "notes")
    stack.write(sleeptime)
    flow.apply(stack.fleet.source, stack.fleet.connection, consent=True)
    assert all(map(stack.exists, paths))
    flow.apply(stack.fleet.source, stack.fleet.connection, PlanOptions(prune=True), consent=True)
    assert [path for path in paths if stack.exists(path)] == [f"/v1/blocks/{notes}"]
    assert [block["label"] for block in stack.primary["blocks"]] == ["notes"]
    stack.fleet.assert_no_changes()


def test_apply_recreates_sleeptime_agent_deleted_by_others(stack: SleeptimeStack) -> None:
    stack.build()
    before = stack.sleeptime_agent["id"]
    stack.fleet.raw.delete(
        f"/v1/agents/{before}"
    ).raise_for_status()  # the server deletes the group as well and clears the agent's flag
    stack.fleet.apply()
    assert (stack.sleeptime_agent["id"] != before, stack.sleeptime_agent["description"]) == (True, "Tidies up.")
    assert stack.group["sleeptime_agent_frequency"] == 3


def test_apply_recreates_group_deleted_by_others(stack: SleeptimeStack) -> None:
    stack.build()
    stack.fleet.raw.delete(f"/v1/groups/{stack.group['id']}").raise_for_status()  # the agent's flag stays set
    stack.fleet.apply()
    assert (stack.group["sleeptime_agent_frequency"], stack.sleeptime_agent["description"]) == (3, "Tidies up.")


def test_prune_deletes_primary_with_everything_created_along(stack: SleeptimeStack) -> None:
    stack.build()
    paths = stack.all_paths()
    assert len(paths) == 5
    stack.fleet.write("blocks: {other: {value: x}}")
    flow.apply(stack.fleet.source, stack.fleet.connection, PlanOptions(prune=True), consent=True)
    assert [path for path in paths if stack.exists(path)] == []
    stack.fleet.assert_no_changes()


def test_destroy_plan_names_sleeptime_agent_enabled_by_others(stack: SleeptimeStack) -> None:
    stack.write(None)
    stack.build()
    stack.fleet.patch(f"/v1/agents/{stack.primary['id']}", enable_sleeptime=True)
    stack.fleet.assert_no_changes()
    (id,) = stack.group["agent_ids"]
    plan = flow.plan(stack.fleet.source, stack.fleet.connection, PlanOptions(destroy=True))
    (ours,) = [change for change in plan.changes if change.kind == "agent"]
    assert id in "".join(ours.notes)
    # the sleeptime agent was the only other agent with the block
    assert [(str(c.address), c.action) for c in plan.changes if c.kind == "block"] == [
        ("agents.ann.memory.notes", "delete")
    ]
    flow.apply(stack.fleet.source, stack.fleet.connection, PlanOptions(destroy=True), consent=True)
    assert not stack.exists(f"/v1/agents/{id}")
    assert not stack.fleet.blocks()


def test_destroy_resumes_after_interrupted_delete(stack: SleeptimeStack, monkeypatch: pytest.MonkeyPatch) -> None:
    # without its group, the sleeptime agent would look like a copy of unknown origin
    stack.build()
    paths = stack.all_paths()
    stack.fleet.apply_interrupted(monkeypatch, lambda method, path: method == "DELETE", DESTROY_ALL)
    assert not all(map(stack.exists, paths))
    flow.apply(stack.fleet.source, stack.fleet.connection, DESTROY_ALL, consent=True)
    assert [path for path in paths if stack.exists(path)] == []
    assert stack.fleet.state() == []


@pytest.mark.parametrize(
    "then",
    [
        "destroyed",
        *(pytest.param(each, marks=pytest.mark.slow) for each in ("dropped", "turned off", "no more spoken of")),
    ],
)
def test_destroy_after_interrupted_create_leaves_no_orphans(
    stack: SleeptimeStack, then: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 0.16.8 creates both agents, a group and a block in one request; an apply interrupted there has marked only the
    # first
    stack.fleet.apply_interrupted(monkeypatch, lambda *asked: asked == ("POST", "/v1/agents/"))
    created = stack.all_paths()
    assert not stack.sleeptime_agent["tags"]
    assert len(created) == 5
    primary_paths = (
        f"/v1/agents/{stack.primary['id']}",
        *(path for path in created if stack.primary["blocks"][0]["id"] in path),
    )
    if then == "dropped":
        stack.fleet.write("agents: {}\n")
    elif then != "destroyed":
        stack.write("false" if then == "turned off" else None)
        stack.build()
        assert {each.reason for each in stack.fleet.plan().unmanaged} == {
            "marked, no longer declared; --prune deletes it",
            "marked, no longer declared; --prune deletes it unless another agent uses it",
        }
    options = DESTROY_ALL if then == "destroyed" else PlanOptions(prune=True, allow_destroy=("*",))
    plan, _ = flow.apply(stack.fleet.source, stack.fleet.connection, options, consent=True)
    assert {("delete", "agents.ann-sleeptime"), ("delete", "agents.ann-sleeptime.memory.memory_persona")} <= {
        (change.action, str(change.address)) for change in plan.changes
    }
    remaining = () if then in ("destroyed", "dropped") else primary_paths
    assert [path for path in created if stack.exists(path)] == [path for path in created if path in remaining]
    assert not flow.plan(stack.fleet.source, stack.fleet.connection, options).steps


def test_moved_renames_sleeptime_agent_with_primary(stack: SleeptimeStack) -> None:
    stack.build()
    before = stack.all_paths()
    stack.write(key="bob", more=", name: ann", top="moved: [{from: agents.ann, to: agents.bob}]\n")
    assert {action for action, _, _ in changes(stack.fleet.plan())} == {"mark"}
    stack.fleet.apply()
    assert stack.all_paths() == before
    assert sorted(str(live.address) for live in stack.fleet.state()) == [
        "agents.bob",
        "agents.bob-sleeptime",
        "agents.bob-sleeptime.memory.memory_persona",
        "agents.bob.memory.notes",
        "groups.bob-sleeptime",
    ]


def test_state_rm_forgets_both_agents(stack: SleeptimeStack) -> None:
    stack.build()
    before, primary, sleeptime_agent = stack.all_paths(), stack.primary["id"], stack.sleeptime_agent["id"]
    flow.state_remove(stack.fleet.source, stack.fleet.connection, "agents.ann")
    assert stack.fleet.state() == []
    assert all(map(stack.exists, before))
    for path in before:
        body = stack.fleet.raw.get(path).json()
        assert not any(tag.startswith("lettaform") for tag in body.get("tags") or ())
        assert "lettaform" not in str(body.get("description"))
    for path in (f"/v1/agents/{primary}", *(path for path in before if "blocks" in path)):
        stack.fleet.raw.delete(path)
    assert not stack.exists(f"/v1/agents/{sleeptime_agent}")


def test_replace_keeps_persona_of_sleeptime_agent(stack: SleeptimeStack) -> None:
    stack.build()
    before = stack.sleeptime_agent["id"]
    stack.fleet.patch(f"/v1/blocks/{stack.persona()['id']}", value="I have learnt much.")
    stack.write(more=", agent_type: memgpt_v2_agent")
    with pytest.raises(Guarded):
        stack.fleet.plan()
    stack.fleet.apply(allow_destroy=("agents.ann",))
    assert stack.sleeptime_agent["id"] != before
    assert stack.persona()["value"] == "I have learnt much."
    assert stack.group["sleeptime_agent_frequency"] == 3


def test_block_attached_later_reaches_sleeptime_agent(stack: SleeptimeStack) -> None:
    stack.build()
    stack.write(more=", blocks: [rota]", top="blocks: {rota: {value: Ann.}}\n")
    stack.fleet.apply()
    assert {block["label"] for block in stack.sleeptime_agent["blocks"]} == {"notes", "memory_persona", "rota"}
    prompts = f"/v1/agents/{stack.sleeptime_agent['id']}/messages"
    system = stack.fleet.raw.get(prompts, params={"order": "asc", "limit": 1}).json()[0]
    assert (system["message_type"], "<rota>" in system["content"]) == ("system_message", True)


def test_block_detached_later_leaves_sleeptime_agent(stack: SleeptimeStack) -> None:
    stack.write(more=", blocks: [rota]", top="blocks: {rota: {value: Ann.}}\n")
    stack.fleet.apply()
    assert "rota" in {block["label"] for block in stack.sleeptime_agent["blocks"]}
    stack.write(top="blocks: {rota: {value: Ann.}}\n")
    expected = [("update", "agents.ann", ["blocks"]), ("update", "agents.ann-sleeptime", ["blocks"])]
    assert sorted(changes(stack.fleet.plan())) == expected
    stack.fleet.apply()
    for agent in (stack.primary, stack.sleeptime_agent):
        assert "rota" not in {block["label"] for block in agent["blocks"]}
    assert not stack.fleet.plan()
