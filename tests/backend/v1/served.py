"""A stand-in server, filled by bare requests, and what lettaform asks of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx

from lettaform.backend.v1.client import Client
from lettaform.backend.v1.reads import V1Reads
from tests.standin import StandIn

_T = TypeVar("_T")
_PAGE = ("limit", "order", "after")
URL = "http://stand.in"


class Served(httpx.AsyncBaseTransport):
    """`asked`: the requests of the last `run`, without the parameters of a page, sorted."""

    def __init__(self, standin: StandIn | None = None) -> None:
        self.standin = standin or StandIn()
        self.asked: list[str] = []
        self.trace: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        params = sorted((key, value) for key, value in request.url.params.multi_items() if key not in _PAGE)
        query = "&".join(f"{key}={value}" for key, value in params)
        self.asked.append(f"{request.method} {request.url.path}" + (f"?{query}" if query else ""))
        return await self.standin.handle_async_request(request)

    def post(self, path: str, method: str = "POST", **body: Any) -> Any:
        """The answer to a request that changes something."""
        with httpx.Client(transport=self.standin, base_url=URL) as http:
            answer = http.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def run(self, read: Callable[[V1Reads], Awaitable[_T]], url: str = URL) -> _T:
        """What a read returns."""

        async def inside() -> _T:
            client = Client(url, transport=self, trace=self.trace.append)
            try:
                return await read(V1Reads(client))
            finally:
                await client.close()

        self.asked.clear()
        try:
            return asyncio.run(inside())
        finally:
            self.asked.sort()

    # --- objects

    def agent(self, name: str, **more: Any) -> Any:
        base = {"model": "letta/letta-free", "embedding": "letta/letta-free", "include_base_tools": False}
        return self.post("/v1/agents/", name=name, **base, **more)

    def block(self, label: str, **more: Any) -> Any:
        return self.post("/v1/blocks/", label=label, **{"value": "", **more})

    def tool(self, name: str, **more: Any) -> Any:
        source = f'def {name}() -> str:\n    """Say it."""\n    return ""\n'
        return self.post("/v1/tools/", "PUT", source_code=source, source_type="python", **more)

    def archive(self, name: str, **more: Any) -> Any:
        return self.post("/v1/archives/", name=name, embedding="letta/letta-free", **more)

    def conversation(self, agent: str, summary: str) -> Any:
        return self.post(f"/v1/conversations/?agent_id={agent}", summary=summary)

    def identity(self, key: str) -> Any:
        return self.post("/v1/identities/", identifier_key=key, name=key, identity_type="user")

    def attach(self, agent: str, what: str, id: str) -> None:
        self.post(f"/v1/agents/{agent}/{what}/attach/{id}", "PATCH")
