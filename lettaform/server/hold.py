"""What objects hold by content: passages of archives, files of folders. Read, put in, taken out."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lettaform.errors import ServerError, Unavailable
from lettaform.kinds import kinds
from lettaform.model import Live
from lettaform.server.client import Client
from lettaform.words import Item

PAGE = 100
"""Passages in one answer of a search."""
PROCESSED = 120.0
"""Seconds that the server has to read a file: 0.16.8 gives up on an unreachable embedding after 33."""


@dataclass(frozen=True)
class Hold:
    """One way of holding: what is there, one more, one less."""

    read: Callable[[Client, Live, str], Awaitable[list[Item]]]
    put: Callable[[Client, Live, str, Item], Awaitable[None]]
    drop: Callable[[Client, Live, str, Item], Awaitable[None]]


# --- passages --------------------------------------------------------------------------------------------------------


async def _passages(client: Client, live: Live, field: str) -> list[Item]:
    kind = kinds()[live.kind]
    found: list[Item] = []
    for body in await _search(client, live.id):
        item = kind.item(field, {key: body.get(key) for key in ("text", "tags", "metadata")})
        found.append(Item(item.key, item.name, item.told, body["id"]))
    return found


async def _search(client: Client, archive: str) -> list[Mapping[str, Any]]:
    """All passages of an archive: no other route of 0.16.8 lists those that hang on no agent."""
    limit = PAGE
    while True:
        asked = {"archive_id": archive, "limit": limit}
        found = await client.send("POST", "/v1/passages/search", body=asked, repeatable=True)
        if len(found) < limit:
            return [each["passage"] for each in found]
        limit *= 10


async def _add_passage(client: Client, live: Live, field: str, item: Item) -> None:
    for attempt in (1, 2, 3):
        try:
            await client.send("POST", f"/v1/archives/{live.id}/passages", body=dict(item.told))
            return
        except Unavailable as error:
            # the server may have it all the same, or be about to
            if error.ambiguous:
                await client.calm(5.0)
            if error.ambiguous and item in await _passages(client, live, field):
                return
            if attempt == 3:
                raise


async def _drop_passage(client: Client, live: Live, field: str, item: Item) -> None:
    await client.send("DELETE", f"/v1/archives/{live.id}/passages/{item.id}")


# --- files -----------------------------------------------------------------------------------------------------------


async def _files(client: Client, live: Live, field: str) -> list[Item]:
    """By name, size and the sha256 that stands in our mark; where none stands there, by what the server has."""
    known = {tuple(key.rsplit(" ", 2)[:2]): key for key in live.mark.members.get(field, ())}
    bodies = await client.pages(f"/v1/folders/{live.id}/files")
    found = []
    for body in bodies:
        name, size = body["original_file_name"], str(body["file_size"])
        if body["processing_status"] == "error":
            continue  # it has to come again
        key = known.get((name, size)) or await _looked_at(client, live.id, body)
        found.append(Item(key, name, {}, body["id"]))
    return found


async def _looked_at(client: Client, folder: str, body: Mapping[str, Any]) -> str:
    whole = await client.get(f"/v1/folders/{folder}/files/{body['id']}", include_content=True)
    text = whole.get("content")
    sha = "?" if text is None else hashlib.sha256(text.encode()).hexdigest()
    return f"{body['original_file_name']} {body['file_size']} {sha}"


def _bytes(item: Item) -> bytes:
    """The file as it was planned."""
    path = Path(item.told["path"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ServerError(f"{path.name} cannot be read: {error.strerror}", "plan again") from error
    if not item.key.endswith(hashlib.sha256(content).hexdigest()):
        raise ServerError(f"{path.name} has changed since the plan was made", "plan again")
    return content


async def _upload(client: Client, live: Live, field: str, item: Item) -> None:
    content = _bytes(item)
    # what has its name makes room, so that an upload can be sent again
    body = await client.send(
        "POST",
        f"/v1/folders/{live.id}/upload",
        params={"duplicate_handling": "replace"},
        files={"file": (item.name, content)},
        repeatable=True,
    )
    await _read_through(client, live.id, body)


async def _read_through(client: Client, folder: str, body: Mapping[str, Any]) -> None:
    """Until the server has read a file, or says that it cannot."""
    until, pause = time.monotonic() + PROCESSED, 0.1
    while body["processing_status"] != "completed":
        if body["processing_status"] == "error":
            raise ServerError(f"{body['original_file_name']}: the server cannot read it: {body['error_message']}")
        if time.monotonic() > until:
            raise ServerError(f"{body['original_file_name']}: not read within {PROCESSED:.0f} s", "apply again")
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)
        body = await client.get(f"/v1/folders/{folder}/files/{body['id']}")


async def _drop_file(client: Client, live: Live, field: str, item: Item) -> None:
    await client.send("DELETE", f"/v1/folders/{live.id}/{item.id}")


HOLDS: Mapping[str, Hold] = {
    "passages": Hold(_passages, _add_passage, _drop_passage),
    "files": Hold(_files, _upload, _drop_file),
}
