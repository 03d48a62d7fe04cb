"""A transport, or a proxy on loopback, that injects one fault at chosen requests and works normally otherwise."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import Any, TypeVar

import httpx

ACTS_LATER = (0.13, 0.7, 3.9)
"""Seconds after the client's timeout at which a slow server acts anyway; less than lettaform's settle time."""
PATIENCE = 400
"""Seconds that a process may take. An apply may wait for a lease of a minute; on a busy machine it takes longer."""

ID = re.compile(r"[a-z][a-z-]*-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Fault(StrEnum):
    """What can go wrong with a request. AFTER, LATE: the server has acted. BEFORE: the server never received it."""

    REFUSE = auto()
    CUT_BEFORE = auto()
    CUT_AFTER = auto()
    LATE = auto()
    LATE_ACTS_LATER = auto()
    S409 = auto()
    S429 = auto()
    S429_RETRY_AFTER = auto()
    S500_BEFORE = auto()
    S500_AFTER = auto()
    S502 = auto()
    S502_AFTER = auto()
    S503 = auto()
    S503_RETRY_AFTER = auto()
    GARBAGE = auto()
    GARBAGE_AFTER = auto()
    POOL_CLOSED = auto()
    KILL_BEFORE = auto()
    KILL_AFTER = auto()
    KILL_ACTS_LATER = auto()

    @property
    def kills(self) -> bool:
        return self.name.startswith("KILL")

    @property
    def acts(self) -> bool:
        """Whether the server has acted when the fault shows."""
        return self.name in ("LATE", "CUT_AFTER", "S500_AFTER", "S502_AFTER", "GARBAGE_AFTER", "KILL_AFTER")


_ANSWERS: dict[str, tuple[int, bytes, dict[str, str]]] = {
    "S409": (409, b'{"detail":"CONFLICT: updated by another transaction. Please retry your request."}', {}),
    "S429": (429, b'{"detail":"slow down"}', {}),
    "S429_RETRY_AFTER": (429, b'{"detail":"slow down"}', {"retry-after": "2"}),
    "S500_BEFORE": (500, b'{"detail":"An unknown error occurred"}', {}),
    "S500_AFTER": (500, b'{"detail":"An unknown error occurred"}', {}),
    "S502": (502, b"<html><h1>502 Bad Gateway</h1></html>", {"content-type": "text/html"}),
    "S502_AFTER": (502, b"<html><h1>502 Bad Gateway</h1></html>", {"content-type": "text/html"}),
    "S503": (503, b"<html><h1>503 Service Unavailable</h1></html>", {"content-type": "text/html"}),
    "S503_RETRY_AFTER": (503, b"", {"retry-after": "2"}),
    "GARBAGE": (200, b"<html>Please log in.</html>", {"content-type": "text/html"}),
    "GARBAGE_AFTER": (200, b"<html>Please log in.</html>", {"content-type": "text/html"}),
}


class Killed(BaseException):
    """The process is gone: nothing may catch this, and nothing is sent after it."""


def shape(request: httpx.Request) -> str:
    """Method and path with ids replaced by their kinds: equal for the same request on every server."""
    path = ID.sub(lambda found: "{" + found[0][:-37] + "}", request.url.path)
    asked = [f"{key}={value}" for key, value in request.url.params.multi_items() if key in _TELLING]
    return f"{request.method} {path}" + (f"?{'&'.join(asked)}" if asked else "")


_TELLING = ("connected_to_agents_count_eq", "match_all_tags")

Trigger = Callable[[int, httpx.Request], bool]
T = TypeVar("T")


def at(number: int) -> Trigger:
    """Trigger at the n-th request, counted from 1."""
    return lambda count, request: count == number


def on(wanted: str, nth: int = 1) -> Trigger:
    """Trigger at the n-th request of this shape."""
    seen = [0]

    def trigger(count: int, request: httpx.Request) -> bool:
        seen[0] += shape(request) == wanted
        return shape(request) == wanted and seen[0] == nth

    return trigger


def once_each(triggered: set[str]) -> Trigger:
    """Trigger at the first request of each shape that is not in `triggered`, and add the shape to it."""

    def trigger(count: int, request: httpx.Request) -> bool:
        first = shape(request) not in triggered
        triggered.add(shape(request))
        return first

    return trigger


@dataclass(frozen=True)
class Chain:
    """One case: a phase is applied again and again, until each shape of its requests has met the fault once."""

    phase: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.phase}|{self.fault}"

    @classmethod
    def parse(cls, text: str) -> Chain:
        phase, fault = text.split("|")
        return cls(phase, Fault(fault))


def repeat_until_exhausted(triggered: set[str], interrupt: Callable[[], T]) -> list[T]:
    """Repeat an interrupted apply until it triggers no new shape; return the results."""
    came = list[T]()
    while len(came) < 200:  # each apply triggers at least once, or is the last
        before = len(triggered)
        came.append(interrupt())
        if len(triggered) == before:
            break
    return came


def chains(phases: Iterable[str]) -> Iterator[Chain]:
    """Every phase × every fault. Kills come last: with a real process per shape, they take longest."""
    names = tuple(phases)
    for fault in sorted(Fault, key=lambda fault: fault.kills):
        for name in names:
            yield Chain(name, fault)


class FaultyTransport(httpx.AsyncBaseTransport):
    """A transport that injects one kind of fault into another. It outlives its clients, as a server does.

    `shapes`: the requests sent. `triggered`: the request that met the fault. What the server has received and not yet
    done is done when its time comes, checked at the next request and at `settle`.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        fault: Fault | None = None,
        trigger: Trigger = lambda count, request: False,
        *,
        seed: int = 0,
        latency: float = 0.0,
        silence: float | None = None,
        kill: Callable[[], None] | None = None,
        often: bool = False,
    ) -> None:
        """`latency`: maximum seconds of an exchange. `silence`: replaces the client's timeout.

        `often`: inject the fault wherever `trigger` says, not only once.
        """
        self.often, self.inner, self.fault, self.trigger = often, inner, fault, trigger
        self.latency, self.silence, self.kill = latency, silence, kill
        self.random = random.Random(seed)
        self.shapes: list[str] = []
        self.triggered: str | None = None
        self.killed = False
        self._coming: list[tuple[float, httpx.Request]] = []

    def revive(self, inner: httpx.AsyncBaseTransport | None = None) -> None:
        """A new process without faults; the requests of the old one are still in progress."""
        self.killed, self.fault, self.inner = False, None, inner or self.inner

    @property
    def coming(self) -> list[str]:
        """The writes that the server has received and not yet done."""
        return [shape(request) for _, request in self._coming if request.method != "GET"]

    async def settle(self) -> None:
        """Finish everything that the server has received."""
        coming, self._coming = self._coming, []
        for _, request in coming:
            await self._act(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        if self.killed:
            raise Killed
        self.shapes.append(shape(request))
        free = self.often or self.triggered is None
        if self.fault and free and self.trigger(len(self.shapes), request):
            self.triggered = self.shapes[-1]
            return await self._inject(request, self.fault)
        if not self.latency:
            return await self._act(request)
        try:
            await asyncio.sleep(self.random.uniform(0.1, 0.5) * self.latency)
        except asyncio.CancelledError:  # sent, but the client did not wait for the answer
            self._coming.append((time.monotonic() + 0.3, request))
            raise
        answer = await self._act(request)
        await asyncio.sleep(self.random.uniform(0.1, 0.5) * self.latency)
        if self.killed:
            raise Killed
        return answer

    async def _act(self, request: httpx.Request) -> httpx.Response:
        due = [each for each in self._coming if each[0] <= time.monotonic()]
        self._coming = [each for each in self._coming if each not in due]
        for _, late in due:
            await self._send(late)
        return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        # a new request object: the old one belongs to a connection pool, and maybe to an event loop, that is closed
        timeout = {"timeout": {"connect": 60.0, "read": 60.0, "write": 60.0, "pool": 60.0}}
        anew = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.content, extensions=timeout
        )
        answer = await self.inner.handle_async_request(anew)
        content = await answer.aread()
        await answer.aclose()
        kept = {k: v for k, v in answer.headers.items() if k not in ("content-encoding", "transfer-encoding")}
        return httpx.Response(answer.status_code, headers=kept, content=content, request=request)

    async def _inject(self, request: httpx.Request, fault: Fault) -> httpx.Response:
        timeout = self.silence or request.extensions.get("timeout", {}).get("read") or 60.0
        if fault.acts:
            await self._act(request)
        if fault is Fault.KILL_ACTS_LATER:
            self._coming.append((time.monotonic() + self.random.choice(ACTS_LATER), request))
        if fault is Fault.LATE_ACTS_LATER:
            self._coming.append((time.monotonic() + timeout + self.random.choice(ACTS_LATER), request))
        if fault.kills:
            self.killed = True
            if self.kill:
                self.kill()
            raise Killed
        match fault:
            case Fault.REFUSE:
                raise httpx.ConnectError("connection refused", request=request)
            case Fault.CUT_BEFORE | Fault.CUT_AFTER:
                raise httpx.ReadError("connection reset", request=request)
            case Fault.POOL_CLOSED:
                raise httpx.RemoteProtocolError("Server disconnected without sending a response.", request=request)
            case Fault.LATE | Fault.LATE_ACTS_LATER:
                await asyncio.sleep(timeout)
                raise httpx.ReadTimeout("no answer", request=request)
        status, content, headers = _ANSWERS[fault.name]
        return httpx.Response(status, headers={"content-type": "application/json"} | headers, content=content)

    async def aclose(self) -> None:
        """The client closes its connections; the server keeps running."""
        await self.inner.aclose()


