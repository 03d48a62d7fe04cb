"""Every request of a scenario × every fault: apply, apply again, and the end state is as without the fault.

The phases are applies, the restore of a snapshot over a spoilt fleet and after its destruction, a pull, and the import
of an agent file; what is done again is the same verb.

The same where people give up after the fault: they destroy, or prune what they no longer declare, and nothing
remains.

python -m tests.faults.sweep --on standin [--chain] [--shard I/N] [--resume FILE] [--seed N] [--page N]
       [--match PATTERN] [--sample N]

python -m tests.faults.sweep --on standin --storms N [--seed N]

python -m tests.faults.sweep --on real --chain [--shard I/N] [--resume FILE]

A chain is one phase under one fault that occurs once at each shape of request: every apply but the last is
interrupted. A storm is one phase with a few applies, each interrupted at a random request.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
import time
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import httpx

from lettaform import flow
from lettaform.errors import LettaformError
from lettaform.model import Manifest, PlanOptions
from lettaform.ownership.state import PAGE
from tests.faults.fleet import SECRET, differences, phases, write
from tests.faults.harness import (
    Chain,
    Fault,
    FaultyTransport,
    Trigger,
    at,
    chains,
    once_each,
    repeat_until_exhausted,
)
from tests.faults.run import LATENCY, Run, Wrong
from tests.faults.ways_back import CLERK_KEY, AgentFileRun, PullRun, RestoreRun, agent_file_manifest, say, spoil
from tests.standin import StandIn

STACK = "sweep"
GIVEN_UP = ("destroy", "prune")
WITHOUT_END = ("destroy", "pull", "import")
"""Phases that are not given up: they leave nothing of the fleet, or write nothing of it."""
Note = Callable[[str], None]


@dataclass(frozen=True)
class RequestFault:
    """One case: the n-th request of a phase, its fault, and what is applied afterwards if not the same phase."""

    phase: str
    number: int
    fault: Fault
    seed: int = 0
    then: str = ""

    def __str__(self) -> str:
        return ":".join(filter(None, (self.phase, str(self.number), self.fault, str(self.seed), self.then)))

    @classmethod
    def parse(cls, text: str) -> RequestFault:
        phase, number, fault, seed, *then = text.split(":")
        return cls(phase, int(number), Fault(fault), int(seed), *then)


@dataclass(frozen=True)
class Storm:
    """One case, drawn entirely from its seed."""

    seed: int

    def __str__(self) -> str:
        return f"storm {self.seed}"


_STORM_FAULTS = [*Fault, *(fault for fault in Fault if fault.kills for _ in range(3))]
"""Mostly kills, because they leave most behind."""


New = Callable[[StandIn, Manifest, PlanOptions, FaultyTransport], Run]


@dataclass(frozen=True)
class Start:
    """A server at the start of a phase, and what has to be there after the undisturbed phase.

    new  makes a run of the phase
    """

    manifest: Manifest
    options: PlanOptions
    tables: Any
    shapes: list[str]
    end: dict[str, Any]
    new: New = Run


class Scenario:
    """The undisturbed run on the stand-in, and a restorable start of each phase."""

    def __init__(self, seed: int = 0, small: bool = False, *, back: bool = True) -> None:
        """`back`: with the phases that bring something back, and not the applies alone."""
        self.seed, self.starts = seed, dict[str, Start]()
        self.folder = Path(tempfile.mkdtemp())  # files are read when they are uploaded
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        standin = StandIn()
        for phase in phases(STACK, small):
            folder = self.folder / phase.name
            folder.mkdir()
            write(phase, folder)
            manifest = flow.read(flow.Source(folder))
            run = self.add(phase.name, standin, manifest, phase.options)
            run.write(phase)
            if back and phase.name == "change":
                self.add_pull_and_restore(run, folder)
        if back:
            made = partial(RestoreRun, path=self.kept)
            self.add("revive", standin, self.starts["change"].manifest, PlanOptions(), made)
            self.add_import()
        nothing = replace(manifest, objects={}, outputs={})
        self.ends = {
            "destroy": (manifest, phase.options),
            "prune": (nothing, PlanOptions(prune=True, allow_destroy=("*",))),
        }

    def add(self, name: str, standin: StandIn, manifest: Manifest, options: PlanOptions, new: New = Run) -> Run:
        """Add a phase, and carry it out undisturbed. `new`: makes its run."""
        before = copy.deepcopy(standin.tables)
        run = new(standin, manifest, options, FaultyTransport(standin, latency=LATENCY, seed=self.seed))
        report = run.apply()
        assert report is None or report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]
        shapes = run.sent
        run.assert_no_changes()
        self.starts[name] = Start(manifest, options, before, shapes, run.everything(), new)
        return run

    def add_pull_and_restore(self, changed: Run, project: Path) -> None:
        """Add the phases that begin with the changed fleet: a pull, and a restore after values were spoilt."""
        self.add("pull", copied(changed).standin, changed.manifest, PlanOptions(), partial(PullRun, project=project))
        run = copied(changed)
        say(run)
        with run.here() as source:
            self.kept = flow.snapshot_create(source, run.connection, self.folder / "kept")
        spoil(run)
        self.add("restore", run.standin, run.manifest, PlanOptions(), partial(RestoreRun, path=self.kept))

    def add_import(self) -> None:
        """Add the phase that imports an agent file into a stack that has everything but the agent."""
        standin, manifest = StandIn(), agent_file_manifest(self.folder)
        Run(standin, manifest, PlanOptions(exclude=(CLERK_KEY,)), FaultyTransport(standin)).apply()
        self.add("import", standin, manifest, PlanOptions(), AgentFileRun)

    def request_faults(self) -> Iterator[RequestFault]:
        """Every request × every fault × continuing and giving up."""
        for name, start in self.starts.items():
            for then in ("",) if name in WITHOUT_END else ("", *GIVEN_UP):
                for number in range(1, len(start.shapes) + 1):
                    for fault in Fault:
                        yield RequestFault(name, number, fault, self.seed, then)

    def shape(self, pair: RequestFault) -> str:
        return self.starts[pair.phase].shapes[pair.number - 1]

    def check(self, pair: RequestFault) -> list[str]:
        """What is wrong after the fault; empty if nothing is."""
        run = self.run(pair.phase, pair.fault, at(pair.number), pair.seed)

        def interrupted() -> None:
            run.apply_with_fault()

        if not pair.then:
            return self.problems_after(pair.phase, run, interrupted)
        end = run.given_up(*self.ends[pair.then])
        if pair.then == "prune":  # the empty state of the stack remains
            end.is_ignored = lambda block: bool(
                block["label"] == "lettaform" and not json.loads(block["value"]).get("ids")
            )
        return self.problems_after("destroy", end, interrupted)

    def check_chain(self, chain: Chain) -> list[str]:
        """What is wrong after each shape has met the fault and one apply ran undisturbed; empty if nothing is."""
        triggered = set[str]()
        run = self.run(chain.phase, chain.fault, once_each(triggered), self.seed, often=True)

        def interrupt() -> None:
            run.faulty.fault = chain.fault
            run.apply_with_fault(must=False)

        return self.problems_after(chain.phase, run, lambda: repeat_until_exhausted(triggered, interrupt))

    def check_storm(self, storm: Storm) -> list[str]:
        """What is wrong after the storm's applies were interrupted and one ran undisturbed; empty if nothing is."""
        picked = random.Random(storm.seed)
        phase = picked.choice(list(self.starts))
        run, requests = self.run(phase, Fault.REFUSE, at(0), storm.seed), len(self.starts[phase].shapes)

        def interrupted() -> None:
            for _ in range(picked.randint(2, 6)):
                run.faulty.fault, run.faulty.triggered = picked.choice(_STORM_FAULTS), None
                first = len(run.faulty.shapes)
                run.faulty.trigger = at(first + picked.randint(1, int(requests * picked.choice((0.3, 0.6, 1.0)))))
                run.apply_with_fault(must=False)

        return self.problems_after(phase, run, interrupted)

    def run(self, phase: str, fault: Fault, trigger: Trigger, seed: int, *, often: bool = False) -> Run:
        """A phase at its start, with the fault to come."""
        start, standin = self.starts[phase], StandIn(seed=1)
        standin.tables = copy.deepcopy(start.tables)
        faulty = FaultyTransport(standin, fault, trigger, latency=LATENCY, seed=seed, often=often)
        return start.new(standin, start.manifest, start.options, faulty)

    def problems_after(self, phase: str, run: Run, interrupted: Callable[[], object]) -> list[str]:
        """What is wrong after the fault and one more undisturbed apply."""
        start = self.starts[phase]
        try:
            interrupted()
            run.apply_again()
            run.assert_no_changes()
        except Wrong as error:
            return [str(error)]
        lines = [*differences(run.everything(), start.end)]
        lines += [f"asyncio: {line}" for line in run.clock.stray if "Killed" not in line]
        lines += [f"the secret is shown: {line}" for line in run.output if SECRET in line]
        return lines


