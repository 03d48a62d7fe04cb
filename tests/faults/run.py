"""One run of lettaform against a stand-in under a fault: what it does, what it prints, and what the server then has."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import httpx

from lettaform import flow
from lettaform.backend import connect
from lettaform.errors import LettaformError
from lettaform.manifest import Draft
from lettaform.model import Event, Manifest, Plan, PlanOptions, Report
from lettaform.render import data, text
from lettaform.session import snapshots
from tests.faults.clock import Clock
from tests.faults.fleet import Phase, all_objects, comparable
from tests.faults.harness import FaultyTransport, Killed
from tests.live.fleet import READ_ONLY_POSTS
from tests.standin import StandIn

LATENCY = 0.05
"""Maximum seconds of an exchange."""
BEGIN = flow.begin
"""The real reader, of manifests in files."""


class Wrong(Exception):
    """A promise that is not kept."""


class Run:
    """lettaform, a stand-in and a clock."""

    def __init__(self, standin: StandIn, manifest: Manifest, options: PlanOptions, faulty: FaultyTransport) -> None:
        self.standin, self.manifest, self.options, self.faulty = standin, manifest, options, faulty
        self.clock = Clock()
        self.output: list[str] = []
        self.sent: list[str] = []
        self.is_ignored: Callable[[dict[str, Any]], bool] = lambda block: False
        """Which blocks the comparison ignores."""

    @contextmanager
    def here(self) -> Iterator[flow.Source]:
        with (
            tempfile.TemporaryDirectory() as folder,
            self.clock.running(),
            mock.patch.object(flow, "begin", return_value=Draft(None, lambda: self.manifest)),
            mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=self.faulty)),
            mock.patch("lettaform.ownership.state.token_hex", lambda size: "00" * size),
            # the clock would move on, and the lock be renewed, while a thread writes a file
            mock.patch.object(sys.modules["lettaform.snapshot.take"], "in_thread", _at_once),
            mock.patch.object(snapshots, "in_thread", _at_once),
            mock.patch.object(snapshots, "commit_of", return_value=None),
            mock.patch("lettaform.snapshot.folder.os.fsync"),
        ):
            yield flow.Source(Path(folder))

    @contextmanager
    def from_files(self) -> Iterator[None]:
        """Inside of `here`: manifests are read from their files."""
        with mock.patch.object(flow, "begin", BEGIN):
            yield

    @property
    def connection(self) -> flow.Connection:
        return flow.Connection("http://stand.in", trace=self.output.append)

    def apply(self) -> Report | None:
        def record_event(event: Event) -> None:
            self.output.append(data.dumps(data.event(event)))

        with self.here() as source:
            plan, report = self.carry_out(source, record_event)
        self.sent = list(self.faulty.shapes)
        if plan is None:
            return None
        self.output += [repr(data.plan_event(plan)), text.plan(plan, verbose=True)]
        if report:
            self.output += [data.dumps(data.summary(report)), text.report(plan, report)]
        return report

    def carry_out(self, source: flow.Source, notify: flow.Notify) -> tuple[Plan | None, Report | None]:
        """Do what the run is about, with one function of `flow`."""
        return flow.apply(source, self.connection, self.options, notify=notify, consent=True)

    def given_up(self, manifest: Manifest, options: PlanOptions) -> Run:
        """Another run of the same process, for people who give up: an apply of another manifest."""
        run = Run(self.standin, manifest, options, self.faulty)
        run.clock, run.output = self.clock, self.output
        return run

    def plan(self) -> Plan:
        with self.here() as source:
            return flow.plan(source, self.connection, self.options)

    def apply_with_fault(self, *, must: bool = True) -> None:
        """Apply with the fault: a report, a LettaformError, or a kill. `must`: the fault has to occur."""
        try:
            self.apply()
        except LettaformError as error:
            self.output.append(f"{error!r} {error} {error.hint}")
        except (Killed, BaseExceptionGroup) as error:
            if not (self.faulty.killed and _only_killed(error)):
                raise Wrong(f"the first apply broke: {error!r}") from error
        except Exception as error:
            raise Wrong(f"the first apply broke: {error!r}") from error
        if must and self.faulty.triggered is None:
            raise Wrong(f"only {len(self.faulty.shapes)} requests were sent")
        self.faulty.revive()

    def apply_again(self) -> None:
        """Apply again without faults: nothing fails."""
        try:
            report = self.apply()
        except Exception as error:
            raise Wrong(f"the second apply: {error!r} {getattr(error, 'problems', '')}") from error
        if report is not None and report.exit_code != 0:
            raise Wrong(f"the second apply: {[(o.step.key, str(o.error)) for o in report.of('failed')]}")
        self.clock.run(self.faulty.settle())
        if any(
            "lettaform:lock" in each["identifier_key"] for each in self.standin.tables.identities.values()
        ):  # the lock of a killed run, sent after everything else; the next apply removes it
            self.apply()

    def assert_no_changes(self) -> None:
        """Assert that the plan is empty and that planning wrote nothing."""
        before = len(self.standin.writes)
        plan = self.plan()
        if plan:
            changes = [(c.action, str(c.address), c.reason, [d.path for d in c.fields_changed]) for c in plan.changes]
            raise Wrong(f"the plan is not empty: {changes} {[step.key for step in plan.steps]}")
        if [entry for entry in self.standin.writes[before:] if not entry[1].endswith(READ_ONLY_POSTS)]:
            raise Wrong("planning wrote")

    @property
    def raw(self) -> httpx.Client:
        return httpx.Client(
            transport=self.standin, base_url="http://stand.in", headers={"User-Agent": "other-client/1"}
        )

    def everything(self) -> dict[str, Any]:
        """What has to be equal at the end of an interrupted run and of an undisturbed one."""
        return self.snapshot()

    def snapshot(self) -> dict[str, Any]:
        """All objects on the server, and the prompts that models see."""
        there = all_objects(self.raw)
        found = comparable({**there, "blocks": [block for block in there["blocks"] if not self.is_ignored(block)]})
        prompts = {
            (a["name"], "\n".join(sorted(a["_compiled"].splitlines()))) for a in self.standin.tables.agents.values()
        }
        return found | {"prompts": sorted(prompts)}

    def write(self, phase: Phase) -> None:
        """Write what agents write while they run."""
        for address, value in phase.agent_writes:
            (block,) = [b for b in self.standin.tables.blocks.values() if f"lettaform:addr={address}" in b["tags"]]
            self.raw.patch(f"/v1/blocks/{block['id']}", json={"value": value}).raise_for_status()


async def _at_once(work: Callable[..., Any], *arguments: Any) -> Any:
    return work(*arguments)


def _only_killed(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):
        return all(map(_only_killed, error.exceptions))
    return isinstance(error, Killed)
