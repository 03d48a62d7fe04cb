"""What is about to be deleted, kept as files: an agent file per agent and conversation, and every block as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lettaform.backend import Server
from lettaform.errors import LettaformError, NotFound
from lettaform.kinds import kinds
from lettaform.model import Live
from lettaform.values import Item


async def export(server: Server, stack: str, lives: Sequence[tuple[str, Live]], directory: Path) -> Path:
    """Write `lives`, each with its address if it has one, into a new folder below `directory`. Returns the folder.

    Only its owner may read it.
    """
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = directory / f"{stack}-{moment}"
    told: dict[str, Any] = {"format_version": "1.0", "stack": stack, "objects": []}
    files: dict[str, Any] = {}
    for address, live in lives:
        entry: dict[str, Any] = {"address": address or None, "kind": live.kind, "id": live.id, "name": live.name}
        with suppress(NotFound):  # it has died meanwhile
            agent_file = kinds()[live.kind].agent_file
            if agent_file is None or agent_file.parameter:  # the file of an agent has all of it
                entry["values"] = _told(live, await server.held(live))
                entry["copies"] = [_told(block, {}) for block in await server.copies(live)]
            if agent_file is not None:
                body = await server.export(live)
                entry["file"] = f"{len(files) + 1:03}-{_plain(live.name) or live.kind}.af"
                files[entry["file"]] = body
            told["objects"].append(entry)
    try:
        folder.mkdir(parents=True, mode=0o700)
        for name, body in (*files.items(), ("snapshot.json", told)):
            _write(folder / name, json.dumps(body, indent=1, ensure_ascii=False) + "\n")
    except OSError as error:
        raise LettaformError(f"cannot write the snapshot {folder}: {error.strerror}", "nothing was changed") from error
    return folder


def _told(live: Live, held: Mapping[str, Sequence[Item]]) -> dict[str, Any]:
    """An object's values, but for its secrets, and what it holds."""
    lines = kinds()[live.kind].attrs()
    values = {name: value for name, value in live.values.items() if not lines[name].secret}
    return values | {name: [dict(item.body) or item.key for item in items] for name, items in held.items()}


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60]


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
