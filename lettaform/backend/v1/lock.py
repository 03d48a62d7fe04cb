"""The lock of a stack: a stack's name to the right to apply it, one run at a time.

The lock is an identity with a well-known key, whose creation and deletion are atomic: of 16 creates at the same time
one is answered 200 and fifteen 409 (0.16.8 on Postgres). The run that created it holds the lock, renews its lease with
heartbeats, and deletes it. Another run that sees no heartbeat for a whole lease, on its own clock, deletes the lock by
its id and creates it anew: that is the compare-and-swap.

Each shard of a stack has a lock of its own. A run creates its lock first, and then looks for those with which it cannot
go on at the same time: that of the whole stack, and those of shards of another count. If there is one, it deletes its
own lock, waits, and begins again. Of two such runs, the one that creates its lock last finds that of the other.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from math import inf
from secrets import token_hex
from typing import Any

from lettaform.backend.concurrency import together
from lettaform.backend.runner import ci_run, has_ended, machine, runner
from lettaform.backend.v1.client import Client
from lettaform.errors import Conflict, Locked, NotFound, ServerError, Unavailable, Unsupported
from lettaform.model import WHOLE, Lock, Shard

PATH = "/v1/identities/"
LEASE = 30.0
"""Seconds after the last heartbeat at which another run may take the lock over."""


async def look(client: Client, stack: str, shard: Shard = WHOLE) -> Lock | None:
    """The lock of a stack, or of a shard. None if nobody holds it, or this server has no identities."""
    try:
        found = await client.items(PATH, identifier_key=_key(stack, shard))
    except (NotFound, Unsupported):
        return None
    return _read(client, found[0]) if found else None


async def look_in(client: Client, stack: str) -> list[Lock]:
    """The lock of a stack, and those of its shards. Empty if nobody holds one, or this server has no identities."""
    try:
        # a part of the name is enough for 0.16.8: locks of other stacks may be found, too
        found = await client.pages(PATH, name=_name(stack))
    except (NotFound, Unsupported):
        return []
    own = (each for each in found if isinstance(each, Mapping) and _belongs(str(each.get("identifier_key")), stack))
    return sorted((_read(client, each) for each in own), key=lambda lock: (lock.shard.count, lock.shard))


async def look_all(client: Client, prefix: str) -> dict[str, Lock]:
    """The locks of all stacks whose name begins with a text, by stack. Empty if this server has no identities."""
    try:
        found = await client.pages(PATH)
    except (NotFound, Unsupported):
        return {}
    locks = {str(each.get("identifier_key")): each for each in found if isinstance(each, Mapping)}
    return {key.removeprefix(_KEY): _read(client, locks[key]) for key in locks if key.startswith(_key(prefix))}


async def release(client: Client, stack: str, lock: Lock) -> None:
    """Delete the lock that was shown, by its id. Locked if another run holds the lock of the stack by now."""
    await _delete(client, lock)
    now = await look(client, stack, lock.shard)
    if now is not None and now.id != lock.id:
        message = f"another run holds the lock now: {now.holder}, since {now.since}"
        raise Locked(message, "`lettaform lock show` shows it; it was not released")


async def _delete(client: Client, lock: Lock) -> None:
    with suppress(NotFound):
        await client.send("DELETE", f"{PATH}{lock.id}")


@asynccontextmanager
async def hold(
    client: Client,
    stack: str,
    patience: float,
    shard: Shard = WHOLE,
    *,
    waiting: Callable[[Lock], None] = lambda lock: None,
) -> AsyncIterator[asyncio.Event]:
    """Hold the lock of a stack, or of one shard of it. Yields an event that is set when the lock is lost.

    Waits `patience` seconds for another holder, then raises Locked. While the lock is held, the client sends no write
    that the lease does not cover.
    """
    wanted = _Wanted(client, stack, shard, token_hex(8), LEASE, waiting)
    try:
        own, taken = await wanted.acquire(patience)
    except asyncio.CancelledError:
        await wanted.abandon()
        raise
    except ServerError:  # a lock whose creation was not answered ends with its lease
        with suppress(ServerError):
            await wanted.let_go()
        raise
    lost = asyncio.Event()
    client.until = time.monotonic() + LEASE * 0.9
    heartbeat = Heartbeat(client, own, LEASE, lost)
    heartbeat.start()
    try:
        if taken:
            await asyncio.sleep(client.settle)
        yield lost
    finally:
        heartbeat.stop()
        client.until = inf
        # a lock without heartbeats is left to its lease, unless the heartbeat ended by an error of our own
        if heartbeat.error is not None or not lost.is_set():
            await client.calm()
            with suppress(ServerError):
                await _delete(client, own)


class Heartbeat:
    """Renews the lease in a thread with its own event loop and connection.

    Nothing that the main event loop does can delay it: neither planning, nor a question, nor writing a large file.
    """

    def __init__(self, client: Client, own: Lock, lease: float, lost: asyncio.Event) -> None:
        """`client.until` moves with each renewal. `lost` is set, and `until` is -inf, when the lock is lost."""
        self.client, self.own, self.lease, self.lost = client, own, lease, lost
        self.error: BaseException | None = None
        """What ended the heartbeat unexpectedly."""
        self._main = asyncio.get_running_loop()
        self._ending = False
        self._started = threading.Event()
        self._beat: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._thread = threading.Thread(target=self._run, name="lettaform heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to renew. Blocks until the thread runs."""
        self._thread.start()
        self._started.wait(1.0)

    def stop(self) -> None:
        """End the thread. Blocks for the moment that takes."""
        self._ending = True
        if self._beat is not None:
            loop, task = self._beat
            with suppress(RuntimeError):  # its loop has ended already
                loop.call_soon_threadsafe(task.cancel)
        self._thread.join(1.0)

    def _run(self) -> None:
        try:
            asyncio.run(self._renew_until_lost())
        except asyncio.CancelledError as error:
            self.error = None if self._ending else error
        except BaseException as error:  # whatever it was: there will be no further heartbeat
            self.error = error
        if not self._ending:
            self.client.until = -inf
            with suppress(RuntimeError):  # the main loop has ended
                self._main.call_soon_threadsafe(self.lost.set)

    async def _renew_until_lost(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._beat = asyncio.get_running_loop(), task
        self._started.set()
        client = self.client.for_thread(self._main)
        try:
            await self._renew(client)
        finally:
            await client.close()

    async def _renew(self, client: Client) -> None:
        """Renew three times a lease. Ends when the lock is lost, or not renewed until the lease is nearly over."""
        number, last, lease = 0, time.monotonic(), self.lease
        while not (self._ending or self._main.is_closed()):
            await asyncio.sleep(max(0.0, min(lease / 3, last + lease * 0.7 - time.monotonic())))
            number, began = number + 1, time.monotonic()
            body = {"properties": [{"key": "beat", "value": str(number), "type": "string"}]}
            try:
                # until the lease is nearly over; one attempt if this machine was asleep: a lock that can still be
                # renewed was not taken over
                async with asyncio.timeout(max(last + lease * 0.7 - began, lease / 5)):
                    await client.send("PATCH", f"{PATH}{self.own.id}", body=body, within=lease / 3)
            except NotFound:
                return
            except (ServerError, TimeoutError):
                if time.monotonic() - last > lease * 0.7:
                    return
            else:
                last = began
                if not self._ending:
                    self.client.until = began + lease * 0.9


class _Wanted:
    """A lock that a run wants to hold.

    nonce    a random text by which the run recognizes its own lock
    waiting  called with the first lock of another run for which it waits
    """

    def __init__(
        self, client: Client, stack: str, shard: Shard, nonce: str, lease: float, waiting: Callable[[Lock], None]
    ) -> None:
        self.client, self.stack, self.shard, self.nonce = client, stack, shard, nonce
        self.lease, self.waiting = lease, waiting
        self.own: Lock | None = None
        self.seen: dict[str, tuple[str, float]] = {}
        """Id of a lock of another run to its heartbeat, and to the time at which it was first seen with it."""

    async def acquire(self, patience: float) -> tuple[Lock, bool]:
        """The lock, and whether it was taken over from a holder that did not release it. Locked after `patience`."""
        until, taken = time.monotonic() + patience, False
        while True:
            self.own = await self.create()
            others = [] if self.own else await self.holder()
            if self.own and not (others := await self.others()):
                return self.own, taken
            await self.let_go()
            if expired := [lock for lock in others if self.has_expired(lock)]:
                await together(_delete(self.client, lock) for lock in expired)
                taken = True
            else:
                self.give_up(others, until)
                # by its nonce: two runs that found each other do not begin again at the same moment
                pause = min(1.0, self.lease / 5) * (0.5 + int(self.nonce[:2], 16) / 256)
                await asyncio.sleep(pause if others else 0.05)

    async def others(self) -> list[Lock]:
        """The locks of runs that cannot go on while this one does."""
        held = await look_in(self.client, self.stack)
        return [lock for lock in held if lock.nonce != self.nonce and lock.shard.excludes(self.shard)]

    async def holder(self) -> list[Lock]:
        """The lock that another run holds in place of this one; none if it was released in the meantime.

        It is `own` if the answer to its creation was lost.
        """
        lock = await look(self.client, self.stack, self.shard)
        if lock is not None and lock.nonce == self.nonce:
            self.own = lock
        return [lock] if lock is not None and self.own is None else []

    async def let_go(self) -> None:
        """Delete the lock that was created."""
        own, self.own = self.own, None
        if own is not None:
            await _delete(self.client, own)

    def has_expired(self, lock: Lock) -> bool:
        """Whether the holder of a lock has ended, or sent no heartbeat for a whole lease."""
        if lock.id not in self.seen or self.seen[lock.id][0] != lock.beat:
            if not self.seen:
                self.waiting(lock)
            self.seen[lock.id] = lock.beat, time.monotonic()
            return False
        return time.monotonic() - self.seen[lock.id][1] >= self.lease or has_ended(lock.machine, lock.pid)

    def give_up(self, others: list[Lock], until: float) -> None:
        """Raise Locked if the time is over."""
        if time.monotonic() < until:
            return
        what = _named(self.stack, self.shard)
        if not others:  # its identity has the key and is not listed
            raise Locked(f"{what} is locked; its holder is not known", "try again later")
        held = _named(self.stack, others[0].shard)
        why = "" if others[0].shard == self.shard else f", and {what} cannot be changed meanwhile"
        hint = "wait longer with --lock-timeout, or run `lettaform lock release` if that run has ended"
        raise Locked(f"{held} is locked by {others[0].holder} since {others[0].since}{why}", hint)

    async def abandon(self) -> None:
        """Delete the lock that was created, or that a cancelled request may have created."""
        with suppress(ServerError):
            await self.let_go()
        if self.client.doubt == -inf:  # every write was answered
            return
        await self.client.calm()
        with suppress(ServerError):
            lock = await look(self.client, self.stack, self.shard)
            if lock is not None and lock.nonce == self.nonce:
                await _delete(self.client, lock)

    async def create(self) -> Lock | None:
        """The lock, if it was created. None if another run holds it, or the answer was lost: `look` shows which.

        A POST that can safely be sent again, because the key is unique: `Client.create` is not needed.
        """
        properties = {
            "holder": f"{runner()} (pid {os.getpid()})",
            "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "run": ci_run(),
            "machine": machine(),
            "pid": str(os.getpid()),
            "nonce": self.nonce,
            "beat": "0",
        }
        body = {
            "identifier_key": _key(self.stack, self.shard),
            "name": _name(self.stack),
            "identity_type": "other",
            "properties": [{"key": key, "value": value, "type": "string"} for key, value in properties.items()],
        }
        try:
            return _read(self.client, await self.client.object("POST", PATH, body=body))
        except Conflict:
            return None
        except (NotFound, Unsupported) as error:
            hint = "use --no-lock if no other run applies at the same time"
            raise Unsupported("this server has no identities, so the stack cannot be locked", hint) from error
        except Unavailable as error:
            if not error.ambiguous:
                raise
            return None


_KEY = "lettaform:lock:"


def _key(stack: str, shard: Shard = WHOLE) -> str:
    return f"{_KEY}{stack}:{shard}" if shard else f"{_KEY}{stack}"


def _name(stack: str) -> str:
    return f"lettaform lock of stack {stack}"


def _named(stack: str, shard: Shard) -> str:
    return f"shard {shard} of stack `{stack}`" if shard else f"stack `{stack}`"


def _belongs(key: str, stack: str) -> bool:
    """Whether the key of an identity is that of a lock of a stack, or of one of its shards."""
    return key == _key(stack) or key.startswith(f"{_key(stack)}:")


def _shard(key: str) -> Shard:
    """The shard that the key of a lock names."""
    try:
        return Shard.parse(key.rpartition(":")[2])
    except ValueError:  # it is of the whole stack
        return WHOLE


def is_lock(body: Mapping[str, Any]) -> bool:
    """Whether an identity is the lock of a stack."""
    return str(body.get("identifier_key")).startswith(_KEY)


def _read(client: Client, body: Any) -> Lock:
    """A Lock from an identity. ServerError if it is none."""
    identity = client.as_object(body, "GET", PATH)
    properties = identity.get("properties") or []
    if not (isinstance(properties, list) and all(isinstance(each, Mapping) and "key" in each for each in properties)):
        raise client.unexpected("GET", PATH, "an identity whose `properties` are no list of keys and values")
    found = {str(each["key"]): str(each.get("value", "")) for each in properties}
    names = ("holder", "since", "run", "machine", "pid", "nonce", "beat")
    shard = _shard(str(identity.get("identifier_key")))
    return Lock(identity["id"], **{name: found.get(name, "") for name in names}, shard=shard)
