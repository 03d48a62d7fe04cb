"""What only the server can compute: the tokens in a context window, and the passages nearest to a text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lettaform.backend.v1.client import Client
from lettaform.model import Context, Live, Passage

_PARTS: Mapping[str, tuple[str, ...]] = {
    "system": ("system",),
    "blocks": ("core_memory",),
    "files": ("directories", "memory_filesystem"),
    "rules": ("tool_usage_rules",),
    "metadata": ("external_memory_summary",),
    "tools": ("functions_definitions",),
    "summary": ("summary_memory",),
    "messages": ("messages",),
}
"""What fills a context window to the answer's words for it, behind `num_tokens_`. 0.16.8 adds up all of them."""
_SIZE, _MESSAGES = "context_window_size_max", "num_messages"


async def tokens(client: Client, live: Live) -> Context:
    """The context of an agent. 0.16.8 asks Anthropic and Google to count for their models, and needs a key for that."""
    path = f"/v1/agents/{live.id}/context"
    body = await client.object("GET", path, keys=(_SIZE, _MESSAGES))
    found = {name: sum(_number(body, f"num_tokens_{each}") for each in words) for name, words in _PARTS.items()}
    return Context(found, _number(body, _SIZE), _number(body, _MESSAGES))


def _number(body: Mapping[str, Any], name: str) -> int:
    """A number of an answer; 0 if an older release does not say it."""
    value = body.get(name)
    return value if isinstance(value, int) else 0


async def search(client: Client, live: Live, text: str, limit: int, tags: Sequence[str]) -> list[Passage]:
    """Passages of an archive, the nearest first. 0.16.8 answers 0 as the score of each.

    It searches an archive without an embedding model for passages that contain the text.
    """
    path = "/v1/passages/search"
    asked = {"archive_id": live.id, "query": text, "limit": limit, **({"tags": [*tags]} if tags else {})}
    found = await client.send("POST", path, body=asked, repeatable=True)
    every = [client.as_object(each, "POST", path, ("passage",)) for each in found] if isinstance(found, list) else None
    if every is None:
        raise client.unexpected("POST", path, "no list")
    return [_passage(client.as_object(each["passage"], "POST", path, ("id", "text"))) for each in every]


def _passage(body: Mapping[str, Any]) -> Passage:
    tags, metadata = body.get("tags"), body.get("metadata")
    return Passage(
        body["id"],
        str(body["text"]),
        tuple(map(str, tags)) if isinstance(tags, list) else (),
        metadata if isinstance(metadata, Mapping) else {},
        str(body.get("created_at") or ""),
    )
