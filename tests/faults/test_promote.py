"""Promotions that meet a kill or a fault at any request: the same command completes them. `dev` is never written."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.errors import LettaformError
from lettaform.manifest import load
from lettaform.model import Plan, PlanOptions, Report
from tests.faults.fleet import differences
from tests.faults.harness import Fault, FaultyTransport, at
from tests.faults.run import LATENCY, Run, Wrong
from tests.standin import StandIn

FLEET = """
stack: sweep
environments: {dev: {stack: sweep-dev}, prod: {}}
blocks: {team: {value: "one\\ntwo\\nthree"}}
defaults:
  agents: {model: openai-proxy/echo, embedding: letta/letta-free, include_base_tools: false, blocks: [team]}
agents:
  ann: {memory: {notes: none}, system: Old.}
"""
NEW = "  bob: {memory: {diary: empty}}\n"
KILLS = [fault for fault in Fault if fault.kills]


class PromoteRun(Run):
    """A run of the promotion of a project."""

    project: Path

    def carry_out(self, source: flow.Source, notify: flow.Notify) -> tuple[Plan | None, Report | None]:
        with self.from_files():
            here = flow.Source(self.project, working=source.directory)
            return flow.promote(here, self.connection, "dev", "prod", memory="merge", notify=notify, consent=True)


@dataclass(frozen=True)
class Scene:
    """Two environments before the promotion, the number of its requests, and what is there after it."""

    project: Path
    tables: Any
    requests: int
    end: Any


def run(project: Path, tables: Any, fault: Fault | None = None, number: int = 0) -> PromoteRun:
    standin = StandIn(seed=1)
    standin.tables = copy.deepcopy(tables)
    faulty = FaultyTransport(standin, fault or Fault.REFUSE, at(number), latency=LATENCY, seed=0)
    made = PromoteRun(standin, load(project, (), environment="prod"), PlanOptions(), faulty)
    made.project = project
    return made


def everything(made: Run) -> Any:
    """The objects on the server; a lock of a killed run is no part of it."""
    return {name: each for name, each in made.snapshot().items() if name != "identities"}


def apply(project: Path, standin: StandIn, environment: str) -> None:
    manifest = load(project, (), environment=environment)
    Run(standin, manifest, PlanOptions(), FaultyTransport(standin, latency=LATENCY, seed=0)).apply()


def write(standin: StandIn, stack: str, address: str, value: str) -> None:
    tags = {f"lettaform:stack={stack}", f"lettaform:addr={address}"}
    (block,) = (each for each in standin.tables.blocks.values() if tags <= {*each["tags"]})
    block["value"] = value


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    project, standin = tmp_path_factory.mktemp("promote"), StandIn()
    (project / "lettaform.yaml").write_text(FLEET)
    apply(project, standin, "prod")
    (project / "lettaform.yaml").write_text(FLEET.replace("Old.", "New.") + NEW)
    apply(project, standin, "dev")
    write(standin, "sweep-dev", "blocks.team", "one dev\ntwo\nthree")
    write(standin, "sweep-dev", "agents.bob.memory.diary", "Dear diary.")
    write(standin, "sweep", "blocks.team", "one\ntwo\nthree prod")
    undisturbed = run(project, standin.tables)
    report = undisturbed.apply()
    assert report is not None
    assert report.exit_code == 0
    texts = [each["value"] for each in undisturbed.standin.tables.blocks.values()]
    assert (texts.count("Dear diary."), texts.count("one dev\ntwo\nthree prod")) == (2, 1)
    return Scene(project, standin.tables, len(undisturbed.sent), everything(undisturbed))


def wrong(scene: Scene, fault: Fault, number: int) -> list[str]:
    """What is wrong after a promotion with a fault at this request, and one without."""
    disturbed = run(scene.project, scene.tables, fault, number)
    try:
        disturbed.apply_with_fault(must=False)
        if disturbed.faulty.triggered is None:
            return []
        disturbed.clock.run(disturbed.faulty.settle())
        disturbed.apply_again()
    except (Wrong, LettaformError) as error:
        return [repr(error)]
    return [*differences(everything(disturbed), scene.end)]


def check(scene: Scene, chosen: list[tuple[Fault, int]]) -> None:
    failed = {case: found for case in chosen if (found := wrong(scene, *case))}
    assert not failed, "\n".join(f"{case}: {why[:3]}" for case, why in failed.items())


@pytest.mark.thorough
def test_sample_of_kills_and_faults(scene: Scene) -> None:
    numbers, drawn = range(1, scene.requests + 1), random.Random(3)
    kills = [(drawn.choice(KILLS), number) for number in drawn.sample(numbers, 4)]
    check(scene, [*kills, *((drawn.choice([*Fault]), number) for number in drawn.sample(numbers, 2))])


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
def test_every_fault_at_every_request(fault: Fault, scene: Scene) -> None:
    check(scene, [(fault, number) for number in range(1, scene.requests + 1)])
