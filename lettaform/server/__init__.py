"""The live Letta server, behind one Protocol. Here: the v1 REST backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from lettaform.errors import Problem, ServerError
from lettaform.kinds import kinds
from lettaform.model import Answer, Desired, Live, Lock, Manifest, Step, Ties, World
from lettaform.server import beside, find
from lettaform.server import lock as locking
from lettaform.server.check import check
from lettaform.server.client import Client
from lettaform.server.hold import HOLDS, SETTLE
from lettaform.server.send import Sender
from lettaform.server.single import maybe, one
from lettaform.words import Item, Ref


@dataclass(frozen=True)
class Capabilities:
    """What a backend can hold: kinds by name."""

    kinds: frozenset[str]


class Server(Protocol):
    """What every backend offers. All of it is async; all errors are ServerErrors."""

    url: str
    capabilities: Capabilities

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        ...

    async def find(self, manifest: Manifest, *, whole: bool = False) -> World:
        """What is live of a stack, and of what it uses. `whole`: of every kind there is, spoken of or not."""
        ...

    async def live(self, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
        """One object, whoever's it is, and the blocks that hang on it. NotFound if there is none."""
        ...

    async def users(self, lives: Sequence[Live]) -> Mapping[str, frozenset[str]]:
        """The ids of all agents that have these blocks and tools, anybody's."""
        ...

    async def ties(self, lives: Sequence[Live]) -> Mapping[str, Ties]:
        """What hangs on the lives of these, anybody's, by their ids."""
        ...

    async def held(self, live: Live) -> Mapping[str, list[Item]]:
        """What an object holds by content, by field."""
        ...

    async def copies(self, live: Live) -> list[Live]:
        """Blocks that an object has of its own, and takes along."""
        ...

    async def check(self, wanted: Sequence[tuple[Desired, frozenset[str]]], world: World) -> list[Problem]:
        """What the server says against these objects and fields, without making anything."""
        ...

    def begin(self, stack: str, known: frozenset[str]) -> None:
        """Before the first Step: the stack, and the ids that carry its mark already."""
        ...

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        """Carry out one Step."""
        ...

    async def export(self, live: Live) -> Any:
        """What an agent file can hold, as one. NotFound if it is gone."""
        ...

    def lock(self, stack: str, patience: float) -> AbstractAsyncContextManager[asyncio.Event]:
        """Hold the lock of a stack; wait `patience` seconds for it, else Locked. The event says that it was lost."""
        ...

    async def holder(self, stack: str) -> Lock | None:
        """Who holds the lock of a stack."""
        ...

    async def release(self, lock: Lock) -> None:
        """Delete the lock that was seen, and no other, once the server has done what its holder had under way."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


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

    async def find(self, manifest: Manifest, *, whole: bool = False) -> World:
        with _understood(self.url):
            return await find.find(self.client, manifest, whole=whole)

    async def live(self, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
        return await one(self.client, kind, id)

    async def users(self, lives: Sequence[Live]) -> Mapping[str, frozenset[str]]:
        return await find.users(self.client, lives)

    async def ties(self, lives: Sequence[Live]) -> Mapping[str, Ties]:
        return await beside.ties(self.client, lives)

    async def held(self, live: Live) -> Mapping[str, list[Item]]:
        lines = [line for line in kinds()[live.kind].attrs().values() if line.holds]
        return {line.name: await HOLDS[line.holds or ""].read(self.client, live, line.name) for line in lines}

    async def copies(self, live: Live) -> list[Live]:
        if "block" not in kinds()[live.kind].brings:
            return []
        came = await beside.brought(self.client, live.kind, live.id, "block")
        found = [await maybe(self.client, "block", each["id"]) for each in came]
        return [block for block in found if block is not None]

    async def check(self, wanted: Sequence[tuple[Desired, frozenset[str]]], world: World) -> list[Problem]:
        return await check(self.client, wanted, world)

    def begin(self, stack: str, known: frozenset[str]) -> None:
        self._sender = Sender(self.client, stack, known)

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        assert self._sender is not None, "begin() comes first"
        with _understood(self.url):
            return await self._sender.send(step, answer)

    async def export(self, live: Live) -> Any:
        home = kinds()[live.kind].home()
        agent = f"/v1/agents/{live.values[home.name] if home else live.id}"
        asked = {kinds()[live.kind].filed or "": live.id} if home else {}
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


def connect(url: str, **options: Any) -> Server:
    """The backend for a URL. `options` as of Client: token, project, timeout, parallel, trace."""
    return V1(Client(url, **options))
