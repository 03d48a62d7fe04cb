"""What was read of a server, as a backend that sends no requests: a plan of it shows what a real one will show."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lettaform.backend import Fields
from lettaform.errors import NotFound
from lettaform.kinds import kinds
from lettaform.kinds.traits import DiscoveredBy
from lettaform.model import Capabilities, Desired, Listing, Live, Manifest
from lettaform.ownership.unowned import Server


class Recorded:
    """The reads of a plan, answered from objects that were read with all their contents. No stack has a state."""

    requests = 0

    def __init__(self, server: Server, url: str, version: str, capabilities: Capabilities) -> None:
        self.server, self.url, self.release, self.capabilities = server, url, version, capabilities
        self.by_kind: dict[str, list[Live]] = {}
        for live in server.lives.values():
            self.by_kind.setdefault(live.kind, []).append(live)

    async def version(self) -> str:
        return self.release

    def require(self, manifest: Manifest, version: str, refused: Mapping[str, str]) -> None:
        """The server has what was read from it."""

    async def listing(self, stack: str | None, fields: Fields) -> Listing:
        return Listing({kind: tuple(self.by_kind.get(kind, ())) for kind in fields}, self.server.attached)

    async def states(self) -> Mapping[str, Mapping[str, str]]:
        return {}

    async def fetch(self, wanted: Sequence[tuple[str, str]]) -> Listing:
        objects: dict[str, tuple[Live, ...]] = {}
        for kind, id in wanted:
            found = self.server.lives.get(id)
            objects[kind] = (*objects.get(kind, ()), *((found,) if found else ()))
        return Listing(objects, {id: self.server.attached.get(id, ()) for kind, id in wanted if kind == "agent"})

    async def one(self, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
        if id not in self.server.lives:
            raise NotFound(f"the server has no {kind} `{id}`", status=404)
        return self.server.lives[id], self.server.attached.get(id, ())

    async def several(self, wanted: Sequence[tuple[str, str]]) -> list[tuple[Live, tuple[Live, ...]] | NotFound]:
        return [await self.one(kind, id) for kind, id in wanted]

    def users(self) -> Mapping[str, frozenset[str]]:
        """Id of a block to the ids of all agents that have it."""
        found: dict[str, set[str]] = {}
        for agent, blocks in self.server.attached.items():
            for block in blocks:
                found.setdefault(block.id, set()).add(agent)
        return {id: frozenset(agents) for id, agents in found.items()}

    async def unattached(self, stack: str) -> frozenset[str]:
        return frozenset()

    async def candidates(self, desired: Desired) -> list[Live]:
        return self.by_kind.get(desired.kind, [])

    async def contents(self, wanted: Sequence[tuple[Live, str, Collection[str]]]) -> list[list[Any]]:
        found = []
        for live, field, _ in wanted:
            value = self.server.lives[live.id].values.get(field)
            found.append(list(value) if isinstance(value, list | tuple) else [value] if value else [])
        return found

    async def nested(self, kind: str, owner: str) -> list[Live]:
        line = kinds()[kind].owner_line()
        return [live for live in self.by_kind.get(kind, ()) if line and live.values.get(line.name) == owner]

    async def offered(self, live: Live, kind: str) -> list[Live]:
        lines = [line.name for line, _ in kinds()[kind].relations(DiscoveredBy)]
        return [each for each in self.by_kind.get(kind, ()) if any(each.values.get(name) == live.id for name in lines)]
