"""The pages of a list, one after the other: each is asked for before the one before it is parsed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from typing import Any

from lettaform.backend.concurrency import cancelled
from lettaform.client.calls import Cursor

Seen = Callable[[bytes], Awaitable[None]]
"""Called with the body of an answer before it is parsed."""

Ask = Callable[[str | None, Seen], Coroutine[Any, Any, Any]]
"""Sends the request for the page after an id, or for the first page. Returns its JSON."""

SENDING = 0.002
"""Seconds in which a request is certainly sent, before its sender works on something else."""


async def each_page(ask: Ask, cursor: Cursor) -> AsyncGenerator[list[Any] | None, None]:
    """The new items of each page. None, as the last, if a page is no list of ids, or of objects that have one.

    The next page is under way while the caller works on one, and at most the one after that.
    """
    page = _Page(ask, cursor.limit, None)
    try:
        while True:
            fresh = cursor.take(await page.wanted())
            if fresh is None or cursor.ended or cursor.last is None:
                break
            page = await page.following(cursor.last)
            yield fresh
        yield fresh
    finally:
        await page.cancel()


class _Page:
    """A page that was asked for, and the one after it, if that was asked for already.

    after     the id before it
    is_close  whether the caller waits for it, or for the page before it
    """

    def __init__(self, ask: Ask, limit: int, after: str | None, *, is_close: bool = False) -> None:
        self.ask, self.limit, self.after, self.is_close = ask, limit, after, is_close
        self.is_wanted = False
        self.next: _Page | None = None
        self.answer = asyncio.create_task(ask(after, self._seen))

    async def wanted(self) -> Any:
        """The JSON of this page, which the caller waits for."""
        self.is_wanted = self.is_close = True
        if self.next is not None:
            self.next.is_close = True
        return await self.answer

    async def _seen(self, body: bytes) -> None:
        """Ask for the next page: the server would be idle while this one is parsed."""
        last = last_id(body, self.limit) if self.is_close and self.next is None else None
        if last not in (None, self.after):
            self.next = _Page(self.ask, self.limit, last, is_close=self.is_wanted)
            await asyncio.sleep(SENDING)

    async def following(self, last: str) -> _Page:
        """The page after this one, whose last item has this id."""
        if self.next is not None and self.next.after == last:
            return self.next
        if self.next is not None:
            await self.next.cancel()
        self.next = _Page(self.ask, self.limit, last)
        await asyncio.sleep(SENDING)
        return self.next

    async def cancel(self) -> None:
        """End what is still under way."""
        await cancelled(self.answer)
        if self.next is not None:
            await self.next.cancel()


def last_id(body: bytes, limit: int) -> str | None:
    """The id of the last item of a full page, found in its text. None if the page is not full, or not certainly.

    Items begin with the same key. If an object inside of an item does, too, more items are counted than there are.
    """
    between = b"}," + body[1 : body.find(b":") + 1]
    at = body.rfind(between)
    if not body.startswith(b'[{"') or at < 0 or body.count(between) + 1 != limit:
        return None
    try:
        item = json.loads(body[at + 2 : body.rfind(b"]")])
    except ValueError:
        return None
    id = item.get("id") if isinstance(item, dict) else None
    return id if isinstance(id, str) else None
