"""A server to an Audit: lists of everything, and no contents."""

from __future__ import annotations

from lettaform.backend import Reads
from lettaform.ownership.audit import Audit, findings
from lettaform.session.survey import read_lists


async def audit(reads: Reads, stack: str | None) -> Audit:
    """Read the lists of all kinds, and say what is found. `stack`: that of the manifest; None: there is none.

    PlanError if the state of a stack cannot be read.
    """
    lists = await read_lists(reads)
    found = findings(lists.server, lists.others, lists.listed, stack)
    return Audit(stack, reads.url, lists.version, found, lists.server.numbers, reads.requests)
