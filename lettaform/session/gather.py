"""A whole observation to the Objects of a snapshot: what the stack owns, what is deleted with it, and what it uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.backend import Reads
from lettaform.errors import NotFound
from lettaform.kinds import dependent_kinds, every_field, kinds
from lettaform.kinds.traits import Contents, ListedAt
from lettaform.model import Live, Manifest, Mark, Observed, State
from lettaform.ownership.unowned import is_temporary
from lettaform.snapshot import Objects
from lettaform.values import UNREAD


async def gather(
    reads: Reads,
    manifest: Manifest,
    observed: Observed,
    wanted: Collection[str] | None = None,
    updated: Collection[str] = frozenset(),
) -> Objects:
    """The objects of a snapshot, each once and with all its fields.

    observed  with all fields that lists can hold
    wanted    ids of the objects that matter, with what is deleted along with them; None: all that the stack owns
    updated   ids of objects that matter, and that are not deleted
    """
    owned = {live.id: live for live in _owned(manifest, observed)}
    lives = {id: live for id, live in owned.items() if wanted is None or id in wanted}
    lives = {
        **{id: owned[id] for id in updated if id in owned},
        **await _cascades(reads, list(lives.values())),
        **lives,
    }
    lives |= await _copies(reads, list(lives.values()))
    lives = {live.id: live for live in await with_listed(reads, manifest.stack, list(lives.values()), observed)}
    used = await _used(reads, manifest, lives, observed)
    gone = frozenset(id for live in lives.values() for id, _ in _references(live)) - lives.keys() - used.keys()
    return Objects(
        lives=tuple(_without(live, gone) for live in lives.values()),
        used=tuple(used.values()),
        filled=frozenset(_filled(manifest.stack, lives.values(), used)),
        gone=gone,
        state=_state(observed),
        declared={address: desired.values for address, desired in manifest.objects.items()},
    )


def _state(observed: Observed) -> State | None:
    """The state of the stack, without objects that somebody has deleted: no snapshot can hold them."""
    known = {live.id for live in observed.objects.values()}
    ids = {address: id for address, id in observed.state.ids.items() if id in known}
    return replace(observed.state, ids=ids) if observed.state.exists else None


async def again(reads: Reads, stack: str, objects: Objects) -> Objects:
    """The same objects as the server has them now. Those that no longer exist are left out."""
    listing = await reads.listing(stack, every_field(live.kind for live in objects.lives))
    found = {live.id: live for every in listing.objects.values() for live in every}
    missing = [(live.kind, live.id) for live in objects.lives if live.id not in found]
    fetched = await reads.fetch([each for each in missing if each[0] not in reads.capabilities.nested])
    found |= {live.id: live for every in fetched.objects.values() for live in every}
    lives = [_without(_as_known(found[live.id], live), objects.gone) for live in objects.lives if live.id in found]
    return replace(objects, lives=tuple(lives), used=())


def _as_known(now: Live, known: Live) -> Live:
    """An object with its address, its mark and what needs a request of its own, as they are known."""
    apart = {
        name: known.values.get(name, UNREAD) for name, line in kinds()[now.kind].attrs().items() if line.read_apart()
    }
    values = {**now.values, **{name: value for name, value in apart.items() if name in known.values}}
    return replace(now, values=values, address=known.address, stack=known.stack, mark=known.mark, marked=known.marked)


def _without(live: Live, gone: Collection[str]) -> Live:
    """An object without references to what no longer exists: a group of 0.16.8 keeps the ids of deleted agents."""
    if not gone:
        return live
    values = dict(live.values)
    for name, line in kinds()[live.kind].attrs().items():
        if line.to and isinstance(value := values.get(name), list):
            values[name] = [id for id in value if id not in gone]
        elif line.to and value in gone:
            values[name] = None
    return replace(live, values=values)


def _owned(manifest: Manifest, observed: Observed) -> Iterator[Live]:
    """Everything that the stack owns, orphaned blocks included."""
    for address, live in (*observed.objects.items(), *observed.orphaned_blocks):
        if live.stack == manifest.stack and not _is_brought_back(manifest, address):
            yield replace(live, address=address)


def _is_brought_back(manifest: Manifest, address: Address | None) -> bool:
    """Whether a restore that was interrupted has created the object, which nobody owns once it is completed."""
    return address is not None and is_temporary(address) and address not in manifest.objects


async def _cascades(reads: Reads, lives: Sequence[Live]) -> dict[str, Live]:
    """What the server deletes together with these objects, as conversations that people began."""
    owners = [live for live in lives if live.kind in kinds()[live.kind].discovers or dependent_kinds(live.kind)]
    dependents = await reads.dependents(owners) if owners else {}
    known = {live.id for live in lives}
    found = {each.id: each for every in dependents.values() for each in every.cascades if each.id not in known}
    bare = [(live.kind, live.id) for live in found.values() if not live.values]
    fetched = await reads.fetch(bare) if bare else None
    whole = {live.id: live for every in fetched.objects.values() for live in every} if fetched else {}
    return {id: whole.get(id, live) for id, live in found.items() if live.values or id in whole}


async def _copies(reads: Reads, lives: Sequence[Live]) -> dict[str, Live]:
    """Blocks that belong to one of these objects alone, such as those of a conversation."""
    owners = [live for live in lives if kinds()[live.kind].agent_file and kinds()[live.kind].owner_line()]
    wanted = [("block", id) for live in owners for id in live.discovered.get("block", ())]
    return _by_id((await reads.fetch(wanted)).objects.values()) if wanted else {}


async def with_listed(reads: Reads, stack: str, lives: Sequence[Live], observed: Observed) -> list[Live]:
    """The objects with what is attached to them and stands in a list of its own: archives.

    Two ways lead there: a list for each object, or one for each archive of the server. The shorter one is taken.
    """
    lines = {
        live.kind: [line for line in kinds()[live.kind].attrs().values() if line.related(ListedAt)] for live in lives
    }
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for kind, line in [(kind, line) for kind, every in lines.items() for line in every]:
        owners = [live for live in lives if live.kind == kind]
        members = (await reads.listing(stack, {line.to or "": ()})).objects.get(line.to or "", ())
        if len(members) < len(owners) and line.to in reads.capabilities.listed:
            users = await reads.users(members, observed.attached)
            for live in owners:
                found[live.id][line.name] = sorted(id for id, agents in users.items() if live.id in agents)
        else:
            answers = await reads.contents([(live, line.name, ()) for live in owners])
            found |= {live.id: {**found[live.id], line.name: ids} for live, ids in zip(owners, answers, strict=True)}
    return [replace(live, values={**live.values, **found[live.id]}) if live.id in found else live for live in lives]


async def _used(reads: Reads, manifest: Manifest, lives: Mapping[str, Live], observed: Observed) -> dict[str, Live]:
    """The objects to which these refer, and which are not among them: also the MCP servers of tools."""
    found: dict[str, Live] = {}
    known = {live.id: _as_used(live, manifest) for live in _known(observed)}
    waiting = list(lives.values())
    while waiting:
        wanted = {id: kind for live in waiting for id, kind in _references(live) if id not in lives and id not in found}
        missing = {id: kind for id, kind in wanted.items() if id not in known}
        more = await read(reads, manifest.stack, missing) if missing else {}
        known |= {id: _as_used(live, manifest) for id, live in more.items()}
        new = [known[id] for id in wanted if id in known]
        found |= {live.id: live for live in new}
        waiting = [live for live in new if kinds()[live.kind].agent_file is None]  # what other agents have is theirs
    return found


def _as_used(live: Live, manifest: Manifest) -> Live:
    """An object with its address, if the stack owns it."""
    if _is_brought_back(manifest, live.address):
        return replace(live, address=None, stack=None, mark=Mark(), marked=False)
    return replace(live, address=live.address if live.stack == manifest.stack else None)


def _known(observed: Observed) -> Iterator[Live]:
    # 0.16.8 leaves out the tags of blocks where it answers with an agent: those of others are read by themselves
    yield from (block for blocks in observed.attached.values() for block in blocks if block.stack is not None)
    yield from observed.foreign.values()
    yield from observed.objects.values()


def _references(live: Live) -> Iterator[tuple[str, str]]:
    """Id and kind of what an object refers to."""
    for name, line in kinds()[live.kind].attrs().items():
        yield from ((id, line.to) for id in live.ids(name) if line.to)


async def read(reads: Reads, stack: str, missing: Mapping[str, str]) -> dict[str, Live]:
    """Those of these objects that exist, by id: of a kind that one list shows completely, from that list."""
    listed = [kind for kind in dict.fromkeys(missing.values()) if kind in reads.capabilities.listed]
    listing = await reads.listing(stack, dict.fromkeys(listed, ())) if listed else None
    found = {id: live for id, live in _by_id(listing.objects.values()).items() if id in missing} if listing else {}
    rest = [(kind, id) for id, kind in missing.items() if id not in found and kind not in listed]
    answers = await reads.several(rest) if rest else []
    return found | {answer[0].id: answer[0] for answer in answers if not isinstance(answer, NotFound)}


def _by_id(lists: Iterable[Sequence[Live]]) -> dict[str, Live]:
    return {live.id: live for every in lists for live in every}


def _filled(stack: str, lives: Iterable[Live], used: Mapping[str, Live]) -> Iterator[str]:
    """Used objects that no other stack owns and that the server creates for an agent: its own long-term memory."""
    for live in lives:
        for name, line in kinds()[live.kind].attrs().items():
            if line.related(ListedAt) and isinstance(live.values.get(name), list):
                members = (used[id] for id in live.values[name] if id in used)
                yield from (
                    each.id for each in members if each.stack is None and kinds()[each.kind].relations(Contents)
                )
