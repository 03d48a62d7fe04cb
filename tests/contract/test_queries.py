"""Every request of lettaform asks only for described parameters, within the server's bounds, and never for one page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.manifest import Draft
from tests.contract.description import Api, Row, api, table
from tests.faults.clock import Clock
from tests.faults.fleet import phases, write
from tests.faults.harness import ID
from tests.standin import StandIn

KEYS = {"name", "identifier_key"}
"""Parameters that select one object: such a list needs no limit."""

UNDESCRIBED: Mapping[tuple[str, str], str] = {
    ("GET /v1/agents/", "show_hidden_agents"): "undocumented; 0.16.8 lists hidden agents only with it",
    ("GET /v1/blocks/", "show_hidden_blocks"): "undocumented; 0.16.8 lists hidden blocks only with it",
    ("GET /v1/mcp-servers/", "limit"): "all lists are read alike; 0.16.8 ignores it and answers every server",
    ("GET /v1/mcp-servers/", "order"): "all lists are read alike; 0.16.8 ignores it",
    ("GET /v1/folders/{}/agents", "include"): "users of all kinds are read alike; 0.16.8 ignores it and answers ids",
    ("PATCH /v1/agents/{}", "include"): "0.16.8 ignores it: answers to PATCH always contain every relation",
}
"""Query parameters that are sent although the description does not have them, and why."""


class Recorder(httpx.AsyncBaseTransport):
    """A stand-in that records every request."""

    def __init__(self) -> None:
        self.standin, self.requests = StandIn(), list[httpx.Request]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.requests.append(request)
        return await self.standin.handle_async_request(request)


@pytest.fixture(scope="module")
def requests(tmp_path_factory: pytest.TempPathFactory) -> list[httpx.Request]:
    """The requests of all examples: created, changed and destroyed."""
    recorder = Recorder()
    for phase in phases("query", small=True):
        folder = tmp_path_factory.mktemp(phase.name)
        write(phase, folder)
        manifest = flow.read(flow.Source(folder))
        with (
            Clock().running(),
            mock.patch.object(flow, "begin", return_value=Draft(None, partial(replace, manifest))),
            mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=recorder)),
        ):
            _, report = flow.apply(flow.Source(folder), flow.Connection("http://stand.in"), phase.options, consent=True)
        assert report is not None
        assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]
    return recorder.requests


def problems(request: httpx.Request, described: Api) -> Iterator[str]:
    """What a request asks for and the description does not allow."""
    path = ID.sub("{}", request.url.path)
    query = dict(request.url.params)
    if request.method == "GET":
        known = described.asks(path)
        if (limit := known.get("limit")) and not {"limit", *KEYS} & query.keys():
            yield f"GET {path}: no limit; the server answers {limit.rpartition('=')[2]} at most"
    else:
        known = described.sends(request.method, path)
    for name, value in query.items():
        if name in known:
            yield from _out_of_bounds(f"{request.method} {path}", name, value, known[name])
        elif (f"{request.method} {path}", name) not in UNDESCRIBED:
            yield f"{request.method} {path}: no query parameter `{name}`"
    if request.headers.get("content-type") == "application/json" and request.content:
        body = json.loads(request.content)
        for name, value in body.items() if isinstance(body, Mapping) else ():
            yield from _out_of_bounds(f"{request.method} {path}", name, value, known.get(name, ""))


def _out_of_bounds(where: str, name: str, value: Any, type: str) -> Iterator[str]:
    if not re.fullmatch(r"-?\d+", str(value)):
        return
    for sign, bound in re.findall(r"([<>])=([\de+.]+)", type):
        if int(value) > float(bound) if sign == "<" else int(value) < float(bound):
            yield f"{where}: `{name}` is {value}; the server takes {sign}={bound}"


def test_requests_of_lettaform_stay_within_description(requests: list[httpx.Request]) -> None:
    assert sorted({problem for request in requests for problem in problems(request, api())}) == []


def test_undescribed_parameters_are_still_sent(requests: list[httpx.Request]) -> None:
    sent = {(f"{each.method} {ID.sub('{}', each.url.path)}", name) for each in requests for name in each.url.params}
    assert UNDESCRIBED.keys() - sent == set()


def test_requests_of_lettaform_cover_lists_and_writes(requests: list[httpx.Request]) -> None:
    sent = {f"{request.method} {ID.sub('{}', request.url.path)}" for request in requests}
    assert sent >= {"GET /v1/agents/", "GET /v1/folders/{}/files", "GET /v1/folders/{}/agents"}
    assert sent >= {"POST /v1/passages/search", "POST /v1/agents/", "PATCH /v1/agents/{}", "DELETE /v1/agents/{}"}


FOLDER = "source-00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            httpx.Request("GET", f"http://x/v1/folders/{FOLDER}/agents"),
            "GET /v1/folders/{}/agents: no limit; the server answers 50 at most",
        ),
        (
            httpx.Request("GET", "http://x/v1/agents/", params={"limit": 9, "colour": "red"}),
            "GET /v1/agents/: no query parameter `colour`",
        ),
        (
            httpx.Request("GET", "http://x/v1/runs/", params={"limit": 1001}),
            "GET /v1/runs/: `limit` is 1001; the server takes <=1000",
        ),
        (
            httpx.Request("POST", "http://x/v1/passages/search", json={"limit": 1000}),
            "POST /v1/passages/search: `limit` is 1000; the server takes <=100",
        ),
        (
            httpx.Request("DELETE", f"http://x/v1/folders/{FOLDER}", params={"force": True}),
            "DELETE /v1/folders/{}: no query parameter `force`",
        ),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(value.url.path),
)
def test_request_outside_description_is_reported(request_: httpx.Request, message: str) -> None:
    assert list(problems(request_, api())) == [message]


def test_removed_parameter_is_reported() -> None:
    rows = [row for row in table() if row != Row("/v1/agents/", "GET", "asks", "limit", "integer or null =50")]
    assert len(rows) == len(table()) - 1
    request = httpx.Request("GET", "http://x/v1/agents/", params={"limit": 9})
    assert list(problems(request, Api(rows))) == ["GET /v1/agents/: no query parameter `limit`"]
