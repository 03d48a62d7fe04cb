"""Lists and single objects of a v1 server to Live. It decides nothing about ownership."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from contextlib import aclosing
from functools import cache
from typing import Any

from lettaform.backend import Arrived, Fields
from lettaform.backend.concurrency import together
from lettaform.backend.v1 import capabilities, contents, lock, models, state
from lettaform.backend.v1.client import WHOLE, Client
from lettaform.backend.v1.contents import CONTENTS
from lettaform.backend.v1.decode import decode
from lettaform.backend.v1.objects import body_of, one
from lettaform.backend.v1.probe import check
from lettaform.backend.v1.usages import BULK, V1Usages
from lettaform.errors import NotFound, Problem, ServerError, Unavailable
from lettaform.kinds import every_field, kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import Contents, ListedAt, SourceFile
from lettaform.model import Desired, External, Listing, Live, Manifest, Observed
from lettaform.ownership import marks
from lettaform.values import Item

CORE = ("agent", "block", "tool")
"""The kinds that every server has."""


_Decoded = list[tuple[Mapping[str, Any], Live]]
"""Bodies, each with its object."""


class V1Reads(V1Usages):
    """The reading half of the v1 backend."""

    def __init__(self, client: Client) -> None:
        self.client, self.url = client, client.url
        self.capabilities = capabilities.capabilities()

    @property
    def requests(self) -> int:
        return self.client.requests

    async def version(self) -> str:
        try:
            answer = await self.client.get("/v1/health/")
        except NotFound:
            answer = None
        if not isinstance(answer, Mapping) or "version" not in answer:
            base = self.url.removesuffix("/v1")
            other = "name another server with --server or LETTA_BASE_URL"
            hint = f"write it without `/v1`: {base}" if base != self.url else other
            raise ServerError(f"{self.url} answers, but is not a Letta server", hint)
        version = str(answer["version"])
        self.capabilities = capabilities.capabilities(self.url, version)
        return version

    def require(self, manifest: Manifest, version: str, refused: Mapping[str, str]) -> None:
        capabilities.require(manifest, self.url, version, refused)

    # --- lists

    async def listing(self, stack: str | None, fields: Fields, arrived: Arrived | None = None) -> Listing:
        names = [name for name in fields if not kinds()[name].requests.below]
        found: dict[str, _Decoded] = {name: [] for name in fields}
        reading, waiting = set(names), defaultdict[str, _Decoded](list)

        def compare(name: str) -> None:
            """Hand on what has arrived of a list, once the others are complete."""
            if arrived and waiting[name]:
                arrived(name, self._as_listing({**found, name: waiting.pop(name)}, {}))

        async def read(name: str) -> None:
            try:
                async with aclosing(self._pages(_search(kinds()[name], stack), name, fields[name])) as pages:
                    async for page in pages:
                        found[name] += page
                        waiting[name] += page
                        if reading == {name}:
                            compare(name)
            finally:
                reading.discard(name)
            if len(reading) == 1:
                compare(*reading)

        refused: dict[str, str] = {}
        answers = await asyncio.gather(*map(read, names), return_exceptions=True)
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, ServerError) and answer.status in (400, 404, 405, 501) and name not in CORE:
                refused[name] = answer.words
            elif isinstance(answer, BaseException):
                raise answer
        return self._as_listing(found, refused)

    def _as_listing(self, found: Mapping[str, _Decoded], refused: Mapping[str, str]) -> Listing:
        objects = {name: tuple(live for _, live in every) for name, every in found.items() if name not in refused}
        pages = state.pages(body for body, _ in found.get("block", ()))
        objects |= {"block": tuple(live for live in objects["block"] if live.id not in pages)} if pages else {}
        blocks = {live.id: live for live in objects.get("block", ())}
        attached = {body["id"]: self._attached(body, blocks) for body, _ in found.get("agent", ())}
        return Listing(objects, attached, pages, refused)

    async def tagged(self, kind: str, tags: Sequence[str], fields: Collection[str]) -> Listing:
        asked = {"tags": list(tags), "match_all_tags": True} if tags else {}
        async with aclosing(self._pages(asked, kind, fields)) as pages:
            return self._as_listing({kind: [each async for page in pages for each in page]}, {})

    async def _pages(
        self, search: Mapping[str, Any], name: str, fields: Collection[str]
    ) -> AsyncGenerator[_Decoded, None]:
        """The bodies of a list, decoded page by page, while the server builds the next page. `search`: parameters."""
        kind = kinds()[name]
        relations = kind.included(fields)
        include = {"include": relations} if relations else {}
        asked = self.client.each_page(kind.path, **search, **include, **kind.requests.parameters)
        async with aclosing(asked) as pages:
            async for page in pages:
                bodies = (body for body in page if name != "identity" or not lock.is_lock(body))
                yield [(body, self._decoded(name, body, relations)) for body in bodies]

    def _decoded(self, kind: str, body: Mapping[str, Any], included: Collection[str] | None = None) -> Live:
        return self._hidden(decode(kind, body, included))

    def _hidden(self, live: Live) -> Live:
        """The object. Its secrets stay out of every trace and error from now on."""
        for name in _secret_fields(live.kind):
            self._hide(live.values.get(name))
        return live

    def _hide(self, value: Any) -> None:
        if isinstance(value, Mapping):
            for item in value.values():
                self._hide(item)
        elif value:
            self.client.hide(str(value))

    def _attached(self, body: Mapping[str, Any], blocks: Mapping[str, Live]) -> tuple[Live, ...]:
        return tuple(blocks.get(each["id"]) or decode("block", each) for each in body.get("blocks") or ())

    async def states(self) -> Mapping[str, Mapping[str, str]]:
        return await state.all_pages(self.client)

    # --- single objects

    async def fetch(self, wanted: Sequence[tuple[str, str]]) -> Listing:
        bodies = await together(body_of(self.client, kind, id) for kind, id in wanted)
        objects: dict[str, tuple[Live, ...]] = {}
        attached: dict[str, tuple[Live, ...]] = {}
        for (kind, _), body in zip(wanted, bodies, strict=True):
            if body is not None:
                objects[kind] = (*objects.get(kind, ()), self._decoded(kind, body))
                attached |= {body["id"]: self._attached(body, {})} if kind == "agent" else {}
        return Listing(objects, attached)

    async def one(self, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
        live, blocks = await one(self.client, kind, id)
        return self._hidden(live), blocks

    async def several(self, wanted: Sequence[tuple[str, str]]) -> list[tuple[Live, tuple[Live, ...]] | NotFound]:
        numbers = Counter(kind for kind, _ in wanted)
        many = [kind for kind, number in numbers.items() if number >= BULK and not kinds()[kind].requests.below]
        # what agents answer of their blocks lacks the marks
        fields: Fields = every_field(many) | ({"block": ()} if "agent" in many else {})
        found = await self.listing(None, fields) if many else Listing()
        known = {live.id: live for lives in found.objects.values() for live in lives}
        nested = {(kind, id.split("/")[0]) for kind, id in wanted if kinds()[kind].requests.below}
        known |= {live.id: live for lives in await together(self.nested(*each) for each in nested) for live in lives}

        async def read(kind: str, id: str) -> tuple[Live, tuple[Live, ...]] | NotFound:
            if id in known:
                return known[id], found.attached.get(id, ())
            try:
                return await self.one(kind, id)
            except NotFound as error:
                return error

        return await together(read(*each) for each in wanted)

    async def unattached(self, stack: str) -> frozenset[str]:
        # in one page: with this filter 0.16.8 sorts by id, and pages by creation
        params = {"connected_to_agents_count_eq": 0, "show_hidden_blocks": True, "limit": WHOLE}
        free = await self.client.items("/v1/blocks/", tags=marks.stack_tag(stack), **params)
        return frozenset(body["id"] for body in free)

    async def candidates(self, desired: Desired) -> list[Live]:
        kind, external = kinds()[desired.kind], desired.external
        assert external is not None
        if external.id:
            body = await body_of(self.client, desired.kind, external.id)
            return [self._decoded(desired.kind, body)] if body else []
        if kind.requests.below:  # `path` lists the owners
            return []
        relations = kind.included(())
        include = {"include": relations} if relations else {}
        found = await self.client.pages(kind.path, **_candidates(kind, external), **include, **kind.requests.parameters)
        return [self._decoded(desired.kind, body, relations) for body in found]

    # --- what answers do not hold

    async def contents(self, wanted: Sequence[tuple[Live, str, Collection[str]]]) -> list[list[Any]]:
        known = await self._members(wanted)

        async def read(live: Live, field: str, keys: Collection[str]) -> list[Any]:
            if (live.id, field) in known:
                return [known[live.id, field]]
            return await self._contents(live, kinds()[live.kind].attrs()[field], keys)

        return await together(read(*each) for each in wanted)

    async def _members(self, wanted: Sequence[tuple[Live, str, Collection[str]]]) -> Mapping[tuple[str, str], str]:
        """Id of an object and field to the member that it has: one list for each member that several objects declare.

        An object that is in no list is left out: it may have another member, or none.
        """
        declared: dict[tuple[str, str], set[str]] = defaultdict(set)
        for live, field, keys in wanted:
            if listed := kinds()[live.kind].attrs()[field].related(ListedAt):
                for member in keys:
                    declared[field, f"{listed.path}{member}{listed.users}"].add(live.id)
        shared = [each for each, ids in declared.items() if len(ids) > 1]
        lists = await together(self._attached_to(path) for _, path in shared)
        members = [path.split("/")[-2] for _, path in shared]
        return {(id, field): m for (field, _), ids, m in zip(shared, lists, members, strict=True) for id in ids}

    async def _attached_to(self, path: str) -> list[str]:
        """Ids of the objects of a list; none if what they are attached to was deleted meanwhile."""
        try:
            # in one page: 0.16.8 can leave agents out of further pages of this list
            return [body["id"] for body in await self.client.items(path, include="agent.tags", limit=WHOLE)]
        except NotFound:
            return []

    async def _contents(self, live: Live, line: Attr, keys: Collection[str] = ()) -> list[Any]:
        if contents := line.related(Contents):
            return list(await CONTENTS[contents.what].read(self.client, live, line.name, keys))
        return [body["id"] for body in await self.client.pages(_list_of(line), agent_id=live.id)]

    async def members(self, kind: str, field: str, ids: Sequence[str]) -> Mapping[str, str]:
        listed = kinds()[kind].attrs()[field].related(ListedAt)
        assert listed is not None, f"answers hold {field}"
        lists = await together(self._attached_to(f"{listed.path}{id}{listed.users}") for id in ids)
        return {user: id for id, users in zip(ids, lists, strict=True) for user in users}

    async def files(self, live: Live) -> list[Item]:
        return await contents.whole_files(self.client, live)

    async def models(self) -> Mapping[str, Mapping[str, Any]]:
        return {
            body["handle"]: models.initial(body) for body in await self.client.items(models.PATH) if "handle" in body
        }

    async def derived(self, live: Live) -> Mapping[str, Any] | None:
        line, source = next(((line, each) for line, each in kinds()[live.kind].relations(SourceFile)))
        try:
            asked = {"code": live.values[line.name]}
            found = await self.client.send("POST", source.schema_path, body=asked, repeatable=True)
        except Unavailable:
            raise
        except ServerError:
            return None
        return found if isinstance(found, Mapping) else None

    async def all_items(self, live: Live) -> Mapping[str, list[Item]]:
        lines = kinds()[live.kind].relations(Contents)
        return {line.name: await CONTENTS[each.what].whole(self.client, live, line.name) for line, each in lines}

    async def offered(self, live: Live, kind: str) -> list[Live]:
        path = kinds()[live.kind].discovers[kind]
        return [decode(kind, body) for body in await self.client.items(f"{kinds()[live.kind].path}{live.id}{path}")]

    async def copies(self, live: Live) -> list[Live]:
        if "block" not in kinds()[live.kind].discovers:
            return []
        ids = (await self.one(live.kind, live.id))[0].discovered["block"]
        return list((await self.fetch([("block", id) for id in ids])).objects.get("block", ()))

    async def probe(self, wanted: Sequence[tuple[Desired, frozenset[str]]], observed: Observed) -> list[Problem]:
        return await check(self.client, wanted, observed)


def _search(kind: type[Kind], stack: str | None) -> dict[str, Any]:
    """The parameters with which a list shows what claims to be of a stack; none if it shows everything."""
    if stack is None:
        return {}
    if kind.requests.search:
        return {kind.requests.search: marks.opening(stack)}
    # all tools: 0.16.8 writes all its built-in tools again before it answers a list without them
    return {"tags": marks.stack_tag(stack)} if kind.claims_in_tags() and kind.requests.verb == "POST" else {}


def _candidates(kind: type[Kind], external: External) -> dict[str, Any]:
    """The parameters with which a list shows what an external object may be, and as little else as the server can."""
    claimed = external.stack and external.address
    if kind.requests.search:  # a part of the text: more than it may be found
        return {kind.requests.search: marks.opening(external.stack or "") if claimed else external.name}
    if external.stack and external.address:
        return {"tags": marks.tags(external.stack, external.address), "match_all_tags": True}
    return {kind.name_field: external.name}


@cache
def _secret_fields(kind: str) -> tuple[str, ...]:
    return tuple(name for name, line in kinds()[kind].attrs().items() if line.secret)


def _list_of(line: Attr) -> str:
    """The path of the list that holds what answers leave out."""
    listed = line.related(ListedAt)
    assert listed is not None
    return listed.path
