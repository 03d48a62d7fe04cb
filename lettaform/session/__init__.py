"""A manifest and a backend to plans and reports: observe, plan, apply, during one run."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lettaform import __version__
from lettaform.address import Address, matches
from lettaform.apply import LOCK_LOST, Stop
from lettaform.apply import apply as carry_out
from lettaform.backend import Backend
from lettaform.backend.concurrency import cancelled
from lettaform.backend.runner import ci_run, runner
from lettaform.errors import NotFound, Place, PlanError, Problem, UnreadableState, nearest
from lettaform.kinds import dependent_kinds, kind_of, kinds, spreading_fields
from lettaform.kinds.traits import SourceFile
from lettaform.manifest import without_garbage_collection
from lettaform.model import (
    WHOLE,
    Applied,
    Change,
    Commit,
    Desired,
    Detach,
    Event,
    Live,
    Lock,
    Manifest,
    Mark,
    Moved,
    Observed,
    Plan,
    PlanOptions,
    Report,
    Step,
)
from lettaform.ownership import claims, others
from lettaform.ownership.unowned import is_temporary
from lettaform.plan import Diff, ResourceChange, diff, make, shards
from lettaform.plan.canaries import without_held
from lettaform.plan.limits import limited
from lettaform.plan.matches import expand
from lettaform.plan.moves import relocate, without_duplicates
from lettaform.plan.order import readdress, remark
from lettaform.plan.saved import plan_digest
from lettaform.session import last_apply
from lettaform.session.commit import commit_of
from lettaform.session.early import Early
from lettaform.session.files import WORKING, make_working_folder
from lettaform.session.interrupt import interruptible
from lettaform.session.last_apply import Kept
from lettaform.session.loading import Loading
from lettaform.session.observe import (
    FirstReads,
    OtherStacks,
    declared_fields,
    is_whole,
    observe,
    owners_of,
    read_contents,
    whole_fields,
)
from lettaform.session.policies import judged
from lettaform.values import Item

if TYPE_CHECKING:  # a plan needs none of it
    from lettaform.session.snapshots import Saved
    from lettaform.snapshot.format import Scope

__all__ = [
    "SNAPSHOTS",
    "Notify",
    "Session",
    "Snapshots",
    "check_comparable",
    "check_patterns",
    "check_talkers",
    "held_by",
    "observe_lists",
    "select",
    "take_snapshot",
    "unknown",
]

SNAPSHOTS = WORKING / "snapshots"
"""The directory of snapshots, below the project."""

RESTORING = frozenset({"restore", "rollback", "migrate"})
"""The verbs that bring back a snapshot. What they overwrite is kept in another one."""

Notify = Callable[[Event], None]
_T = TypeVar("_T")


@dataclass(frozen=True)
class Snapshots:
    """What an apply does with its snapshot.

    directory  where it is written. Default: `snapshots.to` of the manifest, or `.lettaform/snapshots` of the project
    announce   called with the folder once it is proven, before anything is written to the server
    warn       called before it with what the snapshot lacks
    changed    whether what is updated is kept, too, and not only what is destroyed
    """

    directory: Path | None = None
    announce: Callable[[Path], None] = lambda folder: None
    changed: bool = False
    warn: Callable[[Problem], None] = lambda problem: None


class Session:
    """One manifest and one backend during one run. `observed` is what the last plan was made from."""

    manifest: Manifest

    def __init__(
        self, manifest: Manifest | Loading, backend: Backend, directory: Path, patience: float | None = None
    ) -> None:
        """`directory`: the project. `patience`: seconds to wait for the lock; None: no lock is used.

        A plan waits for a manifest that is loading. Everything else needs it whole. `.lettaform` is below `working`.
        """
        self.backend, self.directory, self.working, self.patience = backend, directory, directory, patience
        self.stack = manifest.stack
        self.loading = manifest if isinstance(manifest, Loading) else None
        if isinstance(manifest, Manifest):
            self.manifest = manifest
        self.first: FirstReads | None = None
        """The first reads, while the manifest is loading, or from before; `early` compares their pages for a plan."""
        self.early: Early | None = None
        self.observed: Observed | None = None
        self.snapshots = Snapshots()
        self.shard = WHOLE
        """The shard that the run is about."""
        self.commit: Callable[[], Commit | None] = partial(commit_of, directory)
        """The git commit of the manifest, for the history of the stack."""
        self.lost = asyncio.Event()
        self.locked_by_us = self.locked_by_others = False
        self.probed: set[tuple[Address, frozenset[str]]] = set()
        """Address and fields that the server has checked. They need no second check: the manifest does not change."""

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Hold the lock of the stack or the shard, if the run uses it. Raises Locked after `patience` seconds."""
        if self.patience is None:
            yield
            return
        async with self.backend.lock(self.stack, self.patience, self.shard) as self.lost:
            self.locked_by_us = True
            yield

    async def observe(self, *, whole: bool = False, matched: bool = False) -> Observed:
        """Read the live objects. Raises PlanError if it is not certain which objects belong to the stack.

        whole    read all fields that lists can hold, declared or not
        matched  read the agents that `matches` selects, too, and add them to the manifest
        """
        self.observed = await self._observe(whole=whole, matched=matched)
        return self.observed

    async def _observe(self, *, whole: bool, matched: bool = False) -> Observed:
        """What `observe` reads. What the last plan was made from stays."""
        observed = await _consistent(lambda: self.first_observed(whole=whole, matched=matched))
        _check_certain(observed)
        return observed

    # --- plan

    async def plan(self, options: PlanOptions) -> Plan:
        """Observe, compare, let the server check what would be written, and order the steps. Raises PlanError."""
        with without_garbage_collection():
            return await self._plan(options)

    async def _plan(self, options: PlanOptions) -> Plan:
        read = partial(self.differences, options, hold=True)
        if self.loading is not None and not options.destroy:
            self.early = Early(self.backend, options)
        (observed, difference), holder = await self.beside_holder(read, whole=options.destroy)
        self.locked_by_others, self.observed = holder is not None, observed
        problems = await self.probe(difference, observed)
        difference = replace(difference, problems=(*difference.problems, *problems))
        plan = make(self.manifest, observed, options, limited(difference, self.manifest, observed, options))
        return judged(plan if holder is None else _beside(plan, holder), self.manifest, observed)

    async def beside_holder(
        self, read: Callable[[], Coroutine[Any, Any, _T]], *, whole: bool = False
    ) -> tuple[_T, Lock | None]:
        """What `read` returns once the manifest is loaded, and the lock of another run. `whole`: as of `observe`."""
        looked = asyncio.create_task(self._holder())
        try:
            await self._load(whole)
            return await _consistent(read), await looked
        finally:
            await cancelled(looked)
            if self.first is not None:
                await self.first.cancel()

    async def _holder(self) -> Lock | None:
        """The lock of another run that changes what this one reads."""
        held = () if self.locked_by_us else await self.backend.holders(self.stack)
        return next((lock for lock in held if lock.shard.excludes(self.shard)), None)

    async def _load(self, whole: bool) -> None:
        """Wait for the manifest, with the first reads under way."""
        if self.loading is not None:
            fields = whole_fields(self.loading.fields) if whole else self.loading.fields
            arrived = self.early.arrived if self.early else None
            self.first = await FirstReads.of(self.backend, self.stack, fields, arrived, self.first)
            self.manifest = await self.loading.manifest
            self.loading = None
            if self.early is not None:
                self.early.manifest = self.manifest

    async def first_observed(self, *, whole: bool = False, matched: bool = False) -> Observed:
        """What the first reads found, if they are under way; otherwise what is read now. Parameters: of `observe`."""
        first, self.first = self.first, None  # what is read again is read for the manifest alone
        if first is None and whole:
            first = FirstReads(self.backend, self.stack, whole_fields(declared_fields(self.manifest)))
        observed = await observe(self.backend, self.manifest, first=first, matched=matched)
        self.manifest = expand(self.manifest, observed)
        return observed

    async def differences(
        self, options: PlanOptions, *, hold: bool = False, matched: bool = True
    ) -> tuple[Observed, Diff]:
        """What was observed and the Diff, with users and dependents. `hold`: of a plan; `matched`: of `observe`."""
        _check_overwritten(options, self.manifest)
        if options.destroy:  # an object that the stack has not taken over yet is not its own to delete
            self.manifest = replace(self.manifest, imports=())
        # a destroy keeps all of it in a snapshot
        observed = await self.first_observed(whole=options.destroy, matched=matched)
        observed = shards.certain(observed, self.manifest, options.shard)
        _check_environment(self.manifest, observed)
        _check_patterns(options, self.manifest, observed)
        options = without_held(options, self.manifest, observed) if hold else options
        waiting = shards.waiting(self.manifest, observed, options)
        settled = self.early.settled(observed) if self.early else {}
        difference = diff(self.manifest, observed, options, settled, waiting)
        if problems := await _disputes(self.backend, self.stack, difference, observed):
            observed = replace(observed, problems=(*observed.problems, *problems))
            difference = replace(difference, problems=(*difference.problems, *problems))
        shared, deleted = _shared(difference, difference.observed or observed), _deleted(difference)
        if shared or deleted:
            observed = await self._with_users(observed, shared, deleted)
            difference = diff(self.manifest, observed, options, difference.settled, waiting)
        if difference.owners:
            lists = [await self.backend.owned(kind, ids) for kind, ids in difference.owners.items()]
            observed = replace(observed, owned={id: lives for owned in lists for id, lives in owned.items()})
            difference = diff(self.manifest, observed, options, difference.settled, waiting)
        return observed, difference

    async def _with_users(self, observed: Observed, shared: list[Live], deleted: list[Live]) -> Observed:
        """`observed` with the users of shared objects and the dependents of deleted ones."""
        users, dependents = await self.backend.users(shared, observed.attached), await self.backend.dependents(deleted)
        observed = replace(observed, users=users, dependents=dependents)
        seen = _ids(observed)
        for each in (each for every in dependents.values() for each in (*every.cascades, *every.blockers)):
            if each.stack == self.manifest.stack and each.id not in seen:
                message = f"{each.address} was created while the server was read: {each.id}"
                raise _ChangedWhileRead(message, "plan again; if that does not help, run `lettaform state rebuild`")
        return observed

    async def probe(self, difference: Diff, observed: Observed) -> list[Problem]:
        """What the server would refuse of the changes. Each object and field is checked once per run."""
        unchecked = [each for each in difference.resources if _needs_check(each)]
        written = [(each.desired, _written(each.change)) for each in unchecked if each.desired]
        asked = [(desired, fields) for desired, fields in written if (desired.address, fields) not in self.probed]
        problems = await self.backend.probe(asked, observed) if asked else []
        if not problems:
            self.probed |= {(desired.address, fields) for desired, fields in asked}
        return problems

    # --- apply

    async def apply(
        self,
        plan: Plan,
        notify: Notify = lambda event: None,
        parallel: int = 8,
        *,
        verb: str = "apply",
        undoes: Kept | None = None,
    ) -> Report:
        """Prove a snapshot of what the plan destroys, then carry out the Steps. Errors of Steps are in the Report.

        verb    the name under which the history of the stack keeps the run
        undoes  what a rollback restores
        """
        assert self.observed is not None, "a plan comes first"
        kept = await _keep(self, plan, self.observed, "restore" if verb in RESTORING else "plan")
        if kept.snapshot is not None:  # an apply that is killed can be rolled back, too
            last_apply.write(self.working, plan, kept, undoes, finished=False)
        run = _applied(plan, verb, self.commit() or Commit("", False))
        with interruptible() as stop:
            watch = asyncio.create_task(_watch(self.lost, stop))
            try:
                known = _ids(self.observed)
                report = await carry_out(
                    plan, self.backend, known=known, parallel=parallel, notify=notify, stop=stop, run=run
                )
            finally:
                watch.cancel()
        report = replace(report, snapshot=kept.snapshot, warnings=kept.warnings)
        last_apply.write(self.working, plan, report, undoes, finished=report.exit_code == 0)
        return report

    # --- marks alone

    async def adopt(self, address: Address, id: str) -> Plan:
        """The plan that marks an existing object as the one at an address, and changes nothing else."""
        desired = self.manifest.objects.get(address)
        if desired is None or desired.external or address.parent:
            raise await _not_adoptable(self.backend, address, id, desired)
        observed = await observe(self.backend, replace(self.manifest, imports=()))
        present = observed.objects.get(address)
        if present is not None and present.id != id and not any(each.id == id for each in observed.duplicates):
            raise PlanError(f"{address} is already {present.id}", f"`lettaform state rm '{address}'` forgets that one")
        live, blocks = await self.backend.one(desired.kind, id)
        known = await owners_of(live, self.manifest, observed, OtherStacks(self.backend, self.stack))
        if problem := claims.adoption_problem(observed, self.manifest, address, live, known):
            raise PlanError(problem.message, problem.hint)
        if live.address and live.address != address and observed.objects.get(live.address, live).id == id:
            hint = f"`lettaform state mv '{live.address}' '{address}'` moves it"
            raise PlanError(f"{id} is {live.address} of this stack", hint)
        observed = claims.adopt(observed, self.manifest, address, live, blocks)
        self.observed = observed = await read_contents(self.backend, self.manifest, observed)
        difference = diff(self.manifest, observed, PlanOptions(target=(str(address),)))
        return make(self.manifest, observed, PlanOptions(), _marks_alone(difference))

    def remark(self, observed: Observed, forgotten: frozenset[Address] = frozenset()) -> Plan:
        """The plan that writes the state again, and forgets some objects with their parts."""
        return self._writing(observed, remark(observed, self.manifest, forgotten))

    async def move(self, observed: Observed, old: Address, new: Address) -> Plan:
        """The plan that gives an object and its parts another address. PlanError if that is impossible."""
        observed = without_duplicates(observed, self.stack, {new})
        moves = relocate(observed, [Moved(old, new, Place("", 0, 0))])
        if moves.blocked or new not in moves.observed.objects:
            other = observed.objects[new].id if new in observed.objects else "held by another block"
            raise PlanError(f"{new} is already {other}", f"`lettaform state rm '{new}'` forgets that one")
        await _check_own(self.backend, moves.observed, old, new)
        return self._writing(moves.observed, readdress(moves.observed, new, self.manifest))

    def _writing(self, observed: Observed, steps: tuple[Step, ...]) -> Plan:
        self.observed = observed
        return Plan(self.manifest.stack, observed.url, observed.version, steps=steps, state=observed.state)


