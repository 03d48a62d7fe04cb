"""Who owns a value: three ways of looking at it, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from lettaform.kinds import kinds
from lettaform.kinds.base import Policy
from lettaform.model import Desired, Reason


@dataclass(frozen=True)
class Decision:
    """What becomes of one leaf.

    write       the manifest's value is written, for this reason
    runtime     the live value moved by itself, and is kept
    seed_moved  the manifest's value moved, and is not written
    base        the digest to remember; None: nothing is remembered
    """

    write: Reason | None = None
    runtime: bool = False
    seed_moved: bool = False
    base: object = None


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
    """Every field's policy: the line's, then what follows from the values, then what the manifest says."""
    kind = kinds()[desired.kind]
    lines: dict[str, Policy] = {name: line.policy for name, line in kind.attrs().items()}
    return lines | dict(kind.policies(desired.values, desired.policies)) | dict(desired.policies)
