"""A Plan to a Report: walk the Steps, as many at once as may; decide nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.backend import Backend
from lettaform.errors import LettaformError, ServerError, Unavailable
from lettaform.model import FORGET, Answer, Event, Mark, Outcome, Plan, Report, Step
from lettaform.values import Ref, settle

Notify = Callable[[Event], None]
INTERRUPTED = "interrupted"
PATIENCE = 10.0
"""Seconds after which a step that still runs says so, and says so again."""


class Stop:
    """Why nothing more shall be begun; None while nobody minds."""

    reason: str | None = None


async def apply(
    plan: Plan,
    server: Backend,
    *,
    known: frozenset[str] = frozenset(),
    parallel: int = 8,
    notify: Notify = lambda event: None,
    stop: Stop | None = None,
) -> Report:
    """Carry out every Step that its predecessors allow. `known`: ids that carry our mark already.

    Once `stop` has a reason nothing more is begun; what is under way is finished, and the stack record written.
    """
    started, before = time.monotonic(), server.requests
    server.begin(plan.stack, known)
    walk = _Walk(plan, server, asyncio.Semaphore(parallel), notify, stop or Stop())
    await walk.run()
    outcomes = tuple(walk.outcomes[step.key] for step in plan.steps)
    outputs = {name: _shown(settle(value, walk.known)) for name, value in plan.outputs.items()}
    seconds = time.monotonic() - started
    return Report(outcomes, server.requests - before, seconds, outputs, walk.stop.reason == INTERRUPTED)


class _Walk:
    def __init__(self, plan: Plan, server: Backend, gate: asyncio.Semaphore, notify: Notify, stop: Stop) -> None:
        self.plan, self.server, self.gate, self.notify, self.stop = plan, server, gate, notify, stop
        self.outcomes: dict[str, Outcome] = {}
        self.answers: dict[Address, Answer] = {}
        self.started = time.monotonic()

    async def run(self) -> None:
        """Every step waits for its own predecessors alone; the record comes last, whatever happened."""
        last = [step for step in self.plan.steps if step.key == "record"]
        done = {step.key: asyncio.Event() for step in self.plan.steps}
        async with asyncio.TaskGroup() as group:
            for step in self.plan.steps:
                if step not in last:
                    group.create_task(self.one(step, done))
        for step in last:
            if step.op == "delete" and any(outcome.status != "done" for outcome in self.outcomes.values()):
                self.end(Outcome(step, "skipped", because="something of the stack is left"))
            else:
                await self.one(replace(step, fields=self.recordable(step)), done, always=True)
                self.outcomes[step.key] = replace(self.outcomes[step.key], step=step)

    async def one(self, step: Step, done: dict[str, asyncio.Event], always: bool = False) -> None:
        try:
            for key in (*step.after, *step.behind):
                if key in done:
                    await done[key].wait()
            async with self.gate:
                self.end(await self.outcome(step, always))
        finally:
            done[step.key].set()

    async def outcome(self, step: Step, always: bool) -> Outcome:
        lacking = [key for key in step.after if key in self.outcomes and self.outcomes[key].status != "done"]
        if lacking:
            first = self.outcomes[lacking[0]]
            return Outcome(step, "skipped", because=first.because if first.status == "skipped" else lacking[0])
        if self.stop.reason and not (always and self.stop.reason == INTERRUPTED):
            return Outcome(step, "skipped", because=self.stop.reason)
        self.tell("start", step)
        started = time.monotonic()
        watch = asyncio.create_task(self.watch(step, started))
        try:
            answer = await self.server.send(step, self.answer)
        except (LettaformError, LookupError) as error:
            return Outcome(step, "failed", error=error, seconds=time.monotonic() - started)
        finally:
            watch.cancel()
        if step.op in ("create", "take"):
            self.answers[step.address] = answer
        return Outcome(step, "done", answer, seconds=time.monotonic() - started)

    async def watch(self, step: Step, started: float) -> None:
        """A word now and then about what takes long: a file that is being read, a block that hangs on many agents."""
        while True:
            await asyncio.sleep(PATIENCE)
            self.tell("progress", step, seconds=time.monotonic() - started)

    def answer(self, ref: Ref) -> Any:
        """What a Ref stands for. LookupError if it was not made."""
        answer = self.answers[ref.address]
        return answer.id if ref.path == "id" else answer.values[ref.path]

    def known(self, ref: Ref) -> Any:
        try:
            return self.answer(ref)
        except LookupError:
            return ref

    def recordable(self, step: Step) -> dict[str, Any]:
        """The record's fields, without what was not made, and with what was not deleted."""
        fields = dict(step.fields)
        ids = {address: settle(id, self.known) for address, id in fields.get("ids", {}).items()}
        alive = {
            str(o.step.address): o.step.id
            for o in self.outcomes.values()
            if (o.step.op == "delete" or o.step.member == FORGET) and o.status != "done"
        }
        known = {str(address): id for address, id in self.plan.state.ids.items()}
        ids |= {
            address: id
            for address, id in alive.items()
            if address in known and isinstance(ids.get(address), Ref | None)
        }
        failed = [o.step for o in self.outcomes.values() if o.status != "done"]
        undone = {str(step.address) for step in failed if step.mark is not None or step.op in ("link", "unlink")}
        before = {str(address): mark for address, mark in self.plan.state.marks.items()}
        marks = {a: before.get(a) if a in undone else self.settled(mark) for a, mark in fields.get("marks", {}).items()}
        ids = {address: id for address, id in ids.items() if isinstance(id, str)}
        called = {str(o.step.address) for o in self.outcomes.values() if o.step.op == "call" and o.status == "done"}
        pending = [address for address in fields.get("pending", ()) if address in ids and address not in called]
        born = {str(o.step.address) for o in self.outcomes.values() if o.step.op == "create" and o.status == "done"}
        left = {address: blocks for address, blocks in fields.get("carried_over", {}).items() if address not in born}
        marks = {address: mark for address, mark in marks.items() if mark is not None and address in ids}
        lost = {str(o.step.address) for o in self.outcomes.values() if o.error and _perhaps_made(o.error)}
        intents = {address: name for address, name in fields.get("intents", {}).items() if address in lost}
        return fields | {"ids": ids, "pending": pending, "carried_over": left, "marks": marks, "intents": intents}

    def settled(self, mark: Mark) -> Mark:
        return replace(mark, base=settle(dict(mark.base), self.known))

    def end(self, outcome: Outcome) -> None:
        self.outcomes[outcome.step.key] = outcome
        self.tell(outcome.status, outcome.step, outcome)

    def tell(self, event: Any, step: Step, outcome: Outcome | None = None, seconds: float = 0.0) -> None:
        seconds = outcome.seconds if outcome else seconds
        self.notify(Event(event, step, len(self.outcomes), len(self.plan.steps), seconds, outcome))


def _perhaps_made(error: Exception) -> bool:
    """Whether the server may have acted, for all that is known: unless it refused, or was never reached."""
    if isinstance(error, Unavailable):
        return error.ambiguous
    return isinstance(error, ServerError) and not 400 <= (error.status or 0) < 500


def _shown(value: Any) -> Any:
    return None if isinstance(value, Ref) else value
