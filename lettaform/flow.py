"""The whole of lettaform as a straight line: load, find, diff, order, apply."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from lettaform.address import Address
from lettaform.apply import INTERRUPTED, Stop
from lettaform.apply import apply as walk
from lettaform.backend import Server, connect
from lettaform.errors import NotFound, PlanError, Problem, Stale, nearest
from lettaform.kinds import dependent_kinds, kinds, sections
from lettaform.manifest import load
from lettaform.model import Change, Event, Live, Lock, Manifest, Mark, Observed, Plan, PlanOptions, Report
from lettaform.plan import Diff, ResourceChange, diff, make, saved
from lettaform.plan.compare import matches
from lettaform.plan.order import remark
from lettaform.render import data
from lettaform.snapshot import export

_T = TypeVar("_T")
DEFAULT_URL = "http://localhost:8283"

Consent = Callable[[Plan], bool]
Notify = Callable[[Event], None]

__all__ = ["Connection", "PlanOptions", "Source", "adopt", "apply", "plan", "read", "show"]


@dataclass(frozen=True)
class Source:
    """Where the manifest is, and what fills its variables."""

    directory: Path = field(default_factory=Path)
    files: tuple[Path, ...] = ()
    environment: str | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    variable_files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Connection:
    """How to reach the server. Without `url`: the manifest's, then LETTA_BASE_URL, then Letta's own port here.

    `timeout` in seconds for one request; `patience` in seconds for the stack's lock, None goes without it; `trace` is
    told one redacted line per request.
    """

    url: str | None = None
    token: str | None = None
    project: str | None = None
    timeout: float = 60.0
    patience: float | None = 60.0
    trace: Callable[[str], None] | None = None


def read(source: Source) -> Manifest:
    """The manifest, resolved and checked. ManifestError carries every problem."""
    return load(
        source.directory,
        source.files,
        environment=source.environment,
        variables=source.variables,
        variable_files=source.variable_files,
    )


# --- plan and apply --------------------------------------------------------------------------------------------------


def plan(source: Source, connection: Connection, options: PlanOptions | None = None) -> Plan:
    """What would change. Sends nothing that writes."""
    return asyncio.run(_with(source, connection, lambda line: line.plan(options or PlanOptions())))


def apply(
    source: Source,
    connection: Connection,
    options: PlanOptions | None = None,
    *,
    consent: Consent = lambda plan: True,
    notify: Notify = lambda event: None,
    parallel: int = 8,
) -> tuple[Plan, Report | None]:
    """Plan, ask `consent`, carry out. The Report is None where nothing was to do, or consent was refused."""

    async def run(line: Session) -> tuple[Plan, Report | None]:
        plan = await line.plan(options or PlanOptions())
        if not plan and not line.held:
            return plan, None  # nothing to do is nothing to lock, either; unless a dead run left its lock behind
        async with line.locked():
            plan = await line.plan(options or PlanOptions())
            if not plan or not consent(plan):
                return plan, None
            return plan, await line.apply(plan, notify, parallel)

    return asyncio.run(_with(source, connection, run, parallel))


def save(plan: Plan, path: Path) -> None:
    """Write a plan for `apply_saved`: complete or not at all, readable by its owner alone."""
    try:
        _write(path, {**data.plan(plan), **saved.dump(plan)})
    except OSError as error:
        raise PlanError(f"cannot write {path}: {error.strerror}") from error


def _write(path: Path, told: Mapping[str, Any]) -> None:
    """JSON that its owner alone can read, complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(told, indent=1, ensure_ascii=False) + "\n")
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def apply_saved(
    path: Path,
    source: Source,
    connection: Connection,
    *,
    consent: Consent = lambda plan: True,
    notify: Notify = lambda event: None,
    parallel: int = 8,
) -> tuple[Plan, Report | None]:
    """Carry out a saved plan, if planning again gives the very same Steps; else Stale names what moved."""
    told, asked = _saved(path)

    async def run(line: Session) -> tuple[Plan, Report | None]:
        async with line.locked():
            plan = await line.plan(asked)
            if lines := saved.moved(told, plan):
                problems = tuple(Problem(each) for each in lines)
                raise Stale(f"{path} no longer fits what is live", "plan again and review", problems)
            if not plan or not consent(plan):
                return plan, None
            return plan, await line.apply(plan, notify, parallel)

    pinned = replace(connection, url=connection.url or (told.get("server") or {}).get("url"))
    return asyncio.run(_with(source, pinned, run, parallel))


