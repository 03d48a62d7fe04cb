"""Addresses to Live: bulk lists, then whose is what. A handful of requests, however large the fleet."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lettaform.errors import NotFound, Problem, ServerError
from lettaform.kinds import kinds, sections
from lettaform.kinds.base import Attr, path_get
from lettaform.model import Desired, Live, Manifest, Mark, Record, World
from lettaform.server import able, mark
from lettaform.server.client import Client
from lettaform.server.hold import HOLDS
from lettaform.words import Address, Ref, nearest

CORE = ("agent", "block", "tool")
"""What every server has, and every plan must see."""


async def find(client: Client, manifest: Manifest) -> World:
    """What is live of this stack, and of what it uses. Raises ServerError; doubts are `World.problems`."""
    version = await health(client)
    able.demand(manifest, client.url, version)
    declared = {desired.kind for desired in manifest.objects.values()}
    bodies = await _lists(client, manifest, version, [*CORE, *sorted(declared - set(CORE))])
    records = [body for body in bodies["block"] if mark.RECORD in _words(body)]
    record = read_record(records)
    bodies["block"] = [body for body in bodies["block"] if body not in records]
    known = {kinds_by_section(address) for address in (*record.ids, *record.intents)} - {None}
    bodies |= await _lists(client, manifest, version, [kind for kind in known if kind and kind not in bodies])
    found = {kind: [mark.read(kind, body) for body in some] for kind, some in bodies.items()}
    for live in (live for lives in found.values() for live in lives):
        for line in kinds()[live.kind].attrs().values():
            _hide(client, live.values.get(line.name) if line.secret else None)
    agents = bodies["agent"] + await _missing(client, record, found)
    world = _whose(client.url, version, manifest, record, found, {body["id"]: body for body in agents})
    world = await _attached(client, manifest, world)
    world = await _inherit(client, await _free(client, mark.stack_tag(manifest.stack), world))
    world = await _imports(client, manifest, world)
    world = await _externals(client, manifest, world, found)
    world = await _below(client, manifest, world)
    return await _brought(client, manifest, world, {body["id"]: body for body in agents})


async def _lists(
    client: Client, manifest: Manifest, version: str, names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Everything of these kinds that may be ours: by its tag, or else all of it. Unsupported where there is no list."""
    tag = mark.stack_tag(manifest.stack)
    spoken = {kind: {n for d in manifest.objects.values() if d.kind == kind for n in d.values} for kind in names}

    def listed(name: str) -> Awaitable[list[Any]]:
        kind = kinds()[name]
        if kind.below:
            return _nothing()
        text = {kind.searched: mark.opening(manifest.stack)} if kind.searched else {}
        # all tools: any answer without every built-in makes 0.16.8 write them all again first
        tags = {"tags": tag} if kind.tagged() and kind.verb == "POST" else {}
        include = {"include": relations} if (relations := kind.relations(spoken[name])) else {}
        return client.pages(kind.path, **tags, **text, **include, **kind.listing)

    answers = await asyncio.gather(*map(listed, names), return_exceptions=True)
    found: dict[str, list[dict[str, Any]]] = {}
    words: dict[str, str] = {}
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, ServerError) and answer.status in (400, 404, 405, 501) and name not in CORE:
            words[name] = answer.words
        elif isinstance(answer, BaseException):
            raise answer
        else:
            found[name] = answer
    if words:
        raise able.refused(manifest, client.url, version, words)
    return found


async def _nothing() -> list[Any]:
    return []


def _hide(client: Client, value: Any) -> None:
    """Never let a secret stand in a trace."""
    if isinstance(value, Mapping):
        for item in value.values():
            _hide(client, item)
    elif value:
        client.hide(str(value))


def _words(body: Mapping[str, Any]) -> list[str]:
    return [tag.split("=")[0] for tag in body.get("tags") or ()]


async def health(client: Client) -> str:
    """The server's version. ServerError if it is no Letta server."""
    try:
        answer = await client.get("/v1/health/")
    except NotFound:
        answer = None
    if not isinstance(answer, Mapping) or "version" not in answer:
        raise ServerError(f"{client.url} answers, but is not a Letta server", "--server or LETTA_BASE_URL name another")
    return str(answer["version"])


