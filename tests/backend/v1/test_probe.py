"""What the server is asked before an apply: an odd answer is a ServerError, a refusal a problem with its place."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from lettaform.address import Address
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.probe import check
from lettaform.errors import Place, Problem, ServerError
from lettaform.model import Desired, Observed

VALUES = {"name": "echo", "url": "http://mcp.example/mcp"}
SERVER = Desired(Address.parse("mcp_servers.echo"), "mcp_server", VALUES, Place("lettaform.yaml", 1, 1))


def probe(status: int, answer: Any) -> list[Problem]:
    """The problems of one MCP server."""

    async def go() -> list[Problem]:
        transport = httpx.MockTransport(lambda request: httpx.Response(status, json=answer))
        client = Client("http://letta", transport=transport)
        return await check(client, [(SERVER, frozenset({"url"}))], Observed("http://letta", "0.16.8"))

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("status", "answer", "problem"),
    [
        (200, {"tools": [{"name": "say"}]}, None),
        (200, {"tools": []}, None),
        (404, {"detail": "no such route"}, None),
        (502, {"detail": "connection refused"}, "mcp_servers.echo: the server cannot reach it: connection refused"),
    ],
)
def test_an_mcp_server_that_cannot_be_reached_is_a_problem(status: int, answer: Any, problem: str | None) -> None:
    assert [each.message for each in probe(status, answer)] == ([problem] if problem else [])


@pytest.mark.parametrize("answer", [[], {"tools": [{"odd": 1}]}])
def test_an_odd_answer_is_a_server_error(answer: Any) -> None:
    with pytest.raises(ServerError, match="answered"):
        probe(200, answer)


def schema_problem(source: str, status: int, answer: Any) -> Problem | None:
    """The problem of a tool whose schema the server derives."""

    async def go() -> list[Problem]:
        transport = httpx.MockTransport(lambda request: httpx.Response(status, json=answer))
        tool = Desired(Address.parse("tools.t"), "tool", {"name": "f", "source": source}, Place("lettaform.yaml", 2, 1))
        client = Client("http://letta", transport=transport)
        return await check(client, [(tool, frozenset({"name", "source"}))], Observed("http://letta", "0.16.8"))

    return next(iter(asyncio.run(go())), None)


@pytest.mark.parametrize(
    ("hint", "advice"),
    [
        ("text: str | None", "write `text: Optional[str]` in place of `text: str | None`"),
        ("text", "add the type of `text`, such as `text: str`"),
        (
            "text: bytes",
            "the server knows no schema of `text: bytes`: describe the arguments in `args_json_schema`, or the whole "
            "function in `json_schema`",
        ),
        ("text: str", "describe `text` in the docstring: a line `text: …` below `Args:`"),
    ],
)
def test_a_schema_that_the_server_cannot_derive_has_a_hint_for_its_reason(hint: str, advice: str) -> None:
    source = f'def f({hint}):\n    """F."""\n'
    problem = schema_problem(source, 400, {"detail": "Schema generation failed: no type"})
    assert problem is not None
    assert problem.message == "tools.t: the server cannot derive a schema: Schema generation failed: no type"
    assert problem.hint == advice


def test_the_server_names_the_function_that_the_plan_shows() -> None:
    assert schema_problem("def f(): ...", 200, {"name": "f"}) is None
    problem = schema_problem("def f(): ...", 200, {"name": "g"})
    assert problem is not None
    assert problem.message == "tools.t: the server takes `g` for its function, not `f`"
