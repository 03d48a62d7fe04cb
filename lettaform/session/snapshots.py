"""A whole observation to a proven snapshot on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from lettaform import __version__
from lettaform.backend import Backend
from lettaform.errors import Problem, SnapshotError
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents
from lettaform.model import Commit, Manifest, Observed
from lettaform.session.commit import commit_of
from lettaform.session.gather import again, gather
from lettaform.snapshot import Entry, Header, Objects, Snapshot, take
from lettaform.snapshot.compare import Counted, held_by
from lettaform.snapshot.folder import content, file_faults, in_thread, read
from lettaform.snapshot.format import Scope
from lettaform.snapshot.take import to_entries, to_item
from lettaform.snapshot.verify import faults, unproven

ATTEMPTS = 3
"""How often a snapshot is taken if agents run meanwhile."""


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
) -> Path:
    """Write a snapshot below `directory`, read it back, and prove that it holds what the server has. Its folder.

    observe  reads the server, with all fields that lists can hold
    wanted   ids of the objects to be destroyed; None: all that the stack owns
    updated  ids of the objects to be changed
    scope    of what the snapshot is: it stands in its header
    known    what `observe` would read, if that was read already; what changed since then is found, and read again

    SnapshotError if it cannot be written, or if something changes at every attempt. Nothing is left then.
    """
    commit, problems = await in_thread(commit_of, project), list[Problem]()
    for _ in range(ATTEMPTS):
        observed, known = known or await observe(), None
        header = _header(manifest, observed, commit, scope)
        objects = await gather(backend, manifest, observed, wanted, updated)
        folder = await take(backend, header, objects, directory)
        problems = await _unproven(backend, manifest.stack, folder, objects)
        if not problems:
            return folder
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


async def _unproven(backend: Backend, stack: str, folder: Path, objects: Objects) -> list[Problem]:
    """What the snapshot on the disk lacks of itself, and of what the server has now."""
    snapshot = await in_thread(partial(read, folder, ours=True))
    problems = await in_thread(lambda: list(file_faults(folder, snapshot)))
    own = await in_thread(lambda: list(faults(snapshot, partial(content, folder))))
    problems += [problem for problem in own if problem.severity == "error"]
    return problems + list(unproven(snapshot, to_entries(await again(backend, stack, objects))))


async def live_snapshot(
    backend: Backend, manifest: Manifest, observed: Observed, project: Path, known: Snapshot
) -> tuple[Snapshot, Counted]:
    """What the server has now, as a snapshot without files, and what its files would hold.

    known  the snapshot with which it is compared: messages are read of agents that may have got some since, and the
           messages of the others are left out
    """
    objects = await gather(backend, manifest, observed)
    header = _header(manifest, observed, await in_thread(commit_of, project), "stack")
    entries, before = tuple(to_entries(objects)), known.by_id
    held = {}
    for entry in entries:
        old = before.get(entry.live.id)
        if not entry.used and (old is None or old.file or old.contents):
            held[entry.live.id] = await _held(backend, entry, old)
    return Snapshot(header, objects.state, entries), held


async def _held(backend: Backend, entry: Entry, old: Entry | None) -> Mapping[str, Any]:
    table, live = kinds()[entry.live.kind], entry.live
    items = await backend.all_items(live) if table.relations(Contents) else {}
    contents = {name: [to_item(item) for item in every] for name, every in items.items()}
    silent = live.activity and old is not None and old.live.activity == live.activity
    history = await backend.messages(live) if table.agent_file and not live.unused and not silent else None
    return held_by(contents, history)