def _saved(path: Path) -> tuple[Mapping[str, Any], PlanOptions]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(told, dict) or told.get("format_version") != saved.FORMAT:
            raise ValueError("format")
        return told, saved.options(told)
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}", "`lettaform plan -o FILE` writes one") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise PlanError(f"{path} is not a saved plan of this version", "`lettaform plan -o FILE` writes one") from error


def adopt(source: Source, connection: Connection, address: str, id: str) -> Plan:
    """Take a living object in under an address of the manifest. Writes our mark, and nothing else."""

    async def run(line: Session) -> Plan:
        plan = await line.adopt(_address(address), id)
        _raise(await line.apply(plan, lambda event: None, 1))
        return plan

    return asyncio.run(_with(source, connection, run, lock=True))


def show(source: Source, connection: Connection, address: str | None = None) -> list[Live]:
    """What is live of the stack, and the external things that it uses."""

    async def run(line: Session) -> list[Live]:
        observed = await line.find()
        lives = [replace(live, address=a) for a, live in sorted(observed.objects.items(), key=lambda item: item[0])]
        if address is None:
            return lives
        found = [live for live in lives if live.address and matches(live.address, (address,))]
        if not found:
            _unknown(address, [str(live.address) for live in lives])
        return found

    return asyncio.run(_with(source, connection, run))


# --- the stack's own memory ------------------------------------------------------------------------------------------


def state_list(source: Source, connection: Connection) -> list[Live]:
    """Everything that carries the stack's mark: its objects, copies, surviving memory."""

    async def run(line: Session) -> list[Live]:
        observed = await line.find()
        ours = [replace(live, address=a) for a, live in observed.objects.items() if live.stack == line.manifest.stack]
        left = [replace(live, address=a) for a, live in observed.orphaned_blocks]
        return sorted([*ours, *observed.duplicates, *left], key=lambda live: (str(live.address), live.id))

    return asyncio.run(_with(source, connection, run))


def state_move(source: Source, connection: Connection, old: str, new: str) -> None:
    """Give a living object, and its parts, another address."""

    async def run(line: Session) -> None:
        observed, before, after = await line.find(), _address(old), _address(new)
        _ours(observed, before, line.manifest)
        # a crash between mark and record leaves one object at both
        if after in observed.objects and observed.objects[after].id != observed.objects[before].id:
            raise PlanError(f"{after} is taken by {observed.objects[after].id}", "`lettaform state rm` lets it go")
        if before.section != after.section or after.parent or before.parent:
            raise PlanError(f"{before} cannot become {after}", "an address moves within its section, parts with it")
        _raise(await line.apply(line.remark(observed, {before: after}), lambda event: None, 4))

    asyncio.run(_with(source, connection, run, lock=True))


def state_remove(source: Source, connection: Connection, address: str) -> None:
    """Forget: take our mark off an object and its parts, and leave them alive."""

    async def run(line: Session) -> None:
        observed, gone = await line.find(), _address(address)
        _ours(observed, gone, line.manifest)
        _raise(await line.apply(line.remark(observed, {gone: None}), lambda event: None, 4))

    asyncio.run(_with(source, connection, run, lock=True))


def state_rebuild(source: Source, connection: Connection) -> tuple[int, list[str]]:
    """Make the stack record again from the marks. Returns how many objects it holds, and what could not be told."""

    async def run(line: Session) -> tuple[int, list[str]]:
        observed = await line.server.find(line.manifest, whole=True)
        lost = [problem.message for problem in observed.problems if problem.address]
        marked = {a: live for a, live in observed.objects.items() if live.stack == line.manifest.stack}
        lost += [
            f"{a} ({live.id}) has lost its mark: kept as the record had it"
            for a, live in marked.items()
            if not live.marked
        ]
        lost += [f"{a} ({id}) no longer exists" for a, id in observed.state.ids.items() if a not in observed.objects]
        lost += [f"{copy.address} is also claimed by {copy.id}, a copy" for copy in observed.duplicates]
        report = await line.apply(line.remark(replace(observed, problems=()), {}), lambda event: None, 1)
        _raise(report)
        return sum(a.parent is None for a in marked), lost

    return asyncio.run(_with(source, connection, run, lock=True))


def lock_show(source: Source, connection: Connection) -> Lock | None:
    """Who holds the lock of the stack."""
    return asyncio.run(_with(source, connection, lambda line: line.server.holder(line.manifest.stack)))


