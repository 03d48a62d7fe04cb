"""Whole histories, although pages can be shorter than their limit; conversations that begin with messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lettaform.backend.listed import keys
from lettaform.backend.v1 import messages
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.messages import begin, history
from lettaform.errors import ServerError
from lettaform.model import Live
from tests.backend.v1.served import URL, Served
from tests.standin import messages as standin_messages
from tests.standin.server import Refusal


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


# --- a conversation that begins with messages ------------------------------------------------------------------------


class Talking:
    """A stand-in with an agent that has messages of a conversation that no longer exists."""

    def __init__(self) -> None:
        self.served = Served()
        agent = self.served.agent("ann", metadata={"a": 1, "lettaform": {"v": 1, "base": {"system": "digest"}}})
        self.path = f"/v1/agents/{agent['id']}"
        for text in ("For the talk.", "Own."):
            self.served.post(f"{self.path}/messages", messages=[{"role": "user", "content": text}])
        self.prompt, *ids = self.agent["message_ids"]
        self.wanted, self.own = ids[:2], ids[2:]
        self.served.post(self.path, "PATCH", message_ids=[self.prompt, *self.own])
        listed = self.served.run(lambda reads: history(reads.client, Live("agent", agent["id"], "", {})))
        self.listed, self.keys = listed, [keys(listed)[id] for id in self.wanted]

    @property
    def agent(self) -> dict[str, Any]:
        return dict(self.served.standin.tables.agents[self.path.rpartition("/")[2]])

    @property
    def talks(self) -> list[dict[str, Any]]:
        return [each for each in self.served.standin.tables.conversations.values() if not each["_deleted"]]

    def begin(self) -> Any:
        agent = self.path.rpartition("/")[2]
        body = {"summary": "talk"}
        return self.served.run(lambda reads: begin(reads.client, agent, self.listed, self.keys, body))

    def on_fork(self, act: Callable[[], None], when: str = "before") -> None:
        def watch(ask: Any) -> None:
            if ask.path.endswith("/fork"):
                setattr(self.served.standin, when, lambda ask: None)
                act()

        setattr(self.served.standin, when, watch)

    def assert_own_context(self, *more: str) -> None:
        assert self.agent["message_ids"] == [self.prompt, *self.own, *more]
        assert self.agent["metadata"] == {"a": 1, "lettaform": {"v": 1, "base": {"system": "digest"}}}


def test_a_conversation_begins_with_messages_of_its_agent() -> None:
    world = Talking()
    world.begin()
    (talk,) = world.talks
    assert (talk["summary"], talk["_messages"][1:]) == ("talk", world.wanted)
    world.assert_own_context()


def test_a_conversation_that_was_begun_and_not_named_is_not_begun_again() -> None:
    world = Talking()

    def kill() -> None:
        raise RuntimeError("killed")

    world.on_fork(kill, "after")
    with pytest.raises(RuntimeError):
        world.begin()
    assert world.agent["message_ids"] == [world.prompt, *world.wanted]
    assert world.agent["metadata"]["lettaform"]["lent"] == {"own": [world.prompt, *world.own], "count": 2}
    world.begin()
    assert [talk["summary"] for talk in world.talks] == ["talk"]
    world.assert_own_context()


def test_a_refused_fork_gives_the_context_back() -> None:
    world = Talking()

    def refuse() -> None:
        raise Refusal(400, "no")

    world.on_fork(refuse)
    with pytest.raises(ServerError, match="no"):
        world.begin()
    assert world.talks == []
    world.assert_own_context()


def test_a_message_to_the_agent_meanwhile_is_not_of_the_conversation_and_is_kept() -> None:
    world = Talking()

    def run() -> None:
        agent = world.served.standin.tables.agents[world.path.rpartition("/")[2]]
        new = standin_messages.add(world.served.standin, agent, "user", "Hello.")
        agent["message_ids"] = [*agent["message_ids"], new]

    world.on_fork(run)
    with pytest.raises(ServerError, match="ran while a conversation got messages of it"):
        world.begin()
    assert world.talks == []
    world.assert_own_context(world.agent["message_ids"][-1])
    world.begin()
    assert [talk["_messages"][1:] for talk in world.talks] == [world.wanted]


def test_an_agent_without_the_messages_is_an_error_before_anything_is_written() -> None:
    world = Talking()
    world.keys = ["another"]
    with pytest.raises(ServerError, match="no longer has the messages"):
        world.begin()
    assert world.served.asked == []
