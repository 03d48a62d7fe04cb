"""Whole histories, although pages can be shorter than their limit."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from lettaform.backend.v1 import messages
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.messages import history
from lettaform.model import Live
from tests.backend.v1.served import URL


class Pages(httpx.AsyncBaseTransport):
    """Answers these pages, by the cursor."""

    def __init__(self, pages: dict[str | None, list[dict[str, Any]]]) -> None:
        self.pages, self.asked = pages, list[str]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        return httpx.Response(200, json=self.pages.get(request.url.params.get("after"), []))


def read(pages: Pages, live: Live) -> list[Any]:
    async def run() -> list[Any]:
        client = Client(URL, transport=pages)
        try:
            return await history(client, live)
        finally:
            await client.close()

    return asyncio.run(run())


AGENT = Live("agent", "agent-1", "a", {})


def test_a_short_page_is_not_the_end(monkeypatch: Any) -> None:
    monkeypatch.setattr(messages, "PAGE", 3)
    pages = Pages({None: [{"id": "1"}, {"id": "2"}], "2": [{"id": "3"}], "3": []})
    assert [each["id"] for each in read(pages, AGENT)] == ["1", "2", "3"]
    assert set(pages.asked) == {"/v1/agents/agent-1/messages"}


def test_entries_of_one_message_stay_together() -> None:
    pages = Pages({None: [{"id": "1", "n": 1}, {"id": "1", "n": 2}], "1": []})
    assert [each["n"] for each in read(pages, AGENT)] == [1, 2]


def test_a_cursor_that_was_deleted_ends_the_list() -> None:
    same = [{"id": "1"}, {"id": "2"}]
    assert len(read(Pages({None: same, "2": same}), AGENT)) == 2


def test_a_conversation_has_its_own_list() -> None:
    pages = Pages({})
    assert read(pages, Live("conversation", "conv-1", "", {})) == []
    assert pages.asked == ["/v1/conversations/conv-1/messages"]
