"""One act on a client, carried out with a sync client or with an async one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx

from lettaform.client import AsyncClient, Client

FLAVOURS = ("sync", "async")
URL = "http://letta"
Handler = Callable[[httpx.Request], httpx.Response]


def act(flavour: str, handler: Handler, what: Callable[[Any], Any], **options: Any) -> Any:
    """What an act returns; a list of what it iterates over. `handler` answers the requests."""
    options = {"base_url": URL, "transport": httpx.MockTransport(handler), **options}
    if flavour == "sync":
        with Client(**options) as client:
            found = what(client)
            return list(found) if isinstance(found, Iterator) else found
    return asyncio.run(_awaited(what, options))


async def _awaited(what: Callable[[Any], Any], options: dict[str, Any]) -> Any:
    async with AsyncClient(**options) as client:
        found = what(client)
        if isinstance(found, AsyncIterator):
            return [each async for each in found]
        return await found if isinstance(found, Awaitable) else found


class Answers:
    """Answers one request after another, and keeps them. An exception is raised."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        # a response of httpx can be sent once
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return httpx.Response(answer.status_code, headers=headers, content=answer.content)
