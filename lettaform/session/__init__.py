"""One manifest and one backend during one run: observe, plan, apply."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from lettaform.address import Address
from lettaform.apply import LOCK_LOST, Stop
from lettaform.apply import apply as carry_out
from lettaform.backend import Backend
from lettaform.errors import NotFound, PlanError, Problem, UnreadableState, nearest
from lettaform.kinds import dependent_kinds, kinds
from lettaform.manifest import without_garbage_collection
from lettaform.model import Change, Event, Live, Lock, Manifest, Mark, Observed, Plan, PlanOptions, Report
from lettaform.ownership import claims
from lettaform.plan import Diff, ResourceChange, diff, make
from lettaform.plan.order import remark
from lettaform.plan.selection import matches
from lettaform.render import data
from lettaform.session.files import write_json
from lettaform.session.interrupt import interruptible
from lettaform.session.loading import Loading
from lettaform.session.observe import FirstReads, observe, read_contents
from lettaform.snapshot import export

__all__ = ["Notify", "Session", "unknown"]

Notify = Callable[[Event], None]
_T = TypeVar("_T")


class Session:
    """One manifest and one backend, for one run."""

    manifest: Manifest

    def __init__(
        self, manifest: Manifest | Loading, backend: Backend, directory: Path, patience: float | None = None
    ) -> None:
        """`patience`: seconds to wait for the lock; None goes without it.

        A plan waits for a manifest that is loading. All else needs the manifest from the beginning.
        """
        self.backend, self.directory, self.patience = backend, directory, patience
        self.stack = manifest.stack
        self.loading = manifest if isinstance(manifest, Loading) else None
        if isinstance(manifest, Manifest):
            self.manifest = manifest
        self.first: FirstReads | None = None
        """The first reads, while the manifest is loading."""
        self.observed: Observed | None = None
        self.lost = asyncio.Event()
        self.locked_by_us = self.locked_by_others = False
        self.probed: set[tuple[Address, frozenset[str]]] = set()
        """What the server has nothing against. The manifest is the same for the whole run."""

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """With the lock of the stack, unless the run goes without it."""
        if self.patience is None:
            yield
            return
        async with self.backend.lock(self.stack, self.patience) as self.lost:
            self.locked_by_us = True
            yield

    async def observe(self) -> Observed:
        """What is live. Raises PlanError if it cannot be told who owns what."""
        observed = await _steady(lambda: observe(self.backend, self.manifest))
        if observed.problems:
            raise PlanError("it cannot be told which objects belong to the stack", problems=observed.problems)
        self.observed = observed
        return observed

    # --- plan

    async def plan(self, options: PlanOptions) -> Plan:
        """Observe, compare, ask the server about what would be written, and put it in order."""
        with without_garbage_collection():
            return await self._plan(options)

    async def _plan(self, options: PlanOptions) -> Plan:
        try:
            await self._load()
            _check_patterns(options, self.manifest)
            observed, difference = await _steady(lambda: self._difference(options))
        finally:
            if self.first is not None:
                await self.first.cancel()
        holder = None if self.locked_by_us else await self.backend.holder(self.manifest.stack)
        self.locked_by_others, self.observed = holder is not None, observed
        problems = await self._probe(difference, observed)
        difference = replace(difference, problems=(*difference.problems, *problems))
        plan = make(self.manifest, observed, options, difference)
        return plan if holder is None else replace(plan, warnings=(*plan.warnings, _locked(plan, holder)))

    async def _load(self) -> None:
        """Wait for the manifest, with the first reads under way."""
        if self.loading is not None:
            self.first = FirstReads(self.backend, self.stack, self.loading.fields)
            self.manifest = await self.loading.manifest
            self.loading = None

    async def _difference(self, options: PlanOptions) -> tuple[Observed, Diff]:
        """The difference; computed again once it is known who uses, and what depends on, what it touches."""
        first, self.first = self.first, None  # what is read again is read for the manifest alone
        observed = await observe(self.backend, self.manifest, first=first)
        _check_environment(self.manifest, observed)
        difference = diff(self.manifest, observed, options)
        shared, deleted = _shared(difference), _deleted(difference)
        if not (shared or deleted):
            return observed, difference
        users, dependents = await self.backend.users(shared), await self.backend.dependents(deleted)
        observed = replace(observed, users=users, dependents=dependents)
        seen = _ids(observed)
        for each in (each for every in dependents.values() for each in (*every.along, *every.before)):
            if each.stack == self.manifest.stack and each.id not in seen:
                message = f"{each.address} was created while the server was read: {each.id}"
                raise _Moving(message, "plan again; if that does not help, run `lettaform state rebuild`")
        return observed, diff(self.manifest, observed, options)

    async def _probe(self, difference: Diff, observed: Observed) -> list[Problem]:
        """What the server has against what would be written; each object and field is asked about once."""
        unsure = [each for each in difference.resources if _unsure(each)]
        written = [(each.desired, _written(each.change)) for each in unsure if each.desired]
        unseen = [(desired, fields) for desired, fields in written if (desired.address, fields) not in self.probed]
        problems = await self.backend.probe(unseen, observed) if unseen else []
        if not problems:
            self.probed |= {(desired.address, fields) for desired, fields in unseen}
        return problems

    # --- apply

    async def apply(self, plan: Plan, notify: Notify = lambda event: None, parallel: int = 8) -> Report:
        """Write a snapshot of what is deleted, then carry out the Steps."""
        assert self.observed is not None, "a plan comes first"
        if deleted := _deletions(plan, self.observed):
            snapshots = self.directory / ".lettaform" / "snapshots"
            await export(self.backend, plan.stack, deleted, self.observed.attached, snapshots)
        with interruptible() as stop:
            watch = asyncio.create_task(self._watch(stop))
            try:
                known = _ids(self.observed)
                report = await carry_out(plan, self.backend, known=known, parallel=parallel, notify=notify, stop=stop)
            finally:
                watch.cancel()
        with suppress(OSError):  # a report that cannot be written must not undo what was done
            write_json(self.directory / ".lettaform" / "last-apply.json", _summary(plan, report))
        return report

    async def _watch(self, stop: Stop) -> None:
        """Without the lock nothing more may be sent."""
        await self.lost.wait()
        stop.reason = LOCK_LOST

    # --- marks alone

    async def adopt(self, address: Address, id: str) -> Plan:
        """The plan that puts marks on a living object, and changes nothing else."""
        desired = self.manifest.objects.get(address)
        if desired is None or desired.external or address.parent:
            ours = [str(a) for a, d in self.manifest.objects.items() if not (d.external or a.parent)]
            raise unknown(str(address), ours)
        observed = await observe(self.backend, replace(self.manifest, imports=()))
        there = observed.objects.get(address)
        if there is not None and there.id != id and not any(each.id == id for each in observed.duplicates):
            raise PlanError(f"{address} is {there.id} already", f"`lettaform state rm '{address}'` forgets that one")
        live, blocks = await self.backend.one(desired.kind, id)
        if problem := claims.adoption_problem(observed, self.manifest, address, live):
            raise PlanError(problem.message, problem.hint)
        if live.address and live.address != address and observed.objects.get(live.address, live).id == id:
            hint = f"`lettaform state mv '{live.address}' '{address}'` moves it"
            raise PlanError(f"{id} is {live.address} of this stack", hint)
        observed = claims.adopt(observed, self.manifest, address, live, blocks)
        self.observed = observed = await read_contents(self.backend, self.manifest, observed)
        difference = diff(self.manifest, observed, PlanOptions(target=(str(address),)))
        return make(self.manifest, observed, PlanOptions(), _marks_alone(difference))

    def remark(self, observed: Observed, addresses: Mapping[Address, Address | None]) -> Plan:
        """The plan that rewrites marks and the state: address to its new one, None forgets."""
        self.observed = observed
        steps = remark(observed, self.manifest, addresses)
        return Plan(self.manifest.stack, observed.url, observed.version, steps=steps, state=observed.state)


def unknown(pattern: str, known: list[str]) -> PlanError:
    """The error that nothing has such an address, with the nearest one."""
    near = nearest(pattern, known)
    hint = f"did you mean `{near}`?" if near else f"there are {', '.join(sorted(known)[:8]) or 'none'}"
    return PlanError(f"nothing answers to `{pattern}`", hint)


# --- reading again ---------------------------------------------------------------------------------------------------


class _Moving(PlanError):
    """An object of the stack was created between two requests, as an apply that was killed may have asked for."""


async def _steady(read: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """What is read in several requests; read again if something was created or deleted between two of them."""
    for _ in range(2):
        # a large state that was saved between two requests lacks a page
        with suppress(NotFound, UnreadableState, _Moving):
            return await read()
    return await read()


def _shared(difference: Diff) -> list[Live]:
    """The shared objects whose users must be known: they would be deleted, rewritten or adopted."""
    found = []
    for resource in difference.resources:
        live, change = resource.live, resource.change
        if live is None or not kinds()[live.kind].shared:
            continue
        rewritten = change.action in ("update", "adopt") and change.recompiles > 0 and live.kind == "block"
        if change.action in ("delete", "replace") or rewritten or (not live.marked and resource.address.parent):
            found.append(live)
    return found


def _deleted(difference: Diff) -> list[Live]:
    """The objects that would be deleted, and on which something may depend."""
    deleted = [each.live for each in difference.resources if each.live and each.change.action in ("delete", "replace")]
    return [live for live in deleted if live.kind in kinds()[live.kind].discovers or dependent_kinds(live.kind)]


def _unsure(resource: ResourceChange) -> bool:
    """Whether only the server can say if the change is possible."""
    change = resource.change
    return bool(change.fields_changed or change.recompiles or (resource.desired and resource.desired.external))


def _written(change: Change) -> frozenset[str]:
    return frozenset(each.path.split(".")[0] for each in change.fields_changed)


# --- what a plan relies on -------------------------------------------------------------------------------------------


def _check_patterns(options: PlanOptions, manifest: Manifest) -> None:
    """A pattern that matches nothing is a mistake. What may be undeclared is left to the guard."""
    for pattern in (*options.target, *options.exclude, *options.reseed):
        if not any(matches(address, (pattern,)) for address in manifest.objects):
            raise unknown(pattern, [str(address) for address in manifest.objects])


def _check_environment(manifest: Manifest, observed: Observed) -> None:
    before, now = observed.state.environment, manifest.environment
    if observed.state.serial and before != now:  # one that a killed apply left empty has no serial
        message = f"stack `{manifest.stack}` was applied with {_named(before)}, and this is {_named(now)}"
        raise PlanError(message, "give the environment a `stack:` of its own, or name the same one with -e")


def _named(environment: str | None) -> str:
    return f"environment `{environment}`" if environment else "no environment"


def _locked(plan: Plan, holder: Lock) -> Problem:
    message = f"stack `{plan.stack}` is locked by {holder.holder} since {holder.since}: this plan may soon be stale"
    return Problem(message, severity="warning")


# --- what an apply leaves --------------------------------------------------------------------------------------------


def _deletions(plan: Plan, observed: Observed) -> list[tuple[str, Live]]:
    """What the plan deletes, and what is deleted along with it: address, empty if it has none, and object."""
    ids = {change.id for change in plan.changes if change.action in ("delete", "replace")}
    deleted = {live.id: (str(address), live) for address, live in _all(observed) if live.id in ids}
    for id in list(deleted):
        for live in observed.dependents[id].along if id in observed.dependents else ():
            deleted.setdefault(live.id, ("", live))
    return list(deleted.values())


def _summary(plan: Plan, report: Report) -> dict[str, Any]:
    return {"stack": plan.stack, "server": plan.url, "summary": data.summary(report), "steps": data.outcomes(report)}


def _all(observed: Observed) -> list[tuple[Address, Live]]:
    return [*observed.objects.items(), *observed.orphaned_blocks]


def _ids(observed: Observed) -> frozenset[str]:
    """The ids of everything that carries the stack's mark."""
    return frozenset(live.id for _, live in _all(observed)) | {each.id for each in observed.duplicates}


# --- marks alone ------------------------------------------------------------------------------------------------------


def _marks_alone(difference: Diff) -> Diff:
    """The difference without what would change anything but marks."""
    resources = []
    living = {
        address.child for address in (difference.observed.objects if difference.observed else ()) if address.parent
    }
    living |= {each.address.child for each in difference.resources if each.address.parent and each.live}
    for resource in difference.resources:
        action = resource.change.action
        if resource.live is None or action in ("create", "delete", "forget"):
            continue
        if action == "replace" and resource.address.parent:
            continue
        differing = {each.path for each in resource.change.fields_changed}
        mark = resource.mark or Mark()
        base = {path: value for path, value in mark.base.items() if path not in differing}
        have = resource.live.values
        members = {f: tuple(m for m in ms if m in (have.get(f) or ())) for f, ms in mark.members.items()}
        parts = {key: value for key, value in mark.parts.items() if key in living}
        change = replace(resource.change, action="adopt", reason="import", fields_changed=(), recompiles=0)
        mark = Mark(base, {f: ms for f, ms in members.items() if ms}, parts)
        resources.append(replace(resource, change=change, fields={}, attach=(), detach=(), mark=mark))
    return replace(difference, resources=tuple(resources), runtime=(), unmanaged=(), guards=())
