"""Messages and runs of agents as lists, and their contexts emptied and compiled again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lettaform.backend import Backend
from lettaform.errors import LettaformError, PlanError
from lettaform.model import Recipient, Run
from lettaform.session import Session
from lettaform.session.files import WORKING, make_working_folder, write_json
from lettaform.session.talk import is_talker, recipient

if TYPE_CHECKING:
    from lettaform.client.messages import Message


@dataclass(frozen=True)
class Filter:
    """Which messages are read; see `flow.messages`."""

    limit: int | None = 20
    types: frozenset[str] = frozenset()
    search: str | None = None
    before: str | None = None
    after: str | None = None


async def read_messages(backend: Backend, of: Recipient, wanted: Filter) -> list[Message]:
    """The last messages that pass a filter, oldest first. No server of 0.16 searches by itself: it needs a service."""
    before = _moment(wanted.before, "--before")
    after = _moment(wanted.after, "--after")
    found: list[Message] = []
    async with aclosing(backend.history(of, before if isinstance(before, str) else None)) as newest:
        async for each in newest:
            if (isinstance(after, str) and each.id == after) or (isinstance(after, datetime) and _date(each) <= after):
                break
            if isinstance(before, datetime) and _date(each) >= before:
                continue
            if wanted.types and each.message_type not in wanted.types:
                continue
            if wanted.search and wanted.search.casefold() not in _text(each).casefold():
                continue
            found.append(each)
            if len(found) == wanted.limit:
                break
    return found[::-1]


def _moment(text: str | None, option: str) -> str | datetime | None:
    """The id of a message, or a time. PlanError for anything else."""
    if text is None or text.startswith("message-"):
        return text
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        hint = f"write `{option} 2026-11-27`, `{option} 2026-11-27T08:00` or the id of a message"
        raise PlanError(f"`{text}` is neither a time nor the id of a message", hint) from None
    return found if found.tzinfo else found.astimezone()


def _date(message: Message) -> datetime:
    try:
        found = datetime.fromisoformat(message.date)
    except ValueError:  # the server names none
        return datetime.fromtimestamp(0, UTC)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _text(message: Message) -> str:
    """Everything in a message that a person can search for."""
    from lettaform.client.messages import text_of

    parts = [text_of(getattr(message, "content", "")), text_of(getattr(message, "tool_return", ""))]
    parts += [str(getattr(message, name, None) or "") for name in ("reasoning", "summary", "message", "name")]
    parts += [f"{call.name} {call.arguments}" for call in getattr(message, "tool_calls", ())]
    return "\n".join(parts)


async def talkers(session: Session) -> dict[str, Recipient]:
    """The agents and conversations of the stack, by their ids."""
    objects = (await session.observe()).objects
    return {live.id: recipient(live, str(address)) for address, live in objects.items() if is_talker(live)}


async def read_runs(
    backend: Backend, every: Mapping[str, Recipient] | None, single: bool, limit: int, active: bool
) -> list[tuple[Run, str]]:
    """The last runs of these agents and conversations, newest first, each with whose it is; None: of all."""
    known = every or {}
    only = next(iter(known.values())) if single else None
    listed = backend.runs(only.agent if only and not only.conversation else None, only.conversation if only else None)
    found: list[tuple[Run, str]] = []
    async with aclosing(listed) as newest:
        async for run in newest:
            whom = known.get(run.conversation or "") or known.get(run.agent)
            if (every is None or single or whom) and not (active and run.ended):
                found.append((run, whom.name if whom else run.conversation or run.agent))
            if len(found) == limit:
                break
    return found


async def reset(
    backend: Backend,
    of: Recipient,
    directory: Path,
    path: Path | None,
    consent: Callable[[Recipient, int], bool],
) -> tuple[Path | None, int]:
    """Write the agent file of an agent, and remove its messages from its context; see `flow.reset`."""
    from lettaform.session.export import export

    if of.conversation is not None:
        hint = f"delete it and declare it again, or reset its agent: `lettaform reset {of.agent}`"
        raise PlanError(f"{of.name} is a conversation, and only the context of an agent can be reset", hint)
    live, _ = await backend.one("agent", of.agent)
    messages = len(await backend.context(live)) - 1  # the first one is the prompt
    if messages < 1 or not consent(of, messages):
        return None, max(messages, 0)
    file = (await export(backend, "agent", of.agent)).file
    if path is None:
        make_working_folder(directory)
        name = "".join(each if each.isalnum() or each in "-_" else "-" for each in of.name)
        path = directory / WORKING / "agent-files" / f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.af"
    else:
        path = directory / path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, file)
    except OSError as error:
        raise PlanError(f"cannot write {path}: {error.strerror}", "nothing was reset") from error
    await backend.reset(of)
    return path, messages


async def recompile(
    backend: Backend, every: Sequence[Recipient], parallel: int
) -> list[tuple[Recipient, LettaformError | None]]:
    """Compile the prompts of these, and of the conversations of the agents among them."""
    agents = [each for each in every if each.conversation is None]
    owned = await backend.owned("conversation", [each.agent for each in agents]) if agents else {}
    known = {each.id for each in every}
    below = [
        Recipient(each.agent, live.id, f"{live.id} of {each.name}")
        for each in agents
        for live in owned.get(each.agent, ())
        if live.id not in known
    ]
    free = asyncio.Semaphore(parallel)

    async def one(to: Recipient) -> tuple[Recipient, LettaformError | None]:
        async with free:
            try:
                await backend.recompile(to)
            except LettaformError as error:
                return to, error
        return to, None

    return list(await asyncio.gather(*(one(to) for to in (*every, *below))))
