"""Code of a caller, for type checkers alone: what each method returns, in both flavours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, assert_never, assert_type

import httpx

from lettaform.client import AsyncClient, AsyncStream, Client, RawResponse, Stream
from lettaform.client.messages import (
    AssistantMessage,
    Message,
    Response,
    ToolCallMessage,
    ToolReturnMessage,
    UserMessage,
    joined,
)
from lettaform.errors import ServerError

Json = dict[str, Any]


def called() -> None:
    with Client(base_url="http://localhost:8283", timeout=httpx.Timeout(5), headers={"X": "1"}) as client:
        agent = client.agents.create(name="clerk", model="openai-proxy/echo")
        assert_type(agent, Json)
        assert_type(client.agents.retrieve(agent["id"]), Json)
        assert_type(client.agents.blocks.update(agent_id="a", block_label="human", value="x"), Json)
        assert_type(client.agents.delete("a"), None)
        assert_type(client.agents.list(tags=["x"]), Iterator[Json])
        assert_type(client.agents.messages.create("a", messages=[{"role": "user"}]), Response)
        assert_type(client.agents.messages.list("a"), Iterator[Message])
        assert_type(client.raw.agents.retrieve("a"), RawResponse)
        assert_type(client.with_options(max_retries=0), Client)
        assert_type(client.get("/v1/tags/", params={"limit": 5}), Any)
        stream = client.agents.messages.stream("a", messages=[], background=True)
        assert_type(stream, Stream)
        for message in stream:
            said(message)
        assert_type(joined(client.runs.stream("run-1", starting_after=3)), list[Message])


async def awaited() -> None:
    async with AsyncClient(api_key="key") as client:
        assert_type(await client.agents.retrieve("a"), Json)
        assert_type(await client.folders.files.upload("f", b"x", name="a.txt"), Json)
        assert_type(await client.raw.get("/v1/x"), RawResponse)
        assert_type(client.agents.list(), AsyncIterator[Json])
        stream = client.agents.messages.stream("a", messages=[])
        assert_type(stream, AsyncStream)
        async for message in stream:
            said(message)
        async for each in client.agents.messages.list("a"):
            assert_type(each, Message)


def said(message: Message) -> str:
    """By the name of the type, and by the type."""
    if message.message_type == "user_message":
        assert_type(message, UserMessage)
        return message.text
    if message.message_type == "tool_call_message":
        assert_type(message, ToolCallMessage)
        return message.tool_call.name
    match message:
        case AssistantMessage():
            return message.text
        case ToolReturnMessage(status=status):
            return status
        case _:
            return message.id


def all_are_told_apart(message: AssistantMessage | UserMessage) -> str:
    match message:
        case AssistantMessage() | UserMessage():
            return message.text
    assert_never(message)


def failed(client: Client) -> int:
    try:
        client.agents.retrieve("a")
    except ServerError as error:
        assert_type(error.status_code, int)
        assert_type(error.message, str)
        return error.status_code
    return 0
