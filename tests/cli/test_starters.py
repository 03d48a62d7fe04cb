"""The files that `init` writes for a CI, and their copies in this repository, from which others can use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import lettaform
from lettaform.cli.init import HOOKS, PIPELINES, SCHEMA, _made
from lettaform.manifest.node import TAGS

ROOT = Path(__file__).parents[2]
COPIES = {".github/workflows/fleet.yml": "github.yml", "templates/fleet.yml": "gitlab.yml"}
"""A file in the repository to the text from which it is made, where a code host expects it."""


def made(source: str) -> str:
    return _made({"x": source}, VERSION=lettaform.__version__)["x"]


@pytest.mark.parametrize("name", COPIES)
def test_the_copies_in_the_repository_are_current(name: str) -> None:
    assert (ROOT / name).read_text() == made(COPIES[name]), f"write it again: {COPIES[name]}"


@pytest.mark.parametrize(
    "source", [*HOOKS.values(), *(each for files in PIPELINES.values() for each in files.values())]
)
def test_nothing_is_left_to_fill_in(source: str) -> None:
    assert "@" not in made(source).replace("@v", "")
    assert list(yaml.safe_load_all(made(source)))


def test_the_hooks_of_the_repository_are_those_that_init_writes() -> None:
    published = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    (local,) = yaml.safe_load(made("pre-commit.yaml"))["repos"]
    for each in published:
        del each["description"]
    for each in local["hooks"]:
        assert each.pop("additional_dependencies") == [f"lettaform=={lettaform.__version__}"]
    assert published == local["hooks"]


def test_the_settings_of_an_editor_name_every_tag() -> None:
    settings = json.loads(made("vscode.json"))
    assert [each.partition(" ")[0] for each in settings["yaml.customTags"]] == list(TAGS)
    assert settings["yaml.schemas"] == {f"./{SCHEMA}": ["lettaform.yaml", "lettaform.yml"]}


def jobs() -> dict[str, Any]:
    jobs: dict[str, Any] = yaml.safe_load(made("github.yml"))["jobs"]
    return jobs


def test_pull_requests_of_forks_get_no_secrets_and_no_plan() -> None:
    for name, job in jobs().items():
        secrets = "secrets." in str(job)
        assert secrets == (name != "validate")
        if name == "plan":
            assert job["if"] == "github.event.pull_request.head.repo.full_name == github.repository"
        elif secrets:
            assert "pull_request" not in job["if"]


def test_each_job_may_do_what_it_does_and_no_more() -> None:
    may = {name: job.get("permissions", {}) for name, job in jobs().items()}
    assert may == {
        "validate": {},
        "plan": {"contents": "read", "pull-requests": "write"},
        "apply": {"contents": "read", "pull-requests": "read"},
        "drift": {"contents": "read", "issues": "write"},
    }


def test_no_step_puts_a_value_of_a_run_into_a_script() -> None:
    """An expression in a script is a way to inject commands: the title of a pull request, a branch, a digest."""
    steps = [step for job in jobs().values() for step in job["steps"]]
    steps += yaml.safe_load((ROOT / "action.yml").read_text())["runs"]["steps"]
    assert not [step["run"] for step in steps if "${{" in step.get("run", "")]
