"""A session to a StackStatus: the reads of a plan, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from lettaform.manifest import without_garbage_collection
from lettaform.model import PlanOptions
from lettaform.plan.status import StackStatus, StatusOptions, status
from lettaform.session import Session, check_patterns, held_by
from lettaform.session.early import Early


async def read_status(session: Session, options: StatusOptions) -> StackStatus:
    """What is on the server, compared as a plan compares it. Takes no lock, and writes nothing.

    Raises PlanError for a pattern that matches no address, and where a plan cannot tell which objects are the stack's.
    """
    asked = PlanOptions()
    with without_garbage_collection():
        if session.loading is not None:
            session.early = Early(session.backend, asked)
        (_, difference), holder = await session.beside_holder(partial(session.differences, asked))
        found = status(session.manifest, difference, options.shard)
    check_patterns(options.patterns, [each.address for each in found.objects])
    if holder is None:
        return found.select(options)
    warning = held_by(session.stack, holder, "what is shown may soon change")
    return replace(found.select(options), lock=holder, warnings=(*found.warnings, warning))
