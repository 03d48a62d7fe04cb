"""Addresses to Live: bulk lists, then whose is what. A handful of requests, however large the fleet."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.backend.v1 import capabilities
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.concurrency import together
from lettaform.backend.v1.objects import body_of, maybe, one
from lettaform.backend.v1.relations import arrived, attached, below, unfinished
from lettaform.errors import NotFound, Problem, ServerError, Unsupported, nearest
from lettaform.kinds import kind_of, kinds
from lettaform.model import Desired, Live, Manifest, Mark, Observed, State
from lettaform.ownership import marks

CORE = ("agent", "block", "tool")
"""What every server has, and every plan must see."""


async def find(client: Client, manifest: Manifest, *, whole: bool = False) -> Observed:
    """What is live of this stack, and of what it uses. Raises ServerError; doubts are `Observed.problems`.

    `whole`: look for our marks on every kind there is, though neither the manifest nor the record speaks of it.
    """
    version = await health(client)
    capabilities.demand(manifest, client.url, version)
    declared = {desired.kind for desired in manifest.objects.values()}
    bodies = await _lists(client, manifest, version, [*CORE, *sorted(declared - set(CORE))])
    records = [body for body in bodies["block"] if marks.RECORD in _words(body)]
    record = read_record(records)
    bodies["block"] = [body for body in bodies["block"] if body not in records]
    known = {kind_of(address) for address in (*record.ids, *record.intents)} - {None}
    bodies |= await _lists(client, manifest, version, [kind for kind in known if kind and kind not in bodies])
    marked = [name for name, table in kinds().items() if table.mark != "state" and name not in bodies]
    for kind in marked if whole else ():
        with suppress(Unsupported):
            bodies |= await _lists(client, manifest, version, [kind])
    found = {kind: [marks.read(kind, body) for body in some] for kind, some in bodies.items()}
    for live in (live for lives in found.values() for live in lives):
        for line in kinds()[live.kind].attrs().values():
            _hide(client, live.values.get(line.name) if line.secret else None)
    agents = bodies["agent"] + await _missing(client, record, found)
    observed = _whose(client.url, version, manifest, record, found, {body["id"]: body for body in agents})
    observed = await attached(client, manifest, observed)
    observed = await _inherit(client, await _free(client, marks.stack_tag(manifest.stack), observed))
    observed = await _imports(client, manifest, observed)
    observed = await _externals(client, manifest, observed, found)
    observed = await below(client, manifest, observed)
    observed = await arrived(client, manifest, observed, {body["id"]: body for body in agents})
    return await unfinished(client, manifest, observed)


async def _lists(
    client: Client, manifest: Manifest, version: str, names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Everything of these kinds that may be ours: by its tag, or else all of it. Unsupported where there is no list."""
    tag = marks.stack_tag(manifest.stack)
    spoken = {kind: {n for d in manifest.objects.values() if d.kind == kind for n in d.values} for kind in names}

    def listed(name: str) -> Awaitable[list[Any]]:
        kind = kinds()[name]
        if kind.requests.below:
            return _nothing()
        text = {kind.requests.search: marks.opening(manifest.stack)} if kind.requests.search else {}
        # all tools: any answer without every built-in makes 0.16.8 write them all again first
        tags = {"tags": tag} if kind.tagged() and kind.requests.verb == "POST" else {}
        include = {"include": relations} if (relations := kind.included(spoken[name])) else {}
        return client.pages(kind.path, **tags, **text, **include, **kind.requests.parameters)

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
        raise capabilities.refused(manifest, client.url, version, words)
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


def read_record(bodies: Sequence[Mapping[str, Any]]) -> State:
    """The stack record from its blocks. An entry that cannot be read is no entry."""
    ids: dict[Address, str] = {}
    kept: dict[Address, Mark] = {}
    protected: set[Address] = set()
    copies: set[str] = set()
    pending: set[Address] = set()
    carried_over: dict[Address, tuple[str, ...]] = {}
    intents: dict[Address, str] = {}
    tombstones: dict[str, Mark] = {}
    environment: str | None = None
    key: str | None = None
    for body in bodies:
        try:
            told = json.loads(body["value"])
            if told["v"] > marks.VERSION:
                raise ServerError("the stack record was written by a newer lettaform", "use that one")
            ids |= {Address.parse(text): id for text, id in told["ids"].items()}
            kept |= {Address.parse(text): marks.from_metadata(own) for text, own in told.get("marks", {}).items()}
            protected |= {Address.parse(text) for text in told.get("protected", ())}
            copies |= set(told.get("copies", ()))
            carried_over |= {
                Address.parse(text): tuple(blocks) for text, blocks in told.get("carried_over", {}).items()
            }
            pending |= {Address.parse(text) for text in told.get("pending", ())}
            tombstones |= {id: marks.from_metadata(own) for id, own in told.get("tombstones", {}).items()}
            intents |= {Address.parse(text): str(name) for text, name in told.get("intents", {}).items()}
            key = key or told.get("key")
            environment = told.get("environment") or environment
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return State(
        ids=ids,
        marks=kept,
        protected=frozenset(protected),
        environment=environment,
        pending=frozenset(pending),
        carried_over=carried_over,
        key=key,
        duplicates=frozenset(copies),
        intents=intents,
        tombstones=tombstones,
        exists=bool(bodies),
    )


