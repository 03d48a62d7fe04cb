"""The harness does what it says: each fault, time that leaps, a proxy that kills."""

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
from tests.faults.harness import ACTS_LATER, Fault, Faulty, Killed, Proxy, at, on, shape
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


class RequestLog:
    """A client of a stand-in behind a fault, and a clock."""

    def __init__(self, fault: Fault, number: int = 2) -> None:
        self.standin, self.clock = StandIn(), Clock()
        self.faulty = Faulty(self.standin, fault, at(number))
        self.client = httpx.AsyncClient(transport=self.faulty, base_url="http://stand.in", timeout=5)

    def run(self, main: Any) -> Any:
        with self.clock.running():
            return asyncio.run(main)

    @property
    def blocks(self) -> int:
        return len(self.standin.tables.blocks)


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_falls_once_and_the_rest_is_served(fault: Fault) -> None:
    wire = RequestLog(fault)

    async def go() -> None:
        assert (await wire.client.post("/v1/blocks/", json=BLOCK)).status_code == 200
        if fault.name in ERRORS:
            with pytest.raises(ERRORS[fault.name]):
                await wire.client.post("/v1/blocks/", json=BLOCK)
        else:
            answer = await wire.client.post("/v1/blocks/", json=BLOCK)
            wanted = 200 if fault.name.startswith("GARBAGE") else int(fault.name[1:4])
            assert answer.status_code == wanted
            assert ("retry-after" in answer.headers) == fault.name.endswith("RETRY_AFTER")
            if wanted in (200, 502):
                with pytest.raises(json.JSONDecodeError):
                    answer.json()
        assert wire.blocks == 1 + fault.acts
        if fault.kills:
            with pytest.raises(Killed):
                await wire.client.get("/v1/blocks/")
            wire.faulty.revive()
        assert (await wire.client.get("/v1/blocks/")).status_code == 200

    wire.run(go())
    assert wire.faulty.struck == "POST /v1/blocks/"


@pytest.mark.parametrize("fault", [Fault.LATE_ACTS_LATER, Fault.KILL_ACTS_LATER])
def test_a_late_server_acts_after_the_client_has_begun_to_look(fault: Fault) -> None:
    wire = RequestLog(fault, 1)

    async def go() -> list[int]:
        with pytest.raises(ERRORS[fault.name]):
            await wire.client.post("/v1/blocks/", json=BLOCK)
        wire.faulty.revive()
        seen = []
        for _ in range(60):
            seen.append(len((await wire.client.get("/v1/blocks/")).json()))
            await asyncio.sleep(0.1)
        return seen

    seen = wire.run(go())
    assert seen[0] == 0
    assert seen[-1] == 1
    assert seen.index(1) <= 10 * max(ACTS_LATER) + 1


def test_what_a_dead_process_had_under_way_reaches_the_server() -> None:
    wire = RequestLog(Fault.KILL_BEFORE)
    wire.faulty.latency = 1.0

    async def go() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(wire.client.post("/v1/blocks/", json=BLOCK))
            group.create_task(wire.client.get("/v1/blocks/"))

    with pytest.raises(BaseExceptionGroup):
        wire.run(go())
    assert wire.blocks == 0
    wire.faulty.revive()
    wire.run(wire.faulty.settle())
    assert wire.blocks == 1


def test_a_shape_is_a_request_without_its_ids() -> None:
    id = "block-00000000-0000-4000-8000-000000000000"
    request = httpx.Request("PATCH", f"http://here/v1/agents/{id.replace('block', 'agent')}/blocks/{id}?limit=3")
    assert shape(request) == "PATCH /v1/agents/{agent}/blocks/{block}"
    strike = on("PATCH /v1/agents/{agent}/blocks/{block}", 2)
    assert [strike(1, request), strike(2, request), strike(3, request)] == [False, True, False]


def test_time_leaps_where_everybody_waits() -> None:
    began, clock = time.perf_counter(), Clock()

    async def wait() -> float:
        before = time.monotonic()
        await asyncio.gather(asyncio.sleep(3600), asyncio.sleep(60))
        return time.monotonic() - before

    with clock.running():
        assert asyncio.run(wait()) == pytest.approx(3600, abs=0.1)
    assert time.perf_counter() - began < 5


def test_the_proxy_serves_strikes_and_kills() -> None:
    standin, running = StandIn(), list[subprocess.Popen[str]]()
    program = (
        "import sys, urllib.request\n"
        "for _ in range(9): print(urllib.request.urlopen(sys.argv[1] + '/v1/health/').status, flush=True)\n"
    )
    faulty = Faulty(standin, Fault.KILL_AFTER, at(3), kill=lambda: running[0].kill())
    with Proxy(faulty) as proxy:
        assert httpx.get(f"{proxy.url}/v1/health/").json()["status"] == "ok"
        running.append(subprocess.Popen([sys.executable, "-c", program, proxy.url], stdout=subprocess.PIPE, text=True))
        out, _ = running[0].communicate(timeout=30)
        assert running[0].returncode == -9
        assert out == "200\n"
        assert len(standin.log) == 3
        faulty.revive()
        faulty.fault, faulty.struck, faulty.strike = Fault.CUT_AFTER, None, lambda count, request: True
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{proxy.url}/v1/health/")
        assert len(standin.log) == 4
