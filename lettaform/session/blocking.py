"""A coroutine to its result, and an async generator to its items, for a caller that is not async.

Also where an event loop runs, as in a notebook.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, wait
from contextvars import copy_context
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

_T = TypeVar("_T")

_END: Any = object()
"""What comes after the last item of an iterator."""


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


def iterated(source: Callable[[], AsyncGenerator[_T, None]], within: float | None = None) -> Iterator[_T]:
    """The items of an async generator, as they come, in an event loop of its own; in a thread where one runs already.

    source  called in that loop. It is closed when the iterator is: at its end, by `close`, or by an interrupt
    within  seconds for all items together, after which TimeoutError is raised
    """
    return _in_other_loop(source, within) if _is_in_loop() else _here(source, within)


def _here(source: Callable[[], AsyncGenerator[_T, None]], within: float | None) -> Generator[_T, None, None]:
    until = None if within is None else time.monotonic() + within

    async def upcoming() -> Any:
        async with asyncio.timeout(until and until - time.monotonic()):
            return await anext(items, _END)

    with asyncio.Runner() as runner:
        items = source()
        try:
            while (item := runner.run(upcoming())) is not _END:
                yield item
        finally:
            runner.run(items.aclose())


def _in_other_loop(source: Callable[[], AsyncGenerator[_T, None]], within: float | None) -> Iterator[_T]:
    asked, found = SimpleQueue[bool](), SimpleQueue[tuple[list[_T], BaseException | None]]()

    def run() -> None:
        items = _here(source, within)
        try:
            while asked.get():
                item = next(items, _END)
                found.put(([] if item is _END else [item], None))
        except BaseException as error:
            found.put(([], error))
        finally:
            items.close()

    thread = Thread(target=copy_context().run, args=(run,), name="lettaform")
    thread.start()
    try:
        while True:
            asked.put(True)
            items, error = found.get()
            if error is not None:
                raise error
            if not items:
                return
            yield items[0]
    finally:
        asked.put(False)
        thread.join()
