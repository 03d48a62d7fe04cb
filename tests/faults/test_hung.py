"""A server that accepts and never answers: every kind of call fails within the stated time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lettaform import flow
from lettaform.backend.v1 import lock
from lettaform.backend.v1.client import Client
from lettaform.errors import Unavailable
from tests.faults.harness import silent_server

pytestmark = pytest.mark.thorough

SECONDS = 0.3
SLACK = 1.0

CALLS: dict[str, Callable[[Client], Any]] = {
    "GET": lambda client: client.get("/v1/agents/"),
    "pages": lambda client: client.pages("/v1/blocks/"),
    "POST": lambda client: client.send("POST", "/v1/agents/", body={}),
    "POST that makes nothing": lambda client: client.send("POST", "/v1/tools/x", body={}, repeatable=True),
    "PUT": lambda client: client.send("PUT", "/v1/tools/", body={}),
    "PATCH": lambda client: client.send("PATCH", "/v1/blocks/x", body={}),
    "PATCH over others": lambda client: client.send("PATCH", "/v1/blocks/x", body={}, overtaken=True),
    "PATCH with time of its own": lambda client: client.send("PATCH", "/v1/blocks/x", body={}, within=SECONDS),
    "DELETE": lambda client: client.send("DELETE", "/v1/blocks/x"),
    "the lock's holder": lambda client: lock.look(client, "one"),
}


@pytest.mark.parametrize("call", CALLS)
def test_each_client_call_times_out(call: str) -> None:
    async def go(url: str) -> float:
        client = Client(url, timeout=SECONDS)
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no answer within"):
            await CALLS[call](client)
        spent = time.monotonic() - began
        await client.close()
        return spent

    with silent_server() as url:
        assert asyncio.run(go(url)) < SECONDS + SLACK


@pytest.mark.parametrize(
    "verb", [flow.plan, partial(flow.apply, consent=True), flow.show, flow.state_list, flow.lock_show]
)
def test_each_command_times_out(verb: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text("stack: one\nblocks: {a: {value: x}}\n")
    with silent_server() as url:
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no answer within"):
            verb(flow.Source(tmp_path), flow.Connection(url, timeout=SECONDS))
        assert time.monotonic() - began < 2 * (SECONDS + SLACK)
