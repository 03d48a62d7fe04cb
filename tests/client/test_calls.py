"""Requests as values, and when they are sent again."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from lettaform.client.calls import (
    LONGEST,
    PAGE,
    UNSET,
    Call,
    Cursor,
    Listed,
    Method,
    Options,
    arguments,
    exchanged,
    flat,
    ids_of,
    pause,
    value,
)
from lettaform.client.origin import Origin
from lettaform.errors import Conflict, NotFound, ServerError, Unavailable

ORIGIN = Origin("http://letta/base/", token="t0ken")


def lost(ambiguous: bool, retry_after: float | None = None) -> Unavailable:
    error = Unavailable("x")
    error.ambiguous, error.retry_after = ambiguous, retry_after
    return error


AGAIN: list[tuple[Method, ServerError, dict[str, Any], bool]] = [
    ("GET", lost(True), {}, True),
    ("PUT", lost(True), {}, True),
    ("DELETE", lost(True), {}, True),
    ("PATCH", lost(True), {}, True),
    ("POST", lost(False), {}, True),
    ("POST", lost(True), {}, False),
    ("POST", lost(True), {"repeatable": True}, True),
    ("PATCH", Conflict("x"), {}, True),
    ("POST", Conflict("x"), {}, False),
    ("PUT", Conflict("x"), {}, False),
    ("DELETE", Conflict("x"), {}, False),
    ("GET", NotFound("x"), {}, False),
    ("GET", ServerError("x"), {}, False),
]


@pytest.mark.parametrize(("method", "error", "values", "again"), AGAIN)
def test_what_is_sent_again(method: Method, error: ServerError, values: dict[str, Any], again: bool) -> None:
    call: Call[Any] = Call(method, "/v1/x", **values)
    assert (pause(call, Options(), 0, error) is not None) == again
    with_posts = again or (method == "POST" and isinstance(error, Unavailable))
    assert (pause(call, Options(retry_posts=True), 0, error) is not None) == with_posts
    assert pause(call, Options(max_retries=0), 0, error) is None


def test_waits_grow_and_do_what_the_server_asks() -> None:
    call: Call[Any] = Call("GET", "/v1/x")
    options = Options(max_retries=9)
    grown = [pause(call, options, attempt, lost(True)) or 0 for attempt in range(9)]
    assert 0.3 < grown[0] < 0.7
    assert grown[0] < grown[2] < grown[4] <= max(grown) <= LONGEST
    assert pause(call, options, 3, lost(False, 7.0)) == 7.0
    assert pause(call, options, 3, lost(False, 3600.0)) == LONGEST
    assert pause(call, options, 9, lost(True)) is None


def test_a_request_has_the_headers_of_all() -> None:
    options = Options(timeout=7, headers={"x-one": "1"})
    call: Call[Any] = Call(
        "POST", "/v1/x", params={"a": [1, None], "b": True}, body={"c": "\ud800é"}, headers={"X-One": "2"}
    )
    found = arguments(ORIGIN, options, call)
    assert found["url"] == "http://letta/base/v1/x"
    assert found["content"] == b'{"c": "\\ud800\\u00e9"}'
    assert found["params"] == [("a", 1), ("b", "true")]
    assert found["timeout"] == 7
    assert found["headers"]["X-One"] == "2"
    assert found["headers"]["Content-Type"] == "application/json"
    assert found["headers"]["Authorization"] == "Bearer t0ken"
    assert "x-one" not in found["headers"]


def test_a_client_of_the_caller_keeps_its_timeout() -> None:
    assert set(arguments(ORIGIN, Options(timeout=UNSET), Call("GET", "/v1/x"))) == {"method", "url", "headers"}
    assert Options(timeout=UNSET).seconds is None
    assert Options(timeout=httpx.Timeout(5, read=9)).seconds == 9.0


def test_options_change_where_they_are_given() -> None:
    options = Options(timeout=1, max_retries=1, headers={"a": "1"})
    assert options.changed(None, headers={"A": "2"}) == Options(timeout=None, max_retries=1, headers={"A": "2"})
    assert options.changed(max_retries=0, retry_posts=True) == Options(1, 0, True, {"a": "1"})


def test_the_query_repeats_lists_and_leaves_none_out() -> None:
    assert flat({"a": ["x", "y"], "b": None, "c": False, "d": 0}) == [("a", "x"), ("a", "y"), ("c", "false"), ("d", 0)]
    assert flat(None) == []


# --- carrying out


def steps(call: Call[Any], *answers: httpx.Response | Exception, **options: Any) -> tuple[Any, list[float]]:
    """What a request returns, and the waits."""
    from lettaform.client.answers import RawResponse

    left = list(answers)
    run = exchanged(ORIGIN, Options(**options), call, value(ORIGIN, call))
    waits: list[float] = []
    step = next(run)
    try:
        while True:
            if isinstance(step, float):
                waits.append(step)
                step = next(run)
            else:
                answer = left.pop(0)
                given = (
                    answer
                    if isinstance(answer, Exception)
                    else RawResponse(answer.status_code, answer.headers, answer.content)
                )
                step = run.send(given)
    except StopIteration as ended:
        return ended.value, waits


def test_a_request_is_sent_again_until_it_is_answered() -> None:
    found, waits = steps(Call("GET", "/v1/x"), httpx.Response(500), httpx.ReadError("x"), httpx.Response(200, json=[1]))
    assert found == [1]
    assert len(waits) == 2


def test_the_number_of_retries_of_a_request_wins() -> None:
    with pytest.raises(Unavailable):
        steps(Call("GET", "/v1/x", max_retries=0), httpx.Response(500), max_retries=5)
    with pytest.raises(Unavailable, match="no answer within 3 s"):
        steps(Call("GET", "/v1/x", timeout=3), httpx.ReadTimeout("x"), max_retries=0)


def test_waiting_for_something_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100))
    monkeypatch.setattr("lettaform.client.calls.time.monotonic", lambda: next(clock))
    call: Call[Any] = Call("GET", "/v1/x", until=lambda found: bool(found["ready"]), within=2.0)
    no = httpx.Response(200, json={"ready": False})
    found, waits = steps(call, no, no, httpx.Response(200, json={"ready": True}))
    assert found == {"ready": True}
    assert waits == [0.2, 0.2]
    with pytest.raises(Unavailable, match="has not ended within 2 s"):
        steps(call, no, no, no, no)


@pytest.mark.parametrize(("shape", "odd"), [(dict, []), (dict, None), (list, {}), (list, "x")])
def test_an_answer_of_another_shape_is_an_error(shape: Any, odd: Any) -> None:
    with pytest.raises(ServerError, match="answered no "):
        steps(Call("GET", "/v1/x", shape=shape), httpx.Response(200, json=odd))


# --- pages


def test_a_cursor_ends_at_a_short_page_and_where_nothing_is_new() -> None:
    cursor = Cursor(2)
    assert cursor.take([{"id": "a"}, {"id": "b"}]) == [{"id": "a"}, {"id": "b"}]
    assert (cursor.last, cursor.ended) == ("b", False)
    assert cursor.take([{"id": "b"}, {"id": "c"}]) == [{"id": "c"}]
    assert cursor.take([{"id": "d"}]) == [{"id": "d"}]
    assert cursor.ended
    again = Cursor(1)
    assert again.take([{"id": "a"}])
    assert again.take([{"id": "a"}]) == []
    assert again.ended


def test_a_cursor_of_divided_items_goes_on_after_a_short_page() -> None:
    cursor = Cursor(9, divided=True)
    assert len(cursor.take([{"id": "a"}, {"id": "a"}]) or ()) == 2
    assert not cursor.ended
    assert cursor.take([]) == []
    assert cursor.ended


@pytest.mark.parametrize("odd", [None, {}, "x", [1], [{"id": 1}], [{"no": "id"}]])
def test_what_is_no_page_is_told(odd: Any) -> None:
    assert ids_of(odd) is None
    assert Cursor(1).take(odd) is None
    listed: Listed[Any] = Listed("/v1/x/")
    with pytest.raises(ServerError, match="answered no list of objects with ids"):
        listed.items(ORIGIN, listed.cursor(), odd)


def test_a_list_always_asks_with_a_limit() -> None:
    listed: Listed[Any] = Listed("/v1/x/", {"order": "asc"})
    assert listed.page(listed.cursor()).params == {"order": "asc", "limit": PAGE}
    assert Listed("/v1/x/", {"limit": 7}).cursor().limit == 7  # type: ignore[var-annotated]
    assert Listed("/v1/x/", {"limit": 0}).cursor().limit == PAGE  # type: ignore[var-annotated]
