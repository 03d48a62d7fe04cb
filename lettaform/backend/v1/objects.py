"""One object: kind and id to a body or a Live."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lettaform.backend.concurrency import together
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.decode import decode
from lettaform.errors import NotFound, ServerError
from lettaform.kinds import kinds
from lettaform.kinds.base import path_get
from lettaform.kinds.traits import ListedAt
from lettaform.model import Live


async def whole(client: Client, kind: str, id: str) -> dict[str, Any]:
    """One object with all its relations. NotFound if there is none."""
    table = kinds()[kind]
    relations = table.included(table.attrs())
    return await client.object("GET", f"{table.path}{id}", params={"include": relations} if relations else {})


async def body_of(client: Client, kind: str, id: str) -> dict[str, Any] | None:
    """One object with all its relations. None if there is none."""
    try:
        return await whole(client, kind, id)
    except NotFound:
        return None


async def maybe(client: Client, kind: str, id: str) -> Live | None:
    """One object. None if there is none."""
    body = await body_of(client, kind, id)
    return None if body is None else decode(kind, body)


async def one(client: Client, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
    """One object, whoever owns it, and the blocks that are attached to it. NotFound if there is none."""
    try:
        body = await whole(client, kind, id)
    except ServerError as error:
        if error.status not in (404, 422):  # 422: not an id of this kind
            raise
        raise NotFound(f"the server has no {kind} `{id}`", status=404) from error
    blocks = await together(maybe(client, "block", each["id"]) for each in body.get("blocks") or ())
    return decode(kind, body), tuple(live for live in blocks if live is not None)


async def discovered(client: Client, creator: str, id: str, kind: str) -> list[dict[str, Any]]:
    """What an object, of the kind `creator`, has of another kind: bodies, or maps of an `id` alone."""
    path = kinds()[creator].discovers[kind]
    if path.startswith("/"):
        return await client.items(f"{kinds()[creator].path}{id}{path}")
    found = path_get(kinds()[creator].decode(await whole(client, creator, id)), path)
    every = found if isinstance(found, list) else [found] if found else []
    return [each if isinstance(each, dict) else {"id": each} for each in every]


async def members(client: Client, kind: str, field: str, id: str, returned: Any) -> Collection[Any]:
    """The members of a field after one was attached or detached, which `returned` an answer: null, or the object."""
    if listed := kinds()[kind].attrs()[field].related(ListedAt):
        return [each["id"] for each in await client.pages(listed.path, agent_id=id)]
    # 0.16.8 answers some of these requests with null
    body = returned if isinstance(returned, Mapping) else await whole(client, kind, id)
    return decode(kind, body).values.get(field) or ()
