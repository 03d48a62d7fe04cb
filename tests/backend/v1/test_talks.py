"""Messages to agents and what comes of them, on a stand-in whose streams are cut."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import httpx
import pytest

from lettaform.backend import Backend, connect
from lettaform.client.messages import Message, Ping, joined
from lettaform.errors import NotFound, ServerError, Unavailable, Unsupported
from lettaform.model import Decision, Image, Outgoing, Recipient
from tests.backend.v1.served import URL, Served
from tests.standin import StandIn

T = TypeVar("T")
LONG = "think: one two three\nwrite: 30 words"


class Cut(httpx.AsyncByteStream):
    """A body that ends in the middle, as a broken connection."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self.content
        raise httpx.ReadError("cut")


class Cutting(Served):
    """Cuts each stream at a place that `at` chooses from its length; None: the stream stays whole."""

    def __init__(self, standin: StandIn, at: Callable[[int], int | None] = lambda length: None) -> None:
        super().__init__(standin)
        self.at = at

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if answer.headers.get("content-type") != "text/event-stream":
            return answer
        place = self.at(len(answer.content))
        if place is None:
            return answer
        return httpx.Response(200, headers=answer.headers, stream=Cut(answer.content[:place]))


def with_backend(server: httpx.AsyncBaseTransport, run: Callable[[Backend], Coroutine[Any, Any, T]]) -> T:
    async def inside() -> T:
        backend = connect(URL, transport=server)
        try:
            return await run(backend)
        finally:
            await backend.close()

    return asyncio.run(inside())


def said(
    server: httpx.AsyncBaseTransport,
    to: Recipient,
    text: str | Outgoing,
    *,
    tokens: bool = True,
    background: bool = False,
) -> list[Message]:
    message = Outgoing(text) if isinstance(text, str) else text

    async def run(backend: Backend) -> list[Message]:
        return [each async for each in backend.say(to, message, tokens=tokens, background=background)]

    return with_backend(server, run)


def plain(messages: list[Message]) -> list[tuple[str, Any]]:
    """Type and what it says of each whole message."""
    keys = ("content", "reasoning", "tool_calls", "tool_return", "stop_reason", "total_tokens", "message")
    return [
        (each.message_type, next((value for key in keys if (value := getattr(each, key, None))), None))
        for each in joined(messages)
    ]


def an_agent(server: Served, **more: Any) -> Recipient:
    return Recipient(server.agent("a", **more)["id"], None, "agents.a")


