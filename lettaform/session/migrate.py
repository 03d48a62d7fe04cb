"""Two servers and a snapshot of the first to the plan that brings it to the second, and to what differs afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from lettaform.backend.concurrency import together
from lettaform.errors import Locked, PlanError, Problem
from lettaform.model import Change, FieldChange, Plan, PlanOptions
from lettaform.ownership.state import ADDRESS
from lettaform.session import Session, check_comparable, check_talkers, take_snapshot
from lettaform.session.restore import plan_restore
from lettaform.session.snapshots import live_snapshot
from lettaform.snapshot import Snapshot
from lettaform.snapshot.compare import held_by
from lettaform.snapshot.folder import content
from lettaform.snapshot.migrated import differences, expected_messages, has_history, known_by_id_alone, without_prompts
from lettaform.snapshot.restore import creators, restorable


async def copy(session: Session, without: tuple[str, ...] = ()) -> Path:
    """The folder of a new snapshot of the first server. Writes nothing there, and so takes no lock.

    `without`: as of `snapshots.save`. Locked if another run holds the lock; PlanError if the stack has nothing, or was
    applied with another environment.
    """
    url, stack = session.backend.url, session.stack
    if session.patience is not None and (held := await session.backend.holders(stack)):
        holder = held[0]
        message = f"stack `{stack}` is locked on {url} by {holder.holder} since {holder.since}"
        raise Locked(message, f"wait for that run, or complete it with `lettaform apply --server {url}`")
    observed = await session.observe()
    check_comparable(PlanOptions(), session.manifest, observed)
    if not any(live.stack == stack for live in observed.objects.values()):
        raise PlanError(f"stack `{stack}` has no objects on {url}", "look at --from, -C and -e")
    check_talkers(without, observed.objects)
    return (await take_snapshot(session, without=without)).folder


async def plan_migration(
    session: Session,
    folder: Path,
    snapshot: Snapshot,
    patterns: tuple[str, ...] = (),
    options: PlanOptions | None = None,
) -> Plan:
    """The plan that brings a snapshot of the first server to the second. PlanError with all that is impossible."""
    if problems := list(known_by_id_alone(snapshot, session.manifest, patterns)):
        raise PlanError("the stack uses objects that it cannot take along; nothing was changed", problems=problems)
    plan = await plan_restore(session, folder, snapshot, patterns, options=options)
    _check_other_server(session, snapshot)
    if problems := await _other_histories(session, folder, snapshot, patterns):
        hint = "bring them to a server that does not have them, or name the addresses of the others"
        message = f"these agents exist on {session.backend.url} with other messages; nothing was changed"
        raise PlanError(message, hint, problems)
    return replace(plan, warnings=(*plan.warnings, *_warnings(session, snapshot, patterns)))


def _check_other_server(session: Session, snapshot: Snapshot) -> None:
    """Raise PlanError if the second server has objects of the first under the same ids."""
    assert session.observed is not None
    ids = {entry.live.id for entry in restorable(snapshot).values()}
    same = [f"{address} ({live.id})" for address, live in session.observed.objects.items() if live.id in ids]
    if same:
        first, second = snapshot.header.url, session.backend.url
        message = f"{second} has the objects of {first} under the same ids, such as {same[0]}"
        hint = "both URLs lead to one server, or to two copies of its database, which have everything already"
        raise PlanError(message, hint)


async def _other_histories(
    session: Session, folder: Path, snapshot: Snapshot, patterns: tuple[str, ...]
) -> list[Problem]:
    """The agents that exist, and do not have the messages that they would get if they were new."""
    assert session.observed is not None
    made, lives = creators(restorable(snapshot)), session.observed.objects
    entries = [(a, each, lives[a]) for a, each in restorable(snapshot, patterns).items() if a in lives]
    asked = [each for each in entries if has_history(each[1]) and each[0] not in made]
    used = [live for _, _, live in asked if not live.unused]
    answers = await together(session.backend.messages(live) for live in used)
    said = {live.id: held_by(None, answer)["messages"] for live, answer in zip(used, answers, strict=True)}
    load, found = partial(content, folder), []
    for address, entry, live in asked:
        have = said.get(live.id, [])
        if expected_messages(entry, load) != without_prompts(have):
            message = f"{address} has other messages, and messages come only with a new agent"
            found.append(Problem(message, address=str(address)))
    return found


def _warnings(session: Session, snapshot: Snapshot, patterns: tuple[str, ...]) -> Iterator[Problem]:
    """What the second server has beside the objects of the first, and what the first has left undone."""
    assert session.observed is not None
    known = {entry.live.address for entry in snapshot.entries}
    for address, live in () if patterns else sorted(session.observed.objects.items()):
        if live.stack == session.stack and address not in known:
            message = f"{address} exists on {session.backend.url} alone, and stays as it is"
            yield Problem(message, severity="warning", address=str(address))
    if snapshot.state is not None and snapshot.state.intents:
        message = (
            f"the last apply on {snapshot.header.url} did not finish: what it left undone is left undone here, too"
        )
        yield Problem(message, hint="`lettaform plan` shows it afterwards", severity="warning")


async def unlike(
    session: Session, folder: Path, snapshot: Snapshot, patterns: tuple[str, ...] = ()
) -> tuple[Change, ...]:
    """What of a snapshot a server does not have, or has with other values."""
    return (await _compared(session, folder, snapshot, patterns))[0]


async def moved(
    session: Session, folder: Path, snapshot: Snapshot, patterns: tuple[str, ...] = ()
) -> tuple[Change, ...]:
    """What has changed on the first server since its snapshot, and whether something was applied there."""
    changes, now = await _compared(session, folder, snapshot, patterns)
    before, after = (each.state.serial if each.state else 0 for each in (snapshot, now))
    if before != after:
        changes += (Change(ADDRESS, "stack", "update", None, fields_changed=(FieldChange("serial", before, after),)),)
    return changes


async def _compared(
    session: Session, folder: Path, snapshot: Snapshot, patterns: tuple[str, ...]
) -> tuple[tuple[Change, ...], Snapshot]:
    observed = await session.observe(whole=True)
    server = (session.backend, session.manifest, observed, session.directory)
    now, held = await live_snapshot(*server, snapshot, contents=True)
    return differences(snapshot, partial(content, folder), now, held, patterns), now
