"""`apply --approve`: exactly the plan that somebody reviewed is applied, planned again; anything else is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest
from click.testing import CliRunner, Result

from lettaform import flow
from lettaform.backend import connect
from lettaform.cli import cli
from lettaform.errors import PlanError, Stale
from lettaform.model import Plan, PlanOptions
from tests.standin import StandIn

URL = "http://stand.in"
MODELS = "model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false"
TEXT = f"""
stack: n
variables:
  token: {{secret: true}}
blocks:
  b: {{value: One., policy: {{value: enforce}}}}
agents:
  a: {{{MODELS}, system: One., secrets: {{TOKEN: "${{var.token}}"}}, blocks: [b]}}
"""


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder, self.standin = folder, StandIn()
        self.write(TEXT)
        self.apply()

    def write(self, text: str) -> None:
        (self.folder / "lettaform.yaml").write_text(text)

    def source(self, token: str = "AAAA") -> flow.Source:
        return flow.Source(self.folder, variables={"token": token})

    def run(self, verb: Callable[[flow.Connection], Any]) -> Any:
        with mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.standin)):
            return verb(flow.Connection(url=URL, patience=None))

    def plan(self, **options: Any) -> Plan:
        return self.run(lambda at: flow.plan(self.source(), at, PlanOptions(**options)))

    def apply(self, approved: str | None = None, token: str = "AAAA") -> Any:
        return self.run(lambda at: flow.apply(self.source(token), at, approved=approved, consent=True))

    def written(self) -> int:
        return len(self.standin.writes)

    def spoil(self, value: str) -> None:
        with httpx.Client(transport=self.standin, base_url=URL) as http:
            block = next(each for each in http.get("/v1/blocks/").json() if each["label"] == "b")
            http.patch(f"/v1/blocks/{block['id']}", json={"value": value}).raise_for_status()

    def cli(self, *words: str) -> Result:
        return self.run(
            lambda at: CliRunner().invoke(
                cli, ["-C", str(self.folder), "--server", URL, "--var", "token=AAAA", *words], catch_exceptions=False
            )
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_an_approved_plan_is_applied_after_planning_again(project: Project) -> None:
    project.write(TEXT.replace("system: One.", "system: Two."))
    approved = flow.approval(project.plan())
    assert flow.approval(project.plan()) == approved
    _, report = project.apply(approved)
    assert report.exit_code == 0
    assert not project.plan()


def test_what_does_not_change_the_effects_does_not_matter(project: Project) -> None:
    changed = TEXT.replace("system: One.", "system: Two.")
    project.write(changed)
    approved = flow.approval(project.plan())
    project.write(f"# a comment\n{changed}")
    _, report = project.apply(approved)
    assert report.exit_code == 0


def test_a_beginning_of_the_digest_is_enough(project: Project) -> None:
    project.write(TEXT.replace("system: One.", "system: Two."))
    _, report = project.apply(flow.approval(project.plan())[:12])
    assert report.exit_code == 0


def test_nothing_to_do_is_no_error(project: Project) -> None:
    project.write(TEXT.replace("system: One.", "system: Two."))
    approved = flow.approval(project.plan())
    project.apply(approved)
    plan, report = project.apply(approved)
    assert not plan
    assert report is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("system: Three.", "the manifest has changed since"),
        ("system: Two., description: More.", "the manifest has changed since"),
    ],
)
def test_another_manifest_is_refused(text: str, why: str, project: Project) -> None:
    project.write(TEXT.replace("system: One.", "system: Two."))
    approved, before = flow.approval(project.plan()), project.written()
    project.write(TEXT.replace("system: One.", text))
    with pytest.raises(Stale, match=why):
        project.apply(approved)
    assert project.written() == before


def test_another_secret_is_refused(project: Project) -> None:
    project.write(TEXT.replace("system: One.", "system: Two.").replace("TOKEN:", "OTHER: '${var.token}', TOKEN:"))
    approved, before = flow.approval(project.plan()), project.written()
    with pytest.raises(Stale, match="the manifest has changed since"):
        project.apply(approved, token="BBBB")
    assert project.written() == before


def test_a_value_that_would_be_overwritten_unseen_is_refused(project: Project) -> None:
    project.spoil("An agent wrote this.")
    approved = flow.approval(project.plan())
    project.spoil("An agent has learned more.")
    with pytest.raises(Stale, match="the server has changed since") as caught:
        project.apply(approved)
    assert flow.approval(project.plan()) in str(caught.value.hint)
    assert caught.value.exit_code == 6


def test_a_shorter_digest_without_its_second_part_does_not_say_what_changed(project: Project) -> None:
    project.write(TEXT.replace("system: One.", "system: Two."))
    approved = flow.approval(project.plan()).partition(".")[0]
    project.spoil("x")
    with pytest.raises(Stale, match="the manifest or the server has changed"):
        project.apply(approved)


@pytest.mark.parametrize("word", ["", "abc", "latest", "0" * 11, "g" * 32, "0" * 32 + ".", "0" * 65])
def test_what_is_no_digest_is_refused(word: str, project: Project) -> None:
    with pytest.raises(PlanError, match="is no digest of a plan"):
        project.apply(word)


def test_the_digest_of_a_plan_is_printed_and_taken(project: Project) -> None:
    project.write(TEXT.replace("system: One.", "system: Two."))
    last = project.cli("plan").stdout.splitlines()[-1]
    assert last == f"Digest: {flow.approval(project.plan())}"
    result = project.cli("--json", "plan")
    assert f'"digest": "{last.removeprefix("Digest: ")}"' in result.stdout
    project.write(TEXT.replace("system: One.", "system: Three."))
    refused = project.cli("apply", "--approve", last.removeprefix("Digest: "))
    assert refused.exit_code == 6
    assert "Three." in refused.stdout, "the plan that is refused is shown"
    assert "this is not the approved plan: the manifest has changed since" in refused.stderr
    project.write(TEXT.replace("system: One.", "system: Two."))
    assert project.cli("apply", "--approve", last.removeprefix("Digest: ")).exit_code == 0
    assert "Digest:" not in project.cli("plan").stdout


def test_a_saved_plan_needs_no_approval(project: Project) -> None:
    project.write(TEXT.replace("system: One.", "system: Two."))
    project.cli("plan", "-o", str(project.folder / "plan.json"))
    result = project.cli("apply", str(project.folder / "plan.json"), "--approve", "0" * 32)
    assert result.exit_code == 1
    assert "--approve cannot be combined with a saved plan" in result.stderr
