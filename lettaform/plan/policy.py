"""A policy and three digests of a value to a Decision: whether the value is written, and what is stored of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from lettaform.kinds import kinds
from lettaform.kinds.base import Kind
from lettaform.kinds.traits import Policy
from lettaform.model import Desired, MergeConflict, Reason


@dataclass(frozen=True)
class Decision:
    """What is done about one leaf.

    write       the reason to write the manifest's value; None: it is not written
    runtime     the live value was changed by an agent or somebody else, and is kept
    seed_moved  the manifest's value changed, and is not written
    base        the digest to store in the mark, or the text if it may be merged; None: none
    value       the merged text to write in place of the manifest's
    conflict    why the text cannot be merged
    """

    write: Reason | None = None
    runtime: bool = False
    seed_moved: bool = False
    base: object = None
    value: str | None = None
    conflict: MergeConflict | None = None


def decide(policy: Policy, base: object, want: object, live: object, *, reseed: bool = False) -> Decision:
    """`base`, `want`, `live` are digests: as last applied (None: never), as declared, as found.

    | policy  | only want moved    | only live moved | both moved  | no base |
    |---------|--------------------|-----------------|-------------|---------|
    | enforce | write              | write: drift    | write       | write   |
    | seed    | keep, say so       | keep: runtime   | keep, say so| keep    |
    | yield   | write              | keep: runtime   | keep, say so| keep    |
    | ignore  | keep               | keep            | keep        | keep    |
    """
    if policy == "ignore":
        return Decision(base=base)
    if want == live:
        return Decision(base=want)
    if reseed and policy in ("seed", "yield"):
        return Decision(write="seed", base=want)
    live_moved, want_moved = live != base, want != base
    if policy == "enforce":
        reason: Reason = "manifest" if base is None or not live_moved else "conflict" if want_moved else "drift"
        return Decision(write=reason, base=want)
    if policy == "yield" and base is not None and not live_moved:
        return Decision(write="manifest", base=want)
    return Decision(runtime=live_moved, seed_moved=base is not None and want_moved, base=base)


def policies(desired: Desired) -> Mapping[str, Policy]:
    """The policy of every field: the kind's default, what follows from the values, and what the manifest says."""
    kind = kinds()[desired.kind]
    following = kind.policies(desired.values, desired.policies)
    defaults = _defaults(kind)
    return {**defaults, **following, **desired.policies} if following or desired.policies else defaults


@cache
def _defaults(kind: type[Kind]) -> Mapping[str, Policy]:
    return {name: line.policy for name, line in kind.attrs().items()}
