"""Every list of the stand-in is paged with the default limit that the server's description gives it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from tests.contract.description import api
from tests.standin import StandIn
from tests.standin.server import get_routes

RUNS = ("/v1/runs/", "/v1/runs/{}/messages")
"""Their cursors have another direction: `tests/conformance/test_messages.py` compares their pages with the server's."""
PAGED = [path for path in get_routes() if "limit" in api().asks(path) and path not in RUNS]
MAXIMUM = int(re.search(r"<=(\d+)", api().sends("POST", "/v1/passages/search")["limit"])[1])  # type: ignore[index]


def default_limit(path: str) -> int:
    return int(api().asks(path)["limit"].rpartition("=")[2])


class Client:
    """A client of a new stand-in that creates objects in bulk."""

    def __init__(self) -> None:
        transport = StandIn()
        self.http = httpx.Client(transport=transport, base_url="http://stand.in", headers={"User-Agent": "test/1"})

    def post(self, path: str, **body: Any) -> str:
        return str(self.http.post(path, json=body).raise_for_status().json()["id"])

    def patch(self, path: str) -> None:
        self.http.patch(path).raise_for_status()

    def agent(self, **body: Any) -> str:
        return self.post("/v1/agents/", name="a", model="letta/letta-free", include_base_tools=False, **body)

    def block(self, number: int) -> str:
        return self.post("/v1/blocks/", label=f"label-{number}", value="v")

    def tool(self, number: int) -> str:
        source = (
            f'def t{number}(x: str) -> str:\n    """Do it.\n\n    Args:\n        x (str): Any.\n    """\n    return x\n'
        )
        return str(self.http.put("/v1/tools/", json={"source_code": source}).raise_for_status().json()["id"])

    def folder(self, number: int = 0) -> str:
        return self.post("/v1/folders/", name=f"f{number}", embedding="letta/letta-free")

    def archive(self) -> str:
        return self.post("/v1/archives/", name="a", embedding="letta/letta-free")

    def identity(self, number: int = 0) -> str:
        return self.post("/v1/identities/", identifier_key=f"key-{number}", name="n", identity_type="user")

    def upload(self, folder: str, number: int) -> None:
        self.http.post(f"/v1/folders/{folder}/upload", files={"file": (f"{number}.md", b"#")}).raise_for_status()


def _agents_of(create: Callable[[Client], str], path: str, attach: str) -> Callable[[Client, int], str]:
    def fill(client: Client, count: int) -> str:
        id = create(client)
        for _ in range(count):
            client.patch(f"/v1/agents/{client.agent()}/{attach}/attach/{id}")
        return path.replace("{}", id)

    return fill


def _each(path: str, create: Callable[[Client, int], object]) -> Callable[[Client, int], str]:
    def fill(client: Client, count: int) -> str:
        for number in range(count):
            create(client, number)
        return path

    return fill


def _blocks_of_agent(client: Client, count: int) -> str:
    agent = client.agent(block_ids=[client.block(number) for number in range(count)])
    return f"/v1/agents/{agent}/core-memory/blocks"


def _tools_of_agent(client: Client, count: int) -> str:
    return f"/v1/agents/{client.agent(tool_ids=[client.tool(number) for number in range(count)])}/tools"


def _files(client: Client, count: int) -> str:
    folder = client.folder()
    for number in range(count):
        client.upload(folder, number)
    return f"/v1/folders/{folder}/files"


def _conversations(client: Client, count: int) -> str:
    agent = client.agent()
    for _ in range(count):
        client.http.post("/v1/conversations/", params={"agent_id": agent}, json={}).raise_for_status()
    return "/v1/conversations/"


def _messages(client: Client, count: int) -> str:
    agent = client.agent()
    return _said(client, f"/v1/agents/{agent}/messages", count)


def _messages_of_conversation(client: Client, count: int) -> str:
    talk = client.http.post("/v1/conversations/", params={"agent_id": client.agent()}, json={}).raise_for_status()
    return _said(client, f"/v1/conversations/{talk.json()['id']}/messages", count)


