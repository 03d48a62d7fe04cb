"""Both clients: requests to any path, pages, raw answers, options, retries, HTTP clients of the caller."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest

from lettaform.client import AsyncClient, Client, RawResponse
from lettaform.client.calls import PAGE
from lettaform.errors import NotFound, ServerError, Unauthorized, Unavailable
from tests.client.flavours import FLAVOURS, URL, Answers, act

OK = httpx.Response(200, json={"ok": 1})


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete"])
def test_a_request_to_any_path(flavour: str, method: str) -> None:
    answers = Answers(OK)
    given = {"params": {"a": 1}, "headers": {"X-One": "1"}, "body": {"b": 2}, "timeout": 5, "max_retries": 0}
    assert act(flavour, answers, lambda c: getattr(c, method)("/v1/x", **given)) == {"ok": 1}
    (request,) = answers.requests
    assert (request.method, str(request.url)) == (method.upper(), f"{URL}/v1/x?a=1")
    assert (request.content, request.headers["x-one"]) == (b'{"b": 2}', "1")
    assert request.extensions["timeout"]["read"] == 5


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_raw_answers_have_status_headers_and_body(flavour: str) -> None:
    answer = httpx.Response(201, headers={"X-Mine": "m"}, json={"id": "agent-1"})
    found = act(flavour, Answers(answer), lambda c: c.raw.agents.create(name="n"))
    assert isinstance(found, RawResponse)
    assert (found.status, found.headers["x-mine"], found.json()) == (201, "m", {"id": "agent-1"})
    listed = act(flavour, Answers(httpx.Response(200, content=b"x")), lambda c: c.raw.agents.list())
    assert listed.body == b"x"
    with pytest.raises(NotFound):
        act(flavour, Answers(httpx.Response(404)), lambda c: c.raw.get("/v1/x"))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_pages_are_requested_when_they_are_needed(flavour: str) -> None:
    every = [{"id": f"agent-{n:04}"} for n in range(2 * PAGE + 1)]
    asked = []

    def server(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        after, limit = request.url.params.get("after", ""), int(request.url.params["limit"])
        return httpx.Response(200, json=[each for each in every if each["id"] > after][:limit])

    assert act(flavour, server, lambda c: c.agents.list(order="asc")) == every
    assert [len(request.url.params) for request in asked] == [2, 3, 3]
    asked.clear()

    def first(client: Any) -> Any:
        found = client.pages("/v1/agents/", limit=2)
        return next(found) if flavour == "sync" else anext(found)

    assert act(flavour, server, first) == every[0]
    assert len(asked) == 1


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_retries(flavour: str, waits: list[float]) -> None:
    late = httpx.Response(429, headers={"Retry-After": "7"})
    assert act(flavour, Answers(late, late, OK), lambda c: c.get("/v1/x")) == {"ok": 1}
    assert waits == [7.0, 7.0]
    for given, times in (({}, 3), ({"max_retries": 0}, 1), ({"max_retries": 4}, 5)):
        answers = Answers(httpx.Response(500))
        with pytest.raises(Unavailable):
            act(flavour, answers, lambda c: c.get("/v1/x"), **given)
        assert len(answers.requests) == times


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_post_that_may_have_been_carried_out_is_sent_once(flavour: str) -> None:
    request = httpx.Request("POST", URL)
    for lost in (
        httpx.Response(500),
        httpx.Response(504),
        httpx.ReadTimeout("x"),
        httpx.ReadError("x", request=request),
    ):
        answers = Answers(lost)
        with pytest.raises(Unavailable):
            act(flavour, answers, lambda c: c.agents.create(name="n"))
        assert len(answers.requests) == 1
        assert act(flavour, Answers(lost, OK), lambda c: c.agents.create(name="n"), retry_posts=True) == {"ok": 1}
        assert act(flavour, Answers(lost, OK), lambda c: c.with_options(retry_posts=True).post("/v1/x")) == {"ok": 1}
    assert act(flavour, Answers(httpx.ConnectError("x"), OK), lambda c: c.agents.create(name="n")) == {"ok": 1}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_errors_have_status_code_message_and_body(flavour: str) -> None:
    answer = httpx.Response(401, json={"detail": "wrong s3cret-key"})
    with pytest.raises(Unauthorized) as refused:
        act(flavour, Answers(answer), lambda c: c.agents.retrieve("agent-1"), api_key="s3cret-key")
    assert refused.value.status_code == 401
    assert refused.value.message == f"{URL} does not let us in (401)"
    assert refused.value.body == {"detail": "wrong ‹secret›"}


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_other_options_leave_the_client_as_it_is(flavour: str) -> None:
    answers = Answers(OK)

    def ask(client: Any) -> Any:
        other = client.with_options(timeout=3, max_retries=0, headers={"x-mine": "2"})
        if flavour == "sync":
            other.get("/v1/x")
            other.close()
            return client.get("/v1/x")

        async def both() -> None:
            await other.get("/v1/x")
            await other.close()
            await client.get("/v1/x")

        return both()

    act(flavour, answers, ask, headers={"X-Mine": "1"})
    changed, same = answers.requests
    assert (changed.headers["x-mine"], changed.extensions["timeout"]["read"]) == ("2", 3)
    assert (same.headers["x-mine"], same.extensions["timeout"]["read"]) == ("1", 60.0)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_keys_projects_and_headers_are_sent(flavour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_API_KEY", "k3y")
    monkeypatch.setenv("LETTA_PROJECT", "p")
    answers = Answers(OK)
    act(flavour, answers, lambda c: c.health(), headers={"X-Mine": "1"})
    (request,) = answers.requests
    assert request.headers["authorization"] == "Bearer k3y"
    assert (request.headers["x-project"], request.headers["x-mine"]) == ("p", "1")


# --- HTTP clients of the caller


def test_a_client_of_the_caller_is_used_and_stays_open() -> None:
    answers = Answers(OK)
    with httpx.Client(base_url="http://own", timeout=9, transport=httpx.MockTransport(answers)) as http:
        with Client(http_client=http) as client:
            client.get("/v1/x")
        assert not http.is_closed
    (request,) = answers.requests
    assert str(request.url) == "http://own/v1/x"
    assert request.extensions["timeout"]["read"] == 9


def test_an_async_client_of_the_caller_is_used_and_stays_open() -> None:
    async def whole() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(Answers(OK))) as http:
            async with AsyncClient(base_url=URL, http_client=http) as client:
                assert await client.get("/v1/x") == {"ok": 1}
            assert not http.is_closed

    asyncio.run(whole())


class Elsewhere:
    """An HTTP library that is not httpx, and names its methods and exceptions as httpx does."""

    class HTTPError(Exception):
        pass

    class ConnectError(HTTPError):
        pass

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []

    def build_request(self, **arguments: Any) -> dict[str, Any]:
        return arguments

    def send(self, request: dict[str, Any], stream: bool = False) -> Any:
        self.sent.append(request)
        if len(self.sent) < 3:
            raise Elsewhere.ConnectError("no")
        return httpx.Response(200, json={"ok": 1})


def test_a_library_like_httpx_is_enough() -> None:
    http = Elsewhere()
    with Client(base_url=URL, http_client=http) as client:
        assert client.post("/v1/x", body={}) == {"ok": 1}
    assert len(http.sent) == 3


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_httpx2_is_enough(flavour: str) -> None:
    httpx2 = pytest.importorskip("httpx2")
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json={"path": request.url.path}))
    if flavour == "sync":
        with httpx2.Client(transport=transport) as http:
            assert Client(base_url=URL, http_client=http).get("/v1/x") == {"path": "/v1/x"}
        return

    async def whole() -> None:
        async with httpx2.AsyncClient(transport=transport) as http:
            assert await AsyncClient(base_url=URL, http_client=http).get("/v1/x") == {"path": "/v1/x"}

    asyncio.run(whole())


def test_a_wrong_address_is_an_error_before_any_request() -> None:
    for flavour in (Client, AsyncClient):
        with pytest.raises(ServerError, match="is not the address of a server"):
            flavour(base_url="letta")


def test_the_package_offers_the_clients() -> None:
    import lettaform.client as package

    assert {getattr(package, name).__name__ for name in package.__all__} == set(package.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Other'"):
        package.Other  # noqa: B018


def test_many_threads_can_use_one_client() -> None:
    from concurrent.futures import ThreadPoolExecutor

    began = time.monotonic()
    with Client(base_url=URL, transport=httpx.MockTransport(Answers(OK))) as client, ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda n: client.get(f"/v1/{n}"), range(50))) == [{"ok": 1}] * 50
    assert time.monotonic() - began < 5
