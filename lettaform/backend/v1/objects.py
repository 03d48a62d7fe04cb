"""One object, by its kind and id."""

from __future__ import annotations

from typing import Any

from lettaform.backend.v1.client import Client
from lettaform.errors import NotFound, ServerError
from lettaform.kinds import kinds
from lettaform.model import Live
from lettaform.ownership import marks


async def whole(client: Client, kind: str, id: str) -> dict[str, Any]:
    """One object with everything that it can be asked for. NotFound if there is none."""
    table = kinds()[kind]
    relations = table.included(table.attrs())
    body: dict[str, Any] = await client.get(f"{table.path}{id}", **({"include": relations} if relations else {}))
    return body


async def body_of(client: Client, kind: str, id: str) -> dict[str, Any] | None:
    try:
        return await whole(client, kind, id)
    except NotFound:
        return None


async def maybe(client: Client, kind: str, id: str) -> Live | None:
    body = await body_of(client, kind, id)
    return None if body is None else marks.read(kind, body)


async def one(client: Client, kind: str, id: str) -> tuple[Live, tuple[Live, ...]]:
    """One object, whoever's it is, and the blocks that hang on it. NotFound if there is none."""
    try:
        body = await whole(client, kind, id)
    except ServerError as error:
        if error.status not in (404, 422):  # 422: not an id of this kind
            raise
        raise NotFound(f"the server has no {kind} `{id}`", status=404) from error
    blocks = [await maybe(client, "block", each["id"]) for each in body.get("blocks") or ()]
    return marks.read(kind, body), tuple(live for live in blocks if live is not None)
