"""A clock that advances only while all event loops wait: minutes of leases take milliseconds, reproducibly."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from math import inf
from typing import Any, TypeVar
from unittest import mock

_T = TypeVar("_T")
_STUCK = 10.0
"""Real seconds after which loops that all wait without an end are an error."""

Ready = list[tuple[selectors.SelectorKey, int]]


class Clock:
    """A clock that stands still until it is moved. Event loops of several threads share it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.stray: list[str] = []
        self._changed = threading.Condition()
        self._loops: set[_AdvancingSelector] = set()
        self._waiting: dict[_AdvancingSelector, float] = {}
        """The loops that have nothing to do, and until when."""

    def __call__(self) -> float:
        return self.now

    @contextmanager
    def running(self) -> Iterator[None]:
        """While the block runs, `asyncio.run` and `time.monotonic` go by this clock."""
        with mock.patch("time.monotonic", self), mock.patch("asyncio.run", self.run):
            yield

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        """`asyncio.run` on this clock. `stray` collects what asyncio could only log."""
        with asyncio.Runner(loop_factory=self.loop) as runner:
            return runner.run(main)

    def loop(self) -> asyncio.AbstractEventLoop:
        selector = _AdvancingSelector(self)
        with self._changed:
            self._loops.add(selector)
        loop = asyncio.SelectorEventLoop(selector)
        loop.set_exception_handler(self._record_stray)
        return loop

    def wait(self, loop: _AdvancingSelector, timeout: float | None) -> Ready:
        """Until a loop has something to do, or its time has come. The last one that waits moves the clock."""
        until, patience = inf if timeout is None else self.now + timeout, _STUCK
        with self._changed:
            self._waiting[loop] = until
            try:
                while True:
                    if ready := loop.ready():
                        return ready
                    if self.now >= until:
                        return []
                    busy = [each for each in self._loops if each not in self._waiting or each.ready()]
                    first = min(self._waiting.values())
                    if not busy and self.now < first < inf:
                        self.now = first
                        continue
                    self._changed.notify_all()
                    self._changed.wait(0.002)
                    patience -= 0.002 if not busy and first == inf else 0
                    if patience < 0:
                        raise RuntimeError("everybody waits, and nothing will ever happen")
            finally:
                del self._waiting[loop]

    def forget(self, loop: _AdvancingSelector) -> None:
        """A loop is closed."""
        with self._changed:
            self._loops.discard(loop)
            self._changed.notify_all()

    def _record_stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.stray.append(f"{context.get('message')}: {context.get('exception')!r}")


class _AdvancingSelector(selectors.DefaultSelector):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def ready(self) -> Ready:
        """What has happened, without waiting for it."""
        return super().select(0)

    def select(self, timeout: float | None = None) -> Ready:
        if (ready := self.ready()) or (timeout is not None and timeout <= 0):
            return ready
        return self.clock.wait(self, timeout)

    def close(self) -> None:
        self.clock.forget(self)
        super().close()
