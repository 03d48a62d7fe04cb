"""The lock: renewed by a thread of its own, released by its id, kept while a write may still be carried out."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import httpx
import pytest

from lettaform.backend.v1 import client as client_module
from lettaform.backend.v1 import lock
from lettaform.backend.v1.client import Client
from lettaform.errors import Locked, ServerError
from lettaform.model import Lock
from tests.faults.clock import Clock
from tests.standin import StandIn, serve

URL = "http://stand.in"


def holders(standin: StandIn) -> list[dict[str, Any]]:
    """The locks on a server."""
    return [each for each in standin.tables.identities.values() if each["identifier_key"].startswith("lettaform:lock")]


def foreign(standin: StandIn, holder: str) -> Lock:
    """A lock that another run holds."""
    raw = httpx.Client(transport=standin, base_url=URL)
    properties = [{"key": "holder", "value": holder, "type": "string"}]
    body = {"identifier_key": "lettaform:lock:one", "name": "lock", "identity_type": "other", "properties": properties}
    return Lock(raw.post("/v1/identities/", json=body).json()["id"], holder, "")


@pytest.mark.thorough
def test_a_blocked_event_loop_does_not_delay_the_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "LEASE", 3.0)
    monkeypatch.setattr(lock, "has_ended", lambda where, pid: False)  # both runs are one process here
    standin, lease = StandIn(), 3.0

    async def go(url: str) -> tuple[bool, int]:
        client = Client(url)
        async with lock.hold(client, "one", 5) as lost:
            own = holders(standin)[0]["id"]
            time.sleep(2.5 * lease)  # noqa: ASYNC251
            await client.send("POST", "/v1/blocks/", body={"label": "a", "value": "x"})
            assert [each["id"] for each in holders(standin)] == [own]
            result = lost.is_set(), len(standin.tables.blocks)
        await client.close()
        return result

    def other(url: str, result: list[BaseException]) -> None:
        async def take() -> None:
            client = Client(url)
            async with lock.hold(client, "one", 2 * lease):
                pass

        try:
            asyncio.run(take())
        except BaseException as error:
            result.append(error)

    with serve(standin) as url:
        refused: list[BaseException] = []
        thread = threading.Timer(0.3, other, (url, refused))
        thread.start()
        assert asyncio.run(go(url)) == (False, 1)
        thread.join()
    assert [type(error) for error in refused] == [Locked]
    assert holders(standin) == []


def test_the_locks_of_several_stacks_are_found_by_the_beginning_of_their_names() -> None:
    standin = StandIn()
    foreign(standin, "ann")
    raw = httpx.Client(transport=standin, base_url=URL)
    for key in ("lettaform:lock:one/check/a", "lettaform:lock:one/check/b", "one/check/c", "lettaform:lock:other"):
        raw.post("/v1/identities/", json={"identifier_key": key, "name": "x", "identity_type": "other"})

    async def found(prefix: str) -> list[str]:
        client = Client(URL, transport=standin)
        try:
            return sorted(await lock.look_all(client, prefix))
        finally:
            await client.close()

    assert asyncio.run(found("one/check/")) == ["one/check/a", "one/check/b"]
    assert asyncio.run(found("one")) == ["one", "one/check/a", "one/check/b"]
    assert asyncio.run(found("none")) == []


def test_no_thread_is_left_after_the_lock_is_released() -> None:
    async def go() -> None:
        client = Client(URL, transport=StandIn())
        async with lock.hold(client, "one", 5):
            assert "lettaform heartbeat" in [thread.name for thread in threading.enumerate()]

    asyncio.run(go())
    assert "lettaform heartbeat" not in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (ValueError("a bug"), False),
        (httpx.ConnectError("no"), True),
    ],
)
def test_a_heartbeat_that_ends_is_a_lost_lock(error: BaseException, left: bool) -> None:
    """After an unexpected exception the lock is released; without connection it is left to its lease."""
    standin = StandIn()

    class Raising(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.method == "PATCH":
                raise error
            return await standin.handle_async_request(request)

    async def go() -> None:
        client = Client(URL, transport=Raising())
        async with lock.hold(client, "one", 5) as lost:
            await lost.wait()
            with pytest.raises(ServerError, match="the lock was lost"):
                await client.send("POST", "/v1/blocks/", body={"label": "a", "value": "x"})

    with Clock().running():
        asyncio.run(go())
    assert bool(holders(standin)) == left


def test_a_cancelled_run_keeps_the_lock_until_its_post_must_have_ended() -> None:
    clock, standin, when = Clock(), StandIn(), dict[str, float]()

    class Slow(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if (request.method, request.url.path) == ("POST", "/v1/blocks/"):
                when["sent"] = clock.now
                await asyncio.sleep(30)
            if request.method == "DELETE":
                when["released"] = clock.now
            return await standin.handle_async_request(request)

    async def go() -> None:
        client = Client(URL, transport=Slow())

        async def run() -> None:
            async with lock.hold(client, "one", 5):
                await client.send("POST", "/v1/blocks/", body={"label": "a", "value": "x"})

        task = asyncio.create_task(run())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with clock.running():
        asyncio.run(go())
    assert when["released"] - when["sent"] >= 1 + client_module.SETTLE
    assert holders(standin) == []


def test_release_deletes_the_lock_that_was_shown_and_no_other() -> None:
    standin = StandIn()

    async def go(shown: Lock) -> None:
        await lock.release(Client(URL, transport=standin), "one", shown)

    asyncio.run(go(foreign(standin, "A")))
    assert holders(standin) == []
    first = foreign(standin, "A")
    del standin.tables.identities[first.id]
    asyncio.run(go(first))  # released meanwhile: nothing to do
    second = foreign(standin, "B")
    with pytest.raises(Locked, match="another run holds the lock now: B"):
        asyncio.run(go(first))
    assert [each["id"] for each in holders(standin)] == [second.id]


def test_the_hint_of_a_held_lock_names_the_command_that_works() -> None:
    standin = StandIn()
    foreign(standin, "A")

    async def go() -> None:
        async with lock.hold(Client(URL, transport=standin), "one", 0):
            pass

    with pytest.raises(Locked, match="locked by A") as refused:
        asyncio.run(go())
    assert "`lettaform lock release`" in str(refused.value.hint)


@pytest.mark.parametrize("answer", [{"odd": 1}, [{"odd": 1}], [{"id": "identity-1", "properties": "odd"}]])
def test_an_odd_answer_is_a_server_error(answer: Any) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(200, json=answer))
    with pytest.raises(ServerError, match="answered"):
        asyncio.run(lock.look(Client(URL, transport=transport), "one"))
