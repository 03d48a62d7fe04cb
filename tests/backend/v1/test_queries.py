"""What only the server can compute: tokens in a context, and passages near a text."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import pytest

from lettaform.backend.v1.client import Client
from lettaform.backend.v1.queries import search, tokens
from lettaform.errors import NotFound, ServerError
from lettaform.model import Live, Passage
from tests.backend.v1.served import URL, Served

_T = TypeVar("_T")


def ask(transport: httpx.AsyncBaseTransport, question: Callable[[Client], Awaitable[_T]]) -> _T:
    async def run() -> _T:
        client = Client(URL, transport=transport)
        try:
            return await question(client)
        finally:
            await client.close()

    return asyncio.run(run())


def live(kind: str, id: str) -> Live:
    return Live(kind, id, "", {})


def answering(body: Any) -> httpx.MockTransport:
    return httpx.MockTransport(lambda request: httpx.Response(200, json=body))


def test_the_parts_of_a_context() -> None:
    served = Served()
    agent = served.agent("a", system="Be kind.", context_window_limit=9000)
    found = ask(served, lambda client: tokens(client, live("agent", agent["id"])))
    assert (found.window, found.messages, found.parts["system"], found.parts["messages"]) == (9000, 1, 2, 0)
    assert found.used == sum(found.parts.values())


def test_parts_that_an_older_release_does_not_know_are_empty() -> None:
    body = {"context_window_size_max": 10, "num_messages": 1, "num_tokens_system": 4, "num_tokens_directories": None}
    found = ask(answering(body), lambda client: tokens(client, live("agent", "agent-1")))
    assert (found.used, found.parts["files"]) == (4, 0)


@pytest.mark.parametrize("body", [None, [], {"num_messages": 1}])
def test_an_answer_without_a_window(body: Any) -> None:
    with pytest.raises(ServerError):
        ask(answering(body), lambda client: tokens(client, live("agent", "agent-1")))


def test_a_search_in_an_archive() -> None:
    served = Served()
    archive = served.archive("facts")
    for text, tags in (("Cats sleep", ["all"]), ("Rome is old", ["all", "city"]), ("Rome", [])):
        served.post(f"/v1/archives/{archive['id']}/passages", text=text, tags=tags, metadata={"n": 1})
    found = ask(served, lambda client: search(client, live("archive", archive["id"]), "Rome is old", 2, ()))
    assert [each.text for each in found] == ["Rome is old", "Rome"]
    assert found[0] == Passage(found[0].id, "Rome is old", ("all", "city"), {"n": 1}, found[0].created)
    tagged = ask(served, lambda client: search(client, live("archive", archive["id"]), "Rome", 9, ("all",)))
    assert [each.text for each in tagged] == ["Rome is old", "Cats sleep"]


def test_an_archive_that_does_not_exist() -> None:
    id = "archive-00000000-0000-4000-8000-000000000000"
    with pytest.raises(NotFound):
        ask(Served(), lambda client: search(client, live("archive", id), "x", 1, ()))


@pytest.mark.parametrize("body", [{}, [1], [{"passage": {"id": "passage-1"}}]])
def test_an_answer_that_is_no_list_of_passages(body: Any) -> None:
    with pytest.raises(ServerError):
        ask(answering(body), lambda client: search(client, live("archive", "archive-1"), "x", 1, ()))