# --- for a separate process ------------------------------------------------------------------------------------------


class Proxy:
    """A FaultyTransport as a server on loopback, so that a real process can meet faults and be killed."""

    def __init__(self, faulty: FaultyTransport, target: str = "http://stand.in") -> None:
        """`target`: the server that requests are forwarded to."""
        self.faulty, self.target, self.port = faulty, target.rstrip("/"), 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self.call(asyncio.start_server(self._serve_connection, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.faulty.aclose()

    def call(self, coroutine: Any) -> Any:
        """Run a coroutine on the proxy's event loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await self._read_request(reader):
                answer = await self.faulty.handle_async_request(request)
                headers = {**answer.headers, "content-length": str(len(answer.content))}
                header_text = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\r\n{header_text}\r\n".encode())
                writer.write(answer.content)
                await writer.drain()
        except (Killed, httpx.TransportError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self._reset(writer)
        finally:
            writer.close()

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        """Reset the connection, so that the client gets an error instead of an end of file."""
        sock = writer.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def _read_request(self, reader: asyncio.StreamReader) -> httpx.Request | None:
        head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
        if not head:
            return None
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        length = int({name.lower(): value for name, value in headers}.get("content-length", 0))
        content = await reader.readexactly(length)
        forwarded_headers = [(name, value) for name, value in headers if name.lower() not in ("host", "connection")]
        return httpx.Request(method, f"{self.target}{path}", headers=forwarded_headers, content=content)


@contextmanager
def silent_server() -> Iterator[str]:
    """The URL of a server that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
