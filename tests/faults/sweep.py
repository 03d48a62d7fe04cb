"""Every request of a whole story × every fault: apply, apply again, and it is as if nothing had happened.

And the same where people give up after the fault: they destroy, or prune what they no longer declare, and nothing is
left.

python -m tests.faults.sweep --on standin [--chain] [--shard I/N] [--resume FILE] [--seed N]
python -m tests.faults.sweep --on standin --storms N [--seed N]
python -m tests.faults.sweep --on real --chain [--shard I/N] [--resume FILE]

A chain is one phase under one fault that falls again and again, on each shape of request once: apply upon apply breaks.
A storm is one phase, and a few applies of it that break one after the other, each at random.
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
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import httpx

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import LettaformError
from lettaform.model import Event, Manifest, Plan, PlanOptions, Report
from lettaform.render import data, text
from tests.faults.clock import Clock
from tests.faults.fleet import SECRET, Phase, everything, fields_changed, phases, told, write
from tests.faults.harness import Chain, Fault, Faulty, Killed, Strike, at, chains, once_each, spend
from tests.live.fleet import READ_ONLY_POSTS
from tests.standin import StandIn

STACK = "sweep"
GIVEN_UP = ("destroy", "prune")
LATENCY = 0.05
Note = Callable[[str], None]


@dataclass(frozen=True)
class Pair:
    """One case: the n-th request of a phase, what goes wrong with it, and what is applied then, if not the same."""

    phase: str
    number: int
    fault: Fault
    seed: int = 0
    then: str = ""

    def __str__(self) -> str:
        return ":".join(filter(None, (self.phase, str(self.number), self.fault, str(self.seed), self.then)))

    @classmethod
    def parse(cls, text: str) -> Pair:
        phase, number, fault, seed, *then = text.split(":")
        return cls(phase, int(number), Fault(fault), int(seed), *then)


@dataclass(frozen=True)
class Storm:
    """One case: everything about it is drawn by its seed."""

    seed: int

    def __str__(self) -> str:
        return f"storm {self.seed}"


_STORMY = [*Fault, *(fault for fault in Fault if fault.kills for _ in range(3))]
"""Kills leave most behind."""


@dataclass(frozen=True)
class Start:
    """A server as a phase finds it, and as the undisturbed phase leaves it."""

    phase: Phase
    manifest: Manifest
    tables: Any
    shapes: list[str]
    end: dict[str, Any]


class Story:
    """The undisturbed run on the stand-in, and each phase's start to go back to."""

    def __init__(self, seed: int = 0, small: bool = False) -> None:
        self.seed, self.starts = seed, dict[str, Start]()
        self.folder = tempfile.mkdtemp()  # files are read when they are sent
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        standin = StandIn()
        for phase in phases(STACK, small):
            folder = Path(self.folder) / phase.name
            folder.mkdir()
            write(phase, folder)
            manifest = flow.read(flow.Source(folder))
            before = copy.deepcopy(standin.tables)
            run = Run(standin, manifest, phase.options, Faulty(standin, latency=LATENCY, seed=seed))
            report = run.apply()
            assert report is not None
            assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]
            run.is_settled()
            shapes = run.sent
            self.starts[phase.name] = Start(phase, manifest, before, shapes, run.told())
            run.write(phase)
        nothing = replace(manifest, objects={}, outputs={})
        self.ends = {
            "destroy": (manifest, phase.options),
            "prune": (nothing, PlanOptions(prune=True, allow_destroy=("*",))),
        }

    def pairs(self) -> Iterator[Pair]:
        """Every request × every fault × going on and giving up."""
        for name, start in self.starts.items():
            for then in ("",) if name == "destroy" else ("", *GIVEN_UP):
                for number in range(1, len(start.shapes) + 1):
                    for fault in Fault:
                        yield Pair(name, number, fault, self.seed, then)

    def shape(self, pair: Pair) -> str:
        return self.starts[pair.phase].shapes[pair.number - 1]

    def judge(self, pair: Pair) -> list[str]:
        """What is wrong with a pair; nothing, if all is well."""
        run = self.run(pair.phase, pair.fault, at(pair.number), pair.seed)

        def disturbed() -> None:
            run.disturbed()
            if pair.then:
                run.manifest, run.options = self.ends[pair.then]

        if pair.then == "prune":  # which leaves the record of the stack, and nothing in it
            run.beside = lambda block: bool(block["label"] == "lettaform" and not json.loads(block["value"])["ids"])
        return self.judged("destroy" if pair.then else pair.phase, run, disturbed)

    def judge_chain(self, chain: Chain) -> list[str]:
        """What is wrong once each shape has met the fault, and an apply was left alone; nothing, if all is well."""
        struck = set[str]()
        run = self.run(chain.phase, chain.fault, once_each(struck), self.seed, often=True)

        def disturb() -> None:
            run.faulty.fault = chain.fault
            run.disturbed(must=False)

        return self.judged(chain.phase, run, lambda: spend(struck, disturb))

    def judge_storm(self, storm: Storm) -> list[str]:
        """What is wrong once all of its applies broke, and one was left alone; nothing, if all is well."""
        picked = random.Random(storm.seed)
        phase = picked.choice(list(self.starts))
        run, requests = self.run(phase, Fault.REFUSE, at(0), storm.seed), len(self.starts[phase].shapes)

        def disturbed() -> None:
            for _ in range(picked.randint(2, 6)):
                run.faulty.fault, run.faulty.struck = picked.choice(_STORMY), None
                first = len(run.faulty.shapes)
                run.faulty.strike = at(first + picked.randint(1, int(requests * picked.choice((0.3, 0.6, 1.0)))))
                run.disturbed(must=False)

        return self.judged(phase, run, disturbed)

    def run(self, phase: str, fault: Fault, strike: Strike, seed: int, *, often: bool = False) -> Run:
        """A phase at its beginning, with what will go wrong."""
        start, standin = self.starts[phase], StandIn(seed=1)
        standin.tables = copy.deepcopy(start.tables)
        faulty = Faulty(standin, fault, strike, latency=LATENCY, seed=seed, often=often)
        return Run(standin, start.manifest, start.phase.options, faulty)

    def judged(self, phase: str, run: Run, disturbed: Callable[[], object]) -> list[str]:
        """What is wrong after it went wrong, and once more without."""
        start = self.starts[phase]
        try:
            disturbed()
            run.recovered()
            run.is_settled()
        except Wrong as error:
            return [str(error)]
        lines = [*fields_changed(run.told(), start.end)]
        lines += [f"asyncio: {line}" for line in run.clock.stray if "Killed" not in line]
        lines += [f"the secret is told: {line}" for line in run.said if SECRET in line]
        return lines


