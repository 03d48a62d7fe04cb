"""Coroutines, functions that block and async generators to results and items for callers of the other sort.

Also where an event loop runs, as in a notebook. A thread is used there, so that each run has an event loop of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from contextvars import ContextVar, copy_context
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, Generic, TypeVar

_T = TypeVar("_T")

_END: Any = object()
"""What comes after the last item of an iterator."""


class _Tasks:
    """The tasks that a function runs with `blocking`. `cancel` cancels them, and all that it begins afterwards."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._cancelled = False
        self._running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    @contextmanager
    def running(self) -> Iterator[None]:
        """The current task is one of them."""
        task = asyncio.current_task()
        assert task is not None
        this = (asyncio.get_running_loop(), task)
        with self._lock:
            if self._cancelled:
                raise asyncio.CancelledError
            self._running.append(this)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(this)

    def cancel(self) -> None:
        with self._lock:
            self._cancelled = True
            for loop, task in self._running:
                loop.call_soon_threadsafe(task.cancel)


_TASKS: ContextVar[_Tasks | None] = ContextVar("_TASKS", default=None)


class Running(Generic[_T]):
    """A function that runs in a thread of its own. `ended` is done once it has ended, whatever the end."""

    def __init__(self, function: Callable[[], _T]) -> None:
        """Starts the thread, with a copy of the context."""
        self.ended = Future[None]()
        self._function = function
        self._found: list[_T] = []
        self._error: BaseException | None = None
        self._tasks = _TASKS.get() or _Tasks()
        context = copy_context()
        context.run(_TASKS.set, self._tasks)
        Thread(target=context.run, args=(self._run,), name="lettaform").start()

    def _run(self) -> None:
        try:
            self._found.append(self._function())
        except BaseException as error:
            self._error = error
        self.ended.set_result(None)

    def cancel(self) -> None:
        """Cancel what the function runs with `blocking`, and wait until the function has ended."""
        self._tasks.cancel()
        wait([self.ended])

    async def cancelled(self) -> None:
        """As `cancel`, without blocking the event loop. Being cancelled does not shorten the wait."""
        self._tasks.cancel()
        ended = asyncio.wrap_future(self.ended)
        while not ended.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([ended])

    def result(self) -> _T:
        """What the function returned, once it has ended. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._found[0]


def blocking(work: Coroutine[Any, Any, _T]) -> _T:
    """Run to the end in an event loop of its own. Where one runs already, that is in a thread, and the loop waits."""
    found: list[_T] = []

    async def main() -> None:
        # `asyncio.run` formats its result to look at the signal handler, and a plan is large
        found.append(await _counted(work))

    if _is_in_loop():
        _in_thread(lambda: asyncio.run(main()))
    else:
        asyncio.run(main())
    return found[0]


async def awaited(function: Callable[[], _T]) -> _T:
    """Run a function that blocks in a thread, and wait for it without blocking the event loop.

    Where the wait is cancelled, what the function runs with `blocking` is cancelled, and the wait goes on until the
    function has ended.
    """
    running = Running(function)
    try:
        await asyncio.shield(asyncio.wrap_future(running.ended))
    except asyncio.CancelledError:
        await running.cancelled()
        raise
    return running.result()


async def _counted(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine as one of the tasks of a function in a thread, if it is called by one."""
    try:
        with _registered():
            return await work
    finally:
        work.close()


def _registered() -> AbstractContextManager[None]:
    """The current task is one of those of a function in a thread, if that runs it."""
    tasks = _TASKS.get()
    return nullcontext() if tasks is None else tasks.running()


def _is_in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _in_thread(function: Callable[[], None]) -> None:
    """Run in a thread until it ends. An interrupt of the caller cancels it, and is raised once it has ended."""
    running = Running(function)
    try:
        running.ended.result()  # a `join` that is interrupted takes the thread for ended in Python 3.11
    except KeyboardInterrupt:
        running.cancel()
        raise
    running.result()


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
            with _registered():
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
