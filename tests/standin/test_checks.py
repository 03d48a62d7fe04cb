"""Checks around an apply: the gate afterwards, the rollback, and what other verbs see of copies."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import PlanError
from lettaform.model import Plan, PlanOptions, Report
from lettaform.plan.planned import Planned
from lettaform.session.copies import Copies
from tests.backend.v1.served import URL
from tests.session.test_observe import MODELS, Project

pytestmark = pytest.mark.thorough

MANIFEST = f"""
blocks: {{team: {{value: We., policy: {{value: enforce}}}}}}
agents: {{ann: {{{MODELS}, system: Be kind., blocks: [team]}}}}
"""


def checks(wanted: str, on_failure: str = "stop") -> str:
    expect = f"{{memory: {{team: {{contains: {wanted}}}}}}}"
    return f"checks: {{c: {{agent: ann, say: hello, expect: {expect}, on_failure: {on_failure}}}}}\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.applied(tmp_path, MANIFEST)


def apply(project: Project, **more: Any) -> tuple[Plan, Report | None]:
    gate = flow.CheckOptions()
    given = {"consent": True, **more}
    return project.flow(lambda: flow.apply(project.source, project.connection, checks=gate, **given))


def team(project: Project) -> str:
    (row,) = project.rows("blocks", label="team")
    return str(row["value"])


def test_checks_run_after_an_apply(project: Project) -> None:
    project.write(MANIFEST.replace("We.", "You.") + checks("you"))
    _, report = apply(project)
    assert report is not None
    assert report.checked is not None
    assert (report.exit_code, report.snapshot, report.undone) == (0, None, None)
    assert [each.status for each in report.checked.results] == ["passed"]


def test_checks_run_if_nothing_changes(project: Project) -> None:
    project.write(MANIFEST + checks("you"))
    plan, report = apply(project)
    assert not plan
    assert report is not None
    assert (report.exit_code, report.outcomes) == (3, ())


def test_a_failure_stops_without_a_rollback(project: Project) -> None:
    project.write(MANIFEST.replace("We.", "You.") + checks("them"))
    _, report = apply(project)
    assert report is not None
    assert (report.exit_code, report.undone, team(project)) == (3, None, "You.")


def test_a_failure_rolls_back(project: Project) -> None:
    project.write(MANIFEST.replace("We.", "You.").replace("kind", "brief") + checks("them", "rollback"))
    _, report = apply(project)
    assert report is not None
    assert report.undone is not None
    assert (report.exit_code, report.undone.exit_code, team(project)) == (3, 0, "We.")
    (agent,) = project.rows("agents")
    assert agent["system"] == "Be kind."
    assert len(project.plan().changes) == 2  # the manifest still asks for it


def test_what_the_apply_created_stays_and_there_is_nothing_to_roll_back(project: Project) -> None:
    project.write(MANIFEST + "archives: {new: {}}\n" + checks("them", "rollback"))
    _, report = apply(project)
    assert report is not None
    assert (report.exit_code, report.snapshot, report.undone) == (3, None, None)
    assert [row["name"] for row in project.rows("archives")] == ["new"]


def test_no_check_runs_if_consent_is_refused(project: Project) -> None:
    project.write(MANIFEST.replace("We.", "You.") + checks("you"))
    _, report = apply(project, consent=lambda plan: False)
    assert report is None
    assert not any("messages" in each for each in project.server.asked)


def test_a_manifest_without_checks_is_an_error_before_anything_is_applied(project: Project) -> None:
    project.write(MANIFEST.replace("We.", "You."))
    with pytest.raises(PlanError, match="the manifest declares no checks"):
        apply(project)
    assert team(project) == "We."


def test_a_saved_plan_can_be_checked(project: Project, tmp_path: Path) -> None:
    project.write(MANIFEST.replace("We.", "You.") + checks("you"))
    saved = tmp_path / "plan.json"
    flow.save(project.plan(), saved)
    run = lambda: flow.apply_saved(saved, project.source, project.connection, consent=True, checks=flow.CheckOptions())  # noqa: E731
    _, report = project.flow(run)
    assert report.checked.exit_code == 0


def test_no_other_verb_takes_a_copy_for_an_object_of_the_stack(project: Project, tmp_path: Path) -> None:
    async def leave() -> None:
        backend = connect(URL, transport=project.server)
        copies = Copies(backend, "s")
        backend.begin(copies.claimed, frozenset())
        copy = await copies.create(
            Planned(
                {"model": "letta/letta-free", "embedding": "letta/letta-free"},
                {"team": {"value": "x", "label": "team"}},
            )
        )
        diary = project.server.block("diary", value="Dear.")
        project.server.attach(copy.id, "core-memory/blocks", diary["id"])
        project.server.post(f"/v1/agents/{copy.id}/archival-memory", text="I was here.")
        await backend.close()

    asyncio.run(leave())
    source, connection = project.source, project.connection
    plan = project.flow(lambda: flow.plan(source, connection, PlanOptions(prune=True)))
    assert (plan.steps, plan.unmanaged) == ((), ())
    assert project.flow(lambda: flow.audit(source, connection)).findings == ()
    assert [each.id for each in project.flow(lambda: flow.state_list(source, connection)) if "check" in each.name] == []
    assert project.flow(lambda: flow.status(source, connection)).total == 2
    with pytest.raises(PlanError, match="nothing on the server is to be imported"):
        project.flow(lambda: flow.import_all(connection, tmp_path / "all"))
    plan = project.flow(lambda: flow.plan(source, connection, PlanOptions(destroy=True)))
    assert [str(change.address) for change in plan.changes] == ["agents.ann", "blocks.team"]
