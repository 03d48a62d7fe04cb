"""The gate: fewer requests at once while the server is overloaded, more when it is not."""

from __future__ import annotations

import asyncio

import pytest

from lettaform.backend.v1 import concurrency as module
from lettaform.backend.v1.concurrency import Gate


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_refusals_halve_the_limit_once_a_second_down_to_one(clock: list[float]) -> None:
    gate = Gate(8)
    gate.refused()
    gate.refused()
    assert gate.limit == 4
    for _ in range(5):
        clock[0] += 2
        gate.refused()
    assert gate.limit == 1


def test_good_answers_raise_the_limit_up_to_the_maximum(clock: list[float]) -> None:
    gate = Gate(4)
    gate.refused()
    assert gate.limit == 2
    for _ in range(2 + 3):
        gate.answered("GET /v1/agents/", 0.1)
    assert gate.limit == 4
    for _ in range(50):
        gate.answered("GET /v1/agents/", 0.1)
    assert gate.limit == 4


def test_an_answer_far_slower_than_usual_counts_as_a_refusal(clock: list[float]) -> None:
    gate = Gate(8)
    for _ in range(20):
        gate.answered("POST /v1/agents/", 0.5)
    gate.answered("POST /v1/agents/", 1.9)
    assert gate.limit == 8
    gate.answered("POST /v1/agents/", 9.0)
    assert gate.limit == 4


def test_no_more_requests_than_the_limit_run_at_once() -> None:
    async def run() -> int:
        gate, busy, most = Gate(3), 0, 0

        async def one() -> None:
            nonlocal busy, most
            async with gate.passage():
                busy += 1
                most = max(most, busy)
                await asyncio.sleep(0)
                busy -= 1

        await asyncio.gather(*(one() for _ in range(20)))
        return most

    assert asyncio.run(run()) == 3
