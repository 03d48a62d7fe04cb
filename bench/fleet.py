"""A fleet through lettaform, and the same requests sent bare, in one run: requests per agent and ratios of wall time.

    python bench/fleet.py [--agents 200] [--rounds 3] [--server URL]

Without --server it starts a real Letta server of its own and stops it again. Each round applies the fleet to an empty
stack, plans again, destroys it, and sends what the apply had sent with a plain loop at the same concurrency.
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
    """A fleet of agents, each with 2 own blocks, 3 shared blocks, 2 custom tools and tags."""
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


class Tape:
    """What lettaform writes, and what it was answered, in order."""

    def __init__(self) -> None:
        self.writes: list[tuple[str, str, Any, Any]] = []
        self.requests = 0
        once, tape = Client._once, self

        async def record(client: Client, ask: Any) -> Any:
            answer = await once(client, ask)
            tape.requests += 1
            made = ask.path in ("/v1/agents/", "/v1/blocks/", "/v1/tools/") and ask.method in ("POST", "PUT")
            if made:
                tape.writes.append((ask.method, ask.path, ask.body, answer))
            return answer

        Client._once = record  # type: ignore[method-assign]

    def rewind(self) -> None:
        self.writes, self.requests = [], 0


async def bare(url: str, tape: list[tuple[str, str, Any, Any]]) -> float:
    """Send the same bodies with a plain loop; ids follow what is made. Returns seconds, and cleans up after itself."""
    ids: dict[str, str] = {}
    made: list[tuple[str, Any]] = []
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
            made.append((path, new))

        started = time.perf_counter()
        for agents in (False, True):
            batch = [write for write in tape if write[1].startswith("/v1/agents") == agents]
            await asyncio.gather(*(send(*write) for write in batch))
        seconds = time.perf_counter() - started

        async def remove(path: str, body: Any) -> None:
            async with gate:
                await http.delete(f"{path}{body['id']}")
                for block in body.get("blocks") or ():
                    await http.delete(f"/v1/blocks/{block['id']}")

        await asyncio.gather(*(remove(path, body) for path, body in made))
    return seconds


def spent(tape: Tape, run: Any) -> tuple[float, int, Any]:
    """Seconds, requests, and what came of it."""
    tape.rewind()
    started = time.perf_counter()
    result = run()
    return time.perf_counter() - started, tape.requests, result


def fleet(url: str, agents: int, rounds: int) -> None:
    """Print the figures of each round, and their medians."""
    tape = Tape()
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, agents)
        source, connection = flow.Source(folder), flow.Connection(url=url)
        for number in range(1, rounds + 1):
            report_seconds: list[float] = []

            def run(seconds: list[float] = report_seconds) -> Any:
                plan, report = flow.apply(source, connection, parallel=PARALLEL)
                assert report is not None
                assert report.exit_code == 0
                seconds.append(report.seconds)
                return plan

            whole, requests, _ = spent(tape, run)
            writes = list(tape.writes)
            noop, reads, plan = spent(tape, lambda: flow.plan(source, connection))
            assert not plan.steps, "the plan after the apply is not empty"
            flow.apply(source, connection, PlanOptions(destroy=True), parallel=PARALLEL)
            floor = asyncio.run(bare(url, writes))
            row = {
                "requests of apply": requests,
                "requests per agent": requests / agents,
                "apply, s": report_seconds[0],
                "plan and apply, s": whole,
                "bare, s": floor,
                "apply / bare": report_seconds[0] / floor,
                "plan and apply / bare": whole / floor,
                "requests of a no-op plan": reads,
                "no-op plan, s": noop,
            }
            rows.append(row)
            print(f"round {number}: " + ", ".join(f"{key} {value:.3g}" for key, value in row.items()), flush=True)
    print(f"\n{agents} agents, {rounds} rounds, {PARALLEL} at once; medians:")
    for key in rows[0]:
        print(f"  {key:26} {statistics.median(row[key] for row in rows):8.3f}")


def commands(agents: int) -> None:
    """Print how long the commands take that need no server: medians of 10, warm."""
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
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--agents", type=int, default=200)
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--server", help="a server to use instead of one of our own")
    asked = words.parse_args()
    commands(asked.agents)
    if asked.server:
        fleet(asked.server, asked.agents, asked.rounds)
        return
    with tempfile.TemporaryDirectory() as name:
        server = local.up(0, Path(name) / "data", progress=lambda line: print(f"  {line}", file=sys.stderr))
        try:
            fleet(server.url, asked.agents, asked.rounds)
        finally:
            local.down(data=server.data, purge=True)


if __name__ == "__main__":
    main()