async def _disputes(backend: Backend, stack: str, difference: Diff, observed: Observed) -> list[Problem]:
    """The problems that another stack, too, owns an object that would be written and carries no claim."""
    claimed = observed.capabilities.claims
    written = [(each.address, each.live) for each in difference.resources if each.live]
    written = [(address, live) for address, live in written if live.kind not in claimed]
    if not written:
        return []
    known = others.read(await backend.states(), stack)
    found = (others.disputed(live, address, known) for address, live in written)
    return [problem for problem in found if problem]


async def _check_own(backend: Backend, observed: Observed, old: Address, new: Address) -> None:
    """Raise PlanError if a block cannot become an own block: it has no agent, or other agents use it."""
    owner, block = observed.objects.get(new.parent) if new.parent else None, observed.objects[new]
    if new.parent is None:
        return
    if owner is None:
        raise unknown(str(new.parent), [str(a) for a, live in observed.objects.items() if live.kind == "agent"])
    if not backend.capabilities.attach_parts:
        raise PlanError(f"{old} cannot become {new}", "this server keeps own blocks in their agent")
    users = (await backend.users([block], observed.attached)).get(block.id, frozenset()) - {owner.id}
    if old.parent is None and users:
        names = {live.id: str(address) for address, live in observed.objects.items()}
        using = " and ".join(sorted(names.get(id, id) for id in users))
        hint = "`moved` in the manifest moves it, and detaches it from agents that no longer declare it"
        raise PlanError(f"{old} cannot become {new}: it is also attached to {using}", hint)


