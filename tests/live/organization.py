"""A separate organization on a shared Letta server, so that a test can count everything in it exactly.

0.16.8 isolates organizations: every list, every unique name and the server's base tools belong to one organization. A
request belongs to the organization of the user in its `user_id` header, if the server has no password or one shared
password.
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
"""Lists that do not show what an organization contains, and why."""
_SEVERAL = re.compile(r"\{\}.*\{\}")
_ALL = {"limit": 1000, "show_hidden_agents": True, "show_hidden_blocks": True}
_PASSING = {"updated_at", "last_updated_by_id"}


def lists(api: Api) -> list[str]:
    """All lists of an organization's objects, and of the objects that belong to each of them."""
    every = [path for (verb, path), answer in api.operations.items() if verb == "GET" and answer.startswith("[")]
    counted = [path for path in every if not any(re.fullmatch(pattern, path) for pattern in UNCOUNTED)]
    return sorted(path for path in counted if not _SEVERAL.search(path))


@dataclass(frozen=True)
class Organization:
    """One organization, seen by its user."""

    user: str
    http: httpx.Client
    paths: list[str]

    def objects(self) -> dict[str, list[Any]]:
        """The bodies of every top-level list, by path."""
        found = {path: self._get(path) for path in self.paths if "{}" not in path}
        # Passages have no list; a search without a query returns all of them.
        passages = self.http.post("/v1/passages/search", json={"limit": 100}).raise_for_status().json()
        return found | {"/v1/passages/": [each["passage"] for each in passages]}

    def all_objects(self) -> dict[str, list[Any]]:
        """The bodies of every list, nested lists included, by path. Without times of change."""
        found = self.objects()
        inner = [path for path in self.paths if "{}" in path]
        paths = [path.replace("{}", body["id"]) for path in inner for body in found.get(path.partition("{}")[0], ())]
        with ThreadPoolExecutor(4) as pool:
            found |= dict(zip(paths, pool.map(self._get, paths), strict=True))
        return {path: sorted((_stable(body) for body in bodies), key=repr) for path, bodies in found.items()}

    def clear(self) -> None:
        """Delete everything in the organization, the server's base tools included."""
        order = ("groups", "conversations", "agents", "blocks", "folders", "archives", "identities", "mcp-servers")
        for section in (*order, "providers", "sandbox-config", "tools"):
            for body in self._get(f"/v1/{section}/"):
                self.http.delete(f"/v1/{section}/{body['id']}")

    def _get(self, path: str) -> list[Any]:
        return list(self.http.get(path, params=_ALL).raise_for_status().json())


def _stable(body: Any) -> Any:
    """A body without the times that an access changes, and with sorted lists."""
    if isinstance(body, Mapping):
        return {key: _stable(value) for key, value in body.items() if key not in _PASSING}
    return sorted(map(_stable, body), key=repr) if isinstance(body, list) else body


@contextmanager
def new_organization(url: str, password: str | None, api: Api) -> Iterator[Organization]:
    """A new organization, deleted with its contents at the end."""
    headers = {"User-Agent": "other-client/1"} | ({"Authorization": f"Bearer {password}"} if password else {})
    name = {"name": f"house-{uuid4().hex[:8]}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as http:
        organization_id = http.post("/v1/admin/orgs/", json=name).raise_for_status().json()["id"]
        user = (
            http.post("/v1/admin/users/", json={**name, "organization_id": organization_id}).raise_for_status().json()
        )
        http.headers["user_id"] = user["id"]
        organization = Organization(user["id"], http, lists(api))
        try:
            yield organization
        finally:
            organization.clear()
            http.delete("/v1/admin/users/", params={"user_id": user["id"]}).raise_for_status()
            # 0.16.8 keeps a row for each tool that an MCP server ever offered. No list shows it, and the delete
            # answers 400. What remains then is an empty organization.
            http.delete("/v1/admin/orgs/", params={"org_id": organization_id})


class OrganizationTransport(httpx.AsyncBaseTransport):
    """A transport that sends lettaform's requests as the organization's user."""

    def __init__(self, user: str) -> None:
        self.user, self.inner = user, httpx.AsyncHTTPTransport(limits=httpx.Limits(keepalive_expiry=4))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.headers["user_id"] = self.user
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self.inner.aclose()
