"""A saved plan on a stand-in: what moved is named, and the file is shown without a server."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import CliRunner

from lettaform import flow
from lettaform.backend import connect
from lettaform.cli import cli
from lettaform.cli.formats import FORMATS, document
from lettaform.errors import Stale
from lettaform.model import PlanOptions
from tests.standin import StandIn

TEXT = """
stack: n
variables:
  token: {secret: true}
  region: {default: emea}
blocks:
  b: {value: !file text.md, policy: {value: enforce}}
folders:
  docs: {embedding: letta/letta-free, files: ["docs/*.md"]}
agents:
  a:
    model: letta/letta-free
    description: "${var.region}"
    secrets: {TOKEN: "${var.token}", OTHER: "Bearer ${env.N_OTHER}"}
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder, self.standin, self.file = folder, StandIn(), folder / "plan.json"
        (folder / "docs").mkdir()
        for name, text in {"lettaform.yaml": TEXT, "text.md": "One.", "docs/a.md": "A."}.items():
            (folder / name).write_text(text)

    def source(self, **variables: str) -> flow.Source:
        return flow.Source(self.folder, variables={"token": "AAAA", **variables})

    def run(self, verb: Callable[[flow.Connection], Any]) -> Any:
        through = mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.standin))
        with through:
            return verb(flow.Connection(url="http://stand.in", patience=None))

    def save(self, **options: Any) -> str:
        flow.save(self.run(lambda at: flow.plan(self.source(), at, PlanOptions(**options))), self.file)
        return self.file.read_text()

    def apply(self, **variables: str) -> Any:
        return self.run(lambda at: flow.apply_saved(self.file, self.source(**variables), at, consent=True))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    monkeypatch.setenv("N_OTHER", "OOOO")
    return Project(tmp_path)


def edit(project: Project, name: str, text: str) -> None:
    (project.folder / name).write_text(text)


MOVED: dict[str, tuple[Callable[[Project], dict[str, str]], str]] = {
    "a secret": (lambda project: {"token": "BBBB"}, "var.token has another value than planned"),
    "a variable": (lambda project: {"region": "apac"}, "var.region has another value than planned"),
    "the environment": (
        lambda p: os.environ.update(N_OTHER="XXXX") or {},
        "env.N_OTHER has another value than planned",
    ),
    "a text": (lambda project: edit(project, "text.md", "Two.") or {}, "text.md has changed"),
    "a file of a folder": (lambda project: edit(project, "docs/a.md", "B.") or {}, "docs/a.md has changed"),
    "a new file": (lambda project: edit(project, "docs/b.md", "B.") or {}, "docs/b.md has been added"),
    "the manifest": (
        lambda project: (
            edit(
                project,
                "lettaform.yaml",
                TEXT.replace("model: letta", "timezone: UTC, model: letta").replace(
                    "timezone: UTC, ", "timezone: UTC\n    "
                ),
            )
            or {}
        ),
        "lettaform.yaml has changed",
    ),
}


@pytest.mark.thorough
@pytest.mark.parametrize("before", ["first", "applied"])
@pytest.mark.parametrize("what", MOVED)
def test_what_moved_is_named_and_nothing_is_written(what: str, before: str, project: Project) -> None:
    if before == "applied":
        project.save()
        project.apply()
        for block in project.standin.tables.blocks.values():
            block["value"] = "drifted" if block["label"] == "b" else block["value"]
        for agent in project.standin.tables.agents.values():
            agent["description"] = "drifted"
            agent["secrets"] = []
            agent["tool_exec_environment_variables"] = []
    file = project.save()
    assert not {"AAAA", "OOOO"} & {word for word in ("AAAA", "OOOO") if word in file}
    change, cause = MOVED[what]
    variables, writes = change(project), len(project.standin.writes)
    with pytest.raises(Stale) as refused:
        project.apply(**variables)
    assert refused.value.message == f"the plan is stale: {cause}"
    assert refused.value.problems
    assert len(project.standin.writes) == writes


@pytest.mark.parametrize("before", ["first", "applied"])
def test_without_a_move_the_plan_is_applied(before: str, project: Project) -> None:
    if before == "applied":
        project.save()
        project.apply()
        edit(project, "text.md", "Two.")
    project.save()
    _, report = project.apply()
    assert report.exit_code == 0


def test_what_the_server_changed_is_named(project: Project) -> None:
    project.save()
    project.apply()
    edit(project, "text.md", "Two.")
    project.save()
    (block,) = [each for each in project.standin.tables.blocks.values() if each["label"] == "b"]
    block["value"] = "Drifted."
    with pytest.raises(Stale, match="the plan is stale: the server has changed") as refused:
        project.apply()
    assert [each.message for each in refused.value.problems] == ["blocks.b: value on the server"]


