"""Carrying out a plan: what depends on a failure is skipped and named, and the state is saved last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.apply import INTERRUPTED, LOCK_LOST, Stop, apply
from lettaform.errors import PlanError, ServerError
from lettaform.model import Answer, Create, Delete, Event, Plan, Report, SaveState, State, Step
from lettaform.values import Ref

at = Address.parse


class Fake:
    """A server that fails at chosen steps, and keeps what it received."""

    requests = 0

    def __init__(self, *failing: str, then: Callable[[Step], None] = lambda step: None) -> None:
        self.failing, self.then = failing, then
        self.sent: list[tuple[str, Any]] = []

    def begin(self, stack: str, known: frozenset[str]) -> None:
        """Nothing to prepare."""

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        self.requests += 1
        await asyncio.sleep(0)
        self.sent.append((step.key, getattr(step, "state", None)))
        self.then(step)
        if step.key in self.failing:
            raise ServerError(f"no {step.key}")
        return Answer(f"id-{step.key}")


def create(key: str, *after: str, **words: Any) -> Create:
    return Create(key, at(key), "block", after=after, **words)


def delete(key: str, id: str) -> Delete:
    return Delete(f"-{key}", at(key), "block", id=id)


def save(**ids: str) -> SaveState:
    state = State({at(key.replace("_", ".")): id for key, id in ids.items()}, key="k")
    created = frozenset({at("blocks.a"), at("blocks.b")})
    return SaveState("state", at("stack.state"), "stack", state=state, last=True, created=created)


def walk(server: Fake, *steps: Step, stop: Stop | None = None, **words: Any) -> tuple[Report, list[Event]]:
    events: list[Event] = []
    plan = Plan("s", "http://x", "0", steps=steps, **words)
    return asyncio.run(apply(plan, server, notify=events.append, stop=stop)), events  # type: ignore[arg-type]


def test_step_waits_for_its_dependencies() -> None:
    server = Fake()
    report, events = walk(server, create("blocks.c", "blocks.b"), create("blocks.b", "blocks.a"), create("blocks.a"))
    assert [key for key, _ in server.sent] == ["blocks.a", "blocks.b", "blocks.c"]
    assert (report.exit_code, report.requests) == (0, 3)
    assert [event.event for event in events] == ["start", "done"] * 3


def test_dependents_of_failed_step_are_skipped_and_others_run() -> None:
    server = Fake("blocks.a")
    steps = (create("blocks.a"), create("blocks.b", "blocks.a"), create("blocks.c", "blocks.b"), create("blocks.d"))
    report, _ = walk(server, *steps)
    assert [(o.step.key, o.status, o.because) for o in report.outcomes] == [
        ("blocks.a", "failed", None),
        ("blocks.b", "skipped", "blocks.a"),
        ("blocks.c", "skipped", "blocks.a"),
        ("blocks.d", "done", None),
    ]
    assert report.exit_code == 5


def test_exit_code_is_1_if_no_step_was_done() -> None:
    assert walk(Fake("blocks.a"), create("blocks.a"))[0].exit_code == 1


def saved(server: Fake) -> dict[str, str]:
    """The ids in the state that was sent last."""
    key, state = server.sent[-1]
    assert key == "state"
    return {str(address): id for address, id in state.ids.items()}


def test_state_is_saved_last_with_created_objects_only() -> None:
    server = Fake("blocks.b")
    walk(server, create("blocks.a"), create("blocks.b"), save(blocks_old="id-old"))
    assert saved(server) == {"blocks.a": "id-blocks.a", "blocks.old": "id-old"}


def test_object_that_could_not_be_deleted_stays_in_state() -> None:
    server = Fake("-blocks.a")
    walk(server, delete("blocks.a", "id-a"), save(), state=State({at("blocks.a"): "id-a"}))
    assert saved(server) == {"blocks.a": "id-a"}


def test_interrupt_finishes_running_steps_and_saves_state() -> None:
    stop = Stop()

    def interrupt(done: Step) -> None:
        stop.reason = INTERRUPTED

    server = Fake(then=interrupt)
    report, _ = walk(server, create("blocks.a"), create("blocks.b", "blocks.a"), save(), stop=stop)
    assert [o.status for o in report.outcomes] == ["done", "skipped", "done"]
    assert saved(server) == {"blocks.a": "id-blocks.a"}
    assert report.exit_code == 130


def test_state_is_not_saved_without_lock() -> None:
    stop = Stop()
    stop.reason = LOCK_LOST
    server = Fake()
    report, _ = walk(server, create("blocks.a"), save(), stop=stop)
    assert server.sent == []
    assert report.exit_code == 1


def test_state_is_kept_while_objects_of_stack_remain() -> None:
    last = SaveState("state", at("stack.state"), "stack", state=None, last=True)
    report, _ = walk(Fake("-blocks.a"), delete("blocks.a", "id-a"), last)
    assert report.outcomes[-1].because == "objects of the stack remain"
    assert walk(Fake(), delete("blocks.a", "id-a"), last)[0].exit_code == 0


@pytest.mark.parametrize("when", ["start", "done"])
def test_failing_notify_does_not_lose_state(when: str) -> None:
    def notify(event: Event) -> None:
        if event.event == when and event.step.key == "blocks.a":
            raise ValueError("a broken pipe")

    server, steps = Fake(), (create("blocks.a"), create("blocks.b", "blocks.a"), save())
    with pytest.raises(ValueError, match="a broken pipe"):
        asyncio.run(apply(Plan("s", "http://x", "0", steps=steps), server, notify=notify))  # type: ignore[arg-type]
    assert [key for key, _ in server.sent] == ["blocks.a", "state"]
    assert saved(server) == {"blocks.a": "id-blocks.a"}


def test_unexpected_error_of_step_does_not_lose_state() -> None:
    def fail(step: Step) -> None:
        if step.key == "blocks.b":
            raise ValueError("a bug")

    server = Fake(then=fail)
    with pytest.raises(ValueError, match="a bug"):
        walk(server, create("blocks.a"), create("blocks.b", "blocks.a"), save())
    assert saved(server) == {"blocks.a": "id-blocks.a"}


def test_cancelled_apply_saves_state_with_intent_of_running_step() -> None:
    class Hanging(Fake):
        async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
            if step.key == "identities.b":
                await asyncio.sleep(60)
            return await super().send(step, answer)

    server, last = Hanging(), save()
    assert last.state is not None
    intents = {at("identities.b"): "B", at("identities.c"): "C"}
    last = replace(last, state=replace(last.state, intents=intents))
    plan = Plan(
        "s",
        "http://x",
        "0",
        steps=(create("blocks.a"), create("identities.b"), create("identities.c", "identities.b"), last),
    )

    async def run() -> None:
        task = asyncio.create_task(apply(plan, server))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert saved(server) == {"blocks.a": "id-blocks.a"}
    assert server.sent[-1][1].intents == {at("identities.b"): "B"}


def test_step_behind_barrier_is_skipped_if_a_dependency_failed() -> None:
    steps = (create("blocks.a"), create("blocks.b"), create("blocks.c", "all"), create("blocks.d", "none"))
    barriers = {"all": ("blocks.a", "blocks.b"), "none": ("blocks.b",)}
    report, _ = walk(Fake("blocks.a"), *steps, barriers=barriers)
    assert [(o.status, o.because) for o in report.outcomes] == [
        ("failed", None),
        ("done", None),
        ("skipped", "blocks.a"),
        ("done", None),
    ]


def test_cycle_of_steps_is_refused_before_any_request() -> None:
    server = Fake()
    with pytest.raises(PlanError, match=r"blocks.a → blocks.b → blocks.a|blocks.b → blocks.a → blocks.b"):
        walk(server, create("blocks.a", "blocks.b"), create("blocks.b", "blocks.a"), save())
    assert server.sent == []


def test_outputs_are_reported_once_known() -> None:
    report, _ = walk(
        Fake(), create("blocks.a"), outputs={"a": Ref(at("blocks.a")), "b": Ref(at("blocks.gone")), "c": 3}
    )
    assert report.outputs == {"a": "id-blocks.a", "b": None, "c": 3}


def test_long_step_reports_progress_periodically(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.apply.PATIENCE", 0.01)

    class Slow(Fake):
        async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
            await asyncio.sleep(0.1 if step.key == "blocks.slow" else 0)
            return await super().send(step, answer)

    _, events = walk(Slow(), create("blocks.slow"), create("blocks.fast"))
    progress = [(event.step.key, event.seconds) for event in events if event.event == "progress"]
    assert {key for key, _ in progress} == {"blocks.slow"}
    assert len(progress) >= 2
    assert [seconds for _, seconds in progress] == sorted(seconds for _, seconds in progress)
    assert events[-1].event == "done"


def test_step_after_failed_step_runs_if_it_only_waits_for_its_end() -> None:
    server = Fake("blocks.a")
    report, _ = walk(server, create("blocks.a"), create("blocks.b", after_end=("blocks.a",)))
    assert [outcome.status for outcome in report.outcomes] == ["failed", "done"]
    assert [key for key, _ in server.sent] == ["blocks.a", "blocks.b"]
