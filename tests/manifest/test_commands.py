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
from lettaform.manifest.rules import RULES
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


@pytest.mark.parametrize("form", ["text", "json", "sarif", "github"])
def test_validate_strict_makes_warnings_errors(form: str, project: Project) -> None:
    project.write("stack: s\nblocks: {a: {value: x, description: y}}\n")
    lenient, strict = (run("validate", *words, "--format", form) for words in ((), ("--strict",)))
    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert "nothing refers to `blocks.a`" in strict.output
    levels = {
        "text": "Error: ",
        "json": '"severity": "error"',
        "sarif": '"ruleId": "unused-declaration",\n          "level": "error"',
    }
    assert levels.get(form, "::error ") in strict.output
    project.write("stack: s\n")
    assert run("validate", "--strict", "--format", form).exit_code == 0


@pytest.mark.parametrize(
    "arguments", [["validate", "--json"], ["validate", "--format", "json"], ["--json", "validate"]]
)
def test_validate_as_json(arguments: list[str], project: Project) -> None:
    project.write(WRONG)
    done = run(*arguments)
    assert done.exit_code == 1
    problems = json.loads(done.stdout)["problems"]
    assert problems[0] == {
        "id": "invalid-form",
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
        "::error file=lettaform.yaml,line=3,col=7,title=invalid-form::unknown field `modle` (did you mean `model`?)",
        "::error file=lettaform.yaml,line=4,col=14,title=invalid-form::"
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
        "ruleId": "invalid-form",
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
    rules = {rule["id"]: rule for rule in run_["tool"]["driver"]["rules"]}
    assert rules.keys() == RULES.keys()
    assert rules["near-limit"] == {
        "id": "near-limit",
        "shortDescription": {"text": RULES["near-limit"].doc},
        "defaultConfiguration": {"level": "warning"},
    }


def test_validate_shows_what_is_probably_a_mistake_with_its_rule(project: Project) -> None:
    project.write("stack: s\nagents: {a: {for_each: [x]}}\n")
    done = run("validate")
    assert (done.exit_code, "Warning: for_each: has one item [single-for-each]" in done.stderr) == (0, True)
    done = run("validate", "--format", "sarif")
    assert [each["ruleId"] for each in json.loads(done.stdout)["runs"][0]["results"]] == ["single-for-each"]
    done = run("validate", "--format", "github")
    title = "title=single-for-each"
    assert done.stdout.startswith(f"::warning file=lettaform.yaml,line=2,col=24,{title}::for_each: has one item (")


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
    manifest = project.load(lints=True)
    assert manifest.warnings == ()
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


def test_init_in_a_folder_with_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "My Fleet!"
    folder.mkdir()
    (folder / ".gitignore").write_text("*.pyc")
    done = run("init", "--json", folder=folder)
    assert "lettaform.yaml" in json.loads(done.stdout)["written"]
    assert (folder / ".gitignore").read_text() == "*.pyc\n.lettaform/\n"
    assert load(folder, environ={}).stack == "my-fleet"


def test_init_makes_a_folder(project: Project) -> None:
    done = run("init", "my fleet")
    assert "wrote my fleet/lettaform.yaml\n" in done.stdout
    assert "Next:\n  cd 'my fleet'\n  lettaform dev up" in done.stdout
    assert load(project.folder / "my fleet", environ={}).stack == "my-fleet"
    again = run("init", "my fleet")
    assert "there is a manifest already: lettaform.yaml" in again.stderr
    (project.folder / "file").write_text("")
    assert run("init", "file").exit_code == 1


ADDED = {
    ("--ci", "github"): [".github/workflows/lettaform.yml"],
    ("--ci", "gitlab"): [".gitlab-ci.yml", ".gitlab/lettaform.yml"],
    ("--pre-commit",): [".pre-commit-config.yaml"],
    ("--schema",): ["lettaform.schema.json"],
    ("--editor", "vscode"): [".vscode/settings.json", "lettaform.schema.json"],
    ("--ci", "github", "--pre-commit", "--schema"): [
        ".github/workflows/lettaform.yml",
        ".pre-commit-config.yaml",
        "lettaform.schema.json",
    ],
}


@pytest.mark.parametrize("name", ["lettaform.yaml", "lettaform.yml", "fleet.yaml"])
@pytest.mark.parametrize("options", ADDED, ids=" ".join)
def test_init_adds_only_what_is_asked_for_to_a_project(options: tuple[str, ...], name: str, project: Project) -> None:
    (project.folder / name).write_text("# ours\nstack: ours\n")
    (project.folder / ".gitignore").write_text(".lettaform/\n")
    done = run("init", *options, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"written": ADDED[options], "add": {}}
    files = {str(path.relative_to(project.folder)) for path in project.folder.rglob("*") if path.is_file()}
    assert files == {name, ".gitignore", *ADDED[options]}
    assert (project.folder / name).read_text() == "# ours\nstack: ours\n"
    again = run("init", *options)
    assert again.exit_code == (0 if options in (("--schema",), ("--pre-commit",), ("--editor", "vscode")) else 1)


def test_init_in_a_project_says_what_it_could_add(project: Project) -> None:
    project.write("stack: ours\n")
    done = run("init")
    assert done.exit_code == 1
    assert "there is a manifest already: lettaform.yaml" in done.stderr
    assert "--ci, --pre-commit, --editor or --schema" in done.stderr


def test_init_takes_no_other_yaml_for_a_manifest(project: Project) -> None:
    (project.folder / "compose.yaml").write_text("services:\n  stack: {image: x}\n")
    assert run("init").exit_code == 0
    assert (project.folder / "lettaform.yaml").exists()


def test_init_prints_what_to_add_to_a_shared_file(project: Project) -> None:
    project.write("stack: ours\n")
    (project.folder / ".gitlab-ci.yml").write_text("stages: [test]\n")
    (project.folder / ".pre-commit-config.yaml").write_text("repos: []\n")
    done = run("init", "--ci", "gitlab", "--pre-commit")
    assert done.exit_code == 0
    assert ".gitlab-ci.yml exists. Add this to it:\n\ninclude:\n  - local: .gitlab/lettaform.yml\n" in done.stdout
    assert "      - id: lettaform-validate\n" in done.stdout
    assert (project.folder / ".gitlab-ci.yml").read_text() == "stages: [test]\n"
    assert (project.folder / ".gitlab/lettaform.yml").exists()


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