async def _not_adoptable(backend: Backend, address: Address, id: str, desired: Desired | None) -> PlanError:
    """The error that nothing can be adopted under an address. It suggests no other address: that marks another."""
    if address.parent and desired is not None:
        hint = f"attach the block to that agent: the next apply adopts it by its label, `{desired.values['label']}`"
        return PlanError(f"{address} is an own block of {address.parent}, and comes with it", hint)
    if address.parent:
        hint = f"`lettaform import '{address.parent}' ID` adopts an agent with its memory"
        return PlanError(f"{address} is a part of {address.parent}, and is not imported by itself", hint)
    if desired is not None:
        hint = "to own it, declare its fields instead of `external: true`"
        return PlanError(f"{address} is external: this stack uses it, and does not own it", hint)
    message = f"the manifest does not declare {address}"
    if address.index is not None:
        hint = f"declare it first: `{address.index}` in the `for_each` of {address.instance(None)}"
        return PlanError(message, hint)
    live, _ = await backend.one(kind_of(address) or "", id)
    return PlanError(message, f"declare it first: `{_declaration(address, live)}`")


def _applied(plan: Plan, verb: str, commit: Commit) -> Applied:
    """What the history of the stack keeps of a run that begins."""
    return Applied(0, "", runner(), verb, __version__, ci_run(), commit.commit, commit.dirty, plan_digest(plan))


