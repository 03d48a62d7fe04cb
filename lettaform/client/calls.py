"""Requests as values: what to send, how to read the answer, and when to send it again. Sends nothing itself.

When a request is sent again, by what came back:

| answer | GET, PUT, DELETE | PATCH | POST |
|---|---|---|---|
| no connection; 429, 503 | yes | yes | yes: it was certainly not carried out |
| connection lost, no answer in time, 408, other 5xx | yes | yes | with `retry_posts`, or if it creates nothing |
| 409 | no | yes: 0.16.8 answers it to all but one of several writers | no |
| other answers | no | no | no |

A POST may have been carried out although no answer came, and again each time: one create that failed at the official
SDK 1.12.1 left three agents. A DELETE that is sent again may end as NotFound, because the first one was carried out.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from lettaform.client.answers import RawResponse, failure, no_answer, read, unexpected
from lettaform.client.origin import Origin, merged
from lettaform.errors import Conflict, ServerError, Unavailable

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Json = dict[str, Any]
T = TypeVar("T")
Step: TypeAlias = dict[str, Any] | float

PAGE = 100
"""Items per page of a list, unless `limit` says otherwise."""
EVERY = 0.2
"""Seconds between two requests that wait for something."""
LONGEST = 30.0
"""Seconds that are waited at most before a request is sent again, whatever the server asks for."""


class Unset:
    """The type of an option that is not given: None is a timeout."""


UNSET = Unset()


def as_it_is(found: Any) -> Any:
    """The JSON of an answer."""
    return found


@dataclass(frozen=True)
class Call(Generic[T]):
    """One request.

    params      of the query; a list is repeated, None is left out
    body        JSON
    files       field to name, content and type, sent as a form, with the fields of `form`
    repeatable  whether a POST creates nothing
    reader      the JSON of the answer to what the caller gets
    until       what the caller waits for: the request is sent again until it holds. Only with GET
    within      seconds to wait for that
    shape       dict or list, where the answer must be one
    timeout, max_retries  instead of those of the client
    """

    method: Method
    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    files: Mapping[str, Any] | None = None
    form: Mapping[str, str] | None = None
    headers: Mapping[str, str] | None = None
    repeatable: bool = False
    reader: Callable[[Any], T] = as_it_is
    until: Callable[[T], bool] | None = None
    within: float = 60.0
    shape: type[dict[Any, Any]] | type[list[Any]] | None = None
    timeout: Any = UNSET
    max_retries: int | None = None


@dataclass(frozen=True)
class Options:
    """How requests are sent.

    timeout      seconds, or a Timeout of httpx; None waits without end
    max_retries  how often a request is sent again
    retry_posts  whether a POST that may have been carried out is sent again
    headers      of each request
    """

    timeout: Any = 60.0
    max_retries: int = 2
    retry_posts: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    def changed(
        self,
        timeout: Any = UNSET,
        max_retries: int | None = None,
        retry_posts: bool | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Options:
        """With other values, where they are given; `headers` are added."""
        return Options(
            timeout=self.timeout if timeout is UNSET else timeout,
            max_retries=self.max_retries if max_retries is None else max_retries,
            retry_posts=self.retry_posts if retry_posts is None else retry_posts,
            headers=merged(self.headers, headers),
        )

    @property
    def seconds(self) -> float | None:
        """Seconds that an answer may take."""
        within = getattr(self.timeout, "read", self.timeout)
        return float(within) if isinstance(within, int | float) else None


def arguments(origin: Origin, options: Options, call: Call[Any]) -> dict[str, Any]:
    """What `build_request` of httpx, and of libraries like it, takes for a request."""
    headers = merged(merged(origin.headers, options.headers), call.headers)
    content = None
    if call.body is not None:
        content, headers = encoded(call.body), merged({"Content-Type": "application/json"}, headers)
    given = {"params": flat(call.params) or None, "content": content, "files": call.files, "data": call.form}
    return {
        "method": call.method,
        "url": origin.url + call.path,
        "headers": headers,
        **({} if options.timeout is UNSET else {"timeout": options.timeout}),
        **{name: value for name, value in given.items() if value is not None},
    }


def encoded(body: Any) -> bytes:
    """A body as JSON."""
    # httpx would write \ud800 as bytes that no server reads; JSON's own escapes are plain ASCII
    return json.dumps(body).encode()


def flat(params: Mapping[str, Any] | None) -> list[tuple[str, Any]]:
    """Names and values of a query. A list is repeated, None is left out."""
    pairs = []
    for key, value in (params or {}).items():
        many = value if isinstance(value, list | tuple) else [value]
        pairs += [(key, str(item).lower() if isinstance(item, bool) else item) for item in many if item is not None]
    return pairs


def exchanged(
    origin: Origin, options: Options, call: Call[T], reader: Callable[[RawResponse], T]
) -> Generator[Step, Any, T]:
    """Carry out a request: yields what to do, and returns what the caller gets. Raises ServerError.

    To a request (a dict of `arguments`), send the answer or the exception of the HTTP library; after a float, wait for
    as many seconds.
    """
    options = options.changed(timeout=call.timeout, max_retries=call.max_retries)
    request, began, attempt = arguments(origin, options, call), time.monotonic(), 0
    while True:
        answer = yield request
        try:
            if isinstance(answer, Exception):
                raise no_answer(origin, call.method, call.path, answer, options.seconds) from answer
            found = reader(answer)
        except ServerError as error:
            wait = pause(call, options, attempt, error)
            if wait is None:
                raise
            attempt += 1
            yield wait
            continue
        if call.until is None or call.until(found):
            return found
        if time.monotonic() - began > call.within:
            message = f"{call.path} has not ended within {call.within:.0f} s"
            raise Unavailable(message, "wait longer with `within`", method=call.method, path=call.path)
        attempt = 0
        yield EVERY


def value(origin: Origin, call: Call[T]) -> Callable[[RawResponse], T]:
    """Reads what the caller gets from an answer."""

    def reader(answer: RawResponse) -> T:
        found = read(origin, call.method, call.path, answer)
        if call.shape is not None and not isinstance(found, call.shape):
            raise unexpected(origin, call.method, call.path, "no object" if call.shape is dict else "no list")
        return call.reader(found)

    return reader


def raw(origin: Origin, call: Call[Any]) -> Callable[[RawResponse], RawResponse]:
    """Reads nothing from an answer but whether it is a success."""

    def reader(answer: RawResponse) -> RawResponse:
        if not 200 <= answer.status < 300:
            raise failure(origin, call.method, call.path, answer)
        return answer

    return reader


def pause(call: Call[Any], options: Options, attempt: int, error: ServerError) -> float | None:
    """Seconds before a request is sent again; None if it is not. `attempt` counts from 0."""
    if attempt >= options.max_retries or not _may_repeat(call, options, error):
        return None
    asked = error.retry_after if isinstance(error, Unavailable) else None
    longer = 0.5 * 2.0**attempt * random.uniform(0.75, 1.25)  # noqa: S311, jitter is no secret
    return min(longer if asked is None else asked, LONGEST)


def _may_repeat(call: Call[Any], options: Options, error: ServerError) -> bool:
    if isinstance(error, Conflict):
        return call.method == "PATCH"
    if not isinstance(error, Unavailable):
        return False
    return call.method != "POST" or call.repeatable or options.retry_posts or not error.ambiguous


class Cursor:
    """The pages of a list: which request is next, and which items of an answer are new.

    divided  whether several items can have one id, and a page can be shorter than its limit although another one
             follows: 0.16.8 counts messages before it divides each into what people see
    """

    def __init__(self, limit: int, *, divided: bool = False) -> None:
        self.limit, self.divided = limit, divided
        self.last: str | None = None
        self.ended = False
        self._seen: set[str] = set()

    def take(self, page: Any) -> list[Any] | None:
        """The new items of a page; None if it is no list of ids, or of objects that have one."""
        ids = ids_of(page)
        if ids is None:
            return None
        fresh = [item for id, item in zip(ids, page, strict=True) if id not in self._seen]
        self._seen.update(ids)
        # 0.16.8 answers the first page again if the object of the cursor was deleted meanwhile
        self.ended = not fresh or (len(page) < self.limit and not self.divided)
        self.last = ids[-1] if ids else None
        return fresh


def ids_of(page: Any) -> list[str] | None:
    """The ids of a page's items; None if it is no list of ids, or of objects that have one."""
    if not isinstance(page, list):
        return None
    ids = [item.get("id") if isinstance(item, dict) else item for item in page]
    texts = [id for id in ids if isinstance(id, str)]
    return texts if len(texts) == len(ids) else None


