"""Executing a plan: independent steps run concurrently, dependents of a failed step are skipped, the state is last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from lettaform.address import Address
from lettaform.apply import INTERRUPTED, Stop, apply
from lettaform.errors import ServerError
from lettaform.model import Answer, Event, Plan, Report, State, Step
from lettaform.values import Ref

at = Address.parse


class Fake:
    """A server that fails where it is told to, and remembers what it was sent."""

    requests = 0

    def __init__(self, *failing: str, then: Callable[[Step], None] = lambda step: None) -> None:
        self.failing, self.then = failing, then
        self.sent: list[tuple[str, Any]] = []

    def begin(self, stack: str, known: frozenset[str]) -> None:
        """Nothing to prepare."""

    async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
        self.requests += 1
        await asyncio.sleep(0)
        self.sent.append((step.key, step.fields))
        self.then(step)
        if step.key in self.failing:
            raise ServerError(f"no {step.key}")
        return Answer(f"id-{step.key}")


def step(key: str, *after: str, op: Any = "create", **words: Any) -> Step:
    address = at(key.lstrip("-")) if "." in key else at("stack.state")
    return Step(key, op, address, "block", after=after, **words)


def record(**ids: Any) -> Step:
    fields = {
        "ids": {k.replace("_", "."): v for k, v in ids.items()},
        "marks": {},
        "protected": [],
        "environment": None,
    }
    return Step("record", "record", at("stack.state"), "stack", fields=fields)


def walk(server: Fake, *steps: Step, stop: Stop | None = None, **words: Any) -> tuple[Report, list[Event]]:
    events: list[Event] = []
    plan = Plan("s", "http://x", "0", steps=steps, **words)
    return asyncio.run(apply(plan, server, notify=events.append, stop=stop)), events  # type: ignore[arg-type]


def test_step_waits_for_its_dependencies() -> None:
    server = Fake()
    report, events = walk(server, step("blocks.c", "blocks.b"), step("blocks.b", "blocks.a"), step("blocks.a"))
    assert [key for key, _ in server.sent] == ["blocks.a", "blocks.b", "blocks.c"]
    assert (report.exit_code, report.requests) == (0, 3)
    assert [event.event for event in events] == ["start", "done"] * 3


def test_dependents_of_failed_step_are_skipped_and_others_run() -> None:
    server = Fake("blocks.a")
    steps = (step("blocks.a"), step("blocks.b", "blocks.a"), step("blocks.c", "blocks.b"), step("blocks.d"))
    report, _ = walk(server, *steps)
    assert [(o.step.key, o.status, o.because) for o in report.outcomes] == [
        ("blocks.a", "failed", None),
        ("blocks.b", "skipped", "blocks.a"),
        ("blocks.c", "skipped", "blocks.a"),
        ("blocks.d", "done", None),
    ]
    assert report.exit_code == 5


def test_exit_code_is_1_if_no_step_was_done() -> None:
    assert walk(Fake("blocks.a"), step("blocks.a"))[0].exit_code == 1


def test_state_is_saved_last_with_created_objects_only() -> None:
    server = Fake("blocks.b")
    ids = record(blocks_a=Ref(at("blocks.a")), blocks_b=Ref(at("blocks.b")), blocks_old="id-old")
    walk(server, ids, step("blocks.a"), step("blocks.b"))
    key, fields = server.sent[-1]
    assert key == "record"
    assert fields["ids"] == {"blocks.a": "id-blocks.a", "blocks.old": "id-old"}


def test_object_that_could_not_be_deleted_stays_in_state() -> None:
    server = Fake("-blocks.a")
    before = State({at("blocks.a"): "id-a"})
    walk(server, step("-blocks.a", op="delete", id="id-a"), record(), state=before)
    assert server.sent[-1][1]["ids"] == {"blocks.a": "id-a"}


def test_interrupt_finishes_running_steps_and_saves_state() -> None:
    stop = Stop()

    def interrupt(done: Step) -> None:
        stop.reason = INTERRUPTED

    server = Fake(then=interrupt)
    ids = record(blocks_a=Ref(at("blocks.a")))
    report, _ = walk(server, step("blocks.a"), step("blocks.b", "blocks.a"), ids, stop=stop)
    assert [o.status for o in report.outcomes] == ["done", "skipped", "done"]
    assert server.sent[-1][1]["ids"] == {"blocks.a": "id-blocks.a"}
    assert report.exit_code == 130


def test_state_is_not_saved_without_lock() -> None:
    stop = Stop()
    stop.reason = "the lock was lost"
    server = Fake()
    report, _ = walk(server, step("blocks.a"), record(), stop=stop)
    assert server.sent == []
    assert report.exit_code == 1


def test_outputs_are_reported_once_known() -> None:
    report, _ = walk(Fake(), step("blocks.a"), outputs={"a": Ref(at("blocks.a")), "b": Ref(at("blocks.gone")), "c": 3})
    assert report.outputs == {"a": "id-blocks.a", "b": None, "c": 3}


def test_long_step_reports_progress_periodically(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.apply.PATIENCE", 0.01)

    class Slow(Fake):
        async def send(self, step: Step, answer: Callable[[Ref], Any]) -> Answer:
            await asyncio.sleep(0.1 if step.key == "blocks.slow" else 0)
            return await super().send(step, answer)

    _, events = walk(Slow(), step("blocks.slow"), step("blocks.fast"))
    said = [(event.step.key, event.seconds) for event in events if event.event == "progress"]
    assert {key for key, _ in said} == {"blocks.slow"}
    assert len(said) >= 2
    assert [seconds for _, seconds in said] == sorted(seconds for _, seconds in said)
    assert events[-1].event == "done"


def test_step_after_failed_step_runs_if_it_only_waits_for_its_end() -> None:
    server = Fake("blocks.a")
    report, _ = walk(server, step("blocks.a"), step("blocks.b", behind=("blocks.a",)))
    assert [outcome.status for outcome in report.outcomes] == ["failed", "done"]
    assert [key for key, _ in server.sent] == ["blocks.a", "blocks.b"]