def _said(client: Client, path: str, count: int) -> str:
    for number in range(count):
        body = {"messages": [{"role": "user", "content": str(number)}], "streaming": False}
        client.http.post(path, json=body).raise_for_status()
    return path


def _group(client: Client, number: int) -> str:
    return client.post("/v1/groups/", description="d", agent_ids=[])


def _provider(client: Client, number: int) -> str:
    return client.post("/v1/providers/", name=f"p{number}", provider_type="openai", api_key="k")


FILL: Mapping[str, Callable[[Client, int], str]] = {
    "/v1/agents/": _each("/v1/agents/", lambda client, number: client.agent()),
    "/v1/agents/{}/core-memory/blocks": _blocks_of_agent,
    "/v1/agents/{}/tools": _tools_of_agent,
    "/v1/agents/{}/messages": _messages,
    "/v1/archives/": _each("/v1/archives/", lambda client, number: client.archive()),
    "/v1/archives/{}/agents": _agents_of(Client.archive, "/v1/archives/{}/agents", "archives"),
    "/v1/blocks/": _each("/v1/blocks/", Client.block),
    "/v1/blocks/{}/agents": _agents_of(lambda client: client.block(0), "/v1/blocks/{}/agents", "core-memory/blocks"),
    "/v1/conversations/": _conversations,
    "/v1/conversations/{}/messages": _messages_of_conversation,
    "/v1/folders/": _each("/v1/folders/", Client.folder),
    "/v1/folders/{}/agents": _agents_of(Client.folder, "/v1/folders/{}/agents", "folders"),
    "/v1/folders/{}/files": _files,
    "/v1/groups/": _each("/v1/groups/", _group),
    "/v1/identities/": _each("/v1/identities/", Client.identity),
    "/v1/identities/{}/agents": _agents_of(Client.identity, "/v1/identities/{}/agents", "identities"),
    "/v1/providers/": _each("/v1/providers/", _provider),
    "/v1/tools/": _each("/v1/tools/", Client.tool),
}
"""A way to create objects for each list; it returns the path to read."""


def test_every_list_is_tested() -> None:
    assert sorted(FILL) == PAGED


@pytest.mark.parametrize("path", PAGED)
def test_list_is_paged_with_default_limit_of_server(path: str) -> None:
    client, limit = Client(), default_limit(path)
    where = FILL[path](client, limit + 2)

    def read(**params: Any) -> list[str]:
        found = client.http.get(where, params=params).raise_for_status().json()
        return [each if isinstance(each, str) else each["id"] for each in found]

    everything = read(limit=100_000, order="asc")
    assert len(everything) >= limit + 2
    first = read(order="asc")
    assert len(first) == len(read()) == limit
    assert first + read(order="asc", after=first[-1], limit=100_000) == everything


@pytest.mark.parametrize(("limit", "status"), [(0, 422), (1, 200), (MAXIMUM, 200), (MAXIMUM + 1, 422)])
def test_passage_search_refuses_limit_above_maximum_of_server(limit: int, status: int) -> None:
    client = Client()
    body = {"archive_id": client.archive(), "limit": limit}
    assert client.http.post("/v1/passages/search", json=body).status_code == status


def test_passage_search_answers_oldest_passages_from_start_date() -> None:
    client = Client()
    archive = client.archive()
    for number in range(MAXIMUM + 2):
        client.post(f"/v1/archives/{archive}/passages", text=str(number))

    def search(**body: Any) -> list[dict[str, Any]]:
        found = client.http.post("/v1/passages/search", json={"archive_id": archive, "limit": MAXIMUM, **body})
        return [each["passage"] for each in found.raise_for_status().json()]

    first = search()
    assert [each["text"] for each in first] == [str(number) for number in range(MAXIMUM)]
    rest = search(start_date=first[-1]["created_at"])
    assert [each["text"] for each in rest] == [str(MAXIMUM - 1), str(MAXIMUM), str(MAXIMUM + 1)]
