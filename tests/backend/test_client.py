"""HTTP as lettaform speaks it: pages that end, refusals as our errors, no secret in any of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lettaform.backend.v1 import client as module
from lettaform.backend.v1.client import Client
from lettaform.errors import Conflict, NotFound, ServerError, Unauthorized, Unavailable, Unsupported

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_pause", lambda state: 0.0)


def ask(handler: Handler, run: Callable[[Client], Any], **options: Any) -> Any:
    """Run against a handler; returns the result."""

    async def whole() -> Any:
        client = Client("http://letta", transport=httpx.MockTransport(handler), **options)
        try:
            return await run(client)
        finally:
            await client.close()

    return asyncio.run(whole())


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, Unauthorized),
        (403, Unauthorized),
        (404, NotFound),
        (409, Conflict),
        (405, Unsupported),
        (400, ServerError),
    ],
)
def test_a_refusal_is_our_error_and_not_repeated(status: int, error: type[ServerError]) -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json={"detail": "no"})

    with pytest.raises(error) as refused:
        ask(handler, lambda client: client.get("/v1/x/"))
    assert refused.value.status == status
    assert len(asked) == 1


@pytest.mark.parametrize(("status", "ambiguous"), [(429, False), (503, False), (500, True), (502, True)])
def test_what_may_pass_is_repeated_but_for_a_post(status: int, ambiguous: bool) -> None:
    for method, times in (("GET", 4), ("PUT", 4), ("PATCH", 4), ("DELETE", 4), ("POST", 1)):
        asked = []

        def handler(request: httpx.Request, asked: list[Any] = asked) -> httpx.Response:
            asked.append(request)
            return httpx.Response(status, json={"detail": "later"})

        with pytest.raises(Unavailable) as refused:
            ask(handler, lambda client, method=method: client.send(method, "/v1/x/", body={}))
        assert refused.value.ambiguous == ambiguous
        assert len(asked) == times


def test_a_post_that_makes_nothing_is_repeated() -> None:
    answers = iter([httpx.Response(500), httpx.Response(200, json={"ok": 1})])
    assert ask(lambda request: next(answers), lambda c: c.send("POST", "/v1/x/", repeatable=True)) == {"ok": 1}


def test_a_write_that_another_overtook_is_repeated_where_that_is_safe() -> None:
    answers = iter([httpx.Response(409, json={"detail": "CONFLICT"}), httpx.Response(200, json={})])
    assert ask(lambda request: next(answers), lambda c: c.send("PATCH", "/v1/x/", overtaken=True)) == {}


def test_the_server_says_how_long_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    answers = iter([httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(200, json={})])
    ask(lambda request: next(answers), lambda client: client.get("/v1/x/"))
    assert 7.0 in waits


def test_pages_end_even_when_the_cursor_is_gone() -> None:
    # 0.16.8 answers the first page again when the cursor's object was deleted meanwhile
    page = [{"id": f"x-{n}"} for n in range(module.PAGE)]
    assert (
        len(ask(lambda request: httpx.Response(200, json=page), lambda client: client.pages("/v1/x/"))) == module.PAGE
    )


def test_pages_follow_the_cursor() -> None:
    everything = [{"id": f"x-{n:05}"} for n in range(module.PAGE * 2 + 3)]

    def handler(request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("after", "")
        limit = int(request.url.params["limit"])
        return httpx.Response(200, json=[item for item in everything if item["id"] > after][:limit])

    assert ask(handler, lambda client: client.pages("/v1/x/")) == everything


def test_what_the_server_echoes_is_left_out() -> None:
    detail = "[{'type': 'x', 'loc': ('body', 'secrets'), 'msg': 'bad', 'input': {'KEY': 's3cret-sentinel'}}]"
    with pytest.raises(ServerError) as refused:
        ask(lambda request: httpx.Response(422, json={"detail": detail}), lambda c: c.send("POST", "/v1/x/", body={}))
    assert refused.value.words == "body.secrets: bad"
    with pytest.raises(ServerError) as refused:
        ask(lambda r: httpx.Response(422, json={"detail": "s3cret-sentinel ("}), lambda c: c.send("POST", "/v1/x/"))
    assert "sentinel" not in str(refused.value)


def test_known_secrets_are_redacted_in_errors_and_in_the_trace() -> None:
    traced: list[str] = []

    async def run(client: Client) -> Any:
        client.hide("s3cret-sentinel")
        return await client.get("/v1/x/", q="s3cret-sentinel")

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(400, json={"detail": "s3cret-sentinel and t0ken-sentinel are wrong"})

    with pytest.raises(ServerError) as refused:
        ask(handler, run, token="t0ken-sentinel", trace=traced.append)
    assert "sentinel" not in refused.value.words + str(refused.value) + "".join(traced)
    assert len(traced) == 1


def test_sql_is_not_shown() -> None:
    detail = "Unique. (sqlalchemy.dialects.X) <class 'asyncpg.Y'>: duplicate key DETAIL: Key (a)=(b) [SQL: INSERT x]"
    with pytest.raises(Conflict) as refused:
        ask(lambda request: httpx.Response(409, json={"detail": detail}), lambda client: client.get("/v1/x/"))
    assert refused.value.words == "Unique. duplicate key DETAIL: Key (a)=(b)"


def test_a_server_that_never_answers_is_an_error_in_time() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    with pytest.raises(Unavailable, match="no answer within") as refused:
        ask(handler, lambda client: client.send("POST", "/v1/x/"), timeout=0.05)  # type: ignore[arg-type]
    assert refused.value.ambiguous


def test_after_a_500_the_next_request_has_a_connection_of_its_own() -> None:
    pools = []

    async def run(client: Client) -> None:
        pools.append(client._http)
        with pytest.raises(Unavailable):
            await client.send("POST", "/v1/x/")
        pools.append(client._http)

    ask(lambda request: httpx.Response(500), run)
    assert pools[0] is not pools[1]


def test_every_request_says_who_asks_and_what_it_wants() -> None:
    seen: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json=[])

    ask(handler, lambda client: client.pages("/v1/agents/", include=["agent.tags", "agent.blocks"], x=True), token="k")
    (request,) = seen
    assert request.headers["user-agent"].startswith("lettaform/")
    assert request.headers["authorization"] == "Bearer k"
    assert request.url.params.get_list("include") == ["agent.tags", "agent.blocks"]
    assert request.url.params["x"] == "true"
