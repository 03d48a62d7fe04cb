"""Who uses the objects of a v1 server, and what it deletes together with them."""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from lettaform.backend.concurrency import together
from lettaform.backend.v1 import capabilities
from lettaform.backend.v1.client import WHOLE, Client
from lettaform.backend.v1.decode import decode
from lettaform.backend.v1.objects import one
from lettaform.errors import NotFound, Unsupported
from lettaform.kinds import dependent_kinds, kinds
from lettaform.kinds.base import Attr
from lettaform.kinds.traits import BlocksDelete, Companions
from lettaform.model import Dependents, Live
from lettaform.ownership import marks

BULK = 10
"""Number of objects from which one list of all is asked for, instead of one request for each."""


class V1Usages:
    """The part of the reads that asks about users and dependents."""

    client: Client
    url: str

    async def nested(self, kind: str, owner: str) -> list[Live]:
        table, found, after = kinds()[kind], list[Live](), dict[str, Any]()
        if capabilities.is_elsewhere(table, self.url):
            return []
        while True:
            try:
                page = await self.client.get(f"{table.path}{owner}/{table.requests.below}", limit=100, **after)
            except NotFound:
                return found
            bodies = next(each for each in page.values() if isinstance(each, list))
            found += [decode(kind, body) for body in bodies]
            if not bodies or not page.get("has_next_page"):
                return found
            after = {"after": bodies[-1]["id"]}

    # --- who uses what

    async def users(
        self, lives: Sequence[Live], attached: Mapping[str, Sequence[Live]]
    ) -> Mapping[str, frozenset[str]]:
        tools = frozenset(live.id for live in lives if live.kind in ("tool", "mcp_server"))
        found = dict(await self._known_users([live for live in lives if live.kind == "block"], attached))
        blocks = [live.id for live in lives if live.kind == "block" and live.id not in found]
        found |= await self._block_users(blocks) if len(blocks) >= BULK else {}
        others = [live for live in lives if live.id not in tools and live.id not in found]
        found |= dict(zip((live.id for live in others), await together(map(self._users, others)), strict=True))
        return {**found, **(await self._tool_users(tools) if tools else {})}

    async def _known_users(
        self, blocks: Sequence[Live], attached: Mapping[str, Sequence[Live]]
    ) -> Mapping[str, frozenset[str]]:
        """The users of blocks that no agents use but those of the stack, which are known already.

        One list for each stack and number of users. The route that names the users of a block answers whole agents.
        """
        agents: dict[str, set[str]] = {}
        for agent, every in attached.items():
            for block in every:
                agents.setdefault(block.id, set()).add(agent)
        # the lists have those alone that carry the tag of their stack: not those that are adopted
        marked = {block.id: (block.stack, len(agents.get(block.id, ()))) for block in blocks if block.marked}
        counts = sorted({(stack, count) for stack, count in marked.values() if stack and count})
        if len(counts) > BULK:
            return {}
        lists = await together(self._with_more_users(*each) for each in counts)
        more = dict(zip(counts, lists, strict=True))
        return {id: frozenset(agents[id]) for id, each in marked.items() if each in more and id not in more[each]}

    async def _with_more_users(self, stack: str, count: int) -> frozenset[str]:
        """The ids of the marked blocks of a stack that more than this number of agents use."""
        # in one page: with this filter 0.16.8 sorts by id, and pages by creation
        params = {"connected_to_agents_count_gt": count, "show_hidden_blocks": True, "limit": WHOLE}
        bodies = await self.client.items("/v1/blocks/", tags=marks.stack_tag(stack), **params)
        return frozenset(body["id"] for body in bodies)

    async def _block_users(self, ids: Collection[str]) -> Mapping[str, frozenset[str]]:
        """The users of many blocks: all agents are read, instead of one list for each block."""
        found: dict[str, set[str]] = {id: set() for id in ids}
        for agent in await self.client.pages("/v1/agents/", include="agent.blocks", show_hidden_agents=True):
            for block in agent["blocks"]:
                if block["id"] in found:
                    found[block["id"]].add(agent["id"])
        return {id: frozenset(agents) for id, agents in found.items()}

    async def _users(self, live: Live) -> frozenset[str]:
        path = f"{kinds()[live.kind].path}{live.id}/agents"
        agents = await self.client.pages(path, include="agent.tags")
        return frozenset(agent if isinstance(agent, str) else agent["id"] for agent in agents)

    async def _tool_users(self, ids: Collection[str]) -> Mapping[str, frozenset[str]]:
        """No route of 0.16.8 lists the agents of a tool: all agents are read."""
        found: dict[str, set[str]] = {id: set() for id in ids}
        for agent in await self.client.pages("/v1/agents/", include="agent.tools", show_hidden_agents=True):
            for tool in agent["tools"]:
                # an MCP server is used by whoever has a tool of it
                for id in (tool["id"], decode("tool", tool).values["mcp"]):
                    if id in found:
                        found[id].add(agent["id"])
        return {id: frozenset(agents) for id, agents in found.items()}

    # --- what is recompiled or deleted together

    async def owned(self, kind: str, owners: Sequence[str]) -> Mapping[str, tuple[Live, ...]]:
        line = kinds()[kind].owner_line()
        assert line is not None, f"{kind} has no owner"
        found: dict[str, tuple[Live, ...]] = dict.fromkeys(owners, ())
        for owner, live in await self._owned(kind, line, owners):
            if owner in found:
                found[owner] = (*found[owner], live)
        return found

    async def dependents(self, lives: Sequence[Live]) -> Mapping[str, Dependents]:
        companions = await self._companions(lives)
        cascades = await self._cascades(lives)
        blockers = await self._blockers({live.kind for live in lives})
        found = {}
        for live in lives:
            created = companions[live.id]
            before = (each for id, each in blockers if id == live.id and each.id not in created.get(each.kind, ()))
            second = (Live(live.kind, id, "", {}) for id in sorted(created.get(live.kind, ())))
            found[live.id] = Dependents((*second, *cascades[live.id]), tuple(before))
        return found

    async def _companions(self, lives: Sequence[Live]) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """By id: what the server created along with these objects, by kind."""
        known = {live.id: live.discovered for live in lives if _created_kinds(live.kind) <= live.discovered.keys()}
        asked = [live for live in lives if live.id not in known]

        def listed(kind: str, stack: str) -> Awaitable[list[Any]]:
            table = kinds()[kind]
            include = [line.include for line, _ in table.relations(Companions) if line.include]
            return self.client.pages(
                table.path, tags=marks.stack_tag(stack), include=include, **table.requests.parameters
            )

        stacks = [(kind, stack) for kind, stack in {(live.kind, live.stack) for live in asked} if stack]
        lists = await together(listed(*each) for each in stacks)
        found = {
            body["id"]: decode(kind, body).discovered
            for (kind, _), bodies in zip(stacks, lists, strict=True)
            for body in bodies
        }
        # found by the state: its tags were removed
        unlisted = [live for live in asked if live.id not in found]
        for live, _ in await together(one(self.client, live.kind, live.id) for live in unlisted):
            found[live.id] = live.discovered
        return known | found

    async def _cascades(self, lives: Sequence[Live]) -> Mapping[str, list[Live]]:
        """By id: what the server deletes with an object. One list for many owners, if it saves requests."""
        found: dict[str, list[Live]] = {live.id: [] for live in lives}
        for owner in dict.fromkeys(live.kind for live in lives):
            ids = [live.id for live in lives if live.kind == owner]
            for kind, line in dependent_kinds(owner).items():
                if capabilities.is_elsewhere(kinds()[kind], self.url):
                    continue
                for id, each in await self._owned(kind, line, ids):
                    found.get(id, []).append(each)
        return found

    async def _owned(self, kind: str, line: Attr, owners: Sequence[str]) -> list[tuple[str, Live]]:
        """Objects of a kind with the id of their owner: at least those of these owners."""
        if kinds()[kind].requests.below:
            lists = await together(self.nested(kind, owner) for owner in owners)
        elif len(owners) < BULK:
            lists = await together(self._everything(kind, **{line.write or "": owner}) for owner in owners)
        else:
            return [(str(live.values.get(line.name)), live) for live in await self._everything(kind)]
        return [(owner, live) for owner, lives in zip(owners, lists, strict=True) for live in lives]

    async def _blockers(self, of: Collection[str]) -> list[tuple[str, Live]]:
        """Ids of objects that the server does not delete, and what must be deleted before them."""
        lines = list(_blocking(of))
        lists = await together(self._everything(kind) for kind, _ in lines)
        return [
            (str(live.values.get(line.name)), live)
            for (_, line), lives in zip(lines, lists, strict=True)
            for live in lives
        ]

    async def _everything(self, kind: str, **params: Any) -> list[Live]:
        """What the server has of a kind; nothing if it does not have the kind."""
        table = kinds()[kind]
        if capabilities.is_elsewhere(table, self.url):
            return []
        with suppress(NotFound, Unsupported):
            return [
                decode(kind, body)
                for body in await self.client.pages(table.path, **params, **table.requests.parameters)
            ]
        return []


def _blocking(of: Collection[str]) -> Iterator[tuple[str, Attr]]:
    for kind, table in kinds().items():
        yield from ((kind, line) for line, _ in table.relations(BlocksDelete) if line.to in of)


def _created_kinds(kind: str) -> frozenset[str]:
    """The kinds of objects that the server creates along with one of this kind, and that its answer names."""
    return frozenset(created for created, path in kinds()[kind].discovers.items() if not path.startswith("/"))
