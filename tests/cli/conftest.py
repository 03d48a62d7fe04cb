"""A fake of lettaform.flow that returns what a test sets and records its calls."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import lettaform
from lettaform.address import Address
from lettaform.cli import cli
from lettaform.errors import Problem, SnapshotError
from lettaform.flow import (
    CanaryOptions,
    CheckOptions,
    Compared,
    Connection,
    ImportOptions,
    Pull,
    PullOptions,
    Search,
    Searched,
    SnapshotDiff,
    Snapshots,
    Source,
    StackStatus,
    StatusOptions,
)
from lettaform.manifest.formatted import Formatted, format_text
from lettaform.manifest.graph import Graph, Node
from lettaform.manifest.rendered import Rendered
from lettaform.model import (
    WHOLE,
    AgentImport,
    Answer,
    Applied,
    Change,
    Checked,
    Create,
    Event,
    FieldChange,
    Imported,
    Live,
    Lock,
    Outcome,
    Passage,
    Plan,
    PlanOptions,
    Report,
    Shard,
    VendoredComponent,
    Vendoring,
    Verified,
)
from lettaform.ownership.audit import Audit
from lettaform.plan.drift import Drift, ObjectDrift, Shown
from lettaform.plan.memory import MemoryReport
from lettaform.plan.pull import LiveValue
from lettaform.plan.status import Memory, ObjectStatus
from lettaform.session.duplicate import Duplicated
from lettaform.snapshot import Entry, Header, Snapshot
from lettaform.snapshot.agent_file_export import Exported

at = Address.read


def a_plan(*, empty: bool = False, **words: Any) -> Plan:
    address = at("agents.a")
    change = Change(address, "agent", "create", fields_changed=(FieldChange("name", None, "a"),))
    steps = (Create("agents.a", address, "agent"),)
    full: dict[str, Any] = {} if empty else {"changes": (change,), "steps": steps}
    return Plan("support", "http://here", "0.16.8", **full, **words)


def a_pull(**words: Any) -> Pull:
    value = LiveValue(at("blocks.a"), "value", "x", "y", "pull")
    return Pull("support", "http://here", "0.16.8", pulled=(value,), files={"a.yaml": ("a: x\n", "a: y\n")}, **words)


def a_drift(*, empty: bool = False, **words: Any) -> Drift:
    change = FieldChange("description", "x", "y", reason="drift")
    each = ObjectDrift(at("blocks.a"), "block", "block-1", written_back=(change,))
    return Drift("support", "http://here", "0.16.8", compared=3, objects=() if empty else (each,), **words)


def a_snapshot(without_messages: str = "") -> Snapshot:
    live = Live(
        "block", "block-1", "team", {"label": "team", "value": "Ann"}, address=at("blocks.team"), stack="support"
    )
    header = Header("support", "2026-11-27T08:00:00.000000Z", "http://here", "0.16.8", "0.1.0")
    return Snapshot(header, None, (Entry(live, without_messages=without_messages),))


def a_status(*keys: str, **words: Any) -> StackStatus:
    objects = tuple(
        ObjectStatus(at(f"agents.{key}"), "agent", f"agent-{key}", key, "ok", memory=Memory(7, 100)) for key in keys
    )
    return StackStatus("support", "http://here", "0.16.8", objects=objects, total=len(objects), **words)


_STATE = ("state_list", "state_move", "state_remove", "state_rebuild")
_SNAPSHOTS = ("create", "directory", "find", "list", "read", "objects", "verify", "diff")
_OTHERS = (*_STATE, *(f"snapshot_{each}" for each in _SNAPSHOTS))
_AGENT_FILES = ("from_agent_files", "from_lettactl", "import_agent_file", "export")
_FILES = ("fmt", "fmt_text", "graph", "render", "vendor")
_READING = ("archive_search", "audit", "show", "status", "memory", "drift", "history")
_OBJECTS = (*_READING, "adopt", "duplicate", "import_all", "pull", *_AGENT_FILES)
_LOCKS = ("lock_show", "lock_release")
_PLANS = ("plan", "apply", "apply_saved", "check", "promote", "save", "restore", "rollback", "migrate")
_CANARIES = tuple(f"canary_{each}" for each in ("start", "check", "promote", "remove"))
VERBS = (*_PLANS, *_OBJECTS, *_OTHERS, *_FILES, *_CANARIES, *_LOCKS)
"""The functions of lettaform.flow that the command line calls."""


@dataclass
class Flow:
    """Raises `raises`, or returns `planned` and a report with one step of the status `ended`."""

    planned: Plan = field(default_factory=a_plan)
    pulled: Pull = field(default_factory=a_pull)
    drifted: Drift = field(default_factory=a_drift)
    drawn: Graph = field(default_factory=lambda: Graph("support", (Node("agent", (at("agents.a"),)),)))
    remembered: MemoryReport = field(default_factory=lambda: MemoryReport("support", "http://here", "0.16.8"))
    audited: Audit = field(default_factory=lambda: Audit("support", "http://here", "0.16.8"))
    formatted: Formatted = field(default_factory=Formatted)
    vendored: tuple[VendoredComponent, ...] = ()
    checked: Checked = field(default_factory=lambda: Checked("support", "http://here"))
    undone: Report | None = None
    raises: BaseException | None = None
    ended: Any = "done"
    error: Exception | None = None
    lives: list[Live] = field(default_factory=list)
    runs: tuple[Applied, ...] = ()
    statuses: list[StackStatus | BaseException] = field(default_factory=lambda: [a_status("a")])
    """What one read after the other returns or raises; the last one is repeated."""
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    consents: list[bool] = field(default_factory=list)
    imported: Imported = field(default_factory=lambda: Imported("s", "ops", (), {}, {}, {}, (), {}, {}))
    created: AgentImport = field(default_factory=lambda: AgentImport(at("agents.clerk"), "clerk", "clerk.af"))
    destroys: bool = False
    counts_tokens: bool = False
    problems: list[Problem] = field(default_factory=list)
    lacking: list[Problem] = field(default_factory=list)
    without_messages: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    waited: float = 0.0
    locks: list[Lock] = field(default_factory=list)
    shard: Shard = WHOLE
    verified: Verified = field(default_factory=Verified)

    def note(self, name: str, source: Any, connection: Any, *rest: Any) -> None:
        self.calls.append((name, source, connection, *rest))
        if connection.trace:
            connection.trace("GET /v1/agents/ 200 0.1 s \x1b[2J")
        if self.raises is not None:
            raise self.raises

    def plan(self, source: Any, connection: Any, options: Any, *, count_tokens: bool) -> Plan:
        self.note("plan", source, connection, options)
        self.counts_tokens = count_tokens
        return self.planned

    def apply(
        self,
        source: Any,
        connection: Any,
        options: Any,
        *,
        consent: Any,
        notify: Any,
        interactive: bool = False,
        parallel: int = 8,
        snapshots: Snapshots | None = None,
        approved: str | None = None,
        checks: CheckOptions | None = None,
        wait: float = 0.0,
    ) -> tuple[Plan, Report | None]:
        self.note("apply", source, connection, options, parallel)
        self.waited = wait
        return self.gated(*self.carry_out(consent, notify, snapshots), checks)

    def apply_saved(
        self,
        path: Path,
        source: Any,
        connection: Any,
        *,
        consent: Any,
        notify: Any,
        interactive: bool = False,
        parallel: int = 8,
        snapshots: Snapshots | None = None,
        checks: CheckOptions | None = None,
        shard: Shard = WHOLE,
    ) -> tuple[Plan, Report | None]:
        self.note("apply_saved", source, connection, path, parallel)
        self.shard = shard
        return self.gated(*self.carry_out(consent, notify, snapshots), checks)

    def lock_show(self, source: Any, connection: Any) -> list[Lock]:
        self.note("lock_show", source, connection)
        return self.locks

    def lock_release(self, source: Any, connection: Any, lock: Lock) -> None:
        self.note("lock_release", source, connection, lock)

    def check(self, source: Any, connection: Any, options: CheckOptions) -> Checked:
        self.note("check", source, connection, options)
        for each in self.checked.results:
            options.notify(each)
        return self.checked

    def gated(self, plan: Plan, report: Report | None, checks: CheckOptions | None) -> tuple[Plan, Report | None]:
        """The report after the checks, as flow makes it."""
        if checks is None or (report is None and plan):
            return plan, report
        for each in self.checked.results:
            checks.notify(each)
        return plan, replace(report or Report(), checked=self.checked, undone=self.undone, snapshot="kept")

    def restore(
        self,
        source: Any,
        connection: Any,
        path: Path,
        addresses: tuple[str, ...],
        *,
        stack: str | None,
        without_messages: tuple[str, ...],
        consent: Any,
        notify: Any,
        interactive: bool = False,
        parallel: int = 8,
        snapshots: Snapshots | None = None,
    ) -> tuple[Plan, Report | None]:
        self.note("restore", source, connection, path, addresses, stack, parallel)
        self.without_messages = without_messages
        return self.carry_out(consent, notify, snapshots)

    def rollback(
        self,
        source: Any,
        connection: Any,
        *,
        without_messages: tuple[str, ...],
        consent: Any,
        notify: Any,
        interactive: bool = False,
        parallel: int = 8,
        snapshots: Snapshots | None = None,
    ) -> tuple[Plan, Report | None]:
        self.note("rollback", source, connection, parallel)
        self.without_messages = without_messages
        return self.carry_out(consent, notify, snapshots)

    def migrate(
        self,
        source: Any,
        first: Any,
        second: Any,
        addresses: tuple[str, ...],
        *,
        without_messages: tuple[str, ...],
        consent: Any,
        notify: Any,
        interactive: bool = False,
        parallel: int = 8,
        snapshots: Snapshots | None = None,
    ) -> tuple[Plan, Report | None]:
        self.note("migrate", source, first, second, addresses, parallel)
        self.without_messages = without_messages
        plan, report = self.carry_out(consent, notify, snapshots)
        return plan, replace(report, verified=self.verified) if report else None

    def carry_out(
        self, consent: Callable[[Plan], bool], notify: Callable[[Event], None], snapshots: Snapshots | None
    ) -> tuple[Plan, Report | None]:
        if not self.planned:
            return self.planned, None
        self.consents.append(consent(self.planned))
        if not self.consents[-1]:
            return self.planned, None
        if snapshots and self.destroys:
            for each in self.lacking:
                snapshots.warn(each)
            snapshots.announce((snapshots.directory or Path("default")) / "support-1")
        (step,) = self.planned.steps
        answer = Answer("agent-1") if self.ended == "done" else None
        outcome = Outcome(step, self.ended, answer, self.error, seconds=0.3)
        notify(Event("start", step, 0, 1))
        notify(Event(self.ended, step, 1, 1, 0.3, outcome))
        return self.planned, Report((outcome,), 3, 1.4, {"id": "agent-1"}, warnings=tuple(self.lacking))

    def promote(
        self,
        source: Any,
        connection: Any,
        first: str,
        second: str,
        addresses: Any,
        *,
        memory: str,
        ours: Any,
        theirs: Any,
        consent: Any,
        interactive: bool,
        parallel: int,
        notify: Any = None,
        snapshots: Snapshots | None = None,
    ) -> tuple[Plan, Report | None]:
        self.note("promote", source, connection, first, second, addresses, memory, ours, theirs)
        return self.planned_or_carried_out(consent, notify, snapshots)

    def canary_start(
        self,
        source: Any,
        connection: Any,
        addresses: Any,
        options: CanaryOptions,
        *,
        consent: Any,
        interactive: bool,
        parallel: int,
        notify: Any = None,
        snapshots: Snapshots | None = None,
    ) -> tuple[Plan, Report | None]:
        self.note("canary_start", source, connection, addresses, options)
        return self.planned_or_carried_out(consent, notify, snapshots)

    def canary_promote(
        self,
        source: Any,
        connection: Any,
        addresses: Any,
        *,
        consent: Any,
        interactive: bool,
        parallel: int,
        notify: Any = None,
        snapshots: Snapshots | None = None,
    ) -> tuple[Plan, Report | None]:
        self.note("canary_promote", source, connection, addresses)
        return self.planned_or_carried_out(consent, notify, snapshots)

    def canary_remove(
        self,
        source: Any,
        connection: Any,
        addresses: Any,
        *,
        consent: Any,
        interactive: bool,
        parallel: int,
        notify: Any = None,
        snapshots: Snapshots | None = None,
    ) -> tuple[Plan, Report | None]:
        self.note("canary_remove", source, connection, addresses)
        return self.planned_or_carried_out(consent, notify, snapshots)

    def canary_check(self, source: Any, connection: Any, addresses: Any, options: CheckOptions) -> Compared:
        self.note("canary_check", source, connection, addresses, options)
        for each in self.checked.results:
            options.notify(each)
        return Compared(self.checked, {at("agents.a"): at("agents.a@canary-1")})

    def planned_or_carried_out(
        self, consent: Any, notify: Any, snapshots: Snapshots | None
    ) -> tuple[Plan, Report | None]:
        return (self.planned, None) if consent is False else self.carry_out(consent, notify, snapshots)

    def save(self, plan: Plan, path: Path) -> None:
        path.write_text("saved")

    def pull(self, source: Any, connection: Any, options: Any, *, consent: Callable[[Pull], bool]) -> Pull:
        self.note("pull", source, connection, options)
        if not self.pulled:
            return self.pulled
        self.consents.append(consent(self.pulled))
        return replace(self.pulled, written=self.consents[-1])

    def fmt(self, source: Any, paths: tuple[Path, ...], *, write: bool) -> Formatted:
        self.calls.append(("fmt", source, paths, write))
        if self.raises is not None:
            raise self.raises
        return replace(self.formatted, written=write)

    def graph(self, source: Any, patterns: tuple[str, ...]) -> Graph:
        self.calls.append(("graph", source, patterns))
        if self.raises is not None:
            raise self.raises
        return self.drawn

    def render(self, source: Any, patterns: tuple[str, ...]) -> Rendered:
        self.calls.append(("render", source, patterns))
        if self.raises is not None:
            raise self.raises
        return Rendered("support", "prod")

    def vendor(self, source: Any, *, check: bool) -> Vendoring:
        self.calls.append(("vendor", source, check))
        if self.raises is not None:
            raise self.raises
        return Vendoring(self.vendored, check)

    def fmt_text(self, data: bytes) -> Formatted:
        return format_text(data)

    def show(self, source: Any, connection: Any, address: str | None) -> Shown:
        self.note("show", source, connection, address)
        return Shown("support", "http://here", "0.16.8", objects=tuple(self.lives))

    def status(self, source: Any, connection: Any, options: Any) -> StackStatus:
        self.note("status", source, connection, options)
        found = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if isinstance(found, BaseException):
            raise found
        return found

    def memory(self, source: Any, connection: Any, patterns: Any, *, count_tokens: bool) -> MemoryReport:
        self.note("memory", source, connection, patterns)
        self.counts_tokens = count_tokens
        return self.remembered

    def archive_search(self, source: Any, connection: Any, what: str, asked: Search) -> Searched:
        self.note("archive_search", source, connection, what, asked)
        return Searched(what, "archive-1", asked, (Passage("passage-1", "Rome\x1b"),))

    def drift(self, source: Any, connection: Any, options: Any) -> Drift:
        self.note("drift", source, connection, options)
        return self.drifted

    def audit(self, source: Any, connection: Any) -> Audit:
        self.note("audit", source, connection)
        return self.audited

    def history(self, source: Any, connection: Any) -> tuple[Applied, ...]:
        self.note("history", source, connection)
        return self.runs

    def state_list(self, source: Any, connection: Any) -> list[Live]:
        self.note("state_list", source, connection)
        return self.lives

    def state_move(self, source: Any, connection: Any, old: str, new: str) -> None:
        self.note("state_move", source, connection, old, new)

    def state_remove(self, source: Any, connection: Any, address: str) -> None:
        self.note("state_remove", source, connection, address)

    def state_rebuild(self, source: Any, connection: Any) -> tuple[int, list[str]]:
        self.note("state_rebuild", source, connection)
        return 3, ["agents.a\x1b is gone"]

    def adopt(self, source: Any, connection: Any, address: str, id: str) -> Plan:
        self.note("adopt", source, connection, address, id)
        return self.planned

    def duplicate(
        self, source: Any, connection: Any, old: str, new: str, *, live: bool, consent: Callable[[Duplicated], bool]
    ) -> Duplicated:
        self.note("duplicate", source, connection, old, new, live)
        found = Duplicated(at(old), at(new), live, {"lettaform.yaml": ("a: {}\n", "a: {}\nb: {}\n")})
        self.consents.append(consent(found))
        return replace(found, written=self.consents[-1])

    def import_all(self, connection: Any, folder: Path, options: Any = None) -> Imported:
        self.note("import_all", None, connection, folder, options)
        return self.imported

    def from_agent_files(self, paths: Any, folder: Path, options: Any, *, stack: str | None, fold: bool) -> Imported:
        self.calls.append(("from_agent_files", paths, folder, options, stack, fold))
        if self.raises is not None:
            raise self.raises
        return self.imported

    def from_lettactl(self, paths: Any, folder: Path, options: Any, *, stack: str | None, fold: bool) -> Imported:
        self.calls.append(("from_lettactl", paths, folder, options, stack, fold))
        if self.raises is not None:
            raise self.raises
        return self.imported

    def import_agent_file(
        self,
        source: Any,
        connection: Any,
        path: Path,
        address: str,
        bind: Any,
        *,
        consent: Callable[[AgentImport], bool],
    ) -> AgentImport:
        self.note("import_agent_file", source, connection, path, address, bind)
        self.consents.append(consent(self.created))
        return replace(self.created, id="agent-1") if self.consents[-1] else self.created

    def export(self, source: Any, connection: Any, what: str) -> Exported:
        self.note("export", source, connection, what)
        return Exported("clerk", {"agents": [{"name": "clerk"}], "n": "é"}, ("its `hidden`\x1b",))

    def snapshot_create(
        self,
        source: Any,
        connection: Any,
        directory: Path | None,
        *,
        without_messages: tuple[str, ...],
        warn: Callable[[Problem], None],
    ) -> Path:
        self.note("snapshot_create", source, connection, directory)
        self.without_messages = without_messages
        for each in self.lacking:
            warn(each)
        return (directory or Path("default")) / "support-1"

    def snapshot_directory(self, source: Any) -> Path:
        return Path("default")

    def snapshot_find(self, text: str, directory: Path) -> Path:
        return directory / text

    def snapshot_list(self, directory: Path) -> list[tuple[Path, Any]]:
        broken = SnapshotError(f"{directory / 'broken'} is no snapshot: it has no snapshot.json")
        return [(directory / "broken", broken), (directory / "support-1", self.snapshot_read(directory))]

    def snapshot_read(self, path: Path) -> Snapshot:
        return a_snapshot(" ".join(each.message for each in self.lacking))

    def snapshot_objects(self, snapshot: Snapshot, address: str | None) -> list[Live]:
        return [entry.live for entry in snapshot.entries]

    def snapshot_verify(self, path: Path) -> list[Problem]:
        return self.problems

    def snapshot_diff(self, source: Any, connection: Any, old: Path, new: Path | None) -> SnapshotDiff:
        self.note("snapshot_diff", source, connection, old, new)
        return SnapshotDiff(self.changes, {}, tuple(each.address or "" for each in self.lacking))


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch) -> Flow:
    fake = Flow()
    module = types.ModuleType("lettaform.flow")
    for name in VERBS:
        setattr(module, name, getattr(fake, name))
    for each in (
        CanaryOptions,
        Source,
        Connection,
        PlanOptions,
        CheckOptions,
        Pull,
        PullOptions,
        ImportOptions,
        Snapshots,
        StatusOptions,
        Search,
    ):
        setattr(module, each.__name__, each)
    monkeypatch.setitem(sys.modules, "lettaform.flow", module)
    monkeypatch.setattr(lettaform, "flow", module, raising=False)
    for name in ("NO_COLOR", "LETTA_API_KEY", "LETTA_PROJECT", "LETTAFORM_SHARD"):
        monkeypatch.delenv(name, raising=False)
    return fake


Run = Callable[..., Result]


@pytest.fixture
def run(flow: Flow) -> Run:
    """Run the command line with these arguments, without a terminal."""

    def run(*arguments: str, input: str | None = None) -> Result:
        return CliRunner().invoke(cli, list(arguments), input=input)

    return run
