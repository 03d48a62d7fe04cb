"""A clock that advances only while every task waits: minutes of leases and retries take milliseconds, reproducibly."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from unittest import mock

_T = TypeVar("_T")
_STUCK = 10.0


class Clock:
    """A clock that stands still until it is advanced."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stray: list[str] = []

    def __call__(self) -> float:
        return self.now

    @contextmanager
    def running(self) -> Iterator[None]:
        """During the block, `asyncio.run` and `time.monotonic` use this clock."""
        with mock.patch("time.monotonic", self), mock.patch("asyncio.run", self.run):
            yield

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """`asyncio.run` on this clock. `stray` collects what asyncio would only log."""
        with asyncio.Runner(loop_factory=self.loop) as runner:
            return runner.run(main)

    def loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.SelectorEventLoop(_AdvancingSelector(self))
        loop.set_exception_handler(self._record_stray)
        return loop

    def _record_stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.stray.append(f"{context.get('message')}: {context.get('exception')!r}")


class _AdvancingSelector(selectors.DefaultSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if ready := super().select(0):
            return ready
        if timeout is None:
            if not (ready := super().select(_STUCK)):
                raise RuntimeError("everybody waits, and nothing will ever happen")
            return ready
        self.clock.now += max(timeout, 0)
        return []
