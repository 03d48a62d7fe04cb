"""What a call brings while it is under way to an iterator, for programs that are async and for others.

Applying is an iterator of the Events of an apply, and Sending one of the messages of an answer. AsyncApplying and
AsyncSending are the same for `async for`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue
from typing import Generic, TypeAlias, TypeVar

from lettaform.api.results import Result
from lettaform.api.talk import Answer
from lettaform.client.messages import Message
from lettaform.model import Event
from lettaform.session.blocking import Running

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class _Once(Generic[_Item, _Result]):
    """What both iterators have in common.

    result  what came of the call. None until the last item was returned
    """

    def __init__(self, call: Callable[[Callable[[_Item], None]], _Result]) -> None:
        """`call` begins with the iteration. It calls its argument with each item."""
        self._call: Callable[[Callable[[_Item], None]], _Result] | None = call
        self.result: _Result | None = None

    def _begin(self) -> Callable[[Callable[[_Item], None]], _Result]:
        """The call, once."""
        call, self._call = self._call, None
        if call is None:
            raise RuntimeError("this can be iterated once")
        return call


class Iterating(_Once[_Item, _Result]):
    """The items of a call, in their order. The call begins with the iteration, which raises its errors at the end.

    Leaving the loop early cancels the call, and waits for its end: an apply begins no other step and releases the lock.
    The run of an agent goes on.
    """

    def __iter__(self) -> Iterator[_Item]:
        call = self._begin()
        arrived = SimpleQueue[tuple[_Item] | None]()
        running = Running(lambda: call(lambda item: arrived.put((item,))))
        running.ended.add_done_callback(lambda _: arrived.put(None))
        try:
            while (found := arrived.get()) is not None:
                yield found[0]
        finally:
            if not running.ended.done():
                running.cancel()
        self.result = running.result()


class AsyncIterating(_Once[_Item, _Result]):
    """As Iterating, for `async for`. The event loop goes on while the call runs."""

    async def __aiter__(self) -> AsyncIterator[_Item]:
        call, loop = self._begin(), asyncio.get_running_loop()
        arrived = asyncio.Queue[tuple[_Item] | None]()

        def notify(item: _Item) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, (item,))

        running = Running(lambda: call(notify))
        running.ended.add_done_callback(lambda _: loop.call_soon_threadsafe(arrived.put_nowait, None))
        try:
            while (found := await arrived.get()) is not None:
                yield found[0]
        finally:
            if not running.ended.done():
                await running.cancelled()
        self.result = running.result()


Applying: TypeAlias = Iterating[Event, Result]
Sending: TypeAlias = Iterating[Message, Answer]
AsyncApplying: TypeAlias = AsyncIterating[Event, Result]
AsyncSending: TypeAlias = AsyncIterating[Message, Answer]
