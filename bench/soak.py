"""Run edits, plans and applies on a real server for a long time, while a share of all requests fails.

    python bench/soak.py [--agents 200] [--minutes 30] [--faults 0.05] [--server URL] [--seed N]

Each round changes live objects and the manifest, and applies the manifest until the apply succeeds, while a share of
all requests is cut, answered with 500, or kills the run. Then it checks every guarantee, and that a second apply has
nothing to do. Prints the number of rounds and faults, and the memory of this process. Exit 1 if a guarantee fails.
"""

from __future__ import annotations

import argparse
import copy
import random
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lettaform import local
from lettaform.model import PlanOptions
from tests.machine.environment import OnServer
from tests.machine.fleet import Spec, change, initial
from tests.machine.machine import BrokenPromise, Machine, Picks

TRIES = 25
KINDS = ("before", "after", "500", "before", "after", "500", "before", "after", "500", "kill before", "kill after")


@dataclass(frozen=True)
class Place:
    """The URL of the server, and the handles of a model and an embedding that it has."""

    url: str
    model: str
    embedding: str
    password: str | None = None


def fleet(agents: int) -> Spec:
    """The first fleet of the state machine, with this number of agents."""
    spec = initial()
    one = spec["agents"].pop("bob")
    spec["agents"] |= {f"worker{number}": copy.deepcopy(one) for number in range(max(0, agents - 1))}
    return spec


def memory() -> float:
    """Resident memory of this process in MB; without /proc, its maximum so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


class Soak:
    """Rounds on one server, and their counters."""

    def __init__(self, place: Place, folder: Path, agents: int, faults: float, seed: int) -> None:
        name = f"soak-{uuid4().hex[:6]}"
        self.random, self.share, self.agents = random.Random(seed), faults, agents
        self.environment = OnServer(folder, place, (name,))
        self.log: list[str] = []
        self.machine = Machine(self.environment, self.log.append, lambda: fleet(agents))
        self.machine.quick = True
        self.stack, self.rounds, self.applies, self.refused = name, 0, 0, 0
        self.samples: list[float] = []

    def picks(self) -> Picks:
        return Picks([self.random.randrange(10_000) for _ in range(40)])

    def chance(self) -> str | None:
        return self.random.choice(KINDS) if self.random.random() < self.share else None

    def round(self) -> None:
        """Run one round. Raises AssertionError if a guarantee fails."""
        self.log.clear()
        for _ in range(self.random.randint(1, 3 + self.agents // 20)):
            self.machine.edit_by_others(self.picks())
        for _ in range(self.random.randint(0, 3)):
            self.machine.specs[self.stack] = change(self.machine.specs[self.stack], self.picks())
        options = self.random.choice(
            (PlanOptions(), PlanOptions(), PlanOptions(prune=True), PlanOptions(prune=True, allow_destroy=("*",)))
        )
        self.environment.recorder.chance = self.chance
        try:
            self.applies += self.machine.apply_until_done(self.stack, options, TRIES)
        finally:
            self.environment.recorder.chance = lambda: None
        result = self.machine.apply_and_check(self.stack, options)
        self.refused += result.error is not None
        if self.rounds % 10 == 9:
            self.machine.tidy()
        self.rounds += 1
        self.samples.append(memory())

    def run(self, minutes: float) -> bool:
        """Run rounds for this time. Returns whether every guarantee held."""
        start, began = memory(), time.monotonic()
        self.machine.apply_and_check(self.stack, PlanOptions())
        print(f"{self.agents} agents created in {time.monotonic() - began:.1f} s", flush=True)
        until, failures = time.monotonic() + minutes * 60, 0
        try:
            while time.monotonic() < until:
                self.round()
                print(f"round {self.rounds}: {self.environment.recorder.broken} faults, {memory():.0f} MB", flush=True)
        except BrokenPromise as error:
            failures = 1
            print("\n".join(self.log), error, sep="\n", file=sys.stderr)
        finally:
            self.machine.clear()
        half = self.samples[len(self.samples) // 2] if self.samples else start
        rows: dict[str, Any] = {
            "rounds": self.rounds,
            "applies under faults": self.applies,
            "faults": self.environment.recorder.broken,
            "refused by a plan": self.refused,
            "failures": failures,
            "memory": f"{start:.0f} MB at the start, {half:.0f} in the middle, {memory():.0f} at the end",
        }
        print("\n".join(f"  {name:22} {value}" for name, value in rows.items()))
        return failures == 0 and self.rounds > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=200)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--faults", type=float, default=0.05, help="share of the requests that fail")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--server", help="URL of a running server; default: start one")
    parser.add_argument("--model", default=local.MODELS[True][0], help="used with --server")
    parser.add_argument("--embedding", default=local.MODELS[True][1], help="used with --server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.server:
            sys.exit(not soak(Place(options.server, options.model, options.embedding), Path(name), options))
        server = local.up(
            0, Path(name) / "data", echo_model=True, progress=lambda line: print(f"  {line}", file=sys.stderr)
        )
        try:
            kept = soak(Place(server.url, server.model, server.embedding, server.password), Path(name), options)
        finally:
            local.down(data=server.data, purge=True)
        sys.exit(not kept)


def soak(place: Place, folder: Path, options: argparse.Namespace) -> bool:
    print(
        f"{options.agents} agents, {options.minutes:g} minutes, {options.faults:.0%} faults, seed {options.seed}",
        flush=True,
    )
    return Soak(place, folder, options.agents, options.faults, options.seed).run(options.minutes)


if __name__ == "__main__":
    main()
