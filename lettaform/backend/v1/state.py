"""The pages of a stack's state to and from blocks that no agent has. `lettaform.ownership.state` reads their texts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lettaform.backend.v1.client import Client
from lettaform.errors import NotFound
from lettaform.ownership import marks
from lettaform.values import digest

PATH = "/v1/blocks/"
TAG = f"{marks.MARK}:state"
SHARD = f"{marks.MARK}:shard"
Post = Callable[[str, Mapping[str, Any], Mapping[str, Any]], Awaitable[dict[str, Any]]]
"""POST a body to a path once; the parameters list what it may have created, if its answer is lost."""


def is_page(body: Mapping[str, Any]) -> bool:
    """Whether a block holds a page of a state."""
    return any(tag.split("=")[0] == TAG for tag in body.get("tags") or ())


def pages(bodies: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """The pages among blocks, by the id of their block."""
    return {body["id"]: body["value"] for body in bodies if is_page(body)}


async def all_pages(client: Client) -> dict[str, dict[str, str]]:
    """The pages of every stack's state, by stack and by the id of their block: one list."""
    found: dict[str, dict[str, str]] = {}
    for body in await client.pages(PATH, label=marks.MARK, show_hidden_blocks=True):
        stack = marks.stack_of(body.get("tags") or ())
        if is_page(body) and stack:
            found.setdefault(stack, {})[body["id"]] = body["value"]
    return found


@dataclass(frozen=True)
class Stored:
    """The pages that one run writes: those of the whole stack, or of one shard of it.

    shard  as `3/16`; empty: the whole stack
    """

    client: Client
    stack: str
    post: Post
    shard: str = ""

    async def write(self, pages: Sequence[str], empty: str, drops: Collection[str] = ()) -> None:
        """Write pages so that a kill between two requests leaves the old ones whole, or the new ones.

        `pages[0]` is the head. New pages are added, then the head is written, then all other blocks are deleted, of the
        whole stack also those of its shards. `empty` is the head of an empty state: pages are never without a head.

        drops  shards whose pages are deleted, too
        """
        head, rest = pages[0], pages[1:]
        found = await self._blocks(drops)
        own = [body for body in found if _shard(body) == self.shard]
        heads = [body for body in own if _tag(0, self.shard) in body["tags"]]
        if rest and not heads:
            heads = [await self._create(0, empty)]
        present = {body["value"]: body for body in own if body not in heads}
        for text in rest:
            if text not in present:
                await self._create(digest(text), text)
        if not heads:
            await self._create(0, head)
        elif heads[0]["value"] != head:
            await self.client.send("PATCH", f"{PATH}{heads[0]['id']}", body={"value": head}, overtaken=True)
        used = [*heads[:1], *(present[text] for text in rest if text in present)]
        for body in found:
            if body not in used:
                await self._delete(body)

    async def delete(self, empty: str, drops: Collection[str] = ()) -> None:
        """Delete all pages. Several are replaced by `empty` first: pages are never without a head."""
        found = await self._blocks(drops)
        if len(found) > 1:
            await self.write([empty], empty, drops)
            found = await self._blocks()
        for body in found:
            await self._delete(body)

    async def _blocks(self, drops: Collection[str] = ()) -> list[dict[str, Any]]:
        """The pages of the run, and those of some other shards."""
        params = {"label": marks.MARK, "tags": [marks.stack_tag(self.stack)], "show_hidden_blocks": True}
        if self.shard and not drops:  # other shards may have many pages
            params |= {"tags": [marks.stack_tag(self.stack), _shard_tag(self.shard)], "match_all_tags": True}
        found = [body for body in await self.client.pages(PATH, **params) if is_page(body)]
        return [body for body in found if not self.shard or _shard(body) in (self.shard, *drops)]

    async def _create(self, name: int | str, text: str) -> dict[str, Any]:
        tags = [marks.stack_tag(self.stack), _tag(name, self.shard), *([_shard_tag(self.shard)] if self.shard else [])]
        part = f", shard {self.shard}" if self.shard else ""
        body = {
            "label": marks.MARK,
            "value": text,
            "tags": tags,
            "hidden": True,
            "description": f"State of lettaform stack {self.stack}{part}. Not for agents.",
            "limit": 1_000_000,
        }
        return await self.post(PATH, body, {"tags": tags, "match_all_tags": True, "show_hidden_blocks": True})

    async def _delete(self, body: Mapping[str, Any]) -> None:
        with suppress(NotFound):
            await self.client.send("DELETE", f"{PATH}{body['id']}")


def _tag(name: int | str, shard: str) -> str:
    return f"{TAG}={name}:{shard}" if shard else f"{TAG}={name}"


def _shard_tag(shard: str) -> str:
    return f"{SHARD}={shard}"


def _shard(body: Mapping[str, Any]) -> str:
    """The shard of a page; empty: it is of the whole stack."""
    return next((tag.partition("=")[2] for tag in body.get("tags") or () if tag.startswith(f"{SHARD}=")), "")
