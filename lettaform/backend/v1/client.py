"""Requests to a Letta server, and its answers as JSON of the expected shape or as ServerError. Hides httpx."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from lettaform.backend.v1.concurrency import Gate
from lettaform.backend.v1.pages import Seen, each_page
from lettaform.client import answers, pools
from lettaform.client.calls import Cursor, Method, encoded, flat
from lettaform.client.origin import Origin
from lettaform.errors import Conflict, ServerError, Unavailable

if TYPE_CHECKING:
    from lettaform.client.aio import Async
    from lettaform.client.clients import Root

PAGE = 1000
"""Items per page of a list."""
WHOLE = 2**31 - 1
"""The `limit` of a list that is read in one page: 0.16.8 has no maximum, and answers 500 to -1."""
AGENTS = 250
"""Agents per page. Measured on 0.16.8 with 1,000 agents: 250 take a quarter less time than 1,000, or two lists from
both ends at the same time: the server builds answers one after another, and slower the larger they are."""
SETTLE = 5.0
"""Seconds after which the server has finished an unanswered request. It continues after the client has disconnected."""
SILENCE = 60.0
"""Seconds without a byte after which a stream counts as broken. 0.16.8 sends a ping every 20 s."""
ATTEMPTS = 3
"""How often a POST is sent that creates something, if it is certain that the ones before have created nothing."""


class Client:
    """One server, one pool of connections. Belongs to the event loop in which it is used.

    `requests` counts all requests, `writes` all that are not GET.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        project: str | None = None,
        advice: str | None = None,
        timeout: float = 60.0,
        parallel: int = 8,
        trace: Callable[[str], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """One server.

        advice     the hint where the server asks for a token
        timeout    seconds for one request
        parallel   maximum number of requests at the same time
        transport  for tests
        """
        self._origin = Origin(url, token=token, project=project, advice=advice)
        self.url, self.timeout, self.parallel, self.trace = self._origin.url, timeout, parallel, trace
        self._token, self._project, self._transport = token, project, transport
        self._gate = Gate(parallel)
        self._streams: httpx.AsyncClient | None = None
        self.requests = self.writes = 0
        self.until = inf
        """Time of the monotonic clock after which no write is sent: the lease of the lock may have ended. -inf: the
        lock is lost."""
        self.doubt = -inf
        """Time at which a write was last left without an answer. The server may still carry it out."""
        self.slowest = 0.0
        """Seconds of the slowest answer to a POST that created something."""
        self._http = self._pool()
        self._replaced: list[httpx.AsyncClient] = []
        self._busy: Counter[httpx.AsyncClient] = Counter()

    def _pool(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self.url,
            headers=self._origin.headers,
            timeout=self.timeout,
            transport=self._transport,
            **pools.options(self._origin, connections=self.parallel + 1),
        )

    def for_thread(self, loop: asyncio.AbstractEventLoop) -> Client:
        """A client of the same server for the event loop of another thread. `loop`: the one of this client.

        It shares the secrets to redact, and nothing else: neither connections, nor the gate, nor `until`. A transport
        that was passed to this client stays in its loop, and requests are carried over to it.
        """
        transport = None if self._transport is None else _Across(self._transport, loop)
        options: dict[str, Any] = {"token": self._token, "project": self._project, "timeout": self.timeout}
        options["advice"] = self._origin.advice
        other = Client(self.url, **options, parallel=1, trace=self.trace, transport=transport)
        other._origin.secrets = self._origin.secrets
        return other

    def talker(self, max_retries: int = 2) -> Root[Async]:
        """A client of the same server for streams, which stay open: with its own connections, and without a gate."""
        from lettaform.client.aio import Async  # only talking needs them
        from lettaform.client.calls import Options
        from lettaform.client.clients import Root

        if self._streams is None:
            hooks = {"response": [self._traced]} if self.trace else {}
            more = pools.options(self._origin)
            self._streams = httpx.AsyncClient(transport=self._transport, event_hooks=hooks, **more)
        options = Options(timeout=max(self.timeout, SILENCE), max_retries=max_retries)
        return Root(Async(self._origin, options, self._streams, owned=False))

    async def _traced(self, answer: httpx.Response) -> None:
        if self.trace:
            path = answer.request.url.raw_path.decode()
            self.trace(self.redact(f"{answer.request.method} {path} {answer.status_code}"))

    async def close(self) -> None:
        """Close all connections."""
        if self._streams is not None:
            await self._streams.aclose()
        for pool in (self._http, *self._replaced):
            await pool.aclose()

    @property
    def settle(self) -> float:
        """Seconds after which the server has finished an unanswered write. At least SETTLE; more if it is slow."""
        return max(SETTLE, 3 * self.slowest)

    async def calm(self) -> None:
        """Wait until the server has finished all writes that were left without an answer."""
        await asyncio.sleep(max(0.0, self.doubt + self.settle - time.monotonic()))

    def hide(self, *secrets: str) -> None:
        """Redact these texts in errors and traces, also as a part of a URL."""
        self._origin.hide(*secrets)

    def redact(self, text: str) -> str:
        """`text` without any secret that this client knows."""
        return self._origin.redact(text)

    # --- reads

    async def get(self, path: str, **params: Any) -> Any:
        """GET, retried. Any JSON."""
        return await self.send("GET", path, params=params)

    async def items(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """GET of a list of JSON objects that has no pages."""
        found = await self.get(path, **params)
        if not (isinstance(found, list) and all(isinstance(item, dict) for item in found)):
            raise self.unexpected("GET", path, "no list of objects")
        return found

    async def pages(self, path: str, **params: Any) -> list[Any]:
        """All items of a list, oldest first: JSON objects that have an `id`, or ids."""
        async with aclosing(self.each_page(path, **params)) as pages:
            return [item async for page in pages for item in page]

    async def each_page(self, path: str, **params: Any) -> AsyncGenerator[list[Any], None]:
        """The items of `pages`, page by page. The next page is under way while the caller works on one."""

        async def ask(after: str | None, seen: Seen) -> Any:
            asked = {"limit": cursor.limit, "order": "asc", **({"after": after} if after else {}), **params}
            return await self.send("GET", path, params=asked, seen=seen)

        cursor = Cursor(min(AGENTS, PAGE) if path == "/v1/agents/" else PAGE)
        async with aclosing(each_page(ask, cursor)) as pages:
            async for page in pages:
                if page is None:
                    raise self.unexpected("GET", path, "no list of objects with ids")
                yield page

    async def object(
        self, method: Method, path: str, *, keys: Collection[str] = ("id",), **options: Any
    ) -> dict[str, Any]:
        """Like `send`. The answer must be a JSON object that has these `keys`; an `id` must be text."""
        found = await self.send(method, path, **options)
        return self.as_object(found, method, path, keys)

    def as_object(self, found: Any, method: Method, path: str, keys: Collection[str] = ("id",)) -> dict[str, Any]:
        """`found`, if it is a JSON object that has these `keys`; else ServerError."""
        if not isinstance(found, dict):
            raise self.unexpected(method, path, "no object")
        missing = [key for key in keys if not isinstance(found.get(key), str) and (key == "id" or key not in found)]
        if missing:
            raise self.unexpected(method, path, f"an object without `{missing[0]}`")
        return found

    def unexpected(self, method: Method, path: str, what: str) -> ServerError:
        """The error for an answer that Letta does not give. `what` describes the answer."""
        return answers.unexpected(self._origin, method, path, what)

    # --- writes

    async def create(
        self,
        path: str,
        *,
        find_again: Callable[[], Awaitable[Mapping[str, Any] | None]],
        **options: Any,
    ) -> dict[str, Any]:
        """POST that creates one object; returns its body. The only place that sends such a POST a second time.

        A POST whose answer is lost may have created the object, or may create it soon: 0.16.8 continues after
        the client has disconnected. So `find_again` is called until the server must have finished, and the POST is sent
        again only if nothing was found. Raises the error of the POST if that cannot be found out, or after ATTEMPTS.

        `options` are those of `send`.
        """
        doubtful = False
        for attempt in range(1, ATTEMPTS + 1):
            started = time.monotonic()
            try:
                created = await self.object("POST", path, **options)
            except ServerError as error:
                doubtful |= isinstance(error, Unavailable) and error.ambiguous
                if not doubtful and not isinstance(error, Unavailable):
                    raise
                # after a lost answer, a refusal may be due to what the lost request has created
                if doubtful and (found := await self._find_again(find_again, error)) is not None:
                    return found
                if attempt == ATTEMPTS or (error.status == 500 and attempt == 2):
                    raise
                asked = error.retry_after if isinstance(error, Unavailable) else None
                await asyncio.sleep(min(0.3 * attempt if asked is None else asked, 30.0))
            else:
                self.slowest = max(self.slowest, time.monotonic() - started)
                return created
        raise AssertionError("unreachable")

    async def _find_again(
        self, find_again: Callable[[], Awaitable[Mapping[str, Any] | None]], lost: ServerError
    ) -> dict[str, Any] | None:
        """What a lost POST has created, if it appears within the settle time. Raises `lost` if no list is answered."""
        until = time.monotonic() + self.settle
        while True:
            last = time.monotonic() > until
            try:
                found = await find_again()
                if found is not None or last:
                    return None if found is None else dict(found)
            except Unavailable:
                if last:
                    raise lost from None
            await asyncio.sleep(0.5)

    async def send(
        self,
        method: Method,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        files: Mapping[str, Any] | None = None,
        form: Mapping[str, str] | None = None,
        within: float | None = None,
        overtaken: bool = False,
        repeatable: bool = False,
        seen: Seen | None = None,
    ) -> Any:
        """One request; returns the JSON of the answer, None if it is empty. Retried, unless it is a POST.

        `files`: field to name, content and type, sent as a form, with the fields of `form`.
        `within`: seconds for an answer. Default: the client's timeout.
        `overtaken`: other writers may interfere. Retried more often, and after 409, which 0.16.8 answers to all but one
        of several writers of a block.
        `repeatable`: a POST that creates nothing. Retried.
        `seen`: called with the body of a good answer before it is parsed.
        """
        ask = _Request(method, path, params, body, within or self.timeout, files, form, seen)
        if method == "POST" and not repeatable:
            return await self._once(ask)
        again: tuple[type[Exception], ...] = (Unavailable, Conflict) if overtaken else (Unavailable,)
        retrying = AsyncRetrying(
            # a silent server is asked once: the caller was promised an answer `within`
            stop=stop_after_attempt(8 if overtaken else 4) | stop_after_delay(ask.within),
            wait=_pause,
            retry=retry_if_exception_type(again),
            reraise=True,
        )
        return await retrying(self._once, ask)

    async def _once(self, ask: _Request) -> Any:
        async with self._gate.passage():
            started = time.monotonic()
            try:
                answer = await self._exchange(ask)
            except ServerError as error:
                if error.status in (409, 429, 503) or (isinstance(error, Unavailable) and error.ambiguous):
                    self._gate.refused()
                raise
            # an upload takes as long as its file is large, an answer of an agent as its model needs
            if ask.files is None and not ask.path.endswith("/messages"):
                self._gate.answered(f"{ask.method} {ask.path[:16]}", time.monotonic() - started)
            return answer

    async def _exchange(self, ask: _Request) -> Any:
        writes = ask.method != "GET"
        if writes:
            await self._covered(ask)
        self.requests += 1
        self.writes += writes
        started, pool, ended = time.monotonic(), self._http, False
        content = None if ask.body is None else encoded(ask.body)
        headers = {"Content-Type": "application/json"} if ask.body is not None else {}
        self._busy[pool] += 1
        try:
            # httpx counts the silence between bytes; a server that sends a byte now and then must end, too
            async with asyncio.timeout(ask.within * 1.5):
                answer = await pool.request(
                    ask.method,
                    ask.path,
                    params=flat(ask.params),
                    content=content,
                    files=ask.files,
                    data=ask.form,
                    headers=headers,
                    timeout=ask.within,
                )
            # a gateway answers 502 and 504 while the server behind it may go on
            ended = answer.status_code not in (502, 504)
        except (httpx.InvalidURL, httpx.HTTPError, TimeoutError) as error:
            lost = answers.no_answer(self._origin, ask.method, ask.path, error, ask.within)
            ended = not (isinstance(lost, Unavailable) and lost.ambiguous)
            raise lost from error
        finally:
            self._busy[pool] -= 1
            # on every way out, also where this task is cancelled: the server does not stop for it
            if writes and not ended:
                self.doubt = time.monotonic()
        if self.trace:
            spent = (time.monotonic() - started) * 1000
            line = f"{ask.method} {answer.request.url.raw_path.decode()} {answer.status_code} {spent:.0f} ms"
            self.trace(self.redact(line))
        # 0.16.8 closes the socket after an unhandled error, and the pool would use it again
        if answer.status_code >= 500 and pool is self._http:
            self._replaced.append(pool)
            self._http = self._pool()
        await self._close_unused()
        if ask.seen is not None and answer.is_success:
            await ask.seen(answer.content)
        answered = answers.RawResponse(answer.status_code, answer.headers, answer.content)
        return answers.read(self._origin, ask.method, ask.path, answered)

    async def _close_unused(self) -> None:
        """Close replaced pools that no request uses. A transport that was passed to the client outlives them."""
        for pool in [each for each in self._replaced if not self._busy[each]]:
            self._replaced.remove(pool)
            del self._busy[pool]
            if self._transport is None:
                await pool.aclose()

    async def _covered(self, ask: _Request) -> None:
        """Wait until the lock is certainly ours. The next heartbeat moves `until`, either way."""
        while time.monotonic() > self.until:
            if self.until == -inf:
                raise ServerError(f"{ask.method} {ask.path} was not sent: the lock was lost", "apply again")
            await asyncio.sleep(0.05)


@dataclass(frozen=True)
class _Request:
    method: Method
    path: str
    params: Mapping[str, Any] | None
    body: Any
    within: float
    files: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    seen: Seen | None = None


class _Across(httpx.AsyncBaseTransport):
    """A transport that belongs to another event loop: each request is carried out there, and its answer is read."""

    def __init__(self, inner: httpx.AsyncBaseTransport, loop: asyncio.AbstractEventLoop) -> None:
        self.inner, self.loop = inner, loop

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer from the other loop. ConnectError if that loop has ended."""
        carried = self._carried(request)
        try:
            return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(carried, self.loop))
        except RuntimeError as error:  # raised for a closed loop
            carried.close()
            raise httpx.ConnectError(str(error), request=request) from error

    async def _carried(self, request: httpx.Request) -> httpx.Response:
        answer = await self.inner.handle_async_request(request)
        content = await answer.aread()
        await answer.aclose()
        kept = {name: value for name, value in answer.headers.items() if name != "content-encoding"}
        return httpx.Response(answer.status_code, headers=kept, content=content, request=request)


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the server asks for, or else longer each time, with jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, Unavailable) else None
    return min(asked, 30.0) if asked is not None else float(_JITTER(state))


_JITTER = wait_random_exponential(multiplier=0.2, max=3)
