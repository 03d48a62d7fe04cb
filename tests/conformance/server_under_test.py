"""The server under test, stand-in or real: sends requests, gives objects unique names, deletes them afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from uuid import uuid4

import httpx

Body = dict[str, Any]
_ID = re.compile(r"\b([a-z]+(?:-env)?)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
_ERROR = re.compile(r"'type': '(\w+)', 'loc': \(([^)]*)\)")
# groups before their managers; agents and MCP servers before what they use
_SECTIONS = ("mcp-servers", "groups", "agents", "blocks", "tools", "identities", "folders", "archives", "providers")
_CREATING_PATHS = {f"/v1/{section}/": section for section in (*_SECTIONS, "conversations")}


def unknown_id(kind: str) -> str:
    """An id of this kind that no object has."""
    return f"{kind}-00000000-0000-4000-8000-000000000000"


class Server:
    """Sends requests, remembers what they create. `tag` is unique to the test: put it on objects that are listed."""

    def __init__(self, client: httpx.Client, model: str, embedding: str, tag: str | None = None) -> None:
        self.client, self.model, self.embedding = client, model, embedding
        self.tag = tag or f"conf-{uuid4().hex[:12]}"
        self.tool_name = self.tag.replace("-", "_")
        self._created: dict[str, str] = {}

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for section in _SECTIONS:
            for id in [id for id, each in self._created.items() if each == section]:
                self.client.delete(f"/v1/{section}/{id}")
        self.client.close()

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """Send one request; what it creates is deleted at the end."""
        answer = self.client.request(method, path, **({} if body is None else {"json": body}), **more)
        if answer.status_code == 200 and path in _CREATING_PATHS and method in ("POST", "PUT"):
            self._note(answer.json(), _CREATING_PATHS[path])
        if answer.status_code == 200 and path == "/v1/agents/import":
            for id in answer.json()["agent_ids"]:
                self._note(self.get(f"/v1/agents/{id}"), "agents")
        if answer.status_code == 200 and isinstance(body, dict) and body.get("enable_sleeptime"):
            self._note_sleeptime_agents(answer.json())
        if answer.status_code == 500 and path == "/v1/agents/" and (body or {}).get("tags"):
            for agent in self.get("/v1/agents/", tags=body["tags"]):
                self._note(agent, "agents")
        if answer.status_code != 200 and path == "/v1/agents/" and method == "POST":
            for block in (body or {}).get("memory_blocks") or ():  # they remain although the agent failed
                if isinstance(block, dict) and block.get("tags"):
                    for orphan in self.get("/v1/blocks/", tags=block["tags"], show_hidden_blocks=True):
                        self._created[orphan["id"]] = "blocks"
        return answer

    def _note_sleeptime_agents(self, agent: Body) -> None:
        for id in (agent["managed_group"] or {}).get("agent_ids", ()):
            self._note(self.get(f"/v1/agents/{id}"), "agents")

    def _note(self, body: Body, section: str) -> None:
        self._created[body["id"]] = section
        for id in body.get("isolated_block_ids") or ():
            self._created[id] = "blocks"
        for block in body.get("blocks") or ():
            self._created[block["id"]] = "blocks"

    def get(self, path: str, **params: Any) -> Any:
        """The body of a GET that must succeed."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def call(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The body of a request that must succeed."""
        answer = self.ask(method, path, body, **more)
        assert answer.status_code == 200, (method, path, body, answer.text)
        return answer.json()

    def block(self, **fields: Any) -> Body:
        """Create a block; its label is the test's tag by default."""
        return dict(self.call("POST", "/v1/blocks/", {"label": self.tag, "value": "v", **fields}))

    def agent(self, **fields: Any) -> Body:
        """Create an agent with nothing but the given fields."""
        defaults = {"name": self.tag, "model": self.model, "system": "S", "include_base_tools": False}
        return dict(self.call("POST", "/v1/agents/", {**defaults, **fields}))

    def patch(self, agent: Mapping[str, Any], **fields: Any) -> Body:
        """Update an agent."""
        return dict(self.call("PATCH", f"/v1/agents/{agent['id']}", fields))

    def read_agent(self, agent: Mapping[str, Any], **params: Any) -> Body:
        """Read an agent."""
        return dict(self.get(f"/v1/agents/{agent['id']}", **params))

    def tool(self, name: str = "", **fields: Any) -> Body:
        """Create a tool; its name is the test's tool name by default."""
        return dict(
            self.call(
                "PUT", "/v1/tools/", {"source_code": source(name or self.tool_name), "source_type": "python"} | fields
            )
        )

    def builtin(self, name: str) -> str:
        """The id of one of the server's base tools."""
        return next(str(tool["id"]) for tool in self.get("/v1/tools/", limit=1000) if tool["name"] == name)


def source(name: str, about: str = "Does it.") -> str:
    """The source of a small tool."""
    text = f'"""{about}\n\n    Args:\n        word (str): Any.\n    """'
    return f"def {name}(word: str) -> str:\n    {text}\n    return word\n"


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    """An error without ids, SQL and echoed input: status and detail; for 422, type and location of each error."""
    detail = answer.json().get("detail")
    if answer.status_code == 422:
        assert isinstance(detail, str), "0.16.8 answers a repr"
        return 422, _ERROR.findall(detail)
    return answer.status_code, anonymous(str(detail).split("\n[SQL")[0].split(" for actor=")[0])


def anonymous(text: str) -> str:
    """A text with `<kind>` in place of each id."""
    return _ID.sub(lambda found: f"<{found[1]}>", text)
