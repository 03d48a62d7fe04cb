"""Promise 7, concurrent applies: one runs, others wait or fail; expired locks are taken over, a lost lock stops it."""

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
from tests.faults.fleet import all_objects, comparable, phases, unordered, write
from tests.faults.harness import Fault, FaultyTransport, at, on
from tests.faults.real import Stack
from tests.live.conftest import Letta
from tests.standin import StandIn

URL = "http://stand.in"


class ConcurrentRuns:
    """Many concurrent runs of lettaform on one stand-in and one clock."""

    def __init__(self, folder: Path) -> None:
        self.standin, self.clock, self.folder = StandIn(), Clock(), folder

    def manifest(self, stack: str) -> Manifest:
        phase = phases(stack, small=True)[0]
        folder = self.folder / stack
        folder.mkdir(exist_ok=True)
        write(phase, folder)
        return flow.read(flow.Source(folder))

    async def apply(self, manifest: Manifest, seed: int = 0, patience: float = 60) -> tuple[Plan, Report | None]:
        """What `flow.apply` does, on a shared event loop."""
        server = connect(URL, transport=FaultyTransport(self.standin, latency=0.4, seed=seed))
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
        return httpx.Client(transport=self.standin, base_url=URL, headers={"User-Agent": "other-client/1"})


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[ConcurrentRuns]:
    with mock.patch("lettaform.ownership.state.token_hex", lambda size: "00" * size):
        yield ConcurrentRuns(tmp_path)


def locks(runs: ConcurrentRuns) -> list[dict[str, Any]]:
    """The identities of a server that are locks."""
    return [each for each in all_objects(runs.raw)["identities"] if "lettaform:lock" in each["identifier_key"]]


def _after_single_apply(runs: ConcurrentRuns, tmp_path: Path) -> dict[str, Any]:
    other = ConcurrentRuns(tmp_path)
    other.run(other.apply(runs.manifest("one")))
    return comparable(all_objects(other.raw))


@pytest.mark.thorough
def test_sixteen_concurrent_applies_end_like_one(runs: ConcurrentRuns, tmp_path: Path) -> None:
    manifest = runs.manifest("one")
    results = runs.run(*(runs.apply(manifest, seed, patience=600) for seed in range(16)))
    assert not [result for result in results if isinstance(result, BaseException)]
    reports = [report for _, report in results]
    assert sum(report is not None for report in reports) == 1
    assert comparable(all_objects(runs.raw)) == _after_single_apply(runs, tmp_path)


def test_without_waiting_one_of_sixteen_applies_and_others_report_lock(runs: ConcurrentRuns, tmp_path: Path) -> None:
    manifest = runs.manifest("one")
    results = runs.run(*(runs.apply(manifest, seed, patience=0) for seed in range(16)))
    locked = [result for result in results if isinstance(result, Locked)]
    assert len(locked) == 15
    assert {error.exit_code for error in locked} == {8}
    assert comparable(all_objects(runs.raw)) == _after_single_apply(runs, tmp_path)


def test_concurrent_applies_of_two_stacks_do_not_interfere(runs: ConcurrentRuns) -> None:
    one, two = runs.manifest("one"), runs.manifest("two")
    (first,) = runs.run(runs.apply(one))
    before = unordered(all_objects(runs.raw, "one"))
    results = runs.run(runs.apply(two), runs.apply(two, 1), runs.apply(one, 2))
    assert not [result for result in results if isinstance(result, BaseException)]
    assert unordered(all_objects(runs.raw, "one")) == before
    assert len(all_objects(runs.raw, "two")["agents"]) == len(before["agents"])
    assert first[1] is not None


def test_lock_of_killed_run_is_taken_over(runs: ConcurrentRuns) -> None:
    manifest = runs.manifest("one")
    faulty = FaultyTransport(runs.standin, Fault.KILL_AFTER, at(14), latency=0.1)
    with runs.clock.running(), pytest.raises(BaseException):  # noqa: B017, PT011
        asyncio.run(_through(manifest, faulty, runs.folder))
    assert len(locks(runs)) == 1
    before = runs.clock.now
    ((_, report),) = runs.run(runs.apply(manifest))
    assert report is not None
    assert report.exit_code == 0
    assert LEASE < runs.clock.now - before < 2.5 * LEASE
    assert locks(runs) == []


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
def test_lock_is_taken_over_after_requests_in_progress_settled(runs: ConcurrentRuns, tmp_path: Path, seed: int) -> None:
    manifest, shape = runs.manifest("one"), "POST /v1/blocks/"
    faulty = FaultyTransport(runs.standin, Fault.KILL_ACTS_LATER, on(shape), latency=0.1, seed=seed)
    with runs.clock.running(), pytest.raises(BaseException):  # noqa: B017, PT011
        asyncio.run(_through(manifest, faulty, runs.folder))
    faulty.revive()

    async def go() -> Report | None:
        server = connect(URL, transport=faulty)
        lock = await server.holder("one")
        assert lock is not None
        await server.release("one", lock)
        await server.close()
        return await _through(manifest, faulty, runs.folder)

    (report,) = runs.run(go())
    assert report.exit_code == 0
    assert comparable(all_objects(runs.raw)) == _after_single_apply(runs, tmp_path)


