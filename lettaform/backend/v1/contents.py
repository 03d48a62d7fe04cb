"""What objects hold by content: passages of archives, files of folders. Read, put in, taken out."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lettaform.backend.v1.client import Client
from lettaform.errors import NotFound, ServerError, Unavailable
from lettaform.kinds import kinds
from lettaform.model import Live
from lettaform.values import Item

PAGE = 100
"""Passages in one answer of a search."""
SETTLE = 5.0
"""Seconds after which the server has done what it had heard of an unanswered request: it goes on without the client."""
LOOKED_INTO = 4_000_000
"""Bytes of ours in one folder up to which the texts themselves are read to compare them."""
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
        found.append(Item(item.key, item.name, item.body, body["id"]))
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
            await client.send("POST", f"/v1/archives/{live.id}/passages", body=dict(item.body))
            return
        except Unavailable as error:
            # the server may have it all the same, or be about to
            if error.ambiguous:
                await client.calm(SETTLE)
            if error.ambiguous and item in await _passages(client, live, field):
                return
            if attempt == 3:
                raise


async def _drop_passage(client: Client, live: Live, field: str, item: Item) -> None:
    await client.send("DELETE", f"/v1/archives/{live.id}/passages/{item.id}")


# --- files -----------------------------------------------------------------------------------------------------------


async def _files(client: Client, live: Live, field: str) -> list[Item]:
    """By name, size and sha256: of the text that the server has, or else the one that stands in our mark."""
    marked = [key.rsplit(" ", 2) for key in live.mark.members.get(field, ())]
    known = {(name, size): sha for name, size, sha in marked}
    small = sum(int(size) for _, size, _ in marked) <= LOOKED_INTO
    bodies = await client.pages(f"/v1/folders/{live.id}/files", **({"include_content": True} if small else {}))
    found = []
    for body in bodies:
        name, size = body["original_file_name"], str(body["file_size"])
        if body["processing_status"] == "error":
            continue  # it has to come again
        sha = _read(body) or known.get((name, size))
        if sha is None:
            sha = _read(await client.get(f"/v1/folders/{live.id}/files/{body['id']}", include_content=True)) or "?"
        found.append(Item(f"{name} {size} {sha}", name, {}, body["id"]))
    return found


def _read(body: Mapping[str, Any]) -> str | None:
    """The sha256 of a file by the text that the server has of it; of a PDF that is another than what was sent."""
    content = body.get("content")
    data = content.encode() if isinstance(content, str) else None
    return None if data is None or len(data) != body["file_size"] else hashlib.sha256(data).hexdigest()


def _bytes(item: Item) -> bytes:
    """The file as it was planned."""
    path = Path(item.body["path"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ServerError(f"{path.name} cannot be read: {error.strerror}", "plan again") from error
    if not item.key.endswith(hashlib.sha256(content).hexdigest()):
        raise ServerError(f"{path.name} has changed since the plan was made", "plan again")
    return content


async def _upload(client: Client, live: Live, field: str, item: Item) -> None:
    # 0.16.8 goes by what it is told, and else by the ending: any text is one
    kind = "application/pdf" if item.name.lower().endswith(".pdf") else "text/plain"
    told = {"file": (item.name, _bytes(item), kind)}
    path, doubtful = f"/v1/folders/{live.id}", False
    for attempt in (1, 2, 3):
        try:
            # what has its name makes room, so that an upload can be sent again
            body = await client.send("POST", f"{path}/upload", params={"duplicate_handling": "replace"}, files=told)
            if body["original_file_name"] != item.name:
                raise ServerError(f"{item.name}: the server calls it {body['original_file_name']}", "rename it")
            if doubtful:
                await _alone(client, path, body)
            await _read_through(client, live.id, body)
            return
        except Unavailable as error:
            if attempt == 3:
                raise
            doubtful |= error.ambiguous
            await asyncio.sleep(min(error.retry_after or 0.3 * attempt, 30.0))
            if error.ambiguous:
                await client.calm(SETTLE)
        except ServerError:
            if attempt == 3 or not doubtful:
                raise  # else its twin was in the way


async def _alone(client: Client, path: str, body: Mapping[str, Any]) -> None:
    """Remove what else has its name: of two uploads that come at once neither makes room for the other (0.16.8)."""
    for each in await client.pages(f"{path}/files"):
        if each["original_file_name"] == body["original_file_name"] and each["id"] != body["id"]:
            with suppress(NotFound):
                await client.send("DELETE", f"{path}/{each['id']}")


async def _read_through(client: Client, folder: str, body: Mapping[str, Any]) -> None:
    """Until the server has read a file, or says that it cannot."""
    until, pause = time.monotonic() + PROCESSED, 0.1
    while body["processing_status"] != "completed":
        if body["processing_status"] == "error":
            # 0.16.8 shows its SQL, and the text
            why = " ".join(str(body["error_message"]).split("[SQL")[0].split())[:300]
            raise ServerError(f"{body['original_file_name']}: the server cannot read it: {client.redact(why)}")
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
