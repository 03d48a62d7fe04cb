"""Several requests at the same time, to their results in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Any, TypeVar

_T = TypeVar("_T")


async def together(requests: Iterable[Awaitable[_T]]) -> list[_T]:
    """Run all requests at the same time. Returns their results in order. If one fails, the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in requests]
    try:
        return await asyncio.gather(*tasks)
    finally:
        await cancelled(*tasks)


async def cancelled(*tasks: asyncio.Future[Any]) -> None:
    """Cancel what is still under way, and wait until it has ended."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
