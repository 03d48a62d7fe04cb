"""The live state: what a backend offers, as one Protocol for each purpose, and `connect`, which chooses a backend."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from lettaform.errors import Problem
from lettaform.model import (
    Answer,
    Capabilities,
    Dependents,
    Desired,
    Listing,
    Live,
    Lock,
    Manifest,
    Observed,
    Step,
)
from lettaform.values import Item, Ref

Fields = Mapping[str, Collection[str]]
"""Kind to the fields of it that are of interest."""


class Reads(Protocol):
    """What is live. Every method raises ServerError if the server does not answer or refuses."""

    url: str
    capabilities: Capabilities

    @property
    def requests(self) -> int:
        """The number of requests sent so far."""
        ...

    async def version(self) -> str:
        """The release of the server."""
        ...

    def require(self, manifest: Manifest, version: str, refused: Mapping[str, str]) -> None:
        """Raise Unsupported if this server lacks what the manifest declares. `refused`: as of `Listing`."""
        ...

    async def listing(self, stack: str, fields: Fields) -> Listing:
        """All objects of these kinds that may belong to a stack."""
        ...

    async def fetch(self, wanted: Sequence[tuple[str, str]]) -> Listing:
        """Those of these objects, given by kind and id, that exist, whoever owns them."""
        ...

    async def one(self, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
        """One object, whoever owns it, and the blocks attached to it. NotFound if it does not exist."""
        ...

    async def unattached(self, stack: str) -> frozenset[str]:
        """The ids of the stack's blocks that no agent has."""
        ...

    async def candidates(self, desired: Desired) -> list[Live]:
        """What an external object may be, by its name, its id, or what it claims."""
        ...

    async def contents(self, wanted: Sequence[tuple[Live, str]]) -> list[list[Any]]:
        """Fields that answers do not hold: Items that an object contains, or ids of what is attached to it."""
        ...

    async def nested(self, kind: str, owner: str) -> list[Live]:
        """All objects of a kind below their owner."""
        ...

    async def offered(self, live: Live, kind: str) -> list[Live]:
        """The objects of a kind that another object offers, such as the tools of an MCP server."""
        ...

    async def copies(self, live: Live) -> list[Live]:
        """Blocks that an object has for itself and that are deleted with it."""
        ...

    async def users(self, lives: Sequence[Live]) -> Mapping[str, frozenset[str]]:
        """By id: the ids of all agents that use these blocks, tools and other shared objects, whoever owns them."""
        ...

    async def dependents(self, lives: Sequence[Live]) -> Mapping[str, Dependents]:
        """By id: what is deleted with these objects, and what must be deleted before them, whoever owns it."""
        ...

    async def probe(self, wanted: Sequence[tuple[Desired, frozenset[str]]], observed: Observed) -> list[Problem]:
        """What only the server can say against these objects and fields. Creates nothing."""
        ...


class Writes(Protocol):
    """Carrying out a plan."""

    def begin(self, stack: str, known: frozenset[str]) -> None:
        """Before the first Step. `known`: the ids that carry the stack's mark already."""
        ...

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        """Carry out one Step. `answer` says what a Ref stands for."""
        ...


class Locks(Protocol):
    """One apply at a time on a stack."""

    def lock(self, stack: str, patience: float) -> AbstractAsyncContextManager[asyncio.Event]:
        """Hold the lock of a stack. Waits `patience` seconds for it, then raises Locked. The event: it was lost."""
        ...

    async def holder(self, stack: str) -> Lock | None:
        """Who holds the lock of a stack."""
        ...

    async def release(self, lock: Lock) -> None:
        """Delete this lock and no other, after the server has finished what its holder had sent."""
        ...


class AgentFiles(Protocol):
    """Snapshots."""

    async def export(self, live: Live) -> Any:
        """The agent file of an agent or a conversation. NotFound if it does not exist."""
        ...

    async def held(self, live: Live) -> Mapping[str, list[Item]]:
        """Everything that an object contains, by field."""
        ...


class Backend(Reads, Writes, Locks, AgentFiles, Protocol):
    """Everything that a run needs."""

    async def close(self) -> None:
        """Close every connection."""
        ...


def connect(url: str, **options: Any) -> Backend:
    """The backend for a URL. `options`: token, project, timeout, parallel, trace, transport; see `v1.client.Client`."""
    from lettaform.backend.v1 import V1
    from lettaform.backend.v1.client import Client

    return V1(Client(url, **options))
