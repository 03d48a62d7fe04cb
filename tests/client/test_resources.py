"""Every method of every resource sends a request that 0.16.8 has."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from lettaform.client import resources
from lettaform.client.clients import Client
from lettaform.client.resources import Resource, content_of, endpoint, listing, name_of, streaming
from lettaform.errors import ServerError
from tests.client.flavours import FLAVOURS, Answers, act

pytestmark = pytest.mark.thorough

OPERATIONS = Path(__file__).parent.parent / "contract" / "openapi-0.16.8.tsv"
MESSAGE = {"role": "user", "content": "Hello!"}
SENT: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "agents.import_file": ([b"{}"], {"append_copy_suffix": False}),
    "folders.files.upload": (["folder-1", b"x", "notes.txt"], {}),
    "agents.passages.create": (["agent-1", "text"], {}),
    "agents.passages.search": (["agent-1", "words"], {}),
    "archives.passages.create": (["archive-1", "text"], {}),
    "archives.passages.search": (["archive-1", "words"], {}),
    "mcp_servers.tools.run": (["mcp_server-1", "tool-1"], {"a": 1}),
}
"""The arguments of the methods that take others than ids and messages."""


@cache
def operations() -> frozenset[tuple[str, str]]:
    lines = OPERATIONS.read_text().splitlines()
    return frozenset((line.split("\t")[1], line.split("\t")[0]) for line in lines if not line.startswith("#"))


def methods(resource: Any, before: str = "") -> Iterator[str]:
    """The names of all methods below a resource, as callers write them."""
    for name in dir(type(resource)):
        if isinstance(getattr(type(resource), name), endpoint | listing | streaming):
            yield before + name
    for name, inner in vars(resource).items():
        if isinstance(inner, Resource):
            yield from methods(inner, f"{before}{name}.")


NAMES = [name for name in methods(Client(base_url="http://x")) if "." in name]


def called(client: Any, name: str) -> Any:
    method = client
    for part in name.split("."):
        method = getattr(method, part)
    if name in SENT:
        values, named = SENT[name]
        return method(*values, **named)
    code = method.__wrapped__.__code__
    taken = list(code.co_varnames[1 : code.co_argcount])
    required = taken[: len(taken) - len(method.__wrapped__.__defaults__ or ())]
    return method(*([MESSAGE] if each == "messages" else f"{each}-1" for each in required))


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", NAMES)
def test_a_method_sends_what_the_server_has(flavour: str, name: str) -> None:
    answers = Answers(httpx.Response(404, json={"detail": "x"}))
    with pytest.raises(ServerError):
        act(flavour, answers, lambda client: called(client, name))
    (request,) = answers.requests
    path = re.sub(r"/[\w_]+-1(?=/|$)", "/{}", request.url.path)
    assert (request.method, path) in operations(), name


def test_there_are_methods() -> None:
    assert len(NAMES) > 80
    assert "agents.messages.stream" in NAMES


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_bodies_queries_and_forms(flavour: str) -> None:
    answers = Answers(httpx.Response(200, json={"id": "x-1"}))
    act(flavour, answers, lambda c: c.agents.create(name="n", self="s"))
    act(flavour, answers, lambda c: c.agents.retrieve("agent-1", include=["agent.tags", "agent.tools"]))
    act(flavour, answers, lambda c: c.agents.blocks.update(agent_id="agent-1", block_label="human", value="v"))
    act(flavour, answers, lambda c: c.conversations.create("agent-1", summary="s"))
    act(flavour, answers, lambda c: c.agents.import_file(io.BytesIO(b"{}"), append_copy_suffix=False))
    act(flavour, answers, lambda c: c.folders.files.upload("folder-1", io.StringIO("text"), name="a.txt"))
    create, retrieve, update, conversation, file, upload = answers.requests
    assert create.content == b'{"name": "n", "self": "s"}'
    assert retrieve.url.query == b"include=agent.tags&include=agent.tools"
    assert (update.url.path, update.content) == ("/v1/agents/agent-1/core-memory/blocks/human", b'{"value": "v"}')
    assert (conversation.url.query, conversation.content) == (b"agent_id=agent-1", b'{"summary": "s"}')
    assert b'name="append_copy_suffix"\r\n\r\nfalse\r\n' in file.content
    assert b'filename="agent.af"' in file.content
    assert b'filename="a.txt"' in upload.content
    assert b"text" in upload.content


class Pages:
    """Lists of 0.16.8: of an agent's messages, each page in the order of creation; of runs, with cursors exchanged."""

    def __init__(self) -> None:
        self.every = [{"id": f"message-{n}", "message_type": "user_message"} for n in range(7)]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        asked = request.url.params
        found, is_ascending = self.every, asked.get("order") == "asc"
        if cursor := asked.get("before") or asked.get("after"):
            at = [each["id"] for each in found].index(cursor)
            goes_down = "before" in asked
            if request.url.path == "/v1/runs/" and is_ascending:
                goes_down = not goes_down
            found = found[:at] if goes_down else found[at + 1 :]
        limit = int(asked["limit"])
        if is_ascending:
            return httpx.Response(200, json=found[:limit])
        newest = found[-limit:]
        return httpx.Response(200, json=newest if "agents" in request.url.path else newest[::-1])


