"""What was read of a server, as a backend that sends no requests: a plan of it shows what a real one will show."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, cast

from lettaform.backend import Arrived, Fields, Reads
from lettaform.errors import NotFound
from lettaform.kinds import kinds
from lettaform.kinds.traits import DiscoveredBy
from lettaform.manifest.amend import Fault
from lettaform.model import Capabilities, Desired, Listing, Live, Manifest, PlanOptions
from lettaform.ownership.unowned import Server
from lettaform.plan import diff
from lettaform.session.observe import observe

RELEASE = "0.16.8"
"""The server for which a manifest is checked that is written without one."""


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

    async def listing(self, stack: str | None, fields: Fields, arrived: Arrived | None = None) -> Listing:
        return Listing({kind: tuple(self.by_kind.get(kind, ())) for kind in fields}, self.server.attached)

    async def tagged(self, kind: str, tags: Sequence[str], fields: Collection[str]) -> Listing:
        lives = (live for live in self.by_kind.get(kind, ()) if {*tags} <= {*(live.values.get("tags") or ())})
        return Listing({kind: tuple(lives)}, self.server.attached)

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

    async def members(self, kind: str, field: str, ids: Sequence[str]) -> Mapping[str, str]:
        found = ((live.id, live.values.get(field)) for live in self.by_kind.get(kind, ()))
        return {id: member for id, member in found if isinstance(member, str) and member in ids}

    async def nested(self, kind: str, owner: str) -> list[Live]:
        line = kinds()[kind].owner_line()
        return [live for live in self.by_kind.get(kind, ()) if line and live.values.get(line.name) == owner]

    async def offered(self, live: Live, kind: str) -> list[Live]:
        lines = [line.name for line, _ in kinds()[kind].relations(DiscoveredBy)]
        return [each for each in self.by_kind.get(kind, ()) if any(each.values.get(name) == live.id for name in lines)]


# --- a server that was not read --------------------------------------------------------------------------------------


async def faults_on_bare_server(manifest: Manifest) -> Iterator[Fault]:
    """What a plan refuses for a server that has its built-in objects, and what the manifest uses and does not own."""
    lives = (*_built_in(), *_used(manifest))
    reads = Recorded(Server({live.id: live for live in lives}), "", RELEASE, Capabilities())
    observed = await observe(cast(Reads, reads), manifest)
    found = diff(manifest, observed, PlanOptions())
    return iter([Fault.of(each) for each in (*observed.problems, *found.problems)])


def _built_in() -> Iterator[Live]:
    for kind, table in kinds().items():
        yield from (_existing(kind, f"{kind}-{name}", name) for name in sorted(table.naming.built_in))


def _used(manifest: Manifest) -> Iterator[Live]:
    """The external objects of a manifest that are given by name, and what those offer."""
    for address, desired in manifest.objects.items():
        external = desired.external
        source = manifest.objects.get(external.offered_by) if external and external.offered_by else None
        if external is None or external.name is None or (source and source.external is None):
            continue  # what an object offers that does not exist yet is found once it does
        if external.name in kinds()[desired.kind].naming.built_in:
            continue
        line = next((line.name for line, _ in kinds()[desired.kind].relations(DiscoveredBy)), "")
        by = {line: str(source.address)} if source else {}
        yield _existing(desired.kind, str(address), external.name, by)


def _existing(kind: str, id: str, name: str, values: Mapping[str, Any] = {}) -> Live:
    return Live(kind, id, name, {kinds()[kind].name_field: name, **values})
