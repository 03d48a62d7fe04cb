"""What does not show on an object, and belongs to it: what is attached, what lives below it, what it brought along."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.backend.v1.capabilities import is_elsewhere
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.concurrency import together
from lettaform.backend.v1.contents import HOLDS
from lettaform.backend.v1.objects import one, whole
from lettaform.errors import NotFound, Problem, Unsupported
from lettaform.kinds import companions, dependent_kinds, kind_of, kinds
from lettaform.kinds.base import Attr, path_get
from lettaform.model import Dependents, Desired, Live, Manifest, Mark, Observed, State
from lettaform.ownership import marks
from lettaform.values import Ref, digest


async def attached(client: Client, manifest: Manifest, observed: Observed) -> Observed:
    """What belongs to objects and does not show on them: one request for each that declares it."""
    asked = [(live, line) for live, line in _declared(manifest, observed) if line.listed or line.holds]
    if not asked:
        return observed

    async def read(live: Live, line: Attr) -> list[Any]:
        if line.holds:
            return list(await HOLDS[line.holds].read(client, live, line.name))
        return [body["id"] for body in await client.pages(line.listed or "", agent_id=live.id)]

    told: dict[str, dict[str, Any]] = defaultdict(dict)
    for (live, line), found in zip(asked, await together(read(*each) for each in asked), strict=True):
        told[live.id][line.name] = found
    objects = {
        a: replace(live, values={**live.values, **told.get(live.id, {})}) for a, live in observed.objects.items()
    }
    return replace(observed, objects=objects)


def _declared(manifest: Manifest, observed: Observed) -> Iterator[tuple[Live, Attr]]:
    """What lives, with each line that is declared of it."""
    for address, live in observed.objects.items():
        desired = manifest.objects.get(address)
        lines = kinds()[live.kind].attrs()
        yield from ((live, lines[name]) for name in (desired.values if desired else ()))


# --- what lives below others ------------------------------------------------------------------------------------------


async def below(client: Client, manifest: Manifest, observed: Observed) -> Observed:
    """What has no list of its own: one request for each object below which some of it is declared or recorded."""
    record, objects = observed.state, dict(observed.objects)
    lists: dict[str, list[Live]] = {}
    for address in {**manifest.objects, **record.ids, **record.intents}:
        kind, desired = kind_of(address), manifest.objects.get(address)
        if kind is None or not kinds()[kind].requests.below:
            continue
        above = desired.values.get("agent") if desired else None
        by = objects.get(above.address) if isinstance(above, Ref) else None
        id = by.id if by else record.ids.get(address, "").split("/")[0]
        if id and id not in lists:
            lists[id] = await _listed_below(client, kind, id)
        mine = _one_below(address, desired, record, lists.get(id, []))
        if mine is not None:
            kept = record.marks.get(address, Mark())
            objects[address] = replace(mine, address=address, stack=manifest.stack, marked=True, mark=kept)
    return replace(observed, objects=objects)


def _one_below(address: Address, desired: Desired | None, record: State, lives: list[Live]) -> Live | None:
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
            page = await client.get(f"{table.path}{id}/{table.requests.below}", limit=100, **after)
        except NotFound:
            return found
        bodies = next(each for each in page.values() if isinstance(each, list))
        found += [marks.read(kind, body) for body in bodies]
        if not bodies or not page.get("has_next_page"):
            return found
        after = {"after": bodies[-1]["id"]}


# --- what other objects bring ---------------------------------------------------------------------------------------


async def arrived(
    client: Client, manifest: Manifest, observed: Observed, bodies: Mapping[str, Mapping[str, Any]]
) -> Observed:
    """What came along with objects that live. It is what its bringer says it is, whatever address it claims."""
    before = {entry.new: entry.old for entry in manifest.moved}
    wanted = []
    for desired in manifest.objects.values():
        new = desired.brought
        by = new and (observed.objects.get(new) or observed.objects.get(before.get(new, new)))
        wanted += [(desired, by)] if by else []
    asked = {by.id: (by.kind, desired.kind) for desired, by in wanted if desired.external}
    lists = await together(brought(client, by, id, kind) for id, (by, kind) in asked.items())
    offers = dict(zip(asked, lists, strict=True))
    for desired, by in wanted:
        if desired.external:
            mine = [body for body in offers[by.id] if _named(desired, body)]
        else:
            body = bodies.get(by.id) or await whole(client, by.kind, by.id)
            mine = named(by.kind, desired.kind, body)
        observed = await _taken(client, manifest, observed, desired, mine[0] if mine else None)
    return observed


async def unfinished(client: Client, manifest: Manifest, observed: Observed) -> Observed:
    """What an apply that died let the server make along, and could not mark: the mark of its bringer says so."""
    objects, attached = dict(observed.objects), dict(observed.attached)
    for address, live in observed.objects.items():
        if live.stack != manifest.stack:
            continue
        asked = [(kind, part) for name, kind, part in companions(address) if _asked_for(live, name)]
        lost = [(kind, part) for kind, part in asked if part not in objects and part not in manifest.objects]
        body = await whole(client, live.kind, live.id) if lost else {}
        for kind, part in lost:
            for each in named(live.kind, kind, body):
                made, blocks = await one(client, kind, each["id"])
                if made.stack is None:
                    objects[part], attached[made.id] = replace(made, address=part, stack=manifest.stack), blocks
    return replace(observed, objects=objects, attached=attached)


def _asked_for(live: Live, field: str) -> bool:
    return live.mark.base.get(field, digest(False)) != digest(False)


async def brought(client: Client, by: str, id: str, kind: str) -> list[dict[str, Any]]:
    """What an object `id` of the kind `by` brings of another kind: bodies, or maps of no more than an `id`."""
    where = kinds()[by].discovers[kind]
    if where.startswith("/"):
        return await client.items(f"{kinds()[by].path}{id}{where}")
    return named(by, kind, await whole(client, by, id))


def named(by: str, kind: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an answer of the kind `by` names of what came along with it."""
    found = path_get(kinds()[by].decode(body), kinds()[by].discovers[kind])
    every = found if isinstance(found, list) else [found] if found else []
    return [each if isinstance(each, dict) else {"id": each} for each in every]


