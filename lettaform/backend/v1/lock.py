"""One apply at a time: an identity with a well-known key, whose creation and deletion are atomic.

Of 16 creates at once one is answered 200 and fifteen 409 (0.16.8 on Postgres). Whoever made it holds the lock, beats
while holding, and deletes it. A lock whose beat stood still for a whole lease, on the observer's own clock, is deleted
by its id, and made anew: that is the compare-and-swap.
"""

from __future__ import annotations

import asyncio
import getpass
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from secrets import token_hex
from typing import Any

from lettaform.backend.v1.client import Client
from lettaform.backend.v1.contents import SETTLE
from lettaform.errors import Conflict, Locked, NotFound, ServerError, Unavailable, Unsupported
from lettaform.model import Lock

PATH = "/v1/identities/"
LEASE = 15.0
"""Seconds after which a lock that does not beat is nobody's."""


async def look(client: Client, stack: str) -> Lock | None:
    """Who holds the lock of a stack; None if nobody does, or this server has no locks."""
    try:
        found = await client.items(PATH, identifier_key=_key(stack))
    except (NotFound, Unsupported):
        return None
    return _read(found[0]) if found else None


async def release(client: Client, lock: Lock) -> None:
    """Delete the lock that was seen, and no other."""
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
    """Hold the lock of a stack; wait `patience` seconds for it, else Locked. Yields an event: the lock is lost.

    While it holds, the client writes nothing that a beat has not covered lately.
    """
    own, taken = await _acquire(client, stack, patience, LEASE, waiting)
    lost = asyncio.Event()
    client.until = time.monotonic() + LEASE * 0.9
    beating = asyncio.create_task(_beat(client, own, LEASE, lost))
    try:
        if taken:
            await asyncio.sleep(SETTLE)
        yield lost
    finally:
        beating.cancel()
        with suppress(asyncio.CancelledError):
            await beating
        client.until = inf
        if not lost.is_set():
            await client.calm(SETTLE)
            with suppress(ServerError):  # it ends by itself, a lease later
                await release(client, own)


async def _acquire(
    client: Client, stack: str, patience: float, lease: float, waiting: Callable[[Lock], None]
) -> tuple[Lock, bool]:
    """The lock, and whether it was taken over from a holder who did not let go."""
    until, seen, since, taken = time.monotonic() + patience, None, 0.0, False
    nonce = token_hex(8)
    while True:
        if own := await _make(client, stack, nonce):
            return own, taken
        lock = await look(client, stack)
        now = time.monotonic()
        if lock is None:  # it went meanwhile; or somebody has the key and hides it
            if now >= until:
                raise Locked(f"stack `{stack}` is locked, and the server does not say by whom", "try again later")
            await asyncio.sleep(0.05)
            continue
        if lock.nonce == nonce:  # our own, of which the answer was lost
            return lock, taken
        if seen is None or (lock.id, lock.beat) != (seen.id, seen.beat):
            if seen is None:
                waiting(lock)
            seen, since = lock, now
        elif now - since >= lease or _dead(lock):
            await release(client, lock)
            taken = True
            continue
        if now >= until:
            hint = "wait longer with --lock-timeout, or run `lettaform lock release` if that run has ended"
            raise Locked(f"stack `{stack}` is locked by {lock.holder} since {lock.since}", hint)
        await asyncio.sleep(min(1.0, lease / 5))


async def _make(client: Client, stack: str, nonce: str) -> Lock | None:
    told = {
        "holder": f"{_user()}@{socket.gethostname()} (pid {os.getpid()})",
        "since": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "run": os.environ.get("CI_JOB_URL") or os.environ.get("GITHUB_RUN_ID") or "",
        "machine": _machine(),
        "pid": str(os.getpid()),
        "nonce": nonce,
        "beat": "0",
    }
    body = {
        "identifier_key": _key(stack),
        "name": f"lettaform lock of stack {stack}",
        "identity_type": "other",
        "properties": [{"key": key, "value": value, "type": "string"} for key, value in told.items()],
    }
    try:
        return _read(await client.send("POST", PATH, body=body))
    except Conflict:
        return None
    except (NotFound, Unsupported) as error:
        hint = "--no-lock applies without one, if nobody else applies meanwhile"
        raise Unsupported("this server has no identities, so the stack cannot be locked", hint) from error
    except Unavailable as error:
        if not error.ambiguous:
            raise
        return None  # the look that follows tells


async def _beat(client: Client, own: Lock, lease: float, lost: asyncio.Event) -> None:
    """Beat three times a lease. Lost where it is gone, or where no beat got through until the lease is nearly out."""
    number, last = 0, time.monotonic()
    try:
        while not lost.is_set():
            await asyncio.sleep(max(0.0, min(lease / 3, last + lease * 0.7 - time.monotonic())))
            number, began = number + 1, time.monotonic()
            body = {"properties": [{"key": "beat", "value": str(number), "type": "string"}]}
            try:
                # no longer than the lease lasts; one try where this machine slept: what can be patched is still ours
                async with asyncio.timeout(max(last + lease * 0.7 - began, lease / 5)):
                    await client.send("PATCH", f"{PATH}{own.id}", body=body, within=lease / 3, urgent=True)
                last, client.until = began, began + lease * 0.9
            except NotFound:
                lost.set()
            except (ServerError, TimeoutError):
                if time.monotonic() - last > lease * 0.7:
                    lost.set()
    finally:
        client.until = -inf


def _key(stack: str) -> str:
    return f"lettaform:lock:{stack}"


def _read(body: Any) -> Lock:
    if not isinstance(body, Mapping) or "id" not in body:
        raise ServerError(f"{PATH} answered no identity", "is this the address of a Letta server?")
    told = {each["key"]: str(each["value"]) for each in body.get("properties") or ()}
    names = ("holder", "since", "run", "machine", "pid", "nonce", "beat")
    return Lock(body["id"], **{name: told.get(name, "") for name in names})


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def _machine() -> str:
    """This boot of this machine, and this container: where a pid means what it says."""
    told = [socket.gethostname()]
    with suppress(OSError):
        told.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        told.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(told) if len(told) == 3 else ""


def _dead(lock: Lock) -> bool:
    """Whether its holder ran here and is gone: no need to wait for the lease."""
    if not lock.machine or lock.machine != _machine() or not lock.pid.isdigit():
        return False
    try:
        os.kill(int(lock.pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
