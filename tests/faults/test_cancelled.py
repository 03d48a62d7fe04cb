"""Cancel an apply at any request, apply again, and the end state is as without the cancellation."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import httpx
import pytest

from tests.faults.clock import Clock
from tests.faults.harness import Fault
from tests.faults.sweep import Scenario
from tests.standin import Ask

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
    return Scenario()


def problems_after_cancel(scenario: Scenario, phase: str, number: int, moment: str) -> list[str]:
    """What is wrong after an apply was cancelled at its n-th request and one ran undisturbed; empty if nothing is."""
    clock, answered = CancellableClock(), itertools.count(1)

    def cancel_before(count: int, request: httpx.Request) -> bool:
        if moment == "before" and count == number:
            clock.cancel()
        return False  # no other fault

    def cancel_after(ask: Ask) -> None:
        if moment == "after" and next(answered) == number:
            clock.cancel()

    run = scenario.run(phase, Fault.REFUSE, cancel_before, scenario.seed)
    run.clock, run.standin.after = clock, cancel_after

    def interrupted() -> None:
        with suppress(asyncio.CancelledError):  # the last request may have ended the apply
            run.apply()
        assert clock.cancelled
        run.faulty.revive()

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
    check(scenario, random.Random(7).sample(cases(scenario, phase), 15))


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["build", "change", "destroy"])
def test_apply_after_apply_cancelled_at_any_request_completes_it(scenario: Scenario, phase: str) -> None:
    check(scenario, cases(scenario, phase))