def _named(desired: Desired, body: Mapping[str, Any]) -> bool:
    return desired.external is not None and marks.read(desired.kind, body).name == desired.external.name


async def _taken(
    client: Client, manifest: Manifest, observed: Observed, desired: Desired, body: Mapping[str, Any] | None
) -> Observed:
    """The observed with what stands at an address that another object fills."""
    address, objects = desired.address, dict(observed.objects)
    before = objects.get(address)
    if desired.external:
        if body is not None:
            objects[address] = replace(marks.read(desired.kind, body), address=address, stack="")
        return replace(observed, objects=objects)
    if before is not None and (body is None or before.id != body["id"]):
        observed = _displaced(observed, address)
        objects, before = dict(observed.objects), None
    if body is None:
        return observed
    if before is None:
        live, blocks = await one(client, desired.kind, body["id"])
        if live.stack not in (None, manifest.stack):
            message = f"{address}: {live.id} belongs to stack `{live.stack}`"
            return replace(observed, problems=(*observed.problems, Problem(message, desired.place, None, str(address))))
        # a run that died between the marks of both has left them to each other
        own = {block.address: block for block in blocks if block.address and block.address.parent == address}
        objects |= own
        ids = {block.id for block in own.values()}
        held_elsewhere = {a: tuple(b for b in lives if b.id not in ids) for a, lives in observed.held_elsewhere.items()}
        held_elsewhere = {a: lives for a, lives in held_elsewhere.items() if lives}
        observed = replace(observed, attached={**observed.attached, live.id: blocks}, held_elsewhere=held_elsewhere)
        claimed = live.address or address
        objects.setdefault(claimed, replace(live, address=claimed, stack=manifest.stack))
    return replace(observed, objects=objects, brought={**observed.brought, address: body["id"]})


