"""Requests to answers: routes, ids, time; a transport for httpx and a server on loopback."""

from __future__ import annotations

import importlib
import itertools
import json
import pkgutil
import random
import re
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

UUID4 = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
USER = "user-00000000-0000-4000-8000-000000000000"
ORGANIZATION = "org-00000000-0000-4000-8000-000000000000"
UNKNOWN = "An unknown error occurred"
DATABASE = "A database error occurred."

NOTHING = object()
"""An answer without a body: 204."""

Body = dict[str, Any]


@dataclass(frozen=True)
class Stream:
    """An answer of server-sent events: the `data` of each."""

    events: list[Body]

    def content(self) -> bytes:
        # 0.16.8 names the events of errors alone
        kinds = ["event: error\n" if each["message_type"] == "error_message" else "" for each in self.events]
        lines = (f"{kind}data: {json.dumps(each)}\n\n" for kind, each in zip(kinds, self.events, strict=True))
        return ("".join(lines) + "data: [DONE]\n\n").encode()


class Refusal(Exception):
    """An error answer: its status, and the `detail` of its body."""

    def __init__(self, status: int, detail: Any, **more: Any) -> None:
        super().__init__(f"{status} {detail}")
        self.status, self.body = status, {"detail": detail, **more}


def missing(kind: str, **by: str) -> Refusal:
    """The answer of 0.16.8 for a missing row; `by` names the columns, an id where there are none."""
    what = ", ".join(f"{column}={value!r}" for column, value in by.items())
    return Refusal(404, f"{kind} not found with {what}, access level in ['read'] for actor='id={USER!r}'")


def absent(kind: str, id: str) -> Refusal:
    """`missing` for an id: 0.16.8 quotes a list."""
    return Refusal(404, f"{kind} not found with id='[{id!r}]', access level in ['read'] for actor='id={USER!r}'")


def taken(kind: str, constraint: str, columns: Mapping[str, str]) -> Refusal:
    """A violated unique constraint. 0.16.8 shows its SQL."""
    return Refusal(
        409,
        f"A unique constraint was violated for {kind}. Check your input for duplicates: "
        "(sqlalchemy.dialects.postgresql.asyncpg.IntegrityError) <class 'asyncpg.exceptions.UniqueViolationError'>: "
        f'duplicate key value violates unique constraint "{constraint}"\n'
        f"DETAIL:  Key ({', '.join(columns)})=({', '.join(columns.values())}) already exists.\n[SQL: …]",
    )


def dangling(table: str, column: str, id: str, other: str) -> Refusal:
    """A violated foreign key. 0.16.8 shows its SQL."""
    return Refusal(
        409,
        "(sqlalchemy.dialects.postgresql.asyncpg.IntegrityError) "
        "<class 'asyncpg.exceptions.ForeignKeyViolationError'>: "
        f'insert or update on table "{table}" violates foreign key constraint "{table}_{column}_fkey"\n'
        f'DETAIL:  Key ({column})=({id}) is not present in table "{other}".\n[SQL: …]',
    )


@dataclass(frozen=True)
class Ask:
    """One parsed request."""

    method: str
    path: str
    names: Mapping[str, str]
    query: httpx.QueryParams
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> Any:
        """The JSON of the body; 422 without one."""
        if not self.content:
            raise invalid([{"type": "missing", "loc": ("body",), "msg": "Field required", "input": None}])
        try:
            return json.loads(self.content)
        except ValueError as error:
            at = getattr(error, "pos", 0)
            why = {"error": getattr(error, "msg", str(error))}
            fault = {"type": "json_invalid", "loc": ("body", at), "msg": "JSON decode error", "input": {}, "ctx": why}
            raise invalid([fault]) from None

    @property
    def is_new_sdk(self) -> bool:
        """0.16.8 answers the official SDK 1.x, and clients without a User-Agent, without relations."""
        agent = self.headers.get("user-agent", "")
        return not agent or agent.startswith("letta-client/1.") or "x-stainless-package-version" in self.headers

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("true", "1", "yes", "on")


