"""Events from bytes that are cut anywhere; streams that are cut anywhere."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from lettaform.client.messages import ErrorMessage, Message, Ping, joined
from lettaform.client.streams import Decoder, Event
from lettaform.errors import NotFound, ServerError, StreamBroken, Unavailable
from tests.client.flavours import FLAVOURS, Answers, act

pytestmark = pytest.mark.thorough

# --- events

PLAIN = (
    b'data: {"a": 1}\n\nevent: error\ndata: x\ndata:  y\nid: 3\n\n: comment\n\ndata\n\n'
    b"event: no data\n\ndata: [DONE]\n\n"
)
EVENTS = [Event("", '{"a": 1}'), Event("error", "x\n y"), Event("", ""), Event("", "[DONE]")]


def decoded(*pieces: bytes) -> list[Event]:
    decoder = Decoder()
    return [event for each in pieces for event in decoder.feed(each)]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_are_the_same_wherever_the_bytes_are_cut(end: bytes) -> None:
    text = PLAIN.replace(b"\n", end)
    assert decoded(text) == EVENTS
    assert decoded(*(text[n : n + 1] for n in range(len(text)))) == EVENTS
    for at in range(len(text)):
        assert decoded(text[:at], b"", text[at:]) == EVENTS, at


def test_a_byte_order_mark_and_broken_utf_8_are_no_error() -> None:
    assert decoded(b"\xef\xbb\xbfdata: a\n\n") == [Event("", "a")]
    assert decoded(b"data: \xff\xc3", b"\xa9\n\n") == [Event("", "\ufffd\xe9")]


def test_an_event_that_is_not_complete_is_none() -> None:
    assert decoded(b"data: a\n\ndata: b\n") == [Event("", "a")]


def test_a_long_line_in_small_pieces_takes_no_quadratic_time() -> None:
    decoder = Decoder()
    for _ in range(50_000):
        assert list(decoder.feed(b"xxxxxxxxxx")) == []
    assert list(decoder.feed(b"\n\n")) == []


# --- a server that cuts

NONE = Answers(httpx.Response(500))
"""In place of the answers of a server that is passed as a transport."""


class Runs(httpx.AsyncBaseTransport, httpx.BaseTransport):
    """A server with one run: sends its pieces as 0.16.8 does, and ends each answer after as many bytes as `cuts`."""

    def __init__(self, *cuts: int, words: int = 30, redis: bool = True, broken: bool = True) -> None:
        self.cuts, self.redis, self.broken = list(cuts), redis, broken
        self.requests: list[httpx.Request] = []
        named = {"id": "message-1", "seq_id": None, "run_id": None}
        said = [{**named, "message_type": "assistant_message", "content": f"w{n}é "} for n in range(words)]
        ends = [{"message_type": "stop_reason", "stop_reason": "end_turn"}, {"message_type": "usage_statistics"}]
        self.pieces = [{**named, "id": "ping-1", "message_type": "ping", "run_id": "run-1"}, *said, *ends]

    def texts(self, after: int, numbered: bool) -> Iterator[bytes]:
        for number, each in enumerate(self.pieces, 1):
            if number > after:
                known = {"seq_id": number if numbered else None, "run_id": "run-1"}
                yield b"data: " + json.dumps(each | {k: v for k, v in known.items() if k in each}).encode() + b"\n\n"
                if number % 7 == 0 and numbered:
                    ping = {"id": "ping-2", "message_type": "ping", "seq_id": number, "run_id": "run-1"}
                    yield b"data: " + json.dumps(ping).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        body = json.loads(request.content)
        resumes = request.url.path == "/v1/runs/run-1/stream"
        background = resumes or bool(body.get("background"))
        if background and not self.redis:
            return httpx.Response(503, json={"detail": "needs Redis"})
        whole = b"".join(self.texts(body.get("starting_after", 0), background))
        cut = self.cuts.pop(0) if self.cuts else len(whole)
        self.stream = stream = Cut(whole[:cut], self.broken and cut < len(whole), request)
        return httpx.Response(200, headers={"content-type": "text/event-stream; charset=utf-8"}, stream=stream)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.answer(request)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.answer(request)


class Cut(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, data: bytes, broken: bool, request: httpx.Request) -> None:
        self.data, self.broken, self.request, self.read = data, broken, request, False

    def __iter__(self) -> Iterator[bytes]:
        for at in range(0, len(self.data), 100):
            yield self.data[at : at + 100]
        yield b""
        self.read = True
        if self.broken:
            raise httpx.RemoteProtocolError("peer closed connection", request=self.request)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for each in self:
            yield each


def streamed(flavour: str, runs: Runs, **options: Any) -> list[Message]:
    body = {"messages": [{"role": "user", "content": "Hello!"}], **options}
    found: list[Message] = act(flavour, NONE, lambda c: c.agents.messages.stream("agent-1", **body), transport=runs)
    return found


def without_pings(found: list[Message]) -> list[Message]:
    """Without the pings between the pieces, which a server sends by the clock."""
    return [each for each in found if each.id != "ping-2"]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("broken", [True, False], ids=["broken", "closed"])
def test_a_background_run_that_is_cut_50_times_is_the_same(flavour: str, broken: bool) -> None:
    whole = without_pings(streamed(flavour, Runs(words=300), background=True))
    assert [each.seq_id for each in whole] == list(range(1, 304))
    draw = random.Random(7)
    runs = Runs(400, *(draw.randrange(150, 1500) for _ in range(49)), words=300, broken=broken)
    found = without_pings(streamed(flavour, runs, background=True))
    assert found == whole
    assert len(runs.requests) == 51


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_stream_of_the_foreground_is_whole_or_an_error_that_names_the_run(flavour: str) -> None:
    whole = streamed(flavour, Runs())
    size = len(b"".join(Runs().texts(0, False)))
    draw = random.Random(8)
    for cut in sorted(draw.sample(range(size), 50)):
        runs = Runs(cut)
        if cut >= size - len(b"data: [DONE]\n\n"):
            assert streamed(flavour, runs) == whole  # nothing but the mark of the end was cut
            continue
        with pytest.raises(StreamBroken) as broken:
            streamed(flavour, runs)
        named = cut >= len(next(Runs().texts(0, False)))
        assert broken.value.run_id == ("run-1" if named else None)
        assert ("in run run-1, which goes on" in broken.value.message) == named
        assert broken.value.hint is not None
        assert len(runs.requests) == 1, "a message is not sent twice"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_what_came_before_a_cut_is_delivered(flavour: str) -> None:
    seen: list[str] = []

    def read(client: Any) -> Any:
        stream = client.agents.messages.stream("agent-1", messages=[])
        if flavour == "sync":
            for each in stream:
                seen.append(each.message_type)
            return None

        async def go() -> None:
            async for each in stream:
                seen.append(each.message_type)

        return go()

    with pytest.raises(StreamBroken, match=r"in run run-1, which goes on"):
        act(flavour, NONE, read, transport=Runs(600))
    assert seen[:2] == ["ping", "assistant_message"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_run_that_is_cut_without_progress_is_given_up(flavour: str, waits: list[float]) -> None:
    with pytest.raises(StreamBroken, match=r"in run run-1, after piece 3") as broken:
        streamed(flavour, Runs(400, 0, 0, 0, 0), background=True)
    assert waits[0] == 0.0
    assert waits[1] > 0.5
    assert broken.value.last_seq_id == 3
    assert broken.value.hint == 'client.runs.stream("run-1", starting_after=3) sends the rest'


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_run_can_be_followed_from_a_number(flavour: str) -> None:
    runs = Runs(900)
    found = act(flavour, NONE, lambda c: c.runs.stream("run-1", starting_after=5), transport=runs)
    assert [each.seq_id for each in without_pings(found)] == list(range(6, 34))
    assert json.loads(runs.requests[0].content) == {"starting_after": 5}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_pieces_tell_their_run_and_are_joined(flavour: str) -> None:
    found = streamed(flavour, Runs(words=2))
    assert {each.run_id for each in found} == {"run-1"}
    assert isinstance(found[0], Ping)
    said, *ends = joined(found)
    assert said.message_type == "assistant_message"
    assert said.text == "w0é w1é "
    assert [each.message_type for each in ends] == ["stop_reason", "usage_statistics"]


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_stream_is_read_to_its_end_so_that_its_connection_is_used_again(flavour: str) -> None:
    runs = Runs(words=2)
    streamed(flavour, runs)
    assert runs.stream.read


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_server_without_redis_says_so(flavour: str) -> None:
    with pytest.raises(Unavailable, match="needs Redis") as refused:
        streamed(flavour, Runs(redis=False), background=True)
    assert refused.value.status_code == 503
    assert not isinstance(refused.value, StreamBroken)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_leaving_early_closes_the_stream(flavour: str) -> None:
    def leave(client: Any) -> Any:
        if flavour == "sync":
            with client.agents.messages.stream("agent-1", messages=[]) as stream:
                next(stream)
                assert (stream.run_id, stream.last_seq_id) == ("run-1", 0)
            return list(stream)

        async def go() -> list[Any]:
            async with client.agents.messages.stream("agent-1", messages=[]) as stream:
                await anext(stream)
                assert (stream.run_id, stream.last_seq_id) == ("run-1", 0)
            return [each async for each in stream]

        return go()

    assert act(flavour, NONE, leave, transport=Runs()) == []


# --- other answers


def sse(*lines: str) -> httpx.Response:
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content="\n".join([*lines, "", ""]))


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            '{"message_type": "error_message", "error_type": "llm_timeout", "message": "late", "run_id": "run-1"}',
            "late",
        ),
        ('{"error": {"message": "late"}}', "late"),
        ('{"error": "late"}', "late"),
        ("late", "late"),
    ],
)
def test_an_error_of_the_run_is_a_message_and_ends_it(flavour: str, data: str, message: str) -> None:
    answer = sse("event: error", f"data: {data}")
    (found,) = act(flavour, Answers(answer), lambda c: c.agents.messages.stream("agent-1", messages=[]))
    assert isinstance(found, ErrorMessage)
    assert found.message == message


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("answer", "error", "match"),
    [
        (httpx.Response(404, json={"detail": "no agent"}), NotFound, "no agent"),
        (httpx.Response(200, json={"messages": []}), ServerError, "answered no stream of messages"),
        (httpx.Response(307, headers={"location": "http://other/"}), ServerError, "redirects"),
    ],
)
def test_what_is_no_stream_is_an_error(flavour: str, answer: httpx.Response, error: Any, match: str) -> None:
    with pytest.raises(error, match=match):
        act(flavour, Answers(answer), lambda c: c.agents.messages.stream("agent-1", messages=[]))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_message_is_sent_again_only_if_it_certainly_was_not_received(flavour: str) -> None:
    asked = []

    def silent(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        raise (httpx.ConnectError if len(asked) < 3 else httpx.ReadError)("no", request=request)

    with pytest.raises(StreamBroken, match="before it named its run"):
        act(flavour, silent, lambda c: c.agents.messages.stream("agent-1", messages=[]))
    assert len(asked) == 3


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_error_of_the_caller_is_not_hidden(flavour: str) -> None:
    def wrong(request: httpx.Request) -> httpx.Response:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        act(flavour, wrong, lambda c: c.agents.messages.stream("agent-1", messages=[]))
