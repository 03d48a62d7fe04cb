"""The methods for async programs: the same as those of a Stack, without blocking the event loop."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest

import lettaform
from lettaform.api.aio import AsyncStack
from tests.api.conftest import MANY, Served, World

pytestmark = pytest.mark.thorough


def methods(of: type) -> dict[str, object]:
    return {name: each for name, each in vars(of).items() if inspect.isfunction(each) and not name.startswith("_")}


def test_the_twin_has_every_method_with_the_same_parameters() -> None:
    ours, twins = methods(lettaform.Stack), methods(AsyncStack)
    assert ours.keys() == twins.keys()
    for name, method in ours.items():
        one, other = inspect.signature(method), inspect.signature(twins[name])  # type: ignore[arg-type]
        assert one.parameters.keys() == other.parameters.keys()
        assert [each.kind for each in one.parameters.values()] == [each.kind for each in other.parameters.values()]
        iterates = one.return_annotation in ("Applying", "Sending")
        assert other.return_annotation == f"{'Async' if iterates else ''}{one.return_annotation}"
        assert inspect.getdoc(method) == inspect.getdoc(twins[name])


def test_plan_apply_status_and_destroy(world: World) -> None:
    world.write()

    async def main() -> None:
        stack = world.load().aio
        plan = await stack.plan()
        assert (await stack.apply(plan)).changed
        assert len((await stack.status()).objects) == 2
        with pytest.raises(lettaform.Stale):
            await stack.apply(plan)
        with pytest.raises(TypeError, match="consent"):
            await stack.apply()  # type: ignore[call-overload]
        assert (await stack.destroy(consent=True)).changed

    asyncio.run(main())
    assert world.labels == []


def test_the_event_loop_goes_on_and_several_run_at_once(world: World) -> None:
    met = threading.Barrier(4, timeout=5)

    async def one(name: str) -> bool:
        def consent(plan: lettaform.Plan) -> bool:
            met.wait()  # all four applies are under way
            return True

        stack = world.load({"blocks": {name: {"value": "x"}}}, stack=name).aio
        return (await stack.apply(consent=consent)).changed

    async def main() -> list[bool]:
        return await asyncio.gather(*(one(f"s{number}") for number in range(4)))

    assert asyncio.run(main()) == [True] * 4


def test_a_cancelled_task_begins_no_other_step_and_releases_the_lock(served: Served) -> None:
    served.answer_slowly()

    async def main() -> None:
        stack = served.load(MANY).aio
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stack.apply(consent=True, parallel=1), 0.8)
        assert len(served.labels) < 8
        assert (await stack.apply(consent=True)).changed

    asyncio.run(main())
    assert len(served.labels) == 8


def test_blocking_methods_work_where_an_event_loop_runs(world: World) -> None:
    world.write()

    async def main() -> bool:
        return world.load().apply(consent=True).changed

    assert asyncio.run(main())
