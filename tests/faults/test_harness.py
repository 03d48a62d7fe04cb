"""The harness itself: each fault, the clock, and the proxy that kills."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from tests.faults.clock import Clock
from tests.faults.harness import ACTS_LATER, Fault, FaultyTransport, Killed, Proxy, at, on, shape
from tests.standin import StandIn

BLOCK = {"label": "a", "value": "x"}
ERRORS: dict[str, type[BaseException]] = {
    "REFUSE": httpx.ConnectError,
    "CUT_BEFORE": httpx.ReadError,
    "CUT_AFTER": httpx.ReadError,
    "LATE": httpx.ReadTimeout,
    "LATE_ACTS_LATER": httpx.ReadTimeout,
    "POOL_CLOSED": httpx.RemoteProtocolError,
    "KILL_BEFORE": Killed,
    "KILL_AFTER": Killed,
    "KILL_ACTS_LATER": Killed,
}


class FaultyClient:
    """A client of a stand-in behind a fault, and a clock."""

    def __init__(self, fault: Fault, number: int = 2) -> None:
        self.standin, self.clock = StandIn(), Clock()
        self.faulty = FaultyTransport(self.standin, fault, at(number))
        self.client = httpx.AsyncClient(transport=self.faulty, base_url="http://stand.in", timeout=5)

    def run(self, main: Any) -> Any:
        with self.clock.running():
            return asyncio.run(main)

    @property
    def blocks(self) -> int:
        return len(self.standin.tables.blocks)


@pytest.mark.parametrize("fault", Fault)
def test_fault_occurs_once_and_other_requests_succeed(fault: Fault) -> None:
    client = FaultyClient(fault)

    async def go() -> None:
        assert (await client.client.post("/v1/blocks/", json=BLOCK)).status_code == 200
        if fault.name in ERRORS:
            with pytest.raises(ERRORS[fault.name]):
                await client.client.post("/v1/blocks/", json=BLOCK)
        else:
            answer = await client.client.post("/v1/blocks/", json=BLOCK)
            wanted = 200 if fault.name.startswith("GARBAGE") else int(fault.name[1:4])
            assert answer.status_code == wanted
            assert ("retry-after" in answer.headers) == fault.name.endswith("RETRY_AFTER")
            if wanted in (200, 502):
                with pytest.raises(json.JSONDecodeError):
                    answer.json()
        assert client.blocks == 1 + fault.acts
        if fault.kills:
            with pytest.raises(Killed):
                await client.client.get("/v1/blocks/")
            client.faulty.revive()
        assert (await client.client.get("/v1/blocks/")).status_code == 200

    client.run(go())
    assert client.faulty.triggered == "POST /v1/blocks/"


@pytest.mark.parametrize("fault", [Fault.LATE_ACTS_LATER, Fault.KILL_ACTS_LATER])
def test_late_server_acts_after_clientstarted_to_search(fault: Fault) -> None:
    client = FaultyClient(fault, 1)

    async def go() -> list[int]:
        with pytest.raises(ERRORS[fault.name]):
            await client.client.post("/v1/blocks/", json=BLOCK)
        client.faulty.revive()
        seen = []
        for _ in range(60):
            seen.append(len((await client.client.get("/v1/blocks/")).json()))
            await asyncio.sleep(0.1)
        return seen

    seen = client.run(go())
    assert seen[0] == 0
    assert seen[-1] == 1
    assert seen.index(1) <= 10 * max(ACTS_LATER) + 1


def test_requests_in_progress_at_kill_reach_server() -> None:
    client = FaultyClient(Fault.KILL_BEFORE)
    client.faulty.latency = 1.0

    async def go() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.client.post("/v1/blocks/", json=BLOCK))
            group.create_task(client.client.get("/v1/blocks/"))

    with pytest.raises(BaseExceptionGroup):
        client.run(go())
    assert client.blocks == 0
    client.faulty.revive()
    client.run(client.faulty.settle())
    assert client.blocks == 1


def test_shape_is_request_without_ids() -> None:
    id = "block-00000000-0000-4000-8000-000000000000"
    request = httpx.Request("PATCH", f"http://here/v1/agents/{id.replace('block', 'agent')}/blocks/{id}?limit=3")
    assert shape(request) == "PATCH /v1/agents/{agent}/blocks/{block}"
    trigger = on("PATCH /v1/agents/{agent}/blocks/{block}", 2)
    assert [trigger(1, request), trigger(2, request), trigger(3, request)] == [False, True, False]


def test_clock_advances_while_all_tasks_wait() -> None:
    began, clock = time.perf_counter(), Clock()

    async def wait() -> float:
        before = time.monotonic()
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(60))
        return time.monotonic() - before

    with clock.running():
        assert asyncio.run(wait()) == pytest.approx(3600, abs=0.1)
    assert time.perf_counter() - began < 5


def test_proxy_forwards_injects_faults_and_kills() -> None:
    standin, running = StandIn(), list[subprocess.Popen[str]]()
    program = (
        "import sys, urllib.request\n"
        "for _ in range(9): print(urllib.request.urlopen(sys.argv[1] + '/v1/health/').status, flush=True)\n"
    )
    faulty = FaultyTransport(standin, Fault.KILL_AFTER, at(3), kill=lambda: running[0].kill())
    with Proxy(faulty) as proxy:
        assert httpx.get(f"{proxy.url}/v1/health/").json()["status"] == "ok"
        running.append(subprocess.Popen([sys.executable, "-c", program, proxy.url], stdout=subprocess.PIPE, text=True))
        out, _ = running[0].communicate(timeout=30)
        assert running[0].returncode == -9
        assert out == "200\n"
        assert len(standin.log) == 3
        faulty.revive()
        faulty.fault, faulty.triggered, faulty.trigger = Fault.CUT_AFTER, None, lambda count, request: True
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{proxy.url}/v1/health/")
        assert len(standin.log) == 4
