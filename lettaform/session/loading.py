"""A draft of a manifest to the manifest, resolved in a thread while a session reads the server."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

from lettaform.errors import LettaformError
from lettaform.manifest import Draft, Outline
from lettaform.model import Manifest

_T = TypeVar("_T")
HEAD_START = 0.02
"""Seconds until the thread starts: it would hold up the first requests."""

TURN = 0.0005
"""Seconds for which the thread computes before the event loop goes on, if that is waiting. Python's default: 0.005."""

GRACE = 2.0
"""Seconds for a run to end after its manifest turned out to be faulty: a lock that was just created is deleted."""


class Loading:
    """A manifest that is being resolved."""

    def __init__(self, draft: Draft, outline: Outline) -> None:
        """Starts the thread. An event loop must be running."""
        self.stack, self.fields = outline.stack, outline.fields
        self.manifest: asyncio.Future[Manifest] = asyncio.ensure_future(beside(draft.finish))

    async def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do work that needs the manifest at some time. Errors of the manifest come before errors of the work.

        The work runs in the task of the caller, so that an interrupt ends it as it ends any other.
        """
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        timers: list[asyncio.TimerHandle] = []

        def resolved(manifest: asyncio.Future[Manifest]) -> None:
            if _failed(manifest):  # the work may wait for a lock, and never ask for the manifest
                timers.append(loop.call_later(GRACE, task.cancel))

        self.manifest.add_done_callback(resolved)
        try:
            return await work
        except asyncio.CancelledError:
            if _failed(self.manifest):
                task.uncancel()
                self.manifest.result()
            raise
        except LettaformError:
            await self.manifest
            raise
        finally:
            for timer in timers:
                timer.cancel()


async def beside(compute: Callable[[], _T]) -> _T:
    """What a function computes in a thread, while requests are under way."""
    await asyncio.sleep(HEAD_START)
    with _short_turns():
        return await asyncio.to_thread(compute)


class _Turns:
    """How many threads compute, and the interval that was set before the first of them."""

    def __init__(self) -> None:
        self.lock, self.number, self.before = Lock(), 0, 0.0


_turns = _Turns()


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let a thread that computes give way after TURN. The event loop gives way with each read and write of a socket.

    The interval is one for the whole process: the last of several threads sets it back.
    """
    with _turns.lock:
        if _turns.number == 0:
            _turns.before = sys.getswitchinterval()
            sys.setswitchinterval(min(_turns.before, TURN))
        _turns.number += 1
    try:
        yield
    finally:
        with _turns.lock:
            _turns.number -= 1
            if _turns.number == 0:
                sys.setswitchinterval(_turns.before)


def _failed(manifest: asyncio.Future[Manifest]) -> bool:
    return manifest.done() and not manifest.cancelled() and manifest.exception() is not None
