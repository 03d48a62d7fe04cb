"""What lettaform sends, noted while it runs, and sent again with nothing else to do: the floor of a command."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

import httpx

from lettaform import flow
from lettaform.backend import connect

PARALLEL = 8
"""Requests at the same time, of lettaform and of the floors."""


class Sent(NamedTuple):
    """One request. `answered`: the id of the object in its answer, or an empty text."""

    started: float
    method: str
    path: str
    body: str
    answered: str


class Tape(httpx.AsyncBaseTransport):
    """A transport that notes what is sent."""

    def __init__(self, inner: httpx.AsyncBaseTransport | None, sent: list[Sent]) -> None:
        limits = httpx.Limits(max_connections=PARALLEL + 2, keepalive_expiry=4)
        self.inner, self.sent = inner or httpx.AsyncHTTPTransport(limits=limits), sent

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        started, body = time.perf_counter(), await request.aread()
        answer = await self.inner.handle_async_request(request)
        id = ""
        if request.method in ("POST", "PUT") and answer.status_code < 300:
            found = json.loads(await answer.aread())
            id = str(found.get("id", "")) if isinstance(found, dict) else ""
        path = request.url.raw_path.decode()
        self.sent.append(Sent(started, request.method, path, body.decode("utf-8", "replace"), id))
        return answer

    async def aclose(self) -> None:
        await self.inner.aclose()


@contextmanager
def taped(inner: httpx.AsyncBaseTransport | None = None) -> Iterator[list[Sent]]:
    """All requests of lettaform, while the block runs. `inner`: a server in this process."""
    sent: list[Sent] = []

    def through(url: str, **options: Any) -> Any:
        return connect(url, **options, transport=Tape(inner, sent))

    with mock.patch.object(flow, "connect", through):
        yield sent


def chains(sent: Sequence[Sent]) -> list[list[Sent]]:
    """The requests in the order in which they were sent. The pages of one list follow each other."""
    found: dict[tuple[str, str], list[Sent]] = {}
    for each in sorted(sent):
        found.setdefault((each.method, re.sub("&after=[^&]*", "", each.path)), []).append(each)
    return list(found.values())


def is_read(each: Sent) -> bool:
    """Whether a request changes nothing."""
    return each.method == "GET" or each.path.startswith("/v1/tools/generate-schema")


def replayed(url: str, sent: Sequence[Sent], inner: httpx.AsyncBaseTransport | None = None) -> float:
    """Send these requests again, lists at the same time and their pages one by one. Returns seconds."""

    async def run(http: httpx.AsyncClient) -> float:
        async def follow(pages: list[Sent]) -> None:
            for each in pages:
                await http.request(each.method, each.path, content=each.body, headers=_JSON)

        started = time.perf_counter()
        await asyncio.gather(*map(follow, chains(sent)))
        return time.perf_counter() - started

    return asyncio.run(_with_client(url, run, inner))


def written(url: str, sent: Sequence[Sent]) -> float:
    """Send the same writes again, PARALLEL at a time, with the ids of the objects that they create. Returns seconds.

    What creates blocks and tools comes first: agents refer to them.
    """
    writes = [each for each in sent if not is_read(each) and not _is_of_lettaform(each)]
    first = [each for each in writes if each.method == "POST" and not each.path.startswith("/v1/agents")]
    first += [each for each in writes if each.method == "PUT"]
    rest = [each for each in writes if each not in first]

    async def run(http: httpx.AsyncClient) -> float:
        ids, gate = dict[str, str](), asyncio.Semaphore(PARALLEL)

        async def send(each: Sent) -> None:
            body = each.body
            for before, after in ids.items():
                body = body.replace(before, after)
            async with gate:
                answer = await http.request(each.method, each.path, content=body, headers=_JSON)
            if each in first and each.answered:
                ids[each.answered] = answer.raise_for_status().json()["id"]

        started = time.perf_counter()
        for batch in (first, rest):
            await asyncio.gather(*map(send, batch))
        return time.perf_counter() - started

    return asyncio.run(_with_client(url, run))


def deleted(url: str) -> float:
    """Delete the agents and blocks of the fleet, and then its tools, PARALLEL at a time. Returns seconds."""

    async def run(http: httpx.AsyncClient) -> float:
        gate = asyncio.Semaphore(PARALLEL)
        ids = {kind: await _ids(http, f"/v1/{kind}/") for kind in ("agents", "blocks", "tools")}

        async def delete(path: str) -> None:
            async with gate:
                await http.delete(path)

        started = time.perf_counter()
        for kind, every in ids.items():
            await asyncio.gather(*(delete(f"/v1/{kind}/{id}") for id in every))
        return time.perf_counter() - started

    return asyncio.run(_with_client(url, run))


async def _ids(http: httpx.AsyncClient, path: str) -> list[str]:
    """The ids of what a list shows of the fleet."""
    tag = "lettaform:stack=bench"
    params = {"limit": 1_000_000, "show_hidden_blocks": True} | ({} if "tools" in path else {"tags": tag})
    found = (await http.get(path, params=params)).raise_for_status().json()
    return [each["id"] for each in found if "tools" not in path or tag in (each["tags"] or ())]


def _is_of_lettaform(each: Sent) -> bool:
    """Whether a request is about the lock or the state."""
    return "/identities/" in each.path or '"label": "lettaform"' in each.body


async def _with_client(url: str, run: Any, inner: httpx.AsyncBaseTransport | None = None) -> float:
    limits = httpx.Limits(max_connections=PARALLEL, keepalive_expiry=4)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=600, transport=inner) as http:
        seconds: float = await run(http)
        return seconds


_JSON = {"Content-Type": "application/json", "User-Agent": "bare/1"}