@pytest.mark.parametrize("tokens", [False, True])
def test_an_answer_begins_with_its_run_and_ends_with_its_reason(tokens: bool) -> None:
    server = Served()
    found = said(server, an_agent(server), LONG, tokens=tokens)
    assert isinstance(found[0], Ping)
    assert {each.run_id for each in found} == {found[0].run_id}
    assert plain(found) == [
        ("reasoning_message", "one two three"),
        ("assistant_message", " ".join(map(str, range(1, 31)))),
        ("stop_reason", "end_turn"),
        ("usage_statistics", 15),
    ]
    assert (len(found) > 20) is tokens


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("tokens", [False, True])
def test_a_stream_that_is_cut_50_times_loses_no_piece_and_repeats_none(
    background: bool, tokens: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lettaform.client.streams.pause", lambda *words: 0.0)
    drawn = random.Random(7)
    for _ in range(50):
        standin = StandIn()
        standin.has_redis = True
        server = Cutting(standin)
        to = an_agent(server)
        cuts = [drawn.random(), drawn.random() if background else None]

        def at(length: int, cuts: list[float | None] = cuts) -> int | None:
            part = cuts.pop(0) if cuts else None
            return None if part is None else 300 + int(part * (length - 301))

        server.at = at
        found = said(server, to, LONG, tokens=tokens, background=background)
        assert plain(found) == [
            ("reasoning_message", "one two three"),
            ("assistant_message", " ".join(map(str, range(1, 31)))),
            ("stop_reason", "end_turn"),
            ("usage_statistics", 15),
        ]
        assert len([path for _, path, _ in standin.writes if path.endswith("/messages/stream")]) == 1
        assert any(path.endswith("/stream") and "/runs/" in path for _, path, _ in standin.log) is background


def test_a_stream_that_is_cut_before_its_run_is_known_is_an_error_and_is_not_sent_again() -> None:
    server = Cutting(StandIn(), lambda length: 10)
    to = an_agent(server)
    with pytest.raises(Unavailable):
        said(server, to, "hello")
    assert len([path for _, path, _ in server.standin.writes if path.endswith("/stream")]) == 1


@pytest.mark.parametrize("cut", [None, 600])
def test_calls_of_tools_are_whole_after_a_cut(cut: int | None) -> None:
    server = Cutting(StandIn(), lambda length: cut)
    tool = server.tool("note")
    to = an_agent(server, tool_ids=[tool["id"]])
    found = joined(said(server, to, 'call note {"text": "a long note"}'))
    kinds = [each.message_type for each in found]
    assert kinds == ["tool_call_message", "tool_return_message", "assistant_message", "stop_reason", "usage_statistics"]
    assert found[0].tool_calls[0].values == {"text": "a long note"}  # type: ignore[union-attr]
    assert found[2].content == "note answered: done"  # type: ignore[union-attr]


def test_without_redis_a_background_run_is_polled() -> None:
    server = Served()
    to = an_agent(server)
    found = said(server, to, LONG, background=True)
    assert isinstance(found[0], Ping)
    assert [kind for kind, _ in plain(found)] == [
        "reasoning_message",
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    sent = [path.split("/")[-1] for _, path, _ in server.standin.writes if "/messages/" in path]
    assert sent == ["stream", "async"]  # refused once, with 503


def test_without_redis_no_message_of_a_conversation_runs_in_the_background() -> None:
    server = Served()
    agent = server.agent("a")
    talk = server.conversation(agent["id"], "t")
    with pytest.raises(Unsupported, match="without Redis") as caught:
        said(server, Recipient(agent["id"], talk["id"], "conversations.t"), "hello", background=True)
    assert caught.value.hint == "send it without --background"


def test_a_run_that_fails_ends_with_its_error() -> None:
    server = Served()
    to = an_agent(server)
    wanted = [("stop_reason", "llm_api_error"), ("error_message", "An error occurred with the LLM request.")]
    assert plain(said(server, to, "fail: 500")) == wanted
    assert plain(said(server, to, "fail: 500", background=True)) == wanted


def test_a_call_waits_for_approval_and_goes_on_after_a_decision() -> None:
    server = Served()
    tool = server.tool("refund", default_requires_approval=True)
    to = an_agent(server, tool_ids=[tool["id"]])
    assert plain(said(server, to, 'call refund {"order": 7}'))[1] == ("stop_reason", "requires_approval")
    (call,) = with_backend(server, lambda backend: backend.pending(to))
    assert (call.name, call.values) == ("refund", {"order": 7})
    denied = Outgoing(decisions=(Decision(call.tool_call_id, False, "too much"),))
    assert plain(said(server, to, denied))[-3][1].endswith("User reason: too much")
    assert with_backend(server, lambda backend: backend.pending(to)) == ()


def test_pictures_are_sent_with_the_text() -> None:
    server = Served()
    to = an_agent(server)
    said(server, to, Outgoing("see", (Image("image/png", b"\x89PNG"),)))
    sent = next(iter(server.standin.tables.messages.values()))["shown"]["content"]
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw=="}
    assert sent == [{"type": "text", "text": "see"}, {"type": "image", "source": source}]


def history(server: Served, of: Recipient) -> list[str]:
    async def run(backend: Backend) -> list[str]:
        return [str(getattr(each, "content", "")) async for each in backend.history(of)]

    return with_backend(server, run)


def test_a_history_is_newest_first_and_that_of_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.backend.v1.talks.PAGE", 3)
    server = Served()
    agent = server.agent("a")
    talk = server.conversation(agent["id"], "t")
    for path in (f"agents/{agent['id']}", f"conversations/{talk['id']}"):
        for text in "ABCDE":
            body = {"role": "user", "content": f"{path[0]}{text}"}
            server.post(f"/v1/{path}/messages", messages=[body], streaming=False)
    one, other = Recipient(agent["id"], None, "a"), Recipient(agent["id"], talk["id"], "t")
    assert history(server, one)[:-1] == [f"a{text}" for text in "EEDDCCBBAA"]
    assert history(server, other)[:-1] == [f"c{text}" for text in "EEDDCCBBAA"]


def test_runs_are_listed_page_by_page_and_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.backend.v1.talks.PAGE", 2)
    server = Served()
    to, other = an_agent(server), an_agent(server)
    for text in "ABCDE":
        said(server, to, text)
    said(server, other, "F")

    async def run(backend: Backend) -> None:
        found = [each async for each in backend.runs(to.agent)]
        assert [each.created_at for each in found] == sorted((each.created_at for each in found), reverse=True)
        assert (len(found), {each.agent for each in found}) == (5, {to.agent})
        assert len([each async for each in backend.runs()]) == 6
        followed = [each async for each in backend.follow(found[0])]
        assert plain(followed)[:2] == [("assistant_message", "E"), ("stop_reason", "end_turn")]
        assert found[0] == await backend.run(found[0].id)
        await backend.cancel(found[0])
        with pytest.raises(NotFound):
            await backend.run("run-00000000-0000-4000-8000-000000000000")

    with_backend(server, run)


def test_a_run_that_the_server_does_not_cancel_is_an_error() -> None:
    server = Served()
    to = an_agent(server)

    async def run(backend: Backend) -> None:
        said_ = [each async for each in backend.say(to, Outgoing("hi"), tokens=False, background=False)]
        found = await backend.run(said_[0].run_id or "")
        del server.standin.tables.runs[found.id]
        with pytest.raises(ServerError, match="did not cancel"):
            await backend.cancel(found)

    with_backend(server, run)


def test_contexts_are_compacted_reset_and_recompiled() -> None:
    server = Served()
    agent = server.agent("a")
    talk = server.conversation(agent["id"], "t")
    one, other = Recipient(agent["id"], None, "a"), Recipient(agent["id"], talk["id"], "t")
    for text in "ABC":
        said(server, one, text)
        said(server, other, text)

    async def run(backend: Backend) -> None:
        assert ((await backend.compact(one)).before, (await backend.compact(other)).after) == (7, 3)
        await backend.recompile(one)
        await backend.recompile(other)
        await backend.reset(one)
        with pytest.raises(Unsupported):
            await backend.reset(other)

    with_backend(server, run)
    assert len(server.standin.tables.agents[agent["id"]]["message_ids"]) == 1
