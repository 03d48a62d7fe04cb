"""One server as the tests of this folder see it: stand-in or real, with names of its own, and clean afterwards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any
from uuid import uuid4

import httpx

Body = dict[str, Any]
_ID = re.compile(r"\b([a-z]+(?:-env)?)-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b")
_FAULT = re.compile(r"'type': '(\w+)', 'loc': \(([^)]*)\)")
# groups before their managers, agents and MCP servers before what they use
_SECTIONS = ("mcp-servers", "groups", "agents", "blocks", "tools", "identities", "folders", "archives", "providers")
_MADE = {f"/v1/{section}/": section for section in (*_SECTIONS, "conversations")}


def nobody(kind: str) -> str:
    """An id of this kind that nothing has."""
    return f"{kind}-00000000-0000-4000-8000-000000000000"


class Face:
    """Sends requests and remembers what they made. `tag` is this test's own: put it on what will be listed."""

    def __init__(self, client: httpx.Client, model: str, embedding: str, tag: str | None = None) -> None:
        self.client, self.model, self.embedding = client, model, embedding
        self.tag = tag or f"conf-{uuid4().hex[:12]}"
        self.word = self.tag.replace("-", "_")
        self._made: dict[str, str] = {}

    def __enter__(self) -> Face:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for section in _SECTIONS:
            for id in [id for id, each in self._made.items() if each == section]:
                self.client.delete(f"/v1/{section}/{id}")
        self.client.close()

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        """One request; what it makes is deleted in the end."""
        answer = self.client.request(method, path, **({} if body is None else {"json": body}), **more)
        if answer.status_code == 200 and path in _MADE and method in ("POST", "PUT"):
            self._note(answer.json(), _MADE[path])
        if answer.status_code == 200 and path == "/v1/agents/import":
            for id in answer.json()["agent_ids"]:
                self._note(self.get(f"/v1/agents/{id}"), "agents")
        if answer.status_code == 200 and isinstance(body, dict) and body.get("enable_sleeptime"):
            self._note_sleepers(answer.json())
        if answer.status_code == 500 and path == "/v1/agents/" and (body or {}).get("tags"):
            for agent in self.get("/v1/agents/", tags=body["tags"]):
                self._note(agent, "agents")
        if answer.status_code != 200 and path == "/v1/agents/" and method == "POST":
            for block in (body or {}).get("memory_blocks") or ():  # these stay where the agent fails
                if isinstance(block, dict) and block.get("tags"):
                    for orphan in self.get("/v1/blocks/", tags=block["tags"], show_hidden_blocks=True):
                        self._made[orphan["id"]] = "blocks"
        return answer

    def _note_sleepers(self, agent: Body) -> None:
        for id in (agent["managed_group"] or {}).get("agent_ids", ()):
            self._note(self.get(f"/v1/agents/{id}"), "agents")

    def _note(self, made: Body, section: str) -> None:
        self._made[made["id"]] = section
        for id in made.get("isolated_block_ids") or ():
            self._made[id] = "blocks"
        for block in made.get("blocks") or ():
            self._made[block["id"]] = "blocks"

    def get(self, path: str, **params: Any) -> Any:
        """What is there."""
        answer = self.client.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def made(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        """The answer to a request that must succeed."""
        answer = self.ask(method, path, body, **more)
        assert answer.status_code == 200, (method, path, body, answer.text)
        return answer.json()

    def block(self, **told: Any) -> Body:
        """A block; labelled by the test's tag unless told otherwise."""
        return dict(self.made("POST", "/v1/blocks/", {"label": self.tag, "value": "v", **told}))

    def agent(self, **told: Any) -> Body:
        """An agent that has nothing but what is told."""
        bare = {"name": self.tag, "model": self.model, "system": "S", "include_base_tools": False}
        return dict(self.made("POST", "/v1/agents/", {**bare, **told}))

    def patch(self, agent: Mapping[str, Any], **told: Any) -> Body:
        """An agent changed."""
        return dict(self.made("PATCH", f"/v1/agents/{agent['id']}", told))

    def again(self, agent: Mapping[str, Any], **params: Any) -> Body:
        """An agent read again."""
        return dict(self.get(f"/v1/agents/{agent['id']}", **params))

    def tool(self, name: str = "", **told: Any) -> Body:
        """A tool; named by the test's word unless told otherwise."""
        return dict(
            self.made("PUT", "/v1/tools/", {"source_code": source(name or self.word), "source_type": "python"} | told)
        )

    def builtin(self, name: str) -> str:
        """The id of one of the server's own tools."""
        return next(str(tool["id"]) for tool in self.get("/v1/tools/", limit=1000) if tool["name"] == name)


def source(name: str, about: str = "Does it.") -> str:
    """A small tool."""
    text = f'"""{about}\n\n    Args:\n        word (str): Any.\n    """'
    return f"def {name}(word: str) -> str:\n    {text}\n    return word\n"


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    """A refusal without ids, SQL and echo: status and detail; of a 422, type and place of each fault."""
    detail = answer.json().get("detail")
    if answer.status_code == 422:
        assert isinstance(detail, str), "0.16.8 answers a repr"
        return 422, _FAULT.findall(detail)
    return answer.status_code, anonymous(str(detail).split("\n[SQL")[0].split(" for actor=")[0])


def anonymous(text: str) -> str:
    """A text with `<kind>` for each id."""
    return _ID.sub(lambda found: f"<{found[1]}>", text)