class Wrong(Exception):
    """A promise that is not kept."""


class Run:
    """lettaform, a stand-in, and time of their own."""

    def __init__(self, standin: StandIn, manifest: Manifest, options: PlanOptions, faulty: Faulty) -> None:
        self.standin, self.manifest, self.options, self.faulty = standin, manifest, options, faulty
        self.clock = Clock()
        self.said: list[str] = []
        self.sent: list[str] = []
        self.beside: Callable[[dict[str, Any]], bool] = lambda block: False
        """Which blocks are not counted in the end."""

    @contextmanager
    def here(self) -> Iterator[flow.Source]:
        with (
            tempfile.TemporaryDirectory() as folder,
            self.clock.running(),
            mock.patch.object(flow, "read", return_value=self.manifest),
            mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.faulty)),
            mock.patch("lettaform.backend.v1.send.token_hex", lambda size: "00" * size),
        ):
            yield flow.Source(Path(folder))

    @property
    def connection(self) -> flow.Connection:
        return flow.Connection("http://stand.in", trace=self.said.append)

    def apply(self) -> Report | None:
        def hear(event: Event) -> None:
            self.said.append(data.dumps(data.event(event)))

        with self.here() as source:
            plan, report = flow.apply(source, self.connection, self.options, notify=hear)
        self.sent = list(self.faulty.shapes)
        self.said += [repr(data.planned(plan)), text.plan(plan, verbose=True)]
        if report:
            self.said += [data.dumps(data.summary(report)), text.report(plan, report)]
        return report

    def plan(self) -> Plan:
        with self.here() as source:
            return flow.plan(source, self.connection, self.options)

    def disturbed(self, *, must: bool = True) -> None:
        """An apply with the fault: a report, an error of ours, or death. `must`: the fault has to fall."""
        try:
            self.apply()
        except LettaformError as error:
            self.said.append(f"{error!r} {error} {error.hint}")
        except (Killed, BaseExceptionGroup) as error:
            if not (self.faulty.dead and _only_killed(error)):
                raise Wrong(f"the first apply broke: {error!r}") from error
        except Exception as error:
            raise Wrong(f"the first apply broke: {error!r}") from error
        if must and self.faulty.struck is None:
            raise Wrong(f"only {len(self.faulty.shapes)} requests were sent")
        self.faulty.revive()

    def recovered(self) -> None:
        """The same apply once more: no failure."""
        try:
            report = self.apply()
        except Exception as error:
            raise Wrong(f"the second apply: {error!r} {getattr(error, 'problems', '')}") from error
        if report is not None and report.exit_code != 0:
            raise Wrong(f"the second apply: {[(o.step.key, str(o.error)) for o in report.of('failed')]}")
        self.clock.run(self.faulty.settle())
        if any(
            "lettaform:lock" in each["identifier_key"] for each in self.standin.tables.identities.values()
        ):  # a dead run's lock that came after everything: the next apply clears it
            self.apply()

    def is_settled(self) -> None:
        """The plan is empty, and planning wrote nothing."""
        before = len(self.standin.writes)
        plan = self.plan()
        if plan:
            changes = [(c.action, str(c.address), c.reason, [d.path for d in c.fields_changed]) for c in plan.changes]
            raise Wrong(f"the plan is not empty: {changes} {[step.key for step in plan.steps]}")
        if [entry for entry in self.standin.writes[before:] if not entry[1].endswith(READ_ONLY_POSTS)]:
            raise Wrong("planning wrote")

    @property
    def raw(self) -> httpx.Client:
        return httpx.Client(transport=self.standin, base_url="http://stand.in", headers={"User-Agent": "stranger/1"})

    def told(self) -> dict[str, Any]:
        """Everything on the server, and the prompts that models see."""
        there = everything(self.raw)
        found = told({**there, "blocks": [block for block in there["blocks"] if not self.beside(block)]})
        prompts = {
            (a["name"], "\n".join(sorted(a["_compiled"].splitlines()))) for a in self.standin.tables.agents.values()
        }
        return found | {"prompts": sorted(prompts)}

    def write(self, phase: Phase) -> None:
        """As agents do while they run."""
        for address, value in phase.written:
            (block,) = [b for b in self.standin.tables.blocks.values() if f"lettaform:addr={address}" in b["tags"]]
            self.raw.patch(f"/v1/blocks/{block['id']}", json={"value": value}).raise_for_status()


