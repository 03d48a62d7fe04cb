"""What is about to be deleted, kept as files: an agent file per agent, and every block as it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lettaform.errors import LettaformError, NotFound
from lettaform.kinds import kinds
from lettaform.model import Live
from lettaform.server import Server
from lettaform.words import Address, Item


async def export(server: Server, stack: str, lives: Sequence[tuple[Address, Live]], directory: Path) -> Path:
    """Write `lives` into a new folder below `directory`, readable by its owner alone. Returns the folder."""
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    folder = directory / f"{stack}-{moment}"
    told: dict[str, Any] = {"format_version": "1.0", "stack": stack, "objects": []}
    files: dict[str, Any] = {}
    for address, live in lives:
        entry: dict[str, Any] = {"address": str(address), "kind": live.kind, "id": live.id, "name": live.name}
        with suppress(NotFound):  # it has died meanwhile
            if live.kind == "agent":
                body = await server.export(live.id)
                entry["file"] = f"{len(files) + 1:03}-{_plain(live.name)}.af"
                files[entry["file"]] = body
            else:
                entry["values"] = _told(live, await server.held(live))
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
    return values | {name: [dict(item.told) or item.key for item in items] for name, items in held.items()}


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name)[:60]


def _write(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
