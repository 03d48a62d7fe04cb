"""The client: pages that end, refusals as errors, ambiguous POSTs, no secret in any message."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest

from lettaform.backend.v1 import client as module
from lettaform.backend.v1.client import Client
from lettaform.errors import Conflict, NotFound, ServerError, Unauthorized, Unavailable, Unsupported
from tests.faults.clock import Clock

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
def test_a_refusal_is_an_error_of_ours_and_not_retried(status: int, error: type[ServerError]) -> None:
    asked = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(status, json={"detail": "no"})

    with pytest.raises(error) as refused:
        ask(handler, lambda client: client.get("/v1/x/"))
    assert refused.value.status == status
    assert len(asked) == 1


@pytest.mark.parametrize(("status", "ambiguous"), [(429, False), (503, False), (500, True), (502, True)])
def test_a_transient_failure_is_retried_except_for_a_post(status: int, ambiguous: bool) -> None:
    for method, times in (("GET", 4), ("PUT", 4), ("PATCH", 4), ("DELETE", 4), ("POST", 1)):
        asked = []

        def handler(request: httpx.Request, asked: list[Any] = asked) -> httpx.Response:
            asked.append(request)
            return httpx.Response(status, json={"detail": "later"})

        with pytest.raises(Unavailable) as refused:
            ask(handler, lambda client, method=method: client.send(method, "/v1/x/", body={}))
        assert refused.value.ambiguous == ambiguous
        assert len(asked) == times


def test_an_mcp_server_that_was_silent_is_asked_again() -> None:
    silent = {"code": "MCPServerUnavailable", "message": "Could not connect to echo", "error": "all attempts failed"}
    answers = iter([httpx.Response(404, json={"detail": silent}), httpx.Response(200, json={"added": []})])
    assert ask(lambda request: next(answers), lambda c: c.send("PATCH", "/v1/x/refresh")) == {"added": []}

    with pytest.raises(Unavailable) as refused:
        ask(lambda request: httpx.Response(404, json={"detail": silent}), lambda c: c.send("PATCH", "/v1/x/refresh"))
    assert refused.value.message.endswith("404 Could not connect to echo: all attempts failed")
    assert not refused.value.ambiguous


def test_a_post_that_creates_nothing_is_retried() -> None:
    answers = iter([httpx.Response(500), httpx.Response(200, json={"ok": 1})])
    assert ask(lambda request: next(answers), lambda c: c.send("POST", "/v1/x/", repeatable=True)) == {"ok": 1}


def test_an_overtaken_write_is_retried_where_that_is_safe() -> None:
    answers = iter([httpx.Response(409, json={"detail": "CONFLICT"}), httpx.Response(200, json={})])
    assert ask(lambda request: next(answers), lambda c: c.send("PATCH", "/v1/x/", overtaken=True)) == {}


def test_retry_after_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    answers = iter([httpx.Response(429, headers={"Retry-After": "7"}), httpx.Response(200, json={})])
    ask(lambda request: next(answers), lambda client: client.get("/v1/x/"))
    assert 7.0 in waits


def test_pages_end_although_the_object_of_the_cursor_is_deleted() -> None:
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


def test_input_that_the_server_echoes_is_left_out() -> None:
    detail = "[{'type': 'x', 'loc': ('body', 'secrets'), 'msg': 'bad', 'input': {'KEY': 's3cret-sentinel'}}]"
    with pytest.raises(ServerError) as refused:
        ask(lambda request: httpx.Response(422, json={"detail": detail}), lambda c: c.send("POST", "/v1/x/", body={}))
    assert refused.value.words == "body.secrets: bad"
    with pytest.raises(ServerError) as refused:
        ask(lambda r: httpx.Response(422, json={"detail": "s3cret-sentinel ("}), lambda c: c.send("POST", "/v1/x/"))
    assert "sentinel" not in str(refused.value)


def test_refused_values_are_problems_without_names_of_python_classes() -> None:
    detail = (
        "[{'type': 'literal_error', 'loc': ('body', 'messages', 0, 'role'), 'input': 's3cret-sentinel', "
        "'msg': \"Input should be <Role.user: 'user'> or <Role.system: 'system'>\"}, "
        "{'type': 'value_error', 'loc': ('body', 'rules'), 'msg': 'Value error, must not be empty.', 'input': {}, "
        "'ctx': {'error': ValueError('must not be \\'empty\\'')}}]"
    )
    with pytest.raises(ServerError) as refused:
        ask(lambda request: httpx.Response(422, json={"detail": detail}), lambda c: c.send("PATCH", "/v1/x/", body={}))
    assert [(each.field, each.message) for each in refused.value.problems] == [
        ("body.messages.0.role", "Input should be 'user' or 'system'"),
        ("body.rules", "must not be empty."),
    ]
    assert not refused.value.may_pass


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


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        (
            "Unique. (sqlalchemy.dialects.X) <class 'asyncpg.Y'>: duplicate key DETAIL: Key (a)=(b) [SQL: INSERT x]",
            "Unique. the database of the server refused the values",
        ),
        (
            "(sqlalchemy.dialects.X.IntegrityError) <class 'asyncpg.exceptions.NotNullViolationError'>: "
            'null value in column "name" of relation "tools"\nDETAIL:  Failing row contains (tool-1, null, t0ken).\n'
            "[SQL: INSERT INTO tools]\n[parameters: ('t0ken',)]",
            "the database of the server refused the values",
        ),
        (
            "<class 'asyncpg.exceptions.DataError'>: invalid input $1: 5",
            "the database of the server refused the values",
        ),
        ("(sqlite3.IntegrityError) NOT NULL constraint failed", "the database of the server refused the values"),
        ("Agent (sql) not found", "Agent (sql) not found"),
    ],
)
def test_text_of_the_database_is_not_shown(detail: str, words: str) -> None:
    with pytest.raises(Conflict) as refused:
        ask(lambda request: httpx.Response(409, json={"detail": detail}), lambda client: client.get("/v1/x/"))
    assert refused.value.words == words


def test_a_server_that_never_answers_is_an_error_in_time() -> None:
    async def handler(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    with pytest.raises(Unavailable, match="no answer within") as refused:
        ask(handler, lambda client: client.send("POST", "/v1/x/"), timeout=0.05)  # type: ignore[arg-type]
    assert refused.value.ambiguous


def test_after_a_500_the_next_request_has_a_new_connection() -> None:
    pools = []

    async def run(client: Client) -> None:
        pools.append(client._http)
        with pytest.raises(Unavailable):
            await client.send("POST", "/v1/x/")
        pools.append(client._http)

    ask(lambda request: httpx.Response(500), run)
    assert pools[0] is not pools[1]


@pytest.mark.parametrize("pause", [None, 0.001])
def test_a_pool_is_replaced_once_and_closed_when_no_request_uses_it(pause: float | None) -> None:
    pools = set[int]()

    async def run(client: Client) -> int:
        async def handler(request: httpx.Request) -> httpx.Response:
            pools.add(len(client._replaced) + 1)
            if pause is not None:
                await asyncio.sleep(pause)
            return httpx.Response(503)

        client._transport = httpx.MockTransport(handler)
        client._http = client._pool()
        await asyncio.gather(*(client.get("/v1/x/") for _ in range(40)), return_exceptions=True)
        assert client.requests == 160
        return len(client._replaced)

    assert ask(lambda request: httpx.Response(200), run, parallel=64) == 0
    assert max(pools) <= 4


def test_every_request_has_user_agent_key_and_parameters() -> None:
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


# --- odd answers


ODD: dict[str, tuple[Any, Callable[[Client], Any]]] = {
    "items: an object": ({"odd": 1}, lambda client: client.items("/v1/x/")),
    "items: a list of texts": (["odd"], lambda client: client.items("/v1/x/")),
    "pages: an object": ({"odd": 1}, lambda client: client.pages("/v1/x/")),
    "pages: objects without id": ([{"odd": 1}], lambda client: client.pages("/v1/x/")),
    "pages: an id that is a number": ([{"id": 1}], lambda client: client.pages("/v1/x/")),
    "pages: nothing": (None, lambda client: client.pages("/v1/x/")),
    "object: a list": ([], lambda client: client.object("GET", "/v1/x/")),
    "object: no id": ({"odd": 1}, lambda client: client.object("GET", "/v1/x/")),
    "object: no key": ({"id": "x-1"}, lambda client: client.object("GET", "/v1/x/", keys=("id", "name"))),
}


@pytest.mark.parametrize("case", ODD)
def test_an_answer_of_another_shape_is_a_server_error_with_method_and_path(case: str) -> None:
    answer, run = ODD[case]
    with pytest.raises(ServerError, match=r"GET http://letta/v1/x/ answered") as refused:
        ask(lambda request: httpx.Response(200, json=answer), run)
    assert (refused.value.method, refused.value.path) == ("GET", "/v1/x/")


# --- POSTs that may have been carried out


class Post:
    """A server that answers the n-th POST with the n-th of `answers`, and creates an object at POST `creates`."""

    def __init__(self, *answers: Any, creates: int | None = None, visible_after: int = 0) -> None:
        self.answers, self.creates, self.visible_after = answers, creates, visible_after
        self.posts = self.looks = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.posts += 1
        answer = self.answers[self.posts - 1]
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return answer

    async def find_again(self) -> dict[str, Any] | None:
        """What a lost POST has created."""
        self.looks += 1
        there = self.creates is not None and self.posts >= self.creates and self.looks > self.visible_after
        return {"id": "found"} if there else None

    def run(self) -> dict[str, Any]:
        created: dict[str, Any] = ask(self, lambda client: client.create("/v1/x/", body={}, find_again=self.find_again))
        return created


def _lost() -> Exception:
    return httpx.ReadError("cut")


def _answer(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"id": "answered", "detail": "no"}, headers=headers)


CREATES: dict[str, tuple[Callable[[], Post], str | type[ServerError], int]] = {
    "answered": (lambda: Post(_answer(200)), "answered", 1),
    "lost and created": (lambda: Post(_lost(), creates=1), "found", 1),
    "lost and created later": (lambda: Post(_lost(), creates=1, visible_after=2), "found", 1),
    "lost and not created": (lambda: Post(_lost(), _answer(200)), "answered", 2),
    "lost three times": (lambda: Post(_lost(), _lost(), _lost()), Unavailable, 3),
    "lost, then its own name is taken": (lambda: Post(_lost(), _answer(409), creates=2), "found", 2),
    "taken by somebody": (lambda: Post(_answer(409)), Conflict, 1),
    "not valid": (lambda: Post(_answer(422)), ServerError, 1),
    "overloaded": (lambda: Post(_answer(503), _answer(200)), "answered", 2),
    "500 twice": (lambda: Post(_answer(500), _answer(500)), Unavailable, 2),
    "not reached": (lambda: Post(httpx.ConnectError("no"), _answer(200)), "answered", 2),
}


@pytest.mark.parametrize("case", CREATES)
def test_create_sends_a_post_again_only_if_it_created_nothing(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE", 1.0)
    make, result, posts = CREATES[case]
    with Clock().running():
        post = make()
        if isinstance(result, str):
            assert post.run() == {"id": result} | ({"detail": "no"} if result == "answered" else {})
        else:
            with pytest.raises(result):
                post.run()
        assert post.posts == posts


def test_create_does_not_send_again_if_nobody_can_tell_what_was_created() -> None:
    post = Post(_lost())

    async def find_again() -> None:
        raise Unavailable("no server answers")

    with Clock().running(), pytest.raises(Unavailable, match="the connection broke") as lost:
        ask(post, lambda client: client.create("/v1/x/", body={}, find_again=find_again))
    assert lost.value.ambiguous
    assert post.posts == 1


def test_create_waits_as_long_as_the_server_asks() -> None:
    clock = Clock()
    with clock.running():
        before = clock.now
        Post(_answer(429, **{"retry-after": "7"}), _answer(200)).run()
        assert clock.now - before >= 7


# --- writes without an answer


async def _cancelled(request: httpx.Request) -> httpx.Response:
    asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)  # type: ignore[union-attr]
    await asyncio.sleep(1)
    raise AssertionError


def _raises(error: BaseException) -> Handler:
    def handler(request: httpx.Request) -> httpx.Response:
        raise error

    return handler


class Ended(BaseException):
    """An exception that nothing catches."""


@pytest.mark.parametrize(
    ("handler", "doubt"),
    [
        (_cancelled, True),
        (_raises(Ended()), True),
        (_raises(ValueError()), True),
        (_raises(httpx.ReadError("cut")), True),
        (lambda request: httpx.Response(502), True),
        (lambda request: httpx.Response(504), True),
        (_raises(httpx.ConnectError("no")), False),
        (lambda request: httpx.Response(500), False),
        (lambda request: httpx.Response(409), False),
        (lambda request: httpx.Response(200), False),
    ],
)
def test_a_write_that_may_be_carried_out_leaves_a_doubt(handler: Any, doubt: bool) -> None:
    async def run(client: Client) -> float:
        with suppress(BaseException):
            await client.send("POST", "/v1/x/", body={})
        return client.doubt

    assert (ask(handler, run) > 0) == doubt


def test_a_read_leaves_no_doubt() -> None:
    async def run(client: Client) -> float:
        with suppress(Unavailable):
            await client.get("/v1/x/")
        return client.doubt

    assert ask(_raises(httpx.ReadError("cut")), run) < 0


def test_a_body_is_freed_without_garbage_collection() -> None:
    """A plan pauses the collector: thousands of pages would stay."""
    answers: list[weakref.ref[httpx.Response]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        answer = httpx.Response(200, json=[])
        answers.append(weakref.ref(answer))
        return answer

    async def twice(client: Client) -> None:
        for _ in range(2):
            assert await client.get("/v1/x/") == []

    gc.disable()
    try:
        ask(handler, twice)
        assert [each() for each in answers] == [None, None]
    finally:
        gc.enable()
