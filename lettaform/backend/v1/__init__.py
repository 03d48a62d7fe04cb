"""Letta's REST API v1: the backend for self-hosted servers from 0.16 on, and for Letta Cloud."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from lettaform.address import Address
from lettaform.backend.v1 import agent_file, answers, queries
from lettaform.backend.v1 import lock as locking
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.contents import SLOWEST_UPLOAD
from lettaform.backend.v1.messages import context, history
from lettaform.backend.v1.reads import V1Reads
from lettaform.backend.v1.send import Sender
from lettaform.backend.v1.talks import V1Talks
from lettaform.errors import ServerError
from lettaform.kinds import kinds
from lettaform.model import WHOLE, Answer, CalledTool, Context, Live, Lock, Passage, Reply, Shard, Step
from lettaform.ownership import marks
from lettaform.values import Ref


class V1(V1Reads, V1Talks):
    """Everything that a run needs, from one v1 server."""

    lease = locking.LEASE

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

    async def import_agent(
        self, stack: str, address: Address, file: Mapping[str, Any], handles: Mapping[str, str]
    ) -> str:
        claim = marks.tags(stack, address)

        async def find_again() -> dict[str, Any] | None:
            found = await self.client.items("/v1/agents/", tags=claim, match_all_tags=True, show_hidden_agents=True)
            return {"agent_ids": [found[0]["id"]]} if found else None

        async with self._one_export:
            # 0.16.8 adds `_copy` to the name by itself, and writes the tools of the file over those of the server
            form = {"append_copy_suffix": "false", "override_existing_tools": "false", **handles}
            content = json.dumps(agent_file.claimed(file, claim)).encode()
            parts = {"file": ("agent.af", content, "application/json")} | {k: (None, v) for k, v in form.items()}
            path = "/v1/agents/import"
            within = self.client.timeout + len(content) / SLOWEST_UPLOAD
            found = await self.client.create(
                path, files=parts, keys=("agent_ids",), within=within, find_again=find_again
            )
        (id,) = found["agent_ids"]
        return str(id)

    async def messages(self, live: Live) -> list[Mapping[str, Any]]:
        return await history(self.client, live)

    async def context(self, live: Live) -> list[str]:
        return await context(self.client, live)

    async def tokens(self, live: Live) -> Context:
        return await queries.tokens(self.client, live)

    async def search(self, live: Live, text: str, limit: int, tags: Sequence[str]) -> list[Passage]:
        return await queries.search(self.client, live, text, limit, tags)

    async def ask(self, agent: str, text: str, within: float) -> Reply:
        return await answers.ask(self.client, agent, text, within)

    async def deny(self, agent: str, calls: Sequence[CalledTool], reason: str, within: float) -> Reply:
        return await answers.deny(self.client, agent, calls, reason, within)

    def lock(self, stack: str, patience: float, shard: Shard = WHOLE) -> AbstractAsyncContextManager[asyncio.Event]:
        return locking.hold(self.client, stack, patience, shard)

    async def holder(self, stack: str) -> Lock | None:
        return await locking.look(self.client, stack)

    async def holders(self, stack: str) -> Sequence[Lock]:
        return await locking.look_in(self.client, stack)

    async def locks(self, prefix: str) -> Mapping[str, Lock]:
        return await locking.look_all(self.client, prefix)

    async def release(self, stack: str, lock: Lock) -> None:
        await asyncio.sleep(self.client.settle)
        await locking.release(self.client, stack, lock)

    async def close(self) -> None:
        await self.client.close()
