"""Requests that are sent at the same time: answers in order; one error ends all of them."""

from __future__ import annotations

import asyncio

import pytest

from lettaform.backend.concurrency import together


async def answer(seconds: float, value: int, ended: list[int] | None = None) -> int:
    try:
        await asyncio.sleep(seconds)
    finally:
        if ended is not None:
            ended.append(value)
    return value


def test_answers_come_in_the_order_of_the_requests() -> None:
    async def run() -> list[int]:
        return await together([answer(0.02, 1), answer(0, 2), answer(0.01, 3)])

    assert asyncio.run(run()) == [1, 2, 3]


def test_an_error_cancels_the_other_requests() -> None:
    ended: list[int] = []

    async def fail() -> int:
        raise ValueError("no")

    async def run() -> None:
        await together([answer(60, 1, ended), fail(), answer(60, 2, ended)])

    with pytest.raises(ValueError, match="no"):
        asyncio.run(run())
    assert sorted(ended) in ([], [1], [1, 2])


def test_nothing_asked_is_nothing_answered() -> None:
    async def run() -> list[int]:
        return await together([])

    assert asyncio.run(run()) == []
