"""A coroutine to its result, for a caller that is not async: also where an event loop runs, as in a notebook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, wait
from contextvars import copy_context
from threading import Thread
from typing import Any, TypeVar

_T = TypeVar("_T")


def blocking(work: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end in an event loop of its own. Where one runs already, that is in a thread, and the loop waits."""
    found: list[_T] = []

    async def main() -> None:
        # `asyncio.run` formats its result to look at the signal handler, and a plan is large
        found.append(await work)

    if _is_in_loop():
        _in_thread(main)
    else:
        asyncio.run(main())
    return found[0]


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run in a thread until it ends. An interrupt of the caller cancels it, and is raised once it has ended."""
    ended = Future[None]()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    async def watched() -> None:
        task = asyncio.current_task()
        assert task is not None
        running.append((asyncio.get_running_loop(), task))
        await main()

    def run() -> None:
        try:
            ended.set_result(asyncio.run(watched()))
        except BaseException as error:
            ended.set_exception(error)

    Thread(target=copy_context().run, args=(run,), name="lettaform").start()
    try:
        ended.result()  # a `join` that is interrupted takes the thread for ended in Python 3.11
    except KeyboardInterrupt:
        for loop, task in running:
            loop.call_soon_threadsafe(task.cancel)
        wait([ended])
        raise
