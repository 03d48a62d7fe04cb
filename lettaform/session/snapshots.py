"""A whole observation to a proven snapshot on this machine."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from lettaform import __version__
from lettaform.address import matches
from lettaform.backend import Backend
from lettaform.backend.concurrency import cancelled
from lettaform.errors import Problem, ServerError, SnapshotError
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents
from lettaform.model import Commit, Manifest, Observed
from lettaform.plan.selection import talkers, without_messages
from lettaform.session.commit import commit_of
from lettaform.session.gather import again, gather
from lettaform.snapshot import Entry, Header, Objects, Snapshot, take
from lettaform.snapshot.compare import Counted, held_by
from lettaform.snapshot.folder import content, file_faults, in_thread, read
from lettaform.snapshot.format import Scope
from lettaform.snapshot.take import given, to_entries, to_item
from lettaform.snapshot.verify import faults, lacking_messages, unproven

ATTEMPTS = 3
"""How often a snapshot is taken if agents run meanwhile."""
SHOWN = 5
"""How many agents a warning names."""


@dataclass(frozen=True)
class Saved:
    """A proven snapshot. `warnings`: which messages it lacks, and where none were lacking."""

    folder: Path
    warnings: tuple[Problem, ...] = ()


async def save(
    backend: Backend,
    manifest: Manifest,
    observe: Callable[[], Awaitable[Observed]],
    project: Path,
    directory: Path,
    wanted: Collection[str] | None = None,
    updated: Collection[str] = frozenset(),
    scope: Scope = "stack",
    known: Observed | None = None,
    without: tuple[str, ...] = (),
) -> Saved:
    """Write a snapshot below `directory`, read it back, and prove that it holds what the server has.

    observe  reads the server, with all fields that lists can hold
    wanted   ids of the objects to be destroyed; None: all that the stack owns
    updated  ids of the objects to be changed
    scope    of what the snapshot is: it stands in its header
    known    what `observe` would read, if that was read already; what changed since then is found, and read again
    without  patterns: agents and conversations whose messages it may lack if the server does not give them

    SnapshotError if it cannot be written, or if something changes at every attempt. Nothing is left then.
    """
    commit, problems = await in_thread(commit_of, project), list[Problem]()
    for _ in range(ATTEMPTS):
        observed, known = known or await observe(), None
        header = _header(manifest, observed, commit, scope)
        objects = await gather(backend, manifest, observed, wanted, updated)
        objects = replace(objects, optional=without_messages(objects.lives, without))
        folder = await take(backend, header, objects, directory)
        snapshot, problems = await _read_back(backend, manifest.stack, folder, objects)
        if not problems:
            return Saved(folder, tuple(_warnings(snapshot, objects, without)))
        await in_thread(partial(shutil.rmtree, folder, ignore_errors=True))
    message = "the snapshot does not hold everything; nothing was changed on the server"
    raise SnapshotError(message, "run it again while the agents do not run", problems)


def _header(manifest: Manifest, observed: Observed, commit: Commit | None, scope: Scope) -> Header:
    return Header(
        stack=manifest.stack,
        created_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        url=observed.url,
        server_version=observed.version,
        lettaform_version=__version__,
        environment=manifest.environment,
        scope=scope,
        commit=commit,
    )


def _warnings(snapshot: Snapshot, objects: Objects, without: tuple[str, ...]) -> Iterator[Problem]:
    """Which messages a snapshot lacks, and for which agents it was allowed to lack them without need."""
    yield from map(lacking_messages, snapshot.without_messages)
    names, lacking = talkers(objects.lives), {entry.live.id for entry in snapshot.without_messages}
    needed = {address for id in lacking for address in names[id]}
    named = {addresses[0] for addresses in names.values() if addresses and matches(addresses[0], without)}
    whole = sorted(named - needed)
    if whole:
        shown = ", ".join(map(str, whole[:SHOWN])) + (f" and {len(whole) - SHOWN} more" if len(whole) > SHOWN else "")
        message = f"--without-messages was not needed: the snapshot has the messages of {shown}"
        yield Problem(message, severity="warning")


async def _read_back(backend: Backend, stack: str, folder: Path, objects: Objects) -> tuple[Snapshot, list[Problem]]:
    """The snapshot on the disk, and what it lacks of itself, and of what the server has now.

    The server is read while the disk is.
    """
    now = asyncio.create_task(again(backend, stack, objects))
    try:
        snapshot, problems = await in_thread(_on_disk, folder)
        return snapshot, problems + list(unproven(snapshot, to_entries(await now)))
    finally:
        await cancelled(now)


def _on_disk(folder: Path) -> tuple[Snapshot, list[Problem]]:
    """The snapshot on the disk, and what it lacks of itself."""
    snapshot = read(folder, ours=True)
    own = [problem for problem in faults(snapshot, partial(content, folder)) if problem.severity == "error"]
    return snapshot, [*file_faults(folder, snapshot), *own]


async def live_snapshot(
    backend: Backend,
    manifest: Manifest,
    observed: Observed,
    project: Path,
    known: Snapshot,
    *,
    contents: bool = False,
    lenient: bool = False,
) -> tuple[Snapshot, Counted]:
    """What the server has now, as a snapshot without files, and what its files would hold.

    known     the snapshot with which it is compared: messages are read of agents that may have got some since, and the
              messages of the others are left out
    contents  whether also those of used objects are read: of archives that agents fill by themselves
    lenient   whether the snapshot may lack messages that the server does not list; otherwise that is a ServerError
    """
    objects = await gather(backend, manifest, observed)
    header = _header(manifest, observed, await in_thread(commit_of, project), "stack")
    entries, before = [], known.by_id
    held = {}
    for entry in to_entries(objects):
        id, old, refusal = entry.live.id, before.get(entry.live.id), ""
        stored = not entry.used or (contents and id in objects.filled)
        if stored and (old is None or old.file or old.contents):
            held[id], refusal = await _held(backend, entry, old)
            if refusal and not lenient:
                raise ServerError(f"{entry.shown}: {refusal}")
        entries.append(replace(entry, without_messages=refusal))
    return Snapshot(header, objects.state, tuple(entries)), held


async def _held(backend: Backend, entry: Entry, old: Entry | None) -> tuple[Mapping[str, Any], str]:
    """What the files of an entry would hold, and what the server answers instead of its messages."""
    table, live = kinds()[entry.live.kind], entry.live
    items = await backend.all_items(live) if table.relations(Contents) else {}
    contents = {name: [to_item(item) for item in every] for name, every in items.items()}
    silent = old is not None and (old.without_messages or (live.activity and old.live.activity == live.activity))
    talks = table.agent_file and not live.unused and not silent
    history, refusal = await given(backend.messages(live)) if talks else (None, "")
    return held_by(contents, history), refusal
