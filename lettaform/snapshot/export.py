"""Live objects to files: an agent file per used agent and conversation, and the values of all other objects."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lettaform.backend import Backend
from lettaform.errors import LettaformError, NotFound
from lettaform.kinds import kinds
from lettaform.model import Live
from lettaform.plan.leaves import shown_live
from lettaform.values import UNREAD, Item, tainted

INDEX = "snapshot.json"
"""The file that lists the objects of a snapshot. It is written last: a folder without it is no snapshot."""
Attached = Mapping[str, Sequence[Live]]
"""The id of an agent to the blocks that are attached to it."""


async def export(
    server: Backend, stack: str, lives: Sequence[tuple[str, Live]], attached: Attached, directory: Path
) -> Path:
    """Write `lives`, pairs of address (empty if there is none) and object, to a new folder below `directory`.

    An agent that never ran has no agent file: its values and blocks were read already. Objects are read and written
    one after the other, so that the memory it takes does not grow with their number.

    Returns the folder. Only its owner can read it. LettaformError if it cannot be written. What is not complete is
    removed.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = directory / f"{stack}-{moment}"
    try:
        with _complete_or_removed(folder):
            index = _Index(folder)
            await _in_thread(index.begin, stack)
            for number, (address, live) in enumerate(lives, 1):
                with suppress(NotFound):  # it was deleted in the meantime
                    await _one(server, index, f"{number:03}", address, live, attached)
            await _in_thread(index.end)
    except OSError as error:
        message = f"cannot write the snapshot {folder}: {error.strerror}"
        raise LettaformError(message, "make the folder writable; nothing was changed on the server") from error
    return folder


async def _one(server: Backend, index: _Index, number: str, address: str, live: Live, attached: Attached) -> None:
    """Write one object: its agent file, whose name begins with `number`, and its entry in the index."""
    entry: dict[str, Any] = {"address": address or None, "kind": live.kind, "id": live.id, "name": live.name}
    if live.unused and live.id in attached:
        entry["values"] = _values(live, {})
        entry["blocks"] = [{"id": block.id, **_values(block, {})} for block in attached[live.id]]
    else:
        agent_file = kinds()[live.kind].agent_file
        if agent_file is None or agent_file.parameter:  # an agent file contains the values
            entry["values"] = _values(live, await server.all_items(live))
            entry["copies"] = [_values(block, {}) for block in await server.copies(live)]
        if agent_file is not None:
            entry["file"] = f"{number}-{_file_name(live.name) or live.kind}.af"
            await _in_thread(_write, index.folder / entry["file"], await server.export(live))
    await _in_thread(index.add, entry)


def _values(live: Live, held: Mapping[str, Sequence[Item]]) -> dict[str, Any]:
    """The values of an object and the items it contains, without secrets and without fields that were not read."""
    fields, values = kinds()[live.kind].attrs(), shown_live(live, {}).values
    values = {name: value for name, value in values.items() if value is not UNREAD and not tainted(value)}
    values = {name: value for name, value in values.items() if not fields[name].secret}
    return values | {name: [dict(item.body) or item.key for item in items] for name, items in held.items()}


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60]


# --- files, written in a thread --------------------------------------------------------------------------------------


async def _in_thread(work: Callable[..., None], *arguments: Any) -> None:
    """Do work that blocks in a thread. A cancellation waits until it has ended."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


@contextmanager
def _complete_or_removed(folder: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if not (folder / INDEX).exists():
            shutil.rmtree(folder, ignore_errors=True)


class _Index:
    """The index of a snapshot, written entry by entry. It gets its name when it is complete."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path, self.empty = folder, folder / f".{INDEX}", True

    def begin(self, stack: str) -> None:
        """Create the folder and the file."""
        self.folder.mkdir(parents=True, mode=0o700)
        with _new(self.path) as file:
            file.write(f'{{\n"format_version": "1.0",\n"stack": {json.dumps(stack)},\n"objects": [')

    def add(self, entry: Mapping[str, Any]) -> None:
        """Write one entry."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" if self.empty else ",\n")
            json.dump(entry, file, indent=1, ensure_ascii=False)
        self.empty = False

    def end(self) -> None:
        """Complete the file."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n]\n}\n")
        self.path.replace(self.folder / INDEX)


def _write(path: Path, body: Any) -> None:
    with _new(path) as file:
        json.dump(body, file, indent=1, ensure_ascii=False)
        file.write("\n")


def _new(path: Path) -> Any:
    """A new file that only its owner can read, to write text to."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
