"""The commands of Redis that Letta sends, in memory."""

from __future__ import annotations

import asyncio
import sys
import time
import types
from collections.abc import Awaitable, Iterator
from typing import Any, TypeVar

import pytest

from lettaform.local import keyvalue
from lettaform.local.keyvalue import Lock, Memory

T = TypeVar("T")


def run(command: Awaitable[T]) -> T:
    async def whole() -> T:
        return await command

    return asyncio.run(whole())


@pytest.fixture(autouse=True)
def _empty() -> Iterator[None]:
    yield
    Memory.values.clear()
    Memory.ends.clear()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_values_are_texts_that_all_clients_share() -> None:
    assert run(Memory().set("a", 1)) is True
    assert run(Memory(connection_pool=None).get("a")) == "1"
    assert run(Memory().get("b")) is None
    assert run(Memory().delete("a", "b")) == 1
    assert run(Memory().get("a")) is None


def test_a_value_can_be_kept_only_where_there_is_none_or_one() -> None:
    memory = Memory()
    assert run(memory.set("a", "x", xx=True)) is None
    assert run(memory.set("a", "x", nx=True)) is True
    assert run(memory.set("a", "y", nx=True)) is None
    assert run(memory.set("a", "z", xx=True)) is True
    assert run(memory.get("a")) == "z"


@pytest.mark.parametrize("given", [{"ex": 2}, {"px": 2000}])
def test_values_are_dropped_in_time(clock: list[float], given: dict[str, Any]) -> None:
    run(Memory().set("a", "x", **given))
    clock[0] += 1.9
    assert run(Memory().get("a")) == "x"
    clock[0] += 0.2
    assert run(Memory().get("a")) is None
    run(Memory().set("a", "y"))
    clock[0] += 99
    assert run(Memory().get("a")) == "y"


def test_sets() -> None:
    assert run(Memory().sadd("s", "a", "b", "a")) == 2
    assert run(Memory().sadd("s", "b", "c")) == 1
    assert run(Memory().smismember("s", ["a", "x"])) == [1, 0]
    assert run(Memory().smismember("none", "a")) == [0]


def test_streams_are_read_from_an_id_on_and_keep_their_last_entries() -> None:
    async def whole() -> tuple[list[Any], list[Any], int]:
        async with Memory().pipeline(transaction=False) as pipe:
            for number in range(5):
                last = await pipe.xadd("r", {"seq_id": number}, maxlen=3, approximate=True)
            await pipe.expire("r", 60)
            await pipe.execute()
        memory = Memory()
        every = await memory.xrange("r", start="-", count=100)
        assert every[-1][0] == last
        return every, await memory.xrange("r", every[1][0], "+", count=1), await memory.xlen("r")

    every, one, length = run(whole())
    assert [fields for _, fields in every] == [{"seq_id": "2"}, {"seq_id": "3"}, {"seq_id": "4"}]
    assert one == [every[1]]
    assert length == 3
    assert run(Memory().xrange("none")) == []


def test_a_lock_is_held_once_until_its_key_is_deleted_or_dropped(clock: list[float]) -> None:
    lock = Lock(Memory(), "lock", timeout=5, blocking=False)
    assert run(lock.acquire(token="one"))
    assert not run(lock.acquire(token="two"))
    assert run(Memory().get("lock")) == "one"
    run(Memory().delete("lock"))
    assert run(lock.acquire(token="two"))
    clock[0] += 6
    assert run(lock.acquire())


def test_letta_uses_it_where_its_release_can(monkeypatch: pytest.MonkeyPatch) -> None:
    client, settings = types.SimpleNamespace(), types.SimpleNamespace(redis_host=None)
    sources, module = types.ModuleType("letta.data_sources"), types.ModuleType("letta.settings")
    sources.redis_client, module.settings = client, settings  # type: ignore[attr-defined]
    for name, each in (("letta", types.ModuleType("letta")), (sources.__name__, sources), (module.__name__, module)):
        monkeypatch.setitem(sys.modules, name, each)
    keyvalue.use()
    assert client.Lock is Lock
    assert run(client.Redis(connection_pool=client.ConnectionPool(host="x")).ping())
    assert settings.redis_host == "localhost"
    del sources.redis_client
    keyvalue.use()  # an older release
