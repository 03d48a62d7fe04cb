"""The sweep on a real server: faults in this process; kills in a separate process behind a proxy."""

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
from tests.faults.fleet import PATHS, SECRET, UNTAGGED, Phase, all_objects, comparable, differences, phases, write
from tests.faults.harness import (
    PATIENCE,
    Chain,
    Fault,
    FaultyTransport,
    Proxy,
    Trigger,
    on,
    once_each,
    repeat_until_exhausted,
)
from tests.live.fleet import Fleet


@dataclass(frozen=True)
class ShapeFault:
    """One case: the first request of a shape in a phase, and its fault."""

    phase: str
    shape: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.phase}|{self.shape.replace(' ', '+')}|{self.fault}"

    @classmethod
    def parse(cls, text: str) -> ShapeFault:
        phase, shape, fault = text.split("|")
        return cls(phase, shape.replace("+", " "), Fault(fault))


class Real:
    """A server, and the objects that each undisturbed phase leaves on it."""

    def __init__(self, url: str, password: str | None = None, *, until: str = "change") -> None:
        self.url, self.password, self.name = url, password, f"flt-{uuid.uuid4().hex[:8]}"
        self.folder = Path(tempfile.mkdtemp()) / "fleet"
        weakref.finalize(self, shutil.rmtree, self.folder.parent, ignore_errors=True)
        self.shapes: dict[str, list[str]] = {}
        self.triggered: dict[str, int] = {}
        """The number of shapes that each chain triggered."""
        self.missed: set[str] = set()
        """The shapes that no apply of a chain had reason to send."""
        self.ends: dict[str, dict[str, Any]] = {}
        with self.stack() as stack:
            for phase in stack.phases:
                shapes: list[str] = []
                stack.apply(phase, shapes=shapes)
                self.shapes[phase.name] = list(dict.fromkeys(shapes))
                self.ends[phase.name] = stack.snapshot()
                stack.write(phase)
                if phase.name == until:
                    break

    def shape_faults(self) -> Iterator[ShapeFault]:
        """Every shape of request × every fault, writes first."""
        pairs = [(name, shape) for name, shapes in self.shapes.items() for shape in shapes]
        for name, shape in sorted(pairs, key=lambda pair: pair[1].startswith("GET")):
            for fault in Fault:
                yield ShapeFault(name, shape, fault)

    def check_chain(self, chain: Chain) -> list[str]:
        """What is wrong after each shape has met the fault and one apply ran undisturbed; empty if nothing is."""
        triggered = set[str]()
        wrong = self.run_chain(chain, triggered)
        # what a killed process had in progress was done anyway: each remaining shape gets its own run
        for shape in self.shapes[chain.phase]:
            if wrong or shape in triggered:
                continue
            try:
                wrong += self.check(ShapeFault(chain.phase, shape, chain.fault))
                triggered.add(shape)
            except NotTriggered:
                self.missed.add(f"{chain}: {shape}")
        self.triggered[str(chain)] = len(triggered)
        return wrong

    def run_chain(self, chain: Chain, triggered: set[str]) -> list[str]:
        """Interrupted applies until no shape is left that is not in `triggered`, then an undisturbed one."""
        with self.stack() as stack:
            for phase in stack.phases:
                if phase.name != chain.phase:
                    stack.apply(phase)
                    stack.write(phase)
                    continue
                interrupt = stack.apply_and_kill if chain.fault.kills else stack.apply_with_fault
                came = repeat_until_exhausted(triggered, partial(interrupt, phase, chain.fault, once_each(triggered)))
                output = [line for lines in came for line in lines]
                stack.apply(phase)
                return [*_leaks(output), *differences(stack.snapshot(), self.ends[phase.name])]
        raise AssertionError(f"there is no phase {chain.phase}")

    @contextmanager
    def stack(self) -> Iterator[Stack]:
        """A new stack, deleted afterwards."""
        shutil.rmtree(self.folder, ignore_errors=True)  # the same path for all, because it appears in the manifest
        self.folder.mkdir(parents=True)
        stack = Stack(self.url, self.password, self.folder, self.name)
        try:
            yield stack
        finally:
            stack.clear()

    def check(self, shot: ShapeFault) -> list[str]:
        """What is wrong after the fault; empty if nothing is."""
        with self.stack() as stack:
            for phase in stack.phases:
                if phase.name != shot.phase:
                    stack.apply(phase)
                    stack.write(phase)
                    continue
                interrupt = stack.apply_and_kill if shot.fault.kills else stack.apply_with_fault
                output = interrupt(phase, shot.fault, on(shot.shape), must=True)
                stack.apply(phase)
                return [*_leaks(output), *differences(stack.snapshot(), self.ends[phase.name])]
        raise AssertionError(f"there is no phase {shot.phase}")