async def _missing(client: Client, record: State, found: dict[str, list[Live]]) -> list[dict[str, Any]]:
    """What the record knows and no list showed: its mark may be gone, its object may be alive. Returns the agents."""
    seen = {live.id for lives in found.values() for live in lives}
    wanted = [(kind_of(a), id) for a, id in record.ids.items() if id not in seen]
    # what is listed whole and not seen is gone; what lives below others is looked for there
    named = [(k, id) for k, id in wanted if k and not (kinds()[k].listed_whole() or kinds()[k].requests.below)]
    answers = await together(body_of(client, kind, id) for kind, id in named)
    for (kind, _), body in zip(named, answers, strict=True):
        if body is not None:
            found[kind].append(marks.read(kind, body))
    return [body for (kind, _), body in zip(named, answers, strict=True) if body is not None and kind == "agent"]


def _whose(
    url: str,
    version: str,
    manifest: Manifest,
    record: State,
    found: Mapping[str, list[Live]],
    bodies: Mapping[str, Mapping[str, Any]],
) -> Observed:
    stack, blocks = manifest.stack, {live.id: live for live in found["block"]}
    attached: dict[str, tuple[Live, ...]] = {}
    for agent in found["agent"]:
        inside = bodies.get(agent.id, {}).get("blocks") or ()
        attached[agent.id] = tuple(blocks.get(each["id"]) or marks.read("block", each) for each in inside)
    objects: dict[Address, Live] = {}
    copies: list[Live] = []
    problems: list[Problem] = []
    claims: dict[Address, list[Live]] = defaultdict(list)
    for live in (live for lives in found.values() for live in lives):
        if live.stack == stack and live.address and not live.address.parent:
            claims[live.address].append(live)
    recorded = {id: address for address, id in record.ids.items()}
    intended = {(kind_of(a), name): a for a, name in record.intents.items() if a not in record.ids}
    for live in (live for lives in found.values() for live in lives):
        unmarked = kinds()[live.kind].mark == "state"
        address = recorded.get(live.id)
        if unmarked and address is None:
            address = intended.get((live.kind, live.name))
        # its mark is gone; the record decides
        if address and live.stack in (None, stack) and all(live.id != each.id for each in claims[address]):
            claims[address].append(replace(live, address=address, stack=stack, marked=unmarked))
    for address, lives in claims.items():
        winner = _winner(address, lives, record, attached)
        open_claims = [live for live in lives if live.id not in record.duplicates]
        if winner is None and address not in record.ids and len(open_claims) > 1:
            ids = ", ".join(live.id for live in open_claims)
            hint = f"`lettaform import '{address}' ID` says which one it is"
            problems.append(Problem(f"several live objects answer to {address}: {ids}", None, hint, str(address)))
        elif winner is not None:
            room = kinds()[winner.kind].roomy()
            kept = record.marks.get(address) or record.tombstones.get(winner.id) or Mark()
            objects[address] = winner if room else replace(winner, mark=kept)
        copies += [live for live in lives if winner is None or live.id != winner.id]
    detached = _own(objects, blocks, attached)
    ours = {live.id for live in objects.values()}
    unique = [live for kind, lives in found.items() if kinds()[kind].unique for live in lives]
    strangers = {(live.kind, live.name): live for live in unique if live.id not in ours}
    return Observed(
        url,
        version,
        record,
        objects,
        tuple(copies),
        detached,
        foreign=strangers,
        attached=attached,
        problems=tuple(problems),
    )


def _winner(
    address: Address, lives: list[Live], record: State, attached: Mapping[str, tuple[Live, ...]]
) -> Live | None:
    """The record decides; without it a single claimant, or the one whose own blocks carry our tags: a copy's do not."""
    known = next((live for live in lives if live.id == record.ids.get(address)), None)
    if known is not None:
        return known
    lives = [live for live in lives if live.id not in record.duplicates]
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
    detached: dict[Address, tuple[Live, ...]] = {}
    for live in blocks.values():
        if not live.address or not live.address.parent:
            continue
        agent = objects.get(live.address.parent)
        here = agent is not None and any(each.id == live.id for each in attached.get(agent.id, ()))
        if agent is not None and here and live.address not in objects:
            born = Mark(agent.mark.parts.get(live.address.child or "", {}))
            objects[live.address] = live if live.mark != Mark() else replace(live, mark=born)
        elif not here:
            detached[live.address] = (*detached.get(live.address, ()), live)
    return detached


