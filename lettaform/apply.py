"""A Plan to a Report: carry out the Steps in parallel, as far as their order allows. It decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

from lettaform.address import Address
from lettaform.backend import Backend
from lettaform.errors import LettaformError, Unavailable
from lettaform.model import (
    Answer,
    Applied,
    Create,
    Discover,
    Event,
    Outcome,
    Plan,
    Report,
    SaveState,
    Step,
    answered,
    carried_out,
)
from lettaform.ownership.state import after, recorded
from lettaform.plan.order import sorter
from lettaform.values import Ref, settle

Notify = Callable[[Event], None]
INTERRUPTED = "interrupted"
LOCK_LOST = "the lock was lost"
FAULT = "an unexpected error"
PATIENCE = 10.0
"""Seconds between two progress events of a running step."""


class Stop:
    """Tells an apply to begin no further step. `reason`: why; None: it continues."""

    reason: str | None = None


async def apply(
    plan: Plan,
    server: Backend,
    *,
    known: frozenset[str] = frozenset(),
    parallel: int = 8,
    notify: Notify = lambda event: None,
    stop: Stop | None = None,
    run: Applied | None = None,
) -> Report:
    """Carry out every Step whose predecessors succeed.

    known     ids of objects that have the mark of the stack already
    parallel  maximum number of steps at the same time
    notify    called with each Event
    run       what the history of the stack keeps of this apply; its time, changes and failures are added
    stop      once it has a reason, no further step begins; running steps are finished, and the state is saved, unless
              the lock was lost

    Errors of steps are in the Report. Any other error, also one of `notify`, stops the apply in the same way and is
    raised at the end. A cancelled apply saves the state, too. Raises PlanError, before anything is sent, if steps wait
    for each other.
    """
    started, before = time.monotonic(), server.requests
    walk = _Walk(plan, server, asyncio.Semaphore(parallel), notify, stop or Stop(), run)
    server.begin(plan.stack, known)
    await walk.run()
    outcomes = tuple(walk.outcomes[step.key] for step in plan.steps)
    outputs = {name: _shown(settle(value, walk.known)) for name, value in plan.outputs.items()}
    seconds = time.monotonic() - started
    return Report(outcomes, server.requests - before, seconds, outputs, walk.stop.reason == INTERRUPTED)


class _Walk:
    def __init__(
        self, plan: Plan, server: Backend, gate: asyncio.Semaphore, notify: Notify, stop: Stop, run: Applied | None
    ) -> None:
        self.plan, self.server, self.gate, self.notify, self.stop, self.applied = plan, server, gate, notify, stop, run
        self.steps = {step.key: step for step in plan.steps if not _is_last(step)}
        self.last = [step for step in plan.steps if isinstance(step, SaveState) and step.last]
        self.graph = sorter(self.steps.values(), plan.barriers)
        self.outcomes: dict[str, Outcome] = {}
        self.begun: set[str] = set()
        self.blocked: dict[str, str] = {}
        """Key of each step and barrier that did not succeed, to the key of the step that failed, or another reason."""
        self.answers: dict[Address, Answer] = {}
        self.fault: Exception | None = None

    async def run(self) -> None:
        """Every step waits only for its own predecessors. The state is saved last, also after errors."""
        try:
            await self.walk()
        finally:
            # steps without an outcome, after a cancellation
            for step in self.steps.values():
                if step.key not in self.outcomes:
                    self.end(_unfinished(step, step.key in self.begun))
            for save in self.last:
                await self.save(save)
        if self.fault is not None:
            raise self.fault

    async def walk(self) -> None:
        ended: asyncio.Queue[str] = asyncio.Queue()
        async with asyncio.TaskGroup() as group:
            while self.graph.is_active():
                for key in self.graph.get_ready():
                    if key in self.steps:
                        group.create_task(self.one(self.steps[key], ended))
                    else:
                        self.block(key, self.plan.barriers[key])
                        ended.put_nowait(key)
                self.graph.done(await ended.get())

    async def one(self, step: Step, ended: asyncio.Queue[str]) -> None:
        async with self.gate:
            self.block(step.key, step.after)
            self.end(await self.outcome(step, self.blocked.get(step.key) or self.stop.reason))
        ended.put_nowait(step.key)

    def block(self, key: str, after: tuple[str, ...]) -> None:
        """Note what keeps a step or barrier from succeeding."""
        because = next((self.blocked[each] for each in after if each in self.blocked), None)
        if because is not None:
            self.blocked[key] = because

    async def save(self, step: SaveState) -> None:
        """Write the state, corrected by the outcomes. It is not deleted while objects of the stack may remain."""
        stopped = self.stop.reason if self.stop.reason not in (None, INTERRUPTED, FAULT) else None
        if stopped is None and step.state is None and any(each.status != "done" for each in self.outcomes.values()):
            stopped = "objects of the stack remain"
        outcomes = self.outcomes.values()
        now = step.state and after(step.state, self.plan.state, outcomes, step.created)
        if now and self.applied:
            now = recorded(now, self.ended(self.applied), outcomes, step.shard)
        outcome = await self.outcome(replace(step, state=now), stopped)
        self.end(replace(outcome, step=step))

    def ended(self, run: Applied) -> Applied:
        """The run, with its time and what it did so far."""
        changes = Counter[str](change.action for change in carried_out(self.plan.changes, self.outcomes.values()))
        failed = sum(each.status != "done" for each in self.outcomes.values())
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return replace(run, at=now, changes=dict(changes), failed=failed)

    async def outcome(self, step: Step, stopped: str | None) -> Outcome:
        if stopped is not None:
            return Outcome(step, "skipped", because=stopped)
        self.begun.add(step.key)
        self.emit("start", step)
        started = time.monotonic()
        watch = asyncio.create_task(self.watch(step, started))
        try:
            answer = await self.server.send(step, self.answer)
        except (LettaformError, LookupError) as error:
            if isinstance(error, LettaformError):
                error.problems = tuple(map(self.plan.located, error.problems))
            return Outcome(step, "failed", error=error, seconds=time.monotonic() - started)
        except Exception as error:
            self.fail(error)
            return replace(_unfinished(step, begun=True), seconds=time.monotonic() - started)
        finally:
            watch.cancel()
        if isinstance(step, Create | Discover):
            self.answers[step.address] = answer
        return Outcome(step, "done", answer, seconds=time.monotonic() - started)

    async def watch(self, step: Step, started: float) -> None:
        """Emit progress events for slow steps: a file that the server reads, a block that many agents have."""
        while True:
            await asyncio.sleep(PATIENCE)
            self.emit("progress", step, seconds=time.monotonic() - started)

    def answer(self, ref: Ref) -> Any:
        """The value of a Ref. LookupError if its object was not created."""
        return answered(ref, self.answers)

    def known(self, ref: Ref) -> Any:
        try:
            return self.answer(ref)
        except LookupError:
            return ref

    def end(self, outcome: Outcome) -> None:
        key = outcome.step.key
        self.outcomes[key] = outcome
        if outcome.status != "done":
            self.blocked[key] = outcome.because or key
        self.emit(outcome.status, outcome.step, outcome)

    def emit(
        self,
        event: Literal["start", "done", "failed", "skipped", "progress"],
        step: Step,
        outcome: Outcome | None = None,
        seconds: float = 0.0,
    ) -> None:
        seconds = outcome.seconds if outcome else seconds
        try:
            self.notify(Event(event, step, len(self.outcomes), len(self.plan.steps), seconds, outcome))
        except Exception as error:  # an error of the observer must not prevent saving the state
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Stop the apply; the first such error is raised at the end."""
        self.fault = self.fault or error
        self.stop.reason = self.stop.reason or FAULT


def _is_last(step: Step) -> bool:
    return isinstance(step, SaveState) and step.last


def _unfinished(step: Step, begun: bool) -> Outcome:
    """The outcome of a step that was not finished. If it was begun, the server may have carried it out."""
    if not begun:
        return Outcome(step, "skipped", because=INTERRUPTED)
    error = Unavailable(f"{step.address}: ended before the server answered", "apply again")
    error.ambiguous = True
    return Outcome(step, "failed", error=error)


def _shown(value: Any) -> Any:
    return None if isinstance(value, Ref) else value
