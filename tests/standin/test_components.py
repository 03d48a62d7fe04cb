"""lettaform on a stand-in: objects of components, also when they move into a component and out of it."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path

import pytest

from lettaform.manifest import load
from lettaform.model import Plan
from lettaform.render import text
from tests.standin.test_end_to_end import LettaformOnStandIn

pytestmark = pytest.mark.thorough

EXAMPLE = Path(__file__).parents[2] / "examples" / "per-tenant"
HEAD = "stack: s\ndefaults: {agents: {model: openai-proxy/echo, embedding: letta/letta-free}}\n"
DESK = """
variables: {guide: {default: none}}
agents:
  lead: {name: lead, model: openai-proxy/echo, embedding: letta/letta-free, memory: {persona: me}, blocks: [notes]}
blocks: {notes: {value: x}}
"""
APART = "agents: {lead: {memory: {persona: me}, blocks: [notes]}}\nblocks: {notes: {value: x}}\n"


class Stack(LettaformOnStandIn):
    def applied(self, manifest: str) -> Plan:
        """Apply, then assert that the next plans are empty. Returns the plan that was applied."""
        desk = self.folder / "desk" / "component.yaml"
        desk.parent.mkdir(exist_ok=True)
        desk.write_text(DESK)
        (self.folder / "lettaform.yaml").write_text(HEAD + textwrap.dedent(manifest))
        loaded = load(self.folder)
        plan, report = self.run(loaded)
        assert report is None or report.exit_code == 0
        self.assert_no_changes(loaded)
        return plan


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param(
            APART,
            "components: {emea: {use: ./desk}}\nmoved:\n- {from: agents.lead, to: components.emea.agents.lead}\n"
            "- {from: blocks.notes, to: components.emea.blocks.notes}\n",
            id="into a component",
        ),
        pytest.param(
            "components: {emea: {use: ./desk}}\n",
            APART + "moved:\n- {from: components.emea.agents.lead, to: agents.lead}\n"
            "- {from: components.emea.blocks.notes, to: blocks.notes}\n",
            id="out of a component",
        ),
        pytest.param(
            "components: {emea: {use: ./desk}}\n",
            "components: {desk: {use: ./desk, for_each: [a]}}\n"
            "moved: [{from: components.emea, to: 'components.desk[a]'}]\n",
            id="a whole component",
        ),
    ],
)
def test_objects_keep_their_ids_when_they_move(before: str, after: str, stack: Stack) -> None:
    created = stack.applied(before)
    assert {change.action for change in created.changes} == {"create"}
    stack.standin.log.clear()
    moved = stack.applied(after)
    assert not {change.action for change in moved.changes} & {"create", "delete", "replace"}
    made = {(method, path) for method, path, _ in stack.standin.log if method == "DELETE" and "agents" in path}
    assert not made


def test_a_change_of_the_component_of_300_tenants_is_planned_in_25_lines(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    stack = LettaformOnStandIn(tmp_path)
    _, report = stack.run(load(tmp_path))
    assert report is not None
    assert report.exit_code == 0
    with (tmp_path / "components/desk/prompts/clerk.md").open("a") as file:
        file.write("Never guess.\n")
    changed, _ = stack.run(load(tmp_path), do=False)
    assert sum(change.action == "update" for change in changed.changes) == 300
    shown = text.plan(changed, verbose=False)
    print(shown)
    assert "the same for 299 more" in shown
    assert len(shown.splitlines()) <= 25