async def _free(client: Client, tag: str, observed: Observed) -> Observed:
    """Of the detached, those that hang on no agent at all; the others have held_elsewhere."""
    if not observed.detached:
        return observed
    # in one page: with this filter 0.16.8 sorts by id, and pages by birth
    params = {"tags": tag, "connected_to_agents_count_eq": 0, "show_hidden_blocks": True, "limit": 1_000_000}
    free = await client.get("/v1/blocks/", **params)
    ids = {body["id"] for body in free}
    left, gone = dict[Address, tuple[Live, ...]](), dict[Address, tuple[Live, ...]]()
    for address, lives in observed.detached.items():
        for live in lives:
            kept = left if live.id in ids else gone
            kept[address] = (*kept.get(address, ()), live)
    return replace(observed, detached=left, held_elsewhere=gone)


async def _inherit(client: Client, observed: Observed) -> Observed:
    """What is left of agents that died in the middle of being replaced."""
    left: dict[Address, tuple[Live, ...]] = {}
    for address, ids in observed.state.carried_over.items():
        if address not in observed.objects:
            lives = await together(maybe(client, "block", id) for id in ids)
            left[address] = tuple(live for live in lives if live is not None)
    return replace(observed, carried_over=left)


async def _imports(client: Client, manifest: Manifest, observed: Observed) -> Observed:
    """What `imports:` names and nobody's mark claims is taken for ours; the plan says what follows."""
    for entry in manifest.imports:
        kind = kind_of(entry.address)
        if entry.address in observed.objects or kind is None:
            continue
        try:
            live, attached = await one(client, kind, entry.id)
        except NotFound as error:
            problem = Problem(error.message, entry.place, None, str(entry.address))
            observed = replace(observed, problems=(*observed.problems, problem))
            continue
        if live.stack not in (None, manifest.stack):
            message = f"{entry.id} belongs to stack `{live.stack}`"
            problem = Problem(message, entry.place, "use it with `external: {id: …}`", str(entry.address))
            observed = replace(observed, problems=(*observed.problems, problem))
            continue
        mine = replace(live, address=entry.address, stack=manifest.stack, marked=False, mark=Mark())
        strangers = {key: each for key, each in observed.foreign.items() if each.id != live.id}
        objects, hung = {**observed.objects, entry.address: mine}, {**observed.attached, live.id: attached}
        observed = replace(observed, objects=objects, attached=hung, foreign=strangers)
    return observed


# --- what others own and we use --------------------------------------------------------------------------------------


async def _externals(
    client: Client, manifest: Manifest, observed: Observed, found: Mapping[str, list[Live]]
) -> Observed:
    wanted = [desired for desired in manifest.objects.values() if desired.external and not desired.external.by]
    listed = {kind: lives for kind, lives in found.items() if kinds()[kind].listed_whole()}
    answers = await together(_external(client, desired, listed.get(desired.kind)) for desired in wanted)
    objects, problems = dict(observed.objects), list(observed.problems)
    for desired, lives in zip(wanted, answers, strict=True):
        if len(lives) == 1:
            objects[desired.address] = replace(lives[0], address=desired.address, stack=lives[0].stack or "")
            continue
        problems.append(_unfound(desired, lives, listed.get(desired.kind, ())))
    return replace(observed, objects=objects, problems=tuple(problems))


async def _external(client: Client, desired: Desired, listed: Sequence[Live] | None) -> list[Live]:
    """`listed`: all of its kind, where that is known already."""
    kind, external = desired.kind, desired.external
    assert external is not None
    relations = kinds()[kind].included(())
    path, include = kinds()[kind].path, {"include": relations} if relations else {}
    if listed is not None and external.stack and external.address:
        return [live for live in listed if live.stack == external.stack and live.address == external.address]
    if listed is not None:
        return [live for live in listed if external.id == live.id or external.name == live.name]
    if external.stack and external.address:
        claim = marks.tags(external.stack, external.address)
        return [marks.read(kind, b) for b in await client.pages(path, tags=claim, match_all_tags=True, **include)]
    if external.id:
        live = await maybe(client, kind, external.id)
        return [live] if live else []
    named = {kinds()[kind].name_field: external.name}
    return [marks.read(kind, body) for body in await client.pages(path, **named, **include)]


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
        for live, agents in zip(others, await together(asked), strict=True)
    }
    if tools:  # no route tells who uses a tool
        everybody = await client.pages("/v1/agents/", include="agent.tools", show_hidden_agents=True)
        known = {agent["id"]: {id for tool in agent["tools"] for id in _ids(tool)} for agent in everybody}
        found |= {id: frozenset(agent for agent, ids in known.items() if id in ids) for id in tools}
    return found


def _ids(tool: Mapping[str, Any]) -> list[Any]:
    """A tool's id, and that of the MCP server that offers it."""
    return [tool["id"], marks.read("tool", tool).values["mcp"]]