def copied(run: Run) -> Run:
    """A run against a copy of the server."""
    standin = StandIn(seed=2)
    standin.tables = copy.deepcopy(run.standin.tables)
    return Run(standin, run.manifest, run.options, FaultyTransport(standin, latency=LATENCY))


# --- command line ----------------------------------------------------------------------------------------------------

Case = TypeVar("Case")


def sweep(
    cases: Iterable[Case], check: Callable[[Case], list[str]], *, command: str, done: set[str], note: Note
) -> Counter[str]:
    """Check each case that is not done. Counts tried, failed, resumed."""
    count: Counter[str] = Counter()
    for case in cases:
        if str(case) in done:
            count["resumed"] += 1
            continue
        try:
            wrong = check(case)
        except (AssertionError, LettaformError, httpx.HTTPError) as error:
            wrong = [f"{type(error).__name__}: {error}", *map(str, getattr(error, "problems", ()))]
        count["tried"] += 1
        if wrong:
            count["failed"] += 1
            print(
                f"FAILED {command} --pair '{case}'", *(f"    {line[:1200]}" for line in wrong[:6]), sep="\n", flush=True
            )
        else:
            note(str(case))
    return count


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sweep", description=__doc__)
    parser.add_argument("--on", choices=("standin", "real"), default="standin")
    parser.add_argument("--url", default=os.environ.get("LETTAFORM_TEST_URL"), help="of the real server")
    parser.add_argument(
        "--chain", action="store_true", help="apply under a fault until it has fallen on every shape of request"
    )
    parser.add_argument("--storms", type=int, default=0, help="so many, from the seed on; on the stand-in")
    parser.add_argument("--shard", default="1/1", metavar="I/N")
    parser.add_argument("--resume", type=Path, help="notes what went well, and leaves it out the next time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pair", action="append", default=[], help="only this one; may be repeated")
    parser.add_argument("--match", metavar="PATTERN", help="only pairs like it, such as `re*:kill_*`")
    parser.add_argument("--sample", type=int, help="so many, drawn by the seed")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing more after them")
    parser.add_argument("--page", type=int, default=PAGE, help="characters of a page of the state: few make many pages")
    asked = parser.parse_args(arguments)
    run = _on_real if asked.on == "real" else _on_standin
    with mock.patch("lettaform.ownership.state.PAGE", asked.page):
        return 1 if run(asked)["failed"] else 0