class NotTriggered(AssertionError):
    """The request that should meet the fault was not sent."""


class Stack(Fleet):
    """The scenario on a real server, under a unique stack name."""

    def __init__(self, url: str, password: str | None, folder: Path, name: str) -> None:
        super().__init__(url, "", "", password, folder, name)
        self.url, self.phases = url, phases(self.stack, small=True)

    def apply(self, phase: Phase, shapes: list[str] | None = None) -> Report | None:  # type: ignore[override]
        """Apply without faults; the plan after it is empty."""
        write(phase, self.folder)
        faulty = FaultyTransport(httpx.AsyncHTTPTransport())
        with _through(faulty):
            _, report = flow.apply(self.source, self.connection, phase.options, consent=True)
        if shapes is not None:
            shapes += faulty.shapes
        assert report is None or report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]
        plan = flow.plan(self.source, self.connection, phase.options)
        assert not plan.steps, [(c.action, str(c.address), c.reason) for c in plan.changes]
        return report

    def apply_with_fault(self, phase: Phase, fault: Fault, trigger: Trigger, *, must: bool = False) -> list[str]:
        """Apply with the fault in this process. Returns all output. `must`: the fault has to occur, and occurs once."""
        write(phase, self.folder)
        output: list[str] = []
        faulty = FaultyTransport(httpx.AsyncHTTPTransport(), fault, trigger, silence=1.0, often=not must)
        connection = flow.Connection(self.url, self.connection.token, trace=output.append)
        try:
            with _through(faulty):
                _, report = flow.apply(self.source, connection, phase.options, consent=True)
            output += [str(outcome.error) for outcome in report.of("failed")] if report else []
        except LettaformError as error:
            output.append(f"{error} {error.hint}")
        if must and not faulty.triggered:
            raise NotTriggered
        _settle(faulty)
        return output

    def apply_and_kill(self, phase: Phase, fault: Fault, trigger: Trigger, *, must: bool = False) -> list[str]:
        """Apply in a separate process and kill it at the fault. Returns its output."""
        write(phase, self.folder)
        running: list[subprocess.Popen[str]] = []
        faulty = FaultyTransport(
            httpx.AsyncHTTPTransport(),
            fault,
            trigger,
            kill=lambda: os.kill(running[0].pid, signal.SIGKILL),
        )
        with Proxy(faulty, self.url) as proxy:
            running.append(self.process(proxy.url, phase))
            out, err = running[0].communicate(timeout=PATIENCE)
            died = running[0].returncode == -signal.SIGKILL
            if must and not faulty.triggered:
                raise NotTriggered
            assert died or not (must or faulty.triggered), f"it lived, and said: {out}{err}"
            proxy.call(faulty.settle())
        return [out, err]

    def process(self, url: str, phase: Phase) -> subprocess.Popen[str]:
        """`lettaform apply` or `destroy` as a separate process."""
        verb = "destroy" if phase.options.destroy else "apply"
        asked = ["--prune"] * phase.options.prune + [f"--allow-destroy={each}" for each in phase.options.allow_destroy]
        command = [sys.executable, "-m", "lettaform", "-C", str(self.folder), "--server", url, verb, "-y", *asked]
        environment = os.environ | ({"LETTA_API_KEY": self.connection.token} if self.connection.token else {})
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=self.folder
        )

    def snapshot(self) -> dict[str, Any]:
        """All objects of this stack, in comparable form."""
        return comparable(all_objects(self.raw, self.stack))

    def write(self, phase: Phase) -> None:  # type: ignore[override]
        """Write what agents write while they run."""
        for address, value in phase.agent_writes:
            found = [block for block in self.blocks() if f"lettaform:addr={address}" in block["tags"]]
            for block in found:
                self.patch(f"/v1/blocks/{block['id']}", value=value)

    def clear(self) -> None:
        # groups before the agents that manage them; our lock is one of the identities
        left = all_objects(self.raw, self.stack)
        for section in sorted(UNTAGGED, key=lambda name: name != "groups"):
            for body in left[section]:
                self.raw.delete(f"{PATHS[section]}{body['id']}")
        super().clear()


def _leaks(output: list[str]) -> list[str]:
    """Lines with a secret or a traceback."""
    lines = [f"the secret is shown: {line}" for line in output if SECRET in line]
    return lines + [f"a traceback: {line}" for line in output if "Traceback" in line]


def _through(faulty: FaultyTransport) -> Any:
    return mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=faulty))


def _settle(faulty: FaultyTransport) -> None:
    """Finish what the server has received, on a new event loop with new connections."""

    async def finish() -> None:
        faulty.revive(httpx.AsyncHTTPTransport())
        await faulty.settle()
        await faulty.inner.aclose()

    asyncio.run(finish())
