"""A shard whose plan waits for other shards: until these are there, and several plans and reports to one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kind_of
from lettaform.model import Desired, External, Head, Plan, Report, Shard
from lettaform.ownership.shards import Spread, declared_owners
from lettaform.session import Session
from lettaform.session.observe import read_state

SHORTEST, LONGEST = 1.0, 15.0
"""Seconds between two looks at the server: more each time."""

Applied = tuple[Plan, Report | None]


async def until_there(session: Session, *, plan: Plan, until: float) -> bool:
    """Wait until another plan may find what this one waits for. False if the time is over.

    All that is missing exists, or one of the shards to which it belongs has been applied. Few requests find that: the
    lists of a plan are long.

    until  as of `time.monotonic`
    """
    shard = plan.options.shard
    needed = {each for every in plan.waiting.values() for each in every}
    spread = Spread(dict(declared_owners(session.manifest)))
    asked = {spread.shard_of(each, shard.count) for each in needed}
    there, claims = {*plan.names.values()}, session.backend.capabilities.claims
    missing = sorted(each for each in needed if str(each) not in there)
    visible = all(kind_of(each) in claims for each in missing)
    pause = SHORTEST
    while (left := until - time.monotonic()) > 0:
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST)
        now = (await read_state(session.backend, session.stack)).heads
        if any(_serial(now, each) != _serial(plan.state.heads, each) for each in asked):
            return True
        if missing and visible and await _exist(session, missing):
            return True
    return False


def _serial(heads: Mapping[Shard, Head], shard: Shard) -> int | None:
    return heads[shard].serial if shard in heads else None


async def _exist(session: Session, addresses: list[Address]) -> bool:
    """Whether all of these objects exist. Ends with the first that does not."""
    for address in addresses:
        external = External(stack=session.stack, address=address)
        wanted = Desired(address, kind_of(address) or "", {}, Place("", 0, 0), external=external)
        if not any(live.address == address for live in await session.backend.candidates(wanted)):
            return False
    return True


def joined(first: Applied, second: Applied) -> Applied:
    """What several applies of one shard did, as one plan and report. The last plan says what still waits."""
    (before, done), (plan, more) = first, second
    if done is None:
        return second
    changes, steps = (*before.changes, *plan.changes), (*before.steps, *plan.steps)
    if more is None:
        return replace(plan, changes=before.changes, steps=before.steps), done
    report = replace(
        more,
        outcomes=(*done.outcomes, *more.outcomes),
        requests=done.requests + more.requests,
        seconds=done.seconds + more.seconds,
        snapshot=more.snapshot or done.snapshot,
        warnings=(*done.warnings, *more.warnings),
    )
    return replace(plan, changes=changes, steps=steps), report
