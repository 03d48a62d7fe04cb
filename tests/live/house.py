"""An organization of its own on a Letta server that others use at the same time: what is there is exactly ours.

0.16.8 keeps organizations apart: every list, every name that is unique, and the server's own tools are an
organization's. A request is of the organization of the user that its header `user_id` names, where the server asks for
no password, or for one that everybody shares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx

from tests.contract.description import Api

Json = dict[str, Any]

UNCOUNTED: Mapping[str, str] = {
    "/v1/(jobs|runs|steps|_internal_runs)/.*": "what happened, and stays when what it happened to is gone",
    "/v1/messages/.*": "0.16.8 shows those of every organization; those of agents and conversations are counted there",
    "/v1/admin/.*": "the organizations themselves",
    "/v1/models/.*": "what the server offers",
    "/v1/sources/.*": "the old name of folders",
    "/v1/tools/mcp/.*": "the old name of MCP servers",
    "/v1/_internal_blocks/.*": "blocks, once more",
    "/v1/agents/{}/sources": "the old name of an agent's folders",
}
"""Lists that say nothing of what an organization holds, and why."""
_SEVERAL = re.compile(r"\{\}.*\{\}")
_ALL = {"limit": 1000, "show_hidden_agents": True, "show_hidden_blocks": True}
_PASSING = {"updated_at", "last_updated_by_id"}


def lists(api: Api) -> list[str]:
    """Every list that the server has of an organization's objects, and of what hangs on each of them."""
    every = [path for (verb, path), answer in api.operations.items() if verb == "GET" and answer.startswith("[")]
    counted = [path for path in every if not any(re.fullmatch(pattern, path) for pattern in UNCOUNTED)]
    return sorted(path for path in counted if not _SEVERAL.search(path))


@dataclass(frozen=True)
class House:
    """One organization, seen through its user."""

    user: str
    http: httpx.Client
    paths: list[str]

    def objects(self) -> dict[str, list[Any]]:
        """What every list says: path to bodies."""
        found = {path: self._get(path) for path in self.paths if "{}" not in path}
        # passages have no list, and a search without words finds all of them
        passages = self.http.post("/v1/passages/search", json={"limit": 100}).raise_for_status().json()
        return found | {"/v1/passages/": [each["passage"] for each in passages]}

    def everything(self) -> dict[str, list[Any]]:
        """What every list says, and the lists of each object: path to bodies without times of change."""
        found = self.objects()
        inner = [path for path in self.paths if "{}" in path]
        asked = [path.replace("{}", body["id"]) for path in inner for body in found.get(path.partition("{}")[0], ())]
        with ThreadPoolExecutor(4) as pool:
            found |= dict(zip(asked, pool.map(self._get, asked), strict=True))
        return {path: sorted((_lasting(body) for body in bodies), key=repr) for path, bodies in found.items()}

    def clear(self) -> None:
        """Delete whatever is there, strangers and the server's own tools included."""
        order = ("groups", "conversations", "agents", "blocks", "folders", "archives", "identities", "mcp-servers")
        for section in (*order, "providers", "sandbox-config", "tools"):
            for body in self._get(f"/v1/{section}/"):
                self.http.delete(f"/v1/{section}/{body['id']}")

    def _get(self, path: str) -> list[Any]:
        return list(self.http.get(path, params=_ALL).raise_for_status().json())


def _lasting(body: Any) -> Any:
    """A body without the times that an access changes, and without the accidental order of its lists."""
    if isinstance(body, Mapping):
        return {key: _lasting(value) for key, value in body.items() if key not in _PASSING}
    return sorted(map(_lasting, body), key=repr) if isinstance(body, list) else body


@contextmanager
def house(url: str, password: str | None, api: Api) -> Iterator[House]:
    """A new organization, and nothing of it afterwards, whatever happened in it."""
    headers = {"User-Agent": "stranger/1"} | ({"Authorization": f"Bearer {password}"} if password else {})
    name = {"name": f"house-{uuid4().hex[:8]}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as http:
        organization = http.post("/v1/admin/orgs/", json=name).raise_for_status().json()["id"]
        user = http.post("/v1/admin/users/", json={**name, "organization_id": organization}).raise_for_status().json()
        http.headers["user_id"] = user["id"]
        made = House(user["id"], http, lists(api))
        try:
            yield made
        finally:
            made.clear()
            http.delete("/v1/admin/users/", params={"user_id": user["id"]}).raise_for_status()
            # 0.16.8 keeps a row for each tool that an MCP server ever offered, which no list shows, and answers 400
            # then: what stays is an empty organization
            http.delete("/v1/admin/orgs/", params={"org_id": organization})


class Inside(httpx.AsyncBaseTransport):
    """What lettaform sends, sent in the name of a house's user."""

    def __init__(self, user: str) -> None:
        self.user, self.inner = user, httpx.AsyncHTTPTransport(limits=httpx.Limits(keepalive_expiry=4))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["user_id"] = self.user
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()
