"""The contents of archives and folders: their passages and files, read, added and removed."""

from __future__ import annotations

import asyncio
import hashlib
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from lettaform.backend.concurrency import together
from lettaform.backend.v1.client import Client
from lettaform.errors import NotFound, ServerError
from lettaform.kinds import kinds
from lettaform.model import Live
from lettaform.values import Item

PAGE = 100
"""Passages in one answer of a search. 0.16.8 answers 422 to a larger limit."""
LOOKED_INTO = 4_000_000
"""Bytes of our files in one folder up to which their texts are read to compare them."""
PROCESSED = 120.0
"""Seconds that the server has to read a file. 0.16.8 gives up on an unreachable embedding after 33."""
SLOWEST_UPLOAD = 100_000
"""Bytes per second that an upload has at least, or it is given up."""


@dataclass(frozen=True)
class ContentRequests:
    """The requests that read, add and remove one kind of content.

    read    the contents of an object's field. `wanted`: keys of items that the manifest declares
    whole   the same, each with all that the server has of it
    add     add one item
    remove  remove one item
    """

    read: Callable[[Client, Live, str, Collection[str]], Awaitable[list[Item]]]
    whole: Callable[[Client, Live, str], Awaitable[list[Item]]]
    add: Callable[[Client, Live, str, Item], Awaitable[None]]
    remove: Callable[[Client, Live, str, Item], Awaitable[None]]


# --- passages --------------------------------------------------------------------------------------------------------


async def _passages(client: Client, live: Live, field: str, wanted: Collection[str] = ()) -> list[Item]:
    kind = kinds()[live.kind]
    found: list[Item] = []
    for body in await _search(client, live.id):
        item = kind.item(field, {key: body.get(key) for key in ("text", "tags", "metadata")})
        found.append(Item(item.key, item.name, item.body, body["id"]))
    return found


async def _search(client: Client, archive: str) -> list[dict[str, Any]]:
    """All passages of an archive, oldest first. No other route of 0.16.8 lists those that no agent is attached to.

    The route has no cursor: each request begins at the time of the last passage that is known. Of more than PAGE
    passages that were created in the same microsecond, as by one batch, it can show PAGE; the others are left out.
    """
    path, found = "/v1/passages/search", dict[str, dict[str, Any]]()
    start: str | None = None
    while True:
        asked = {"archive_id": archive, "limit": PAGE} | ({} if start is None else {"start_date": start})
        page = await client.send("POST", path, body=asked, repeatable=True)
        if not isinstance(page, list):
            raise client.unexpected("POST", path, "no list")
        results = [client.as_object(each, "POST", path, ("passage",)) for each in page]
        bodies = [client.as_object(each["passage"], "POST", path, ("id", "created_at")) for each in results]
        fresh = {body["id"]: body for body in bodies if body["id"] not in found}
        found |= fresh
        if len(page) < PAGE:
            return list(found.values())
        last = str(bodies[-1]["created_at"])
        start = last if last != start else _later(last)


def _later(time: str) -> str:
    """The microsecond after a time of the server."""
    return (datetime.fromisoformat(time.replace("Z", "+00:00")) + timedelta(microseconds=1)).isoformat()


async def _add_passage(client: Client, live: Live, field: str, item: Item) -> None:
    async def find_again() -> dict[str, Any] | None:
        found = await _passages(client, live, field)
        return next(({"id": each.id} for each in found if each == item), None)

    await client.create(f"/v1/archives/{live.id}/passages", body=dict(item.body), find_again=find_again)


async def _drop_passage(client: Client, live: Live, field: str, item: Item) -> None:
    await client.send("DELETE", f"/v1/archives/{live.id}/passages/{item.id}")


# --- files -----------------------------------------------------------------------------------------------------------


async def _files(client: Client, live: Live, field: str, wanted: Collection[str] = ()) -> list[Item]:
    """Files by name, size and sha256: the sha256 of the text that the server has, or else the one in our mark.

    Contents are downloaded only of files that carry our mark, if these are small, and of those without a mark whose
    name and size the manifest declares, because an apply may have ended before it wrote the mark.
    """
    path = f"/v1/folders/{live.id}/files"
    bodies = [client.as_object(body, "GET", path, _FILE) for body in await client.pages(path)]
    bodies = [body for body in bodies if body["processing_status"] != "error"]  # such a file is uploaded again
    known = _known(live, field)
    declared = {(name, size) for name, size, _ in map(_apart, wanted)}
    ours = [body for body in bodies if _named(body) in known]
    small = sum(body["file_size"] for body in ours) <= LOOKED_INTO
    asked = [body for body in bodies if (small if _named(body) in known else _named(body) in declared)]
    contents = await _contents(client, path, asked, len(asked) == len(bodies))
    return [_file(body, _sha(contents.get(body["id"], body)) or known.get(_named(body)), {}) for body in bodies]


async def whole_files(client: Client, live: Live) -> list[Item]:
    """All files of a folder, also those that the server could not read. `body`: the text, and whether it was read.

    There is no text of a file of which the server has another one than what was uploaded, such as of a PDF.
    """
    found = []
    for body, sha in await _with_texts(client, live):
        text = {} if sha is None else {"text": body["content"]}
        read = body["processing_status"] == "completed"
        found.append(_file(body, sha, {**text, "read": read}))
    return found


async def _whole_files(client: Client, live: Live, field: str) -> list[Item]:
    """All files, each with its text if the server answers the very bytes that it received, and with its sha256."""
    known = _known(live, field)
    return [
        _file(body, sha or known.get(_named(body)), {"content": body["content"]} if sha else {})
        for body, sha in await _with_texts(client, live)
    ]


