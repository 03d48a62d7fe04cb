"""Requests to a Letta server, and its answers as JSON of the expected shape or as ServerError. Hides httpx."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import ssl
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cache
from math import inf
from typing import Any, Literal
from urllib.parse import quote

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from lettaform import __version__
from lettaform.backend.concurrency import cancelled
from lettaform.backend.v1.concurrency import Gate
from lettaform.errors import Conflict, NotFound, Problem, ServerError, Unauthorized, Unavailable, Unsupported

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
PAGE = 1000
"""Items per page of a list."""
AGENTS = 250
"""Agents per page. Measured on 0.16.8 with 1,000 agents: 250 take a quarter less time than 1,000, or two lists from
both ends at the same time: the server builds answers one after another, and slower the larger they are."""
SENDING = 0.002
"""Seconds in which a request is certainly sent, before its sender works on something else."""
SETTLE = 5.0
"""Seconds after which the server has finished an unanswered request. It continues after the client has disconnected."""
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
        self.url, self.timeout, self.parallel, self.trace = url.rstrip("/"), timeout, parallel, trace
        self._token, self._project, self._transport = token, project, transport
        self._advice = advice or "set LETTA_API_KEY to the server's key or password"
        self._gate = Gate(parallel)
        self.requests = self.writes = 0
        self.until = inf
        """Time of the monotonic clock after which no write is sent: the lease of the lock may have ended. -inf: the
        lock is lost."""
        self.doubt = -inf
        """Time at which a write was last left without an answer. The server may still carry it out."""
        self.slowest = 0.0
        """Seconds of the slowest answer to a POST that created something."""
        self._secrets: set[str] = {token} if token else set()
        self._headers = {"User-Agent": f"lettaform/{__version__}"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if project:
            self._headers["X-Project"] = project
        try:
            address = httpx.URL(self.url)
        except httpx.InvalidURL:
            address = httpx.URL()
        if address.scheme not in ("http", "https") or not address.host:
            raise ServerError(f"{url!r} is not the address of a server", "write it as http://localhost:8283")
        # redirects are not followed, so an http address never leads to a certificate
        self._verify: ssl.SSLContext | bool = _trusted() if address.scheme == "https" else False
        self._http = self._pool()
        self._replaced: list[httpx.AsyncClient] = []
        self._busy: Counter[httpx.AsyncClient] = Counter()

    def _pool(self) -> httpx.AsyncClient:
        # 0.16.8 closes idle connections after 5 s
        limits = httpx.Limits(max_connections=self.parallel + 1, keepalive_expiry=4)
        return httpx.AsyncClient(
            base_url=self.url,
            headers=self._headers,
            limits=limits,
            timeout=self.timeout,
            transport=self._transport,
            verify=self._verify,
        )

    def for_thread(self, loop: asyncio.AbstractEventLoop) -> Client:
        """A client of the same server for the event loop of another thread. `loop`: the one of this client.

        It shares the secrets to redact, and nothing else: neither connections, nor the gate, nor `until`. A transport
        that was passed to this client stays in its loop, and requests are carried over to it.
        """
        transport = None if self._transport is None else _Across(self._transport, loop)
        options: dict[str, Any] = {"token": self._token, "project": self._project, "timeout": self.timeout}
        options["advice"] = self._advice
        other = Client(self.url, **options, parallel=1, trace=self.trace, transport=transport)
        other._secrets = self._secrets
        return other

    async def close(self) -> None:
        """Close all connections."""
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
        for secret in secrets:
            if len(secret) > 3:
                self._secrets |= {secret, quote(secret, safe="")}

    def redact(self, text: str) -> str:
        """`text` without any secret that this client knows."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "‹secret›")
        return text

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
        seen: set[str] = set()
        limit = min(AGENTS, PAGE) if path == "/v1/agents/" else PAGE

        def ask(**after: str) -> asyncio.Task[Any]:
            return asyncio.create_task(self.get(path, limit=limit, order="asc", **after, **params))

        request = ask()
        try:
            while True:
                page = await request
                ids = _ids(page)
                if ids is None:
                    raise self.unexpected("GET", path, "no list of objects with ids")
                fresh = [item for id, item in zip(ids, page, strict=True) if id not in seen]
                seen.update(ids)
                # 0.16.8 answers the first page again if the object of the cursor was deleted meanwhile
                if len(page) < limit or not fresh:
                    break
                request = ask(after=ids[-1])
                await asyncio.sleep(SENDING)
                yield fresh
            yield fresh
        finally:
            await cancelled(request)

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
        message = f"{method} {self.url}{path} answered {what}"
        hint = "is this the address of a Letta server, and of a version that lettaform supports?"
        return ServerError(message, hint, method=method, path=path)

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
    ) -> Any:
        """One request; returns the JSON of the answer, None if it is empty. Retried, unless it is a POST.

        `files`: field to name, content and type, sent as a form, with the fields of `form`.
        `within`: seconds for an answer. Default: the client's timeout.
        `overtaken`: other writers may interfere. Retried more often, and after 409, which 0.16.8 answers to all but one
        of several writers of a block.
        `repeatable`: a POST that creates nothing. Retried.
        """
        ask = _Request(method, path, params, body, within or self.timeout, files, form)
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
            # an upload takes as long as its file is large
            if ask.files is None:
                self._gate.answered(f"{ask.method} {ask.path[:16]}", time.monotonic() - started)
            return answer

    async def _exchange(self, ask: _Request) -> Any:
        writes = ask.method != "GET"
        if writes:
            await self._covered(ask)
        self.requests += 1
        self.writes += writes
        started, pool, ended = time.monotonic(), self._http, False
        # httpx would write \ud800 as bytes that no server reads; JSON's own escapes are plain ASCII
        content = None if ask.body is None else json.dumps(ask.body).encode()
        headers = {"Content-Type": "application/json"} if ask.body is not None else {}
        self._busy[pool] += 1
        try:
            # httpx counts the silence between bytes; a server that sends a byte now and then must end, too
            async with asyncio.timeout(ask.within * 1.5):
                answer = await pool.request(
                    ask.method,
                    ask.path,
                    params=_flat(ask.params),
                    content=content,
                    files=ask.files,
                    data=ask.form,
                    headers=headers,
                    timeout=ask.within,
                )
            # a gateway answers 502 and 504 while the server behind it may go on
            ended = answer.status_code not in (502, 504)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            ended = True
            raise ServerError(f"{self.url!r} is not the address of a server", str(error)) from error
        except (httpx.HTTPError, TimeoutError) as error:
            lost = self._no_answer(ask, error)
            ended = not lost.ambiguous
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
        return self._read(ask.method, ask.path, answer)

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

    def _read(self, method: Method, path: str, answer: httpx.Response) -> Any:
        status = answer.status_code
        where: dict[str, Any] = {"method": method, "path": path, "status": status}
        if answer.is_success:
            try:
                return answer.json() if answer.content else None
            except ValueError:
                hint = "is this the address of a Letta server?"
                raise ServerError(f"{self.url}{path} answered something that is not JSON", hint, **where) from None
        if answer.is_redirect:
            target = self.redact(answer.headers.get("location", "elsewhere"))
            raise ServerError(f"{self.url} redirects {path} to {target}", "give the final address", **where)
        words = self.redact(_words(answer))
        refused_values = [replace(each, message=self.redact(each.message)) for each in _refused(answer)]
        message = f"{method} {path}: {status} {words}".strip()
        if status in (401, 403):
            message = f"{self.url} does not let us in ({status})"
            raise Unauthorized(message, self._advice, **where, words=words)
        if status == 404 and _is_mcp_server_silent(answer):
            raise Unavailable(message, "the MCP server must be running, and reachable from the Letta server", **where)
        if status == 404:
            raise NotFound(message, **where, words=words)
        if status == 409:
            raise Conflict(message, **where, words=words)
        if status in (405, 501):
            raise Unsupported(message, "this server cannot do it", **where, words=words)
        if status == 429 or status >= 500:
            refused = Unavailable(message, "`lettaform dev logs` or the server's log say more", **where, words=words)
            refused.ambiguous = status not in (429, 503)
            after = answer.headers.get("retry-after", "")
            refused.retry_after = float(after) if after.isdigit() else None
            raise refused
        raise ServerError(message, **where, words=words, problems=refused_values)

    def _no_answer(self, ask: _Request, error: Exception) -> Unavailable:
        where: dict[str, Any] = {"method": ask.method, "path": ask.path}
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            if refused := self._no_https(error):
                return Unavailable(*refused, **where)
            hint = "is it running? `lettaform dev up` starts one here; --server or LETTA_BASE_URL name another"
            return Unavailable(f"no server answers at {self.url}", hint, **where)
        if isinstance(error, httpx.PoolTimeout):
            return Unavailable(f"{ask.method} {ask.path}: no connection was free within {ask.within:.0f} s", **where)
        late = isinstance(error, httpx.TimeoutException | TimeoutError)
        what = f"no answer within {ask.within:.0f} s" if late else f"the connection broke ({type(error).__name__})"
        lost = Unavailable(f"{ask.method} {self.url}{ask.path}: {what}", **where)
        lost.ambiguous, lost.silent = True, late
        return lost

    def _no_https(self, error: BaseException | None) -> tuple[str, str] | None:
        """Message and hint if a connection could not be encrypted."""
        while error is not None and not isinstance(error, ssl.SSLError):
            error = error.__cause__ or error.__context__
        if error is None:
            return None
        if isinstance(error, ssl.SSLCertVerificationError):
            message = f"the certificate of {self.url} is not trusted: {error.verify_message}"
            return message, "name a file with the certificate of its authority in SSL_CERT_FILE"
        return f"{self.url} does not answer with https", f"if it has none, write {self.url.replace('https', 'http', 1)}"


