"""Promise 7, two at once: one wins, the others wait or are told; a dead run's lock passes on, a lost one stops."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.lock import LEASE, hold, look
from lettaform.errors import LettaformError, Locked, ServerError
from lettaform.model import Manifest, Plan, PlanOptions, Report
from tests.faults.clock import Clock
from tests.faults.fleet import everything, phases, told, unordered, write
from tests.faults.harness import Fault, Faulty, at, on
from tests.faults.real import Stack
from tests.live.conftest import Letta
from tests.standin import StandIn

URL = "http://stand.in"


class Crowd:
    """Many runs of lettaform at once, on one stand-in and one clock."""

    def __init__(self, folder: Path) -> None:
        self.standin, self.clock, self.folder = StandIn(), Clock(), folder

    def manifest(self, stack: str) -> Manifest:
        phase = phases(stack, small=True)[0]
        folder = self.folder / stack
        folder.mkdir(exist_ok=True)
        write(phase, folder)
        return flow.read(flow.Source(folder))

    async def apply(self, manifest: Manifest, seed: int = 0, patience: float = 60) -> tuple[Plan, Report | None]:
        """What `flow.apply` does, on a loop that others share."""
        server = connect(URL, transport=Faulty(self.standin, latency=0.4, seed=seed))
        line = flow.Session(manifest, server, self.folder, patience)
        try:
            async with line.locked():
                plan = await line.plan(PlanOptions())
                return plan, await line.apply(plan, lambda event: None, 8) if plan else None
        finally:
            await server.close()

    def run(self, *runs: Any) -> list[Any]:
        async def all_of_them() -> list[Any]:
            return await asyncio.gather(*runs, return_exceptions=True)

        with self.clock.running():
            return asyncio.run(all_of_them())

    @property
    def raw(self) -> httpx.Client:
        return httpx.Client(transport=self.standin, base_url=URL, headers={"User-Agent": "stranger/1"})


@pytest.fixture
def crowd(tmp_path: Path) -> Iterator[Crowd]:
    with mock.patch("lettaform.ownership.state.token_hex", lambda size: "00" * size):
        yield Crowd(tmp_path)


def locks(crowd: Crowd) -> list[dict[str, Any]]:
    """What of a server's identities is a lock."""
    return [each for each in everything(crowd.raw)["identities"] if "lettaform:lock" in each["identifier_key"]]


def _alone(crowd: Crowd, tmp_path: Path) -> dict[str, Any]:
    other = Crowd(tmp_path)
    other.run(other.apply(crowd.manifest("one")))
    return told(everything(other.raw))


def test_sixteen_applies_at_once_end_as_one(crowd: Crowd, tmp_path: Path) -> None:
    manifest = crowd.manifest("one")
    results = crowd.run(*(crowd.apply(manifest, seed, patience=600) for seed in range(16)))
    assert not [result for result in results if isinstance(result, BaseException)]
    reports = [report for _, report in results]
    assert sum(report is not None for report in reports) == 1
    assert told(everything(crowd.raw)) == _alone(crowd, tmp_path)


def test_of_sixteen_without_patience_one_builds_and_the_rest_are_told(crowd: Crowd, tmp_path: Path) -> None:
    manifest = crowd.manifest("one")
    results = crowd.run(*(crowd.apply(manifest, seed, patience=0) for seed in range(16)))
    locked = [result for result in results if isinstance(result, Locked)]
    assert len(locked) == 15
    assert {error.exit_code for error in locked} == {8}
    assert told(everything(crowd.raw)) == _alone(crowd, tmp_path)


def test_two_stacks_never_touch_each_other(crowd: Crowd) -> None:
    one, two = crowd.manifest("one"), crowd.manifest("two")
    (first,) = crowd.run(crowd.apply(one))
    before = unordered(everything(crowd.raw, "one"))
    results = crowd.run(crowd.apply(two), crowd.apply(two, 1), crowd.apply(one, 2))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert unordered(everything(crowd.raw, "one")) == before
    assert len(everything(crowd.raw, "two")["agents"]) == len(before["agents"])
    assert first[1] is not None


def test_a_lock_that_a_killed_run_left_is_taken_over(crowd: Crowd) -> None:
    manifest = crowd.manifest("one")
    faulty = Faulty(crowd.standin, Fault.KILL_AFTER, at(14), latency=0.1)
    with crowd.clock.running(), pytest.raises(BaseException):  # noqa: B017, PT011
        asyncio.run(_through(manifest, faulty, crowd.folder))
    assert len(locks(crowd)) == 1
    before = crowd.clock.now
    ((_, report),) = crowd.run(crowd.apply(manifest))
    assert report is not None
    assert report.exit_code == 0
    assert LEASE < crowd.clock.now - before < 2.5 * LEASE
    assert locks(crowd) == []


@pytest.mark.parametrize("seed", range(4))
def test_what_a_dead_run_had_under_way_is_done_before_its_lock_is_released(
    crowd: Crowd, tmp_path: Path, seed: int
) -> None:
    manifest, shape = crowd.manifest("one"), "POST /v1/blocks/"
    faulty = Faulty(crowd.standin, Fault.KILL_ACTS_LATER, on(shape), latency=0.1, seed=seed)
    with crowd.clock.running(), pytest.raises(BaseException):  # noqa: B017, PT011
        asyncio.run(_through(manifest, faulty, crowd.folder))
    faulty.revive()

    async def go() -> Report | None:
        server = connect(URL, transport=faulty)
        lock = await server.holder("one")
        assert lock is not None
        await server.release("one", lock)
        await server.close()
        return await _through(manifest, faulty, crowd.folder)

    (report,) = crowd.run(go())
    assert report.exit_code == 0
    assert told(everything(crowd.raw)) == _alone(crowd, tmp_path)