def _only_killed(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_only_killed, error.exceptions))
    return isinstance(error, Killed)


# --- from the command line -------------------------------------------------------------------------------------------

Case = TypeVar("Case")


def sweep(
    cases: Iterable[Case], judge: Callable[[Case], list[str]], *, command: str, done: set[str], note: Note
) -> Counter[str]:
    """Judge each case that is not done. Counts tried, failed, resumed."""
    count: Counter[str] = Counter()
    for case in cases:
        if str(case) in done:
            count["resumed"] += 1
            continue
        try:
            wrong = judge(case)
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
    parser.add_argument("--sample", type=int, help="so many, drawn by the seed")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin nothing more after them")
    asked = parser.parse_args(arguments)
    run = _on_real if asked.on == "real" else _on_standin
    return 1 if run(asked)["failed"] else 0


def _on_standin(asked: argparse.Namespace) -> Counter[str]:
    story = Story(asked.seed)
    for name, start in story.starts.items():
        print(f"{name}: {len(start.shapes)} requests, {len(set(start.shapes))} shapes")
    if asked.storms:
        return _some(asked, [Storm(asked.seed + number) for number in range(asked.storms)], story.judge_storm)
    if asked.chain:
        return _some(asked, [Chain.parse(text) for text in asked.pair] or [*chains(story.starts)], story.judge_chain)
    return _some(asked, [Pair.parse(text) for text in asked.pair] or list(story.pairs()), story.judge)


def _on_real(asked: argparse.Namespace) -> Counter[str]:
    from tests.faults.real import Real, Shot

    real = Real(asked.url, os.environ.get("LETTAFORM_TEST_PASSWORD"), until="destroy")
    for name, shapes in real.shapes.items():
        print(f"{name}: {len(shapes)} shapes")
    if not asked.chain:
        cases = [Shot.parse(text) for text in asked.pair] or list(real.shots())
        return _some(asked, cases, real.judge)
    count = _some(asked, [Chain.parse(text) for text in asked.pair] or [*chains(real.shapes)], real.judge_chain)
    print(f"{sum(real.struck.values())} pairs of shape and fault, in {len(real.struck)} chains")
    print(*(f"not sent in {each}" for each in sorted(real.missed)), sep="\n")
    return count


def _some(asked: argparse.Namespace, cases: list[Case], judge: Callable[[Case], list[str]]) -> Counter[str]:
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
    count = sweep(chosen, judge, command=command, done=done, note=note)
    seconds = time.perf_counter() - began
    told = f"{count['tried']} pairs tried, {count['failed']} failed, {count['resumed']} done before"
    print(f"{told}, of {whole}; {seconds:.0f} s")
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
