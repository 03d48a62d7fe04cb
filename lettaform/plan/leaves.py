"""Values to leaves and digests: what is compared by itself, and the form in which it is compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import Policy
from lettaform.model import Live
from lettaform.values import UNREAD, Digest, Item, canonical, digest, has_refs, kept_text, masked, tainted, text_kept


class Leaf(NamedTuple):
    """A value that is compared by itself: its path, as declared, and as found."""

    path: str
    want: Any
    have: Any


def leaves(line: Attr, want: Any, have: Any) -> Iterator[Leaf]:
    """The leaves of one field: each entry of a partial map, otherwise the whole value."""
    if line.partial and isinstance(want, Mapping) and want:
        for key, item in want.items():
            yield Leaf(f"{line.name}.{key}", item, (have or {}).get(key))
    else:
        yield Leaf(line.name, want, have)


def spelled(kind: type[Kind], line: Attr, value: Any) -> str:
    """The digest of a value in its normal form."""
    value = kind.normal(line.name, value)
    if line.unordered and isinstance(value, list):
        value = sorted(value, key=canonical)
    if value in ("", [], {}):  # the server answers "nothing" in several ways
        value = None
    return digest(value)


def to_keep(kind: type[Kind], line: Attr, policy: Policy, value: Any) -> Any:
    """What a mark keeps of a value that is applied: its digest; of a text that is merged, the text."""
    if policy == "merge":
        return Digest(value, whole=True) if has_refs(value) else kept_text(value or "")
    return Digest(value, line.unordered) if has_refs(value) else spelled(kind, line, value)


def kept_digest(kind: type[Kind], line: Attr, kept: str | None) -> str | None:
    """The digest of what a mark keeps of a value."""
    text = text_kept(kept) if kept else None
    return kept if text is None else spelled(kind, line, text)


def member_key(item: Any) -> Any:
    """A member of a list as the mark stores it."""
    return item.key if isinstance(item, Item) else item


def shown(line: Attr, have: Any, want: Any, base: object) -> Any:
    """A live value as people may see it.

    A field that may contain secrets is shown if it was applied without one: then `base` is its digest, and not None.
    Otherwise only what equals the literals of `want` is shown.
    """
    if not line.embeds or have is UNREAD or (base is not None and not tainted(want)):
        return have
    return masked(have, want)


def shown_live(live: Live, declared: Mapping[str, Any]) -> Live:
    """A live object as people may see it. `declared`: the values that the manifest gives it. Secrets are kept."""
    lines, base = kinds()[live.kind].attrs(), live.mark.base
    values = {n: shown(lines[n], have, declared.get(n), base.get(n)) for n, have in live.values.items()}
    return replace(live, values=values)


def project(have: Any, want: Any) -> Any:
    """The part of `have` that `want` declares."""
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        return {key: project(have.get(key), item) for key, item in want.items() if key in have or item is not None}
    return have


def overlay(have: Any, want: Any) -> Any:
    """`want` merged into `have`, key by key: entries that `want` does not declare are kept."""
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        return dict(have) | {key: overlay(have.get(key), item) for key, item in want.items()}
    return want
