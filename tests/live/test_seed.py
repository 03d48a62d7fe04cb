"""What the README of Letta's Python SDK shows, through `lettaform.client`, on a real server (table: docs/client.md)."""

from __future__ import annotations

import asyncio
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from lettaform.client import AsyncClient, Client
from lettaform.client.calls import Json
from lettaform.client.messages import (
    AssistantMessage,
    Message,
    ToolCallMessage,
    ToolReturnMessage,
    UserMessage,
    joined,
)
from lettaform.errors import NotFound, ServerError, StreamBroken, Unavailable
from tests.live.conftest import Letta

MCP = Path(__file__).with_name("stdio_mcp.py")


class Seed:
    """A client, and what a test creates with it, which is deleted afterwards."""

    def __init__(self, letta: Letta) -> None:
        self.letta = letta
        self.client = Client(base_url=letta.url, api_key=letta.password)
        self.made: list[tuple[Any, str]] = []

    def agent(self, **body: Any) -> Json:
        """An agent that answers with what it is told."""
        defaults = {"model": self.letta.model, "embedding": self.letta.embedding, "include_base_tools": True}
        return self.kept(self.client.agents, self.client.agents.create(**{**defaults, **body}))

    def kept(self, resource: Any, made: Json) -> Json:
        self.made.insert(0, (resource, made["id"]))
        return made

    def clear(self) -> None:
        for resource, id in self.made:
            try:
                resource.delete(id)
            except NotFound:
                continue
        self.client.close()


@pytest.fixture
def seed(letta: Letta) -> Iterator[Seed]:
    found = Seed(letta)
    yield found
    found.clear()


def say(text: str) -> list[Json]:
    return [{"role": "user", "content": text}]


def test_hello_world(seed: Seed) -> None:
    blocks = [{"label": "human", "value": "The name is Noor."}, {"label": "persona", "value": "I am Sam."}]
    agent = seed.agent(memory_blocks=blocks)
    call = 'call memory_replace {"label": "human", "old_string": "Noor", "new_string": "Ada"}'
    answer = seed.client.agents.messages.create(agent_id=agent["id"], messages=say(call))
    kinds = [type(each) for each in answer.messages]
    assert kinds == [ToolCallMessage, ToolReturnMessage, AssistantMessage]
    assert answer.text.startswith("memory_replace answered")
    assert (answer.stop_reason.stop_reason, answer.usage.step_count) == ("end_turn", 2)
    human = seed.client.agents.blocks.retrieve(agent_id=agent["id"], block_label="human")
    assert human["value"] == "The name is Ada."


def test_memory_management(seed: Seed) -> None:
    agent = seed.agent(memory_blocks=[{"label": "human", "value": "old"}])
    seed.client.agents.blocks.update(agent_id=agent["id"], block_label="human", value="new")
    assert seed.client.agents.blocks.retrieve(agent_id=agent["id"], block_label="human")["value"] == "new"
    assert [block["label"] for block in seed.client.agents.blocks.list(agent["id"])] == ["human"]


def test_shared_memory(seed: Seed) -> None:
    block = seed.kept(seed.client.blocks, seed.client.blocks.create(label="organization", value="shared"))
    agents = [seed.agent(block_ids=[block["id"]]) for _ in range(2)]
    call = 'call memory_insert {"label": "organization", "new_string": "more"}'
    seed.client.agents.messages.create(agents[0]["id"], say(call))
    other = seed.client.agents.blocks.retrieve(agents[1]["id"], "organization")
    assert other["value"] == "shared\nmore"
    assert {each["id"] for each in seed.client.blocks.agents(block["id"])} == {each["id"] for each in agents}


def test_sleeptime(seed: Seed) -> None:
    agent = seed.agent(enable_sleeptime=True, memory_blocks=[{"label": "human", "value": "x"}])
    group = seed.client.agents.retrieve(agent["id"], include=["agent.managed_group"])["managed_group"]
    assert group["manager_type"] == "sleeptime"
    (asleep,) = group["agent_ids"]
    assert seed.client.agents.retrieve(asleep)["agent_type"] == "sleeptime_agent"


