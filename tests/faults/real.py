"""The sweep on a real server: faults in this process, kills in a process of its own behind a proxy."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import LettaformError
from lettaform.model import Report
from tests.faults.fleet import PATHS, SECRET, UNTAGGED, Phase, everything, fields_changed, phases, told, write
from tests.faults.harness import Chain, Fault, Faulty, Proxy, Strike, on, once_each, spend
from tests.live.fleet import Fleet


@dataclass(frozen=True)
class Shot:
    """One case: the first request of this shape in a phase, and what goes wrong with it."""

    phase: str
    shape: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.phase}|{self.shape.replace(' ', '+')}|{self.fault}"

    @classmethod
    def parse(cls, text: str) -> Shot:
        phase, shape, fault = text.split("|")
        return cls(phase, shape.replace("+", " "), Fault(fault))


class Real:
    """A server, and what each phase of the story leaves on it when nothing disturbs it."""

    def __init__(self, url: str, password: str | None = None, *, until: str = "change") -> None:
        self.url, self.password, self.name = url, password, f"flt-{uuid.uuid4().hex[:8]}"
        self.folder = Path(tempfile.mkdtemp()) / "fleet"
        weakref.finalize(self, shutil.rmtree, self.folder.parent, ignore_errors=True)
        self.shapes: dict[str, list[str]] = {}
        self.struck: dict[str, int] = {}
        """How many shapes each chain has struck."""
        self.missed: set[str] = set()
        """What no apply of a chain had reason to send."""
        self.ends: dict[str, dict[str, Any]] = {}
        with self.stack() as stack:
            for phase in stack.phases:
                shapes: list[str] = []
                stack.apply(phase, shapes=shapes)
                self.shapes[phase.name] = list(dict.fromkeys(shapes))
                self.ends[phase.name] = stack.told()
                stack.write(phase)
                if phase.name == until:
                    break

    def shots(self) -> Iterator[Shot]:
        """Every shape of request × every fault, writes first."""
        pairs = [(name, shape) for name, shapes in self.shapes.items() for shape in shapes]
        for name, shape in sorted(pairs, key=lambda pair: pair[1].startswith("GET")):
            for fault in Fault:
                yield Shot(name, shape, fault)

    def judge_chain(self, chain: Chain) -> list[str]:
        """What is wrong once each shape has met the fault, and an apply was left alone; nothing, if all is well."""
        struck = set[str]()
        wrong = self.in_a_row(chain, struck)
        # what was under way when the process died was done all the same: it has a story of its own
        for shape in self.shapes[chain.phase]:
            if wrong or shape in struck:
                continue
            try:
                wrong += self.judge(Shot(chain.phase, shape, chain.fault))
                struck.add(shape)
            except Unstruck:
                self.missed.add(f"{chain}: {shape}")
        self.struck[str(chain)] = len(struck)
        return wrong

    def in_a_row(self, chain: Chain, struck: set[str]) -> list[str]:
        """Applies that break, until no shape is left that was not `struck`, and one that does not."""
        with self.stack() as stack:
            for phase in stack.phases:
                if phase.name != chain.phase:
                    stack.apply(phase)
                    stack.write(phase)
                    continue
                disturb = stack.killed if chain.fault.kills else stack.disturbed
                came = spend(struck, partial(disturb, phase, chain.fault, once_each(struck)))
                said = [line for lines in came for line in lines]
                stack.apply(phase)
                return [*_leaks(said), *fields_changed(stack.told(), self.ends[phase.name])]
        raise AssertionError(f"there is no phase {chain.phase}")

    @contextmanager
    def stack(self) -> Iterator[Stack]:
        """A stack of its own, removed afterwards."""
        shutil.rmtree(self.folder, ignore_errors=True)  # one path for all: the manifest speaks of it
        self.folder.mkdir(parents=True)
        stack = Stack(self.url, self.password, self.folder, self.name)
        try:
            yield stack
        finally:
            stack.clear()

    def judge(self, shot: Shot) -> list[str]:
        """What is wrong with a shot; nothing, if all is well."""
        with self.stack() as stack:
            for phase in stack.phases:
                if phase.name != shot.phase:
                    stack.apply(phase)
                    stack.write(phase)
                    continue
                disturb = stack.killed if shot.fault.kills else stack.disturbed
                said = disturb(phase, shot.fault, on(shot.shape), must=True)
                stack.apply(phase)
                return [*_leaks(said), *fields_changed(stack.told(), self.ends[phase.name])]
        raise AssertionError(f"there is no phase {shot.phase}")


class Unstruck(AssertionError):
    """The request on which the fault should fall was not sent."""


class Stack(Fleet):
    """The story on a real server, under a name that nobody else has."""

    def __init__(self, url: str, password: str | None, folder: Path, name: str) -> None:
        super().__init__(url, "", "", password, folder, name)
        self.url, self.phases = url, phases(self.stack, small=True)

    def apply(self, phase: Phase, shapes: list[str] | None = None) -> Report | None:  # type: ignore[override]
        """Apply undisturbed; the plan after it is empty."""
        write(phase, self.folder)
        faulty = Faulty(httpx.AsyncHTTPTransport())
        with _through(faulty):
            _, report = flow.apply(self.source, self.connection, phase.options)
        if shapes is not None:
            shapes += faulty.shapes
        assert report is None or report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]
        plan = flow.plan(self.source, self.connection, phase.options)
        assert not plan.steps, [(c.action, str(c.address), c.reason) for c in plan.changes]
        return report

    def disturbed(self, phase: Phase, fault: Fault, strike: Strike, *, must: bool = False) -> list[str]:
        """Apply with the fault, in this process. Returns what was said. `must`: it has to fall, and falls once."""
        write(phase, self.folder)
        said: list[str] = []
        faulty = Faulty(httpx.AsyncHTTPTransport(), fault, strike, silence=1.0, often=not must)
        connection = flow.Connection(self.url, self.connection.token, trace=said.append)
        try:
            with _through(faulty):
                _, report = flow.apply(self.source, connection, phase.options)
            said += [str(outcome.error) for outcome in report.of("failed")] if report else []
        except LettaformError as error:
            said.append(f"{error} {error.hint}")
        if must and not faulty.struck:
            raise Unstruck
        _finish(faulty)
        return said

    def killed(self, phase: Phase, fault: Fault, strike: Strike, *, must: bool = False) -> list[str]:
        """Apply in a process of its own, and kill that where the fault falls. Returns what it said."""
        write(phase, self.folder)
        running: list[subprocess.Popen[str]] = []
        faulty = Faulty(
            httpx.AsyncHTTPTransport(),
            fault,
            strike,
            kill=lambda: os.kill(running[0].pid, signal.SIGKILL),
        )
        with Proxy(faulty, self.url) as proxy:
            running.append(self.process(proxy.url, phase))
            out, err = running[0].communicate(timeout=120)
            died = running[0].returncode == -signal.SIGKILL
            if must and not faulty.struck:
                raise Unstruck
            assert died or not (must or faulty.struck), f"it lived, and said: {out}{err}"
            proxy.call(faulty.settle())
        return [out, err]

    def process(self, url: str, phase: Phase) -> subprocess.Popen[str]:
        """`lettaform apply` or `destroy`, as a person would run it."""
        verb = "destroy" if phase.options.destroy else "apply"
        asked = ["--prune"] * phase.options.prune + [f"--allow-destroy={each}" for each in phase.options.allow_destroy]
        command = [sys.executable, "-m", "lettaform", "-C", str(self.folder), "--server", url, verb, "-y", *asked]
        environment = os.environ | ({"LETTA_API_KEY": self.connection.token} if self.connection.token else {})
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=self.folder
        )

    def told(self) -> dict[str, Any]:
        """Everything of this stack, in words that fit any."""
        return told(everything(self.raw, self.stack))

    def write(self, phase: Phase) -> None:  # type: ignore[override]
        """As agents do while they run."""
        for address, value in phase.written:
            found = [block for block in self.blocks() if f"lettaform:addr={address}" in block["tags"]]
            for block in found:
                self.patch(f"/v1/blocks/{block['id']}", value=value)

    def clear(self) -> None:
        # groups before the agents that lead them; among the identities, our lock
        left = everything(self.raw, self.stack)
        for section in sorted(UNTAGGED, key=lambda name: name != "groups"):
            for body in left[section]:
                self.raw.delete(f"{PATHS[section]}{body['id']}")
        super().clear()


def _leaks(said: list[str]) -> list[str]:
    """What must never be said."""
    lines = [f"the secret is told: {line}" for line in said if SECRET in line]
    return lines + [f"a traceback: {line}" for line in said if "Traceback" in line]


def _through(faulty: Faulty) -> Any:
    return mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=faulty))


def _finish(faulty: Faulty) -> None:
    """What the server has heard and not done, it does now; on a loop, and connections, of its own."""

    async def finish() -> None:
        faulty.revive(httpx.AsyncHTTPTransport())
        await faulty.settle()
        await faulty.inner.aclose()

    asyncio.run(finish())
