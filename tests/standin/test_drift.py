"""`drift`, `show` and `plan -v` of a stack that others have changed, and every command that `drift` names.

On the stand-in, then on a real server.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner, Result

from lettaform.cli import cli
from tests.live.conftest import Letta
from tests.live.conftest import letta as letta
from tests.live.fleet import READ_ONLY_POSTS, TOOL, Fleet, RequestLog
from tests.standin import StandIn
from tests.standin.server import serve

pytestmark = pytest.mark.thorough

MANIFEST = """\
variables: {key: {secret: true}}
blocks:
  org: {value: We sell bicycles., policy: {value: enforce}}
tools:
  weather: {source: weather.py}
agents:
  boss:
    description: The boss.
    system: |
      You lead.
      Be kind.
    memory:
      persona: I lead.
      human: {value: Nobody yet., limit: 2000}
    tags: [a, b]
    blocks: [org]
    tools: [weather]
    secrets: {KEY: "${var.key}"}
  worker:
    for_each: [x, y, z]
    name: "worker-${each.key}"
    description: Works.
    memory: {persona: I work.}
"""
KEY, MODEL = "hunter22-key", "letta/letta-free"


class Stack(Fleet):
    """A stack that was applied."""

    def run(self, *words: str, key: bool = False) -> Result:
        variables = ("--var", f"key={KEY}") if key else ()
        at = ("-C", str(self.folder), "--server", self.connection.url or "")
        return CliRunner().invoke(cli, [*at, *variables, *words], env={"LETTA_API_KEY": self.connection.token or ""})

    def drift(self) -> dict[str, Any]:
        return dict(json.loads(self.run("drift", "--json").stdout))

    def edit(self, old: str, new: str) -> None:
        path = self.folder / "lettaform.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))

    def change_outside(self) -> None:
        """What agents and people do on the server."""
        boss, (tool,) = self.agent("boss"), self.tools()
        agent = f"/v1/agents/{boss['id']}"
        self.patch(agent, description="A clerk.", system="You lead.\nBe brief.\n")
        self.patch(f"{agent}/core-memory/blocks/human", value=f"Her name is Ada.\nShe told me {KEY}.\n")
        (persona,) = [block for block in boss["blocks"] if block["label"] == "persona"]
        self.patch(f"{agent}/core-memory/blocks/detach/{persona['id']}")
        self.patch(f"{agent}/tools/detach/{tool['id']}")
        self.patch(f"/v1/blocks/{self.block('org')['id']}", value="We sell skis.")
        self.raw.delete(f"/v1/agents/{self.agent('worker-x')['id']}").raise_for_status()


def declare(stack: Stack) -> Stack:
    stack.write(MANIFEST, weather_py=TOOL.format(name=f"weather_{stack.stack.replace('-', '_')}"))
    return stack


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    with serve(StandIn()) as url:
        made = declare(Stack(url, MODEL, MODEL, None, tmp_path, "t-drift"))
        assert made.run("apply", "-y", key=True).exit_code == 0
        yield made


def back(found: dict[str, Any]) -> set[tuple[str, str, str]]:
    return {(each["address"], f["path"], f["reason"]) for each in found["objects"] for f in each["written_back"]}


def check_classes(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every class of drift is found, what the manifest alone changes is none, and nothing is written."""
    stack.change_outside()
    stack.edit("The boss.", "The chief.")  # on both sides
    stack.edit("Works.", "Works hard.")  # no drift
    with monkeypatch.context() as patch:
        requests = RequestLog(patch)
        result = stack.run("drift")
        sent = [each for each in requests.sent if each[0] != "GET" and not each[1].endswith(READ_ONLY_POSTS)]
    assert (result.exit_code, sent) == (2, [])
    found = stack.drift()
    assert back(found) == {
        ("agents.boss", "description", "conflict"),
        ("agents.boss", "system", "drift"),
        ("agents.boss", "tools", "drift"),
        ("blocks.org", "value", "drift"),
    }
    assert [each["address"] for each in found["objects"] if each["missing"]] == ["agents.worker[x]"]
    kept = {(each["address"], f["path"]) for each in found["objects"] for f in each["kept"]}
    assert kept == {("agents.boss.memory.human", "value"), ("agents.boss.memory.persona", "attached")}
    assert found["summary"]["edited"] == 2  # the workers that exist
    assert KEY not in result.stdout + json.dumps(found)
    assert stack.run("plan", "--refresh-only").stdout == result.stdout
    assert "agents.worker" not in stack.run("drift", "--target", "agents.boss", "--target", "blocks.org").stdout