def test_agent_files(seed: Seed, tmp_path: Path) -> None:
    agent = seed.agent(name="filed", memory_blocks=[{"label": "human", "value": "kept"}])
    file = seed.client.agents.export_file(agent_id=agent["id"])
    assert [each["name"] for each in file["agents"]] == ["filed"]
    path = tmp_path / "agent.af"
    path.write_bytes(seed.client.raw.agents.export_file(agent["id"]).body)
    with path.open("rb") as opened:
        (twin,) = seed.client.agents.import_file(file=opened, append_copy_suffix=False)["agent_ids"]
    seed.kept(seed.client.agents, {"id": twin})
    assert seed.client.agents.blocks.retrieve(twin, "human")["value"] == "kept"


def test_mcp(seed: Seed) -> None:
    name = f"seed_{uuid4().hex[:8]}"
    config = {"mcp_server_type": "stdio", "command": sys.executable, "args": [str(MCP), name]}
    created = seed.client.mcp_servers.create(server_name=name, config=config)
    server = seed.kept(seed.client.mcp_servers, created)
    (tool,) = seed.client.mcp_servers.tools.list(server["id"])
    assert tool["name"] == name
    agent = seed.agent(tool_ids=[tool["id"]])
    assert name in [each["name"] for each in seed.client.agents.tools.list(agent["id"])]


def test_filesystem(seed: Seed, tmp_path: Path) -> None:
    made = seed.client.folders.create(name=f"seed-{uuid4().hex[:8]}", embedding=seed.letta.embedding)
    folder = seed.kept(seed.client.folders, made)
    path = tmp_path / "notes.txt"
    path.write_text("The harbour opens at nine.")
    with path.open("rb") as opened:
        file = seed.client.folders.files.upload(file=opened, folder_id=folder["id"])
    assert seed.client.folders.files.wait(folder["id"], file["id"])["processing_status"] == "completed"
    agent = seed.agent()
    seed.client.agents.folders.attach(agent["id"], folder["id"])
    answer = seed.client.agents.messages.create(agent["id"], say('call grep_files {"pattern": "harbour"}'))
    assert "nine" in answer.text
    seed.client.agents.folders.detach(agent["id"], folder["id"])


def test_archives(seed: Seed) -> None:
    agent = seed.agent(tools=["archival_memory_search"])
    seed.client.agents.passages.create(agent["id"], text="The harbour opens at nine.")
    (archive,) = seed.client.archives.list(agent_id=agent["id"])
    seed.kept(seed.client.archives, archive)
    seed.client.archives.passages.create(archive["id"], text="The bakery opens at six.")
    (nearest, _) = seed.client.archives.passages.search(archive["id"], query="When does the bakery open?")
    assert nearest["passage"]["text"] == "The bakery opens at six."
    assert len(list(seed.client.agents.passages.list(agent["id"]))) == 2


def test_streaming(seed: Seed) -> None:
    agent = seed.agent()
    with seed.client.agents.messages.stream(agent_id=agent["id"], messages=say("one two three")) as stream:
        found = [each.message_type for each in stream]
        assert stream.run_id is not None
    assert found == ["ping", "assistant_message", "stop_reason", "usage_statistics"]
    pieces = list(seed.client.agents.messages.stream(agent["id"], say("one two three"), stream_tokens=True))
    assert [each.text for each in pieces if isinstance(each, AssistantMessage)] == ["one ", "two ", "three"]
    (said, *_) = joined(pieces)
    assert isinstance(said, AssistantMessage)
    assert said.text == "one two three"


def test_tool_calls_are_joined(seed: Seed) -> None:
    agent = seed.agent(memory_blocks=[{"label": "human", "value": "x"}])
    call = 'call memory_insert {"label": "human", "new_string": "y"}'
    pieces = list(seed.client.agents.messages.stream(agent["id"], say(call), stream_tokens=True))
    assert len([each for each in pieces if isinstance(each, ToolCallMessage)]) > 3
    called = joined(pieces)[0]
    assert isinstance(called, ToolCallMessage)
    assert called.tool_call.name == "memory_insert"
    assert called.tool_call.values == {"label": "human", "new_string": "y"}