async def _through(
    manifest: Manifest, transport: httpx.AsyncBaseTransport, folder: Path, parallel: int = 8
) -> Report | None:
    line = flow.Session(manifest, connect(URL, transport=transport), folder, 60)
    async with line.locked():
        return await line.apply(await line.plan(PlanOptions()), lambda event: None, parallel)


def test_lock_of_dead_process_on_same_machine_is_taken_over_at_once(runs: ConcurrentRuns) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()

    async def go() -> tuple[float, bool]:
        client = Client(URL, transport=runs.standin)
        with mock.patch("os.getpid", return_value=ended.pid):
            lock = hold(client, "one", 60)
            await lock.__aenter__()
        before = runs.clock.now
        async with hold(Client(URL, transport=runs.standin), "one", 60):
            return runs.clock.now - before, (await look(client, "one")) is not None

    ((seconds, held),) = runs.run(go())
    assert held
    assert seconds < 8  # the settle time, and one or two reads


def test_lost_lock_stops_apply(runs: ConcurrentRuns) -> None:
    """The lock is deleted by others: steps in progress finish, no step starts, the report gives the reason."""
    manifest = runs.manifest("one")

    def steal(ask: Any) -> None:
        if (ask.method, ask.path) == ("POST", "/v1/agents/"):
            runs.standin.tables.identities.clear()

    runs.standin.after = steal
    (report,) = runs.run(_through(manifest, FaultyTransport(runs.standin, latency=4.0), runs.folder, parallel=1))
    assert isinstance(report, Report)
    assert report.exit_code == 5
    assert 1 <= len(runs.standin.tables.agents) < 5
    assert {outcome.because for outcome in report.of("skipped")} == {"the lock was lost"}
    assert "save_state" in {outcome.step.op for outcome in report.of("skipped")}
    runs.standin.after = lambda ask: None
    ((_, after),) = runs.run(runs.apply(manifest))
    assert after is not None
    assert after.exit_code == 0


def test_holder_without_heartbeat_stops_before_lease_expires(runs: ConcurrentRuns) -> None:
    """A hanging heartbeat is not repeated beyond the lease, and nothing is written after the lease."""
    deaf = False

    class NoHeartbeat(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if deaf and request.method == "PATCH":
                await asyncio.sleep(request.extensions["timeout"]["read"])
                raise httpx.ReadTimeout("no answer")
            return await runs.standin.handle_async_request(request)

    async def go() -> tuple[float, int]:
        nonlocal deaf
        client = Client(URL, transport=NoHeartbeat())
        async with hold(client, "one", 60) as lost:
            deaf, before = True, runs.clock.now
            await lost.wait()
            written = len(runs.standin.writes)
            with pytest.raises(LettaformError, match="the lock was lost"):
                await client.send("POST", "/v1/blocks/", body={"label": "a", "value": "x"})
            return runs.clock.now - before, len(runs.standin.writes) - written

    ((seconds, written),) = runs.run(go())
    assert seconds < LEASE
    assert written == 0


def test_holder_checks_lock_after_sleeping_through_lease(runs: ConcurrentRuns) -> None:
    async def go(stolen: bool) -> int:
        client = Client(URL, transport=runs.standin)
        async with hold(client, "one", 60):
            runs.clock.now += 2 * LEASE
            if stolen:
                runs.standin.tables.identities.clear()
            with suppress(ServerError):
                await client.send("POST", "/v1/blocks/", body={"label": "a", "value": "x"})
            return len(runs.standin.tables.blocks)

    assert runs.run(go(False)) == [1]
    assert runs.run(go(True)) == [1]


def test_lock_conflict_without_visible_lock_ends_with_timeout(runs: ConcurrentRuns) -> None:
    """409 on the lock's POST while no list shows the lock: the run gives up after the wait time."""

    class HiddenLock(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST":
                return httpx.Response(409, json={"detail": "taken"})
            return await runs.standin.handle_async_request(request)

    async def go() -> None:
        async with hold(Client(URL, transport=HiddenLock()), "one", 10):
            pass

    (error,) = runs.run(go())
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
def test_six_concurrent_processes_create_one_set_of_objects(letta: Letta, tmp_path: Path) -> None:
    with _stack(letta, tmp_path, f"flt-{uuid4().hex[:8]}") as stack:
        build = stack.phases[0]
        write(build, tmp_path)
        running = [stack.process(letta.url, build) for _ in range(6)]
        outputs = [each.communicate(timeout=110) for each in running]
        codes = Counter(each.returncode for each in running)
        assert set(codes) <= {0, 8}, outputs
        assert codes[0] >= 1
        assert not any("Traceback" in out + err for out, err in outputs)
        names = sorted(agent["name"] for agent in stack.agents())
        objects = flow.read(flow.Source(tmp_path)).objects.values()
        wanted = [desired for desired in objects if desired.kind == "agent" and not desired.external]
        assert len(names) == len(set(names)) == len(wanted)
        have = stack.snapshot()
        assert not [each for each in have["identities"] if "lettaform:lock" in each["identifier_key"]]
        assert len(have["blocks"]) == len({str(block["tags"]) for block in have["blocks"]})
        assert stack.apply(build) is None
