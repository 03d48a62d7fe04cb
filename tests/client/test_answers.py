"""Answers to JSON or to errors that hold no secret; exceptions of an HTTP library to Unavailable.

tests/backend/v1/test_client.py has more cases, which go through the client of the backend.
"""

from __future__ import annotations

import json
import ssl
from typing import Any

import httpx
import pytest

from lettaform.client.answers import RawResponse, failure, is_of_http, no_answer, read, retry_after, unexpected
from lettaform.client.origin import Origin
from lettaform.errors import Conflict, NotFound, ServerError, Unauthorized, Unavailable, Unsupported

ORIGIN = Origin("http://letta", token="t0ken-sentinel")


def answer(status: int, body: Any = None, **headers: str) -> RawResponse:
    content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    return RawResponse(status, headers, content)


@pytest.mark.parametrize(
    ("status", "error", "ambiguous"),
    [
        (400, ServerError, None),
        (401, Unauthorized, None),
        (403, Unauthorized, None),
        (404, NotFound, None),
        (405, Unsupported, None),
        (408, Unavailable, True),
        (409, Conflict, None),
        (429, Unavailable, False),
        (500, Unavailable, True),
        (501, Unsupported, None),
        (503, Unavailable, False),
        (504, Unavailable, True),
        (799, Unavailable, True),
    ],
)
def test_a_refusal_is_an_error_with_status_message_and_body(
    status: int, error: type[ServerError], ambiguous: bool | None
) -> None:
    found = failure(ORIGIN, "GET", "/v1/x", answer(status, {"detail": "no t0ken-sentinel"}))
    assert type(found) is error
    assert (found.status, found.status_code, found.method, found.path) == (status, status, "GET", "/v1/x")
    assert found.body == {"detail": "no ‹secret›"}
    assert "sentinel" not in f"{found.message}{found.hint}{found.words}{found.body}"
    assert getattr(found, "ambiguous", None) == ambiguous


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"detail": "a [SQL: INSERT s3cret]"}, {"detail": "a the database of the server refused the values"}),
        ({"a": ["t0ken-sentinel", 1, None]}, {"a": ["‹secret›", 1, None]}),
        (b"<html>t0ken-sentinel</html>", "<html>‹secret›</html>"),
        (b"", ""),
        (b"\xff", "\ufffd"),
    ],
)
def test_the_body_of_an_error_is_redacted(body: Any, shown: Any) -> None:
    assert failure(ORIGIN, "GET", "/v1/x", answer(500, body)).body == shown


@pytest.mark.parametrize(
    "detail",
    [
        "[{'type': 'x', 'loc': ('body', 'name'), 'msg': 'too long', 'input': 's3cret'}]",
        [{"loc": ["body", "name"], "msg": "too long", "input": {"s3cret": 1}}],
    ],
)
def test_the_body_of_a_refused_value_has_no_echo_of_it(detail: Any) -> None:
    found = failure(ORIGIN, "POST", "/v1/x", answer(422, {"detail": detail}))
    assert found.body == {"detail": [{"loc": "body.name", "msg": "too long"}]}
    assert found.words == "body.name: too long"


def test_an_unreadable_422_shows_nothing_of_its_text() -> None:
    found = failure(ORIGIN, "POST", "/v1/x", answer(422, {"detail": "s3cret ("}))
    assert (found.words, found.body) == ("the request was not valid", {"detail": []})


def test_success_is_json_or_none() -> None:
    assert read(ORIGIN, "GET", "/v1/x", answer(200, {"a": 1})) == {"a": 1}
    assert read(ORIGIN, "DELETE", "/v1/x", answer(204)) is None
    with pytest.raises(ServerError, match="answered something that is not JSON"):
        read(ORIGIN, "GET", "/v1/x", answer(200, b"<html>"))


@pytest.mark.parametrize(("header", "seconds"), [("7", 7.0), ("soon", None), ("", None), ("-1", None)])
def test_the_wait_that_a_server_asks_for(header: str, seconds: float | None) -> None:
    assert retry_after(answer(429, None, **{"retry-after": header})) == seconds
    found = failure(ORIGIN, "GET", "/v1/x", answer(429, None, **{"retry-after": header}))
    assert isinstance(found, Unavailable)
    assert found.retry_after == seconds


def test_an_odd_answer_names_method_and_path() -> None:
    assert str(unexpected(ORIGIN, "GET", "/v1/x", "no list")) == "GET http://letta/v1/x answered no list"


# --- no answer

REQUEST = httpx.Request("GET", "http://letta/v1/x")


@pytest.mark.parametrize(
    ("error", "message", "ambiguous"),
    [
        (httpx.ConnectError("refused"), "no server answers at http://letta", False),
        (httpx.ConnectTimeout("late"), "no server answers at http://letta", False),
        (httpx.PoolTimeout("busy"), "GET /v1/x: no connection was free within 9 s", False),
        (httpx.ReadTimeout("late"), "GET http://letta/v1/x: no answer within 9 s", True),
        (TimeoutError(), "GET http://letta/v1/x: no answer within 9 s", True),
        (httpx.ReadError("lost"), "GET http://letta/v1/x: the connection broke (ReadError)", True),
    ],
)
def test_no_answer_is_unavailable(error: Exception, message: str, ambiguous: bool) -> None:
    assert is_of_http(error)
    found = no_answer(ORIGIN, "GET", "/v1/x", error, 9.0)
    assert isinstance(found, Unavailable)
    assert (found.message, found.ambiguous) == (message, ambiguous)
    assert found.body is None


def test_a_url_that_httpx_refuses_is_no_address() -> None:
    found = no_answer(ORIGIN, "GET", "/v1/x", httpx.InvalidURL("odd t0ken-sentinel"))
    assert type(found) is ServerError
    assert found.hint == "odd ‹secret›"


def test_a_certificate_that_is_not_trusted_is_named() -> None:
    cause = ssl.SSLCertVerificationError(1, "self-signed")
    cause.verify_message = "self-signed certificate"
    error = httpx.ConnectError("x")
    error.__cause__ = cause
    found = no_answer(Origin("https://letta"), "GET", "/v1/x", error)
    assert found.message == "the certificate of https://letta is not trusted: self-signed certificate"
    error.__cause__ = ssl.SSLError(1, "wrong version")
    found = no_answer(Origin("https://letta"), "GET", "/v1/x", error)
    assert (found.message, found.hint) == (
        "https://letta does not answer with https",
        "if it has none, write http://letta",
    )


def test_exceptions_of_others_are_not_of_http() -> None:
    assert not is_of_http(ValueError())
    assert not is_of_http(httpx.StreamConsumed())
