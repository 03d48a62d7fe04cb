"""Cancel an apply at any request, apply again, and the end state is as without the cancellation."""

from __future__ import annotations

import asyncio
import itertools
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import PlanError
from tests.faults.clock import Clock
from tests.faults.harness import PATIENCE, Fault, FaultyTransport
from tests.faults.run import LATENCY, Run, Wrong
from tests.faults.sweep import Scenario
from tests.standin import Ask, StandIn, serve

pytestmark = pytest.mark.thorough

MOMENTS = ("before", "after")
"""Whether the request is cancelled before the server acts on it, or before the answer arrives."""


class CancellableClock(Clock):
    """A clock whose main task can be cancelled, as Python does at the second SIGINT."""

    def __init__(self) -> None:
        super().__init__()
        self.task: asyncio.Task[Any] | None = None
        self.cancelled = False
        self.thread = threading.current_thread()  # the heartbeat of the lock has a loop of its own, in another thread

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        async def tracked() -> Any:
            if threading.current_thread() is self.thread:
                self.task = asyncio.current_task()
            return await main

        return super().run(tracked())

    def cancel(self) -> None:
        assert self.task is not None
        self.cancelled = True
        self.task.get_loop().call_soon_threadsafe(self.task.cancel)


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return Scenario(back=False)


def cancelling(scenario: Scenario, phase: str, number: int, moment: str, times: int = 1) -> Run:
    """A phase that is cancelled at its n-th request, and then at each of the next ones, so many times."""
    clock, answered = CancellableClock(), itertools.count(1)
    numbers = range(number, number + times)

    def cancel_before(count: int, request: httpx.Request) -> bool:
        if moment == "before" and count in numbers:
            clock.cancel()
        return False  # no other fault

    def cancel_after(ask: Ask) -> None:
        if moment == "after" and next(answered) in numbers:
            clock.cancel()

    run = scenario.run(phase, Fault.REFUSE, cancel_before, scenario.seed)
    run.clock, run.standin.after = clock, cancel_after
    return run


def end(run: Run) -> None:
    """What the server has received is done. The next requests are not cancelled."""
    assert isinstance(run.clock, CancellableClock)
    assert run.clock.cancelled
    run.faulty.revive()
    run.standin.after = lambda ask: None


def is_locked(standin: StandIn) -> bool:
    return any("lettaform:lock" in each["identifier_key"] for each in standin.tables.identities.values())


def left(faulty: FaultyTransport) -> list[str]:
    """The writes that the server has received and not yet done, except the one that releases the lock."""
    return [each for each in faulty.coming if not each.startswith("DELETE /v1/identities/")]


def problems_after_cancel(scenario: Scenario, phase: str, number: int, moment: str, times: int = 1) -> list[str]:
    """What is wrong after an apply was cancelled at its n-th request and one ran undisturbed; empty if nothing is."""
    run = cancelling(scenario, phase, number, moment, times)

    def interrupted() -> None:
        with suppress(asyncio.CancelledError):  # the last request may have ended the apply
            run.apply()
        end(run)
        if times == 1 and left(run.faulty):
            raise Wrong(f"the lock was released while {left(run.faulty)} had not landed")
        run.clock.run(run.faulty.settle())
        if times == 1 and is_locked(run.standin):
            raise Wrong("the lock is left")

    return scenario.problems_after(phase, run, interrupted)


def check(scenario: Scenario, cases: list[tuple[str, int, str]]) -> None:
    failed = {case: wrong for case in cases if (wrong := problems_after_cancel(scenario, *case))}
    assert not failed, "\n".join(f"{case}: {why}" for case, why in failed.items())


def cases(scenario: Scenario, phase: str) -> list[tuple[str, int, str]]:
    numbers = range(1, len(scenario.starts[phase].shapes) + 1)
    return [(phase, number, moment) for number in numbers for moment in MOMENTS]


@pytest.mark.thorough
@pytest.mark.parametrize("phase", ["build", "change", "destroy"])
def test_apply_after_cancelled_apply_completes_it(scenario: Scenario, phase: str) -> None:
    check(scenario, random.Random(7).sample(cases(scenario, phase), 9))


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["build", "change", "destroy"])
def test_apply_after_apply_cancelled_at_any_request_completes_it(scenario: Scenario, phase: str) -> None:
    check(scenario, cases(scenario, phase))


@pytest.mark.thorough
@pytest.mark.parametrize("phase", ["build", "change", "destroy"])
def test_apply_after_apply_cancelled_twice_completes_it(scenario: Scenario, phase: str) -> None:
    drawn = random.Random(8).sample(cases(scenario, phase), 6)
    failed = {case: wrong for case in drawn if (wrong := problems_after_cancel(scenario, *case, times=2))}
    assert not failed, "\n".join(f"{case}: {why}" for case, why in failed.items())


def test_cancelled_request_for_the_lock_leaves_no_lock(scenario: Scenario) -> None:
    shapes = scenario.starts["build"].shapes
    number = shapes.index("POST /v1/identities/") + 1
    for moment in MOMENTS:
        assert problems_after_cancel(scenario, "build", number, moment) == []


# --- the other verbs that write --------------------------------------------------------------------------------------

BLOCKS = "stack: s\nblocks: {a: {}, b: {}, c: {}, d: {}}\n"