def test_message_types(seed: Seed) -> None:
    agent = seed.agent(memory_blocks=[{"label": "human", "value": "x"}])
    call = 'call memory_insert {"label": "human", "new_string": "y"}'
    seed.client.agents.messages.create(agent["id"], say(call))
    seen = {}
    # several pages: an entry of the server can be several messages
    for message in seed.client.agents.messages.list(agent_id=agent["id"], limit=2, order="asc"):
        if message.message_type == "user_message":
            seen["user"] = message.text
        elif message.message_type == "tool_call_message":
            seen["tool"] = message.tool_call.name
        elif message.message_type == "tool_return_message":
            seen["result"] = message.status
        elif message.message_type == "assistant_message":
            seen["agent"] = message.text
    oldest = [each.id for each in seed.client.agents.messages.list(agent["id"], order="asc")]
    newest = [each.id for each in seed.client.agents.messages.list(agent["id"], limit=2)]
    assert newest == oldest[::-1]
    (run,) = seed.client.runs.list(agent_id=agent["id"])
    assert [each.id for each in seed.client.runs.messages.list(run["id"], limit=2)] == oldest[1:]
    assert seen["user"] == call
    assert (seen["tool"], seen["result"]) == ("memory_insert", "success")
    assert seen["agent"].startswith("memory_insert answered")


def test_async(seed: Seed) -> None:
    agent = seed.agent()

    async def whole() -> tuple[str, list[str], str]:
        async with AsyncClient(base_url=seed.letta.url, api_key=seed.letta.password) as client:
            stream = client.agents.messages.stream(agent["id"], say("hello"))
            types = [each.message_type async for each in stream]
            answer = await client.agents.messages.create(agent["id"], say("again"))
            names = [each["id"] async for each in client.agents.list(limit=1, name=agent["name"])]
            return answer.text, types, names[0]

    assert asyncio.run(whole()) == (
        "again",
        ["ping", "assistant_message", "stop_reason", "usage_statistics"],
        agent["id"],
    )


def test_errors(seed: Seed) -> None:
    with pytest.raises(NotFound) as missing:
        seed.client.agents.messages.create(f"agent-{uuid4()}", say("hello"))
    assert missing.value.status_code == 404
    assert "not found" in missing.value.message
    assert "not found" in missing.value.body["detail"]
    with pytest.raises(ServerError) as refused:
        seed.client.agents.create(model=3, secrets={"KEY": "s3cret-sentinel"})
    assert refused.value.status_code == 422
    assert "sentinel" not in f"{refused.value}{refused.value.body}"


