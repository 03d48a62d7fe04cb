"""Sends what resources build, and awaits the answer. All decisions are made in `calls` and `streams`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from lettaform.client import calls, streams
from lettaform.client.answers import RawResponse, is_of_http
from lettaform.client.calls import Call, Listed, Options
from lettaform.client.messages import Message
from lettaform.client.origin import Origin
from lettaform.client.streams import Reading
from lettaform.errors import ServerError

T = TypeVar("T")


@dataclass(frozen=True)
class Async:
    """Results to await. `http`: an async client of httpx, or one like it; `owned`: whether `close` closes it."""

    origin: Origin
    options: Options
    http: Any
    owned: bool

    async def call(self, call: Call[T]) -> T:
        """Send a request. Raises ServerError."""
        return await self.carry_out(call, calls.value(self.origin, call))

    async def pages(self, listed: Listed[T]) -> AsyncGenerator[T, None]:
        """The items of a list; each page is requested when it is needed."""
        cursor = listed.cursor()
        while not cursor.ended:
            for item in listed.items(self.origin, cursor, await self.call(listed.page(cursor))):
                yield item

    def stream(self, reading: Reading) -> AsyncStream:
        """The messages of a run."""
        return AsyncStream(self, reading)

    async def carry_out(self, call: Call[Any], reader: Callable[[RawResponse], T]) -> T:
        """Send a request, again where that is safe, and read its answer."""
        steps = calls.exchanged(self.origin, self.options, call, reader)
        try:
            step = next(steps)
            while True:
                if isinstance(step, float):
                    await asyncio.sleep(step)
                    step = next(steps)
                else:
                    step = steps.send(await self._exchange(step))
        except StopIteration as ended:
            found: T = ended.value
            return found

    async def _exchange(self, arguments: dict[str, Any]) -> RawResponse | Exception:
        try:
            response = await self.http.send(self.http.build_request(**arguments))
        except Exception as error:
            if not is_of_http(error):
                raise
            return error
        if response.status_code >= 500:
            await _hang_up(response)
        return RawResponse(response.status_code, response.headers, response.content)

    @asynccontextmanager
    async def opened(self, call: Call[Any]) -> AsyncIterator[Any]:
        """The answer to a request that streams. Raises ServerError if it is none."""
        arguments = calls.arguments(self.origin, self.options, call)
        response = await self.http.send(self.http.build_request(**arguments), stream=True)
        try:
            body = b"" if 200 <= response.status_code < 300 else await response.aread()
            streams.check(self.origin, call, RawResponse(response.status_code, response.headers, body))
            yield response
        finally:
            await response.aclose()

    async def close(self) -> None:
        """Close all connections."""
        if self.owned:
            await self.http.aclose()


@dataclass(frozen=True)
class AsyncRaw:
    """Results as RawResponse, to await."""

    inner: Async

    async def call(self, call: Call[Any]) -> RawResponse:
        """Send a request. Raises ServerError if it is refused."""
        return await self.inner.carry_out(call, calls.raw(self.inner.origin, call))

    async def pages(self, listed: Listed[Any]) -> RawResponse:
        """The first page of a list."""
        return await self.call(listed.page(listed.cursor()))


class AsyncStream:
    """The messages of a run, while they come. Iterate once; close it, or use it as a context, to leave early.

    A background run continues by itself after its connection broke: no piece is lost, and none comes twice. Otherwise
    StreamBroken is raised.
    """

    def __init__(self, driver: Async, reading: Reading) -> None:
        self._driver, self._reading = driver, reading
        self._messages = self._read()

    @property
    def run_id(self) -> str | None:
        """The run; None until its first piece has come."""
        return self._reading.run_id

    @property
    def last_seq_id(self) -> int:
        """The number of the last piece of a background run that has come; 0 before."""
        return self._reading.last_seq_id

    def __aiter__(self) -> AsyncIterator[Message]:
        return self._messages

    async def __anext__(self) -> Message:
        return await anext(self._messages)

    async def __aenter__(self) -> AsyncStream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. The run goes on."""
        await self._messages.aclose()

    async def _read(self) -> AsyncGenerator[Message, None]:
        reading, driver = self._reading, self._driver
        while True:
            error: Exception | None = None
            try:
                async with driver.opened(reading.call) as response, aclosing(response.aiter_bytes()) as received:
                    async for data in received:  # to the end: only then is the connection used again
                        for message in reading.feed(data):
                            yield message
            except Exception as raised:
                if not (isinstance(raised, ServerError) or is_of_http(raised)):
                    raise
                error = raised
            wait = reading.again(driver.origin, driver.options, error)
            if wait is None:
                return
            await asyncio.sleep(wait)


async def _hang_up(response: Any) -> None:
    """Close the connection of an answer: 0.16.8 closes it after an unhandled error, and the pool would use it again."""
    connection = response.extensions.get("network_stream")
    if connection is not None:
        await connection.aclose()


def changed(driver: Async, options: Options) -> Async:
    """A driver with other options and the same connections."""
    return replace(driver, options=options, owned=False)