def read_record(bodies: Sequence[Mapping[str, Any]]) -> Record:
    """The stack record from its blocks. An entry that cannot be read is no entry."""
    ids: dict[Address, str] = {}
    marks: dict[Address, Mark] = {}
    protected: set[Address] = set()
    copies: set[str] = set()
    pending: set[Address] = set()
    heirlooms: dict[Address, tuple[str, ...]] = {}
    intents: dict[Address, str] = {}
    relics: dict[str, Mark] = {}
    environment: str | None = None
    key: str | None = None
    for body in bodies:
        try:
            told = json.loads(body["value"])
            if told["v"] > mark.VERSION:
                raise ServerError("the stack record was written by a newer lettaform", "use that one")
            ids |= {Address.parse(text): id for text, id in told["ids"].items()}
            marks |= {Address.parse(text): mark.from_metadata(own) for text, own in told.get("marks", {}).items()}
            protected |= {Address.parse(text) for text in told.get("protected", ())}
            copies |= set(told.get("copies", ()))
            heirlooms |= {Address.parse(text): tuple(blocks) for text, blocks in told.get("heirlooms", {}).items()}
            pending |= {Address.parse(text) for text in told.get("pending", ())}
            relics |= {id: mark.from_metadata(own) for id, own in told.get("relics", {}).items()}
            intents |= {Address.parse(text): str(name) for text, name in told.get("intents", {}).items()}
            key = key or told.get("key")
            environment = told.get("environment") or environment
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return Record(
        ids=ids,
        marks=marks,
        protected=frozenset(protected),
        environment=environment,
        pending=frozenset(pending),
        heirlooms=heirlooms,
        key=key,
        copies=frozenset(copies),
        intents=intents,
        relics=relics,
        exists=bool(bodies),
    )


async def _missing(client: Client, record: Record, found: dict[str, list[Live]]) -> list[dict[str, Any]]:
    """What the record knows and no list showed: its mark may be gone, its object may be alive. Returns the agents."""
    seen = {live.id for lives in found.values() for live in lives}
    wanted = [(kinds_by_section(a), id) for a, id in record.ids.items() if id not in seen]
    # what is listed whole and not seen is gone; what lives below others is looked for there
    named = [(k, id) for k, id in wanted if k and not (kinds()[k].listed_whole() or kinds()[k].below)]
    answers = await asyncio.gather(*(_body(client, kind, id) for kind, id in named))
    for (kind, _), body in zip(named, answers, strict=True):
        if body is not None:
            found[kind].append(mark.read(kind, body))
    return [body for (kind, _), body in zip(named, answers, strict=True) if body is not None and kind == "agent"]


def kinds_by_section(address: Address) -> str | None:
    """The kind of what stands at an address."""
    kind = sections().get(address.section)
    if address.field is None or kind is None:
        return kind
    line = kinds()[kind].attrs().get(address.field)
    return line.own if line else None


async def whole(client: Client, kind: str, id: str) -> dict[str, Any]:
    """One object with everything that it can be asked for. NotFound if there is none."""
    table = kinds()[kind]
    relations = table.relations(table.attrs())
    body: dict[str, Any] = await client.get(f"{table.path}{id}", **({"include": relations} if relations else {}))
    return body


async def _body(client: Client, kind: str, id: str) -> dict[str, Any] | None:
    try:
        return await whole(client, kind, id)
    except NotFound:
        return None


async def _one(client: Client, kind: str, id: str) -> Live | None:
    body = await _body(client, kind, id)
    return None if body is None else mark.read(kind, body)


