"""A stack on a real server for one test: its manifest, lettaform's verbs, and a raw HTTP client."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx

from lettaform import flow
from lettaform.backend.v1.client import Client
from lettaform.model import Live, Plan, PlanOptions, Report

TOOL = '''
def {name}(city: str) -> str:
    """Tell the weather.

    Args:
        city (str): Which city.

    Returns:
        str: The weather.
    """
    return "sunny in " + city
'''


class RetryingTransport(httpx.HTTPTransport):
    """Repeats an agent file export that another one disturbed: 0.16.8 mixes up their numbers and answers 500."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        while True:
            answer = super().handle_request(request)
            if answer.status_code != 500 or b"encountered during conversion" not in answer.read():
                return answer


def raw_client(url: str, password: str | None, **headers: str) -> httpx.Client:
    """An HTTP client that acts as an agent, another user or a person, not as lettaform."""
    bearer = {"Authorization": f"Bearer {password}"} if password else {}
    headers = {"User-Agent": "other-client/1", **bearer, **headers}
    return httpx.Client(base_url=url, headers=headers, timeout=120, transport=RetryingTransport())


class Fleet:
    """One stack. `raw` is an HTTP client that acts as an agent, another user or a person."""

    def __init__(self, url: str, model: str, embedding: str, password: str | None, folder: Path, stack: str) -> None:
        self.folder, self.stack = folder, stack
        self.connection = flow.Connection(url=url, token=password)
        self.raw = raw_client(url, password)
        self.defaults = f"stack: {stack}\ndefaults: {{agents: {{model: {model}, embedding: {embedding}}}}}\n"

    def write(self, manifest: str, **files: str) -> None:
        """Write the manifest (its stack and defaults are added) and the files next to it."""
        (self.folder / "lettaform.yaml").write_text(self.defaults + textwrap.dedent(manifest))
        for name, text in files.items():
            path = self.folder / name.replace("__", "/").replace("_py", ".py")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    @property
    def source(self) -> flow.Source:
        return flow.Source(self.folder)

    def plan(self, **options: Any) -> Plan:
        return flow.plan(self.source, self.connection, PlanOptions(**options))

    def apply(self, **options: Any) -> Report:
        """Apply, then assert that two plans in a row are empty."""
        _, report = flow.apply(self.source, self.connection, PlanOptions(**options), consent=True)
        assert report is not None, "nothing was to do"
        assert report.exit_code == 0, [str(outcome.error) for outcome in report.of("failed")]
        self.assert_no_changes()
        return report

    def apply_interrupted(
        self, monkeypatch: Any, at: Callable[[str, str], bool], options: PlanOptions | None = None
    ) -> list[str]:
        """Apply, and interrupt it when the first matching request (method, path) is answered.

        Returns the paths of all matching requests that were answered.
        """
        exchange, answered = Client._exchange, list[str]()

        async def send_and_interrupt(client: Client, ask: Any) -> Any:
            answer = await exchange(client, ask)
            if at(ask.method, ask.path):
                answered.append(ask.path)
                if len(answered) == 1:  # what an interrupted apply still sends is let through
                    raise KeyboardInterrupt
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(Client, "_exchange", send_and_interrupt)
            with suppress(BaseException):
                flow.apply(self.source, self.connection, options, consent=True)
        return answered

    def assert_no_changes(self) -> Plan:
        """Assert that two plans in a row are empty; return the last one."""
        for _ in range(2):
            plan = self.plan()
            assert not plan.steps, changes(plan)
        return plan

    # --- reads from the server

    def agents(self) -> list[dict[str, Any]]:
        """All agents that carry the stack's tag, oldest first, copies included."""
        params = {"tags": f"lettaform:stack={self.stack}", "limit": 1000, "order": "asc", "show_hidden_agents": True}
        return list(self.raw.get("/v1/agents/", params=params).raise_for_status().json())

    def agent(self, name: str) -> dict[str, Any]:
        (found,) = [agent for agent in self.agents() if agent["name"] == name]
        return dict(found)

    def blocks(self) -> list[dict[str, Any]]:
        """All blocks that carry the stack's tag, except the stack's state."""
        params = {"tags": f"lettaform:stack={self.stack}", "limit": 1000, "show_hidden_blocks": True}
        found = self.raw.get("/v1/blocks/", params=params).raise_for_status().json()
        return [block for block in found if block["label"] != "lettaform"]

    def block(self, label: str, agent: str | None = None) -> dict[str, Any]:
        if agent is None:
            (found,) = [block for block in self.blocks() if block["label"] == label]
        else:
            (found,) = [block for block in self.agent(agent)["blocks"] if block["label"] == label]
            found = self.raw.get(f"/v1/blocks/{found['id']}").json()
        return dict(found)

    def tools(self) -> list[dict[str, Any]]:
        found = self.raw.get("/v1/tools/", params={"limit": 1000}).raise_for_status().json()
        return [tool for tool in found if f"lettaform:stack={self.stack}" in tool["tags"]]

    def patch(self, path: str, **body: Any) -> dict[str, Any]:
        return dict(self.raw.patch(path, json=body or None).raise_for_status().json() or {})

    def state(self) -> list[Live]:
        return flow.state_list(self.source, self.connection)

    def clear(self) -> None:
        """Delete everything that the test left."""
        for agent in self.agents():
            for block in agent["blocks"]:
                self.raw.delete(f"/v1/blocks/{block['id']}")
            self.raw.delete(f"/v1/agents/{agent['id']}")
        params = {"tags": f"lettaform:stack={self.stack}", "limit": 1000, "show_hidden_blocks": True}
        for block in self.raw.get("/v1/blocks/", params=params).json():
            self.raw.delete(f"/v1/blocks/{block['id']}")
        for tool in self.tools():
            self.raw.delete(f"/v1/tools/{tool['id']}")
        self.raw.close()


