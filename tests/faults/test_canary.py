"""Canaries whose start, promotion or removal meets a kill or a fault at any request: the same command completes it.

No copy is there twice, no block of a copy is left over, and the memory of the agent is never written.
"""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pytest

from lettaform import flow
from lettaform.errors import LettaformError, PlanError
from lettaform.manifest import load
from lettaform.model import Manifest, Plan, PlanOptions, Report
from tests.faults.fleet import differences
from tests.faults.harness import Fault, FaultyTransport, at
from tests.faults.run import LATENCY, Run, Wrong
from tests.standin import StandIn

FLEET = """
stack: sweep
blocks: {team: {value: We are a team.}, rules: {value: Be kind., read_only: true}}
defaults:
  agents: {model: openai-proxy/echo, embedding: letta/letta-free, include_base_tools: false, blocks: [team, rules]}
agents:
  ann: {memory: {notes: none}, system: Old., tools: [send_message]}
  bob: {memory: {notes: none}}
"""
Does = Literal["start", "promote", "remove"]
KILLS = [fault for fault in Fault if fault.kills]


class CanaryRun(Run):
    """A run of one of the commands. A killed end that was complete is followed by an ordinary apply."""

    does: Does = "start"

    def carry_out(self, source: flow.Source, notify: flow.Notify) -> tuple[Plan | None, Report | None]:
        how: dict[str, Any] = {"consent": True, "notify": notify}
        if self.does == "start":
            options = flow.CanaryOptions(copies=2)
            return flow.canary_start(source, self.connection, ["ann"], options, **how)
        end = flow.canary_promote if self.does == "promote" else flow.canary_remove
        try:
            return end(source, self.connection, ["ann"], **how)
        except PlanError as error:
            if "has no canary" not in error.message:
                raise
            target = () if self.does == "promote" else ("agents.bob",)
            return flow.apply(source, self.connection, PlanOptions(target=target), **how)


@dataclass(frozen=True)
class Scene:
    """A fleet before a command, the number of its requests, and what is there after it."""

    does: Does
    manifest: Manifest
    tables: Any
    requests: int
    end: Any


def run(does: Does, manifest: Manifest, tables: Any, fault: Fault | None = None, number: int = 0) -> CanaryRun:
    standin = StandIn(seed=1)
    standin.tables = copy.deepcopy(tables)
    faulty = FaultyTransport(standin, fault or Fault.REFUSE, at(number), latency=LATENCY, seed=0)
    made = CanaryRun(standin, manifest, PlanOptions(), faulty)
    made.does = does
    return made


def everything(made: Run) -> Any:
    """The objects on the server; a lock of a killed run is no part of it."""
    found = made.snapshot()
    return {name: each for name, each in found.items() if name != "identities"}


@cache
def scenes(folder: Path) -> dict[str, Scene]:
    (folder / "lettaform.yaml").write_text(FLEET)
    manifest, standin = load(folder, ()), StandIn()
    Run(standin, manifest, PlanOptions(), FaultyTransport(standin, latency=LATENCY, seed=0)).apply()
    for block in standin.tables.blocks.values():
        if block["label"] == "notes":
            block["value"] = "learned"
    (folder / "lettaform.yaml").write_text(FLEET.replace("Old.", "New."))
    manifest = load(folder, ())
    found: dict[str, Scene] = {}
    tables: Any = standin.tables
    steps: tuple[Does, ...] = ("start", "promote", "remove")
    for does in steps:
        undisturbed = run(does, manifest, tables)
        report = undisturbed.apply()
        assert report is not None
        assert report.exit_code == 0
        found[does] = Scene(does, manifest, tables, len(undisturbed.sent), everything(undisturbed))
        if does == "start":
            tables = undisturbed.standin.tables
    return found


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    return scenes(tmp_path_factory.mktemp("canary"))


def wrong(scene: Scene, fault: Fault, number: int) -> list[str]:
    """What is wrong after a command with a fault at this request, and the same without."""
    disturbed = run(scene.does, scene.manifest, scene.tables, fault, number)
    try:
        disturbed.apply_with_fault(must=False)
        if disturbed.faulty.triggered is None:
            return []
        disturbed.clock.run(disturbed.faulty.settle())
        disturbed.apply_again()
    except (Wrong, LettaformError) as error:
        return [repr(error)]
    return [*differences(everything(disturbed), scene.end)]


def check(fleet: dict[str, Scene], chosen: list[tuple[str, Fault, int]]) -> None:
    failed = {case: found for case in chosen if (found := wrong(fleet[case[0]], *case[1:]))}
    assert not failed, "\n".join(f"{case}: {why[:3]}" for case, why in failed.items())


@pytest.mark.thorough
def test_sample_of_kills_and_faults(fleet: dict[str, Scene]) -> None:
    numbers = [(does, number) for does, scene in fleet.items() for number in range(1, scene.requests + 1)]
    drawn = random.Random(5)
    kills = [(does, drawn.choice(KILLS), number) for does, number in drawn.sample(numbers, 6)]
    check(fleet, [*kills, *((does, drawn.choice([*Fault]), number) for does, number in drawn.sample(numbers, 3))])


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
def test_every_fault_at_every_request(fault: Fault, fleet: dict[str, Scene]) -> None:
    check(fleet, [(does, fault, number) for does, scene in fleet.items() for number in range(1, scene.requests + 1)])
