"""Live objects to files: an agent file per used agent and conversation, and the values of all other objects."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lettaform.backend import Backend
from lettaform.errors import LettaformError, NotFound
from lettaform.kinds import kinds
from lettaform.model import Live
from lettaform.plan.leaves import shown_live
from lettaform.values import UNREAD, Item, tainted

Attached = Mapping[str, Sequence[Live]]
"""The id of an agent to the blocks that are attached to it."""


async def export(
    server: Backend, stack: str, lives: Sequence[tuple[str, Live]], attached: Attached, directory: Path
) -> Path:
    """Write `lives`, pairs of address (empty if there is none) and object, to a new folder below `directory`.

    An agent that never ran has no agent file: its values and blocks were read already.

    Returns the folder. Only its owner can read it. LettaformError if it cannot be written.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = directory / f"{stack}-{moment}"
    snapshot: dict[str, Any] = {"format_version": "1.0", "stack": stack, "objects": []}
    files: dict[str, Any] = {}
    for address, live in lives:
        entry: dict[str, Any] = {"address": address or None, "kind": live.kind, "id": live.id, "name": live.name}
        with suppress(NotFound):  # it was deleted in the meantime
            if live.unused and live.id in attached:
                entry["values"] = _values(live, {})
                entry["blocks"] = [{"id": block.id, **_values(block, {})} for block in attached[live.id]]
                snapshot["objects"].append(entry)
                continue
            agent_file = kinds()[live.kind].agent_file
            if agent_file is None or agent_file.parameter:  # an agent file contains the values
                entry["values"] = _values(live, await server.all_items(live))
                entry["copies"] = [_values(block, {}) for block in await server.copies(live)]
            if agent_file is not None:
                body = await server.export(live)
                entry["file"] = f"{len(files) + 1:03}-{_file_name(live.name) or live.kind}.af"
                files[entry["file"]] = body
            snapshot["objects"].append(entry)
    try:
        folder.mkdir(parents=True, mode=0o700)
        for name, body in (*files.items(), ("snapshot.json", snapshot)):
            _write(folder / name, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        message = f"cannot write the snapshot {folder}: {error.strerror}"
        raise LettaformError(message, "make the folder writable; nothing was changed on the server") from error
    return folder


def _values(live: Live, held: Mapping[str, Sequence[Item]]) -> dict[str, Any]:
    """The values of an object and the items it contains, without secrets and without fields that were not read."""
    fields, values = kinds()[live.kind].attrs(), shown_live(live, {}).values
    values = {name: value for name, value in values.items() if value is not UNREAD and not tainted(value)}
    values = {name: value for name, value in values.items() if not fields[name].secret}
    return values | {name: [dict(item.body) or item.key for item in items] for name, items in held.items()}


def _file_name(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60]


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
