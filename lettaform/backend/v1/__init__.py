"""Letta's REST API v1: the backend for self-hosted servers from 0.16 on, and for Letta Cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

from lettaform.backend import Capabilities
from lettaform.backend.v1 import find, relations
from lettaform.backend.v1 import lock as locking
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.contents import HOLDS, SETTLE
from lettaform.backend.v1.objects import maybe, one
from lettaform.backend.v1.probe import check
from lettaform.backend.v1.send import Sender
from lettaform.errors import Problem, ServerError
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents
from lettaform.model import Answer, Dependents, Desired, Live, Lock, Manifest, Observed, Step
from lettaform.values import Item, Ref


@contextmanager
def _understood(url: str) -> Iterator[None]:
    """An answer that is JSON, but not what Letta answers, is the server's fault and said so."""
    try:
        yield
    except (KeyError, TypeError, AttributeError) as error:
        told = f"{url} answered something that lettaform does not understand ({type(error).__name__}: {error})"
        raise ServerError(told, "is it a Letta server, and of a version that lettaform knows?") from error


class V1:
    """Letta's REST API v1, self-hosted 0.16 and its kin."""

    def __init__(self, client: Client) -> None:
        self.client, self.url = client, client.url
        self.capabilities = Capabilities(frozenset(kinds()))
        self._sender: Sender | None = None
        self._one_export = asyncio.Lock()  # concurrent exports corrupt one another on 0.16.8

    @property
    def requests(self) -> int:
        return self.client.requests

    async def find(self, manifest: Manifest, *, whole: bool = False) -> Observed:
        with _understood(self.url):
            return await find.find(self.client, manifest, whole=whole)

    async def live(self, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
        return await one(self.client, kind, id)

    async def users(self, lives: Sequence[Live]) -> Mapping[str, frozenset[str]]:
        return await find.users(self.client, lives)

    async def dependents(self, lives: Sequence[Live]) -> Mapping[str, Dependents]:
        return await relations.dependents(self.client, lives)

    async def held(self, live: Live) -> Mapping[str, list[Item]]:
        contents = {name: line.related(Contents) for name, line in kinds()[live.kind].attrs().items()}
        return {name: await HOLDS[each.what].read(self.client, live, name) for name, each in contents.items() if each}

    async def copies(self, live: Live) -> list[Live]:
        if "block" not in kinds()[live.kind].discovers:
            return []
        came = await relations.brought(self.client, live.kind, live.id, "block")
        found = [await maybe(self.client, "block", each["id"]) for each in came]
        return [block for block in found if block is not None]

    async def check(self, wanted: Sequence[tuple[Desired, frozenset[str]]], observed: Observed) -> list[Problem]:
        return await check(self.client, wanted, observed)

    def begin(self, stack: str, known: frozenset[str]) -> None:
        self._sender = Sender(self.client, stack, known)

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        assert self._sender is not None, "begin() comes first"
        with _understood(self.url):
            return await self._sender.send(step, answer)

    async def export(self, live: Live) -> Any:
        owner, file = kinds()[live.kind].owner_line(), kinds()[live.kind].agent_file
        agent = f"/v1/agents/{live.values[owner.name] if owner else live.id}"
        asked = {file.parameter: live.id} if file and file.parameter else {}
        async with self._one_export:
            try:
                # 0.16.8 answers 500 to most of those who ask at the same time, whoever they are
                return await self.client.send("GET", f"{agent}/export", params=asked, overtaken=True)
            except ServerError:
                await self.client.get(agent)  # of one that is gone 0.16.8 answers 500
                raise

    def lock(self, stack: str, patience: float) -> AbstractAsyncContextManager[asyncio.Event]:
        return locking.hold(self.client, stack, patience)

    async def holder(self, stack: str) -> Lock | None:
        return await locking.look(self.client, stack)

    async def release(self, lock: Lock) -> None:
        await asyncio.sleep(SETTLE)
        await locking.release(self.client, lock)

    async def close(self) -> None:
        await self.client.close()