def _displaced(observed: Observed, address: Address) -> Observed:
    """Without what stood at an address until something else took its place: a duplicate now, its memory elsewhere."""
    objects, held_elsewhere = dict(observed.objects), dict(observed.held_elsewhere)
    copies = (*observed.duplicates, objects.pop(address))
    for part in [each for each in objects if each.parent == address]:
        held_elsewhere[part] = (*held_elsewhere.get(part, ()), objects.pop(part))
    return replace(observed, objects=objects, held_elsewhere=held_elsewhere, duplicates=copies)


# --- what hangs on a life --------------------------------------------------------------------------------------------


async def dependents(client: Client, lives: Sequence[Live]) -> Mapping[str, Dependents]:
    """What would die with these, and what must die first, anybody's: a list a stack, and one for each of them."""
    bodies = await _bodies(client, lives)
    came = {(live.id, kind): _came(live, kind, bodies) for live in lives for kind in kinds()[live.kind].discovers}
    guested = await together(_guests(client, live) for live in lives)
    binding = await together(_binding(client, kind, line) for kind, line in _binds({v.kind for v in lives}))
    bound = [each for found in binding for each in found]
    told = {}
    for live, guests_of in zip(lives, guested, strict=True):
        before = (each for id, each in bound if id == live.id and each.id not in came.get((id, each.kind), ()))
        second = (Live(live.kind, id, "", {}) for id in sorted(came.get((live.id, live.kind), ())))
        told[live.id] = Dependents((*second, *guests_of), tuple(before))
    return told


async def _bodies(client: Client, lives: Sequence[Live]) -> Mapping[str, Any]:
    """Answers that name what came along, by id."""
    asked = [live for live in lives if live.kind in kinds()[live.kind].discovers]

    def listed(kind: str, stack: str) -> Awaitable[list[Any]]:
        table = kinds()[kind]
        include = [line.include for line in table.attrs().values() if line.along and line.include]
        return client.pages(table.path, tags=marks.stack_tag(stack), include=include, **table.requests.parameters)

    stacks = {(live.kind, live.stack) for live in asked if live.stack}
    lists = await together(listed(kind, stack) for kind, stack in stacks)
    bodies = {body["id"]: body for found in lists for body in found}
    for live in (each for each in asked if each.id not in bodies):  # its tags are gone, and the record knows it
        bodies[live.id] = await whole(client, live.kind, live.id)
    return bodies


def _came(live: Live, kind: str, bodies: Mapping[str, Any]) -> frozenset[str]:
    body = bodies.get(live.id)
    return frozenset(each["id"] for each in named(live.kind, kind, body)) if body else frozenset()


async def _guests(client: Client, live: Live) -> list[Live]:
    """What lives with an object."""
    found: list[Live] = []
    for kind, line in dependent_kinds(live.kind).items():
        if is_elsewhere(kinds()[kind], client.url):
            continue
        if kinds()[kind].requests.below:
            found += await _listed_below(client, kind, live.id)
        else:
            found += await _listed(client, kind, **{line.write or "": live.id})
    return found


async def _binding(client: Client, kind: str, line: Attr) -> list[tuple[str, Live]]:
    """Ids that something of a kind does not let die, and what that is."""
    return [(str(live.values.get(line.name)), live) for live in await _listed(client, kind)]


def _binds(of: Collection[str]) -> Iterator[tuple[str, Attr]]:
    for kind, table in kinds().items():
        yield from ((kind, line) for line in table.attrs().values() if line.binds and line.to in of)


async def _listed(client: Client, kind: str, **asked: Any) -> list[Live]:
    """What a server has of a kind; nothing where it has not the kind."""
    table = kinds()[kind]
    if is_elsewhere(table, client.url):
        return []
    with suppress(NotFound, Unsupported):
        return [marks.read(kind, body) for body in await client.pages(table.path, **asked, **table.requests.parameters)]
    return []