def test_the_file_is_private_and_has_its_own_key(project: Project) -> None:
    first, second = json.loads(project.save()), json.loads(project.save())
    assert stat.S_IMODE(project.file.stat().st_mode) == 0o600
    assert first["salt"] != second["salt"]
    project.apply()
    edit(project, "text.md", "Two.")
    assert "salt" not in json.loads(project.save())


def test_a_saved_plan_is_shown_without_manifest_server_and_variables(
    project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.save()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.delenv("N_OTHER")
    shown = CliRunner().invoke(cli, ["show", str(project.file)])
    assert shown.exit_code == 0, shown.output
    assert "agents.a" in shown.output
    assert "Plan: 3 to create" in shown.output
    listed = CliRunner().invoke(cli, ["--json", "show", str(project.file)])
    assert json.loads(listed.output)["summary"]["create"] == 3
    assert not {"steps", "salt", "inputs"} & json.loads(listed.output).keys()


@pytest.mark.parametrize("form", FORMATS)
def test_a_saved_plan_is_shown_in_every_format_as_the_plan_was(form: str, project: Project) -> None:
    edit(project, "lettaform.yaml", TEXT + "    blocks: [b]\n")
    project.save()
    project.apply()
    edit(project, "lettaform.yaml", TEXT.replace("files:", "description: Documents, files:") + "    blocks: [b]\n")
    edit(project, "text.md", "Two.")
    plan = project.run(lambda at: flow.plan(project.source(region="`@apac`"), at))
    flow.save(plan, project.file)
    shown = CliRunner().invoke(cli, ["show", str(project.file), "--format", form])
    assert (shown.exit_code, shown.output) == (0, document(plan, form))
    assert flow.approval(plan) in shown.output
    for secret in ("AAAA", "OOOO"):
        assert secret not in shown.output


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": "1.0", "options": {}}'])
def test_what_is_no_saved_plan_is_an_error(text: str, project: Project) -> None:
    project.file.write_text(text)
    shown = CliRunner().invoke(cli, ["show", str(project.file)])
    assert shown.exit_code == 1
    assert "is not a saved plan" in shown.output


# --- on another machine ----------------------------------------------------------------------------------------------


@pytest.fixture
def saved(project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A plan that is saved. What follows runs in an empty folder, without the environment of the project."""
    project.save()
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.delenv("N_OTHER")
    return project


@pytest.fixture
def changed(project: Project, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The same with the plan of a change that writes no secret."""
    project.save()
    project.apply()
    edit(project, "lettaform.yaml", TEXT.replace("{default: emea}", "{}"))
    edit(project, "text.md", "Two.")
    flow.save(project.run(lambda at: flow.plan(project.source(region="apac"), at)), project.file)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    monkeypatch.delenv("N_OTHER")
    return project


def lettaform(project: Project, *words: str) -> Any:
    return project.run(lambda at: CliRunner().invoke(cli, ["--server", "http://stand.in", *words]))


def test_a_saved_plan_is_applied_without_its_manifest(saved: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTAFORM_VAR_token", "AAAA")
    monkeypatch.setenv("N_OTHER", "OOOO")
    applied = lettaform(saved, "apply", "-y", str(saved.file))
    assert applied.exit_code == 0, applied.output
    assert not saved.run(lambda at: flow.plan(saved.source(), at))
    assert [each["original_file_name"] for each in saved.standin.tables.files.values()] == ["a.md"]


def test_a_secret_without_a_value_is_named_before_the_server_is_read(saved: Project) -> None:
    reads = len(saved.standin.log)
    refused = lettaform(saved, "apply", "-y", str(saved.file))
    assert refused.exit_code == 1
    assert "the variable `token` has no value: agents.a needs it" in refused.stderr
    assert "export LETTAFORM_VAR_token=…" in refused.stderr
    assert "the environment variable `N_OTHER` has no value: agents.a needs it" in refused.stderr
    assert len(saved.standin.log) == reads


@pytest.mark.parametrize("folder", ["elsewhere", "project"])
def test_other_secrets_are_not_needed(folder: str, changed: Project) -> None:
    there = ["-C", str(changed.folder)] if folder == "project" else []
    applied = lettaform(changed, *there, "apply", "-y", str(changed.file))
    assert applied.exit_code == 0, applied.output
    assert "2 to change" in applied.output
    assert next(iter(changed.standin.tables.agents.values()))["description"] == "apac"
    os.environ["N_OTHER"] = "OOOO"
    assert not changed.run(lambda at: flow.plan(changed.source(region="apac"), at))


def test_a_secret_with_another_value_is_refused(saved: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("N_OTHER", "OOOO")
    refused = lettaform(saved, "--var", "token=BBBB", "apply", "-y", str(saved.file))
    assert refused.exit_code == 6
    assert "var.token has another value than planned" in refused.stderr
    assert not saved.standin.tables.agents


def test_another_environment_is_refused(changed: Project) -> None:
    refused = lettaform(changed, "-e", "prod", "apply", "-y", str(changed.file))
    assert refused.exit_code == 6
    assert "this is another environment" in refused.stderr
