"""Addresses or ids to those who are talked to, and messages to answers: with approvals, to one or to many."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lettaform.address import Address, matches
from lettaform.backend import Backend
from lettaform.errors import Guarded, LettaformError, NotFound, PlanError
from lettaform.kinds import kinds
from lettaform.model import GOOD, WAITS, Decision, Live, Outgoing, Recipient
from lettaform.session import Session, check_talkers, unknown

if TYPE_CHECKING:
    from lettaform.client.messages import Message, ToolCall

Decide = Callable[[Sequence["ToolCall"]], Sequence[Decision] | None]
"""Decides about calls of tools that wait for approval. None: they go on waiting."""

Result = Literal["ok", "failed", "waiting"]


@dataclass(frozen=True)
class Sent:
    """What came of a message to one of many.

    result   ok; failed; or waiting: a call of a tool needs an approval
    answer   what the agent said
    stopped  the stop reason; empty if there is none
    error    why it failed
    run      the id of the run
    """

    to: Recipient
    result: Result
    answer: str
    stopped: str
    error: str | None
    run: str | None
    seconds: float


# --- who is talked to ------------------------------------------------------------------------------------------------


async def recipients(session: Session, patterns: Collection[str], conversation: str | None = None) -> list[Recipient]:
    """The agents and conversations of the stack with these addresses, sorted.

    patterns      addresses, in which `*` stands for any text. PlanError for one that names no agent and no conversation
    conversation  key or id of a conversation with the only agent that is named
    """
    observed = await session.observe()
    check_talkers(patterns, observed.objects)
    found = {a: live for a, live in observed.objects.items() if is_talker(live) and matches(a, tuple(patterns))}
    if not found:  # check_talkers knows sections alone
        raise unknown(next(iter(patterns)), [str(a) for a, live in observed.objects.items() if is_talker(live)])
    if conversation is not None:
        return [await _conversation(session.backend, _only(found, patterns), observed.objects, conversation)]
    return [recipient(live, str(address)) for address, live in sorted(found.items())]


def is_talker(live: Live) -> bool:
    """Whether messages can be sent to an object."""
    return kinds()[live.kind].agent_file is not None


def _only(found: Mapping[Address, Live], patterns: Collection[str]) -> Live:
    if len(found) > 1 or next(iter(found.values())).kind != "agent":
        raise PlanError(f"{', '.join(patterns)} is not one agent", "--conversation needs the address of one agent")
    return next(iter(found.values()))


def recipient(live: Live, name: str) -> Recipient:
    """An agent or a conversation as the one who is talked to, under a name."""
    owner = kinds()[live.kind].owner_line()
    return Recipient(str(live.values[owner.name]), live.id, name) if owner else Recipient(live.id, None, name)


async def of_id(backend: Backend, kind: str, id: str, conversation: str | None = None) -> Recipient:
    """The agent or conversation with an id. `conversation`: as of `recipients`. NotFound if there is none."""
    if kinds()[kind].agent_file is None:
        raise PlanError(
            f"`{id}` is no agent and no conversation", "write an address, or an id such as agent-… or conv-…"
        )
    live, _ = await backend.one(kind, id)
    return await _conversation(backend, live, {}, conversation) if conversation else recipient(live, id)


async def _conversation(backend: Backend, agent: Live, objects: Mapping[Address, Live], wanted: str) -> Recipient:
    """The conversation of an agent with a key or an id; without a manifest, the key is its topic."""
    owned = (await backend.owned("conversation", [agent.id]))[agent.id]
    named = {live.id: a for a, live in objects.items() if live.kind == "conversation"}
    for each in owned:
        address = named.get(each.id)
        if wanted in (each.id, each.name) or (address and wanted in (address.key, str(address))):
            return Recipient(agent.id, each.id, str(address or each.id))
    known = [named[each.id].key if each.id in named else each.id for each in owned]
    hint = (
        f"there are {', '.join(sorted(known)[:8])}" if known else "the agent has none; declare it under `conversations`"
    )
    raise NotFound(f"{agent.name} has no conversation `{wanted}`", hint)


# --- one exchange ----------------------------------------------------------------------------------------------------


async def exchange(
    backend: Backend, to: Recipient, said: Outgoing, *, tokens: bool, background: bool, decide: Decide
) -> AsyncGenerator[Message, None]:
    """Send, and yield what comes until the agent stops; where it waits for approvals and they are decided, then on."""
    from lettaform.client.messages import ApprovalRequestMessage, StopReason, joined

    while True:
        asked: list[Message] = []
        stopped = ""
        async with aclosing(backend.say(to, said, tokens=tokens, background=background)) as answer:
            async for message in answer:
                if isinstance(message, ApprovalRequestMessage):
                    asked.append(message)
                elif isinstance(message, StopReason):
                    stopped = message.stop_reason
                yield message
        if stopped == "error" and not said.decisions and (waiting := await backend.pending(to)):
            names = ", ".join(each.name for each in waiting)
            hint = f"`lettaform send '{to.name}' --approve` or `lettaform send '{to.name}' --deny` decides it"
            raise Guarded(f"{to.name} waits for the approval of an earlier call: {names}", hint)
        if stopped != WAITS:
            return
        calls = [call for each in joined(asked) for call in each.tool_calls] or await backend.pending(to)  # type: ignore[union-attr]
        decisions = decide(calls)
        if decisions is None:
            return
        said = Outgoing(decisions=tuple(decisions))


async def answered(
    backend: Backend, to: Recipient, decide: Decide, *, tokens: bool, background: bool
) -> AsyncGenerator[Message, None]:
    """Decide about the calls that an agent waits for, and yield what comes. PlanError if it waits for none."""
    calls = await backend.pending(to)
    if not calls:
        raise PlanError(f"{to.name} waits for no approval", "write a text to send")
    decisions = decide(calls)
    if decisions is None:
        return
    said = Outgoing(decisions=tuple(decisions))
    async with aclosing(exchange(backend, to, said, tokens=tokens, background=background, decide=decide)) as answer:
        async for message in answer:
            yield message


# --- many ------------------------------------------------------------------------------------------------------------


async def to_many(
    backend: Backend,
    every: Sequence[Recipient],
    said: Outgoing,
    *,
    parallel: int,
    within: float | None,
    decide: Decide,
    notify: Callable[[Sent], None],
) -> list[Sent]:
    """Send the same to each; what came of it, in their order. An error of one does not end the others.

    parallel  how many are talked to at the same time
    within    seconds for each; None: as long as it takes
    notify    called with each result once it is there
    """
    free = asyncio.Semaphore(parallel)

    async def one(to: Recipient) -> Sent:
        async with free:
            sent = await _one(backend, to, said, within, decide)
        notify(sent)
        return sent

    return list(await asyncio.gather(*(one(to) for to in every)))


async def _one(backend: Backend, to: Recipient, said: Outgoing, within: float | None, decide: Decide) -> Sent:
    from lettaform.client.messages import AssistantMessage, ErrorMessage, StopReason

    started, texts = time.monotonic(), list[str]()
    stopped, run = "", None
    error: str | None = None
    try:
        async with asyncio.timeout(within):
            stream = exchange(backend, to, said, tokens=False, background=False, decide=decide)
            async with aclosing(stream) as answer:
                async for message in answer:
                    run = message.run_id or run
                    if isinstance(message, AssistantMessage):
                        texts.append(message.text)
                    elif isinstance(message, StopReason):
                        stopped = message.stop_reason
                    elif isinstance(message, ErrorMessage):
                        error = message.message or message.error_type
    except Guarded:  # a call of an earlier turn
        stopped, error = WAITS, None
    except LettaformError as raised:
        error = raised.message
    except TimeoutError:
        error = f"no answer within {within:g} s" + await _cancelled(backend, run)
    result: Result = "waiting" if stopped == WAITS else "ok" if stopped in GOOD and error is None else "failed"
    error = error or (f"it stopped: {stopped or 'for no reason'}" if result == "failed" else None)
    return Sent(to, result, "\n".join(texts), stopped, error, run, time.monotonic() - started)


async def _cancelled(backend: Backend, run: str | None) -> str:
    """Ask the server to cancel a run; what came of that, as the end of a message."""
    if run is None:
        return ""
    try:
        await backend.cancel(await backend.run(run))
    except LettaformError as error:
        return f"; {run} may go on: {error.message}"
    return f"; {run} was cancelled"
