"""HTTP to a Letta server: requests, pages, retries; refusals as our errors. Nothing above it sees httpx."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from typing import Any, Literal

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
from lettaform.backend.v1.concurrency import Gate
from lettaform.errors import Conflict, NotFound, ServerError, Unauthorized, Unavailable, Unsupported

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
PAGE = 1000


class Client:
    """One server, one pool of connections. Async; `requests` counts what was sent, `writes` what was no GET."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        project: str | None = None,
        timeout: float = 60.0,
        parallel: int = 8,
        trace: Callable[[str], None] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url, self.timeout, self.parallel, self.trace = url.rstrip("/"), timeout, parallel, trace
        self._transport = transport
        self._gate = Gate(parallel)
        self.requests = self.writes = 0
        self.until = inf
        """When writing must pause: the lock is no longer surely ours then. Past all time: it is lost."""
        self.doubt = -inf
        """When a write was last left without an answer: the server may still carry it out."""
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
        self._http = self._pool()
        self._spent: list[httpx.AsyncClient] = []

    def _pool(self) -> httpx.AsyncClient:
        # 0.16.8 closes idle connections after 5 s; the lock's heart beats beside what the gate lets through
        limits = httpx.Limits(max_connections=self.parallel + 2, keepalive_expiry=4)
        return httpx.AsyncClient(
            base_url=self.url, headers=self._headers, limits=limits, timeout=self.timeout, transport=self._transport
        )

    async def close(self) -> None:
        """Close every connection."""
        for pool in (self._http, *self._spent):
            await pool.aclose()

    async def calm(self, settle: float) -> None:
        """Until `settle` seconds have gone by since the last write that was left without an answer."""
        await asyncio.sleep(max(0.0, self.doubt + settle - time.monotonic()))

    def hide(self, secret: str) -> None:
        """Never let this text stand in an error or a trace."""
        if len(secret) > 3:
            self._secrets.add(secret)

    def redact(self, text: str) -> str:
        """`text` without any secret that this client knows."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "‹secret›")
        return text

    async def get(self, path: str, **params: Any) -> Any:
        """GET, retried."""
        return await self.send("GET", path, params=params)

    async def items(self, path: str, **params: Any) -> list[Any]:
        """GET of what must be a list of objects."""
        found = await self.get(path, **params)
        if not (isinstance(found, list) and all(isinstance(item, dict) for item in found)):
            raise ServerError(f"{self.url}{path} answered no list", "is this the address of a Letta server?", path=path)
        return found

    async def pages(self, path: str, **params: Any) -> list[Any]:
        """Every item of a list, oldest first."""
        found: dict[str, Any] = {}
        while True:
            after = {"after": next(reversed(found))} if found else {}
            page = await self.items(path, limit=PAGE, order="asc", **after, **params)
            fresh = {item["id"]: item for item in page if item["id"] not in found}
            found |= fresh
            # 0.16.8 answers the first page again if the cursor's object is gone meanwhile
            if len(page) < PAGE or not fresh:
                return list(found.values())

    async def send(
        self,
        method: Method,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        files: Mapping[str, Any] | None = None,
        within: float | None = None,
        overtaken: bool = False,
        repeatable: bool = False,
        urgent: bool = False,
    ) -> Any:
        """One request, answered `within` so many seconds. Repeated where that is safe: everything but POST.

        `files`: field to name and content, sent as a form.
        `overtaken`: others may get in the way: repeat more often, and a 409, too, which 0.16.8 answers to all but one
        of several writers of a block.
        `repeatable`: a POST that makes nothing. `urgent`: not to wait behind others.
        """
        ask = _Request(method, path, params, body, within or self.timeout, urgent, files)
        if method == "POST" and not repeatable:
            return await self._once(ask)
        again: tuple[type[Exception], ...] = (Unavailable, Conflict) if overtaken else (Unavailable,)
        retrying = AsyncRetrying(
            # a server that is silent once is not asked again: whoever waits was promised `within`
            stop=stop_after_attempt(8 if overtaken else 4) | stop_after_delay(ask.within),
            wait=_pause,
            retry=retry_if_exception_type(again),
            reraise=True,
        )
        return await retrying(self._once, ask)

    async def _once(self, ask: _Request) -> Any:
        if ask.urgent:
            return await self._exchange(ask)
        async with self._gate.passage():
            started = time.monotonic()
            try:
                answer = await self._exchange(ask)
            except ServerError as error:
                if error.status in (409, 429, 503) or (isinstance(error, Unavailable) and error.ambiguous):
                    self._gate.refused()
                raise
            self._gate.answered(f"{ask.method} {ask.path[:16]}", time.monotonic() - started)
            return answer

    async def _exchange(self, ask: _Request) -> Any:
        if ask.method != "GET" and not ask.urgent:
            await self._covered(ask)
        self.requests += 1
        self.writes += ask.method != "GET"
        started = time.monotonic()
        # httpx would write \ud800 as bytes that no server reads; JSON's own escapes are plain ASCII
        content = None if ask.body is None else json.dumps(ask.body).encode()
        headers = {"Content-Type": "application/json"} if ask.body is not None else {}
        try:
            # httpx counts the silence between bytes; a server that dribbles must end, too
            async with asyncio.timeout(ask.within * 1.5):
                answer = await self._http.request(
                    ask.method,
                    ask.path,
                    params=_flat(ask.params),
                    content=content,
                    files=ask.files,
                    headers=headers,
                    timeout=ask.within,
                )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ServerError(f"{self.url!r} is not the address of a server", str(error)) from error
        except (httpx.HTTPError, TimeoutError) as error:
            lost = self._no_answer(ask, error)
            if lost.ambiguous and ask.method != "GET" and not ask.urgent:
                self.doubt = time.monotonic()
            raise lost from error
        if self.trace:
            spent = (time.monotonic() - started) * 1000
            told = f"{ask.method} {answer.request.url.raw_path.decode()} {answer.status_code} {spent:.0f} ms"
            self.trace(self.redact(told))
        if answer.status_code >= 500:
            # 0.16.8 closes the socket after an unhandled error, and the pool would hand it out again
            self._spent.append(self._http)
            self._http = self._pool()
        return self._read(ask.method, ask.path, answer)

    async def _covered(self, ask: _Request) -> None:
        """Until the lock is surely ours: the next beat moves `until`, either way."""
        while time.monotonic() > self.until:
            if self.until == -inf:
                raise ServerError(f"{ask.method} {ask.path} was not sent: the lock was lost", "apply again")
            await asyncio.sleep(0.05)

    def _read(self, method: Method, path: str, answer: httpx.Response) -> Any:
        status = answer.status_code
        told: dict[str, Any] = {"method": method, "path": path, "status": status}
        if answer.is_success:
            try:
                return answer.json() if answer.content else None
            except ValueError:
                hint = "is this the address of a Letta server?"
                raise ServerError(f"{self.url}{path} answered something that is not JSON", hint, **told) from None
        if answer.is_redirect:
            target = self.redact(answer.headers.get("location", "elsewhere"))
            raise ServerError(f"{self.url} redirects {path} to {target}", "give the final address", **told)
        words = self.redact(_words(answer))
        message = f"{method} {path}: {status} {words}".strip()
        if status in (401, 403):
            hint = "set LETTA_API_KEY to the server's key or password"
            raise Unauthorized(f"{self.url} does not let us in ({status})", hint, **told, words=words)
        if status == 404:
            raise NotFound(message, **told, words=words)
        if status == 409:
            raise Conflict(message, **told, words=words)
        if status in (405, 501):
            raise Unsupported(message, "this server cannot do it", **told, words=words)
        if status == 429 or status >= 500:
            refused = Unavailable(message, "`lettaform dev logs` or the server's log say more", **told, words=words)
            refused.ambiguous = status not in (429, 503)
            after = answer.headers.get("retry-after", "")
            refused.retry_after = float(after) if after.isdigit() else None
            raise refused
        raise ServerError(message, **told, words=words)

    def _no_answer(self, ask: _Request, error: Exception) -> Unavailable:
        told: dict[str, Any] = {"method": ask.method, "path": ask.path}
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            hint = "is it running? `lettaform dev up` starts one here; --server or LETTA_BASE_URL name another"
            return Unavailable(f"no server answers at {self.url}", hint, **told)
        if isinstance(error, httpx.PoolTimeout):
            return Unavailable(f"{ask.method} {ask.path}: no connection was free within {ask.within:.0f} s", **told)
        late = isinstance(error, httpx.TimeoutException | TimeoutError)
        what = f"no answer within {ask.within:.0f} s" if late else f"the connection broke ({type(error).__name__})"
        lost = Unavailable(f"{ask.method} {self.url}{ask.path}: {what}", **told)
        lost.ambiguous, lost.silent = True, late
        return lost


@dataclass(frozen=True)
class _Request:
    method: Method
    path: str
    params: Mapping[str, Any] | None
    body: Any
    within: float
    urgent: bool
    files: Mapping[str, Any] | None = None


def _pause(state: RetryCallState) -> float:
    """Seconds before the next attempt: what the server asks for, else more each time, with jitter."""
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


def _words(answer: httpx.Response) -> str:
    """The server's own words, one line, without what it echoes of the request."""
    try:
        told = answer.json()
        detail = told.get("detail") or told.get("error") or ""
    except (ValueError, AttributeError):
        return answer.reason_phrase
    if answer.status_code == 422:
        return _invalid(detail)
    if isinstance(detail, Mapping):
        detail = detail.get("message") or detail.get("code") or ""
    text = re.sub(r"\(sqlalchemy\S*\) <[^>]*>: ", "", str(detail)).split("[SQL")[0]  # 0.16.8 shows its SQL
    return " ".join(text.split())[:500]


def _invalid(detail: Any) -> str:
    """0.16.8 answers a Python repr that echoes the whole input, secrets included: keep place and reason alone."""
    try:
        items = ast.literal_eval(detail) if isinstance(detail, str) else detail
        return "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in items)[:500]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError):
        return "the request was not valid"