def changes(plan: Plan) -> list[tuple[str, str, list[str]]]:
    """A plan as tuples: action, address, paths of changed fields."""
    return [(c.action, str(c.address), [d.path for d in c.fields_changed]) for c in plan.changes]


def agent_changes(plan: Plan) -> list[tuple[str, str]]:
    """The values that agents changed, as tuples: address, path."""
    return [(str(runtime.address), runtime.path) for runtime in plan.runtime]


def without_order(body: Any) -> Any:
    """A response body with sorted collections, because 0.16.8 does not keep their order."""
    if isinstance(body, dict):
        return {key: without_order(value) for key, value in body.items()}
    if isinstance(body, list):
        return sorted((without_order(item) for item in body), key=repr)
    return body


class RequestLog:
    """Records every request that lettaform sends."""

    def __init__(self, monkeypatch: Any) -> None:
        self.sent: list[tuple[str, str, Any]] = []
        self.locks: set[str] = set()
        once = Client._once

        async def record(client: Client, ask: Any) -> Any:
            self.sent.append((ask.method, ask.path, ask.body))
            answer = await once(client, ask)
            if ask.method == "POST" and "lettaform:lock:" in str(ask.body):
                self.locks |= {ask.path, f"{ask.path}{answer['id']}"}
            return answer

        monkeypatch.setattr(Client, "_once", record)

    def writes(self) -> list[tuple[str, str, Any]]:
        """Requests that write objects: no GET, no POST that only reads, and not those of the lock."""
        writes = [sent for sent in self.sent if sent[0] != "GET" and not sent[1].endswith(READ_ONLY_POSTS)]
        return [sent for sent in writes if not self._locks(sent)]

    def _locks(self, sent: tuple[str, str, Any]) -> bool:
        _, path, body = sent
        return path in self.locks and (body is None or "lettaform:lock:" in str(body) or "beat" in str(body))


READ_ONLY_POSTS = ("generate-schema", "passages/search")
"""Path endings of POST requests that only read."""
