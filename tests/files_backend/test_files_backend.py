"""A stack on the backend that keeps agents as files: every phase converges, and the plan after it is empty."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest

from lettaform import flow
from lettaform.errors import Guarded, PlanError
from lettaform.model import Answer, Plan, PlanOptions, Report, Step
from lettaform.values import Ref
from tests.files_backend.backend import FilesBackend

pytestmark = pytest.mark.thorough

FLEET = """
stack: files
agents:
  lead:
    model: letta/letta-free
    system: You lead.
    tags: [team]
    memory: {persona: I lead., human: Nobody yet.}
  desk:
    for_each: [emea, apac]
    model: letta/letta-free
    memory: {persona: "I look after ${each.key}."}
"""
CHANGED = FLEET.replace("You lead.", "You lead well.").replace("human: Nobody yet.", "notes: Nothing.")
LESS = "stack: files\nagents: {lead: {model: letta/letta-free, memory: {persona: I lead.}}}\n"
NOTHING = "stack: files\nagents: {}\n"


class Project:
    """A manifest and a folder of agents."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.agents = folder / "project", folder / "agents"
        self.folder.mkdir()

    def backend(self, url: str = "", **options: object) -> FilesBackend:
        return FilesBackend(self.agents)

    def plan(self, manifest: str, **options: object) -> Plan:
        (self.folder / "lettaform.yaml").write_text(manifest)
        with mock.patch.object(flow, "connect", self.backend):
            return flow.plan(flow.Source(self.folder), flow.Connection(), PlanOptions(**options))  # type: ignore[arg-type]

    def apply(self, manifest: str, **options: object) -> tuple[Plan, Report | None]:
        (self.folder / "lettaform.yaml").write_text(manifest)
        with mock.patch.object(flow, "connect", self.backend):
            asked = PlanOptions(**options)  # type: ignore[arg-type]
            plan, report = flow.apply(flow.Source(self.folder), flow.Connection(), asked, consent=True)
        assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
        return plan, report

    def files(self) -> dict[str, str]:
        return {str(path.relative_to(self.agents)): path.read_text() for path in sorted(self.agents.rglob("*.json"))}


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_create_change_prune_and_destroy_converge(project: Project) -> None:
    for manifest, options, agents, blocks in (
        (FLEET, {}, 3, 4),
        (CHANGED, {}, 3, 5),
        (CHANGED, {"prune": True}, 3, 4),
        (LESS, {"prune": True, "allow_destroy": ("*",)}, 1, 1),
        (LESS, {"destroy": True, "allow_destroy": ("*",)}, 0, 0),
    ):
        _, report = project.apply(manifest, **options)
        assert report is not None
        names = list(project.files())
        assert sum(name.endswith("agent.json") for name in names) == agents
        assert sum("/memory/" in name for name in names) == blocks
        again = project.plan(NOTHING if options.get("destroy") else manifest)
        assert not again.steps, [(change.action, str(change.address), change.reason) for change in again.changes]
    assert not list(project.agents.rglob("*.txt"))


def test_a_second_apply_changes_no_file(project: Project) -> None:
    project.apply(FLEET)
    before = project.files()
    plan, report = project.apply(FLEET)
    assert not plan
    assert report is None
    assert project.files() == before


def test_what_an_agent_wrote_is_kept(project: Project) -> None:
    project.apply(FLEET)
    (path,) = project.agents.rglob("memory/human.json")
    path.write_text(path.read_text().replace("Nobody yet.", "Ada, who likes tea."))
    plan, _ = project.apply(FLEET.replace("Nobody yet.", "Somebody."))
    assert [str(each.address) for each in plan.runtime] == ["agents.lead.memory.human"]
    assert "Ada, who likes tea." in path.read_text()


def test_a_renamed_agent_keeps_its_files(project: Project) -> None:
    project.apply(LESS)
    before = project.files()
    renamed = LESS.replace("lead:", "chief:") + "moved: [{from: agents.lead, to: agents.chief}]\n"
    project.apply(renamed)
    assert {name for name in project.files() if "memory" in name} == {name for name in before if "memory" in name}
    assert not project.plan(renamed).steps


def test_an_agent_is_adopted_once_no_other_stack_has_it(project: Project) -> None:
    project.apply(LESS.replace("stack: files", "stack: other"))
    (agent,) = project.agents.glob("agents/*")
    source, connection = flow.Source(project.folder), flow.Connection()
    with mock.patch.object(flow, "connect", project.backend):
        (project.folder / "lettaform.yaml").write_text(LESS)
        with pytest.raises(PlanError, match="belongs to stack `other`"):
            flow.adopt(source, connection, "agents.lead", agent.name)
        (project.folder / "lettaform.yaml").write_text(LESS.replace("stack: files", "stack: other"))
        flow.state_remove(source, connection, "agents.lead")
        (project.folder / "lettaform.yaml").write_text(LESS)
        flow.adopt(source, connection, "agents.lead", agent.name)
    assert not project.plan(LESS).steps


def test_an_agent_with_memory_is_not_replaced_without_consent(project: Project) -> None:
    project.apply(LESS)
    with pytest.raises(Guarded):
        project.plan(LESS.replace("memory:", "agent_type: memgpt_v2_agent, memory:"))


def test_shared_blocks_are_an_error_of_the_plan(project: Project) -> None:
    with pytest.raises(Exception, match="lack what the manifest declares"):
        project.plan("stack: files\nblocks: {org: {value: Shared.}}\n")


class Killed(BaseException):
    """The process is gone."""


def killing(number: int) -> Callable[[FilesBackend, Step, Callable[[Ref], object]], Answer]:
    """A `send` that carries out the n-th step, counted from 1, and never returns from it."""
    send, count = FilesBackend.send, [0]

    async def once(backend: FilesBackend, step: Step, answer: Callable[[Ref], object]) -> Answer:
        done = await send(backend, step, answer)
        count[0] += 1
        if count[0] == number:
            raise Killed
        return done

    return once  # type: ignore[return-value]


@pytest.mark.parametrize("number", range(1, 10))
def test_an_apply_that_was_killed_is_resumed_without_duplicates(project: Project, number: int) -> None:
    with mock.patch.object(FilesBackend, "send", killing(number)), pytest.raises(BaseException):  # noqa: B017, PT011
        project.apply(FLEET)
    (project.agents / "lock.json").unlink(missing_ok=True)
    project.apply(FLEET)
    names = list(project.files())
    assert sum(name.endswith("agent.json") for name in names) == 3
    assert sum("/memory/" in name for name in names) == 4
    assert not project.plan(FLEET).steps


def test_two_applies_at_once_are_refused(project: Project) -> None:
    project.plan(FLEET)
    (project.agents / "lock.json").write_text("files")
    with pytest.raises(PlanError, match="locked"):
        project.apply(FLEET)


MERGED = """
stack: files
agents:
  lead:
    model: letta/letta-free
    memory: {facts: {policy: {value: merge}, value: "Oslo.\\nTea.\\nLate."}}
"""


def test_what_git_and_the_agent_changed_of_a_text_is_merged(project: Project) -> None:
    project.apply(MERGED)
    (file,) = project.agents.glob("agents/*/memory/*.json")
    file.write_text(file.read_text().replace("Late.", "Late.\\nA dog."))
    changed = MERGED.replace("Oslo.", "Rome.")
    project.apply(changed)
    assert json.loads(file.read_text())["value"] == "Rome.\nTea.\nLate.\nA dog."
    assert not project.plan(changed).steps
