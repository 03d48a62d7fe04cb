"""Messages to agents and their answers, runs, and what is in a context, through the REST API."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lettaform.backend.v1.client import Client
from lettaform.client.messages import (
    ErrorMessage,
    Message,
    Ping,
    StopReason,
    ToolCall,
    UsageStatistics,
    joined,
    parse,
)
from lettaform.errors import ServerError, StreamBroken, Unavailable, Unsupported
from lettaform.model import Compacted, Outgoing, Recipient, Run

if TYPE_CHECKING:
    from lettaform.client.aio import Async, AsyncStream
    from lettaform.client.clients import Root

POLL = 0.5
"""Seconds between two looks at a run whose pieces the server does not keep."""
PAGE = 100
_SENT = ("user_message", "system_message")


class V1Talks:
    """Exchanges messages with the agents of a v1 server."""

    client: Client

    def say(self, to: Recipient, said: Outgoing, *, tokens: bool, background: bool) -> AsyncGenerator[Message, None]:
        return _said(self.client, to, said, tokens, background)

    def follow(self, run: Run) -> AsyncGenerator[Message, None]:
        return _followed(self.client.talker(), run)

    async def history(self, of: Recipient, before: str | None = None) -> AsyncGenerator[Message, None]:
        path, asked = f"/v1/conversations/{of.conversation}/messages", dict[str, Any]()
        if of.conversation is None:
            # otherwise 0.16.8 shows those of all conversations of the agent, too
            path, asked = f"/v1/agents/{of.agent}/messages", {"conversation_id": "default"}
        seen: set[tuple[str, str]] = set()
        while True:
            cursor = {"before": before} if before else {}
            page = [parse(each) for each in await self.client.items(path, limit=PAGE, order="desc", **asked, **cursor)]
            if of.conversation is None:
                page.reverse()  # 0.16.8 answers the newest messages of an agent in the order of their creation
            fresh = [each for each in page if (each.id, each.message_type) not in seen]
            # a page can be shorter than its limit although another one follows: 0.16.8 counts before it splits messages
            if not fresh:
                return
            for each in fresh:
                seen.add((each.id, each.message_type))
                yield each
            before = fresh[-1].id

    async def pending(self, to: Recipient) -> tuple[ToolCall, ...]:
        if to.conversation is not None:  # 0.16.8 tells it of agents alone
            async with aclosing(self.history(to)) as newest:
                last = await anext(newest, None)
            return last.tool_calls if last and last.message_type == "approval_request_message" else ()
        found = await self.client.object("GET", f"/v1/agents/{to.agent}", params={"include": "agent.pending_approval"})
        asked = parse(found.get("pending_approval") or {})
        return asked.tool_calls if asked.message_type == "approval_request_message" else ()

    async def run(self, id: str) -> Run:
        return _run(await self.client.object("GET", f"/v1/runs/{id}"))

    async def runs(self, agent: str | None = None, conversation: str | None = None) -> AsyncGenerator[Run, None]:
        asked = {key: id for key, id in (("agent_id", agent), ("conversation_id", conversation)) if id}
        while True:
            page = await self.client.items("/v1/runs/", limit=PAGE, order="desc", **asked)
            for each in page:
                yield _run(self.client.as_object(each, "GET", "/v1/runs/"))
            if len(page) < PAGE:
                return
            asked["before"] = page[-1]["id"]  # older ones: with this order, `after` asks for newer ones (0.16.8)

    async def cancel(self, run: Run) -> None:
        body = {"run_ids": [run.id]}
        path = f"/v1/agents/{run.agent}/messages/cancel"
        found = await self.client.object("POST", path, keys=(), body=body, repeatable=True)
        if found.get(run.id) == "failed":
            raise ServerError(f"the server did not cancel {run.id}", "its log says why", method="POST", path=path)

    async def compact(self, to: Recipient) -> Compacted:
        body = {} if to.conversation else {"agent_id": to.agent}
        path, keys = f"/v1/conversations/{to.conversation or 'default'}/compact", ("summary", "num_messages_after")
        found = await self.client.object("POST", path, keys=keys, body=body, within=300.0)
        before, after = found.get("num_messages_before"), found["num_messages_after"]
        return Compacted(str(found["summary"]), int(before or 0), int(after or 0))

    async def reset(self, to: Recipient) -> None:
        if to.conversation:
            hint = "delete the conversation, and create it again: `lettaform plan` with it left out, then with it"
            raise Unsupported("a server of this version resets agents, and no conversations", hint)
        await self.client.send("PATCH", f"/v1/agents/{to.agent}/reset-messages", body={})

    async def recompile(self, to: Recipient) -> None:
        owner = f"/v1/conversations/{to.conversation}" if to.conversation else f"/v1/agents/{to.agent}"
        await self.client.send("POST", f"{owner}/recompile", repeatable=True)


def _run(body: Mapping[str, Any]) -> Run:
    known = body.get("metadata") or {}
    error = known.get("error")
    if isinstance(error, Mapping):
        error = error.get("message")
    background = bool(body.get("background"))
    return Run(
        body["id"],
        str(body.get("agent_id") or ""),
        body.get("conversation_id"),
        str(body.get("status") or ""),
        body.get("stop_reason"),
        str(body.get("created_at") or ""),
        body.get("completed_at"),
        background,
        background and known.get("run_type") != "send_message_async",
        str(error) if error else None,
    )


# --- what is sent ----------------------------------------------------------------------------------------------------


def _messages(said: Outgoing) -> list[dict[str, Any]]:
    if said.decisions:
        decided = [
            {"type": "approval", "tool_call_id": each.call, "approve": each.approve, "reason": each.reason}
            for each in said.decisions
        ]
        return [{"type": "approval", "approvals": decided}]
    if not said.images:
        return [{"role": said.role, "content": said.text}]
    parts: list[dict[str, Any]] = [{"type": "text", "text": said.text}] if said.text else []
    for each in said.images:
        data = base64.b64encode(each.data).decode()
        parts.append({"type": "image", "source": {"type": "base64", "media_type": each.media_type, "data": data}})
    return [{"role": said.role, "content": parts}]


async def _said(
    client: Client, to: Recipient, said: Outgoing, tokens: bool, background: bool
) -> AsyncGenerator[Message, None]:
    body = {"messages": _messages(said), "streaming": True, "stream_tokens": tokens, "background": background}
    path = (
        f"/v1/conversations/{to.conversation}/messages" if to.conversation else f"/v1/agents/{to.agent}/messages/stream"
    )
    came = _Came()
    # sent once: 0.16.8 notes a failed run for each attempt that it refuses
    stream = client.talker(max_retries=0).stream(path, body)
    try:
        async with aclosing(_noted(stream, came)) as messages:
            async for message in messages:
                yield message
        return
    except StreamBroken as error:
        if error.run_id is None:
            raise
        broken: StreamBroken | None = error
    except Unavailable as error:
        if not background or error.status != 503:
            raise
        broken = None
    if broken is None:
        # 503: the server keeps no pieces without Redis
        rest = _sent_without_stream(client.talker(), to, body["messages"], came)
    else:
        assert broken.run_id is not None
        rest = _resumed(client.talker(), broken.run_id, broken.last_seq_id if background else None, came)
    async with aclosing(rest) as messages:
        async for message in messages:
            yield message


async def _sent_without_stream(
    talker: Root[Async], to: Recipient, messages: Any, came: _Came
) -> AsyncGenerator[Message, None]:
    """Send, and look again and again for the messages of the run."""
    if to.conversation:
        hint = "send it without --background"
        raise Unsupported("without Redis, this server runs no message of a conversation in the background", hint)
    body = {"messages": messages}
    begun = await talker.post(f"/v1/agents/{to.agent}/messages/async", body=body, max_retries=0)
    run = _run(begun)
    yield Ping(run_id=run.id, raw={"message_type": "ping", "run_id": run.id})
    async with aclosing(_polled(talker, run.id, came)) as messages:
        async for message in messages:
            yield message


async def _followed(talker: Root[Async], run: Run) -> AsyncGenerator[Message, None]:
    after = 0 if run.streams and not run.ended else None
    # closed here, in the task that opened its connection
    async with aclosing(_resumed(talker, run.id, after, _Came())) as messages:
        async for message in messages:
            yield message


async def _resumed(talker: Root[Async], run: str, after: int | None, came: _Came) -> AsyncGenerator[Message, None]:
    """The rest of a run: its pieces after a number, or else what its messages have besides what came."""
    if after is not None:
        stream = talker.runs.stream(run, starting_after=after)
        try:
            async with aclosing(_noted(stream, came)) as messages:
                async for message in messages:
                    yield message
            return
        except ServerError as error:
            if error.status in (401, 404):
                raise
    async with aclosing(_polled(talker, run, came)) as polled:
        async for message in polled:
            yield message


async def _noted(stream: AsyncStream, came: _Came) -> AsyncGenerator[Message, None]:
    async with stream:
        async for message in stream:
            came.note(message)
            yield message


async def _polled(talker: Root[Async], run: str, came: _Came) -> AsyncGenerator[Message, None]:
    """What the messages of a run have besides what came, until it has ended."""
    while True:
        now = _run(await talker.get(f"/v1/runs/{run}"))
        async for each in talker.runs.messages.list(run, limit=PAGE):
            if each.message_type not in _SENT and (rest := came.rest(each)) is not None:
                yield rest
        if now.ended:
            break
        await asyncio.sleep(POLL)
    reason = now.stop_reason or ("cancelled" if now.status == "cancelled" else "error")
    last: list[dict[str, Any]] = [{"message_type": "stop_reason", "stop_reason": reason}]
    if now.status == "failed":
        last.append({"message_type": "error_message", "error_type": "failed", "message": now.error or ""})
    else:
        used = await talker.get(f"/v1/runs/{run}/usage")
        last.append({**used, "message_type": "usage_statistics", "step_count": len(came.steps)})
    for body in last:
        if (rest := came.rest(parse({**body, "run_id": run}))) is not None:
            yield rest


@dataclass
class _Came:
    """What came of a run until now. A whole message is compared with the pieces of it that came."""

    pieces: dict[tuple[str, str], list[Message]] = field(default_factory=dict)
    steps: set[str] = field(default_factory=set)

    def note(self, message: Message) -> None:
        """Remember a message or a piece of one."""
        if not isinstance(message, Ping):
            self.pieces.setdefault(self._key(message), []).append(message)
            self.steps |= {message.step_id} if message.step_id else set()

    def rest(self, whole: Message) -> Message | None:
        """What of a whole message did not come yet, as a piece of it; None if there is nothing. Notes it."""
        before = self.pieces.get(self._key(whole))
        if before is None:
            self.note(whole)
            return whole
        (known,) = joined(before)
        left = _difference(known, whole)
        if left is not None:
            self.note(left)
        return left

    @staticmethod
    def _key(message: Message) -> tuple[str, str]:
        single = isinstance(message, StopReason | UsageStatistics | ErrorMessage)
        return ("" if single else message.id, message.message_type)


def _difference(known: Message, whole: Message) -> Message | None:
    """The piece that makes the whole message of a known one; None if it lacks nothing."""
    body = dict(whole.raw)
    for key in ("content", "reasoning"):
        said, all_of_it = getattr(known, key, None), getattr(whole, key, None)
        if isinstance(said, str) and isinstance(all_of_it, str) and all_of_it.startswith(said):
            body[key] = all_of_it[len(said) :]
            return parse(body) if body[key] else None
    calls = {each.tool_call_id: each for each in getattr(known, "tool_calls", ())}
    rest = []
    for each in getattr(whole, "tool_calls", ()):
        had = calls.get(each.tool_call_id, ToolCall())
        if each.arguments != had.arguments:
            name = "" if had.name else each.name
            part = each.arguments.removeprefix(had.arguments)
            rest.append({"name": name, "arguments": part, "tool_call_id": each.tool_call_id})
    return parse(body | {"tool_calls": rest, "tool_call": rest[0]}) if rest else None
