"""Server-sent events to messages: cut anywhere, and continued where the server has kept the rest.

0.16.8 keeps the pieces of a run for three hours if it was started with `background` and the server has Redis. It
numbers them from 1; `POST /v1/runs/{id}/stream` sends those after a number. The run itself goes on in any case: what a
stream without `background` did not deliver can be read as messages of the run, after it has ended.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lettaform.client.answers import RawResponse, failure, no_answer, unexpected
from lettaform.client.calls import Call, Options, pause
from lettaform.client.messages import ErrorMessage, Message, StopReason, UsageStatistics, parse
from lettaform.client.origin import Origin
from lettaform.errors import ServerError, StreamBroken, Unavailable

DONE = "[DONE]"


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    name: str
    data: str


class Decoder:
    """Bytes to events, as the HTML standard defines `text/event-stream`. The bytes may be cut anywhere."""

    def __init__(self) -> None:
        self._line: list[bytes] = []
        self._data: list[str] = []
        self._name = ""
        self._after_cr = False
        self._begins = True

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that these bytes complete."""
        if self._after_cr and data.startswith(b"\n"):  # the second half of a CRLF that was cut
            data = data[1:]
        if not data:
            return
        self._after_cr = data.endswith(b"\r")
        self._line.append(data)
        if b"\n" not in data and b"\r" not in data:
            return
        whole = b"".join(self._line).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = whole.split(b"\n")
        self._line = [rest] if rest else []
        for line in lines:
            if event := self._read(line):
                yield event

    def _read(self, line: bytes) -> Event | None:
        if self._begins:
            line, self._begins = line.removeprefix(b"\xef\xbb\xbf"), False
        if not line:
            return self._completed()
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._name = value
        return None  # a comment, or a field that Letta does not send

    def _completed(self) -> Event | None:
        event = Event(self._name, "\n".join(self._data)) if self._data else None
        self._name, self._data = "", []
        return event


class Reading:
    """The state of one stream, whatever sends its requests.

    call         the request to send: the one that starts the run, after a cut one for the rest of its pieces
    run_id       the run; None until the first piece has named it
    last_seq_id  the number of the last piece in a background run; 0 if none came
    ended        whether everything has come
    """

    def __init__(
        self, call: Call[Any], *, background: bool, run_id: str | None = None, starting_after: int = 0
    ) -> None:
        self.call, self.background = call, background
        self.run_id, self.last_seq_id, self.ended = run_id, starting_after, False
        self._decoder = Decoder()
        self._stopped = False
        self._last = False
        self._cuts = 0

    def feed(self, data: bytes) -> Iterator[Message]:
        """The messages that these bytes complete."""
        if self.ended:
            return
        for event in self._decoder.feed(data):
            if event.data.strip() == DONE:
                self.ended = True
                return
            body = _body(event)
            numbered = self._numbered(body)
            if numbered is None:
                continue
            message = parse(body, **numbered)
            self._cuts = 0
            self._stopped |= isinstance(message, StopReason)
            # only DONE follows; after an error in a background run, 0.16.8 leaves it out
            self._last |= isinstance(message, ErrorMessage) or (isinstance(message, UsageStatistics) and self._stopped)
            yield message

    def _numbered(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """The run and the number of a piece. None if it came already, before a cut."""
        named, number = body.get("run_id"), body.get("seq_id")
        if isinstance(named, str) and named:
            self.run_id = named
        known: dict[str, Any] = {"run_id": self.run_id}
        if not self.background:
            return known
        if body.get("message_type") == "ping" and (not isinstance(number, int) or number <= self.last_seq_id):
            # 0.16.8 sends pings of its own between the pieces, with the number of the piece before
            return known
        if not isinstance(number, int):
            # 0.16.8 counts all pieces, and writes no number into those that have no field for it
            number = self.last_seq_id + 1
        elif number <= self.last_seq_id:
            return None
        self.last_seq_id = number
        return {**known, "seq_id": number}

    def again(self, origin: Origin, options: Options, error: Exception | None) -> float | None:
        """After the connection has ended: seconds before `call` is to be sent; None if everything has come.

        Raises ServerError if the rest cannot be had this way: StreamBroken if a run may have begun.

        error  a ServerError, or an exception of the HTTP library; None if the server closed the connection
        """
        if self.ended or self._last:
            return None
        lost = _lost(origin, self.call, error)
        if self.run_id is not None and self.background:
            self.call = resumed(self.run_id, self.last_seq_id)
        wait = pause(self.call, options, self._cuts, lost)
        self._cuts += 1
        self._decoder = Decoder()
        began = self.run_id is not None or (isinstance(lost, Unavailable) and lost.ambiguous)
        if wait is not None and (self.background or not began):
            # where pieces came before the cut, the rest is requested at once
            return 0.0 if self._cuts == 1 and self.run_id is not None else wait
        raise (self._broken(lost) if began else lost) from error

    def _broken(self, lost: ServerError) -> StreamBroken:
        run = self.run_id
        if run is None:
            what, hint = "before it named its run", "look for the run with client.runs.list before you send it again"
        elif self.background:
            what = f"in run {run}, after piece {self.last_seq_id}"
            hint = f'client.runs.stream("{run}", starting_after={self.last_seq_id}) sends the rest'
        else:
            what = f"in run {run}, which goes on"
            hint = f'after client.runs.wait("{run}"), client.runs.messages.list("{run}") has all its messages'
        broken = StreamBroken(f"{lost.message}, {what}", hint, method=lost.method, path=lost.path, status=lost.status)
        broken.run_id, broken.last_seq_id = run, self.last_seq_id
        return broken


def resumed(run_id: str, starting_after: int) -> Call[Any]:
    """The request for the pieces of a background run after a number."""
    return Call("POST", f"/v1/runs/{run_id}/stream", body={"starting_after": starting_after}, repeatable=True)


def check(origin: Origin, call: Call[Any], answer: RawResponse) -> None:
    """Raise ServerError if an answer is no stream. Its body must have been read only if it is no success."""
    if not 200 <= answer.status < 300:
        raise failure(origin, call.method, call.path, answer)
    if "text/event-stream" not in answer.headers.get("content-type", ""):
        raise unexpected(origin, call.method, call.path, "no stream of messages")


def _lost(origin: Origin, call: Call[Any], error: Exception | None) -> ServerError:
    if isinstance(error, ServerError):
        return error
    if error is not None:
        return no_answer(origin, call.method, call.path, error)
    ended = Unavailable(
        f"{call.method} {origin.shown}{call.path}: the stream ended", method=call.method, path=call.path
    )
    ended.ambiguous = True
    return ended


def _body(event: Event) -> Mapping[str, Any]:
    """The JSON of a piece."""
    try:
        found = json.loads(event.data)
    except ValueError:
        found = event.data
    body: Mapping[str, Any] = found if isinstance(found, Mapping) else {"message": event.data}
    if event.name != "error" or body.get("message_type") == "error_message":
        return body
    # 0.16.8 describes some failures as {"error": {...}}
    inner = body.get("error")
    known = inner if isinstance(inner, Mapping) else {"message": inner} if isinstance(inner, str) else body
    return {**known, "message_type": "error_message"}
