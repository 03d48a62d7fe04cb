"""The state of a stack, from and to the texts that a backend stores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from lettaform.address import Address
from lettaform.errors import PlanError
from lettaform.model import Mark, State
from lettaform.ownership import marks


def from_pages(pages: Sequence[str], *, lenient: bool = False) -> State:
    """The state from its pages."""
    ids: dict[Address, str] = {}
    kept: dict[Address, Mark] = {}
    lists: dict[str, list[Any]] = {"protected": [], "duplicates": [], "pending": []}
    carried_over: dict[Address, tuple[str, ...]] = {}
    intents: dict[Address, str] = {}
    tombstones: dict[str, Mark] = {}
    environment: str | None = None
    key: str | None = None
    for page in pages:
        try:
            told = json.loads(page)
            if told["v"] > marks.VERSION:
                raise PlanError("the state was written by a newer lettaform", "use that one")
            ids |= {Address.parse(text): id for text, id in told["ids"].items()}
            kept |= {Address.parse(text): marks.from_metadata(own) for text, own in told.get("marks", {}).items()}
            for name in lists:
                lists[name] += told.get(name, ())
            carried_over |= {Address.parse(text): tuple(ids) for text, ids in told.get("carried_over", {}).items()}
            tombstones |= {id: marks.from_metadata(own) for id, own in told.get("tombstones", {}).items()}
            intents |= {Address.parse(text): str(name) for text, name in told.get("intents", {}).items()}
            key = key or told.get("key")
            environment = told.get("environment") or environment
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return State(
        ids=ids,
        marks=kept,
        protected=frozenset(map(Address.parse, lists["protected"])),
        environment=environment,
        pending=frozenset(map(Address.parse, lists["pending"])),
        carried_over=carried_over,
        key=key,
        duplicates=frozenset(lists["duplicates"]),
        intents=intents,
        tombstones=tombstones,
        exists=bool(pages),
    )
