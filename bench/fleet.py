"""Measure an apply: requests per agent, and the ratio of its wall time to that of the same requests in a plain loop.

    python bench/fleet.py [--agents 200] [--rounds 3] [--server URL]

Without --server, it starts a real Letta server and stops it at the end. Each round applies the fleet to an empty stack,
plans again, destroys the stack, and sends the requests of the apply again in a plain loop with the same concurrency.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from lettaform import flow, local
from lettaform.backend.v1.client import Client
from lettaform.model import PlanOptions

PARALLEL = 8
TOOL = '''
def bench_tool_{n}(text: str) -> str:
    """Answer with the text.

    Args:
        text (str): What to answer.

    Returns:
        str: The text.
    """
    return text
'''


def write(folder: Path, agents: int) -> None:
    """Write the manifest: agents with 2 own blocks, 3 shared blocks, 2 custom tools and 2 tags each."""
    fleet: dict[str, Any] = {
        "stack": "bench",
        "blocks": {f"shared{n}": {"value": "What all of us know. " * 20} for n in range(3)},
        "tools": {f"tool{n}": {"source": TOOL.format(n=n)} for n in range(2)},
        "agents": {
            f"agent{n}": {
                "model": "letta/letta-free",
                "embedding": "letta/letta-free",
                "system": "You are one of many.",
                "include_base_tools": False,
                "memory": {"persona": f"I am number {n}.", "human": "Nobody yet."},
                "blocks": ["shared0", "shared1", "shared2"],
                "tools": ["tool0", "tool1"],
                "tags": ["bench", f"group{n % 10}"],
            }
            for n in range(agents)
        },
    }
    (folder / "lettaform.yaml").write_text(json.dumps(fleet, indent=1))


class Recorder:
    """Record the creating requests of lettaform with their answers, in order, and count all requests."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str, Any, Any]] = []
        self.requests = 0
        once, recorder = Client._once, self

        async def record(client: Client, ask: Any) -> Any:
            answer = await once(client, ask)
            recorder.requests += 1
            creates = ask.path in ("/v1/agents/", "/v1/blocks/", "/v1/tools/") and ask.method in ("POST", "PUT")
            if creates:
                recorder.writes.append((ask.method, ask.path, ask.body, answer))
            return answer

        Client._once = record  # type: ignore[method-assign]

    def reset(self) -> None:
        self.writes, self.requests = [], 0


async def bare(url: str, writes: list[tuple[str, str, Any, Any]]) -> float:
    """Send the same bodies in a plain loop, with the ids of the new objects. Returns seconds. Deletes the objects."""
    ids: dict[str, str] = {}
    created: list[tuple[str, Any]] = []
    gate = asyncio.Semaphore(PARALLEL)
    limits = httpx.Limits(max_connections=PARALLEL, keepalive_expiry=4)
    async with httpx.AsyncClient(base_url=url, headers={"User-Agent": "bare/1"}, limits=limits, timeout=60) as http:

        async def send(method: str, path: str, body: Any, old: Any) -> None:
            text = json.dumps(body)
            for before, after in ids.items():
                text = text.replace(before, after)
            async with gate:
                answer = await http.request(method, path, content=text, headers={"Content-Type": "application/json"})
            new = answer.raise_for_status().json()
            if not path.startswith("/v1/agents"):
                ids[old["id"]] = new["id"]
            created.append((path, new))

        started = time.perf_counter()
        for agents in (False, True):
            batch = [write for write in writes if write[1].startswith("/v1/agents") == agents]
            await asyncio.gather(*(send(*write) for write in batch))
        seconds = time.perf_counter() - started

        async def remove(path: str, body: Any) -> None:
            async with gate:
                await http.delete(f"{path}{body['id']}")
                for block in body.get("blocks") or ():
                    await http.delete(f"/v1/blocks/{block['id']}")

        await asyncio.gather(*(remove(path, body) for path, body in created))
    return seconds


def measure(recorder: Recorder, run: Any) -> tuple[float, int, Any]:
    """Call `run`. Returns seconds, number of requests, and the result."""
    recorder.reset()
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, recorder.requests, result


def fleet(url: str, agents: int, rounds: int) -> None:
    """Print the measurements of each round, and their medians."""
    recorder = Recorder()
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, agents)
        source, connection = flow.Source(folder), flow.Connection(url=url)
        for number in range(1, rounds + 1):
            report_seconds: list[float] = []

            def run(seconds: list[float] = report_seconds) -> Any:
                plan, report = flow.apply(source, connection, parallel=PARALLEL, consent=True)
                assert report is not None
                assert report.exit_code == 0
                seconds.append(report.seconds)
                return plan

            whole, requests, _ = measure(recorder, run)
            writes = list(recorder.writes)
            noop, reads, plan = measure(recorder, lambda: flow.plan(source, connection))
            assert not plan.steps, "the plan after the apply is not empty"
            flow.apply(source, connection, PlanOptions(destroy=True), parallel=PARALLEL, consent=True)
            seconds_bare = asyncio.run(bare(url, writes))
            row = {
                "requests of apply": requests,
                "requests per agent": requests / agents,
                "apply, s": report_seconds[0],
                "plan and apply, s": whole,
                "bare, s": seconds_bare,
                "apply / bare": report_seconds[0] / seconds_bare,
                "plan and apply / bare": whole / seconds_bare,
                "requests of a no-op plan": reads,
                "no-op plan, s": noop,
            }
            rows.append(row)
            print(f"round {number}: " + ", ".join(f"{key} {value:.3g}" for key, value in row.items()), flush=True)
    print(f"\n{agents} agents, {rounds} rounds, {PARALLEL} at once; medians:")
    for key in rows[0]:
        print(f"  {key:26} {statistics.median(row[key] for row in rows):8.3f}")


def commands(agents: int) -> None:
    """Print the times of the commands that need no server: medians of 10 runs with warm caches."""
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), agents)
        for words in (["--help"], ["validate"]):
            times = []
            for _ in range(11):
                started = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-m", "lettaform", *words], cwd=name, check=True, stdout=subprocess.DEVNULL
                )
                times.append(time.perf_counter() - started)
            label = " ".join(words) if words[0] == "--help" else f"validate, {agents} agents"
            print(f"  {label:26} {statistics.median(times[1:]) * 1000:8.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--server", help="URL of a running server; default: start one")
    options = parser.parse_args()
    commands(options.agents)
    if options.server:
        fleet(options.server, options.agents, options.rounds)
        return
    with tempfile.TemporaryDirectory() as name:
        server = local.up(0, Path(name) / "data", progress=lambda line: print(f"  {line}", file=sys.stderr))
        try:
            fleet(server.url, options.agents, options.rounds)
        finally:
            local.down(data=server.data, purge=True)


if __name__ == "__main__":
    main()
