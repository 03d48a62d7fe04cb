"""A session and a snapshot to the plan that restores it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from lettaform.address import Address, matches
from lettaform.backend import Backend
from lettaform.backend.concurrency import together
from lettaform.errors import NotFound, PlanError, Problem
from lettaform.kinds import kinds
from lettaform.kinds.traits import Contents
from lettaform.model import Live, Observed, Plan, PlanOptions
from lettaform.ownership.unowned import is_temporary
from lettaform.plan import Diff, make
from lettaform.plan.selection import without_messages
from lettaform.session import Session, check_patterns, check_talkers
from lettaform.session.gather import read, with_listed
from lettaform.session.last_apply import Kept
from lettaform.session.server import is_same_server
from lettaform.snapshot import Snapshot
from lettaform.snapshot.conversations import Seen
from lettaform.snapshot.folder import content
from lettaform.snapshot.moved import at_present
from lettaform.snapshot.restore import creators, restorable, restoration, restored, unseen
from lettaform.snapshot.unowned import Present, made_by_agents, users_of

REFUSED = "the snapshot cannot be restored; nothing was changed"


async def plan_restore(
    session: Session,
    folder: Path,
    snapshot: Snapshot,
    patterns: tuple[str, ...] = (),
    *,
    renamed: bool = False,
    options: PlanOptions | None = None,
) -> Plan:
    """The plan that brings back the objects of a snapshot as they were, with their marks. Raises PlanError.

    patterns  addresses; empty: everything in the snapshot that has an address
    renamed   whether the snapshot may be of another stack
    options   of the plan: `without_messages` alone
    """
    options = options or PlanOptions()
    declared, header = session.manifest, snapshot.header
    if header.stack != session.stack and not renamed:
        hint = f"choose the manifest of `{header.stack}`, or restore it as this stack with `--as`"
        raise PlanError(f"the snapshot is of the stack `{header.stack}`, and the manifest of `{session.stack}`", hint)
    observed = await session.observe(whole=True)
    present = at_present(snapshot, observed, session.stack)
    snapshot = present.snapshot
    known = [entry.live.address for entry in snapshot.entries if entry.live.address and not entry.used]
    check_patterns(patterns, known)
    if problems := [each for at, each in present.problems.items() if not patterns or matches(at, patterns)]:
        raise PlanError(REFUSED, problems=problems)
    if observed.state.serial and observed.state.environment != header.environment and not renamed:
        names = [
            f"environment `{each.environment}`" if each.environment else "no environment"
            for each in (header, observed.state)
        ]
        raise PlanError(f"the snapshot is of {names[0]}, and the stack of {names[1]}", "choose another snapshot")
    check_talkers(options.without_messages, (*known, *observed.objects))
    agents, talks = unseen(snapshot, observed, patterns)
    unread = without_messages(observed.objects.values(), options.without_messages)
    seen = await _seen(session.backend, [live for live in agents if live.id not in unread], talks)
    made = await _present(session, snapshot, observed)
    found = restoration(snapshot, partial(content, folder), observed, declared, patterns, seen, made)
    problems = list(found.problems)
    if not renamed and is_same_server(header.url, session.backend.url):
        problems += await _not_owned(session, snapshot, observed, patterns)
    if problems:
        raise PlanError(REFUSED, problems=problems)
    session.manifest = found.manifest
    observed, difference = await session.differences(PlanOptions(), matched=False)  # no snapshot has what others own
    session.observed, difference = observed, restored(difference, found)
    if problems := [_of_snapshot(each, difference) for each in await session.probe(difference, observed)]:
        raise PlanError(REFUSED, problems=problems)
    plan = make(found.manifest, observed, options, difference)
    # a snapshot of what is overwritten has what the stack lets go of as nobody's
    objects = {address: each for address, each in found.manifest.objects.items() if address not in found.brought}
    session.manifest = replace(found.manifest, objects=objects)
    moved = (_moved(now, old) for now, old in present.moved.items() if not patterns or matches(now, patterns))
    return replace(plan, manifest=None, warnings=(*plan.warnings, *moved, *found.warnings))


def _moved(now: Address, old: Address) -> Problem:
    return Problem(f"{now} is {old} in the snapshot, and keeps its address", severity="warning", address=str(now))


async def _not_owned(
    session: Session, snapshot: Snapshot, observed: Observed, patterns: tuple[str, ...]
) -> list[Problem]:
    """The objects that the stack no longer owns and the server still has: another one of each would be created."""
    entries = restorable(snapshot, patterns)
    made = creators(entries)
    gone = [
        (address, entry.live)
        for address, entry in entries.items()
        if not (address in observed.objects or address.parent or address in made or kinds()[entry.live.kind].unique)
    ]
    answers = await session.backend.several([(live.kind, live.id) for _, live in gone]) if gone else []
    found = []
    for (address, live), answer in zip(gone, answers, strict=True):
        if not isinstance(answer, NotFound):
            stack = answer[0].stack
            owner = f"stack `{stack}`" if stack else "no stack"
            message = f"{address}: {live.id} still exists, and {owner} owns it"
            hint = None if stack else f"`lettaform import '{address}' {live.id}` adopts it as it is"
            found.append(Problem(message, hint=hint, address=str(address)))
    return found


def _of_snapshot(problem: Problem, difference: Diff) -> Problem:
    """A problem of a value of a snapshot, which has no place. The models of a provider exist once it does."""
    new = [each.change for each in difference.resources if each.change.action == "create"]
    providers = ", ".join(str(change.address) for change in new if change.kind == "provider")
    hint = problem.hint
    if providers and problem.field in ("model", "embedding"):
        hint = f"if it is a model of {providers}, bring that first: name its address"
    return replace(problem, place=None, hint=hint)


async def _seen(backend: Backend, agents: Sequence[Live], talks: Sequence[Live]) -> Seen:
    """The messages of agents, and the own copies of blocks of conversations."""
    messages = dict(zip((each.id for each in agents), await together(map(backend.messages, agents)), strict=True))
    wanted = {id: talk.id for talk in talks for id in talk.discovered.get("block", ())}
    fetched = await backend.fetch([("block", id) for id in wanted]) if wanted else None
    found = defaultdict[str, list[Live]](list)
    for block in fetched.objects.get("block", ()) if fetched else ():
        found[wanted[block.id]].append(block)
    return Seen(messages, {id: tuple(every) for id, every in found.items()})


async def _present(session: Session, snapshot: Snapshot, observed: Observed) -> Present:
    """What the server has of what agents made themselves, and of what its agents have in its place."""
    backend, stack = session.backend, session.stack
    made = made_by_agents(snapshot, session.manifest, observed.capabilities)
    wanted = {id: entry.live.kind for id, entry in made.items()}
    lives = await read(backend, stack, wanted) if snapshot.header.stack == stack and wanted else {}
    archives = {id for id, kind in wanted.items() if kinds()[kind].relations(Contents)}
    if not archives:
        return Present(lives)
    listed = {live.id: live for live in (await backend.listing(stack, {"archive": ()})).objects.get("archive", ())}
    begun = {each.address: each for each in listed.values() if each.stack == stack and each.address}
    addresses = {address for every in users_of(snapshot, archives).values() for address in every}
    users = [observed.objects[address] for address in addresses if address in observed.objects]
    having = {user.id: user.ids("archive") for user in await with_listed(backend, stack, users, observed)}
    held = {user: listed[id] for user, ids in having.items() for id in ids if id in listed}
    asked = {live.id: live for live in (*held.values(), *(lives[id] for id in archives if id in lives))}
    answers = await together(backend.all_items(live) for live in asked.values())
    keys = [{item.key for items in answer.values() for item in items} for answer in answers]
    begun = {address: live for address, live in begun.items() if is_temporary(address)}
    return Present(lives, held, begun, dict(zip(asked, keys, strict=True)))


async def plan_rollback(session: Session, kept: Kept, snapshot: Snapshot, options: PlanOptions | None = None) -> Plan:
    """The plan that restores what the last apply from a project changed. PlanError if it was to another server."""
    if kept.url != session.backend.url:
        message = f"the last apply from this folder was to {kept.url}, and this is {session.backend.url}"
        raise PlanError(message, "choose the same server")
    plan = await plan_restore(session, kept.folder, snapshot, options=options)
    last = plan.state.history[-1:]
    for run in last:
        if run.digest not in kept.digests and run.at > snapshot.header.created_at:
            message = (
                f"after the last apply from this folder, `{run.verb}` ran at {run.at} by {run.by}; it is not undone"
            )
            return replace(plan, warnings=(*plan.warnings, Problem(message, severity="warning")))
    return plan
