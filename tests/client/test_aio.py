"""Connections of the async client; tests/client/test_clients.py and test_streams.py test the rest in both flavours."""

from __future__ import annotations

import asyncio

import pytest

from lettaform.client import AsyncClient
from tests.client.closing import Closing


def test_a_connection_is_not_used_again_after_an_unhandled_error() -> None:
    async def whole(url: str) -> None:
        async with AsyncClient(base_url=url, max_retries=0) as client:
            for _ in range(5):
                with pytest.raises(Exception, match="500"):
                    await client.post("/fails")
                assert await client.post("/works") == {"ok": 1}

    with Closing() as url:
        asyncio.run(whole(url))


def test_a_request_can_be_cancelled() -> None:
    async def whole(url: str) -> None:
        async with AsyncClient(base_url=url) as client:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.get("/hangs"), 0.1)

    with Closing() as url:
        asyncio.run(whole(url))
