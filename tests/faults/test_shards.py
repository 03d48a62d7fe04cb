"""A fleet in shards: however many runs at once, killed wherever it may be, it ends as after one apply of the whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.model import WHOLE, Manifest, Plan, PlanOptions, Shard
from tests.faults.clock import Clock
from tests.faults.fleet import all_objects, comparable
from tests.faults.harness import Fault, FaultyTransport, at
from tests.standin import StandIn

pytestmark = pytest.mark.thorough

URL = "http://stand.in"
MANIFEST = """
stack: fleet
variables: {order: {default: Be kind.}, who: {type: list, default: [a, b, c, d, e, f, g, h, i, j]}}
blocks: {policy: {value: "${var.order}", policy: {value: enforce}}}
identities: {shop: {identifier_key: shop, name: Shop, identity_type: org}}
agents:
  desk:
    for_each: ${var.who}
    model: letta/letta-free
    embedding: letta/letta-free
    include_base_tools: false
    system: You are ${each.key}.
    blocks: [policy]
    identities: [shop]
    memory: {human: {value: Nobody.}}
  night:
    model: letta/letta-free
    embedding: letta/letta-free
    include_base_tools: false
    system: You sleep.
    sleeptime: true
conversations: {morning: {agent: "desk[c]", summary: Hi}}
groups: {pair: {type: round_robin, description: Two., agents: ["desk[a]", "desk[b]"]}}
"""


class World:
    """A server, and runs of lettaform on it, on one clock."""

    def __init__(self, folder: Path) -> None:
        self.standin, self.clock, self.folder = StandIn(), Clock(), folder
        (folder / "lettaform.yaml").write_text(MANIFEST)
        self.variables: dict[str, str] = {}
        self.plans: dict[Shard, Plan | None] = {}

    def manifest(self) -> Manifest:
        return flow.read(flow.Source(self.folder, variables=self.variables))

    async def one(self, shard: Shard, fault: Fault | None = None, number: int = 0, **options: Any) -> Plan:
        """One run of a shard, as `flow.apply` makes it."""
        transport = FaultyTransport(self.standin, fault, at(number), latency=0.2, seed=number)
        server = connect(URL, transport=transport)
        session = flow.Session(self.manifest(), server, self.folder, 3600)
        session.shard = shard
        try:
            async with session.locked():
                plan = await session.plan(PlanOptions(shard=shard, **options))
                report = await session.apply(plan) if plan else None
                assert report is None or report.exit_code == 0
                return plan
        finally:
            if not transport.killed:
                await server.close()

    async def until_done(self, shard: Shard, kills: Iterator[int], gate: asyncio.Semaphore, **options: Any) -> None:
        """Runs of a shard, one after the other, until nothing is left to do. Some are killed."""
        for _ in range(200):
            async with gate:
                kill = next(kills)
                try:
                    plan = await self.one(shard, Fault.KILL_AFTER if kill else None, kill, **options)
                except BaseException:
                    assert kill
                    continue
            if not plan and not plan.waiting:
                return
            await asyncio.sleep(3.0)
        raise AssertionError(f"{shard} does not converge")

    def in_shards(self, count: int, kills: Iterator[int], processes: int = 4, **options: Any) -> None:
        async def every() -> None:
            gate = asyncio.Semaphore(processes)
            shards = (Shard(index, count) for index in range(count))
            await asyncio.gather(*(self.until_done(each, kills, gate, **options) for each in shards))

        with self.clock.running():
            asyncio.run(every())

    def whole(self, **options: Any) -> Plan:
        with self.clock.running():
            return asyncio.run(self.one(WHOLE, **options))

    @property
    def objects(self) -> dict[str, Any]:
        """Everything on the server, without the state."""
        with httpx.Client(transport=self.standin, base_url=URL, headers={"User-Agent": "other-client/1"}) as raw:
            found = all_objects(raw)
        found["blocks"] = [each for each in found["blocks"] if each["label"] != "lettaform"]
        return comparable(found)

    @property
    def heads(self) -> list[str]:
        """The shards whose part of the state is on the server."""
        rows = self.standin.tables.blocks.values()
        tags = ({*row["tags"]} for row in rows if row["label"] == "lettaform")
        return sorted(next((tag[16:] for tag in each if tag.startswith("lettaform:shard")), "whole") for each in tags)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with mock.patch("lettaform.ownership.state.token_hex", lambda size: "00" * size):
        yield World(tmp_path)


def slow(seed: int) -> Any:
    return pytest.param(seed, marks=pytest.mark.slow)


def never() -> Iterator[int]:
    while True:
        yield 0


def often(seed: int) -> Iterator[int]:
    """The request after which a run is killed; of every third run, none."""
    drawn = random.Random(seed)
    while True:
        yield drawn.choice((0, drawn.randrange(1, 16), drawn.randrange(8, 40)))


def by_one(tmp_path: Path, *variables: dict[str, str]) -> dict[str, Any]:
    """What one run of the whole stack leaves."""
    folder = tmp_path / "one"
    folder.mkdir(exist_ok=True)
    world = World(folder)
    for each in ({}, *variables):
        world.variables = each
        world.whole(prune=True, allow_destroy=("*",))
    return world.objects


def test_sixteen_shards_by_four_processes_with_kills_end_like_one_apply(world: World, tmp_path: Path) -> None:
    world.in_shards(16, often(1))
    assert world.objects == by_one(tmp_path)
    assert not world.whole()
    assert len(world.heads) <= 16


@pytest.mark.parametrize("seed", [0, *map(slow, range(1, 8))])
def test_other_counts_of_shards_go_on_where_the_last_ones_were_killed(world: World, tmp_path: Path, seed: int) -> None:
    changed = {"order": "Be brief.", "who": '["a", "b", "c", "x", "y"]'}
    kills, agreed = often(seed), {"prune": True, "allow_destroy": ("*",)}
    world.in_shards(5, kills, **agreed)
    world.variables = changed
    world.in_shards(4, kills, **agreed)
    world.in_shards(2, kills, **agreed)
    assert world.objects == by_one(tmp_path, changed)
    assert not world.whole(**agreed)
    world.variables = {}
    world.whole(**agreed)
    assert world.heads == ["whole"], "it has taken over what the shards wrote"
    assert world.objects == by_one(tmp_path, changed, {})
    world.in_shards(3, never(), **agreed)
    assert world.heads == ["whole"], "nothing changed, so nothing was written"


@pytest.mark.slow
def test_each_request_of_a_shard_can_be_the_last_one(tmp_path: Path) -> None:
    """Shards of a stack that one run applied, and that changes: a kill at each request, then the other shards."""
    with mock.patch("lettaform.ownership.state.token_hex", lambda size: "00" * size):
        changed = {"order": "Be brief.", "who": '["a", "b", "c", "x"]'}
        want, agreed = by_one(tmp_path, changed), {"prune": True, "allow_destroy": ("*",)}
        for number in range(1, 60):
            folder = tmp_path / str(number)
            folder.mkdir()
            world = World(folder)
            world.whole()
            world.variables = changed
            world.in_shards(2, iter([number, number, *[0] * 40]), processes=2, **agreed)
            assert world.objects == want, f"killed after request {number}"


def test_shards_are_destroyed_one_by_one_and_leave_nothing(world: World) -> None:
    world.whole()
    mine = {each.index: each for each in (Shard(index, 3) for index in range(3))}
    with world.clock.running():
        for index in (1, 2, 0):
            asyncio.run(world.one(mine[index], destroy=True, allow_destroy=("*",)))
    assert not any(world.objects.values())
    world.whole(destroy=True)
    assert world.heads == []


def test_a_shard_deletes_its_own_agents_alone(world: World) -> None:
    world.whole()
    before = {agent["name"] for agent in world.objects["agents"]}
    world.variables = {"who": "[a, b, c]"}
    with world.clock.running():
        plan = asyncio.run(world.one(Shard(1, 2), prune=True, allow_destroy=("*",)))
    deleted = [str(change.address) for change in plan.changes if change.action == "delete"]
    gone = before - {agent["name"] for agent in world.objects["agents"]}
    assert {f"agents.desk[{name.rpartition('-')[2]}]" for name in gone} == {
        each for each in deleted if "memory" not in each
    }
    assert 0 < len(gone) < 7
