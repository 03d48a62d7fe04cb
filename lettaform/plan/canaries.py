"""A Manifest and an Observed to what a plan leaves out while an agent has a canary, and says about it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.model import Manifest, Observed, PlanOptions
from lettaform.ownership.canaries import held


def without_held(options: PlanOptions, manifest: Manifest, observed: Observed) -> PlanOptions:
    """The options of a plan without the agents that have a canary: their changes wait for its end."""
    if options.destroy:
        return options
    return replace(options, exclude=(*options.exclude, *map(str, held(manifest, observed))))


def waiting(manifest: Manifest, waits: Mapping[Address, Sequence[Address]]) -> Iterator[Problem]:
    """A warning for each agent that waits for the end of its canary. `waits`: what `held` returns."""
    for original, copies in waits.items():
        number = f"{len(copies)} copies" if len(copies) > 1 else "one copy"
        message = f"{original} has a canary of {number}: its changes are held back"
        named = shlex.quote(str(original))
        hint = f"`lettaform canary promote {named}` applies them to {original}, and deletes the copies"
        place = manifest.objects[original].place
        yield Problem(message, place, hint, str(original), severity="warning")
