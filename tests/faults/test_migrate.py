"""A migration that is interrupted at any request to either server, and run again: the fleet as it was, once."""

from __future__ import annotations

import copy
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.manifest import load
from lettaform.model import Manifest, Plan, PlanOptions, Report
from tests.faults.harness import Fault, FaultyTransport, at
from tests.faults.run import LATENCY, Run, Wrong
from tests.faults.test_restore import FLEET, Scene, learn
from tests.faults.ways_back import RestoreRun
from tests.live.fleet import READ_ONLY_POSTS
from tests.standin import StandIn

FIRST = "http://first.in"


class Both(httpx.AsyncBaseTransport):
    """Two servers, each under its own name."""

    def __init__(self, first: StandIn, second: StandIn) -> None:
        self.first, self.second = first, second

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        server = self.first if request.url.host == httpx.URL(FIRST).host else self.second
        return await server.handle_async_request(request)


class MigrateRun(RestoreRun):
    """A run that migrates to the stand-in. `path`: a snapshot of the first server, for comparison."""

    first: StandIn

    def carry_out(self, source: flow.Source, notify: flow.Notify) -> tuple[Plan | None, Report | None]:
        first = flow.Connection(FIRST, trace=self.output.append)
        return flow.migrate(source, first, self.connection, notify=notify, consent=True)

    def everything(self) -> dict[str, Any]:
        """As that of a restore, and what was written to the first server."""
        written = [each for each in self.first.writes if not each[1].endswith(READ_ONLY_POSTS)]
        return {**super().everything(), "written": written}


def run(manifest: Manifest, path: Path, tables: Any, fault: Fault | None = None, number: int = 0) -> MigrateRun:
    first, second = StandIn(seed=2), StandIn(seed=1)
    first.tables = copy.deepcopy(tables)
    faulty = FaultyTransport(Both(first, second), fault or Fault.REFUSE, at(number), latency=LATENCY, seed=0)
    made = MigrateRun(second, manifest, PlanOptions(), faulty, path)
    made.first = first
    return made


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("migrate")
    (folder / "lettaform.yaml").write_text(FLEET)
    manifest, standin = load(folder, ()), StandIn()
    begun = Run(standin, manifest, PlanOptions(), FaultyTransport(standin, latency=LATENCY, seed=0))
    begun.apply()
    ids = {each["name"]: id for id, each in standin.tables.agents.items()}
    for name in ("ann", "bob"):
        body = {"messages": [{"role": "user", "content": f"Hello, {name}."}]}
        begun.raw.post(f"/v1/agents/{ids[name]}/messages", json=body).raise_for_status()
    begun.raw.patch(f"/v1/agents/{ids['ann']}/core-memory/blocks/notes", json={"value": "learnt"})
    learn(begun, ids)
    with begun.here() as source:
        path = flow.snapshot_create(source, begun.connection, folder / "kept")
    undisturbed = run(manifest, path, standin.tables)
    report = undisturbed.apply()
    assert report is not None
    assert report.exit_code == 0, report
    undisturbed.assert_no_changes()
    return Scene(manifest, path, standin.tables, len(undisturbed.faulty.shapes), undisturbed.everything())


def wrong(scene: Scene, fault: Fault, number: int) -> list[str]:
    """What is wrong after a migration with a fault at this request, and one without."""
    disturbed = run(scene.manifest, scene.path, scene.tables, fault, number)
    try:
        disturbed.apply_with_fault(must=False)
        disturbed.apply_again()
        disturbed.assert_no_changes()
    except Wrong as error:
        return [str(error)]
    found = disturbed.everything()
    return [f"{key}: {found[key]} and not {each}" for key, each in scene.end.items() if found[key] != each]


def cases(scene: Scene) -> list[tuple[Fault, int]]:
    return [(fault, number) for fault in Fault for number in range(1, scene.requests)]


def check(scene: Scene, chosen: list[tuple[Fault, int]]) -> None:
    failed = {case: found for case in chosen if (found := wrong(scene, *case))}
    assert not failed, "\n".join(f"{case}: {why[:3]}" for case, why in failed.items())


def test_the_second_server_has_everything_once_and_the_first_was_read_alone(scene: Scene) -> None:
    texts = [text for *_, text in scene.end["messages"]]
    assert {"Hello, ann.", "Hello, bob."} <= set(texts)
    # one shared block, three own ones, that of the sleeptime agent, the diary, the copy of the conversation, the state
    assert scene.end["objects"]["blocks"] == 8
    assert len(scene.end["made by agents"]) == 3
    assert (scene.end["written"], scene.end["differences"]) == ([], [])


@pytest.mark.thorough
def test_sample_of_kills_and_faults(scene: Scene) -> None:
    check(scene, random.Random(7).sample(cases(scene), 6))


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
def test_every_fault_at_every_request(scene: Scene, fault: Fault) -> None:
    check(scene, [case for case in cases(scene) if case[0] is fault])