def test_every_class_is_found_and_nothing_is_written(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    check_classes(stack, monkeypatch)


def test_before_the_first_apply_and_after_it_there_is_no_drift(tmp_path: Path) -> None:
    with serve(StandIn()) as url:
        stack = declare(Stack(url, MODEL, MODEL, None, tmp_path, "t-drift"))
        result = stack.run("drift")
        assert (result.exit_code, "nothing of stack t-drift" in result.stdout) == (0, True)
        assert "the manifest changes 6 objects" in result.stdout
        stack.run("apply", "-y", key=True)
        result = stack.run("drift")
    assert (result.exit_code, result.stdout.count("\n")) == (0, 1)
    assert result.stdout.startswith("No drift: 11 objects of stack t-drift on http")


def test_apply_writes_back_what_drift_says(stack: Stack) -> None:
    stack.change_outside()
    assert "`lettaform apply` writes 4 fields back and creates 1 object again" in stack.run("drift").stdout
    assert stack.run("apply", "-y", key=True).exit_code == 0
    result = stack.run("drift")
    assert (result.exit_code, stack.drift()["summary"]["kept"]) == (0, 2)
    assert stack.block("org")["value"] == "We sell bicycles."
    assert "weather" in str(stack.agent("boss")["tools"])


def test_pull_with_drift_accepts_what_drift_says(stack: Stack) -> None:
    stack.change_outside()
    assert "`lettaform pull --drift` accepts 3 values" in stack.run("drift").stdout
    stack.run("pull", "--drift", "-y")  # the text with the secret is left out
    found = stack.drift()
    assert back(found) == {("agents.boss", "tools", "drift")}
    assert "We sell skis." in (stack.folder / "lettaform.yaml").read_text()
    assert "pull --drift" not in stack.run("drift").stdout


def test_pull_takes_what_agents_changed(stack: Stack) -> None:
    boss = stack.agent("boss")["id"]
    stack.patch(f"/v1/agents/{boss}/core-memory/blocks/human", value="Ada.")
    result = stack.run("drift")
    assert result.exit_code == 0
    assert "1 value changed by agents, kept.\n  → `lettaform pull` puts 1 value that agents changed" in result.stdout
    stack.run("pull", "-y")
    assert stack.drift()["summary"] | {"compared": 0} == dict.fromkeys(stack.drift()["summary"], 0)


def test_plan_shows_what_is_not_applied_yet(stack: Stack) -> None:
    stack.edit("Works.", "Works hard.")
    result = stack.run("drift")
    line = "  → the manifest changes 3 objects that no apply has written yet, no drift: `lettaform plan` shows them\n"
    assert (result.exit_code, line in result.stdout) == (0, True)
    assert "Plan: 0 to create, 3 to change" in stack.run("plan", key=True).stdout


def test_verbose_plan_shows_seeds_beside_what_agents_made_of_them(stack: Stack) -> None:
    stack.change_outside()
    shown = stack.run("plan", "-v", key=True).stdout
    diff = ["- Nobody yet.", "+ Her name is Ada.", "+ She told me ‹secret›."]
    lines = [line.strip() for line in shown.splitlines()]
    start = lines.index(diff[0])
    assert [each for each in lines[start : start + 4] if not each.startswith("\\")] == diff
    assert KEY not in shown
    assert "Nobody yet." not in stack.run("plan", key=True).stdout


def check_show(stack: Stack) -> None:
    """`show` needs no variable, and names instead of ids what an object refers to."""
    stack.change_outside()
    one = stack.run("show", "agents.boss").stdout
    assert stack.block("org")["id"] not in one
    assert "blocks" in one
    assert "[blocks.org]" in one
    assert "- Nobody yet." in one
    assert '"The boss." → "A clerk."' in one
    assert "memory.persona  detached from its agent, or deleted" in one
    assert len(one.splitlines()) < 50
    assert KEY not in one + stack.run("show", "agents.boss", "-v").stdout + stack.run("show", "--json").stdout
    assert stack.block("org")["id"] in stack.run("show", "agents.boss", "-v").stdout
    every = stack.run("show").stdout.splitlines()
    assert len(every) < 15
    assert "agents.worker[x]  missing on the server" in every
    (boss,) = [each for each in every if each.startswith("agents.boss")]
    assert boss.endswith("memory: human  3 changed outside, 2 changed by agents")
    objects = json.loads(stack.run("show", "--json").stdout)["objects"]
    assert {each["address"] for each in objects} >= {"agents.boss", "agents.boss.memory.human", "blocks.org"}


def test_show_is_for_people(stack: Stack) -> None:
    check_show(stack)


def test_show_needs_no_variable(tmp_path: Path) -> None:
    """What depends on a variable without a value is left out of the comparison, and nothing fails."""
    with serve(StandIn()) as url:
        stack = Stack(url, MODEL, MODEL, None, tmp_path, "t-drift")
        stack.write(
            "variables: {n: {}, text: {}, who: {}}\n"
            'blocks: {org: {value: "${var.text}", label: "${var.n}"}}\n'
            'agents: {a: {name: "${var.n}", system: "${var.text}", blocks: [org], memory: {p: "${var.text}"}}, '
            'w: {for_each: ["${var.who}"], memory: {p: x}}}\n'
        )
        words = ("--var", "n=ann", "--var", "text=hello", "--var", "who=x")
        assert stack.run("apply", "-y", *words).exit_code == 0
        shown = stack.run("show")
        assert (shown.exit_code, shown.stdout.count("\n")) == (0, 7)
        one = stack.run("show", "agents.a")
        assert (one.exit_code, "not applied yet" in one.stdout) == (0, False)


def test_an_address_that_nothing_has_is_an_error(stack: Stack) -> None:
    result = stack.run("drift", "--target", "agents.bos")
    assert (result.exit_code, "did you mean `agents.boss`?" in result.stderr) == (1, True)


@pytest.mark.live
def test_drift_and_show_on_a_real_server(letta: Letta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"t-{uuid4().hex[:8]}"
    stack = declare(Stack(letta.url, letta.model, letta.embedding, letta.password, tmp_path, name))
    try:
        assert stack.run("apply", "-y", key=True).exit_code == 0
        assert stack.run("drift").exit_code == 0
        check_classes(stack, monkeypatch)
        assert stack.run("apply", "-y", key=True).exit_code == 0
        assert stack.run("drift").exit_code == 0
    finally:
        stack.clear()
