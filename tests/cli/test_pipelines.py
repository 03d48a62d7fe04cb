"""The story of a pull request, with the very commands of the pipelines that `init` writes, on both code hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

import lettaform
from lettaform.cli.init import _made
from tests.ci.conftest import host
from tests.ci.hosts import TOKEN, GitHubHost, Host
from tests.standin import StandIn
from tests.standin.server import serve

__all__ = ["host"]  # the fixture

pytestmark = pytest.mark.thorough

GITHUB = GitHubHost
"""The code host of the tests in which the hosts do not differ."""
MANIFEST = """\
stack: team
agents:
  ann: {model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false, system: Be kind.}
"""


class Repository:
    """A repository with a manifest, the jobs of its pipeline, its code host and its server."""

    def __init__(self, folder: Path, host: Host, url: str) -> None:
        self.folder, self.host, self.url = folder, host, url
        self.output = ""
        (folder / "lettaform.yaml").write_text(MANIFEST)

    def scripts(self, job: str) -> Iterator[tuple[str, dict[str, str]]]:
        """The scripts of a job, each with its environment. Installing lettaform is left out."""
        if isinstance(self.host, GitHubHost):
            for step in self.made("github.yml")[0]["jobs"][job]["steps"]:
                if "run" in step and not step["run"].startswith("pip "):
                    yield step["run"], step.get("env", {})
        else:
            _, jobs = self.made("gitlab.yml")
            yield "\n".join(jobs[job]["script"]), {}

    def made(self, source: str) -> list[Any]:
        return list(yaml.safe_load_all(_made({"x": source}, VERSION=lettaform.__version__)["x"]))

    def job(self, name: str, *, merged: bool = False, digest: str = "") -> int:
        """Run a job. Returns the exit code of the first script that fails, or 0."""
        values = {"secrets.LETTA_BASE_URL": self.url, "github.token": TOKEN, "inputs.digest": digest}
        given = {"LETTA_BASE_URL": self.url} if isinstance(self.host, GitHubHost) is False else {}
        environ = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "GITHUB_STEP_SUMMARY": str(self.folder.parent / "summary"),
            "OPTIONS": "",
            "DIGEST": digest,
            **given,
            **self.host.environ(self.folder.parent, pull_request=not merged),
        }
        if isinstance(self.host, GitHubHost):
            del environ["GITHUB_TOKEN"]  # a step gets it only if it passes it on
        self.output = ""
        for script, env in self.scripts(name):
            more = {
                key: re.sub(r"\$\{\{ (\S+) \}\}", lambda m: values.get(m[1], ""), text) for key, text in env.items()
            }
            command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
            done = subprocess.run(
                command, cwd=self.folder, env=environ | more, capture_output=True, text=True, check=False
            )
            self.output += done.stdout + done.stderr
            if done.returncode:
                return done.returncode
        return 0

    def edit(self, old: str, new: str) -> None:
        path = self.folder / "lettaform.yaml"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    @property
    def comments(self) -> list[str]:
        return [each["body"] for each in self.host.comments.values()]

    def agent(self) -> dict[str, Any]:
        (agent,) = httpx.get(f"{self.url}/v1/agents/").json()
        return dict(agent)

    def change_on_server(self, **values: str) -> None:
        httpx.patch(f"{self.url}/v1/agents/{self.agent()['id']}", json=values).raise_for_status()


@pytest.fixture
def repository(tmp_path: Path, host: Host) -> Iterator[Repository]:
    (tmp_path / "repository").mkdir()
    with serve(StandIn()) as url:
        yield Repository(tmp_path / "repository", host, url)


def test_what_was_reviewed_is_applied(repository: Repository) -> None:
    assert [repository.job("validate"), repository.job("plan")] == [0, 0], repository.output
    assert httpx.get(f"{repository.url}/v1/agents/").json() == []
    repository.edit("Be kind.", "Be kind and brief.")
    assert repository.job("plan") == 0, repository.output
    (comment,) = repository.comments  # the second plan took the place of the first
    assert "agents.ann" in comment
    assert "brief" in comment
    assert repository.job("apply", merged=True) == 0, repository.output
    assert repository.agent()["system"] == "Be kind and brief."
    # a merge that changes nothing
    assert repository.job("plan") == 0, repository.output
    assert repository.job("apply", merged=True) == 0, repository.output


@pytest.mark.parametrize("host", [GITHUB], ids=["GitHub"], indirect=True)
def test_what_has_moved_since_is_not_applied_until_it_is_reviewed(repository: Repository) -> None:
    assert [repository.job("plan"), repository.job("apply", merged=True)] == [0, 0], repository.output
    repository.edit("Be kind.", "Be brief.")
    assert repository.job("plan") == 0
    repository.change_on_server(system="Be rude.")
    assert repository.job("apply", merged=True) == 6
    assert "the server has changed since" in repository.output
    assert repository.agent()["system"] == "Be rude."
    (digest,) = re.findall(r"\b[0-9a-f]{32}\.[0-9a-f]{8}\b", repository.output.split("Digest")[-1])
    assert repository.job("apply", merged=True, digest=digest) == 0, repository.output
    assert repository.agent()["system"] == "Be brief."


def test_a_commit_without_a_reviewed_plan_is_not_applied(repository: Repository) -> None:
    assert repository.job("apply", merged=True) == 1
    assert "has no plan of stack `team`" in repository.output
    repository.host.open = True
    assert repository.job("apply", merged=True) == 1
    assert "no pull request was merged with this commit" in repository.output
    assert httpx.get(f"{repository.url}/v1/agents/").json() == []


@pytest.mark.parametrize("host", [GITHUB], ids=["GitHub"], indirect=True)
def test_drift_opens_an_issue_and_closes_it(repository: Repository) -> None:
    assert [repository.job("plan"), repository.job("apply", merged=True)] == [0, 0], repository.output
    assert repository.job("drift", merged=True) == 0, repository.output
    assert repository.host.issues == {}
    repository.change_on_server(system="Be rude.")
    assert repository.job("drift", merged=True) == 0, repository.output
    (issue,) = repository.host.issues.values()
    assert "agents.ann" in issue["body"]
    assert issue["open"]
    repository.change_on_server(system="Be kind.")
    assert repository.job("drift", merged=True) == 0, repository.output
    assert not issue["open"]


@pytest.mark.parametrize("host", [GITHUB], ids=["GitHub"], indirect=True)
def test_a_manifest_with_a_problem_is_neither_planned_nor_applied(repository: Repository) -> None:
    repository.edit("system:", "sytem:")
    assert repository.job("validate") == 1
    assert repository.job("plan") == 1
    assert repository.comments == []
