"""What Letta keeps in Redis, in the memory of its own process: the pieces of background runs, and locks.

Without it, 0.16.8 answers 503 to a message that asks for a background run. It is enough for a server with one process;
its content is lost when the server stops. Imported by the Python of the environment of Letta: no lettaform here.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar


class Memory:
    """The commands of an async client of Redis that Letta sends. All clients of a process share their content."""

    values: ClassVar[dict[str, Any]] = {}
    ends: ClassVar[dict[str, float]] = {}
    """Key to the time of the monotonic clock at which it is dropped."""
    entries: ClassVar[int] = 0
    """The number of entries that were added to streams."""

    def __init__(self, **_: Any) -> None:
        """Takes the options of a client, and needs none."""

    async def ping(self) -> bool:
        """That the server is there."""
        return True

    async def get(self, key: str) -> Any:
        """A value, or None."""
        return self._all(key)

    async def set(
        self, key: str, value: Any, ex: float | None = None, px: float | None = None, nx: bool = False, xx: bool = False
    ) -> bool | None:
        """Keep a value for `ex` seconds or `px` milliseconds. None if it is not kept: `nx`, `xx`."""
        known = self._all(key) is not None
        if (nx and known) or (xx and not known):
            return None
        self.values[key] = value if isinstance(value, bytes) else str(value)
        self.ends.pop(key, None)
        seconds = ex if ex is not None else None if px is None else px / 1000
        if seconds is not None:
            await self.expire(key, seconds)
        return True

    async def delete(self, *keys: str) -> int:
        """Drop keys; how many there were."""
        found = [key for key in keys if self._all(key) is not None]
        for key in found:
            self._drop(key)
        return len(found)

    async def expire(self, key: str, seconds: float) -> bool:
        """Drop a key after so many seconds."""
        self.ends[key] = time.monotonic() + seconds
        return key in self.values

    async def sadd(self, key: str, *members: Any) -> int:
        """Add to a set; how many are new."""
        known = self._all(key, set())
        before = len(known)
        known.update(map(str, members))
        return len(known) - before

    async def smismember(self, key: str, members: Any) -> list[int]:
        """Whether each is in a set, as 1 or 0."""
        known = self._all(key) or ()
        return [int(str(each) in known) for each in (members if isinstance(members, list) else [members])]

    async def xadd(self, key: str, fields: dict[str, Any], maxlen: int | None = None, **_: Any) -> str:
        """Add an entry to a stream, which keeps the last `maxlen` ones. Its id."""
        Memory.entries += 1
        stream = self._all(key, [])
        stream.append((Memory.entries, {name: str(value) for name, value in fields.items()}))
        if maxlen is not None:
            del stream[:-maxlen]
        return f"{Memory.entries}-0"

    async def xlen(self, key: str) -> int:
        """The number of entries of a stream."""
        return len(self._all(key) or ())

    async def xrange(
        self, key: str, start: str = "-", end: str = "+", count: int | None = None
    ) -> list[tuple[str, dict[str, str]]]:
        """The entries of a stream from an id on, itself included. Letta asks for no end."""
        first = 0 if start == "-" else int(start.partition("-")[0])
        found = [(f"{number}-0", dict(fields)) for number, fields in self._all(key) or () if number >= first]
        return found[:count]

    def pipeline(self, transaction: bool = True) -> Pipeline:
        """Commands that are sent together."""
        return Pipeline()

    def _all(self, key: str, default: Any = None) -> Any:
        """What is kept under a key. A default is kept from now on."""
        if self.ends.get(key, float("inf")) < time.monotonic():
            self._drop(key)
        return self.values.get(key) if default is None else self.values.setdefault(key, default)

    def _drop(self, key: str) -> None:
        self.values.pop(key, None)
        self.ends.pop(key, None)


class Pipeline(Memory):
    """Each command is carried out at once."""

    async def __aenter__(self) -> Pipeline:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    async def execute(self) -> None:
        """All commands are carried out already."""


class Lock:
    """A lock under a key, which is dropped after `timeout` seconds. Letta releases it by deleting the key."""

    def __init__(self, client: Memory, name: str, timeout: float | None = None, **_: Any) -> None:
        self.client, self.name, self.timeout = client, name, timeout

    async def acquire(self, token: str | None = None) -> bool:
        """Whether the lock was free."""
        return bool(await self.client.set(self.name, token or "held", ex=self.timeout, nx=True))


def use() -> None:
    """Let Letta keep here what it keeps in Redis, if its release can. 0.16.8 uses Redis where a host is set."""
    try:
        from letta.data_sources import redis_client  # type: ignore[import-not-found]
        from letta.settings import settings  # type: ignore[import-not-found]
    except ImportError:
        return
    redis_client.ConnectionPool, redis_client.Redis, redis_client.Lock = dict, _client, Lock
    settings.redis_host = "localhost"


def _client(connection_pool: Any = None) -> Memory:
    return Memory()