def unknown(pattern: str, known: list[str], *, guess: bool = True) -> PlanError:
    """The error for a pattern that matches no address.

    guess  whether the nearest address may be suggested; False where the verb would forget or overwrite that object
    """
    near = nearest(pattern, known) if guess else None
    hint = f"did you mean `{near}`?" if near else f"there are {', '.join(sorted(known)[:8]) or 'none'}"
    return PlanError(f"no object has the address `{pattern}`", hint)


def check_patterns(patterns: Iterable[str], known: Collection[Address], *, guess: bool = True) -> None:
    """Raise PlanError for a pattern that matches none of the addresses. `guess`: as of `unknown`."""
    for pattern in patterns:
        if not any(matches(address, (pattern,)) for address in known):
            raise unknown(pattern, list(map(str, known)), guess=guess)


def check_talkers(patterns: Iterable[str], known: Collection[Address]) -> None:
    """Raise PlanError for a pattern that matches no agent and no conversation: nothing else has messages."""
    talking = [address for address in {*known} if (kind := kind_of(address)) and kinds()[kind].agent_file]
    for pattern in patterns:
        if any(matches(address, (pattern,)) for address in talking):
            continue
        if any(matches(address, (pattern,)) for address in known):
            hint = f"there are {', '.join(sorted(map(str, talking))[:8])}" if talking else None
            raise PlanError(f"`{pattern}` names no agent and no conversation, and nothing else has messages", hint)
        raise unknown(pattern, list(map(str, talking)))


