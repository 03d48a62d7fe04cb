"""The lock: renewed by a thread of its own, released by its id, kept while a write may still be carried out."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from itertools import count, product
from random import Random
from typing import Any

import httpx
import pytest

from lettaform.backend.concurrency import cancelled
from lettaform.backend.v1 import client as client_module
from lettaform.backend.v1 import lock
from lettaform.backend.v1.client import Client
from lettaform.errors import Conflict, Locked, NotFound, ServerError
from lettaform.model import WHOLE, Lock, Shard
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


# --- shards ----------------------------------------------------------------------------------------------------------


class Table:
    """Identities on a server, in which every request is one atomic step. `turn`: waits until it is the run's turn."""

    url = "http://table"

    def __init__(self, turn: Callable[[], Awaitable[None]], rows: dict[str, dict[str, Any]]) -> None:
        self.turn, self.rows, self.doubt = turn, rows, 0.0

    async def object(self, method: str, path: str, *, body: dict[str, Any]) -> dict[str, Any]:
        await self.turn()
        if any(row["identifier_key"] == body["identifier_key"] for row in self.rows.values()):
            raise Conflict("409", status=409)
        row = {**body, "id": f"identity-{next(NUMBERS)}"}
        self.rows[row["id"]] = row
        return row

    async def items(self, path: str, *, identifier_key: str) -> list[dict[str, Any]]:
        await self.turn()
        return [row for row in self.rows.values() if row["identifier_key"] == identifier_key]

    async def pages(self, path: str, *, name: str) -> list[dict[str, Any]]:
        await self.turn()
        return [row for row in self.rows.values() if name in row["name"]]

    async def send(self, method: str, path: str) -> None:
        await self.turn()
        if self.rows.pop(path.rpartition("/")[2], None) is None:
            raise NotFound("404", status=404)

    def as_object(self, body: Any, method: str, path: str) -> Any:
        return body


NUMBERS = count()


class Turns:
    """Runs that want locks, of which one at a time does its next request."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.inside: list[Shard] = []
        self.gates: dict[int, asyncio.Future[None]] = {}
        self.tasks = [asyncio.ensure_future(self.run(number, shard)) for number, shard in enumerate(shards)]
        self.entered = [0] * len(shards)

    def turn_of(self, number: int) -> Callable[..., Awaitable[None]]:
        async def turn(*seconds: float) -> None:
            self.gates[number] = asyncio.get_running_loop().create_future()
            await self.gates[number]

        return turn

    async def run(self, number: int, shard: Shard) -> None:
        turn = self.turn_of(number)
        SLEEPS.set(turn)
        table: Any = Table(turn, self.rows)
        wanted = lock._Wanted(table, "one", shard, f"{number:02x}", 1e9, lambda held: None)
        own, _ = await wanted.acquire(1e9)
        assert not any(shard.excludes(other) for other in self.inside), (shard, self.inside)
        self.inside.append(shard)
        self.entered[number] += 1
        await turn()
        self.inside.remove(shard)
        await lock._delete(table, own)

    async def step(self, choice: int) -> bool:
        """Let one of the runs that wait do its next request. False if all have ended."""
        for _ in range(20):
            await REAL_SLEEP(0)
        waiting = [n for n, gate in self.gates.items() if not gate.done() and not self.tasks[n].done()]
        if not waiting:
            return False
        self.gates[waiting[choice % len(waiting)]].set_result(None)
        return True


SLEEPS: ContextVar[Callable[..., Awaitable[None]]] = ContextVar("SLEEPS")
REAL_SLEEP = asyncio.sleep


async def play(shards: Sequence[Shard], choices: Iterable[int]) -> list[int]:
    """How often each run was inside, after these choices and then in turns, three requests each."""
    turns = Turns(shards)
    try:
        for choice in (*choices, *(each // 3 for each in range(600))):
            if not await turns.step(choice):
                break
        for task in turns.tasks:
            if task.done():
                task.result()
        return turns.entered
    finally:
        await cancelled(*turns.tasks)


THREE_16, FOUR_16, ONE_4 = Shard(3, 16), Shard(4, 16), Shard(1, 4)


@pytest.mark.parametrize(
    "shards",
    [(WHOLE, WHOLE), (WHOLE, THREE_16), (THREE_16, THREE_16), (THREE_16, ONE_4), (THREE_16, FOUR_16)],
    ids=lambda shards: "-".join(map(str, shards)),
)
def test_no_interleaving_lets_two_runs_in_that_exclude_each_other(
    shards: tuple[Shard, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every order of the first seven requests of two runs; the runs assert that they are alone."""
    monkeypatch.setattr(lock.asyncio, "sleep", lambda seconds: SLEEPS.get()(seconds))

    async def every() -> None:
        for choices in product((0, 1), repeat=7):
            assert await play(shards, choices) == [1, 1], "both get their turn"

    asyncio.run(every())


def test_no_interleaving_lets_three_runs_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock.asyncio, "sleep", lambda seconds: SLEEPS.get()(seconds))
    draw = Random(7)

    async def some() -> None:
        for _ in range(40):
            choices = [draw.randrange(3) for _ in range(40)]
            await play((WHOLE, THREE_16, ONE_4), choices)

    asyncio.run(some())


def test_runs_of_different_shards_hold_their_locks_at_the_same_time() -> None:
    standin = StandIn()

    async def go() -> list[Shard]:
        client = Client(URL, transport=standin)
        async with lock.hold(client, "one", 0, Shard(0, 4)), lock.hold(client, "one", 0, Shard(3, 4)):
            with pytest.raises(Locked, match=r"shard 0/4 of stack `one` is locked by .*, and stack `one` cannot"):
                async with lock.hold(client, "one", 0):
                    pass
            with pytest.raises(Locked, match=r"shard 0/4 of stack `one` is locked by .*, and shard 1/2 of"):
                async with lock.hold(client, "one", 0, Shard(1, 2)):
                    pass
            held = await lock.look_in(client, "one")
            assert await lock.look_in(client, "on") == []
        assert await lock.look_in(client, "one") == []
        await client.close()
        return [each.shard for each in held]

    assert asyncio.run(go()) == [Shard(0, 4), Shard(3, 4)]
    assert holders(standin) == []


def test_the_lock_of_a_killed_run_of_another_shard_is_taken_over() -> None:
    standin, clock = StandIn(), Clock()
    raw = httpx.Client(transport=standin, base_url=URL)
    body = {
        "identifier_key": "lettaform:lock:one:3/16",
        "name": "lettaform lock of stack one",
        "identity_type": "other",
    }
    raw.post("/v1/identities/", json=body)

    async def go() -> None:
        client = Client(URL, transport=standin)
        async with lock.hold(client, "one", 60):
            assert [each["identifier_key"] for each in holders(standin)] == ["lettaform:lock:one"]
        await client.close()

    with clock.running():
        asyncio.run(go())


def test_a_cancelled_run_leaves_no_lock_while_it_waits_for_another_one() -> None:
    standin = StandIn()

    async def go() -> None:
        client, other = Client(URL, transport=standin), Client(URL, transport=standin)
        async with lock.hold(other, "one", 0, Shard(3, 16)):
            waiting = asyncio.ensure_future(lock.hold(client, "one", 60).__aenter__())
            await asyncio.sleep(0.05)
            await cancelled(waiting)
            assert len(holders(standin)) == 1
        await client.close()
        await other.close()

    asyncio.run(go())
    assert holders(standin) == []
