"""The events of an apply as an iterator: all of them, errors at the end, an early end."""

from __future__ import annotations

import asyncio
import threading
from contextlib import aclosing

import pytest

import lettaform
from lettaform.errors import ManifestError
from tests.api.conftest import MANY, Served, World

pytestmark = pytest.mark.thorough


def test_every_event_and_then_the_result(world: World) -> None:
    world.write()
    stack = world.load()
    run = stack.applying(stack.plan())
    assert (run.result, world.labels) == (None, [])  # nothing begins before the iteration
    events = [(event.event, event.finished, event.total) for event in run]
    assert [name for name, _, _ in events].count("done") == events[-1][2] == 3
    assert events[-1] == ("done", 3, 3)
    assert run.result is not None
    assert run.result.changed
    with pytest.raises(RuntimeError, match="this can be iterated once"):
        iter(run).__next__()


def test_errors_are_raised_at_the_end(world: World) -> None:
    world.write()
    world.refuse("c")
    run, seen = world.load().applying(consent=True), list[str]()
    with pytest.raises(lettaform.Failed):
        seen.extend(event.event for event in run)
    assert "failed" in seen
    assert run.result is None


def test_an_error_before_the_first_event_is_raised(world: World) -> None:
    world.write()
    run = world.load().applying(consent=True)
    world.write("stack: s\nblcks: {}\n")
    with pytest.raises(ManifestError):
        list(run)


def test_leaving_the_loop_early_cancels_the_apply(served: Served) -> None:
    served.answer_slowly()
    stack, threads = served.load(MANY), threading.active_count()
    for event in stack.applying(consent=True, parallel=1):
        if event.event == "done":
            break
    assert threading.active_count() <= threads + 1  # that of the stand-in
    assert 0 < len(served.labels) < 8
    assert stack.apply(consent=True).changed  # the lock is released
    assert len(served.labels) == 8


def test_the_same_for_async_programs(served: Served) -> None:
    served.answer_slowly()

    async def main() -> None:
        stack = served.load(MANY).aio
        events = stack.applying(consent=True, parallel=1)
        async with aclosing(aiter(events)) as each:
            async for event in each:
                if event.event == "done":
                    break
        assert events.result is None
        assert 0 < len(served.labels) < 8
        again = stack.applying(await stack.plan())
        assert "done" in [event.event async for event in again]
        assert again.result is not None
        assert again.result.changed

    asyncio.run(main())
    assert len(served.labels) == 8