@dataclass(frozen=True)
class Listed(Generic[T]):
    """A list in pages.

    reader   an item to what the caller gets
    divided  see Cursor
    by       the parameter that asks for what follows an item
    turned   whether the items of a page come in the opposite order of the pages
    """

    path: str
    params: Mapping[str, Any] = field(default_factory=dict)
    reader: Callable[[Any], T] = as_it_is
    divided: bool = False
    by: Literal["after", "before"] = "after"
    turned: bool = False

    def cursor(self) -> Cursor:
        """At the first page."""
        return Cursor(int(self.params.get("limit") or PAGE), divided=self.divided)

    def page(self, cursor: Cursor) -> Call[Any]:
        """The request for the next page."""
        # always with a limit: 0.16.8 answers everything, or nothing, to 0, and 500 to -1
        following: dict[str, str] = {} if cursor.last is None else {self.by: cursor.last}
        return Call("GET", self.path, params={**self.params, "limit": cursor.limit, **following})

    def items(self, origin: Origin, cursor: Cursor, page: Any) -> list[T]:
        """The new items of a page. ServerError if the answer is none."""
        fresh = cursor.take(page[::-1] if self.turned and isinstance(page, list) else page)
        if fresh is None:
            raise unexpected(origin, "GET", self.path, "no list of objects with ids")
        return [self.reader(each) for each in fresh]
