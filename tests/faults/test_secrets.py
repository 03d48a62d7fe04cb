"""Promise 9 under faults: no secret is shown, whatever the server or a proxy answers."""

from __future__ import annotations

import asyncio
import json
import traceback
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
import pytest

from lettaform import flow
from lettaform.backend import connect
from lettaform.backend.v1.client import Client
from lettaform.errors import LettaformError
from lettaform.model import Event
from lettaform.render import data, text
from tests.standin import StandIn

SECRET = "sentinel-9d0e-do-not-tell"
TOKEN = "bearer-4b1a-do-not-tell"
MANIFEST = """
stack: quiet
variables: {key: {secret: true, default: %s}}
agents:
  ann: {model: letta/letta-free, secrets: {KEY: "${var.key}"}, memory: {persona: I am Ann.}}
"""


def _echo_422(body: str) -> str:
    """422 as 0.16.8 writes it, with the whole input in it."""
    return repr([{"type": "missing", "loc": ("body", "x"), "msg": "Field required", "input": json.loads(body)}])


ANSWERS: dict[str, Any] = {
    "422 that echoes": lambda body: httpx.Response(422, json={"trace_id": "", "detail": _echo_422(body)}),
    "422 that is no list": lambda body: httpx.Response(422, json={"detail": f"what is {body}?"}),
    "422 as text": lambda body: httpx.Response(422, text=body),
    "400 that echoes": lambda body: httpx.Response(400, json={"detail": f"INVALID_ARGUMENT: {body}"}),
    "409 that echoes": lambda body: httpx.Response(409, json={"detail": {"message": body}}),
    "500 that echoes": lambda body: httpx.Response(500, json={"detail": body}),
    "200 that is no JSON": lambda body: httpx.Response(200, text=f"<html>{body}</html>"),
    "a redirect": lambda body: httpx.Response(307, headers={"location": f"http://elsewhere/?q={SECRET}"}),
}


class Echo(httpx.AsyncBaseTransport):
    """A stand-in that echoes the request body as the answer to agent creates."""

    def __init__(self, answer: Any) -> None:
        self.standin, self.answer = StandIn(), answer

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if (request.method, request.url.path) == ("POST", "/v1/agents/"):
            answer: httpx.Response = self.answer((await request.aread()).decode())
            return answer
        return await self.standin.handle_async_request(request)


@pytest.mark.parametrize("kind", ANSWERS)
def test_echoed_secrets_are_not_shown(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "lettaform.yaml").write_text(MANIFEST % SECRET)
    monkeypatch.setattr("lettaform.backend.v1.client.SETTLE", 0.0)
    transport, outputs = Echo(ANSWERS[kind]), list[str]()

    def hear(event: Event) -> None:
        outputs.append(data.dumps(data.event(event)))
        if event.outcome and event.outcome.error:
            outputs.extend(traceback.format_exception(event.outcome.error))

    with mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=transport)):
        connection = flow.Connection("http://stand.in", token=TOKEN, trace=outputs.append)
        plan, report = flow.apply(flow.Source(tmp_path), connection, notify=hear, consent=True)
    assert report is not None
    assert report.exit_code in (1, 5)
    outputs += [text.plan(plan, verbose=True), text.report(plan, report), data.dumps(data.summary(report))]
    shown = "\n".join(outputs)
    assert SECRET not in shown
    assert TOKEN not in shown
    assert "agents.ann" in shown


def test_token_is_not_shown_when_no_server_answers() -> None:
    async def go() -> str:
        client = Client("http://127.0.0.1:9", token=TOKEN, timeout=1)
        try:
            await client.send("POST", "/v1/agents/", body={"token": TOKEN})
        except LettaformError as error:
            return "".join(traceback.format_exception(error)) + str(error.hint)
        finally:
            await client.close()
        return ""

    message = asyncio.run(go())
    assert "no server answers" in message
    assert TOKEN not in message
