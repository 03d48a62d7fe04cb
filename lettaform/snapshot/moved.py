"""A snapshot to one in which the objects that moved since then have the addresses of today. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.kinds import companions
from lettaform.model import Observed
from lettaform.snapshot.format import Entry, Snapshot


@dataclass(frozen=True)
class AtPresent:
    """A snapshot with the addresses that its objects have now.

    moved     address of today to the one in the snapshot, without own blocks
    problems  the objects whose address of today is not certain
    """

    snapshot: Snapshot
    moved: Mapping[Address, Address] = field(default_factory=dict)
    problems: Mapping[Address, Problem] = field(default_factory=dict)


def at_present(snapshot: Snapshot, observed: Observed, stack: str) -> AtPresent:
    """The snapshot as if it had been taken after all moves: what has another address now is not made again."""
    lives = (*observed.objects.items(), *observed.orphaned_blocks)
    here = {live.id: address for address, live in lives if live.stack == stack}
    moves = dict(_moves(snapshot, here))
    entries = [(entry, _address(entry, moves)) for entry in snapshot.entries]
    problems = dict(_problems(entries, here))
    if not moves:
        return AtPresent(snapshot, problems=problems)
    lives_now = tuple(replace(entry, live=replace(entry.live, address=address)) for entry, address in entries)
    state = snapshot.state
    if state is not None:
        state = replace(state, protected=frozenset(_moved(each, moves) for each in state.protected))
    owned = ((entry.live.address, now) for entry, now in entries if not entry.used)
    moved = {now: old for old, now in owned if now and old and now != old and not now.parent}
    return AtPresent(replace(snapshot, entries=lives_now, state=state), moved, problems)


def _moves(snapshot: Snapshot, here: Mapping[str, Address]) -> Iterator[tuple[Address, Address]]:
    """The addresses of objects that have others now, with what the server creates along with them."""
    for entry in snapshot.entries:
        old, now = entry.live.address, here.get(entry.live.id)
        if old is None or old.parent or now is None or now == old:
            continue
        yield old, now
        pairs = zip(companions(old), companions(now), strict=False)
        yield from ((before, after) for (_, _, before), (_, _, after) in pairs)


def _address(entry: Entry, moves: Mapping[Address, Address]) -> Address | None:
    return _moved(entry.live.address, moves) if entry.live.address else None


def _moved(address: Address, moves: Mapping[Address, Address]) -> Address:
    """The address after the moves. An own block follows its agent."""
    return address.moved(address.top, moves[address.top]) if address.top in moves else address


def _problems(
    entries: list[tuple[Entry, Address | None]], here: Mapping[str, Address]
) -> Iterator[tuple[Address, Problem]]:
    """Blocks that belong to another object than they did, and objects whose address another one has taken."""
    owned = [(entry, address) for entry, address in entries if address and not entry.used]
    number = Counter(address for _, address in owned if address.parent is None)
    for entry, address in owned:
        old, now = entry.live.address, here.get(entry.live.id, address)
        if now != address:
            hint = f"`moved: [{{from: {now}, to: {old}}}]` in the manifest moves it back with the next apply"
            yield address, Problem(f"{old}: {entry.live.id} is {now} now", hint=hint, address=str(old))
        elif number[address] > 1 and entry.live.id not in here:
            message = f"{old}: its address belongs to another object of the snapshot now"
            hint = "name the addresses of the others to restore these"
            yield address, Problem(message, hint=hint, address=str(old))
