"""A session to a MemoryReport: lists alone, or one more request for each agent that the server counts."""

from __future__ import annotations

from dataclasses import replace

from lettaform.model import Manifest
from lettaform.plan.memory import MemoryReport, memory_of
from lettaform.session import Session, check_patterns, observe_lists
from lettaform.session.tokens import count_tokens

_READ = ("agent", "block")
"""The kinds that fill a context, and of which the stack must know which are its own."""


async def read_memory(session: Session, patterns: tuple[str, ...], *, count: bool) -> MemoryReport:
    """What fills the contexts of the agents of the stack. PlanError for a pattern that matches none of them.

    count  whether the server counts the tokens of the selected agents
    """
    manifest, backend = session.manifest, session.backend
    observed = await observe_lists(session, _of_contexts(manifest))
    tools = (await backend.listing(None, {"tool": ()})).objects.get("tool", ())
    schemas = {live.id: live.values.get("json_schema") or {} for live in tools}
    found = memory_of(observed, manifest.stack, schemas, manifest.environment)
    check_patterns(patterns, [each.address for each in found.agents])
    found = found.select(patterns)
    if not count:
        return found
    lives = {live.id: live for live in observed.objects.values()}
    counted = await count_tokens(backend, [lives[each.id] for each in found.agents])
    return found.with_contexts(counted.contexts, counted.problems)


def _of_contexts(manifest: Manifest) -> Manifest:
    """The agents and blocks of a manifest: nothing else is looked for on the server."""
    objects = {a: each for a, each in manifest.objects.items() if each.kind in _READ and not each.external}
    return replace(manifest, objects=objects, imports=(), removed=(), outputs={})