async def one(client: Client, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
    """One object, whoever's it is, and the blocks that hang on it. NotFound if there is none."""
    try:
        body = await whole(client, kind, id)
    except ServerError as error:
        if error.status not in (404, 422):  # 422: not an id of this kind
            raise
        raise NotFound(f"the server has no {kind} `{id}`", status=404) from error
    blocks = [await _one(client, "block", each["id"]) for each in body.get("blocks") or ()]
    return mark.read(kind, body), tuple(live for live in blocks if live is not None)


def _whose(
    url: str,
    version: str,
    manifest: Manifest,
    record: Record,
    found: Mapping[str, list[Live]],
    bodies: Mapping[str, Mapping[str, Any]],
) -> World:
    stack, blocks = manifest.stack, {live.id: live for live in found["block"]}
    attached: dict[str, tuple[Live, ...]] = {}
    for agent in found["agent"]:
        inside = bodies.get(agent.id, {}).get("blocks") or ()
        attached[agent.id] = tuple(blocks.get(each["id"]) or mark.read("block", each) for each in inside)
    objects: dict[Address, Live] = {}
    copies: list[Live] = []
    problems: list[Problem] = []
    claims: dict[Address, list[Live]] = defaultdict(list)
    for live in (live for lives in found.values() for live in lives):
        if live.stack == stack and live.address and not live.address.parent:
            claims[live.address].append(live)
    recorded = {id: address for address, id in record.ids.items()}
    intended = {(kinds_by_section(a), name): a for a, name in record.intents.items() if a not in record.ids}
    for live in (live for lives in found.values() for live in lives):
        unmarked = kinds()[live.kind].mark == "record"
        address = recorded.get(live.id)
        if unmarked and address is None:
            address = intended.get((live.kind, live.name))
        # its mark is gone; the record decides
        if address and live.stack in (None, stack) and all(live.id != each.id for each in claims[address]):
            claims[address].append(replace(live, address=address, stack=stack, marked=unmarked))
    for address, lives in claims.items():
        winner = _winner(address, lives, record, attached)
        open_claims = [live for live in lives if live.id not in record.copies]
        if winner is None and address not in record.ids and len(open_claims) > 1:
            ids = ", ".join(live.id for live in open_claims)
            hint = f"`lettaform import '{address}' ID` says which one it is"
            problems.append(Problem(f"several live objects answer to {address}: {ids}", None, hint, str(address)))
        elif winner is not None:
            room = kinds()[winner.kind].roomy()
            kept = record.marks.get(address) or record.relics.get(winner.id) or Mark()
            objects[address] = winner if room else replace(winner, mark=kept)
        copies += [live for live in lives if winner is None or live.id != winner.id]
    survivors = _own(objects, blocks, attached)
    ours = {live.id for live in objects.values()}
    unique = [live for kind, lives in found.items() if kinds()[kind].unique for live in lives]
    strangers = {(live.kind, live.name): live for live in unique if live.id not in ours}
    return World(
        url,
        version,
        record,
        objects,
        tuple(copies),
        survivors,
        strangers=strangers,
        attached=attached,
        problems=tuple(problems),
    )


def _winner(
    address: Address, lives: list[Live], record: Record, attached: Mapping[str, tuple[Live, ...]]
) -> Live | None:
    """The record decides; without it a single claimant, or the one whose own blocks carry our tags: a copy's do not."""
    known = next((live for live in lives if live.id == record.ids.get(address)), None)
    if known is not None:
        return known
    lives = [live for live in lives if live.id not in record.copies]
    genuine = [
        live for live in lives if any(b.address and b.address.parent == address for b in attached.get(live.id, ()))
    ]
    if len(genuine) == 1:
        return genuine[0]
    return lives[0] if len(lives) == 1 and address not in record.ids else None


def _own(
    objects: dict[Address, Live], blocks: Mapping[str, Live], attached: Mapping[str, tuple[Live, ...]]
) -> dict[Address, tuple[Live, ...]]:
    """Own blocks go to their agents; what hangs on none of them survives it."""
    survivors: dict[Address, tuple[Live, ...]] = {}
    for live in blocks.values():
        if not live.address or not live.address.parent:
            continue
        agent = objects.get(live.address.parent)
        here = agent is not None and any(each.id == live.id for each in attached.get(agent.id, ()))
        if agent is not None and here and live.address not in objects:
            born = Mark(agent.mark.parts.get(live.address.child or "", {}))
            objects[live.address] = live if live.mark != Mark() else replace(live, mark=born)
        elif not here:
            survivors[live.address] = (*survivors.get(live.address, ()), live)
    return survivors


async def _free(client: Client, tag: str, world: World) -> World:
    """Of the survivors, those that hang on no agent at all; the others have strayed."""
    if not world.survivors:
        return world
    # in one page: with this filter 0.16.8 sorts by id, and pages by birth
    params = {"tags": tag, "connected_to_agents_count_eq": 0, "show_hidden_blocks": True, "limit": 1_000_000}
    free = await client.get("/v1/blocks/", **params)
    ids = {body["id"] for body in free}
    left, gone = dict[Address, tuple[Live, ...]](), dict[Address, tuple[Live, ...]]()
    for address, lives in world.survivors.items():
        for live in lives:
            kept = left if live.id in ids else gone
            kept[address] = (*kept.get(address, ()), live)
    return replace(world, survivors=left, strayed=gone)


async def _attached(client: Client, manifest: Manifest, world: World) -> World:
    """What belongs to objects and does not show on them: one request for each that declares it."""
    asked = [(live, line) for live, line in _declared(manifest, world) if line.listed or line.holds]
    if not asked:
        return world

    async def read(live: Live, line: Attr) -> list[Any]:
        if line.holds:
            return list(await HOLDS[line.holds].read(client, live, line.name))
        return [body["id"] for body in await client.pages(line.listed or "", agent_id=live.id)]

    told: dict[str, dict[str, Any]] = defaultdict(dict)
    for (live, line), found in zip(asked, await asyncio.gather(*(read(*each) for each in asked)), strict=True):
        told[live.id][line.name] = found
    objects = {a: replace(live, values={**live.values, **told.get(live.id, {})}) for a, live in world.objects.items()}
    return replace(world, objects=objects)


def _declared(manifest: Manifest, world: World) -> Iterator[tuple[Live, Attr]]:
    """What lives, with each line that is declared of it."""
    for address, live in world.objects.items():
        desired = manifest.objects.get(address)
        lines = kinds()[live.kind].attrs()
        yield from ((live, lines[name]) for name in (desired.values if desired else ()))


async def _inherit(client: Client, world: World) -> World:
    """What is left of agents that died in the middle of being replaced."""
    left: dict[Address, tuple[Live, ...]] = {}
    for address, ids in world.record.heirlooms.items():
        if address not in world.objects:
            lives = await asyncio.gather(*(_one(client, "block", id) for id in ids))
            left[address] = tuple(live for live in lives if live is not None)
    return replace(world, heirlooms=left)


async def _imports(client: Client, manifest: Manifest, world: World) -> World:
    """What `imports:` names and nobody's mark claims is taken for ours; the plan says what follows."""
    for entry in manifest.imports:
        kind = kinds_by_section(entry.address)
        if entry.address in world.objects or kind is None:
            continue
        try:
            live, attached = await one(client, kind, entry.id)
        except NotFound as error:
            problem = Problem(error.message, entry.place, None, str(entry.address))
            world = replace(world, problems=(*world.problems, problem))
            continue
        if live.stack not in (None, manifest.stack):
            message = f"{entry.id} belongs to stack `{live.stack}`"
            problem = Problem(message, entry.place, "use it with `external: {id: …}`", str(entry.address))
            world = replace(world, problems=(*world.problems, problem))
            continue
        mine = replace(live, address=entry.address, stack=manifest.stack, marked=False, mark=Mark())
        strangers = {key: each for key, each in world.strangers.items() if each.id != live.id}
        objects, hung = {**world.objects, entry.address: mine}, {**world.attached, live.id: attached}
        world = replace(world, objects=objects, attached=hung, strangers=strangers)
    return world


# --- what lives below others ------------------------------------------------------------------------------------------


async def _below(client: Client, manifest: Manifest, world: World) -> World:
    """What has no list of its own: one request for each object below which some of it is declared or recorded."""
    record, objects = world.record, dict(world.objects)
    lists: dict[str, list[Live]] = {}
    for address in {**manifest.objects, **record.ids, **record.intents}:
        kind, desired = kinds_by_section(address), manifest.objects.get(address)
        if kind is None or not kinds()[kind].below:
            continue
        above = desired.values.get("agent") if desired else None
        by = objects.get(above.address) if isinstance(above, Ref) else None
        id = by.id if by else record.ids.get(address, "").split("/")[0]
        if id and id not in lists:
            lists[id] = await _listed_below(client, kind, id)
        mine = _one_below(address, desired, record, lists.get(id, []))
        if mine is not None:
            mark = record.marks.get(address, Mark())
            objects[address] = replace(mine, address=address, stack=manifest.stack, marked=True, mark=mark)
    return replace(world, objects=objects)


def _one_below(address: Address, desired: Desired | None, record: Record, lives: list[Live]) -> Live | None:
    """The one that the record knows; or, where a birth was intended, the one that says what is wanted."""
    id, taken = record.ids.get(address), set(record.ids.values())
    if id is not None and (known := next((live for live in lives if live.id == id), None)):
        return known
    if desired is None:
        return None
    if id is not None and desired.values.get("at") is not None:  # its time has come, and it has gone
        return Live(desired.kind, id, "", {**desired.values, "agent": id.split("/")[0]})
    said = [live for live in lives if live.id not in taken and live.name == desired.values.get("name")]
    return said[0] if said and address in record.intents else None


async def _listed_below(client: Client, kind: str, id: str) -> list[Live]:
    table, found, after = kinds()[kind], list[Live](), dict[str, Any]()
    while True:
        try:
            page = await client.get(f"{table.path}{id}/{table.below}", limit=100, **after)
        except NotFound:
            return found
        bodies = next(each for each in page.values() if isinstance(each, list))
        found += [mark.read(kind, body) for body in bodies]
        if not bodies or not page.get("has_next_page"):
            return found
        after = {"after": bodies[-1]["id"]}


# --- what other objects bring ---------------------------------------------------------------------------------------


async def _brought(client: Client, manifest: Manifest, world: World, bodies: Mapping[str, Mapping[str, Any]]) -> World:
    """What came along with objects that live. It is what its bringer says it is, whatever address it claims."""
    before = {entry.new: entry.old for entry in manifest.moved}
    wanted = []
    for desired in manifest.objects.values():
        new = desired.brought
        by = new and (world.objects.get(new) or world.objects.get(before.get(new, new)))
        wanted += [(desired, by)] if by else []
    asked = {by.id: (by.kind, desired.kind) for desired, by in wanted if desired.external}
    lists = await asyncio.gather(*(brought(client, by, id, kind) for id, (by, kind) in asked.items()))
    offers = dict(zip(asked, lists, strict=True))
    for desired, by in wanted:
        if desired.external:
            mine = [body for body in offers[by.id] if _named(desired, body)]
        else:
            body = bodies.get(by.id) or await whole(client, by.kind, by.id)
            mine = named(by.kind, desired.kind, body)
        world = await _taken(client, manifest, world, desired, mine[0] if mine else None)
    return world


async def brought(client: Client, by: str, id: str, kind: str) -> list[dict[str, Any]]:
    """What an object `id` of the kind `by` brings of another kind: bodies, or maps of no more than an `id`."""
    where = kinds()[by].brings[kind]
    if where.startswith("/"):
        return await client.items(f"{kinds()[by].path}{id}{where}")
    return named(by, kind, await whole(client, by, id))


def named(by: str, kind: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an answer of the kind `by` names of what came along with it."""
    found = path_get(kinds()[by].decode(body), kinds()[by].brings[kind])
    every = found if isinstance(found, list) else [found] if found else []
    return [each if isinstance(each, dict) else {"id": each} for each in every]


def _named(desired: Desired, body: Mapping[str, Any]) -> bool:
    return desired.external is not None and mark.read(desired.kind, body).name == desired.external.name


async def _taken(
    client: Client, manifest: Manifest, world: World, desired: Desired, body: Mapping[str, Any] | None
) -> World:
    """The world with what stands at an address that another object fills."""
    address, objects = desired.address, dict(world.objects)
    before = objects.get(address)
    if desired.external:
        if body is not None:
            objects[address] = replace(mark.read(desired.kind, body), address=address, stack="")
        return replace(world, objects=objects)
    if before is not None and (body is None or before.id != body["id"]):
        world = _displaced(world, address)
        objects, before = dict(world.objects), None
    if body is None:
        return world
    if before is None:
        live, blocks = await one(client, desired.kind, body["id"])
        if live.stack not in (None, manifest.stack):
            message = f"{address}: {live.id} belongs to stack `{live.stack}`"
            return replace(world, problems=(*world.problems, Problem(message, desired.place, None, str(address))))
        world = replace(world, attached={**world.attached, live.id: blocks})
        claimed = live.address or address
        objects.setdefault(claimed, replace(live, address=claimed, stack=manifest.stack))
    return replace(world, objects=objects, brought={**world.brought, address: body["id"]})


def _displaced(world: World, address: Address) -> World:
    """Without what stood at an address until something else took its place: a copy now, and its memory strayed."""
    objects, strayed = dict(world.objects), dict(world.strayed)
    copies = (*world.copies, objects.pop(address))
    for part in [each for each in objects if each.parent == address]:
        strayed[part] = (*strayed.get(part, ()), objects.pop(part))
    return replace(world, objects=objects, strayed=strayed, copies=copies)


# --- what others own and we use --------------------------------------------------------------------------------------


async def _externals(client: Client, manifest: Manifest, world: World, found: Mapping[str, list[Live]]) -> World:
    wanted = [desired for desired in manifest.objects.values() if desired.external and not desired.external.by]
    listed = {kind: lives for kind, lives in found.items() if kinds()[kind].listed_whole()}
    answers = await asyncio.gather(*(_external(client, desired, listed.get(desired.kind)) for desired in wanted))
    objects, problems = dict(world.objects), list(world.problems)
    for desired, lives in zip(wanted, answers, strict=True):
        if len(lives) == 1:
            objects[desired.address] = replace(lives[0], address=desired.address, stack=lives[0].stack or "")
            continue
        problems.append(_unfound(desired, lives, listed.get(desired.kind, ())))
    return replace(world, objects=objects, problems=tuple(problems))


async def _external(client: Client, desired: Desired, listed: Sequence[Live] | None) -> list[Live]:
    """`listed`: all of its kind, where that is known already."""
    kind, external = desired.kind, desired.external
    assert external is not None
    relations = kinds()[kind].relations(())
    path, include = kinds()[kind].path, {"include": relations} if relations else {}
    if listed is not None and external.stack and external.address:
        return [live for live in listed if live.stack == external.stack and live.address == external.address]
    if listed is not None:
        return [live for live in listed if external.id == live.id or external.name == live.name]
    if external.stack and external.address:
        claim = mark.tags(external.stack, external.address)
        return [mark.read(kind, b) for b in await client.pages(path, tags=claim, match_all_tags=True, **include)]
    if external.id:
        live = await _one(client, kind, external.id)
        return [live] if live else []
    named = {kinds()[kind].name_field: external.name}
    return [mark.read(kind, body) for body in await client.pages(path, **named, **include)]


def _unfound(desired: Desired, lives: Sequence[Live], listed: Sequence[Live]) -> Problem:
    external = desired.external
    assert external is not None
    what = external.name or external.id or f"{external.stack}/{external.address}"
    address = str(desired.address)
    if lives:
        ids = ", ".join(live.id for live in lives)
        message = f"{address}: {len(lives)} {desired.kind}s on the server answer to `{what}`: {ids}"
        return Problem(message, desired.place, "name one by `id`", address)
    near = nearest(external.name, [live.name for live in listed]) if external.name else None
    hint = f"did you mean `{near}`?" if near else None
    return Problem(f"{address}: the server has no {desired.kind} `{what}`", desired.place, hint, address)


async def users(client: Client, lives: Sequence[Live]) -> Mapping[str, frozenset[str]]:
    """The ids of all agents, anybody's, that have these shared objects."""
    tools = [live.id for live in lives if live.kind in ("tool", "mcp_server")]
    others = [live for live in lives if live.id not in tools]
    asked = [
        client.get(f"{kinds()[live.kind].path}{live.id}/agents", limit=100_000, include="agent.tags") for live in others
    ]
    found = {
        live.id: frozenset(agent if isinstance(agent, str) else agent["id"] for agent in agents)
        for live, agents in zip(others, await asyncio.gather(*asked), strict=True)
    }
    if tools:  # no route tells who uses a tool
        everybody = await client.pages("/v1/agents/", include="agent.tools", show_hidden_agents=True)
        known = {agent["id"]: {id for tool in agent["tools"] for id in _ids(tool)} for agent in everybody}
        found |= {id: frozenset(agent for agent, ids in known.items() if id in ids) for id in tools}
    return found


def _ids(tool: Mapping[str, Any]) -> list[Any]:
    """A tool's id, and that of the MCP server that offers it."""
    return [tool["id"], mark.read("tool", tool).values["mcp"]]
