"""The first SIGINT sets a Stop, the second one is Python's."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from lettaform.apply import INTERRUPTED
from lettaform.session.interrupt import interruptible


async def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(0.01)


def test_the_first_interrupt_is_noted() -> None:
    async def run() -> str | None:
        with interruptible() as stop:
            assert stop.reason is None
            await interrupt()
            return stop.reason

    assert asyncio.run(run()) == INTERRUPTED


def test_the_second_interrupt_ends_the_run() -> None:
    async def run() -> None:
        with interruptible():
            await interrupt()
            await interrupt()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run())


def test_an_interrupt_afterwards_is_not_noted() -> None:
    async def run() -> None:
        with interruptible():
            pass
        await interrupt()

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(run())


def test_a_loop_in_a_thread_is_not_interruptible() -> None:
    async def run() -> str | None:
        with interruptible() as stop:
            return stop.reason

    async def in_thread() -> str | None:
        return await asyncio.to_thread(asyncio.run, run())

    assert asyncio.run(in_thread()) is None
