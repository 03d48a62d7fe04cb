"""A check that is killed, or meets a fault, at any request: the next one deletes what it left, and nothing changed."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from lettaform import flow
from lettaform.errors import LettaformError
from lettaform.manifest import load
from lettaform.model import Checked, Manifest, Plan, PlanOptions, Report
from tests.faults.harness import Fault, FaultyTransport, at
from tests.faults.run import LATENCY, Run, Wrong
from tests.standin import StandIn

FLEET = """
stack: sweep
blocks: {team: {value: We are a team.}}
archives: {facts: {embedding: letta/letta-free, passages: [One fact.]}}
defaults:
  agents: {model: openai-proxy/echo, embedding: letta/letta-free, blocks: [team]}
agents:
  ann: {memory: {notes: none}, archive: facts, tools: [send_message]}
  bob: {memory: {notes: none}}
checks:
  says: {agent: ann, say: hello, expect: {answer: {contains: hello}, memory: {team: {contains: team}}}}
  makes: {agent: bob, say: [make something, again], runs: 2}
"""
KILLS = [fault for fault in Fault if fault.kills]


class Making(httpx.AsyncBaseTransport):
    """A stand-in whose agents make a block and an archive of their own when they are told to make something."""

    def __init__(self, standin: StandIn) -> None:
        self.standin = standin

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        agent = request.url.path.split("/")[3] if request.url.path.endswith("/messages") else ""
        if b"make" in request.content and agent in self.standin.tables.agents:
            block = await self._send("POST", "/v1/blocks/", {"label": "diary", "value": "Dear diary."})
            await self._send("PATCH", f"/v1/agents/{agent}/core-memory/blocks/attach/{block['id']}", None)
            await self._send("POST", f"/v1/agents/{agent}/archival-memory", {"text": "I was here."})
        return await self.standin.handle_async_request(request)

    async def _send(self, method: str, path: str, body: Any) -> Any:
        content = json.dumps(body).encode() if body is not None else b""
        headers = {"content-type": "application/json", "user-agent": "agent"}
        request = httpx.Request(method, f"http://stand.in{path}", content=content, headers=headers)
        answer = await self.standin.handle_async_request(request)
        assert answer.status_code < 300, answer.content
        return json.loads(answer.content or b"null")


class CheckRun(Run):
    """A run of the checks. `checked`: their results."""

    checked: Checked | None = None

    def carry_out(self, source: flow.Source, notify: flow.Notify) -> tuple[Plan | None, Report | None]:
        self.checked = flow.check(source, self.connection)
        return None, None

    def left(self) -> list[str]:
        """What is on the server and does not belong to the fleet."""
        tables = self.standin.tables
        found = [f"agent {each['name']}" for each in tables.agents.values() if each["name"] not in ("ann", "bob")]
        ours = ("team", "notes", "lettaform")
        found += [f"block {each['label']}" for each in tables.blocks.values() if each["label"] not in ours]
        copied = (each for each in tables.blocks.values() if any("sweep/check" in tag for tag in each["tags"]))
        found += [f"copy of {each['label']}" for each in copied]
        found += [f"archive {each['name']}" for each in tables.archives.values() if each["name"] != "facts"]
        return found + [f"lock {each['identifier_key']}" for each in tables.identities.values()]


@dataclass(frozen=True)
class Scene:
    """A fleet, its server, and the number of requests of an undisturbed check."""

    manifest: Manifest
    tables: Any
    requests: int
    objects: Any


def run(manifest: Manifest, tables: Any, fault: Fault | None = None, number: int = 0) -> CheckRun:
    standin = StandIn(seed=1)
    standin.tables = copy.deepcopy(tables)
    faulty = FaultyTransport(Making(standin), fault or Fault.REFUSE, at(number), latency=LATENCY, seed=0)
    return CheckRun(standin, manifest, PlanOptions(), faulty)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("check")
    (folder / "lettaform.yaml").write_text(FLEET)
    manifest, standin = load(folder, ()), StandIn()
    Run(standin, manifest, PlanOptions(), FaultyTransport(standin, latency=LATENCY, seed=0)).apply()
    undisturbed = run(manifest, standin.tables)
    before = undisturbed.snapshot()
    undisturbed.apply()
    assert undisturbed.checked is not None
    assert [(each.check.name, each.status) for each in undisturbed.checked.results] == [
        ("says", "passed"),
        ("makes", "passed"),
    ]
    assert undisturbed.left() == []
    assert undisturbed.snapshot() == before
    return Scene(manifest, standin.tables, len(undisturbed.sent), before)


def wrong(scene: Scene, fault: Fault, number: int) -> list[str]:
    """What is wrong after a check with a fault at this request, and one without."""
    disturbed = run(scene.manifest, scene.tables, fault, number)
    try:
        disturbed.apply_with_fault(must=False)
        if disturbed.faulty.triggered is None:
            return []
        disturbed.clock.run(disturbed.faulty.settle())
        disturbed.apply()
    except (Wrong, LettaformError) as error:
        return [repr(error)]
    found = disturbed.left()
    return found + ([] if disturbed.snapshot() == scene.objects else ["the fleet changed"])


def check(scene: Scene, chosen: list[tuple[Fault, int]]) -> None:
    failed = {case: found for case in chosen if (found := wrong(scene, *case))}
    assert not failed, "\n".join(f"{case}: {why[:3]}" for case, why in failed.items())


@pytest.mark.thorough
def test_sample_of_kills_and_faults(scene: Scene) -> None:
    numbers, random_ = range(1, scene.requests + 1), random.Random(7)
    kills = random_.sample([(fault, number) for fault in KILLS for number in numbers], 6)
    check(scene, [*kills, *random_.sample([(fault, number) for fault in Fault for number in numbers], 3)])


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
def test_every_fault_at_every_request(scene: Scene, fault: Fault) -> None:
    check(scene, [(fault, number) for number in range(1, scene.requests + 1)])