LISTS: dict[str, Any] = {
    "agents.messages": lambda c, **o: c.agents.messages.list("agent-1", **o),
    "conversations.messages": lambda c, **o: c.conversations.messages.list("conv-1", **o),
    "runs.messages": lambda c, **o: c.runs.messages.list("run-1", **{"order": "desc", **o}),
    "runs": lambda c, **o: c.runs.list(**o),
}


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("order", [None, "desc", "asc"])
def test_lists_are_whole_in_both_orders(flavour: str, name: str, order: str | None) -> None:
    given = {} if order is None else {"order": order}
    found = act(flavour, Pages(), lambda c: LISTS[name](c, limit=2, **given))
    ids = [each["id"] if isinstance(each, dict) else each.id for each in found]
    expected = [f"message-{n}" for n in range(7)]
    assert ids == (expected if order == "asc" else expected[::-1])


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_attached_objects_are_one_page(flavour: str) -> None:
    answers = Answers(httpx.Response(200, json=[{"id": "tool-1"}]))
    assert act(flavour, answers, lambda c: c.agents.tools.list("agent-1")) == [{"id": "tool-1"}]
    assert answers.requests[0].url.params["limit"] == "1000"


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_an_answer_of_another_shape_is_an_error(flavour: str) -> None:
    with pytest.raises(ServerError, match="answered no object"):
        act(flavour, Answers(httpx.Response(200, json=[])), lambda c: c.agents.retrieve("agent-1"))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_file_is_waited_for(flavour: str, waits: list[float]) -> None:
    states = [httpx.Response(200, json={"id": "f", "processing_status": s}) for s in ("parsing", "completed")]
    found = act(flavour, Answers(*states), lambda c: c.folders.files.wait("folder-1", "file-1"))
    assert found["processing_status"] == "completed"
    assert waits == [0.2]
    failed = httpx.Response(
        200, json={"file_name": "a.txt", "processing_status": "error", "error_message": "no endpoint"}
    )
    with pytest.raises(ServerError, match=r"could not embed a\.txt: no endpoint"):
        act(flavour, Answers(failed), lambda c: c.folders.files.wait("folder-1", "file-1"))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_run_is_waited_for(flavour: str) -> None:
    states = [httpx.Response(200, json={"id": "r", "status": s}) for s in ("created", "running", "failed")]
    assert act(flavour, Answers(*states), lambda c: c.runs.wait("run-1"))["status"] == "failed"


def test_a_file_is_bytes_a_path_or_an_open_file(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("é")
    with path.open("rb") as binary, path.open(encoding="utf-8") as text:
        every: list[Any] = [path, str(path), binary, text]
        assert {content_of(each) for each in every} == {"é".encode()}
        assert {name_of(each) for each in every} == {"notes.txt"}
    assert (content_of(b"x"), name_of(b"x"), name_of(io.BytesIO())) == (b"x", None, None)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_a_file_without_a_name_is_refused(flavour: str) -> None:
    with pytest.raises(ValueError, match="needs a name with its ending"):
        act(flavour, Answers(httpx.Response(200)), lambda c: c.folders.files.upload("folder-1", b"x"))


def test_methods_are_documented() -> None:
    client = Client(base_url="http://x")
    assert client.agents.export_file.__doc__ == "The agent file of an agent."
    assert isinstance(resources.Agents.create, endpoint)
