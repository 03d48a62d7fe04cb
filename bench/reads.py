"""A fleet that exists, against the bare requests that lettaform sends for it, in one run: ratios of wall time.

    python bench/reads.py [--agents 1000] [--destroy 200] [--rounds 5] [--server URL]

Without --server it starts a real Letta server and stops it again. Each round times a plan without changes, an apply of
one changed field, and, before, between and after them, the requests of the plan sent by a plain loop: the same order,
pages one after the other, lists at the same time. A floor is the mean of the loops before and after. The destroy of a
smaller fleet is timed against the bare deletes. Medians are printed.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from bench.fleet import PARALLEL, write
from lettaform import flow, local
from lettaform.backend import connect
from lettaform.model import PlanOptions

EVERYTHING = PlanOptions(destroy=True, allow_destroy=("*",))


class Tape(httpx.AsyncBaseTransport):
    """A transport that notes what is sent, and when it started and ended, in seconds."""

    def __init__(self) -> None:
        self.inner = httpx.AsyncHTTPTransport(limits=httpx.Limits(max_connections=PARALLEL + 2, keepalive_expiry=4))
        self.requests: list[tuple[float, float, str, str, bytes]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        started = time.perf_counter()
        body = await request.aread()
        answer = await self.inner.handle_async_request(request)
        await answer.aread()
        path = request.url.raw_path.decode()
        self.requests.append((started, time.perf_counter(), request.method, path, body))
        return answer

    async def aclose(self) -> None:
        await self.inner.aclose()


@contextmanager
def taped(tapes: list[Tape]) -> Iterator[None]:
    """Every connection of lettaform goes through a Tape."""

    def through(url: str, **options: Any) -> Any:
        tapes.append(Tape())
        return connect(url, **options, transport=tapes[-1])

    with mock.patch.object(flow, "connect", through):
        yield


def chains(requests: list[tuple[float, float, str, str, bytes]]) -> list[list[tuple[str, str, bytes]]]:
    """The requests in the order in which they were sent. The pages of one list follow each other."""
    found: dict[tuple[str, str], list[tuple[str, str, bytes]]] = {}
    for _, _, method, path, body in sorted(requests):
        found.setdefault((method, re.sub("&after=[^&]*", "", path)), []).append((method, path, body))
    return list(found.values())


async def bare(url: str, requests: list[list[tuple[str, str, bytes]]]) -> float:
    """Send the same requests with nothing else to do: all lists at the same time, their pages one by one. Seconds."""
    limits = httpx.Limits(max_connections=PARALLEL, keepalive_expiry=4)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as http:

        async def follow(pages: list[tuple[str, str, bytes]]) -> None:
            for method, path, body in pages:
                await http.request(method, path, content=body, headers={"Content-Type": "application/json"})

        started = time.perf_counter()
        await asyncio.gather(*map(follow, requests))
        return time.perf_counter() - started


def timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


@contextmanager
def served(url: str | None) -> Iterator[str]:
    """The server of that URL, or one that is started here and stopped again."""
    if url:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder:
        server = local.up(0, Path(folder) / "data", progress=print)
        try:
            yield server.url
        finally:
            local.down(data=server.data, purge=True)


class Bench:
    """One fleet on one server."""

    def __init__(self, url: str, folder: Path, agents: int) -> None:
        self.url, self.folder = url, folder
        write(folder, agents)
        self.source, self.connection = flow.Source(folder), flow.Connection(url=url)

    def apply(self, options: PlanOptions | None = None) -> None:
        _, report = flow.apply(self.source, self.connection, options, consent=True)
        assert report is None or report.exit_code == 0

    def taped(self, call: Callable[[], Any]) -> tuple[float, list[list[tuple[str, str, bytes]]]]:
        tapes: list[Tape] = []
        with taped(tapes):
            seconds = timed(call)
        return seconds, chains([each for tape in tapes for each in tape.requests])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=1000)
    parser.add_argument("--destroy", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server", default=None)
    options = parser.parse_args()
    with served(options.server) as url, tempfile.TemporaryDirectory() as folder:
        fleet = Bench(url, Path(folder), options.agents)
        fleet.apply()
        try:
            measure(fleet, options.rounds)
        finally:
            fleet.apply(EVERYTHING)
        destroy(url, options.destroy, options.rounds)


def measure(fleet: Bench, rounds: int) -> None:
    plans, changes = [], []
    first = fleet.folder / "lettaform.yaml"
    text = first.read_text()
    _, requests = fleet.taped(lambda: flow.plan(fleet.source, fleet.connection))
    before = asyncio.run(bare(fleet.url, requests))
    for number in range(rounds):
        planned, _ = fleet.taped(lambda: flow.plan(fleet.source, fleet.connection))
        between = asyncio.run(bare(fleet.url, requests))
        first.write_text(text.replace("You are one of many.", f"You are one of many, {number}.", 1))
        changed, _ = fleet.taped(fleet.apply)
        after = asyncio.run(bare(fleet.url, requests))
        plans.append((planned, (before + between) / 2))
        changes.append((changed, (between + after) / 2))
        before = after
    show("plan without changes", plans, requests)
    show("apply of one changed field", changes, requests)


def destroy(url: str, agents: int, rounds: int) -> None:
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        fleet = Bench(url, Path(folder), agents)
        for _ in range(rounds):
            fleet.apply()
            seconds, requests = fleet.taped(lambda: fleet.apply(EVERYTHING))
            fleet.apply()
            pairs.append((seconds, asyncio.run(bare_deletes(url))))
            fleet.apply(EVERYTHING)
    show(f"destroy of {agents} agents that never ran", pairs, requests)


async def bare_deletes(url: str) -> float:
    """Delete the agents and blocks of the fleet as lettaform does, at the same concurrency. Seconds."""
    gate = asyncio.Semaphore(PARALLEL)
    limits = httpx.Limits(max_connections=PARALLEL, keepalive_expiry=4)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=120) as http:
        tag = "lettaform:stack=bench"
        agents = [each["id"] for each in (await http.get("/v1/agents/", params={"tags": tag, "limit": 1000})).json()]
        params = {"tags": tag, "limit": 10_000, "show_hidden_blocks": True}
        blocks = [each["id"] for each in (await http.get("/v1/blocks/", params=params)).json()]

        async def delete(path: str) -> None:
            async with gate:
                await http.delete(path)

        started = time.perf_counter()
        await asyncio.gather(*(delete(f"/v1/agents/{id}") for id in agents))
        await asyncio.gather(*(delete(f"/v1/blocks/{id}") for id in blocks))
        return time.perf_counter() - started


def show(name: str, pairs: list[tuple[float, float]], requests: list[list[Any]]) -> None:
    ratio = statistics.median(ours / floor for ours, floor in pairs)
    ours, floor = (statistics.median(each) for each in zip(*pairs, strict=True))
    sent = sum(map(len, requests))
    print(f"{name}: {ours:.2f} s, bare {floor:.2f} s, ratio {ratio:.2f}, {sent} requests", flush=True)


if __name__ == "__main__":
    main()