async def _with_texts(client: Client, live: Live) -> list[tuple[Mapping[str, Any], str | None]]:
    """All files of a folder, and the sha256 of each whose text is what was uploaded."""
    path = f"/v1/folders/{live.id}/files"
    bodies = [client.as_object(each, "GET", path, _FILE) for each in await client.pages(path, include_content=True)]
    return [(body, _sha(body)) for body in bodies]


def _file(body: Mapping[str, Any], sha: str | None, more: Mapping[str, Any]) -> Item:
    """A file under its name, size and sha256."""
    name, size = _named(body)
    return Item(f"{name} {size} {sha or '?'}", name, more, body["id"])


def _known(live: Live, field: str) -> Mapping[tuple[str, str], str]:
    """Name and size of the files in the mark of a folder to their sha256."""
    return {(name, size): sha for name, size, sha in map(_apart, live.mark.members.get(field, ()))}


_FILE = ("id", "original_file_name", "file_size", "processing_status")


def _apart(key: str) -> tuple[str, str, str]:
    """Name, size and sha256 of a file's key."""
    name, size, sha = key.rsplit(" ", 2)
    return name, size, sha


def _named(body: Mapping[str, Any]) -> tuple[str, str]:
    return body["original_file_name"], str(body["file_size"])


async def _contents(
    client: Client, path: str, bodies: list[dict[str, Any]], all_of_them: bool
) -> dict[str, dict[str, Any]]:
    """These files with their contents, by id: one list if they are all of a folder, or else one request each."""
    if all_of_them and len(bodies) > 1:
        found = await client.pages(path, include_content=True)
    else:
        asked = (client.object("GET", f"{path}/{body['id']}", params={"include_content": True}) for body in bodies)
        found = await together(asked)
    return {body["id"]: body for body in found}


def _sha(body: Mapping[str, Any]) -> str | None:
    """The sha256 of the text that the server has of a file. None without it: of a PDF it differs from what was sent."""
    content = body.get("content")
    data = content.encode() if isinstance(content, str) else None
    return None if data is None or len(data) != body.get("file_size") else hashlib.sha256(data).hexdigest()


def _bytes(item: Item) -> bytes:
    """The content of a file, which must be what it was when the plan was made."""
    if "content" in item.body:  # a file of a snapshot
        return str(item.body["content"]).encode()
    if "base64" in item.body:  # a file of a saved plan
        return b64decode(item.body["base64"])
    path = Path(item.body["path"])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ServerError(f"{path.name} cannot be read: {error.strerror}", "plan again") from error
    if not item.key.endswith(hashlib.sha256(content).hexdigest()):
        raise ServerError(f"{path.name} has changed since the plan was made", "plan again")
    return content


async def _upload(client: Client, live: Live, field: str, item: Item) -> None:
    # 0.16.8 uses the type of the upload, or else the ending; it accepts any text
    kind = "application/pdf" if item.name.lower().endswith(".pdf") else "text/plain"
    content, path, lost = _bytes(item), f"/v1/folders/{live.id}", False

    async def find_again() -> dict[str, Any] | None:
        nonlocal lost
        lost = True
        wanted = _apart(item.key)[:2]
        bodies = [body for body in await client.pages(f"{path}/files") if _named(body) == wanted]
        found = await _contents(client, f"{path}/files", bodies, False)
        return next((body for body in found.values() if _same(body, item)), None)

    body = await client.create(
        f"{path}/upload",
        # an older file of this name is replaced, so that an upload can be sent again
        params={"duplicate_handling": "replace"},
        files={"file": (item.name, content, kind)},
        within=client.timeout + len(content) / SLOWEST_UPLOAD,
        find_again=find_again,
    )
    body = client.as_object(body, "POST", f"{path}/upload", _FILE)
    if body["original_file_name"] != item.name:
        raise ServerError(f"{item.name}: the server calls it {body['original_file_name']}", "rename it")
    if lost:
        await _delete_others(client, path, body)
    await _wait_until_read(client, live.id, body)


def _same(body: Mapping[str, Any], item: Item) -> bool:
    """Whether a file has the content of an item, as far as its text tells."""
    sha = _sha(body)
    return sha is not None and item.key.endswith(sha)


async def _delete_others(client: Client, path: str, body: Mapping[str, Any]) -> None:
    """Delete other files of the same name: of two uploads at the same time 0.16.8 keeps both."""
    for each in await client.pages(f"{path}/files"):
        if each.get("original_file_name") == body["original_file_name"] and each["id"] != body["id"]:
            with suppress(NotFound):
                await client.send("DELETE", f"{path}/{each['id']}")


async def _wait_until_read(client: Client, folder: str, body: Mapping[str, Any]) -> None:
    """Wait until the server has read a file. ServerError if it cannot, or takes longer than PROCESSED."""
    until, pause = time.monotonic() + PROCESSED, 0.1
    while body["processing_status"] != "completed":
        if body["processing_status"] == "error":
            # 0.16.8 shows its SQL, and the text
            why = " ".join(str(body.get("error_message")).split("[SQL")[0].split())[:300]
            raise ServerError(f"{body['original_file_name']}: the server cannot read it: {client.redact(why)}")
        if time.monotonic() > until:
            raise ServerError(f"{body['original_file_name']}: not read within {PROCESSED:.0f} s", "apply again")
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)
        body = await client.object("GET", f"/v1/folders/{folder}/files/{body['id']}", keys=_FILE)


async def _drop_file(client: Client, live: Live, field: str, item: Item) -> None:
    await client.send("DELETE", f"/v1/folders/{live.id}/{item.id}")


CONTENTS: Mapping[str, ContentRequests] = {
    "passages": ContentRequests(_passages, _passages, _add_passage, _drop_passage),
    "files": ContentRequests(_files, _whole_files, _upload, _drop_file),
}
