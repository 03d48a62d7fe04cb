"""An apply that is under way to an iterator of its events, for programs that are async and for others."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue

from lettaform.api.results import Result
from lettaform.model import Event
from lettaform.session.blocking import Running

Run = Callable[[Callable[[Event], None]], Result]
"""Carries out an apply. Calls its argument with each event."""


class _Once:
    """What both iterators have in common.

    result  what was done. None until the last event was returned
    """

    def __init__(self, run: Run) -> None:
        self._run: Run | None = run
        self.result: Result | None = None

    def _begin(self) -> Run:
        """The apply, once."""
        run, self._run = self._run, None
        if run is None:
            raise RuntimeError("the events of an apply can be iterated once")
        return run


class Applying(_Once):
    """The events of an apply, in their order. The apply begins with the iteration, which raises its errors at the end.

    Leaving the loop early cancels the apply: no other step begins, and the lock is released before the loop is left.
    """

    def __iter__(self) -> Iterator[Event]:
        run = self._begin()
        arrived = SimpleQueue[Event | None]()
        running = Running(lambda: run(arrived.put))
        running.ended.add_done_callback(lambda _: arrived.put(None))
        try:
            while (event := arrived.get()) is not None:
                yield event
        finally:
            if not running.ended.done():
                running.cancel()
        self.result = running.result()


class AsyncApplying(_Once):
    """As Applying, for `async for`. The event loop goes on while the apply runs."""

    async def __aiter__(self) -> AsyncIterator[Event]:
        run, loop = self._begin(), asyncio.get_running_loop()
        arrived = asyncio.Queue[Event | None]()

        def notify(event: Event | None) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, event)

        running = Running(lambda: run(notify))
        running.ended.add_done_callback(lambda _: notify(None))
        try:
            while (event := await arrived.get()) is not None:
                yield event
        finally:
            if not running.ended.done():
                await running.cancelled()
        self.result = running.result()
