"""The number of requests at the same time: lower while the server is overloaded, higher when it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SLOW = 4.0
"""How many times its usual time a request may take before it counts as a refusal."""
FLOOR = 2.0
"""Seconds up to which no request is slow."""


class Gate:
    """Additive increase, multiplicative decrease: the limit is halved by a refusal or a slow answer, and grows by one
    after as many good answers."""

    def __init__(self, most: int) -> None:
        self.most, self.limit, self.busy, self.good = most, most, 0, 0
        self._usual: dict[str, float] = {}
        self._free = asyncio.Condition()
        self._eased = 0.0

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait until fewer requests than the limit run; count this one while the block runs."""
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
        """Lower the limit after 409, 429, 503 or silence, at most once a second: requests that ran together are one."""
        now = time.monotonic()
        if now - self._eased > 1.0:
            self._eased, self.good = now, 0
            self.limit = max(1, self.limit // 2)

    def answered(self, shape: str, seconds: float) -> None:
        """Raise the limit after good answers. `shape`: method and path. An answer slower than usual is a refusal."""
        usual = self._usual.get(shape, seconds)
        self._usual[shape] = 0.8 * usual + 0.2 * seconds
        if seconds > max(FLOOR, SLOW * usual):
            self.refused()
            return
        self.good += 1
        if self.good >= self.limit and self.limit < self.most:
            self.limit, self.good = self.limit + 1, 0
