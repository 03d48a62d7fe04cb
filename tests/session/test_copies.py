"""Copies of agents: what is deleted at the end of a run, and what of other runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from lettaform.backend import connect
from lettaform.backend.v1 import lock
from lettaform.errors import ServerError
from lettaform.plan.planned import Planned
from lettaform.session import copies
from lettaform.session.copies import Copies, copied_fields
from tests.backend.v1.served import URL, Served

pytestmark = pytest.mark.thorough

LEASE = 1.0
ANN = Planned(
    {"model": "letta/letta-free", "embedding": "letta/letta-free", "name": "ann"},
    {"notes": {"label": "notes", "value": "none"}},
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Served:
    monkeypatch.setattr(copies, "LOOK", 0.01)
    monkeypatch.setattr(lock, "LEASE", LEASE)
    return Served()


def run(server: Served, work: Callable[[Callable[[], Copies]], Awaitable[None]]) -> None:
    """`work` gets what makes a run with a connection of its own."""

    async def inside() -> None:
        made = []

        def one() -> Copies:
            made.append(connect(URL, transport=server))
            made[-1].lease = LEASE
            return Copies(made[-1], "s")

        try:
            await work(one)
        finally:
            for each in made:
                await each.close()

    asyncio.run(inside())


def there(server: Served) -> dict[str, int]:
    tables = server.standin.tables
    names = ("agents", "blocks", "archives", "identities")
    return {name: len(getattr(tables, name)) for name in names if getattr(tables, name)}


def test_everything_of_a_run_is_deleted_at_its_end(server: Served) -> None:
    async def work(one: Callable[[], Copies]) -> None:
        run = one()
        async with run.held(1):
            copy = await run.create(ANN)
            await run.create(ANN)
            diary = server.block("diary", value="Dear.")
            server.attach(copy.id, "core-memory/blocks", diary["id"])
            server.post(f"/v1/agents/{copy.id}/archival-memory", text="I was here.")
            assert there(server) == {"agents": 2, "blocks": 3, "archives": 1, "identities": 1}
        assert run.warnings == []

    run(server, work)
    assert there(server) == {}


def test_what_others_use_or_own_stays(server: Served) -> None:
    other = server.agent("other")
    shared = server.block("diary", value="Dear.")
    server.attach(other["id"], "core-memory/blocks", shared["id"])
    archive = server.archive("facts")

    async def work(one: Callable[[], Copies]) -> None:
        run = one()
        async with run.held(None):
            copy = await run.create(ANN)
            server.attach(copy.id, "core-memory/blocks", shared["id"])
            server.attach(copy.id, "archives", archive["id"])

    run(server, work)
    assert there(server) == {"agents": 1, "blocks": 1, "archives": 1}


def test_a_run_that_goes_on_keeps_its_copies(server: Served) -> None:
    async def work(one: Callable[[], Copies]) -> None:
        first, second = one(), one()
        async with first.held(1):
            await first.create(ANN)
            async with second.held(1):
                await second.create(ANN)
                await second.sweep()
            assert there(server) == {"agents": 1, "blocks": 1, "identities": 1}

    run(server, work)
    assert there(server) == {}


def _killed(server: Served, *, with_lock: bool) -> None:
    """What a run has left that was killed."""

    async def work(one: Callable[[], Copies]) -> None:
        run = one()
        run.backend.begin(run.claimed, frozenset())
        await run.create(ANN)
        if with_lock:
            body = {"identifier_key": f"lettaform:lock:s/check/{run.run}", "name": "x", "identity_type": "other"}
            server.post("/v1/identities/", **body)

    run(server, work)


@pytest.mark.parametrize("with_lock", [True, False])
def test_what_a_killed_run_has_left_is_deleted(
    with_lock: bool, server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    _killed(server, with_lock=with_lock)
    monkeypatch.setattr("lettaform.backend.v1.client.SETTLE", 0.01)

    async def work(one: Callable[[], Copies]) -> None:
        run = one()
        async with run.held(1):
            await run.sweep()

    run(server, work)
    assert there(server) == {}


def test_another_stack_is_left_alone(server: Served) -> None:
    _killed(server, with_lock=False)

    async def work(one: Callable[[], Copies]) -> None:
        other = one()
        other.stack = "s2"
        async with other.held(None):
            await other.sweep()

    run(server, work)
    assert there(server) == {"agents": 1, "blocks": 1}


def test_a_server_that_does_not_delete_is_a_warning(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: Any) -> None:
        raise ServerError("DELETE /v1/agents/agent-1: 400 no")

    async def work(one: Callable[[], Copies]) -> None:
        run = one()
        async with run.held(None):
            await run.create(ANN)
            monkeypatch.setattr(run, "_delete_each", fails)
        (warning,) = run.warnings
        assert warning.message == "copies of this check may still exist: DELETE /v1/agents/agent-1: 400 no"

    run(server, work)


def test_the_fields_of_a_copy() -> None:
    values: dict[str, Any] = {
        "model": "a/b",
        "tools": ["tool-1"],
        "folders": ["source-1"],
        "secrets": {"K": "v"},
    }
    others: dict[str, Any] = {"name": "ann", "tags": ["x"], "metadata": {"a": 1}, "identities": ["identity-1"]}
    others |= {"hidden": False, "system": "", "sleeptime": True, "description": None, "archive": "archive-1"}
    assert copied_fields({**others, **values}) == values