def test_retries_timeouts_headers_and_raw_responses(seed: Seed) -> None:
    asked: list[httpx.Request] = []

    class Flaky(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            asked.append(request)
            if len(asked) == 1:
                raise httpx.ConnectError("refused", request=request)
            return super().handle_request(request)

    options = {"base_url": seed.letta.url, "api_key": seed.letta.password, "transport": Flaky()}
    with Client(**options, headers={"X-Custom-Header": "value"}) as client:
        other = client.with_options(max_retries=3, timeout=30, headers={"X-More": "1"})
        agent = seed.kept(seed.client.agents, other.agents.create(model=seed.letta.model, name="seed"))
        assert len(asked) == 2
        assert asked[1].headers["x-custom-header"] == "value"
        assert asked[1].headers["x-more"] == "1"
        assert asked[1].extensions["timeout"]["read"] == 30
        response = client.raw.agents.retrieve(agent["id"])
        assert response.headers["content-type"] == "application/json"
        assert (response.status, response.json()["id"]) == (200, agent["id"])
        with pytest.raises(Unavailable, match="no answer within 0 s"):
            client.with_options(timeout=0.001, max_retries=0).agents.retrieve(agent["id"])


def test_an_http_client_of_ones_own(seed: Seed) -> None:
    with httpx.Client(transport=httpx.HTTPTransport(local_address="127.0.0.1")) as http:
        client = Client(base_url=seed.letta.url, api_key=seed.letta.password, http_client=http)
        assert client.health()["status"] == "ok"


PAGE = Path(__file__).parent.parent.parent / "docs" / "client.md"


@pytest.mark.parametrize("block", re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
def test_the_page_runs(seed: Seed, block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_API_KEY", seed.letta.password or "none")
    name = f"page {uuid4().hex[:8]}"
    code = block.replace("http://localhost:8283", seed.letta.url).replace("openai-proxy/echo", seed.letta.model)
    exec(code.replace("agents.create(", f"agents.create(name={name!r}, "), {})
    for agent in seed.client.agents.list(name=name):
        seed.kept(seed.client.agents, agent)
    assert ("agents.create(" in block) == bool(seed.made)


def test_the_page_names_every_test_of_this_file() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE.read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_") and not name.startswith("test_the_page")}
    assert named == here


# --- streams that are cut


class Cutting(httpx.HTTPTransport):
    """Closes the connection of each stream after as many bytes as the next of `cuts`."""

    def __init__(self, cuts: list[int]) -> None:
        super().__init__()
        self.cuts = cuts

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        answer = super().handle_request(request)
        if self.cuts and "event-stream" in answer.headers.get("content-type", ""):
            answer.stream = Cut(answer.stream, self.cuts.pop(0), request)
        return answer


class Cut(httpx.SyncByteStream):
    def __init__(self, stream: Any, left: int, request: httpx.Request) -> None:
        self.stream, self.left, self.request = stream, left, request

    def __iter__(self) -> Iterator[bytes]:
        for data in self.stream:
            yield data[: self.left]
            self.left -= len(data)
            if self.left <= 0:
                raise httpx.ReadError("cut", request=self.request)

    def close(self) -> None:
        self.stream.close()


WORDS = " ".join(f"word{n}" for n in range(60))


def shown(found: list[Message]) -> list[Any]:
    """What two runs have in common."""
    return [
        (each.message_type, getattr(each, "content", None), each.seq_id) for each in found if each.id[:5] != "ping-"
    ]


def cut(seed: Seed, cuts: list[int]) -> Client:
    return Client(base_url=seed.letta.url, api_key=seed.letta.password, transport=Cutting(cuts))


def test_a_stream_of_the_foreground_that_is_cut_names_its_run(seed: Seed) -> None:
    agent = seed.agent()
    draw = random.Random(3)
    with cut(seed, [draw.randrange(400, 20_000)]) as client:
        with pytest.raises(StreamBroken) as broken:
            list(client.agents.messages.stream(agent["id"], say(WORDS), stream_tokens=True))
        run = broken.value.run_id
        assert run is not None
        assert (
            broken.value.hint
            == f'after client.runs.wait("{run}"), client.runs.messages.list("{run}") has all its messages'
        )
        # the remedy of the hint
        assert client.runs.wait(run)["status"] == "completed"
        user, said = client.runs.messages.list(run)
    assert isinstance(user, UserMessage)
    assert isinstance(said, AssistantMessage)
    assert said.text == WORDS


def test_a_background_run_that_is_cut_50_times_is_the_same(seed: Seed) -> None:
    agent = seed.agent()
    body: dict[str, Any] = {"messages": say(WORDS), "stream_tokens": True, "background": True}
    whole = list(seed.client.agents.messages.stream(agent["id"], **body))
    draw = random.Random(4)
    cuts = [500, *(draw.randrange(450, 700) for _ in range(49))]  # a piece has about 420 bytes
    with cut(seed, cuts) as client:
        found = list(client.agents.messages.stream(agent["id"], **body))
        assert cuts == []
        assert shown(found) == shown(whole)
        run = found[-1].run_id
        assert run is not None
        assert shown(list(client.runs.stream(run, starting_after=10))) == shown(found)[9:]
