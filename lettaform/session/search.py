"""An archive and a text to the passages that the server finds nearest to it."""

from __future__ import annotations

from dataclasses import replace

from lettaform.address import Address
from lettaform.backend import Backend
from lettaform.errors import PlanError
from lettaform.kinds import kind_of
from lettaform.model import Live, Search, Searched
from lettaform.session import Session, observe_lists, unknown
from lettaform.session.pull import known_secrets

MOST = 100
"""The largest number of passages that one search can return (0.16.8)."""


async def search(backend: Backend, archive: Live, asked: Search) -> Searched:
    """Search an archive. PlanError if the text is empty, or the limit is not from 1 to MOST."""
    if not asked.text.strip():
        raise PlanError("there is no text to search for", "write it after the archive")
    if not 1 <= asked.limit <= MOST:
        raise PlanError(f"a search cannot return {asked.limit} passages", f"the limit is a number from 1 to {MOST}")
    passages = await backend.search(archive, asked.text, asked.limit, asked.tags)
    name = str(archive.address) if archive.address else archive.name or archive.id
    return Searched(name, archive.id, asked, tuple(passages), bool(archive.values.get("embedding")))


async def search_in_stack(session: Session, address: Address, asked: Search) -> Searched:
    """Search the archive at an address, of the stack or used by it. Secrets of the stack are hidden in the result."""
    observed = await observe_lists(session, session.manifest)
    live = observed.objects.get(address)
    if live is None or kind_of(address) != "archive":
        archives = [str(each) for each in observed.objects if kind_of(each) == "archive"]
        raise unknown(str(address), archives)
    found = await search(session.backend, replace(live, address=address), asked)
    return replace(found, hidden=tuple(known_secrets(session.manifest, observed)))
