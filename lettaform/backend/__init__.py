"""The live state: what every backend offers, as Protocols, and `connect`, which chooses one for a URL."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from lettaform.errors import Problem
from lettaform.model import Answer, Dependents, Desired, Live, Lock, Manifest, Observed, Step
from lettaform.values import Item, Ref


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

    async def find(self, manifest: Manifest, *, whole: bool = False) -> Observed:
        """What is live of a stack, and of what it uses. `whole`: of every kind there is, spoken of or not."""
        ...

    async def live(self, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
        """One object, whoever's it is, and the blocks that hang on it. NotFound if there is none."""
        ...

    async def users(self, lives: Sequence[Live]) -> Mapping[str, frozenset[str]]:
        """The ids of all agents that have these blocks and tools, anybody's."""
        ...

    async def dependents(self, lives: Sequence[Live]) -> Mapping[str, Dependents]:
        """What hangs on the lives of these, anybody's, by their ids."""
        ...

    async def held(self, live: Live) -> Mapping[str, list[Item]]:
        """What an object holds by content, by field."""
        ...

    async def copies(self, live: Live) -> list[Live]:
        """Blocks that an object has of its own, and takes along."""
        ...

    async def check(self, wanted: Sequence[tuple[Desired, frozenset[str]]], observed: Observed) -> list[Problem]:
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

    async def release(self, stack: str, lock: Lock) -> None:
        """Delete the lock that was shown, once the server has finished what its holder sent. Locked if another run has
        it by now."""
        ...

    async def close(self) -> None:
        """Let go of every connection."""
        ...


def connect(url: str, **options: Any) -> Server:
    """The backend for a URL. `options` as of Client: token, project, timeout, parallel, trace."""
    from lettaform.backend.v1 import V1
    from lettaform.backend.v1.client import Client

    return V1(Client(url, **options))
