"""The pages of a stack's state, as hidden blocks that no agent has. It knows nothing of what is in them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lettaform.ownership import marks

TAG = f"{marks.MARK}:record"


def split(bodies: Iterable[dict[str, Any]]) -> tuple[tuple[str, ...], list[dict[str, Any]]]:
    """The texts of the state's pages among blocks, and the other blocks."""
    pages, others = [], []
    for body in bodies:
        if any(tag.startswith(TAG) for tag in body.get("tags") or ()):
            pages.append(body["value"])
        else:
            others.append(body)
    return tuple(pages), others
