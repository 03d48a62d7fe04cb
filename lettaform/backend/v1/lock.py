"""The lock of a stack: a stack's name to the right to apply it, one run at a time.

The lock is an identity with a well-known key, whose creation and deletion are atomic: of 16 creates at the same time
one is answered 200 and fifteen 409 (0.16.8 on Postgres). The run that created it holds the lock, renews its lease with
heartbeats, and deletes it. Another run that sees no heartbeat for a whole lease, on its own clock, deletes the lock by
its id and creates it anew: that is the compare-and-swap.
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

from lettaform.backend.runner import ci_run, has_ended, machine, runner
from lettaform.backend.v1.client import Client
from lettaform.errors import Conflict, Locked, NotFound, ServerError, Unavailable, Unsupported
from lettaform.model import Lock

PATH = "/v1/identities/"
LEASE = 30.0
"""Seconds after the last heartbeat at which another run may take the lock over."""


async def look(client: Client, stack: str) -> Lock | None:
    """The lock of a stack. None if nobody holds it, or this server has no identities."""
    try:
        found = await client.items(PATH, identifier_key=_key(stack))
    except (NotFound, Unsupported):
        return None
    return _read(client, found[0]) if found else None


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
    now = await look(client, stack)
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
    *,
    waiting: Callable[[Lock], None] = lambda lock: None,
) -> AsyncIterator[asyncio.Event]:
    """Hold the lock of a stack. Yields an event that is set when the lock is lost.

    Waits `patience` seconds for another holder, then raises Locked. While the lock is held, the client sends no write
    that the lease does not cover.
    """
    nonce = token_hex(8)
    try:
        own, taken = await _acquire(client, stack, nonce, patience, LEASE, waiting)
    except asyncio.CancelledError:
        await _abandon(client, stack, nonce)
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


async def _abandon(client: Client, stack: str, nonce: str) -> None:
    """Delete the lock that a cancelled request may have created."""
    if client.doubt == -inf:  # every write was answered
        return
    await client.calm()
    with suppress(ServerError):
        lock = await look(client, stack)
        if lock is not None and lock.nonce == nonce:
            await _delete(client, lock)


async def _acquire(
    client: Client, stack: str, nonce: str, patience: float, lease: float, waiting: Callable[[Lock], None]
) -> tuple[Lock, bool]:
    """The lock, and whether it was taken over from a holder that did not release it."""
    until, seen, since, taken = time.monotonic() + patience, None, 0.0, False
    while True:
        if own := await _create(client, stack, nonce):
            return own, taken
        lock = await look(client, stack)
        now = time.monotonic()
        if lock is None:  # it was released in the meantime; or its identity has the key and is not listed
            if now >= until:
                raise Locked(f"stack `{stack}` is locked; its holder is not known", "try again later")
            await asyncio.sleep(0.05)
            continue
        if lock.nonce == nonce:  # our own, and the answer was lost
            return lock, taken
        if seen is None or (lock.id, lock.beat) != (seen.id, seen.beat):
            if seen is None:
                waiting(lock)
            seen, since = lock, now
        elif now - since >= lease or has_ended(lock.machine, lock.pid):
            await _delete(client, lock)
            taken = True
            continue
        if now >= until:
            hint = "wait longer with --lock-timeout, or run `lettaform lock release` if that run has ended"
            raise Locked(f"stack `{stack}` is locked by {lock.holder} since {lock.since}", hint)
        await asyncio.sleep(min(1.0, lease / 5))


async def _create(client: Client, stack: str, nonce: str) -> Lock | None:
    """The lock, if it was created. None if another run holds it, or the answer was lost: `look` shows which.

    A POST that can safely be sent again, because the key is unique: `Client.create` is not needed.
    """
    properties = {
        "holder": f"{runner()} (pid {os.getpid()})",
        "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "run": ci_run(),
        "machine": machine(),
        "pid": str(os.getpid()),
        "nonce": nonce,
        "beat": "0",
    }
    body = {
        "identifier_key": _key(stack),
        "name": f"lettaform lock of stack {stack}",
        "identity_type": "other",
        "properties": [{"key": key, "value": value, "type": "string"} for key, value in properties.items()],
    }
    try:
        return _read(client, await client.object("POST", PATH, body=body))
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


def _key(stack: str) -> str:
    return f"{_KEY}{stack}"


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
    return Lock(identity["id"], **{name: found.get(name, "") for name in names})
