"""The gate: fewer requests at once when the server groans, more again when it does not."""

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


def test_refusals_halve_it_once_a_second_down_to_one(clock: list[float]) -> None:
    gate = Gate(8)
    gate.refused()
    gate.refused()
    assert gate.limit == 4
    for _ in range(5):
        clock[0] += 2
        gate.refused()
    assert gate.limit == 1


def test_good_answers_raise_it_again_up_to_the_most(clock: list[float]) -> None:
    gate = Gate(4)
    gate.refused()
    assert gate.limit == 2
    for _ in range(2 + 3):
        gate.answered("GET /v1/agents/", 0.1)
    assert gate.limit == 4
    for _ in range(50):
        gate.answered("GET /v1/agents/", 0.1)
    assert gate.limit == 4


def test_an_answer_far_slower_than_usual_is_a_groan(clock: list[float]) -> None:
    gate = Gate(8)
    for _ in range(20):
        gate.answered("POST /v1/agents/", 0.5)
    gate.answered("POST /v1/agents/", 1.9)
    assert gate.limit == 8
    gate.answered("POST /v1/agents/", 9.0)
    assert gate.limit == 4


def test_no_more_than_the_limit_are_under_way() -> None:
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