def lock_release(source: Source, connection: Connection) -> Lock | None:
    """Release the lock of the stack, whoever holds it. Returns what was released."""

    async def run(line: Session) -> Lock | None:
        lock = await line.server.holder(line.manifest.stack)
        if lock is not None:
            await line.server.release(lock)
        return lock

    return asyncio.run(_with(source, connection, run))


# --- the line itself -------------------------------------------------------------------------------------------------


class Session:
    """One manifest and one server, for one run."""

    def __init__(self, manifest: Manifest, server: Server, directory: Path, patience: float | None = None) -> None:
        self.manifest, self.server, self.directory, self.patience = manifest, server, directory, patience
        self.observed: Observed | None = None
        self.lost = asyncio.Event()
        self.alone = self.held = False
        self.checked: set[tuple[Address, frozenset[str]]] = set()
        """What the server had nothing against; the manifest is the same for the whole run."""

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Alone on the stack, unless that was waived."""
        if self.patience is None:
            yield
            return
        async with self.server.lock(self.manifest.stack, self.patience) as self.lost:
            self.alone = True
            yield

    async def holder(self) -> Lock | None:
        """Who else may be applying."""
        return None if self.alone else await self.server.holder(self.manifest.stack)

    async def find(self) -> Observed:
        """What is live; doubts are errors."""
        observed = await _steady(lambda: self.server.find(self.manifest))
        if observed.problems:
            raise PlanError("the observed is not clear", problems=observed.problems)
        self.observed = observed
        return observed

    async def plan(self, options: PlanOptions) -> Plan:
        """load is done; find, diff, check, order."""
        _selectors(options, self.manifest)
        observed, draft = await _steady(lambda: self.draft(options))
        holder = await self.holder()
        self.held, self.observed = holder is not None, observed
        written = [(d.desired, _written(d.change)) for d in draft.resources if d.desired and _unsure(d)]
        unseen = [(desired, fields) for desired, fields in written if (desired.address, fields) not in self.checked]
        problems = await self.server.check(unseen, observed) if unseen else []
        self.checked |= set() if problems else {(desired.address, fields) for desired, fields in unseen}
        plan = make(self.manifest, observed, options, replace(draft, problems=(*draft.problems, *problems)))
        if holder is None:
            return plan
        told = f"stack `{plan.stack}` is locked by {holder.holder} since {holder.since}: this may be out of date soon"
        return replace(plan, warnings=(*plan.warnings, Problem(told, severity="warning")))

    async def draft(self, options: PlanOptions) -> tuple[Observed, Diff]:
        """find, diff; and again, once it is known whom that would touch."""
        observed = await self.server.find(self.manifest)
        _environment(self.manifest, observed)
        draft = diff(self.manifest, observed, options)
        asked, tied = _usage(draft, observed), _tied(draft)
        if not (asked or tied):
            return observed, draft
        observed = replace(
            observed, users=await self.server.users(asked), dependents=await self.server.dependents(tied)
        )
        seen = _ids(observed)
        for each in (each for tie in observed.dependents.values() for each in (*tie.along, *tie.before)):
            if each.stack == self.manifest.stack and each.id not in seen:
                told = f"{each.address} came to be while the server was read: {each.id}"
                raise _Moving(told, "plan again; if that does not help, `lettaform state rebuild`")
        return observed, diff(self.manifest, observed, options)

    async def apply(self, plan: Plan, notify: Notify, parallel: int) -> Report:
        """A snapshot of what dies; then the Steps."""
        assert self.observed is not None
        ids = {change.id for change in plan.changes if change.action in ("delete", "replace")}
        doomed = {live.id: (str(address), live) for address, live in _all(self.observed) if live.id in ids}
        for tie in (self.observed.dependents[id] for id in list(doomed) if id in self.observed.dependents):
            doomed |= {live.id: ("", live) for live in tie.along if live.id not in doomed}
        if doomed:
            await export(self.server, plan.stack, list(doomed.values()), self.directory / ".lettaform" / "snapshots")
        with _interruptible() as stop:
            watch = asyncio.create_task(self.watch(stop))
            try:
                report = await walk(
                    plan, self.server, known=_ids(self.observed), parallel=parallel, notify=notify, stop=stop
                )
            finally:
                watch.cancel()
        told = {
            "stack": plan.stack,
            "server": plan.url,
            "summary": data.summary(report),
            "steps": data.outcomes(report),
        }
        with suppress(OSError):  # a report that cannot be kept must not undo what was done
            _write(self.directory / ".lettaform" / "last-apply.json", told)
        return report

    async def watch(self, stop: Stop) -> None:
        """Without the lock nothing more may be sent."""
        await self.lost.wait()
        stop.reason = "the lock was lost"

    async def adopt(self, address: Address, id: str) -> Plan:
        """The plan that writes marks on a living object, and nothing else."""
        desired = self.manifest.objects.get(address)
        if desired is None or desired.external or address.parent:
            _unknown(str(address), [str(a) for a, d in self.manifest.objects.items() if not (d.external or a.parent)])
            raise AssertionError
        observed = await self.server.find(replace(self.manifest, imports=()))
        holder = observed.objects.get(address)
        if holder is not None and holder.id != id and not any(copy.id == id for copy in observed.duplicates):
            raise PlanError(f"{address} is {holder.id} already", f"`lettaform state rm '{address}'` lets it go")
        live, attached = await self.server.live(desired.kind, id)
        if live.stack not in (None, self.manifest.stack):
            raise PlanError(f"{id} belongs to stack `{live.stack}`", "use it with `external: {id: …}`")
        if live.address and live.address != address and observed.objects.get(live.address, live).id == id:
            raise PlanError(
                f"{id} is {live.address} of this stack", f"`lettaform state mv '{live.address}' '{address}'`"
            )
        mine = replace(live, address=address, stack=self.manifest.stack, marked=False, mark=Mark())
        problems = tuple(p for p in observed.problems if p.address != str(address))
        observed = replace(
            observed,
            objects={**observed.objects, address: mine},
            attached={**observed.attached, id: attached},
            foreign={key: each for key, each in observed.foreign.items() if each.id != id},
            problems=problems,
        )
        draft = diff(self.manifest, observed, PlanOptions(target=(str(address),)))
        self.observed = observed
        return make(self.manifest, observed, PlanOptions(), _marks_alone(draft))

    def remark(self, observed: Observed, addresses: Mapping[Address, Address | None]) -> Plan:
        """The plan that rewrites marks: address to its new one, None forgets. And the record, always."""
        self.observed = observed
        steps = remark(observed, self.manifest, addresses)
        return Plan(self.manifest.stack, observed.url, observed.version, steps=steps, state=observed.state)


async def _with(
    source: Source,
    connection: Connection,
    run: Callable[[Session], Coroutine[Any, Any, _T]],
    parallel: int = 8,
    *,
    lock: bool = False,
) -> _T:
    """Read the manifest, connect, hold the lock if asked to, and run."""
    manifest = read(source)
    async with _connected(manifest, connection, parallel) as server:
        line = Session(manifest, server, source.directory, connection.patience)
        if not lock:
            return await run(line)
        async with line.locked():
            return await run(line)


@asynccontextmanager
async def _connected(manifest: Manifest, connection: Connection, parallel: int) -> AsyncIterator[Server]:
    url = connection.url or manifest.url or os.environ.get("LETTA_BASE_URL") or DEFAULT_URL
    token = connection.token or os.environ.get("LETTA_API_KEY")
    project = connection.project or os.environ.get("LETTA_PROJECT")
    server = connect(
        url, token=token, project=project, timeout=connection.timeout, parallel=parallel, trace=connection.trace
    )
    try:
        yield server
    finally:
        await server.close()


class _interruptible:
    """SIGINT once: begin nothing more. Twice: stop."""

    def __enter__(self) -> Stop:
        self.stop = Stop()
        self.loop = asyncio.get_running_loop()
        with suppress(NotImplementedError, RuntimeError, ValueError):  # not in a thread, not on Windows
            self.loop.add_signal_handler(signal.SIGINT, self.interrupt)
        return self.stop

    def interrupt(self) -> None:
        self.stop.reason = INTERRUPTED
        self.loop.remove_signal_handler(signal.SIGINT)

    def __exit__(self, *_: object) -> None:
        with suppress(NotImplementedError, RuntimeError, ValueError):
            self.loop.remove_signal_handler(signal.SIGINT)


def _selectors(options: PlanOptions, manifest: Manifest) -> None:
    """A pattern that fits nothing is a mistake, not an empty plan. What may be undeclared is left to the guard."""
    for pattern in (*options.target, *options.exclude, *options.reseed):
        if not any(matches(address, (pattern,)) for address in manifest.objects):
            _unknown(pattern, [str(address) for address in manifest.objects])


def _environment(manifest: Manifest, observed: Observed) -> None:
    before, now = observed.state.environment, manifest.environment
    if observed.state.exists and before != now:
        told = f"stack `{manifest.stack}` was applied with {_named(before)}, and this is {_named(now)}"
        raise PlanError(told, "give the environment a `stack:` of its own, or name the same one with -e")


def _named(environment: str | None) -> str:
    return f"environment `{environment}`" if environment else "no environment"


def _usage(draft: Diff, observed: Observed) -> list[Live]:
    """Of which shared objects everybody's agents must be known: what would be deleted, rewritten or adopted."""
    asked = []
    for resource in draft.resources:
        live, change = resource.live, resource.change
        if live is None or not kinds()[live.kind].shared:
            continue
        rewritten = change.action in ("update", "adopt") and change.recompiles > 0 and live.kind == "block"
        if change.action in ("delete", "replace") or rewritten or (not live.marked and resource.address.parent):
            asked.append(live)
    return asked


