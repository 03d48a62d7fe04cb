"""The commands validate, schema and init."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from lettaform import local
from lettaform.address import Address
from lettaform.cli import cli
from lettaform.manifest import load
from lettaform.manifest.schema import text
from tests.manifest.conftest import Project
from tests.manifest.test_schema import rejected


def run(*arguments: str, folder: Path | None = None) -> Result:
    return CliRunner().invoke(cli, [*(["-C", str(folder)] if folder else []), *arguments])


WRONG = "stack: s\nagents:\n  a: {modle: a/b}\n  b: {model: '50%,:'}\n"


def test_validate(project: Project) -> None:
    project.write("stack: s\nagents: {a: {memory: {human: x}, tools: [web_search]}}\ninclude: ['x/*.yaml']\n")
    done = run("validate")
    assert (done.exit_code, done.stdout) == (0, "The manifest is valid: 2 objects in stack s.\n")
    assert "no file matches `x/*.yaml`" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["validate", "--json"], ["validate", "--format", "json"], ["--json", "validate"]]
)
def test_validate_as_json(arguments: list[str], project: Project) -> None:
    project.write(WRONG)
    done = run(*arguments)
    assert done.exit_code == 1
    problems = json.loads(done.stdout)["problems"]
    assert problems[0] == {
        "file": "lettaform.yaml",
        "line": 3,
        "column": 7,
        "address": "agents.a",
        "field": "modle",
        "message": "unknown field `modle`",
        "hint": "did you mean `model`?",
        "severity": "error",
    }
    assert len(problems) == 2
    project.write("stack: s\n")
    assert json.loads(run(*arguments).stdout) == {"problems": []}


def test_validate_for_github(project: Project) -> None:
    project.write(WRONG)
    done = run("validate", "--format", "github")
    assert done.exit_code == 1
    assert done.stdout.splitlines() == [
        "::error file=lettaform.yaml,line=3,col=7::unknown field `modle` (did you mean `model`?)",
        "::error file=lettaform.yaml,line=4,col=14::"
        "model: expected a text of the form `provider/model`, got the text '50%25,:'",
    ]


def test_a_manifest_cannot_inject_workflow_commands(project: Project) -> None:
    project.write('stack: s\nagents: {"a\\n::set-output x": {modle: a/b}}\n')
    lines = run("validate", "--format", "github").stdout.splitlines()
    assert lines
    assert all(line.startswith("::error file=lettaform.yaml,") for line in lines)


def test_validate_as_sarif(project: Project) -> None:
    project.write(WRONG)
    done = run("validate", "--format", "sarif")
    assert done.exit_code == 1
    run_ = json.loads(done.stdout)["runs"][0]
    assert run_["results"][0] == {
        "ruleId": "manifest",
        "level": "error",
        "message": {"text": "unknown field `modle` (did you mean `model`?)"},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": "lettaform.yaml"},
                    "region": {"startLine": 3, "startColumn": 7},
                }
            }
        ],
    }
    assert {result["ruleId"] for result in run_["results"]} == {rule["id"] for rule in run_["tool"]["driver"]["rules"]}


def test_validate_shows_the_line(project: Project) -> None:
    project.write(WRONG)
    done = run("validate")
    assert done.exit_code == 1
    assert "3 │   a: {modle: a/b}" in done.stderr
    assert "did you mean `model`?" in done.stderr


def test_schema(project: Project) -> None:
    assert run("schema").stdout == text()
    assert json.loads(run("schema", "plan").stdout)["title"] == "lettaform plan"


def test_init(project: Project) -> None:
    done = run("init")
    assert done.exit_code == 0
    assert "lettaform apply" in done.stdout
    written = {str(path.relative_to(project.folder)) for path in project.folder.rglob("*") if path.is_file()}
    assert written == {
        "lettaform.yaml",
        "lettaform.schema.json",
        "prompts/supervisor.md",
        "prompts/worker.md",
        ".gitignore",
    }
    manifest = project.load()
    assert Address.of("agents", "supervisor").part("memory", "persona") in manifest.objects
    assert rejected((project.folder / "lettaform.yaml").read_text()) == []
    assert (project.folder / ".gitignore").read_text() == ".lettaform/\n"


def test_init_does_not_overwrite_files(project: Project) -> None:
    (project.folder / "prompts").mkdir()
    (project.folder / "prompts/worker.md").write_text("mine")
    done = run("init", "--ci", "github")
    assert done.exit_code == 1
    assert "these files exist already: prompts/worker.md" in done.stderr
    assert [name for _, _, names in os.walk(project.folder) for name in names] == ["worker.md"]


def test_init_writes_the_workflow(tmp_path: Path) -> None:
    import yaml

    folder = tmp_path / "My Fleet!"
    folder.mkdir()
    (folder / ".gitignore").write_text("*.pyc")
    done = run("init", "--ci", "github", "--json", folder=folder)
    assert ".github/workflows/lettaform.yml" in json.loads(done.stdout)["written"]
    workflow = yaml.safe_load((folder / ".github/workflows/lettaform.yml").read_text())
    steps = {step.get("name"): step for step in workflow["jobs"]["fleet"]["steps"]}
    assert "lettaform plan" in steps["Plan"]["run"]
    assert steps["Plan"]["if"] == "github.event_name == 'pull_request'"
    assert "lettaform apply -y" in steps["Apply"]["run"]
    assert steps["Apply"]["if"] == "github.event_name == 'push'"
    assert (folder / ".gitignore").read_text() == "*.pyc\n.lettaform/\n"
    assert load(folder, environ={}).stack == "my-fleet"


def test_init_takes_the_models_of_the_server_at_hand(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def known(port: int, model: str, condition: Any = "running") -> local.Known:
        return local.Known(f"http://127.0.0.1:{port}", condition, "0.16.8", model, "e/mbedding", Path(), 1)

    servers = (known(9001, "a/one"), known(8283, "a/two"), known(9002, "a/three", "stopped"))
    monkeypatch.setattr(local, "status", lambda: servers)
    echo, silent = local.MODELS[True][0], local.MODELS[False][0]
    for url, model in ((None, "a/two"), ("http://localhost:9001", "a/one"), ("http://localhost:9002", echo)):
        folder = project.folder / (url or "default").rpartition(":")[2]
        folder.mkdir()
        monkeypatch.delenv("LETTA_BASE_URL", raising=False)
        if url:
            monkeypatch.setenv("LETTA_BASE_URL", url)
        done = run("init", folder=folder)
        assert done.exit_code == 0
        manifest = load(folder, environ={})
        assert manifest.objects[Address.of("agents", "worker")].values["model"] == model
        assert "lettaform dev up --echo-model" in done.stdout
        assert "no model that answers" not in done.stdout
    # a server without the echo model: what to choose is said
    monkeypatch.setattr(local, "status", lambda: (known(9002, silent),))
    (project.folder / "silent").mkdir()
    assert f"use {echo}" in run("init", folder=project.folder / "silent").stdout


@pytest.mark.parametrize("name", ["42", "007", "true", "null", "1e5", "-"])
def test_init_in_a_folder_with_any_name_writes_a_valid_manifest(name: str, project: Project) -> None:
    folder = project.folder / name
    folder.mkdir()
    assert run("init", folder=folder).exit_code == 0
    assert load(folder, environ={}).stack == (name.strip("-") or "fleet")
