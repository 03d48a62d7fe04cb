"""Letta's REST API v1: the backend for self-hosted servers from 0.16 on, and for Letta Cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

from lettaform.backend.v1 import lock as locking
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.messages import history
from lettaform.backend.v1.reads import V1Reads
from lettaform.backend.v1.send import Sender
from lettaform.errors import ServerError
from lettaform.kinds import kinds
from lettaform.model import Answer, Live, Lock, Step
from lettaform.values import Ref


class V1(V1Reads):
    """Everything that a run needs, from one v1 server."""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self._sender: Sender | None = None
        self._one_export = asyncio.Lock()  # 0.16.8 mixes up agent files that are exported at the same time

    def begin(self, stack: str, known: frozenset[str]) -> None:
        self._sender = Sender(self.client, stack, known)

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        assert self._sender is not None, "begin() comes first"
        return await self._sender.send(step, answer)

    async def export(self, live: Live) -> Any:
        owner = kinds()[live.kind].owner_line()
        agent = f"/v1/agents/{live.values[owner.name] if owner else live.id}"
        file = kinds()[live.kind].agent_file
        asked = {file.parameter: live.id} if file and file.parameter else {}
        async with self._one_export:
            try:
                # 0.16.8 answers 500 to most exports that run at the same time, also of other clients
                return await self.client.send("GET", f"{agent}/export", params=asked, overtaken=True)
            except ServerError:
                await self.client.get(agent)  # NotFound if it does not exist: 0.16.8 answers 500 to an export then
                raise

    async def messages(self, live: Live) -> list[Mapping[str, Any]]:
        return await history(self.client, live)

    def lock(self, stack: str, patience: float) -> AbstractAsyncContextManager[asyncio.Event]:
        return locking.hold(self.client, stack, patience)

    async def holder(self, stack: str) -> Lock | None:
        return await locking.look(self.client, stack)

    async def release(self, stack: str, lock: Lock) -> None:
        await asyncio.sleep(self.client.settle)
        await locking.release(self.client, stack, lock)

    async def close(self) -> None:
        await self.client.close()
