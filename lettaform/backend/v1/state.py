"""The pages of a stack's state to and from blocks that no agent has. `lettaform.ownership.state` reads their texts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from lettaform.backend.v1.client import Client
from lettaform.errors import NotFound
from lettaform.ownership import marks
from lettaform.values import digest

PATH = "/v1/blocks/"
TAG = f"{marks.MARK}:state"
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


async def write_pages(client: Client, stack: str, pages: Sequence[str], empty: str, post: Post) -> None:
    """Write pages so that a kill between two requests leaves the old ones whole, or the new ones.

    `pages[0]` is the head. New pages are added, then the head is written, then all other blocks are deleted. `empty` is
    the head of an empty state: pages are never without a head.
    """
    head, rest = pages[0], pages[1:]
    found = await _blocks(client, stack)
    heads = [body for body in found if _tag(0) in body["tags"]]
    if rest and not heads:
        heads = [await _create(stack, 0, empty, post)]
    present = {body["value"]: body for body in found if body not in heads}
    for text in rest:
        if text not in present:
            await _create(stack, digest(text), text, post)
    if not heads:
        await _create(stack, 0, head, post)
    elif heads[0]["value"] != head:
        await client.send("PATCH", f"{PATH}{heads[0]['id']}", body={"value": head}, overtaken=True)
    used = [*heads[:1], *(present[text] for text in rest if text in present)]
    for body in found:
        if body not in used:
            await _delete(client, body)


async def delete_pages(client: Client, stack: str, empty: str, post: Post) -> None:
    """Delete all pages. If there are several, they are replaced by `empty` first: pages are never without a head."""
    found = await _blocks(client, stack)
    if len(found) > 1:
        await write_pages(client, stack, [empty], empty, post)
        found = await _blocks(client, stack)
    for body in found:
        await _delete(client, body)


async def _blocks(client: Client, stack: str) -> list[dict[str, Any]]:
    params = {"label": marks.MARK, "tags": [marks.stack_tag(stack)], "show_hidden_blocks": True}
    return [body for body in await client.pages(PATH, **params) if is_page(body)]


async def _create(stack: str, name: int | str, text: str, post: Post) -> dict[str, Any]:
    tags = [marks.stack_tag(stack), _tag(name)]
    body = {
        "label": marks.MARK,
        "value": text,
        "tags": tags,
        "hidden": True,
        "description": f"State of lettaform stack {stack}. Not for agents.",
        "limit": 1_000_000,
    }
    return await post(PATH, body, {"tags": tags, "match_all_tags": True, "show_hidden_blocks": True})


async def _delete(client: Client, body: Mapping[str, Any]) -> None:
    with suppress(NotFound):
        await client.send("DELETE", f"{PATH}{body['id']}")


def _tag(name: int | str) -> str:
    return f"{TAG}={name}"
