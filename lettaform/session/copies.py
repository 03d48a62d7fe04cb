"""Agents to throw-away copies on the server, and copies to nothing: created, found again by their claim, deleted.

A copy and its blocks carry the claim of a stack of their own, `STACK/check`, which no manifest can have as its name: so
no plan, no audit and no import takes them for objects of the stack, or of nobody. Their addresses begin with the run
that created them. Each run holds a lock of its own while its copies exist. What a run without a lock has left is
deleted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Collection, Iterable, Mapping
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from secrets import token_hex
from typing import Any

from lettaform.address import Address
from lettaform.backend import Backend
from lettaform.backend.concurrency import together
from lettaform.backend.runner import has_ended
from lettaform.errors import Locked, NotFound, Problem, ServerError
from lettaform.kinds import kinds
from lettaform.kinds.traits import Companions, Contents, Parts
from lettaform.model import Create, Delete, Listing, Live, Lock
from lettaform.plan.planned import Planned
from lettaform.values import Ref

SECTION, KIND, BLOCK, ARCHIVE = "agents", "agent", "block", "archive"
LEFT_OUT = frozenset({"name", "tags", "metadata", "identities", "blocks", "archive", "hidden"})
"""Fields of an agent that its copy does not have. With its tags, messages of other agents would reach the copy."""
LOOK = 1.0
"""Seconds between two looks at the lock of another run."""


def stack_of_copies(stack: str) -> str:
    """The stack that the copies of the agents of a stack belong to."""
    return f"{stack}/check"


@dataclass(frozen=True)
class Copy:
    """A throw-away copy of an agent. `blocks`: label to the id of its block."""

    id: str
    blocks: Mapping[str, str]


@dataclass
class Copies:
    """The copies of one run.

    run       the text with which their addresses begin
    number    how many were created so far
    warnings  what may be left at the end
    """

    backend: Backend
    stack: str
    run: str = field(default_factory=lambda: token_hex(4))
    number: int = 0
    warnings: list[Problem] = field(default_factory=list)

    @property
    def claimed(self) -> str:
        """The stack that the copies belong to."""
        return stack_of_copies(self.stack)

    @asynccontextmanager
    async def held(self, patience: float | None) -> AsyncIterator[asyncio.Event]:
        """Hold the lock of the run, and delete every copy of it at the end. Yields what is set when the lock is lost.

        patience  seconds to wait for the lock; None: none is used
        """
        self.backend.begin(self.claimed, frozenset())
        locked = nullcontext(asyncio.Event())
        async with locked if patience is None else self.backend.lock(f"{self.claimed}/{self.run}", patience) as lost:
            try:
                yield lost
            finally:
                try:
                    await self.delete_all({self.run})
                except ServerError as error:
                    self.warnings.append(left(f"copies of this check may still exist: {error.message}"))

    # --- create

    async def create(self, planned: Planned, deny: Collection[str] = ()) -> Copy:
        """A copy of an agent. `deny`: names of tools that wait for an approval."""
        self.number += 1
        address = Address.of(SECTION, f"{self.run}-{self.number}")
        fields = {**copied_fields(planned.values), "name": f"check {self.run} {self.number}", "hidden": True}
        if deny:
            rules = fields.get("tool_rules") or []
            waiting = {rule.get("tool_name") for rule in rules if rule.get("type") == "requires_approval"}
            added = ({"type": "requires_approval", "tool_name": name} for name in deny if name not in waiting)
            fields["tool_rules"] = [*rules, *added]
        parts = {label: {**_of_block(block), "hidden": True} for label, block in planned.blocks.items()}
        step = Create(str(address), address, KIND, fields=fields, parts=parts)
        answer = await self.backend.send(step, _unknown)
        return Copy(answer.id, {label: part.id for label, part in answer.parts.items()})

    async def judge(self, model: str, system: str) -> Copy:
        """An agent without memory and tools that judges."""
        nothing = {"include_base_tools": False, "include_base_tool_rules": False}
        return await self.create(Planned({"model": model, "system": system, **nothing}, {}))

    async def tools(self, planned: Planned, patterns: Collection[str]) -> list[str]:
        """The names of the tools of an agent that match patterns, and the names among the patterns.

        The server may add tools to a new agent.
        """
        ids = [each for each in planned.values.get("tools") or () if isinstance(each, str)]
        found = await self.backend.several([("tool", id) for id in ids]) if patterns and ids else []
        names = {each[0].name for each in found if not isinstance(each, NotFound)}
        matching = {name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)}
        return sorted(matching | {pattern for pattern in patterns if "*" not in pattern})

    # --- delete

    async def delete(self, copy: Copy) -> None:
        """Delete a copy with its blocks, and what it made itself."""
        await self._delete_agent(copy.id)
        await self._delete_each(BLOCK, copy.blocks.values())

    async def delete_all(self, runs: Collection[str]) -> None:
        """Delete everything that these runs have created, and what their copies made themselves."""
        found = await self._listing()
        agents = [live for live in found.objects.get(KIND, ()) if run_of(live) in runs]
        await _all(self._delete_agent(live.id) for live in agents)
        blocks = [live.id for live in found.objects.get(BLOCK, ()) if run_of(live) in runs]
        await self._delete_each(BLOCK, blocks)

    async def _listing(self) -> Listing:
        return await self.backend.listing(self.claimed, {KIND: (), BLOCK: ()})

    async def _delete_agent(self, id: str) -> None:
        """Delete an agent after what it made: nothing leads from that to the agent once it is gone."""
        try:
            live, blocks = await self.backend.one(KIND, id)
        except NotFound:
            return
        await self._delete_each(BLOCK, [each async for each in self._own_blocks(live, blocks)])
        await self._delete_each(ARCHIVE, [each async for each in self._own_archives(live)])
        await self._delete_each(KIND, [id])

    async def _own_blocks(self, live: Live, blocks: Collection[Live]) -> AsyncIterator[str]:
        """The ids of the blocks that the agent made itself: they carry no claim, and no other agent has them."""
        unclaimed = [each for each in blocks if each.stack is None]
        users = await self.backend.users(unclaimed, {}) if unclaimed else {}
        for each in unclaimed:
            if users.get(each.id, frozenset()) <= {live.id}:
                yield each.id

    async def _own_archives(self, live: Live) -> AsyncIterator[str]:
        """The ids of the archives that the agent made: the server names them after it."""
        for id in (await self.backend.contents([(live, ARCHIVE, ())]))[0]:
            with suppress(NotFound):
                archive, _ = await self.backend.one(ARCHIVE, id)
                if archive.stack is None and live.name in archive.name:
                    yield id

    async def _delete_each(self, kind: str, ids: Collection[str]) -> None:
        address = Address.of(kinds()[kind].section, self.run)
        steps = (Delete(f"-{id}", address, kind, id=id) for id in ids)
        await _all(self.backend.send(step, _unknown) for step in steps)

    # --- what other runs have left

    async def sweep(self) -> None:
        """Delete what runs of this stack have left that ended without deleting it. Those that go on are left alone."""
        # the copies first: a run takes its lock before it creates one
        runs = {run_of(live) for lives in (await self._listing()).objects.values() for live in lives} - {self.run, ""}
        prefix = f"{self.claimed}/"
        locks = {key.removeprefix(prefix): lock for key, lock in (await self.backend.locks(prefix)).items()}
        others = {run: lock for run, lock in locks.items() if run != self.run}
        ended = await together(self._has_ended(run, lock) for run, lock in others.items())
        left = (runs - locks.keys()) | {run for run, gone in zip(others, ended, strict=True) if gone}
        if left:
            await self.delete_all(left)

    async def _has_ended(self, run: str, lock: Lock) -> bool:
        """Whether a run has ended. Its lock is released then, once the server has finished its requests."""
        stack, until = f"{self.claimed}/{run}", time.monotonic() + self.backend.lease
        while not has_ended(lock.machine, lock.pid) and time.monotonic() < until:
            await asyncio.sleep(LOOK)
            now = await self.backend.holder(stack)
            if now is None:
                return True
            if now.beat != lock.beat:
                return False
        try:
            await self.backend.release(stack, lock)
        except Locked:
            return False
        return True


async def _all(requests: Iterable[Awaitable[Any]]) -> None:
    """Carry out all of them, also if one fails; the first error is raised then."""
    for outcome in await asyncio.gather(*requests, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


def left(message: str) -> Problem:
    """The warning that something may be left on the server."""
    return Problem(message, hint="the next `lettaform check` deletes them", severity="warning")


def run_of(live: Live) -> str:
    """The run that created a copy, or a block of one; empty if its address does not say."""
    address = live.address and (live.address.parent or live.address)
    return address.key.partition("-")[0] if address else ""


def copied_fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of an agent with which its copy is created. It has no second agent, and no archive."""
    lines = kinds()[KIND].attrs()
    return {
        name: value
        for name, value in values.items()
        if (line := lines.get(name)) is not None
        and line.write
        and name not in LEFT_OUT
        and not (line.related(Parts) or line.related(Contents) or line.related(Companions))
        and value not in (None, "", [], {})
    }


def _of_block(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a block with which its copy is created."""
    names = ("label", "value", "description", "limit", "read_only")
    return {name: fields[name] for name in names if fields.get(name) is not None}


def _unknown(ref: Ref) -> Any:
    raise LookupError(str(ref.address))