class Stack:
    """Three blocks of a stack on a stand-in, and one that it no longer manages."""

    def __init__(self, folder: Path) -> None:
        (folder / "lettaform.yaml").write_text(BLOCKS.replace(", d: {}", ""))
        self.source, self.connection = flow.Source(folder), flow.Connection("http://stand.in")
        self.standin, self.clock = StandIn(), CancellableClock()
        self.faulty = FaultyTransport(self.standin, latency=LATENCY)
        with self.here():
            flow.apply(self.source, self.connection, consent=True)
            flow.state_remove(self.source, self.connection, "blocks.c")
        (folder / "lettaform.yaml").write_text(BLOCKS)
        self.block = next(id for id, each in self.standin.tables.blocks.items() if each["label"] == "c")
        self.faulty.shapes.clear()

    @contextmanager
    def here(self) -> Iterator[None]:
        with (
            self.clock.running(),
            mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.faulty)),
        ):
            yield

    def cancelled(self, verb: Verb, number: int, moment: str) -> None:
        """Run the verb, and cancel it at its n-th request."""
        answered = itertools.count(1)

        def before(count: int, request: httpx.Request) -> bool:
            if moment == "before" and count == number:
                self.clock.cancel()
            return False

        def after(ask: Ask) -> None:
            if moment == "after" and next(answered) == number:
                self.clock.cancel()

        self.faulty.fault, self.faulty.trigger, self.standin.after = Fault.REFUSE, before, after
        with self.here(), suppress(asyncio.CancelledError):
            verb(self)
        self.faulty.revive()
        self.standin.after = lambda ask: None

    def listed(self) -> list[tuple[str, str, bool]]:
        with self.here():
            found = flow.state_list(self.source, self.connection)
        return [(str(live.address), live.name, live.marked) for live in found]


Verb = Callable[[Stack], object]
VERBS: Mapping[str, Verb] = {
    "state mv": lambda stack: flow.state_move(stack.source, stack.connection, "blocks.b", "blocks.d"),
    "state rm": lambda stack: flow.state_remove(stack.source, stack.connection, "blocks.b"),
    "state rebuild": lambda stack: flow.state_rebuild(stack.source, stack.connection),
    "import": lambda stack: flow.adopt(stack.source, stack.connection, "blocks.c", stack.block),
}


@pytest.mark.parametrize(
    "verb", [pytest.param(each, marks=[] if each == "import" else [pytest.mark.slow]) for each in VERBS]
)
def test_verb_after_verb_cancelled_at_any_request_completes_it(verb: str, tmp_path: Path) -> None:
    undisturbed = Stack(tmp_path)
    with undisturbed.here():
        VERBS[verb](undisturbed)
    requests = len(undisturbed.faulty.shapes)
    expected = undisturbed.listed()
    for number, moment in itertools.product(range(1, requests + 1), MOMENTS):
        stack = Stack(tmp_path)
        stack.cancelled(VERBS[verb], number, moment)
        assert not left(stack.faulty), (number, moment)
        stack.clock.run(stack.faulty.settle())
        assert not is_locked(stack.standin), (number, moment)
        with stack.here(), suppress(PlanError):  # the cancelled one may have done it all
            VERBS[verb](stack)
        assert stack.listed() == expected, (number, moment)


# --- real signals, to a real process ---------------------------------------------------------------------------------

SIGNALLED = "stack: s\nblocks: {a: {value: x}, b: {value: x}}\n"


class Process:
    """The command line in a process of its own, with a stand-in. It is sent SIGINT as one request is answered."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.standin = folder, StandIn()
        (folder / "lettaform.yaml").write_text(SIGNALLED)

    def interrupted(self, verb: str, at: tuple[str, str], times: int) -> int:
        """The exit code of a verb that is interrupted at the first request to a path, and at the next ones."""
        signalled = 0

        def signal_once(ask: Ask) -> None:
            nonlocal signalled
            if (signalled or (ask.method, ask.path) == at) and signalled < times:
                signalled += 1
                process.send_signal(signal.SIGINT)
                time.sleep(0.3)  # the answer is on its way

        self.standin.after = signal_once
        with serve(self.standin) as url:
            command = [sys.executable, "-m", "lettaform", "-C", str(self.folder), "--server", url, *verb.split()]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            output, _ = process.communicate(timeout=PATIENCE)
        self.standin.after = lambda ask: None
        assert signalled == times, output
        assert "Traceback" not in output
        return process.returncode

    def run(self, verb: str) -> int:
        with serve(self.standin) as url:
            command = [sys.executable, "-m", "lettaform", "-C", str(self.folder), "--server", url, *verb.split()]
            return subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False).returncode


PLACES = {
    "while it asks for the lock": ("POST", "/v1/identities/"),
    "while it reads": ("GET", "/v1/agents/"),
    "in the middle of a POST": ("POST", "/v1/blocks/"),
}


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("place", PLACES)
def test_interrupted_process_ends_with_130_and_leaves_neither_lock_nor_duplicates(
    tmp_path: Path, place: str, times: int
) -> None:
    process = Process(tmp_path)
    assert process.interrupted("apply -y", PLACES[place], times) == 130
    assert not is_locked(process.standin)
    assert process.run("apply -y") == 0
    labels = [each["label"] for each in process.standin.tables.blocks.values()]
    assert sorted(labels) == ["a", "b", "lettaform"]
    assert process.interrupted("destroy -y", ("DELETE", next(iter(_paths(process.standin)))), times) == 130
    assert not is_locked(process.standin)
    assert process.run("destroy -y") == 0
    assert process.standin.tables.blocks == {}


def _paths(standin: StandIn) -> Iterator[str]:
    return (f"/v1/blocks/{id}" for id, each in standin.tables.blocks.items() if each["label"] == "a")