async def _through(
    manifest: Manifest, transport: httpx.AsyncBaseTransport, folder: Path, parallel: int = 8
) -> Report | None:
    line = flow.Session(manifest, connect(URL, transport=transport), folder, 60)
    async with line.locked():
        return await line.apply(await line.plan(PlanOptions()), lambda event: None, parallel)


def test_the_dead_run_of_this_machine_is_not_waited_for(crowd: Crowd) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()

    async def go() -> tuple[float, bool]:
        client = Client(URL, transport=crowd.standin)
        with mock.patch("os.getpid", return_value=gone.pid):
            dead = hold(client, "one", 60)
            await dead.__aenter__()
        before = crowd.clock.now
        async with hold(Client(URL, transport=crowd.standin), "one", 60):
            return crowd.clock.now - before, (await look(client, "one")) is not None

    ((seconds, held),) = crowd.run(go())
    assert held
    assert seconds < 8  # the settle time, and a look or two


def test_a_lost_lock_stops_the_apply(crowd: Crowd) -> None:
    """Somebody deletes the lock at once: what is under way ends, nothing more is begun, the report says why."""
    manifest = crowd.manifest("one")

    def steal(ask: Any) -> None:
        if (ask.method, ask.path) == ("POST", "/v1/agents/"):
            crowd.standin.tables.identities.clear()

    crowd.standin.after = steal
    (report,) = crowd.run(_through(manifest, Faulty(crowd.standin, latency=4.0), crowd.folder, parallel=1))
    assert isinstance(report, Report)
    assert report.exit_code == 5
    assert 1 <= len(crowd.standin.tables.agents) < 5
    assert {outcome.because for outcome in report.of("skipped")} == {"the lock was lost"}
    assert "save_state" in {outcome.step.op for outcome in report.of("skipped")}
    crowd.standin.after = lambda ask: None
    ((_, after),) = crowd.run(crowd.apply(manifest))
    assert after is not None
    assert after.exit_code == 0


def test_a_holder_that_no_beat_gets_through_for_stops_before_its_lease_is_out(crowd: Crowd) -> None:
    """Heartbeats that hang are not repeated for longer than the lease lasts, and nothing is written after it."""
    deaf = False

    class Deaf(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if deaf and request.method == "PATCH":
                await asyncio.sleep(request.extensions["timeout"]["read"])
                raise httpx.ReadTimeout("no answer")
            return await crowd.standin.handle_async_request(request)

    async def go() -> tuple[float, int]:
        nonlocal deaf
        client = Client(URL, transport=Deaf())
        async with hold(client, "one", 60) as lost:
            deaf, before = True, crowd.clock.now
            await lost.wait()
            written = len(crowd.standin.writes)
            with pytest.raises(LettaformError, match="the lock was lost"):
                await client.send("POST", "/v1/blocks/", body={"label": "a", "value": "x"})
            return crowd.clock.now - before, len(crowd.standin.writes) - written

    ((seconds, written),) = crowd.run(go())
    assert seconds < LEASE
    assert written == 0


def test_a_machine_that_slept_through_its_lease_asks_before_it_writes(crowd: Crowd) -> None:
    async def go(stolen: bool) -> int:
        client = Client(URL, transport=crowd.standin)
        async with hold(client, "one", 60):
            crowd.clock.now += 2 * LEASE
            if stolen:
                crowd.standin.tables.identities.clear()
            with suppress(ServerError):
                await client.send("POST", "/v1/blocks/", body={"label": "a", "value": "x"})
            return len(crowd.standin.tables.blocks)

    assert crowd.run(go(False)) == [1]
    assert crowd.run(go(True)) == [1]


def test_a_key_that_nobody_shows_is_no_reason_to_spin(crowd: Crowd) -> None:
    """409 on the lock's POST while no list shows it: it ends with the patience."""

    class Hidden(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                return httpx.Response(409, json={"detail": "taken"})
            return await crowd.standin.handle_async_request(request)

    async def go() -> None:
        async with hold(Client(URL, transport=Hidden()), "one", 10):
            pass

    (error,) = crowd.run(go())
    assert isinstance(error, Locked)


# --- on a real server ------------------------------------------------------------------------------------------------


@contextmanager
def _stack(letta: Letta, folder: Path, name: str) -> Iterator[Stack]:
    stack = Stack(letta.url, letta.password, folder, name)
    try:
        yield stack
    finally:
        stack.clear()


@pytest.mark.live
def test_six_processes_build_one_fleet(letta: Letta, tmp_path: Path) -> None:
    with _stack(letta, tmp_path, f"flt-{uuid4().hex[:8]}") as stack:
        build = stack.phases[0]
        write(build, tmp_path)
        running = [stack.process(letta.url, build) for _ in range(6)]
        said = [each.communicate(timeout=110) for each in running]
        codes = Counter(each.returncode for each in running)
        assert set(codes) <= {0, 8}, said
        assert codes[0] >= 1
        assert not any("Traceback" in out + err for out, err in said)
        names = sorted(agent["name"] for agent in stack.agents())
        objects = flow.read(flow.Source(tmp_path)).objects.values()
        wanted = [desired for desired in objects if desired.kind == "agent" and not desired.external]
        assert len(names) == len(set(names)) == len(wanted)
        have = stack.told()
        assert not [each for each in have["identities"] if "lettaform:lock" in each["identifier_key"]]
        assert len(have["blocks"]) == len({str(block["tags"]) for block in have["blocks"]})
        assert stack.apply(build) is None
