"""A snapshot and what a server has of its objects to what is not the same there. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.kinds import kinds
from lettaform.model import Change, Manifest
from lettaform.ownership.unowned import temporary_address
from lettaform.snapshot.compare import Counted, compare, held_by
from lettaform.snapshot.format import Entry, Snapshot
from lettaform.snapshot.restore import COMPUTED, creators, restorable
from lettaform.snapshot.unowned import declared_external, is_made_by_agent

Load = Callable[[str], Any]
"""The value of a file of a snapshot. Raises SnapshotError."""


def differences(
    snapshot: Snapshot, load: Load, now: Snapshot, held: Counted, patterns: tuple[str, ...] = ()
) -> tuple[Change, ...]:
    """What of a snapshot a server does not have, or has with other values. What a restore never brings is left out.

    now, held  what the server has, as a snapshot, and what its files would hold
    patterns   addresses; empty: everything that a restore brings
    """
    entries, there = restorable(snapshot, patterns), restorable(now, patterns)
    pairs = [(address, entry, there[address]) for address, entry in entries.items() if address in there]
    made = creators(restorable(snapshot))
    expected, found = dict[str, Mapping[str, Any]](), dict[str, Mapping[str, Any]]()
    for address, entry, other in pairs:
        have = held.get(other.live.id, {})
        both = dict(_contents(entry, load, have)) | (dict(_messages(entry, load, have)) if address not in made else {})
        expected[entry.live.id] = {name: sides[0] for name, sides in both.items()}
        found[other.live.id] = {name: sides[1] for name, sides in both.items()}
    changes = (*compare(snapshot, now, expected, found), *_of_agents(snapshot, load, now, held, pairs))
    missing = [Change(a, each.live.kind, "update", None, "missing") for a, each in entries.items() if a not in there]
    known = {**entries, **{temporary_address(each.live): each for each in snapshot.entries if is_made_by_agent(each)}}
    different = (_chosen(change, known[change.address]) for change in changes if change.address in known)
    every = [*missing, *different]
    return tuple(sorted((each for each in every if each.fields_changed or each.reason == "missing"), key=_address))


def _of_agents(
    snapshot: Snapshot, load: Load, now: Snapshot, held: Counted, pairs: Iterable[tuple[Address, Entry, Entry]]
) -> Iterator[Change]:
    """What differs of the objects that agents made themselves, each under the address that a restore gives it.

    One that an agent has with neither the label nor an archive of its own is a difference of the agent.
    """
    old, new = snapshot.by_id, now.by_id
    for id, other in dict(_counterparts(old, new, pairs)).items():
        both, address = dict(_contents(old[id], load, held.get(other, {}))), temporary_address(old[id].live)
        one, two = _alone(snapshot, old[id], address), _alone(now, new[other], address)
        expected, found = ({name: sides[place] for name, sides in both.items()} for place in (0, 1))
        yield from compare(one, two, {id: expected}, {other: found})


def _alone(snapshot: Snapshot, entry: Entry, address: Address) -> Snapshot:
    """A snapshot with one object alone, as if it had an address."""
    return replace(snapshot, entries=(replace(entry, used=False, live=replace(entry.live, address=address)),))


def _counterparts(
    old: Mapping[str, Entry], new: Mapping[str, Entry], pairs: Iterable[tuple[Address, Entry, Entry]]
) -> Iterator[tuple[str, str]]:
    """Id of what an agent made itself to the id of what it has in its place on the other server."""
    for _, entry, other in pairs:
        for name in kinds()[entry.live.kind].attrs():
            made = [id for id in entry.live.ids(name) if id in old and is_made_by_agent(old[id])]
            there = [new[id].live for id in other.live.ids(name) if id in new]
            for id in made:
                live = old[id].live
                found = [each for each in there if (each.kind, each.name) == (live.kind, live.name)]
                yield from ((id, each.id) for each in found[:1])


def known_by_id_alone(snapshot: Snapshot, declared: Manifest, patterns: tuple[str, ...] = ()) -> Iterator[Problem]:
    """Objects of others that can be found by their id alone, which is another one on another server."""
    by_id, first = snapshot.by_id, snapshot.header.url
    for address, entry in restorable(snapshot, patterns).items():
        for name, line in kinds()[entry.live.kind].attrs().items():
            for other in (by_id[id] for id in entry.live.ids(name) if line.to and id in by_id):
                live, table = other.live, kinds()[other.live.kind]
                if not other.used or table.unique or declared_external(declared, other) or is_made_by_agent(other):
                    continue
                message = f"{address} uses the {live.kind} `{live.name}` ({live.id}), which "
                if live.stack:
                    message += f"stack `{live.stack}` owns"
                    hint = f"declare it below `{table.section}` as external, by its stack and address"
                else:
                    message += "no stack owns"
                    command = f"`lettaform import {table.section}.KEY {live.id} --server {first}`"
                    hint = f"let the stack own it: declare it, run {command}, and `lettaform apply --server {first}`"
                yield Problem(message, hint=hint, address=str(address), field=name)


def _address(change: Change) -> Address:
    return change.address


def _chosen(change: Change, entry: Entry) -> Change:
    """A change without the fields that the server derives from others."""
    derived = COMPUTED - entry.live.mark.base.keys()
    return replace(change, fields_changed=tuple(each for each in change.fields_changed if each.path not in derived))


def _contents(entry: Entry, load: Load, have: Mapping[str, Any]) -> Iterator[tuple[str, tuple[list[str], list[str]]]]:
    """Field to the passages or files that a restore brings, and to those that the server has.

    What has no content in the snapshot is not restored, and may have been uploaded since.
    """
    for name, items in (load(entry.contents) if entry.contents else {}).items():
        if name in have:
            whole = [item for item in items if item.get("body")]
            (want,) = held_by({name: whole}, None).values()
            there = list(have[name])
            yield name, (want, there if len(whole) == len(items) else _only(there, want))


def _only(texts: list[str], wanted: list[str]) -> list[str]:
    return sorted((Counter(texts) & Counter(wanted)).elements())


def _messages(entry: Entry, load: Load, have: Mapping[str, Any]) -> Iterator[tuple[str, tuple[list[str], list[str]]]]:
    """The messages that a restore brings, and those that the server has, without prompts."""
    if has_history(entry) and "messages" in have:
        yield "messages", (expected_messages(entry, load), without_prompts(have["messages"]))


def has_history(entry: Entry) -> bool:
    """Whether an object can have messages that a new one gets: those of a conversation stay where they are.

    What the snapshot does not have is not compared.
    """
    table = kinds()[entry.live.kind]
    return not entry.without_messages and table.agent_file is not None and table.owner_line() is None


def expected_messages(entry: Entry, load: Load) -> list[str]:
    """The messages that an agent has once it is restored: all that it had."""
    return _said(load(entry.messages)["messages"]) if entry.messages else []


def _said(held: list[Mapping[str, Any]]) -> list[str]:
    return without_prompts(held_by(None, held)["messages"])


def without_prompts(messages: list[str]) -> list[str]:
    """Messages in order, without system prompts: there is one more for each conversation that has begun."""
    return sorted(each for each in messages if each != "system prompt")
