"""Steps sent one by one: what stands on the server afterwards, and what the Answer says."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from lettaform.address import Address
from lettaform.backend.v1.client import Client
from lettaform.backend.v1.send import Sender
from lettaform.errors import NotFound, NotStored, ServerError
from lettaform.model import Answer, Attach, Call, Create, Delete, Detach, Discover, Mark, SaveState, State, Step, Update
from lettaform.ownership import marks
from lettaform.values import Patch, Ref, Secret
from tests.standin import StandIn

URL = "http://stand.in"
BLOCK, AGENT = Address.of("blocks", "b"), Address.of("agents", "a")
MODEL = {"model": "openai-proxy/echo", "embedding": "letta/letta-free", "include_base_tools": False}


class Server:
    """A stand-in, and what a Sender of stack `s` does to it."""

    def __init__(self) -> None:
        self.standin = StandIn()
        self.raw = httpx.Client(transport=self.standin, base_url=URL)

    def send(self, *steps: Step) -> list[Answer]:
        """Send Steps one after the other. A Ref stands for the id of what was created at its address."""
        ids: dict[Address, str] = {}

        def answer(ref: Ref) -> Any:
            return ids[ref.address]

        async def run() -> list[Answer]:
            client = Client(URL, transport=self.standin)
            sender, found = Sender(client, "s", frozenset()), []
            try:
                for step in steps:
                    found.append(await sender.send(step, answer))
                    ids[step.address] = found[-1].id
            finally:
                await client.close()
            return found

        return asyncio.run(run())

    def get(self, path: str) -> Any:
        return self.raw.get(path).json()


@pytest.fixture
def server() -> Server:
    return Server()


def block(**fields: Any) -> Create:
    return Create("b", BLOCK, "block", fields={"label": "b", "value": "v", **fields}, mark=Mark({"value": "digest"}))


def agent(**words: Any) -> Create:
    fields = {"name": "a", **MODEL, **words.pop("fields", {})}
    return Create("a", AGENT, "agent", fields=fields, mark=Mark(), **words)


def update(id: str, **words: Any) -> Update:
    return Update("b", BLOCK, "block", id=id, **words)


def test_a_created_object_carries_its_mark(server: Server) -> None:
    (answer,) = server.send(block())
    body = server.get(f"/v1/blocks/{answer.id}")
    assert set(marks.tags("s", BLOCK)) <= set(body["tags"])
    assert body["metadata"][marks.MARK]["base"] == {"value": "digest"}
    assert answer.values["value"] == "v"


def test_own_blocks_are_created_with_their_agent_and_answered(server: Server) -> None:
    (answer,) = server.send(agent(parts={"human": {"label": "human", "value": "h"}}))
    (created,) = server.get(f"/v1/agents/{answer.id}")["blocks"]
    assert created["id"] == answer.parts["human"].id
    assert answer.parts["human"].values["value"] == "h"


def test_a_ref_is_replaced_by_what_it_stands_for(server: Server) -> None:
    first, second = server.send(block(), agent(fields={"metadata": {"see": Ref(BLOCK)}, "blocks": [Ref(BLOCK)]}))
    body = server.get(f"/v1/agents/{second.id}")
    assert body["metadata"]["see"] == first.id
    assert [each["id"] for each in body["blocks"]] == [first.id]


@pytest.mark.parametrize(
    ("have", "change", "found"),
    [
        ({"a": 1, "b": 2}, Patch(entries=(("a", 3),)), {"a": 3, "b": 2}),
        ({"a": 1, "b": 2}, Patch(entries=(), drop=("a",)), {"b": 2}),
        ({"a": 1}, {"c": 4}, {"c": 4}),
    ],
    ids=["set an entry", "drop an entry", "replace"],
)
def test_a_change_is_laid_over_what_is_live(server: Server, have: Any, change: Any, found: Any) -> None:
    (answer,) = server.send(block(metadata=have))
    server.send(update(answer.id, fields={"metadata": change}))
    metadata = server.get(f"/v1/blocks/{answer.id}")["metadata"]
    assert {key: value for key, value in metadata.items() if key != marks.MARK} == found
    assert marks.MARK in metadata


def test_tags_of_others_stay(server: Server) -> None:
    (answer,) = server.send(block(tags=["mine"]))
    tags = [*server.get(f"/v1/blocks/{answer.id}")["tags"], "theirs"]
    server.raw.patch(f"/v1/blocks/{answer.id}", json={"tags": tags}).raise_for_status()
    server.send(update(answer.id, fields={"tags": Patch(put=("new",), drop=("mine",))}))
    found = marks.foreign_tags(server.get(f"/v1/blocks/{answer.id}")["tags"])
    assert sorted(found) == ["new", "theirs"]


def test_an_object_that_is_forgotten_carries_no_mark(server: Server) -> None:
    (answer,) = server.send(block(metadata={"a": 1}))
    server.send(update(answer.id, mark=Mark(), forget=True))
    body = server.get(f"/v1/blocks/{answer.id}")
    assert (body["tags"], body["metadata"]) == ([], {"a": 1})


def test_what_was_created_along_is_read_from_its_creator(server: Server) -> None:
    # agents and conversations both have blocks: the step names the kind to ask
    (made,) = server.send(agent(parts={"human": {"label": "human", "value": "h"}}))
    body = {"summary": "talk", "isolated_block_labels": ["human"]}
    talk = server.raw.post("/v1/conversations/", params={"agent_id": made.id}, json=body).json()
    (copy,) = talk["isolated_block_ids"]
    for creator, source, expected in (("conversation", talk["id"], copy), ("agent", made.id, made.parts["human"].id)):
        (answer,) = server.send(Discover("c", BLOCK, "block", name="", source=source, creator=creator))
        assert answer.id == expected


def test_attach_and_detach(server: Server) -> None:
    first, second = server.send(block(), agent())

    def attached() -> Sequence[str]:
        return [each["id"] for each in server.get(f"/v1/agents/{second.id}")["blocks"]]

    link = {"id": second.id, "field": "blocks", "member": first.id}
    server.send(Attach("+", AGENT, "agent", **link))
    assert attached() == [first.id]
    server.send(Detach("-", AGENT, "agent", **link), Detach("-", AGENT, "agent", **link))
    assert attached() == []


def test_deleting_what_is_deleted_is_no_error(server: Server) -> None:
    (answer,) = server.send(block())
    delete = Delete("-b", BLOCK, "block", id=answer.id)
    server.send(delete, delete)
    assert server.raw.get(f"/v1/blocks/{answer.id}").status_code == 404


def test_an_update_of_what_is_deleted_is_an_error(server: Server) -> None:
    (answer,) = server.send(block())
    with pytest.raises(NotFound):
        server.send(Delete("-b", BLOCK, "block", id=answer.id), update(answer.id, fields={"value": "new"}))


def test_a_call_for_an_object_that_does_not_exist_says_to_plan_again(server: Server) -> None:
    with pytest.raises(ServerError) as refused:
        server.send(Call("!", AGENT, "agent", id="agent-00000000-0000-4000-8000-000000000000", name="recompile"))
    assert refused.value.hint == "plan again"


def test_a_secret_is_sent_and_in_no_message(server: Server) -> None:
    (answer,) = server.send(agent(fields={"secrets": {"K": Secret("${env.K}", "s3cret-text")}}))
    (secret,) = server.get(f"/v1/agents/{answer.id}")["secrets"]
    assert secret["value"] == "s3cret-text"


def test_the_state_is_written_and_removed(server: Server) -> None:
    place = Address.of("stack", "state")
    server.send(SaveState("state", place, "stack", state=State({BLOCK: "block-1"})))
    (page,) = server.standin.tables.blocks.values()
    assert "block-1" in page["value"]
    server.send(SaveState("state", place, "stack", state=None, last=True))
    assert not server.standin.tables.blocks


# --- what the server accepts and does not store ----------------------------------------------------------------------


class Forgetful(httpx.AsyncBaseTransport):
    """Answers requests from a map of method and end of path to a body, as a server that stores nothing would."""

    def __init__(self, answers: dict[tuple[str, str], Any]) -> None:
        self.answers, self.sent = answers, list[tuple[str, str]]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.method, request.url.path))
        found = [
            body
            for (method, end), body in self.answers.items()
            if self.sent[-1][0] == method and end in str(request.url)
        ]
        return httpx.Response(200, json=found[0])


def sent_to(transport: Forgetful, step: Step) -> Answer:
    async def run() -> Answer:
        client = Client(URL, transport=transport)
        try:
            return await Sender(client, "s", frozenset()).send(step, lambda ref: "")
        finally:
            await client.close()

    return asyncio.run(run())


AGENT_BODY = {"id": "agent-1", "name": "a", "tools": [], "blocks": [{"id": "block-1"}], "identities": []}
TOOL_BODY = {"id": "tool-1", "name": "t", "source_code": "def t(): ...", "return_char_limit": 50_000}


@pytest.mark.parametrize(
    ("step", "answers", "field"),
    [
        (
            Create("a", AGENT, "agent", fields={"description": "new"}),
            {("POST", "/v1/agents/"): AGENT_BODY, ("PATCH", "agent-1"): AGENT_BODY},
            "description",
        ),
        (
            Update("a", AGENT, "agent", id="agent-1", fields={"description": "new"}),
            {("GET", "agent-1"): AGENT_BODY, ("PATCH", "agent-1"): AGENT_BODY},
            "description",
        ),
        (
            Update("t", Address.of("tools", "t"), "tool", id="tool-1", fields={"return_char_limit": 9}),
            {("GET", "tool-1"): TOOL_BODY, ("PUT", "/v1/tools/"): TOOL_BODY},
            "return_char_limit",
        ),
        (
            Attach("a", AGENT, "agent", id="agent-1", field="tools", member="tool-1"),
            {("PATCH", "tools/attach/tool-1"): AGENT_BODY},
            "tools",
        ),
        (
            Detach("a", AGENT, "agent", id="agent-1", field="blocks", member="block-1"),
            {("PATCH", "blocks/detach/block-1"): AGENT_BODY},
            "blocks",
        ),
        (
            Attach("a", AGENT, "agent", id="agent-1", field="identities", member="identity-1"),
            {("PATCH", "identities/attach/identity-1"): None, ("GET", "agent-1"): AGENT_BODY},
            "identities",
        ),
        (
            Attach("a", AGENT, "agent", id="agent-1", field="archive", member="archive-1"),
            {("PATCH", "archives/attach/archive-1"): None, ("GET", "/v1/archives/"): []},
            "archive",
        ),
        (
            Detach("a", AGENT, "agent", id="agent-1", field="archive", member="archive-1"),
            {("PATCH", "archives/detach/archive-1"): None, ("GET", "/v1/archives/"): [{"id": "archive-1"}]},
            "archive",
        ),
    ],
    ids=lambda value: f"{value.op} {value.kind}" if isinstance(value, Create | Update | Attach | Detach) else "",
)
def test_what_the_server_accepts_and_does_not_store_is_an_error(
    step: Step, answers: dict[tuple[str, str], Any], field: str
) -> None:
    with pytest.raises(NotStored) as caught:
        sent_to(Forgetful(answers), step)
    assert [(each.address, each.field) for each in caught.value.problems] == [(str(step.address), field)]


def test_what_creation_does_not_store_is_written_once_more() -> None:
    stored = {**AGENT_BODY, "description": "new"}
    transport = Forgetful({("POST", "/v1/agents/"): AGENT_BODY, ("PATCH", "agent-1"): stored})
    answer = sent_to(transport, Create("a", AGENT, "agent", fields={"description": "new"}))
    assert answer.values["description"] == "new"
    assert [method for method, _ in transport.sent] == ["POST", "PATCH"]


def test_what_was_not_stored_is_sent_once_more() -> None:
    transport = Forgetful({("GET", "agent-1"): AGENT_BODY, ("PATCH", "agent-1"): AGENT_BODY})
    with pytest.raises(NotStored):
        sent_to(transport, Update("a", AGENT, "agent", id="agent-1", fields={"description": "new"}))
    assert [method for method, _ in transport.sent] == ["GET", "PATCH", "PATCH"]


def test_a_refused_value_is_named_as_in_the_manifest(server: Server) -> None:
    with pytest.raises(ServerError) as caught:
        server.send(Create("a", AGENT, "agent", fields={**MODEL, "context_window": "big"}))
    assert [(each.address, each.field) for each in caught.value.problems] == [("agents.a", "context_window")]
    assert caught.value.status == 422
