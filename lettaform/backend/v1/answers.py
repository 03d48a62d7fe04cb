"""A message to an agent to its Reply: sent once, and waited for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from lettaform.backend.v1.client import Client
from lettaform.client.messages import (
    ApprovalRequestMessage,
    AssistantMessage,
    Message,
    ToolCallMessage,
    parse_response,
)
from lettaform.model import CalledTool, Reply


async def ask(client: Client, agent: str, text: str, within: float) -> Reply:
    """Send a message of a user."""
    return await _send(client, agent, {"role": "user", "content": text}, within)


async def deny(client: Client, agent: str, calls: Sequence[CalledTool], reason: str, within: float) -> Reply:
    """Deny calls that wait for an approval."""
    denials = [{"type": "approval", "approve": False, "tool_call_id": call.id, "reason": reason} for call in calls]
    return await _send(client, agent, {"type": "approval", "approvals": denials}, within)


async def _send(client: Client, agent: str, message: Mapping[str, Any], within: float) -> Reply:
    path = f"/v1/agents/{agent}/messages"
    body = {"messages": [message], "streaming": False}
    return reply(await client.object("POST", path, keys=("messages",), body=body, within=within))


def reply(body: Mapping[str, Any]) -> Reply:
    """The answer of the server to a message. What is not of the expected form is left out."""
    found = parse_response(body)
    stopped = found.stop_reason.stop_reason
    calls = [call for each in found.messages for call in _calls(each) if _spoken(call) is None]
    asked = (each for each in found.messages if isinstance(each, ApprovalRequestMessage))
    waiting = tuple(call for each in asked for call in _calls(each)) if stopped == "requires_approval" else ()
    answer = "\n".join(text for each in found.messages for text in _texts(each) if text)
    return Reply(answer, tuple(calls), waiting, stopped, found.usage.step_count, found.usage.total_tokens)


def _calls(message: Message) -> Iterator[CalledTool]:
    if isinstance(message, ToolCallMessage | ApprovalRequestMessage):
        for each in message.tool_calls:
            # what is no JSON object is the only argument, without a name
            arguments = each.values if each.values is not None else {"": each.arguments}
            yield CalledTool(each.name, arguments, each.tool_call_id)


def _texts(message: Message) -> Iterator[str]:
    """What a message says to the user."""
    if isinstance(message, AssistantMessage):
        yield message.text
    yield from (text for call in _calls(message) if (text := _spoken(call)) is not None)


def _spoken(call: CalledTool) -> str | None:
    """The text that an agent says by a call; None for another call.

    Some types of agents answer by calling `send_message`; of those with a sleeptime agent, 0.16.8 shows that call.
    """
    text = call.arguments.get("message") if call.tool == "send_message" else None
    return text if isinstance(text, str) else None
