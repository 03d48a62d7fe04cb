"""The way back over random worlds: a stack that was given up is imported again, and what agents wrote is pulled."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import PlanError
from lettaform.model import Imported, Plan, PlanOptions, Report
from lettaform.plan.pull import Pull, PullOptions
from tests.machine.draw import NUMBERS, STARTS, examples
from tests.machine.fleet import Spec
from tests.machine.machine import without_mark
from tests.machine.test_restore import World

_EDITS = st.lists(NUMBERS, max_size=5)
SECRET = "sekret-one"


class Imports(World):
    """A world whose stack is given up, and the folder of the manifest that is imported for what lives there."""

    def __init__(self, folder: Path, start: Callable[[], Spec]) -> None:
        super().__init__(folder, start)
        self.out = folder / "out"
        self.variables: dict[str, str] = {}

    def give_up(self) -> None:
        """Forget every object of the stack: then nobody owns it."""
        for address in sorted({a.partition(".memory.")[0] for a in self.machine.ours[self.stack].values()}):
            self.call(lambda source, connection, at=address: flow.state_remove(source, connection, at))

    def real(self, verb: Callable[[flow.Connection], Any]) -> Any:
        """Call a verb that reads the files of a project."""
        through = lambda url, **more: connect(url, **more, transport=self.environment.transport())  # noqa: E731
        with patch.object(flow, "connect", through):
            return verb(flow.Connection(self.environment.url, patience=None))

    @property
    def source(self) -> flow.Source:
        return flow.Source(self.out, variables=self.variables)

    def import_all(self) -> Imported:
        options = flow.ImportOptions("taken", fold=False)
        found: Imported = self.real(lambda at: flow.import_all(at, self.out, options))
        self.variables = {name: "kept22" if "theirs" in name else SECRET for name in found.variables}
        return found

    def plan(self) -> Plan:
        plan: Plan = self.real(lambda at: flow.plan(self.source, at))
        return plan

    def apply(self) -> Report | None:
        report: Report | None = self.real(lambda at: flow.apply(self.source, at, consent=True))[1]
        assert report is None or report.exit_code == 0, [str(each.error) for each in report.of("failed")]
        return report

    def pull(self) -> Pull:
        pull: Pull = self.real(lambda at: flow.pull(self.source, at, PullOptions(drift=True), consent=True))
        return pull

    def unmarked(self) -> dict[str, Any]:
        """All objects without marks and states."""
        objects = self.environment.all_objects()
        return {id: without_mark(body) for id, body in objects.items() if body.get("label") != "lettaform"}


def _shown(plan: Plan) -> dict[tuple[str, str], str]:
    """Address and path of what a plan changes or leaves to agents."""
    changed = ((str(c.address), each.path, c.action) for c in plan.changes for each in c.fields_changed)
    kept = ((str(each.address), each.path, "kept") for each in plan.runtime)
    return {(address, path): action for address, path, action in (*changed, *kept)}


def holds(start: Callable[[], Spec], before: list[list[int]], after: list[list[int]]) -> None:
    """What was given up is adopted again and not changed; what is pulled then is in no plan any more."""
    with tempfile.TemporaryDirectory() as folder:
        world = Imports(Path(folder), start)
        try:
            world.machine.apply_and_check(world.stack, PlanOptions())
            world.edit(before)
            world.give_up()
            living = world.unmarked()
            try:
                found = world.import_all()
            except PlanError as error:
                event(f"nothing to import: {error.message}")
                return
            plan = world.plan()
            wrong = [each for each in plan.changes if each.action not in ("adopt", "mark") or each.fields_changed]
            assert not wrong, [(str(each.address), each.action, each.fields_changed) for each in wrong]
            world.apply()
            assert world.unmarked() == living
            assert not world.plan().steps, [str(each.address) for each in world.plan().changes]
            world.edit(after)
            learned = world.unmarked()
            pull = world.pull()
            left = _shown(world.plan())
            again = {(str(each.address), each.path) for each in pull.pulled} & left.keys()
            assert not again, {each: left[each] for each in again}
            assert world.unmarked() == learned
            assert not world.pull(), "a second pull finds more"
            event(f"{len(pull.pulled)} pulled, {len(found.adopted)} adopted")
        except BaseException as error:
            error.add_note("\n".join(world.log))
            raise


def cases(number: int) -> Callable[[Any], Any]:
    return lambda test: examples(number)(given(start=STARTS, before=_EDITS, after=_EDITS)(test))


@pytest.mark.thorough
@cases(3)
def test_a_stack_that_was_given_up_is_imported_and_what_agents_wrote_is_pulled(
    start: Callable[[], Spec], before: list[list[int]], after: list[list[int]]
) -> None:
    holds(start, before, after)


@pytest.mark.slow
@cases(500)
def test_five_hundred_worlds_are_imported_and_pulled(
    start: Callable[[], Spec], before: list[list[int]], after: list[list[int]]
) -> None:
    holds(start, before, after)