def _on_standin(asked: argparse.Namespace) -> Counter[str]:
    scenario = Scenario(asked.seed)
    for name, start in scenario.starts.items():
        print(f"{name}: {len(start.shapes)} requests, {len(set(start.shapes))} shapes")
    if asked.storms:
        return _run_cases(asked, [Storm(asked.seed + number) for number in range(asked.storms)], scenario.check_storm)
    if asked.chain:
        return _run_cases(
            asked, [Chain.parse(text) for text in asked.pair] or [*chains(scenario.starts)], scenario.check_chain
        )
    return _run_cases(
        asked, [RequestFault.parse(text) for text in asked.pair] or list(scenario.request_faults()), scenario.check
    )


def _on_real(asked: argparse.Namespace) -> Counter[str]:
    from tests.faults.real import Real, ShapeFault

    real = Real(asked.url, os.environ.get("LETTAFORM_TEST_PASSWORD"), until="destroy")
    for name, shapes in real.shapes.items():
        print(f"{name}: {len(shapes)} shapes")
    if not asked.chain:
        cases = [ShapeFault.parse(text) for text in asked.pair] or list(real.shape_faults())
        return _run_cases(asked, cases, real.check)
    count = _run_cases(asked, [Chain.parse(text) for text in asked.pair] or [*chains(real.shapes)], real.check_chain)
    print(f"{sum(real.triggered.values())} pairs of shape and fault, in {len(real.triggered)} chains")
    print(*(f"not sent in {each}" for each in sorted(real.missed)), sep="\n")
    return count


def _run_cases(asked: argparse.Namespace, cases: list[Case], check: Callable[[Case], list[str]]) -> Counter[str]:
    cases = [case for case in cases if fnmatch(str(case), asked.match or "*")]
    whole = len(cases)
    if asked.sample:
        cases = random.Random(asked.seed).sample(cases, min(asked.sample, whole))
    part, parts = map(int, asked.shard.split("/"))
    done = set(asked.resume.read_text().splitlines()) if asked.resume and asked.resume.exists() else set()

    def note(text: str) -> None:
        if asked.resume:
            with asked.resume.open("a") as file:
                file.write(f"{text}\n")

    began = time.perf_counter()
    until = began + 60 * asked.minutes
    chosen = itertools.takewhile(lambda case: time.perf_counter() < until, cases[part - 1 :: parts])
    command = f"python -m tests.faults.sweep --on {asked.on} --seed {asked.seed}"
    count = sweep(chosen, check, command=command, done=done, note=note)
    seconds = time.perf_counter() - began
    summary = f"{count['tried']} pairs tried, {count['failed']} failed, {count['resumed']} done before"
    print(f"{summary}, of {whole}; {seconds:.0f} s")
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
