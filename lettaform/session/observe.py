"""A manifest and a backend to Observed: read what is needed, and let `ownership` decide what belongs to the stack."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from lettaform.address import Address
from lettaform.backend import Arrived, Backend, Fields, Reads
from lettaform.backend.concurrency import cancelled, together
from lettaform.errors import NotFound, Problem, UnreadableState
from lettaform.kinds import MATCHED, every_field, is_matched, kind_of, kinds
from lettaform.kinds.traits import ListedAt
from lettaform.model import Desired, Import, Listing, Live, Manifest, Observed, State
from lettaform.ownership import claims, named, others, state
from lettaform.ownership import matched as matched_agents
from lettaform.ownership.others import Others
from lettaform.ownership.unowned import MADE_BY_AGENTS, Server
from lettaform.plan.matches import expand
from lettaform.values import UNREAD, Item, Ref, walk

CORE = ("agent", "block", "tool")
"""The kinds that every plan lists, declared or not."""


class OtherStacks:
    """What the states of other stacks say. They are read when this is first called, and once."""

    def __init__(self, reads: Reads, stack: str) -> None:
        self.reads, self.stack = reads, stack
        self.found: Others | None = None

    async def __call__(self) -> Others:
        """Read the states, unless they are read."""
        if self.found is None:
            self.found = others.read(await self.reads.states(), self.stack)
        return self.found


class FirstReads:
    """The first reads of an observation, under way together: the release of the server, and its lists."""

    def __init__(self, reads: Reads, stack: str, fields: Fields) -> None:
        """`fields`: as of `Reads.listing`. The kinds that every plan reads are added."""
        self.stack, self.fields = stack, _with_core(fields)
        self.version = asyncio.create_task(reads.version())
        self.listing = asyncio.create_task(reads.listing(stack, self.fields, self._arrived))
        self._pages: list[tuple[str, Listing]] = []
        self._listener: Arrived | None = None

    @classmethod
    async def of(
        cls, reads: Reads, stack: str, fields: Fields, arrived: Arrived | None, under_way: FirstReads | None
    ) -> FirstReads:
        """Those that are under way if they are the same requests; otherwise they end, and new ones begin.

        arrived  is called with each page, as of `Reads.listing`, and now with those that are there already
        """
        first = under_way
        if first is not None and not (stack == first.stack and cls.same(fields, first.fields)):
            await first.cancel()
            first = None
        first = first or cls(reads, stack, fields)
        if arrived is not None:
            first._listen(arrived)
        return first

    @staticmethod
    def same(one: Fields, other: Fields) -> bool:
        """Whether reads of both are the same requests."""
        return _included(_with_core(one)) == _included(_with_core(other))

    def _listen(self, arrived: Arrived) -> None:
        self._listener = arrived
        pages, self._pages = self._pages, []
        for page in pages:
            arrived(*page)

    def _arrived(self, kind: str, listing: Listing) -> None:
        """Leaves out pages that arrive before the release is known: it says what the server can hold."""
        if self.version.done() and not self.version.cancelled() and self.version.exception() is None:
            if self._listener is None:
                self._pages.append((kind, listing))
            else:
                self._listener(kind, listing)

    async def cancel(self) -> None:
        """End what is still under way."""
        await cancelled(self.version, self.listing)


async def read_state(backend: Backend, stack: str) -> State:
    """The state of a stack, without its objects. Raises UnreadableState."""
    return state.from_pages((await backend.states()).get(stack, {}))


async def observe(
    reads: Reads,
    manifest: Manifest,
    *,
    every_kind: bool = False,
    lenient: bool = False,
    contents: bool = True,
    first: FirstReads | None = None,
    matched: bool = False,
) -> Observed:
    """The live objects of a stack, and those of others that it uses. `Observed.problems` lists unclear ownership.

    every_kind  search every kind for marks of the stack, not only those that the manifest or the state names
    lenient     read what can be read of a damaged state, instead of raising UnreadableState
    contents    read the fields that need requests of their own, as of `read_contents`; otherwise they are UNREAD
    first       the first reads, if they are under way already
    matched     read the agents that `matches` selects, too, and those to which it applied something before

    Raises ServerError; Unsupported if the server lacks what the manifest declares.
    """
    fields = declared_fields(manifest)
    first = first or FirstReads(reads, manifest.stack, fields)
    try:
        version = await first.version
        reads.require(manifest, version, {})
        # fields that are computed from the whole manifest may not have been foreseen
        listing = await (first.listing if covers(first.fields, fields) else reads.listing(manifest.stack, fields))
    finally:
        await first.cancel()
    listing = _only(listing, fields)
    if attached := _undeclared(manifest, listing):
        # what lettaform attached and no line declares any more is detached: the lists must show it
        fields = {kind: {*names, *attached.get(kind, ())} for kind, names in fields.items()}
        listing = await reads.listing(manifest.stack, fields)
    reads.require(manifest, version, listing.refused)
    known, faults = state.salvage(listing.state) if lenient else (state.from_pages(listing.state), ())
    named = kinds().keys() & {*map(kind_of, (*known.ids, *known.intents)), *known.kinds}
    more: Fields = dict.fromkeys(sorted(named - fields.keys()), ())
    if more:
        listing |= await reads.listing(manifest.stack, more)
        reads.require(manifest, version, listing.refused)
    if every_kind:
        rest = {kind: () for kind in kinds() if kind in reads.capabilities.claims and kind not in listing.objects}
        listing |= replace(await reads.listing(manifest.stack, rest), refused={})
    if missing := claims.missing(listing, known, reads.capabilities):
        listing = _added(listing, await reads.fetch(missing))
    elsewhere, doubts = OtherStacks(reads, manifest.stack), tuple[Problem, ...]()
    if others.undecided(listing, known, manifest, reads.capabilities):
        listing, doubts = others.decided(listing, known, manifest, reads.capabilities, await elsewhere())
    observed = claims.observe(listing, known, manifest, reads.capabilities, reads.url, version)
    observed = await _orphans(reads, manifest, replace(observed, problems=(*observed.problems, *doubts)))
    observed = await _imports(reads, manifest, observed, elsewhere)
    observed = await _externals(reads, manifest, observed, listing, elsewhere)
    observed = await _nested(reads, manifest, observed, elsewhere)
    observed = await _discovered(reads, manifest, observed)
    observed = await _matched(reads, manifest, observed, elsewhere) if matched else observed
    if contents:
        observed = await read_contents(reads, expand(manifest, observed), observed)
    unread = (Problem(fault, address=str(state.ADDRESS)) for fault in faults)
    return replace(observed, problems=(*observed.problems, *unread))


class Pages:
    """Observes page after page of a list, with what all of them share: the state, and the blocks that are no parts."""

    def __init__(self, reads: Reads, manifest: Manifest, kind: str, first: Listing) -> None:
        """`first`: one of the pages, as of `Arrived`. The other kinds are the same in all."""
        self.reads, self.manifest, self.kind = reads, manifest, kind
        try:
            self.state: State | None = state.from_pages(first.state)
        except UnreadableState:
            self.state = None
        every = first.objects.get("block", ())
        self.shared = {live.id: live for live in every if not (live.address and live.address.parent)}

    def observe(self, listing: Listing) -> Observed | None:
        """What one page shows, and what it refers to of kinds that were read.

        None if the state of the stack is not readable. Ownership may be unclear: an observation of everything tells.
        """
        if self.state is None:
            return None
        if self.kind != "block":
            attached = (listing.attached.get(live.id, ()) for live in listing.objects[self.kind])
            blocks = {**self.shared, **{block.id: block for each in attached for block in each}}
            listing |= Listing({"block": tuple(blocks.values())})
        reads = self.reads
        return claims.observe(listing, self.state, self.manifest, reads.capabilities, reads.url, "")


def declared_fields(manifest: Manifest) -> Fields:
    """The kinds to list, each with the fields that the manifest declares."""
    fields: dict[str, set[str]] = {kind: set() for kind in CORE}
    for desired in manifest.objects.values():
        fields.setdefault(desired.kind, set()).update(desired.values)
    return fields


def _with_core(fields: Fields) -> Fields:
    return {**dict.fromkeys(CORE, ()), **fields}


def _included(fields: Fields) -> Mapping[str, frozenset[str]]:
    """Kind to what its list is asked for."""
    return {kind: frozenset(kinds()[kind].included(names)) for kind, names in fields.items()}


def whole_fields(fields: Fields) -> Fields:
    """All fields of these kinds that lists can hold."""
    return every_field((*CORE, *fields))


def is_whole(observed: Observed) -> bool:
    """Whether all fields that lists can hold were read of what the stack owns and uses."""
    return not any(
        live.values.get(name) is UNREAD
        for address, live in observed.objects.items()
        if not is_matched(address)
        for name, line in kinds()[live.kind].attrs().items()
        if not line.read_apart()
    )


def covers(have: Fields, fields: Fields) -> bool:
    """Whether lists of `have` hold these fields of these kinds."""
    return all(
        kind in have and {*kinds()[kind].included(names)} <= {*kinds()[kind].included(have[kind])}
        for kind, names in fields.items()
    )


def _undeclared(manifest: Manifest, listing: Listing) -> Fields:
    """Fields that were not read and that no longer have a line, although lettaform attached members to them."""
    after = {entry.old: entry.new for entry in manifest.moved}
    found: dict[str, set[str]] = defaultdict(set)
    for kind, lives in listing.objects.items():
        lines = kinds()[kind].attrs()
        for live in lives:
            names = [n for n, ids in live.mark.members.items() if ids and n in lines and not lines[n].read_apart()]
            unread = [name for name in names if live.values.get(name) is UNREAD]
            if (
                unread
                and live.stack == manifest.stack
                and live.address
                and any(True for _ in _declared(manifest, live.address, after))
            ):
                found[kind].update(unread)
    return found


def _only(listing: Listing, fields: Fields) -> Listing:
    """Without the kinds that are not declared after all."""
    objects = {kind: lives for kind, lives in listing.objects.items() if kind in fields}
    refused = {kind: words for kind, words in listing.refused.items() if kind in fields}
    return replace(listing, objects=objects, refused=refused)


def _added(listing: Listing, found: Listing) -> Listing:
    """`listing` with objects that were fetched one by one."""
    objects = {kind: (*listing.objects.get(kind, ()), *lives) for kind, lives in found.objects.items()}
    blocks = {live.id: live for live in objects.get("block", listing.objects.get("block", ()))}
    attached = {id: tuple(blocks.get(each.id, each) for each in every) for id, every in found.attached.items()}
    return replace(listing, objects={**listing.objects, **objects}, attached={**listing.attached, **attached})


async def _orphans(reads: Reads, manifest: Manifest, observed: Observed) -> Observed:
    """`observed` with its orphaned blocks separated, and with the blocks that are carried over."""
    if observed.detached:
        observed = claims.sort_orphans(observed, await reads.unattached(manifest.stack))
    wanted = list(claims.missing_carried_over(observed))
    if wanted:
        found = await reads.fetch([("block", id) for _, id in wanted])
        blocks = {live.id: live for live in found.objects.get("block", ())}
        observed = claims.with_carried_over(observed, [(address, blocks.get(id)) for address, id in wanted])
    return observed


async def _imports(reads: Reads, manifest: Manifest, observed: Observed, elsewhere: OtherStacks) -> Observed:
    """`observed` with the objects that `imports:` names, as if the stack owned them already."""
    new = [each for each in manifest.imports if each.address not in observed.objects and kind_of(each.address)]
    wanted = [(entry, entry.id) for entry in new if entry.id]
    answers = await reads.several([(kind_of(entry.address) or "", id) for entry, id in wanted])
    for (entry, _), answer in zip(wanted, answers, strict=True):
        if isinstance(answer, NotFound):
            if observed.state.ids.get(entry.address) != entry.id:  # else it was imported, and deleted since
                hint = f"name another id, or remove the entry: without it, an apply creates {entry.address}"
                missing = Problem(answer.message, entry.place, hint, str(entry.address))
                observed = replace(observed, problems=(*observed.problems, missing))
            continue
        live, blocks = answer
        known = await owners_of(live, manifest, observed, elsewhere)
        if problem := claims.adoption_problem(observed, manifest, entry.address, live, known, entry.place):
            observed = replace(observed, problems=(*observed.problems, problem))
        else:
            observed = claims.adopt(observed, manifest, entry.address, live, blocks)
    rest = [entry for entry in new if entry.name and entry.address in manifest.objects]
    return await _by_name(reads, manifest, observed, rest, elsewhere) if rest else observed


async def _by_name(
    reads: Reads, manifest: Manifest, observed: Observed, entries: Sequence[Import], elsewhere: OtherStacks
) -> Observed:
    """`observed` with the objects that `imports:` names by their names: one list for each of their kinds."""
    known = await elsewhere()
    every, fields = {manifest.objects[entry.address].kind for entry in entries}, declared_fields(manifest)
    kinds_to_list = every | ({*CORE} if every & {"agent", *MADE_BY_AGENTS} else set())
    listing = await reads.listing(None, {kind: tuple(fields.get(kind, ())) for kind in kinds_to_list})
    server = await with_members(reads, Server.of(listing, known), every)
    for entry in sorted(entries, key=lambda entry: named.order(entry, manifest)):
        found = named.meant(entry, manifest, observed, server)
        if isinstance(found, Live):
            doubt = claims.adoption_problem(observed, manifest, entry.address, found, known, entry.place)
            found = found if doubt is None else doubt
        if isinstance(found, Problem):
            observed = replace(observed, problems=(*observed.problems, found))
        elif found is not None:
            blocks = listing.attached.get(found.id, ())
            observed = claims.adopt(observed, manifest, entry.address, found, blocks)
    return observed


async def with_members(reads: Reads, server: Server, listed: Collection[str]) -> Server:
    """The server with the members of fields that answers leave out: one list for each member of a kind in `listed`."""
    found: dict[str, dict[str, Any]] = {}
    for name, kind in kinds().items():
        for line, _ in kind.relations(ListedAt):
            if line.to not in listed:
                continue
            users = [live.id for live in server.lives.values() if live.kind == name]
            members = [live.id for live in server.lives.values() if live.kind == line.to]
            having = await reads.members(name, line.name, members)
            for id in users:
                found.setdefault(id, {})[line.name] = having.get(id)
    lives = {id: replace(server.lives[id], values={**server.lives[id].values, **new}) for id, new in found.items()}
    return server.with_lives(lives)


async def owners_of(live: Live, manifest: Manifest, observed: Observed, elsewhere: OtherStacks) -> Others:
    """What other stacks say of an object that is to be adopted. They are not asked about one whose owner is known."""
    known = live.stack is not None or claims.is_ours(observed, manifest, live)
    return Others() if known else await elsewhere()


async def read_contents(reads: Reads, manifest: Manifest, observed: Observed) -> Observed:
    """`observed` with the fields that need a request of their own, if they are declared or lettaform added to them.

    Other such fields stay UNREAD.
    """
    wanted = dict(_to_read(manifest, observed))
    if not wanted:
        return observed
    lives = {live.id: live for live in observed.objects.values()}
    found: dict[str, dict[str, object]] = defaultdict(dict)
    answers = await reads.contents([(lives[id], field, keys) for (id, field), keys in wanted.items()])
    for (id, field), contents in zip(wanted, answers, strict=True):
        found[id][field] = contents
    objects = {
        address: replace(live, values={**live.values, **found[live.id]}) if live.id in found else live
        for address, live in observed.objects.items()
    }
    return replace(observed, objects=objects)


async def read_whole(reads: Reads, lives: Sequence[Live], names: Mapping[str, str]) -> list[Live]:
    """Objects with the fields that need a request of their own, and with the names of all to which they refer.

    names  id to what people call an object
    """
    lines = [(live, line) for live in lives for line in kinds()[live.kind].attrs().values()]
    wanted = [(live, line) for live, line in lines if line.read_apart() and live.values.get(line.name) is UNREAD]
    answers = await reads.contents([(live, line.name, ()) for live, line in wanted])
    found: dict[str, dict[str, object]] = defaultdict(dict)
    strange: dict[str, str] = {}
    for (live, line), contents in zip(wanted, answers, strict=True):
        found[live.id][line.name] = contents
        strange |= {id: line.to for id in contents if line.to and isinstance(id, str) and id not in names}
    fetched = await reads.fetch([(kind, id) for id, kind in strange.items()])
    names = {**names, **{live.id: live.name for each in fetched.objects.values() for live in each}}
    return [
        replace(live, values=(values := {**live.values, **found[live.id]}), names=_names_in(values, names))
        for live in lives
    ]


def _names_in(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, str]:
    """The names of the ids in these values."""
    every = (value if isinstance(value, list) else [value] for value in values.values() if value is not UNREAD)
    return {each: names[each] for value in every for each in value if isinstance(each, str) and each in names}


def _to_read(manifest: Manifest, observed: Observed) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """Id and field of what needs a request of its own, and the keys of Items, or ids, that are declared there."""
    after = {entry.old: entry.new for entry in manifest.moved}
    found: dict[tuple[str, str], dict[str, None]] = {}
    for address, live in observed.objects.items():
        apart = _read_apart(live.kind)
        if not apart:
            continue
        # an external object has the marks of its own stack
        declared = [each for each in _declared(manifest, address, after) if each.external is None]
        values = [pair for desired in declared for pair in desired.values.items() if pair[0] in apart]
        # of fields that are no longer declared, the members that lettaform added are removed
        held = live.mark.members.items() if declared or is_matched(address) else ()
        values += [(name, None) for name, members in held if name in apart and members]
        for name, value in values:
            keys = found.setdefault((live.id, name), {})
            keys |= dict.fromkeys(_named(value, observed))
    yield from ((wanted, tuple(keys)) for wanted, keys in found.items())


@cache
def _read_apart(kind: str) -> frozenset[str]:
    """The fields of a kind that answers leave out."""
    return frozenset(name for name, line in kinds()[kind].attrs().items() if line.read_apart())


def _named(value: Any, observed: Observed) -> Iterator[str]:
    """The keys of the Items of a declared value, and the ids of the objects that it refers to."""
    for each in walk(value):
        if isinstance(each, Item):
            yield each.key
        elif isinstance(each, Ref) and (live := observed.objects.get(each.address)):
            yield live.id


def _declared(manifest: Manifest, address: Address, after: Mapping[Address, Address]) -> Iterator[Desired]:
    """The declarations of the object at an address, also under the addresses that `moved` gives it."""
    seen: set[Address] = set()
    at: Address | None = address
    while at is not None and at not in seen:
        seen.add(at)
        if desired := manifest.objects.get(at):
            yield desired
        at = after.get(at)


async def _externals(
    reads: Reads, manifest: Manifest, observed: Observed, listing: Listing, elsewhere: OtherStacks
) -> Observed:
    """`observed` with the external objects of the manifest."""
    wanted = [each for each in manifest.objects.values() if each.external and not each.external.offered_by]
    if any(claims.is_in_state_alone(each, reads.capabilities) for each in wanted):
        observed, wanted = claims.by_states(observed, wanted, await elsewhere())
    listed = {kind: lives for kind, lives in listing.objects.items() if kind in reads.capabilities.listed}
    asked = [each for each in wanted if each.kind not in listed]
    answers = dict(zip((each.address for each in asked), await together(map(reads.candidates, asked)), strict=True))
    found = []
    for desired in wanted:
        choices = listed.get(desired.kind, ())
        candidates = answers.get(desired.address, choices)
        found.append((desired, [live for live in candidates if claims.matches_external(desired, live)], choices))
    return claims.with_externals(observed, found)


async def _matched(reads: Reads, manifest: Manifest, observed: Observed, elsewhere: OtherStacks) -> Observed:
    """`observed` with agents that the stack does not own: a list for each set of tags, or one list of all agents.

    An agent to which something was applied before and that no list shows is read by its id.
    """
    if not (manifest.matches or observed.state.matched_agents):
        return observed
    fields = matched_agents.fields(manifest, observed.state)
    lists = await together(reads.tagged(MATCHED, tags, fields) for tags in matched_agents.lists(manifest))
    agents = {live.id: live for each in lists for live in each.objects.get(MATCHED, ())}
    attached = {id: blocks for each in lists for id, blocks in each.attached.items()}
    listing = Listing({MATCHED: tuple(agents.values())}, attached)
    unlisted = [(MATCHED, id) for id in matched_agents.unlisted(observed.state, listing)]
    answers = await reads.several(unlisted) if unlisted else ()
    found = {answer[0].id: answer for answer in answers if not isinstance(answer, NotFound)}
    more = (live for live, _ in found.values())
    blocks = {id: blocks for id, (_, blocks) in found.items()}
    listing = Listing({MATCHED: (*agents.values(), *more)}, {**attached, **blocks})
    known = await elsewhere() if any(match.stacks for match in manifest.matches) else Others()
    return matched_agents.with_matched(observed, manifest, listing, known)


async def _nested(reads: Reads, manifest: Manifest, observed: Observed, elsewhere: OtherStacks) -> Observed:
    """`observed` with nested objects, from one list for each owner and kind."""
    owners = list(claims.nested_owners(observed, manifest))
    asked = list(dict.fromkeys((kind, owner) for _, kind, owner in owners))
    lists = dict(zip(asked, await together(reads.nested(*each) for each in asked), strict=True))
    found = [(address, lists[kind, owner]) for address, kind, owner in owners]
    known = await elsewhere() if claims.is_undecided(observed, found) else Others()
    return claims.with_nested(observed, manifest, found, known)


async def _discovered(reads: Reads, manifest: Manifest, observed: Observed) -> Observed:
    """`observed` with what the server created along with existing objects, and what these offer."""
    wanted = claims.discoverable(observed, manifest)
    offering = {(source.id, each.kind): source for each, source in wanted if each.external}
    lists = await together(reads.offered(source, kind) for (_, kind), source in offering.items())
    offers = dict(zip(offering, lists, strict=True))
    unread: list[tuple[Desired, str]] = []
    for desired, source in wanted:
        if desired.external:
            observed = claims.with_offered(observed, desired, offers[source.id, desired.kind])
        else:
            id = next(iter(await _companions(reads, source, desired.kind)), None)
            observed = claims.displaced(observed, desired.address, id)
            if id and desired.address in observed.objects:
                observed = replace(observed, discovered={**observed.discovered, desired.address: id})
            elif id:
                unread.append((desired, id))
    answers = await _each(reads, [(desired.kind, id) for desired, id in unread])
    for (desired, _), found in zip(unread, answers, strict=True):
        observed = claims.with_discovered(observed, manifest, desired, *found)
    for live, kind, address in claims.lost_companions(observed, manifest):
        for id in await _companions(reads, live, kind):
            observed = claims.with_companion(observed, manifest, address, *await reads.one(kind, id))
    return observed


async def _each(reads: Reads, wanted: Sequence[tuple[str, str]]) -> list[tuple[Live, tuple[Live, ...]]]:
    """Each of these objects, and the blocks attached to it. NotFound if one does not exist."""
    found: list[tuple[Live, tuple[Live, ...]]] = []
    for answer in await reads.several(wanted):
        if isinstance(answer, NotFound):
            raise answer
        found.append(answer)
    return found


async def _companions(reads: Reads, live: Live, kind: str) -> tuple[str, ...]:
    """Ids of what the server created along with an object; the object is read again if its list left them out."""
    if kind not in live.discovered:
        live = (await reads.one(live.kind, live.id))[0]
    return live.discovered.get(kind, ())
