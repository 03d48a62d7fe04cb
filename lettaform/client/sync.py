"""Sends what resources build, and waits for the answer. All decisions are made in `calls` and `streams`."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
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
class Sync:
    """Results as values. `http`: a client of httpx, or one like it; `owned`: whether `close` closes it."""

    origin: Origin
    options: Options
    http: Any
    owned: bool

    def call(self, call: Call[T]) -> T:
        """Send a request. Raises ServerError."""
        return self.carry_out(call, calls.value(self.origin, call))

    def pages(self, listed: Listed[T]) -> Iterator[T]:
        """The items of a list; each page is requested when it is needed."""
        cursor = listed.cursor()
        while not cursor.ended:
            yield from listed.items(self.origin, cursor, self.call(listed.page(cursor)))

    def stream(self, reading: Reading) -> Stream:
        """The messages of a run."""
        return Stream(self, reading)

    def carry_out(self, call: Call[Any], reader: Callable[[RawResponse], T]) -> T:
        """Send a request, again where that is safe, and read its answer."""
        steps = calls.exchanged(self.origin, self.options, call, reader)
        try:
            step = next(steps)
            while True:
                if isinstance(step, float):
                    time.sleep(step)
                    step = next(steps)
                else:
                    step = steps.send(self._exchange(step))
        except StopIteration as ended:
            found: T = ended.value
            return found

    def _exchange(self, arguments: dict[str, Any]) -> RawResponse | Exception:
        try:
            response = self.http.send(self.http.build_request(**arguments))
        except Exception as error:
            if not is_of_http(error):
                raise
            return error
        if response.status_code >= 500:
            _hang_up(response)
        return RawResponse(response.status_code, response.headers, response.content)

    @contextmanager
    def opened(self, call: Call[Any]) -> Iterator[Any]:
        """The answer to a request that streams. Raises ServerError if it is none."""
        arguments = calls.arguments(self.origin, self.options, call)
        response = self.http.send(self.http.build_request(**arguments), stream=True)
        try:
            body = b"" if 200 <= response.status_code < 300 else response.read()
            streams.check(self.origin, call, RawResponse(response.status_code, response.headers, body))
            yield response
        finally:
            response.close()

    def close(self) -> None:
        """Close all connections."""
        if self.owned:
            self.http.close()


@dataclass(frozen=True)
class SyncRaw:
    """Results as RawResponse."""

    inner: Sync

    def call(self, call: Call[Any]) -> RawResponse:
        """Send a request. Raises ServerError if it is refused."""
        return self.inner.carry_out(call, calls.raw(self.inner.origin, call))

    def pages(self, listed: Listed[Any]) -> RawResponse:
        """The first page of a list."""
        return self.call(listed.page(listed.cursor()))


class Stream:
    """The messages of a run, while they come. Iterate once; close it, or use it as a context, to leave early.

    A background run continues by itself after its connection broke: no piece is lost, and none comes twice. Otherwise
    StreamBroken is raised.
    """

    def __init__(self, driver: Sync, reading: Reading) -> None:
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

    def __iter__(self) -> Iterator[Message]:
        return self._messages

    def __next__(self) -> Message:
        return next(self._messages)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. The run goes on."""
        self._messages.close()

    def _read(self) -> Generator[Message, None, None]:
        reading, driver = self._reading, self._driver
        while True:
            error: Exception | None = None
            try:
                with driver.opened(reading.call) as response, closing(response.iter_bytes()) as received:
                    for data in received:  # to the end: only then is the connection used again
                        yield from reading.feed(data)
            except Exception as raised:
                if not (isinstance(raised, ServerError) or is_of_http(raised)):
                    raise
                error = raised
            wait = reading.again(driver.origin, driver.options, error)
            if wait is None:
                return
            time.sleep(wait)


def _hang_up(response: Any) -> None:
    """Close the connection of an answer: 0.16.8 closes it after an unhandled error, and the pool would use it again."""
    connection = response.extensions.get("network_stream")
    if connection is not None:
        connection.close()


def changed(driver: Sync, options: Options) -> Sync:
    """A driver with other options and the same connections."""
    return replace(driver, options=options, owned=False)