@dataclass(frozen=True)
class _Request:
    method: Method
    path: str
    params: Mapping[str, Any] | None
    body: Any
    within: float
    files: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None


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


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that every pool trusts. Reading them takes 20 to 70 ms."""
    return httpx.create_ssl_context()


def _ids(page: Any) -> list[str] | None:
    """The ids of a page's items; None if it is no list of ids, or of objects that have one."""
    if not isinstance(page, list):
        return None
    ids = [item.get("id") if isinstance(item, dict) else item for item in page]
    texts = [id for id in ids if isinstance(id, str)]
    return texts if len(texts) == len(ids) else None


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the server asks for, or else longer each time, with jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after if isinstance(error, Unavailable) else None
    return min(asked, 30.0) if asked is not None else float(_JITTER(state))


_JITTER = wait_random_exponential(multiplier=0.2, max=3)


def _flat(params: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    pairs = []
    for key, value in (params or {}).items():
        many = value if isinstance(value, list | tuple) else [value]
        pairs += [(key, str(item).lower() if isinstance(item, bool) else item) for item in many]
    return pairs


_DATABASE = re.compile(
    r"(\((sqlalchemy|asyncpg|psycopg|sqlite3)|<class '(asyncpg|psycopg|sqlite3)|\[SQL:).*", re.DOTALL
)
"""The text of the database, which 0.16.8 shows: constraints, the whole row, and the SQL."""
_REFUSED = "the database of the server refused the values"


def _words(answer: httpx.Response) -> str:
    """The server's own words, one line, without what it echoes of the request."""
    try:
        body = answer.json()
        detail = body.get("detail") or body.get("error") or ""
    except (ValueError, AttributeError):
        return answer.reason_phrase
    if answer.status_code == 422:
        values = (f"{each.field}: {each.message}" for each in _refused(answer))
        return "; ".join(values)[:500] or "the request was not valid"
    if isinstance(detail, Mapping):
        texts = [detail.get("message") or detail.get("code"), detail.get("error")]
        detail = ": ".join(str(each) for each in texts if each)
    return " ".join(_DATABASE.sub(_REFUSED, str(detail)).split())[:500]


def _is_mcp_server_silent(answer: httpx.Response) -> bool:
    """Whether a 404 is about an MCP server that did not answer: 0.16.8 says so only where tools are listed again."""
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return False
    return isinstance(detail, Mapping) and detail.get("code") == "MCPServerUnavailable"


def _refused(answer: httpx.Response) -> list[Problem]:
    """The values that a 422 refuses, each with its path in the request as `field`; empty if it does not say.

    0.16.8 answers a Python repr that echoes the whole input, secrets included: only places and reasons are kept.
    """
    if answer.status_code != 422:
        return []
    try:
        detail = answer.json()["detail"]
        items = _literal(detail) if isinstance(detail, str) else detail
        return [Problem(_reason(item["msg"]), field=".".join(map(str, item["loc"]))) for item in items]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError):
        return []


def _literal(text: str) -> Any:
    """The value of a Python repr. Calls in it, as of an exception, are left out: `ctx` may hold one."""
    return ast.literal_eval(re.sub(r"\w+Error\((?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\)", "None", text))


def _reason(message: str) -> str:
    """The reason for a refusal, without names of Python classes."""
    plain = re.sub(r"<\w+\.\w+: ('[^']*')>", r"\1", message)
    return plain.removeprefix("Value error, ")[:300]
