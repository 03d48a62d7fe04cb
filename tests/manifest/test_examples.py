"""Every example is valid and needs no input."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from lettaform.address import Address
from lettaform.manifest import load
from lettaform.values import Ref
from tests.cli.test_commands_in_texts import parse

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in EXAMPLES.glob("*/lettaform.yaml")), ids=lambda p: p.name
)
def test_is_valid_without_input(folder: Path) -> None:
    manifest = load(folder, environ={}, lints=True)
    assert manifest.objects
    assert manifest.warnings == ()
    assert (folder / "README.md").is_file()


def test_shared_memory_is_shared() -> None:
    manifest = load(EXAMPLES / "shared-memory", environ={})
    agents = [desired for desired in manifest.objects.values() if desired.kind == "agent"]
    assert len(agents) == 3
    assert all(agent.values["blocks"] == [Ref(Address.of("blocks", "organization"))] for agent in agents)
    assert "secret" not in str(manifest.outputs)


def test_tool_rules_refer_to_the_functions() -> None:
    values = load(EXAMPLES / "tools", environ={}).objects[Address.of("agents", "meteorologist")].values
    assert [rule["tool_name"] for rule in values["tool_rules"]] == ["convert_temperature", "advise_clothes"]


# --- the job of gitops-memory ----------------------------------------------------------------------------------------

JOB = EXAMPLES / "gitops-memory" / ".github" / "workflows" / "memory.yml"
LETTAFORM = """#!/bin/sh
echo "$0 $*" | sed 's/.*bin.//' >> "$RUNNER_TEMP/calls"
echo "Pull: a text of an agent"
echo '```'
if [ -n "$LEARNED" ]; then echo "$LEARNED" >> lettaform.yaml; fi
exit "$EXIT"
"""
GH = """#!/bin/sh
echo "gh $*" >> "$RUNNER_TEMP/calls"
if [ "$2" = list ]; then cat "$RUNNER_TEMP/open" 2> /dev/null; fi
exit 0
"""


class Job:
    """The steps of the job in a repository of its own, with stand-ins of lettaform and gh."""

    def __init__(self, folder: Path) -> None:
        self.work, self.temp, self.origin = folder / "work", folder / "temp", folder / "origin.git"
        programs = folder / "bin"
        for each in (self.work, self.temp, programs):
            each.mkdir()
        for name, text in {"lettaform": LETTAFORM, "gh": GH}.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
            "PATH": f"{programs}:{os.environ['PATH']}",
            "RUNNER_TEMP": str(self.temp),
            "GITHUB_OUTPUT": str(self.temp / "output"),
            "GITHUB_STEP_SUMMARY": str(self.temp / "summary"),
            "HOME": str(self.temp),
        }
        self.git("init", "-q", "-b", "main")
        (self.work / "lettaform.yaml").write_text("stack: s\n")
        self.git("add", ".")
        self.git("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "first")
        subprocess.run(["git", "clone", "-q", "--bare", str(self.work), str(self.origin)], check=True)
        self.git("remote", "add", "origin", str(self.origin))

    def git(self, *words: str, folder: Path | None = None) -> str:
        return subprocess.run(
            ["git", *words], cwd=folder or self.work, env=self.environ, check=True, capture_output=True, text=True
        ).stdout

    def run(self, code: int = 0, learned: str = "") -> list[int]:
        """The exit codes of the steps that run, from a fresh checkout of the main branch."""
        self.git("switch", "-q", "-C", "main", "main")
        environ = {**self.environ, "EXIT": str(code), "LEARNED": learned}
        codes: list[int] = []
        for step in yaml.safe_load(JOB.read_text())["jobs"]["pull"]["steps"]:
            if "run" not in step or step["run"].startswith("pip "):
                continue
            more = {"CODE": str(code)} if "CODE" in step.get("env", {}) else {}
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            done = subprocess.run(command, cwd=self.work, env={**environ, **more}, capture_output=True, check=False)
            codes.append(done.returncode)
            if done.returncode:
                break
        return codes

    @property
    def calls(self) -> list[str]:
        return (self.temp / "calls").read_text().splitlines()

    def pushed(self) -> str:
        return self.git("show", "lettaform/memory:lettaform.yaml", folder=self.origin)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_job_without_news_opens_no_pull_request(job: Job) -> None:
    assert job.run() == [0, 0, 0]
    assert job.calls == ["lettaform pull -y --no-color"]


def test_job_opens_a_pull_request_with_what_agents_learned_and_updates_it(job: Job) -> None:
    assert job.run(learned="# one") == [0, 0, 0]
    assert job.pushed() == "stack: s\n# one\n"
    assert "gh pr create --head lettaform/memory" in job.calls[-1]
    assert "\n    ```\n" in (job.temp / "body.md").read_text()
    (job.temp / "open").write_text("7\n")
    assert job.run(learned="# two") == [0, 0, 0]
    assert job.pushed() == "stack: s\n# two\n", "each run begins with the main branch"
    assert "gh pr edit lettaform/memory" in job.calls[-1]
    assert job.git("rev-list", "--count", "main..lettaform/memory", folder=job.origin).strip() == "1"


@pytest.mark.parametrize("code", [1, 4])
def test_job_fails_after_the_pull_request_if_something_was_not_pulled(code: int, job: Job) -> None:
    assert job.run(code, "# one") == [0, 0, code]
    assert job.pushed() == "stack: s\n# one\n"
    assert "    Pull: a text of an agent" in (job.temp / "summary").read_text()


def test_commands_of_the_job_parse(tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text("{}")
    (command,) = re.findall(r"^ *(lettaform [^>|]*)", JOB.read_text(), re.MULTILINE)
    parse(command.strip(), file)
