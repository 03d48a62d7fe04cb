"""An agent or a conversation to its whole history, also the messages that left its context."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lettaform.backend.v1.client import PAGE, Client
from lettaform.kinds import kinds
from lettaform.model import Live


async def history(client: Client, live: Live) -> list[Mapping[str, Any]]:
    """All messages, oldest first. An agent's are also those of its conversations.

    A page can be shorter than its limit although another one follows: 0.16.8 counts messages before it splits each into
    what people see, and answers several entries of one id or none. So the list ends at a page without a new id.
    """
    path = f"{kinds()[live.kind].path}{live.id}/messages"
    found: list[Mapping[str, Any]] = []
    seen: set[str] = set()
    after: dict[str, str] = {}
    while True:
        page = await client.items(path, limit=PAGE, order="asc", **after)
        bodies = [client.as_object(each, "GET", path) for each in page]
        fresh = [body for body in bodies if body["id"] not in seen]
        if not fresh:
            return found
        found += fresh
        seen.update(body["id"] for body in fresh)
        after = {"after": fresh[-1]["id"]}
