"""`status` on a stand-in: what it counts is what a plan counts, and it only reads."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import ManifestError, PlanError
from lettaform.flow import StackStatus, StatusOptions
from lettaform.model import Lock
from tests.standin import StandIn

MODELS = "model: letta/letta-free, embedding: letta/letta-free, include_base_tools: false"
MANIFEST = f"""stack: s
variables: {{key: {{secret: true}}}}
environments: {{prod: {{}}}}
defaults: {{agents: {{{MODELS}}}}}
blocks:
  org: {{value: We sell bicycles., limit: 100, tags: [core]}}
agents:
  boss:
    system: You lead.
    tags: [lead]
    memory: {{persona: I lead., human: {{value: Nobody yet., limit: 20}}}}
    blocks: [org]
    secrets: {{KEY: "${{var.key}}"}}
  worker:
    for_each: [x, y]
    memory: {{persona: I work.}}
    blocks: [org]
"""


class Stack:
    """A folder with a manifest, and a stand-in that counts requests."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.standin, self.folder, self.monkeypatch = StandIn(), folder, monkeypatch
        monkeypatch.setattr(flow, "connect", lambda url, **words: connect(url, **words, transport=self.standin))
        self.connection = flow.Connection(url="http://stand.in")
        self.variables: dict[str, str] = {"key": "hunter-22"}
        self.environment: str | None = None
        self.write(MANIFEST)

    @property
    def source(self) -> flow.Source:
        return flow.Source(self.folder, variables=self.variables, environment=self.environment)

    def write(self, text: str) -> None:
        (self.folder / "lettaform.yaml").write_text(text)

    def edit(self, old: str, new: str) -> None:
        text = (self.folder / "lettaform.yaml").read_text()
        assert text.count(old) == 1
        self.write(text.replace(old, new))

    def apply(self) -> None:
        _, report = flow.apply(self.source, self.connection, consent=True)
        assert report is not None
        assert report.exit_code == 0

    def status(self, *patterns: str, tags: tuple[str, ...] = ()) -> StackStatus:
        return flow.status(self.source, self.connection, StatusOptions(patterns, tags))

    def change(self, table: str, name: str, **values: Any) -> None:
        """Somebody else changes the objects with this name or label."""
        for each in getattr(self.standin.tables, table).values():
            if name in (each.get("name"), each.get("label")):
                each.update(values)

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a bare request of somebody else."""
        with httpx.Client(transport=self.standin, base_url="http://stand.in") as client:
            answer = client.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    @contextmanager
    def requests(self) -> Iterator[list[str]]:
        """The requests that are sent meanwhile: method and path."""
        asked: list[str] = []
        with self.monkeypatch.context() as patch:
            patch.setattr(self.standin, "before", lambda ask: asked.append(f"{ask.method} {ask.path}"))
            yield asked


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    return Stack(tmp_path, monkeypatch)


def counts(found: StackStatus) -> dict[str, int]:
    return {status: number for status, number in found.counts.items() if number}


def check_agrees(stack: Stack) -> StackStatus:
    """The status counts what the plan counts."""
    found, plan = stack.status(), flow.plan(stack.source, stack.connection)
    numbers, summary = found.counts, plan.summary
    assert numbers["ok"] + numbers["conflict"] == summary["unchanged"]
    assert numbers["missing"] == summary["create"]
    assert numbers["drifted"] + numbers["outdated"] + numbers["stale"] == summary["update"] + summary["replace"]
    assert numbers["unowned"] == summary["adopt"]
    assert numbers["removed"] + numbers["gone"] == summary["delete"] + summary["forget"]
    assert numbers["undeclared"] + numbers["orphaned"] + numbers["duplicate"] == len(plan.unmanaged)
    assert (found.kept, found.seeds) == (
        sum(each.live_moved and each.conflict is None for each in plan.runtime),
        sum(not each.live_moved for each in plan.runtime),
    )
    return found


def test_its_counts_are_those_of_a_plan(stack: Stack) -> None:
    assert counts(check_agrees(stack)) == {"missing": 8}
    stack.apply()
    assert counts(check_agrees(stack)) == {"ok": 8}
    stack.change("agents", "boss", system="You follow.")
    stack.change("blocks", "org", limit=200)
    stack.change("blocks", "human", value="Ada.", limit=30)
    assert check_agrees(stack).counts["drifted"] >= 3
    stack.edit("for_each: [x, y]", "for_each: [x, z]")
    stack.edit("value: Nobody yet.", "value: Nobody at all.")
    found = check_agrees(stack)
    assert (found.counts["missing"], found.counts["undeclared"], found.kept, found.seeds) == (2, 2, 1, 0)
    stack.edit("persona: I lead.", "persona: I led.")
    assert check_agrees(stack).seeds == 1


@pytest.mark.parametrize(
    "text",
    [
        "removed: [{from: 'agents.worker[x]', destroy: true}, {from: 'agents.worker[y]', destroy: false}]\n",
        "moved: [{from: agents.boss, to: agents.chief}]\n",
    ],
)
def test_its_counts_are_those_of_a_plan_with_declared_changes(text: str, stack: Stack) -> None:
    stack.apply()
    manifest = (
        MANIFEST.replace("  boss:\n", "  chief:\n") if text.startswith("moved") else MANIFEST.partition("  worker:")[0]
    )
    stack.write(manifest + text)
    found = check_agrees(stack)
    assert "undeclared" not in counts(found)


def test_it_only_reads_and_no_more_than_a_plan(stack: Stack) -> None:
    stack.apply()
    with stack.requests() as of_status:
        stack.status()
    with stack.requests() as of_plan:
        flow.plan(stack.source, stack.connection)
    assert {each.split()[0] for each in of_status} == {"GET"}
    assert sorted(of_status) == sorted(of_plan)
    stack.edit("[x, y]", f"[{', '.join(f'w{number}' for number in range(40))}]")
    with stack.requests() as missing:
        stack.status()
    stack.apply()
    with stack.requests() as many:
        assert stack.status().count > 80
    assert len(many) == len(missing) == len(of_status)


def test_what_it_says_of_an_agent(stack: Stack) -> None:
    stack.apply()
    stack.change("agents", "boss", last_stop_reason="end_turn")
    stack.change("blocks", "human", value="x" * 19)
    boss, worker = (next(iter(stack.status(each).objects)) for each in ("agents.boss", "agents.worker[x]"))
    assert (boss.name, boss.model, boss.members["blocks"]) == ("boss", "letta/letta-free", 3)
    assert boss.memory is not None
    assert boss.memory.used == 19 + len("I lead.") + len("We sell bicycles.")
    assert boss.fullest is not None
    assert boss.fullest[0] == "human"
    assert boss.last_run is not None
    assert (boss.last_run.reason, boss.unused, worker.last_run, worker.unused) == ("end_turn", False, None, True)
    assert boss.created.startswith("20")
    (org,) = stack.status("blocks.org").objects
    assert (org.users, org.memory and org.memory.limit) == (3, 100)


def test_a_selection_by_patterns_and_tags(stack: Stack) -> None:
    stack.apply()
    assert [str(each.address) for each in stack.status(tags=("core",)).objects] == ["blocks.org"]
    assert len(stack.status("agents.worker").objects) == 4
    assert len(stack.status(tags=("lead",)).objects) == 3
    chosen = stack.status("blocks.*")
    assert (chosen.count, chosen.total) == (1, 8)
    assert stack.status(tags=("none",)).objects == ()


def test_a_pattern_that_matches_nothing_is_an_error(stack: Stack) -> None:
    stack.apply()
    with pytest.raises(PlanError, match=r"no object has the address `agents\.bos`") as refused:
        stack.status("agents.bos")
    assert refused.value.hint == "did you mean `agents.boss`?"


def test_a_lock_of_another_run_is_a_warning(stack: Stack) -> None:
    stack.apply()

    async def held(self: flow.Session) -> Lock:
        return Lock("id", "ada", "now")

    stack.monkeypatch.setattr(flow.Session, "_holder", held)
    found = stack.status()
    assert [each.message for each in found.warnings] == [
        "stack `s` is locked by ada since now: what is shown may soon change"
    ]
    assert found.lock is not None
    assert counts(found) == {"ok": 8}


def test_a_secret_needs_no_value(stack: Stack) -> None:
    stack.apply()
    stack.variables = {}
    found = stack.status()
    assert counts(found) == {"ok": 8}
    assert [each.message for each in found.warnings] == ["${var.key}: without a value here, and therefore not compared"]
    stack.change("agents", "boss", system="You follow.")
    assert stack.status("agents.boss").objects[0].drifted == ("system",)


def test_another_environment_and_a_faulty_manifest_are_errors_as_in_a_plan(stack: Stack) -> None:
    stack.apply()
    stack.environment = "prod"
    with pytest.raises(PlanError, match="was applied with no environment"):
        stack.status()
    stack.environment = None
    stack.write("stack: s\nagents: 5\n")
    with pytest.raises(ManifestError):
        stack.status()


def test_an_empty_manifest(stack: Stack) -> None:
    stack.write("stack: s\n")
    stack.variables = {}
    found = stack.status()
    assert (found.objects, found.total) == ((), 0)
