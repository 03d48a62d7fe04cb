"""A transport, or a proxy on loopback, that does one thing wrong at one request, and behaves before and after it."""

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
"""Seconds after the client gave up at which a slow server acts all the same; less than lettaform's settle time."""
ID = re.compile(r"[a-z][a-z-]*-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Fault(StrEnum):
    """What can go wrong with a request. AFTER, LATE: the server has acted. BEFORE: it never heard of it."""

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
        """The server has done what was asked when the fault shows."""
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
    """Method and path, ids as their kinds: what is the same request on every server."""
    path = ID.sub(lambda found: "{" + found[0][:-37] + "}", request.url.path)
    asked = [f"{key}={value}" for key, value in request.url.params.multi_items() if key in _TELLING]
    return f"{request.method} {path}" + (f"?{'&'.join(asked)}" if asked else "")


_TELLING = ("connected_to_agents_count_eq", "match_all_tags")

Strike = Callable[[int, httpx.Request], bool]
T = TypeVar("T")


def at(number: int) -> Strike:
    """Strike at the n-th request, counted from 1."""
    return lambda count, request: count == number


def on(wanted: str, nth: int = 1) -> Strike:
    """Strike at the n-th request of this shape."""
    seen = [0]

    def strike(count: int, request: httpx.Request) -> bool:
        seen[0] += shape(request) == wanted
        return shape(request) == wanted and seen[0] == nth

    return strike


def once_each(struck: set[str]) -> Strike:
    """Strike at the first request of each shape that is not in `struck`, and put it there."""

    def strike(count: int, request: httpx.Request) -> bool:
        first = shape(request) not in struck
        struck.add(shape(request))
        return first

    return strike


@dataclass(frozen=True)
class Chain:
    """One case: a phase applied until each shape of its requests has met the fault once."""

    phase: str
    fault: Fault

    def __str__(self) -> str:
        return f"{self.phase}|{self.fault}"

    @classmethod
    def parse(cls, text: str) -> Chain:
        phase, fault = text.split("|")
        return cls(phase, Fault(fault))


def spend(struck: set[str], disturb: Callable[[], T]) -> list[T]:
    """What apply upon apply comes to that breaks, until no shape is left that was not `struck`."""
    came = list[T]()
    while len(came) < 200:  # each strikes one at least, or is the last
        before = len(struck)
        came.append(disturb())
        if len(struck) == before:
            break
    return came


def chains(phases: Iterable[str]) -> Iterator[Chain]:
    """Every phase × every fault; those that kill a process at each shape, which take longest, last."""
    names = tuple(phases)
    for fault in sorted(Fault, key=lambda fault: fault.kills):
        for name in names:
            yield Chain(name, fault)


class Faulty(httpx.AsyncBaseTransport):
    """Any transport, with one kind of fault. It outlives the clients that use it, as a server does.

    `shapes` is what was sent, `struck` where the fault fell. What the server has heard and not done yet it does when
    its time has come, seen from the next request, or at `settle`.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        fault: Fault | None = None,
        strike: Strike = lambda count, request: False,
        *,
        seed: int = 0,
        latency: float = 0.0,
        silence: float | None = None,
        kill: Callable[[], None] | None = None,
        often: bool = False,
    ) -> None:
        """`latency`: seconds of an exchange, at most. `silence`: instead of the client's own timeout. `often`: the
        fault falls wherever `strike` says, and not once."""
        self.often, self.inner, self.fault, self.strike = often, inner, fault, strike
        self.latency, self.silence, self.kill = latency, silence, kill
        self.random = random.Random(seed)
        self.shapes: list[str] = []
        self.struck: str | None = None
        self.dead = False
        self._coming: list[tuple[float, httpx.Request]] = []

    def revive(self, inner: httpx.AsyncBaseTransport | None = None) -> None:
        """A new process, with no fault ahead of it; what the old one had sent is still on its way."""
        self.dead, self.fault, self.inner = False, None, inner or self.inner

    async def settle(self) -> None:
        """Everything that the server has heard is done."""
        coming, self._coming = self._coming, []
        for _, request in coming:
            await self._act(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        if self.dead:
            raise Killed
        self.shapes.append(shape(request))
        free = self.often or self.struck is None
        if self.fault and free and self.strike(len(self.shapes), request):
            self.struck = self.shapes[-1]
            return await self._strike(request, self.fault)
        if not self.latency:
            return await self._act(request)
        try:
            await asyncio.sleep(self.random.uniform(0.1, 0.5) * self.latency)
        except asyncio.CancelledError:  # sent, and the client did not wait for it
            self._coming.append((time.monotonic() + 0.3, request))
            raise
        answer = await self._act(request)
        await asyncio.sleep(self.random.uniform(0.1, 0.5) * self.latency)
        if self.dead:
            raise Killed
        return answer

    async def _act(self, request: httpx.Request) -> httpx.Response:
        due = [each for each in self._coming if each[0] <= time.monotonic()]
        self._coming = [each for each in self._coming if each not in due]
        for _, late in due:
            await self._send(late)
        return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        # a request is told anew: its own belongs to a pool, and maybe to a loop, that is gone
        timeout = {"timeout": {"connect": 60.0, "read": 60.0, "write": 60.0, "pool": 60.0}}
        anew = httpx.Request(
            request.method, request.url, headers=request.headers, content=request.content, extensions=timeout
        )
        answer = await self.inner.handle_async_request(anew)
        content = await answer.aread()
        await answer.aclose()
        kept = {k: v for k, v in answer.headers.items() if k not in ("content-encoding", "transfer-encoding")}
        return httpx.Response(answer.status_code, headers=kept, content=content, request=request)

    async def _strike(self, request: httpx.Request, fault: Fault) -> httpx.Response:
        timeout = self.silence or request.extensions.get("timeout", {}).get("read") or 60.0
        if fault.acts:
            await self._act(request)
        if fault is Fault.KILL_ACTS_LATER:
            self._coming.append((time.monotonic() + self.random.choice(ACTS_LATER), request))
        if fault is Fault.LATE_ACTS_LATER:
            self._coming.append((time.monotonic() + timeout + self.random.choice(ACTS_LATER), request))
        if fault.kills:
            self.dead = True
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
        """A client goes, and its connections; the server stays."""
        await self.inner.aclose()


# --- for a process of its own ----------------------------------------------------------------------------------------


class Proxy:
    """A Faulty transport as a server on loopback, so that a real process can be struck, and killed."""

    def __init__(self, faulty: Faulty, target: str = "http://stand.in") -> None:
        """`target`: where the requests go on to."""
        self.faulty, self.target, self.port = faulty, target.rstrip("/"), 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._server = self.call(asyncio.start_server(self._face, "127.0.0.1", 0))
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
        """Run something where the proxy runs."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    async def _face(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await self._hear(reader):
                answer = await self.faulty.handle_async_request(request)
                headers = {**answer.headers, "content-length": str(len(answer.content))}
                told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {answer.status_code} {answer.reason_phrase}\r\n{told}\r\n".encode())
                writer.write(answer.content)
                await writer.drain()
        except (Killed, httpx.TransportError, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            self._reset(writer)
        finally:
            writer.close()

    @staticmethod
    def _reset(writer: asyncio.StreamWriter) -> None:
        """The hard way: the client reads an error, not an end."""
        sock = writer.get_extra_info("socket")
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def _hear(self, reader: asyncio.StreamReader) -> httpx.Request | None:
        head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
        if not head:
            return None
        first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ", 2)
        headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
        length = int({name.lower(): value for name, value in headers}.get("content-length", 0))
        content = await reader.readexactly(length)
        told = [(name, value) for name, value in headers if name.lower() not in ("host", "connection")]
        return httpx.Request(method, f"{self.target}{path}", headers=told, content=content)


@contextmanager
def silent() -> Iterator[str]:
    """The URL of a server that accepts and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
