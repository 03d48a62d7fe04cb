"""A key that was renamed without `moved` is recognised, and answered with the entry to paste."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.model import Plan, PlanOptions
from tests.standin import StandIn

MODELS = "model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false"
AGENT = f"{{{MODELS}, system: One., memory: {{human: Nobody.}}}}"


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder, self.standin = folder, StandIn()
        self.source, self.connection = flow.Source(folder), flow.Connection(url="http://stand.in", patience=None)

    def write(self, text: str) -> None:
        (self.folder / "lettaform.yaml").write_text(f"stack: n\n{text}\n")

    def run(self, verb: Callable[[], Any]) -> Any:
        with mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.standin)):
            return verb()

    def apply(self, text: str) -> None:
        self.write(text)
        self.run(lambda: flow.apply(self.source, self.connection, consent=True))

    def plan(self, text: str, **options: Any) -> Plan:
        self.write(text)
        return self.run(lambda: flow.plan(self.source, self.connection, PlanOptions(**options)))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def entries(plan: Plan) -> list[str]:
    """The entries that the warnings of a plan name."""
    hints = (warning.hint or "" for warning in plan.warnings if "is declared as" in warning.message)
    return [hint.split("`")[1] for hint in hints]


@pytest.mark.parametrize("prune", [False, True])
@pytest.mark.parametrize(
    ("before", "after", "entry"),
    [
        (f"agents: {{a: {AGENT}}}", f"agents: {{b: {AGENT}}}", "moved: [{from: agents.a, to: agents.b}]"),
        (
            f"agents: {{a: {{name: Ann, {AGENT[1:-1]}}}}}",
            f"agents: {{b: {{name: Ann, {AGENT[1:-1].replace('One.', 'Two.')}}}}}",
            "moved: [{from: agents.a, to: agents.b}]",
        ),
        (
            f"agents: {{w: {{for_each: [x, y], {AGENT[1:-1]}}}}}",
            f"agents: {{w: {{for_each: [x, z], {AGENT[1:-1]}}}}}",
            "moved: [{from: 'agents.w[y]', to: 'agents.w[z]'}]",
        ),
        ("blocks: {a: {value: Brand.}}", "blocks: {b: {value: Brand.}}", "moved: [{from: blocks.a, to: blocks.b}]"),
        (
            "archives: {a: {embedding: letta/letta-free, passages: [One.]}}",
            "archives: {b: {embedding: letta/letta-free, passages: [One.]}}",
            "moved: [{from: archives.a, to: archives.b}]",
        ),
    ],
)
def test_the_entry_of_a_renamed_key_can_be_pasted(
    before: str, after: str, entry: str, prune: bool, project: Project
) -> None:
    project.apply(before)
    assert entries(project.plan(after, prune=prune)) == [entry]
    moved = project.plan(f"{after}\n{entry}", prune=prune)
    assert {change.action for change in moved.changes} <= {"mark", "update"}
    assert not entries(moved)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"agents: {{a: {AGENT}}}", f"agents: {{b: {AGENT.replace('One.', 'Two.')}}}"),  # another one
        (f"agents: {{a: {AGENT}, b: {AGENT}}}", f"agents: {{c: {AGENT}}}"),  # which of the two is not known
        (f"agents: {{a: {AGENT}}}", f"agents: {{b: {AGENT}, c: {AGENT}}}"),
        (f"agents: {{a: {AGENT}}}", f"agents: {{a: {AGENT}, b: {AGENT}}}"),  # nothing is left over
        (f"agents: {{a: {AGENT}}}", "blocks: {a: {value: x}}"),
        ("blocks: {a: {}}", "blocks: {b: {value: x}}"),
    ],
)
def test_what_was_not_renamed(before: str, after: str, project: Project) -> None:
    project.apply(before)
    assert not entries(project.plan(after))


def test_a_destroy_names_no_renamed_key(project: Project) -> None:
    project.apply(f"agents: {{a: {AGENT}}}")
    assert not entries(project.plan(f"agents: {{b: {AGENT}}}", destroy=True))
