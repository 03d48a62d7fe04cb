"""How many requests may be under way at once: fewer when the server groans, more again when it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

SLOW = 4.0
"""How many times its usual time a request may take before it counts as a groan."""
FLOOR = 2.0
"""Seconds that no request is too slow for."""


_T = TypeVar("_T")


async def together(asked: Iterable[Awaitable[_T]]) -> list[_T]:
    """All of these at once, answers in their order. Where one fails nobody goes on, and its error is told."""
    tasks = [asyncio.ensure_future(each) for each in asked]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Gate:
    """Additive increase, multiplicative decrease: halved on a refusal or a slow answer, one more after a good round."""

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.busy, self.good = most, most, 0, 0
        self._usual: dict[str, float] = {}
        self._free = asyncio.Condition()
        self._eased = 0.0

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait for a place, and give it back."""
        async with self._free:
            await self._free.wait_for(lambda: self.busy < self.limit)
            self.busy += 1
        try:
            yield
        finally:
            async with self._free:
                self.busy -= 1
                self._free.notify_all()

    def refused(self) -> None:
        """409, 429, 503 or silence. Requests that were under way together count once."""
        now = time.monotonic()
        if now - self._eased > 1.0:
            self._eased, self.good = now, 0
            self.limit = max(1, self.limit // 2)

    def answered(self, shape: str, seconds: float) -> None:
        """An answer to a request of this shape. Far slower than usual is a groan, too."""
        usual = self._usual.get(shape, seconds)
        self._usual[shape] = 0.8 * usual + 0.2 * seconds
        if seconds > max(FLOOR, SLOW * usual):
            self.refused()
            return
        self.good += 1
        if self.good >= self.limit and self.limit < self.most:
            self.limit, self.good = self.limit + 1, 0