def invalid(errors: list[Body], **more: Any) -> Refusal:
    """422 as 0.16.8 writes it: `detail` is the repr of a Python list, and echoes the input."""
    refusal = Refusal(422, repr(errors), **more)
    refusal.body = {"trace_id": "", **refusal.body}
    return refusal


Handler = Callable[["StandIn", Ask], Any]
_routes: list[tuple[str, re.Pattern[str], Handler]] = []


def on(method: str, path: str) -> Callable[[Handler], Handler]:
    """Register the function for `method` on `path`; `{agent_id}` and the like become `ask.names`."""
    pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", path) + "$")

    def register(handler: Handler) -> Handler:
        _routes.append((method, pattern, handler))
        # literal segments come before names, as in the order of the server's own routes
        _routes.sort(key=lambda route: route[1].pattern.count("(?P<"))
        return handler

    return register


def get_routes() -> list[str]:
    """The paths that answer GET, with `{}` for each id."""
    patterns = [pattern.pattern for method, pattern, _ in _routes if method == "GET"]
    return sorted(re.sub(r"\(\?P<\w+>\[\^/\]\+\)", "{}", pattern).removesuffix("$") for pattern in patterns)


class Table(dict[str, Body]):
    """The rows of a table by id, in order of creation. `places`: the place of each in this order."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, int] = {}
        self._next = itertools.count()

    def __setitem__(self, id: str, row: Body) -> None:
        self.places.setdefault(id, next(self._next))
        super().__setitem__(id, row)

    def __delitem__(self, id: str) -> None:
        super().__delitem__(id)
        del self.places[id]

    def clear(self) -> None:
        super().clear()
        self.places.clear()

    def following(self, id: str | None) -> Iterator[Body]:
        """The rows after this one; all if it is not in the table."""
        place = self.places.get(id or "", -1)
        return itertools.dropwhile(lambda row: self.places[row["id"]] <= place, self.values())


@dataclass
class Tables:
    """The stored objects. Every table keeps the order of creation."""

    agents: Table = field(default_factory=Table)
    blocks: Table = field(default_factory=Table)
    tools: dict[str, Body] = field(default_factory=dict)
    identities: dict[str, Body] = field(default_factory=dict)
    folders: dict[str, Body] = field(default_factory=dict)
    files: dict[str, Body] = field(default_factory=dict)
    archives: dict[str, Body] = field(default_factory=dict)
    passages: dict[str, Body] = field(default_factory=dict)
    groups: dict[str, Body] = field(default_factory=dict)
    providers: dict[str, Body] = field(default_factory=dict)
    conversations: dict[str, Body] = field(default_factory=dict)
    mcp_servers: dict[str, Body] = field(default_factory=dict)
    messages: dict[str, Body] = field(default_factory=dict)
    """Those that were sent. The prompt of an agent or a conversation is in its own row."""
    runs: dict[str, Body] = field(default_factory=dict)


class StandIn(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """A Letta server as a transport for httpx, async and sync. The same seed and requests give the same answers.

    `has_redis`: whether the server can stream runs in the background.
    `before` and `after` are called with each request, and may raise a Refusal or an httpx.TransportError: at `before`
    nothing was done; at `after` everything was, and only the answer is lost.
    """

    has_redis = False

    def __init__(self, seed: int = 0) -> None:
        self.tables = Tables()
        self.log: list[tuple[str, str, int]] = []
        # the tools that an MCP server offers, by its arguments or URL: name, description and inputSchema of each
        self.offers: dict[tuple[str, ...], list[Body]] = {}
        self.before: Callable[[Ask], None] = lambda ask: None
        self.after: Callable[[Ask], None] = lambda ask: None
        self._random, self._order = random.Random(seed), random.Random(seed)
        self._ticks, self._lock = 0, threading.Lock()
        for new_config in _born:
            new_config(self)

    @property
    def writes(self) -> list[tuple[str, str, int]]:
        """The requests of the log that are no GET: method, path, status."""
        return [entry for entry in self.log if entry[0] != "GET"]

    def copy(self) -> StandIn:
        """Another server with the same objects. It answers the next requests as this one would."""
        other = StandIn()
        shared = ("_lock", "before", "after")
        other.__dict__ |= deepcopy({name: value for name, value in self.__dict__.items() if name not in shared})
        return other

    def id(self, kind: str) -> str:
        """A new id."""
        return f"{kind}-{uuid.UUID(int=self._random.getrandbits(128), version=4)}"

    def shuffled(self, related: Iterable[Any]) -> list[Any]:
        """These in another order at each call: 0.16.8 answers relations in the order of the database."""
        found = list(related)
        self._order.shuffle(found)
        return found

    def now(self) -> str:
        """The time, a second later at each call."""
        self._ticks += 1
        return (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self._ticks)).isoformat().replace("+00:00", "Z")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer httpx.Client."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        return self._answer(request.method, request.url, headers, request.read())

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer httpx.AsyncClient."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        return self._answer(request.method, request.url, headers, await request.aread())

    def _answer(self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes) -> httpx.Response:
        with self._lock:
            try:
                status, body, more = 200, self._route(method, url, headers, content), {}
            except Refusal as refusal:
                status, body = refusal.status, refusal.body
                more = {"location": body.pop("location")} if "location" in body else {}
            self.log.append((method, url.path, status))
        if body is NOTHING:
            return httpx.Response(204, headers=more)
        if isinstance(body, Stream):
            return httpx.Response(200, content=body.content(), headers={"content-type": "text/event-stream"})
        more["content-type"] = "application/json"
        return httpx.Response(status, content=json.dumps(body).encode(), headers=more)

    def _route(self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes) -> Any:
        path = url.path
        matches = [(verb, found, handler) for verb, pattern, handler in _routes if (found := pattern.match(path))]
        for verb, found, handler in matches:
            if verb == method:
                ask = Ask(method, path, found.groupdict(), url.params, headers, content)
                self.before(ask)
                try:
                    _check_ids(ask.names)
                    return handler(self, ask)
                finally:  # a refusal is an answer, too
                    self.after(ask)
        if matches:
            raise Refusal(405, "Method Not Allowed")
        if any(pattern.match(f"{path}/") for _, pattern, _ in _routes):
            raise Refusal(307, "", location=str(url.copy_with(path=f"{url.path}/")))
        raise Refusal(404, "Not Found")


def _check_ids(names: Mapping[str, str]) -> None:
    errors, examples = [], []
    for name, value in names.items():
        kind = name.removesuffix("_id")
        pattern = f"^{kind}-{UUID4}$"
        if name.endswith("_id") and not re.match(pattern, value):
            error = {"type": "string_pattern_mismatch", "loc": ("path", name)}
            error |= {"msg": f"String should match pattern '{kind}-{{uuid4}}'", "input": value}
            errors.append(error | {"ctx": {"pattern": pattern}})
            examples.append(f"{kind}-123e4567-e89b-42d3-8456-426614174000")
    if errors:
        raise invalid(errors, examples=sorted(examples))


_born: list[Callable[[StandIn], None]] = []


def on_start(fill: Callable[[StandIn], None]) -> Callable[[StandIn], None]:
    """Register the function to fill a new server."""
    _born.append(fill)
    return fill


@on("GET", "/v1/health/")
def _health(server: StandIn, ask: Ask) -> Body:
    return {"version": "0.16.8", "status": "ok"}


@contextmanager
def serve(standin: StandIn | None = None) -> Iterator[str]:
    """The URL of a stand-in on loopback, for the duration of the block."""
    inner = standin or StandIn()

    class Connection(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            content = self.rfile.read(int(self.headers.get("content-length") or 0))
            url = f"http://{self.headers['host']}{self.path}"
            request = httpx.Request(self.command, url, headers=list(self.headers.items()), content=content)
            try:
                answer = inner.handle_request(request)
            except httpx.TransportError:  # a fault that a test asked for: the connection breaks
                self.close_connection = True
                return
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Connection) as http:
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()


def load_resources() -> None:
    """Import every resource, which registers its routes."""
    for module in sorted(each.name for each in pkgutil.iter_modules([str(Path(__file__).parent)])):
        if not module.startswith("test_"):
            importlib.import_module(f"{__package__}.{module}")