def _tied(draft: Diff) -> list[Live]:
    """Of what it must be known what hangs on its life: it would die."""
    dying = [d.live for d in draft.resources if d.live and d.change.action in ("delete", "replace")]
    return [live for live in dying if live.kind in kinds()[live.kind].discovers or dependent_kinds(live.kind)]


class _Moving(PlanError):
    """Something of ours was born between two requests, as a killed run may have asked for."""


async def _steady(read: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """What is read in several requests; anew where something was born or died between two of them."""
    for _ in range(2):
        with suppress(NotFound, _Moving):
            return await read()
    return await read()


def _unsure(resource: ResourceChange) -> bool:
    """Whether only the server can say if what is planned can be."""
    change = resource.change
    return bool(change.fields_changed or change.recompiles or (resource.desired and resource.desired.external))


def _written(change: Change) -> frozenset[str]:
    return frozenset(difference.path.split(".")[0] for difference in change.fields_changed)


def _marks_alone(draft: Diff) -> Diff:
    """The draft without what would change anything but marks."""
    resources = []
    taken = {resource.address.child for resource in draft.resources if resource.address.parent and resource.live}
    for resource in draft.resources:
        action = resource.change.action
        if resource.live is None or action == "create" or (action == "replace" and resource.address.parent):
            continue
        differing = {difference.path for difference in resource.change.fields_changed}
        mark = resource.mark or Mark()
        base = {path: value for path, value in mark.base.items() if path not in differing}
        have = resource.live.values
        members = {f: tuple(m for m in ms if m in (have.get(f) or ())) for f, ms in mark.members.items()}
        parts = {key: value for key, value in mark.parts.items() if key in taken}
        change = replace(resource.change, action="adopt", reason="import", fields_changed=(), recompiles=0)
        mark = Mark(base, {f: ms for f, ms in members.items() if ms}, parts)
        resources.append(replace(resource, change=change, fields={}, attach=(), detach=(), mark=mark))
    return replace(draft, resources=tuple(resources), runtime=(), unmanaged=(), guards=())


def _all(observed: Observed) -> list[tuple[Address, Live]]:
    return [*observed.objects.items(), *observed.orphaned_blocks]


def _ids(observed: Observed) -> frozenset[str]:
    """Of everything that carries our mark."""
    return frozenset(live.id for _, live in _all(observed)) | {copy.id for copy in observed.duplicates}


def _address(text: str) -> Address:
    try:
        address = Address.parse(text)
    except ValueError:
        raise PlanError(f"`{text}` is not an address", "write it as agents.supervisor or agents.worker[emea]") from None
    if address.section not in sections():
        near = nearest(address.section, [kind.section for kind in kinds().values()])
        raise PlanError(f"`{address.section}` is not a section", f"did you mean `{near}`?" if near else None)
    return address


def _ours(observed: Observed, address: Address, manifest: Manifest) -> None:
    live = observed.objects.get(address)
    if live is None or live.stack != manifest.stack:
        _unknown(str(address), [str(a) for a, live in observed.objects.items() if live.stack == manifest.stack])


def _unknown(pattern: str, known: list[str]) -> None:
    near = nearest(pattern, known)
    hint = f"did you mean `{near}`?" if near else f"there are {', '.join(sorted(known)[:8]) or 'none'}"
    raise PlanError(f"nothing answers to `{pattern}`", hint)


def _raise(report: Report) -> None:
    for outcome in report.outcomes:
        if outcome.error is not None:
            raise outcome.error


__all__ += [
    "apply_saved",
    "lock_release",
    "lock_show",
    "save",
    "state_list",
    "state_move",
    "state_rebuild",
    "state_remove",
]
