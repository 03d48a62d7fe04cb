"""Verbs where an event loop runs already: their result, their errors, an interrupt."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable
from contextvars import ContextVar
from pathlib import Path
from typing import TypeVar

import pytest

from lettaform import flow
from lettaform.errors import ManifestError
from lettaform.session.blocking import awaited, blocking, iterated
from tests.standin import StandIn
from tests.standin.server import serve

T = TypeVar("T")
NAME = ContextVar("NAME", default="")


def in_loop(call: Callable[[], T]) -> T:
    """What a call returns inside of an event loop, as in a notebook."""

    async def main() -> T:
        return call()

    return asyncio.run(main())


async def answer() -> str:
    await asyncio.sleep(0)
    return NAME.get()


def test_the_result_with_and_without_an_event_loop() -> None:
    token = NAME.set("here")
    try:
        assert blocking(answer()) == "here"
        assert in_loop(lambda: blocking(answer())) == "here"
    finally:
        NAME.reset(token)


def test_verbs_run_where_an_event_loop_runs(tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text("stack: s\nblocks: {b: {value: x}}\n")
    with serve(StandIn()) as url:
        source, connection = flow.Source(tmp_path), flow.Connection(url=url)
        _, report = in_loop(lambda: flow.apply(source, connection, consent=True))
        assert report is not None
        assert report.exit_code == 0
        assert not in_loop(lambda: flow.plan(source, connection)).changes


def test_errors_are_raised_where_the_verb_was_called(tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text("stack: s\nblcks: {}\n")
    with pytest.raises(ManifestError, match="blcks"):
        in_loop(lambda: flow.plan(flow.Source(tmp_path), flow.Connection(url="http://127.0.0.1:9")))


def test_an_interrupt_ends_the_work_before_it_is_raised() -> None:
    began, ended = threading.Event(), []

    async def endless() -> None:
        began.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.append(True)

    def interrupt() -> None:
        began.wait(10)
        os.kill(os.getpid(), signal.SIGINT)

    async def main() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a notebook: `asyncio.run` has its own
        threading.Thread(target=interrupt).start()
        blocking(endless())

    before = signal.getsignal(signal.SIGINT)
    try:
        with pytest.raises(KeyboardInterrupt):
            asyncio.run(main())
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended


def test_a_function_that_blocks_leaves_the_event_loop_free() -> None:
    async def main() -> tuple[str, int]:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0.001)
                turns += 1

        counting = asyncio.create_task(count())
        token = NAME.set("here")
        found = await awaited(lambda: (time.sleep(0.05), blocking(answer()))[1])
        NAME.reset(token)
        counting.cancel()
        return found, turns

    found, turns = asyncio.run(main())
    assert (found, turns > 5) == ("here", True)


def test_its_error_is_raised() -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        asyncio.run(awaited(fail))


def test_a_cancelled_wait_cancels_the_work_and_ends_after_it() -> None:
    ended: list[str] = []

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.01)
            ended.append("first")

    def work() -> None:
        try:
            blocking(endless())
        except asyncio.CancelledError:
            blocking(endless())  # is not begun
        finally:
            ended.append("work")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(awaited(work), 0.05)
        ended.append("wait")

    asyncio.run(main())
    assert ended == ["first", "work", "wait"]


def test_several_at_once_do_not_wait_for_each_other() -> None:
    met = threading.Barrier(12, timeout=5)

    async def main() -> None:
        await asyncio.gather(*(awaited(lambda: met.wait()) for _ in range(12)))

    asyncio.run(main())


def test_a_cancelled_wait_ends_an_iteration() -> None:
    ended: list[str] = []

    async def items() -> AsyncGenerator[int, None]:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            ended.append("items")

    async def main() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(awaited(lambda: list(iterated(items))), 0.1)
        assert ended == ["items"]

    asyncio.run(main())


# --- items -----------------------------------------------------------------------------------------------------------


class Numbers:
    """An async generator of the numbers from 0 that notes when it is closed."""

    def __init__(self, until: int = 3, error: Exception | None = None, pause: float = 0.0) -> None:
        self.until, self.error, self.pause, self.closed = until, error, pause, False

    async def __call__(self) -> AsyncGenerator[int, None]:
        try:
            for number in range(self.until):
                yield number
                await asyncio.sleep(self.pause)
            if self.error:
                raise self.error
        finally:
            self.closed = True


@pytest.mark.parametrize("where", [lambda call: call(), in_loop], ids=["alone", "in a loop"])
def test_items_come_one_after_the_other(where: Callable[[Callable[[], T]], T]) -> None:
    def some() -> list[int]:
        numbers = Numbers(until=10)
        items = iterated(numbers)
        found = [next(items), next(items)]
        items.close()  # type: ignore[attr-defined]
        return [*found, numbers.closed]

    def failing() -> None:
        for _ in iterated(Numbers(error=ValueError("gone"))):
            pass

    def late() -> None:
        for _ in iterated(Numbers(pause=5.0), within=0.05):
            pass

    assert where(lambda: [*iterated(Numbers())]) == [0, 1, 2]
    assert where(some) == [0, 1, True]
    with pytest.raises(ValueError, match="gone"):
        where(failing)
    with pytest.raises(TimeoutError):
        where(late)