def select(lives: Iterable[Live], pattern: str | None) -> list[Live]:
    """The objects whose address matches a pattern; all of them for None. Raises PlanError if none matches."""
    every = list(lives)
    found = [live for live in every if pattern is None or (live.address and matches(live.address, (pattern,)))]
    if pattern is not None and not found:
        raise unknown(pattern, [str(live.address) for live in every if live.address])
    return found


async def observe_lists(session: Session, manifest: Manifest) -> Observed:
    """What lists show of the objects of a manifest. The number of requests does not grow with that of the objects.

    Raises PlanError as `Session.observe`. What the last plan of the session was made from stays.
    """
    observed = await _consistent(lambda: observe(session.backend, manifest, contents=False))
    _check_certain(observed)
    return observed


def _declaration(address: Address, live: Live) -> str:
    """The least that a manifest must declare of an object to adopt it under an address and keep its name."""
    table = kinds()[live.kind]
    owner = table.owner_line()
    fields = {owner.name: "KEY"} if owner else {}
    for name in table.naming.fields or (table.name_field,):
        if table.attrs()[name].related(SourceFile):
            fields[name] = "FILE"
            break
        if (value := live.values.get(name)) is not None:
            fields[name] = json.dumps(value, ensure_ascii=False)
    key = address.key if address.key.replace("-", "_").isidentifier() else json.dumps(address.key, ensure_ascii=False)
    return f"{address.section}: {{{key}: {{{', '.join(f'{name}: {text}' for name, text in fields.items())}}}}}"


# --- reading again ---------------------------------------------------------------------------------------------------


class _ChangedWhileRead(PlanError):
    """An object of the stack was created between two requests, for example by an earlier apply that was killed."""


