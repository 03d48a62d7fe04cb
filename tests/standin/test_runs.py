"""The history of a stack: which runs changed it, and which of them last wrote an object."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lettaform import flow
from lettaform.cli import cli
from lettaform.model import Applied
from tests.live.fleet import Fleet
from tests.standin import StandIn
from tests.standin.server import serve

pytestmark = pytest.mark.thorough

ONE = "agents: {a: {memory: {m: x}}}\nblocks: {b: {value: v}}\n"
TWO = ONE.replace("value: v", "value: w, policy: {value: enforce}")


def history(fleet: Fleet) -> tuple[Applied, ...]:
    return flow.history(fleet.source, fleet.connection)


def run(fleet: Fleet, *words: str) -> Result:
    return CliRunner().invoke(cli, ["-C", str(fleet.folder), "--server", fleet.connection.url or "", *words])


def check(fleet: Fleet) -> None:
    """A history from the first run to `destroy`, with what `show` says of it."""
    fleet.write(ONE)
    assert history(fleet) == ()
    fleet.apply()
    fleet.write(TWO)
    fleet.apply()
    second, first = history(fleet)
    assert (first.verb, first.changes, first.failed) == ("apply", {"create": 3}, 0)
    assert (second.verb, second.changes) == ("apply", {"update": 1})
    assert first.serial < second.serial
    assert len(first.digest) == 64
    assert first.digest != second.digest
    lives = {str(live.address): live for live in flow.show(fleet.source, fleet.connection).objects}
    assert lives["blocks.b"].applied == second
    assert lives["agents.a"].applied == lives["agents.a.memory.m"].applied == first
    assert f"last written by run {second.serial}, apply, " in run(fleet, "show", "blocks.b").stdout
    flow.state_move(fleet.source, fleet.connection, "blocks.b", "blocks.c")
    assert history(fleet)[0].verb == "state mv"
    shown = run(fleet, "history", "-n", "2")
    assert [line.split()[0] for line in shown.stdout.splitlines()] == [str(second.serial + 1), str(second.serial)]
    assert "1 changed" in shown.stdout
    listed = json.loads(run(fleet, "--json", "history").stdout)["runs"]
    assert [each["verb"] for each in listed] == ["state mv", "apply", "apply"]
    flow.apply(fleet.source, fleet.connection, flow.PlanOptions(destroy=True, allow_destroy=("*",)), consent=True)
    assert history(fleet) == ()
    assert "nothing has been applied to it" in run(fleet, "history").stdout


def test_runs_are_kept_on_the_stand_in(tmp_path: Path) -> None:
    with serve(StandIn()) as url:
        check(Fleet(url, "letta/letta-free", "letta/letta-free", None, tmp_path, "t-runs"))


def test_a_plan_without_changes_adds_no_run(tmp_path: Path) -> None:
    with serve(StandIn()) as url:
        fleet = Fleet(url, "letta/letta-free", "letta/letta-free", None, tmp_path, "t-runs")
        fleet.write(ONE)
        fleet.apply()
        before = history(fleet)
        flow.apply(fleet.source, fleet.connection, consent=True)
        assert history(fleet) == before


def test_a_partly_failed_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lettaform.backend.v1.send import Sender
    from lettaform.errors import ServerError

    send = Sender._create

    async def refused(self: Sender, step: object, answer: object) -> object:
        if str(getattr(step, "address", "")) == "blocks.b":
            raise ServerError("refused", status=400)
        return await send(self, step, answer)  # type: ignore[arg-type]

    with serve(StandIn()) as url:
        fleet = Fleet(url, "letta/letta-free", "letta/letta-free", None, tmp_path, "t-runs")
        fleet.write(ONE)
        with monkeypatch.context() as patch:
            patch.setattr(Sender, "_create", refused)
            flow.apply(fleet.source, fleet.connection, consent=True)
        (only,) = history(fleet)
        assert (only.failed, only.changes) == (1, {"create": 2})
        assert "1 step failed" in run(fleet, "history").stdout
