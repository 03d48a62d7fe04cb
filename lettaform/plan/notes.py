"""Changes to notes: why an object is replaced, what is lost with it, what is no longer managed, what has no effect."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

from lettaform.errors import Problem
from lettaform.kinds import kinds, spreading_fields
from lettaform.model import Change, Desired, Live, Observed
from lettaform.plan.leaves import spelled
from lettaform.plan.lookup import UNKNOWN, Lookup
from lettaform.plan.selection import without_messages

EXAMPLES = 3
"""The largest number of dependents that a note names one by one."""
LOST = "its messages are lost if the server cannot list them (--without-messages)"
SHOWN = 60
"""The largest number of characters of a value that a note shows."""


def cascades(lookup: Lookup, id: str) -> Iterator[str]:
    """Notes about what the server deletes along with an object and no address of this stack names."""
    lost = [each for each in lookup.dependents(id).cascades if each.id not in lookup.tables.addresses]
    for kind in dict.fromkeys(each.kind for each in lost):
        names = sorted(f"{each.name} ({each.id})" if each.name else each.id for each in lost if each.kind == kind)
        number = f"{len(names)} {kinds()[kind].section.replace('_', ' ')}"
        yield f"also deletes {', '.join(names) if len(names) <= EXAMPLES else number}, not declared in this manifest"


def losing_messages(changes: Iterable[Change], observed: Observed, patterns: tuple[str, ...]) -> Iterator[Change]:
    """The changes, with a note on what is deleted although a snapshot may lack its messages. `patterns` name it."""
    lives = (replace(live, address=address) for address, live in observed.objects.items())
    named = without_messages(lives, patterns)
    for change in changes:
        lost = change.id in named and change.action in ("delete", "replace")
        yield replace(change, notes=(*change.notes, LOST)) if lost else change


def replacement_note(lookup: Lookup, desired: Desired, change: Change) -> str:
    """Why an object is replaced, and what is lost with it."""
    kind, lost = kinds()[desired.kind], lost_users(lookup, desired)
    names = ", ".join(f"`{name}`" for name in sorted(fixed_fields(change)))
    note = f"{names} cannot be changed on an existing {desired.kind}: replaced"
    note += f", {kind.replacement}" if kind.replacement else ""
    return note + (f"; {named(lookup, lost)} would lose it" if lost else "")


def without_effect(lookup: Lookup) -> Iterator[Problem]:
    """Warnings about fields that changed since their object was created, and are sent at creation only."""
    for address, desired in lookup.manifest.objects.items():
        kind, live = kinds()[desired.kind], lookup.live(address)
        if live is None or not lookup.exists(address) or not lookup.is_in_shard(address):
            continue
        for line in kind.only_at_creation():
            if line.name in desired.values and line.name in live.mark.base:
                known = lookup.known(desired.values[line.name])
                if known is not UNKNOWN and spelled(kind, line, known) != live.mark.base[line.name]:
                    yield _without_effect(desired, line.name)


def _without_effect(desired: Desired, field: str) -> Problem:
    message = f"{desired.address}: `{field}` has changed, and has an effect only when the {desired.kind} is created"
    hint = "set it back to what it was"
    return Problem(message, desired.place_of(field), hint, str(desired.address), field, "warning")


def lost_users(lookup: Lookup, desired: Desired) -> frozenset[str]:
    """Ids of the agents that lose an object when it is replaced.

    These are the agents that use it, except those whose manifest refers to it (they get the new one) and those to
    which lettaform attached it (the manifest takes it away from them).
    """
    live, tables = lookup.live(desired.address), lookup.tables
    if live is None or not lookup.users(live.id):
        return frozenset()
    addresses = [desired.address, *tables.created_with.get(desired.address, ())]
    kept = set[str]().union(*(tables.referrers.get(address, ()) for address in addresses))
    ids = [each.id for address in addresses if (each := lookup.live(address))]
    released = set[str]().union(*(tables.attached_by_us.get(id, ()) for id in ids))
    return lookup.users(live.id) - kept - released


def unreached(lookup: Lookup, live: Live, fields: Collection[str]) -> Iterator[str]:
    """Notes about agents outside this manifest that a change does not reach, although those inside get another list."""
    spreading = spreading_fields(live.kind)
    for field in (each for each in fields if each in spreading):
        if others := sorted(lookup.users(live.id) - lookup.tables.declared_ids):
            named = f": {', '.join(others)}" if len(others) <= EXAMPLES else ""
            keep = "keeps its" if len(others) == 1 else "keep their"
            outside = f"{agents(len(others))} outside this manifest"
            yield f"`{field}` does not reach {outside}, which {keep} `{spreading[field]}`{named}"


def fixed_fields(change: Change) -> list[str]:
    """The changed fields that cannot be changed on an existing object, in the order of the manifest."""
    lines = kinds()[change.kind].attrs()
    names = dict.fromkeys(each.path.split(".")[0] for each in change.fields_changed)
    return [name for name in names if name in lines and lines[name].immutable]


def named(lookup: Lookup, users: Collection[str]) -> str:
    """Agents by their ids: those of this stack by address, other agents by number."""
    addresses = lookup.tables.addresses
    names = sorted(str(addresses[id]) for id in users if id in addresses)
    if others := len(users) - len(names):
        names.append(f"{agents(others)} outside this stack")
    return " and ".join(names) if len(names) < 3 else f"{', '.join(names[:-1])} and {names[-1]}"


def used_by(lookup: Lookup, users: Collection[str]) -> str:
    """Who uses an object, as in `agents.ann uses it`."""
    return f"{named(lookup, users)} {'uses' if len(users) == 1 else 'use'} it"


def agents(number: int) -> str:
    """A number of agents, as in `1 agent`."""
    return f"{number} {'agent' if number == 1 else 'agents'}"


def no_longer_managed(path: str, value: Any, *, secret: bool, reset: bool) -> Iterator[str]:
    """A note about a value that the manifest no longer declares and that stays; nothing if there is no value.

    secret  whether the value is not shown
    reset   whether the server may reset it, because other fields of its group are written
    """
    if not secret and value in (None, "", [], {}):
        return
    shown = "" if secret or isinstance(value, list | dict) else json.dumps(value, ensure_ascii=False)
    stays = shown if 0 < len(shown) <= SHOWN else "as it is"
    yield f"`{path}` is no longer managed, {'and the server may reset it' if reset else f'stays {stays}'}"