async def _consistent(read: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """The result of several requests; read again if an object was created or deleted between two of them."""
    for _ in range(2):
        # a large state that was saved between two requests has a page missing
        with suppress(NotFound, UnreadableState, _ChangedWhileRead):
            return await read()
    return await read()


def _shared(difference: Diff, observed: Observed) -> list[Live]:
    """The shared objects that would be deleted, rewritten or adopted: the plan needs their users."""
    pending, capabilities = observed.state.pending, observed.capabilities
    found = []
    for resource in difference.resources:
        live, change = resource.live, resource.change
        if live is None or not kinds()[live.kind].shared:
            continue
        moved = observed.state.relocated.get(live.id)
        was_shared = not live.marked or (moved is not None and not moved.before.parent)
        written = _written(change)
        spreads = bool(spreading_fields(live.kind).keys() & written)
        if live.kind in capabilities.recompiling:
            rewritten = change.recompiles > 0 or resource.address in pending
        else:
            compiled = live.kind in capabilities.recompiles and written & kinds()[live.kind].compiled
            rewritten = bool(compiled) or resource.address in pending
        rewritten = rewritten and change.action in ("update", "adopt")
        if change.action in ("delete", "replace") or rewritten or spreads or (was_shared and resource.address.parent):
            found.append(live)
    return found


def _deleted(difference: Diff) -> list[Live]:
    """The objects that would be deleted and may have dependents."""
    deleted = [each.live for each in difference.resources if each.live and each.change.action in ("delete", "replace")]
    return [live for live in deleted if live.kind in kinds()[live.kind].discovers or dependent_kinds(live.kind)]


def _needs_check(resource: ResourceChange) -> bool:
    """Whether only the server can check the change."""
    change = resource.change
    return bool(change.fields_changed or change.recompiles or (resource.desired and resource.desired.external))


def _written(change: Change) -> frozenset[str]:
    return frozenset(each.path.split(".")[0] for each in change.fields_changed)


# --- preconditions of a plan -----------------------------------------------------------------------------------------


def _check_overwritten(options: PlanOptions, manifest: Manifest) -> None:
    """Raise PlanError for a pattern of values to write that matches no declared address, or for one given twice."""
    if both := sorted({*options.ours} & {*options.theirs}):
        raise PlanError(f"--ours and --theirs both name `{both[0]}`", "give one of the two")
    written = (*options.reseed, *options.ours, *options.theirs)
    check_patterns([each for each in written if not _is_of_match(each, manifest)], manifest.objects, guess=False)


def _is_of_match(pattern: str, manifest: Manifest) -> bool:
    """Whether a pattern names what an entry of `matches` declares: which agents it selects is not known yet."""
    return any(pattern == str(each.address) or pattern.startswith(f"{each.address}[") for each in manifest.matches)


def _check_patterns(options: PlanOptions, manifest: Manifest, observed: Observed) -> None:
    """Raise PlanError for a pattern that matches no address, declared or live. `allow_destroy` may match none."""
    if not (options.target or options.exclude or options.without_messages):
        return
    moved = {entry.old for entry in manifest.moved}
    live = {address for address, each in _all(observed) if each.stack == manifest.stack} - moved
    matched = (*(match.address for match in manifest.matches), *observed.state.matched_agents)
    check_patterns((*options.target, *options.exclude), (*manifest.objects, *live, *matched))
    check_talkers(options.without_messages, (*manifest.objects, *live))


def check_comparable(options: PlanOptions, manifest: Manifest, observed: Observed) -> None:
    """Raise PlanError if a manifest cannot be compared with the live objects. What only an apply needs is left out."""
    _check_overwritten(options, manifest)
    _check_patterns(options, manifest, observed)
    _check_certain(observed)
    _check_environment(manifest, observed)


def _check_certain(observed: Observed) -> None:
    if observed.problems:
        raise PlanError("it is not certain which objects belong to the stack", problems=observed.problems)


def _check_environment(manifest: Manifest, observed: Observed) -> None:
    before, now = observed.state.environment, manifest.environment
    if observed.state.serial and before != now:  # the empty state of a killed apply has the serial 0
        message = f"stack `{manifest.stack}` was applied with {_named(before)}, and this is {_named(now)}"
        raise PlanError(message, "choose the same environment with -e, or give this one its own `stack:`")


def _named(environment: str | None) -> str:
    return f"environment `{environment}`" if environment else "no environment"


def _beside(plan: Plan, holder: Lock) -> Plan:
    """The plan, with the warning that another run holds the lock."""
    return replace(plan, warnings=(*plan.warnings, held_by(plan.stack, holder, "this plan may soon be stale")))


def held_by(stack: str, holder: Lock, effect: str) -> Problem:
    """The warning that another run holds the lock of a stack. `effect`: what that means for what is shown."""
    what = f"shard {holder.shard} of stack `{stack}`" if holder.shard else f"stack `{stack}`"
    return Problem(f"{what} is locked by {holder.holder} since {holder.since}: {effect}", severity="warning")


async def _watch(lost: asyncio.Event, stop: Stop) -> None:
    """Stop the apply when the lock is lost."""
    await lost.wait()
    stop.reason = LOCK_LOST


async def take_snapshot(
    session: Session,
    wanted: Collection[str] | None = None,
    updated: Collection[str] = frozenset(),
    scope: Scope = "stack",
    without: tuple[str, ...] = (),
) -> Saved:
    """Write and prove a snapshot, and announce it. Raises SnapshotError.

    `wanted`, `updated`, `scope`, `without`: as of `snapshots.save`.
    """
    from lettaform.session.snapshots import save

    declared = session.manifest.snapshots
    default = session.directory / declared if declared else session.working / SNAPSHOTS
    directory = session.snapshots.directory or default
    if directory.is_relative_to(session.working / WORKING):
        with suppress(OSError):  # the folder of the snapshot cannot be made either, and that error says why
            make_working_folder(session.working)
    known = session.observed if session.observed and is_whole(session.observed) else None
    whole = partial(session._observe, whole=True)
    asked = (wanted, updated, scope, known, without)
    saved = await save(session.backend, session.manifest, whole, session.directory, directory, *asked)
    for warning in saved.warnings:
        session.snapshots.warn(warning)
    session.snapshots.announce(saved.folder)
    return saved


async def _keep(session: Session, plan: Plan, observed: Observed, scope: Scope) -> Report:
    """The report of an apply before its first step: the snapshot of what it destroys, and updates if that is asked for.

    No snapshot is taken if there is none of it.
    """
    promotes = plan.options.promotion is not None
    wanted, keeps_changes = _destroyed(plan), promotes or session.snapshots.changed or session.manifest.keeps_changes
    updated = _overwritten(plan, observed) if keeps_changes else frozenset[str]()
    if not (wanted or updated):
        return Report()
    saved = await take_snapshot(session, wanted, updated, scope, plan.options.without_messages)
    return Report(snapshot=str(saved.folder), warnings=saved.warnings)


def _destroyed(plan: Plan) -> frozenset[str]:
    """The ids of the objects that a plan deletes or replaces, or from which it removes passages or files."""
    ids = {change.id for change in plan.changes if change.id and change.action in ("delete", "replace")}
    ids |= {step.id for step in plan.steps if isinstance(step, Detach) and isinstance(step.member, Item) and step.id}
    return frozenset(ids)


def _overwritten(plan: Plan, observed: Observed) -> frozenset[str]:
    """The ids of the objects that a plan updates, each with its own blocks, or with the agent whose block it is."""
    changed = [change for change in plan.changes if change.id and change.action == "update"]
    updated = {change.id for change in changed if change.fields_changed}  # others are compiled again, no more
    mine = {address: live for address, live in observed.objects.items() if live.stack == plan.stack}
    lives = {address: live for address, live in mine.items() if not is_temporary(address)}
    # by id: what moves has its old address here
    owners = {address.parent or address for address, live in lives.items() if live.id in updated}
    return frozenset(live.id for address, live in lives.items() if not owners.isdisjoint((address, address.parent)))


def _all(observed: Observed) -> list[tuple[Address, Live]]:
    return [*observed.objects.items(), *observed.orphaned_blocks]


def _ids(observed: Observed) -> frozenset[str]:
    """The ids of all objects of the stack, with orphaned blocks and duplicates."""
    return frozenset(live.id for _, live in _all(observed)) | {each.id for each in observed.duplicates}


# --- marks alone ------------------------------------------------------------------------------------------------------


def _marks_alone(difference: Diff) -> Diff:
    """The difference with changes of marks alone."""
    resources = []
    existing = {
        address.child for address in (difference.observed.objects if difference.observed else ()) if address.parent
    }
    existing |= {each.address.child for each in difference.resources if each.address.parent and each.live}
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
        parts = {key: value for key, value in mark.parts.items() if key in existing}
        change = replace(resource.change, action="adopt", reason="import", fields_changed=(), recompiles=0)
        mark = Mark(base, {f: ms for f, ms in members.items() if ms}, parts, promoted=mark.promoted)
        resources.append(replace(resource, change=change, fields={}, attach=(), detach=(), mark=mark))
    return replace(difference, resources=tuple(resources), runtime=(), unmanaged=(), guards=())
