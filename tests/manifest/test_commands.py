"""The commands validate, schema and init."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

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
