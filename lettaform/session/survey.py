"""A server to what lives on it and nobody owns: lists of everything, and the contents of what is selected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lettaform.backend import Reads
from lettaform.backend.concurrency import together
from lettaform.errors import PlanError
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents, Owner, SourceFile
from lettaform.manifest.declare import Facts
from lettaform.model import Live
from lettaform.ownership import others
from lettaform.ownership.others import Others, repair
from lettaform.ownership.unowned import Filter, Left, Server
from lettaform.session.observe import with_members


@dataclass(frozen=True)
class Survey:
    """What was read.

    server  all objects, the selected ones with their contents
    chosen  the objects that are selected
    left    objects that were asked for and cannot be selected
    owned   stack to the number of objects that it owns
    """

    server: Server
    chosen: tuple[Live, ...]
    left: tuple[Left, ...]
    facts: Facts
    owned: Mapping[str, int]
    stacks: frozenset[str]
    version: str


@dataclass(frozen=True)
class Lists:
    """All objects of a server, without contents, and what the states of its stacks say.

    listed  the kinds of which the server lists all objects
    others  what the states of all stacks say
    stacks  those that have a state
    """

    server: Server
    listed: frozenset[str]
    others: Others
    stacks: frozenset[str]
    version: str


async def read_lists(reads: Reads) -> Lists:
    """Read the lists of all kinds. PlanError if an owner is not certain."""
    version = await reads.version()
    pages = await reads.states()
    known = others.read(pages, "")
    if known.unreadable:
        stack = known.unreadable[0]
        raise PlanError(f"the state of stack `{stack}` cannot be read: it is not known what it owns", repair(stack))
    fields = {name: tuple(kind.attrs()) for name, kind in kinds().items() if not kind.requests.below}
    listing = await reads.listing(None, fields)
    server = await with_members(reads, Server.of(listing, known), listing.objects)
    return Lists(server, frozenset(listing.objects), known, frozenset(pages), version)


async def survey(reads: Reads, only: Filter, *, without: Sequence[str] = ()) -> Survey:
    """Read everything that a manifest can declare, and that no stack owns. PlanError if an owner is not certain.

    without  kinds that are left out
    """
    lists = await read_lists(reads)
    server = lists.server
    chosen, left = server.select(only)
    chosen = tuple(live for live in chosen if live.kind not in without)
    nested = await _nested(reads, chosen)
    whole = {live.id: live for live in (*await _with_contents(reads, chosen), *nested)}
    server = server.with_lives(whole)
    owned = Counter(live.stack for live in server.lives.values() if live.stack is not None)
    facts = Facts(await reads.models(), await _schemas(reads, chosen))
    return Survey(
        server,
        tuple(whole.values()),
        left,
        facts,
        dict(owned),
        frozenset({*lists.stacks, *map(str, owned)}),
        lists.version,
    )


async def _with_contents(reads: Reads, chosen: Sequence[Live]) -> list[Live]:
    """The objects with their passages and files."""
    found: dict[str, dict[str, Any]] = {live.id: {} for live in chosen}
    lines = [(live, line, what) for live in chosen for line, what in kinds()[live.kind].relations(Contents)]
    listed = [(live, line.name) for live, line, what in lines if what.what != "files"]
    answers = await reads.contents([(live, name, ()) for live, name in listed])
    for (live, name), items in zip(listed, answers, strict=True):
        found[live.id][name] = items
    folders = [(live, line.name) for live, line, what in lines if what.what == "files"]
    for (live, name), items in zip(folders, await together(reads.files(live) for live, _ in folders), strict=True):
        found[live.id][name] = items
    return [replace(live, values={**live.values, **found[live.id]}) for live in chosen]


async def _nested(reads: Reads, chosen: Sequence[Live]) -> list[Live]:
    """The objects that are listed below others, such as schedules below agents: one list for each of these."""
    found = []
    for name in sorted(reads.capabilities.nested):
        above = [line.to for line, _ in kinds()[name].relations(Owner)]
        owners = [live.id for live in chosen if live.kind in above]
        found += [live for lives in await together(reads.nested(name, id) for id in owners) for live in lives]
    return found


async def _schemas(reads: Reads, chosen: Sequence[Live]) -> dict[str, Mapping[str, Any] | None]:
    """Id of an object with a source to the schema that the server derives from it."""
    sources = {name: line.name for name, kind in kinds().items() for line, _ in kind.relations(SourceFile)}
    lives = [live for live in chosen if live.values.get(sources.get(live.kind, ""))]
    return dict(zip((live.id for live in lives), await together(map(reads.derived, lives)), strict=True))
