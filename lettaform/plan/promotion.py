"""The memory of another environment to what a plan makes of it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from lettaform.address import matches
from lettaform.errors import Problem
from lettaform.kinds import kinds
from lettaform.kinds.traits import Policy
from lettaform.model import Desired, Live, Manifest, MergeConflict, Observed, PlanOptions, PromotedText, Promotion
from lettaform.plan.changes import ResourceChange
from lettaform.plan.leaves import kept_digest, spelled
from lettaform.plan.lookup import Lookup
from lettaform.plan.merge import Names, Side, merge3
from lettaform.plan.policy import policies
from lettaform.values import text_kept

KIND, PROMOTED = "block", "value"
"""The kind and the field that hold memory."""
OF_AGENTS: frozenset[Policy] = frozenset({"seed", "yield", "merge"})
"""The policies of texts that agents write. Others are those of the manifest, in every environment."""


def texts(manifest: Manifest, observed: Observed, target: Manifest, patterns: tuple[str, ...]) -> list[PromotedText]:
    """The texts of an environment that can be brought to another one: of the blocks that both declare.

    patterns  addresses; empty: all of them
    """
    found = list[PromotedText]()
    for address, desired in manifest.objects.items():
        there, live = target.objects.get(address), observed.objects.get(address)
        if there is None or live is None or not (_is_memory(desired) and _is_memory(there)):
            continue
        if not patterns or matches(address, patterns):
            text = str(live.values.get(PROMOTED) or "")
            found.append(PromotedText(str(address), text, _applied(desired, live)))
    return found


def _is_memory(desired: Desired) -> bool:
    """Whether agents write the text of a declared block."""
    owned = desired.kind == KIND and desired.external is None and desired.values.get(PROMOTED) is not None
    return owned and policies(desired)[PROMOTED] in OF_AGENTS


def _applied(desired: Desired, live: Live) -> str | None:
    """The text of a block as last applied; None if its mark has only the digest of an earlier one."""
    kept = live.mark.base.get(PROMOTED)
    if kept is None or (text := text_kept(kept)) is not None:
        return text if kept else None
    kind, want = kinds()[KIND], desired.values.get(PROMOTED)
    line = kind.attrs()[PROMOTED]
    return want if isinstance(want, str) and spelled(kind, line, want) == kept_digest(kind, line, kept) else None


def promote(
    promotion: Promotion, text: str, base: str | None, here: str, favour: Side | None
) -> tuple[str, MergeConflict | None]:
    """The text that a block gets, and why it cannot be merged; None if it can.

    text    of the other environment
    base    the text from which both come; None if that is not known
    here    the text of this environment
    favour  whose lines to take where both changed the same ones: ours are those of this environment
    """
    if promotion.memory == "copy" or text == here:
        return text, None
    names = Names("<<<<<<< here", "||||||| last promoted", f">>>>>>> {promotion.source}")
    merged = merge3(base, here, text, favour, names)
    if not merged.conflicts:
        return merged.text, None
    reason = f"`{promotion.source}` and this environment changed the same lines"
    unknown = f"it differs from that of `{promotion.source}`, and the text from which both come is not known"
    return here, MergeConflict(reason if base is not None else unknown, merged.text)


def creating(lookup: Lookup, resource: ResourceChange) -> ResourceChange:
    """The change that creates an object: a block begins with the text of the other environment."""
    given = lookup.promoted.get(resource.address)
    if given is None or resource.mark is None:
        return resource
    mark: Any = replace(resource.mark, promoted={PROMOTED: given.text})
    shown = tuple(
        replace(each, new=given.text, reason="promote") if each.path == PROMOTED and each.new != given.text else each
        for each in resource.change.fields_changed
    )
    change = replace(resource.change, fields_changed=shown)
    return replace(resource, change=change, fields={**resource.fields, PROMOTED: given.text}, mark=mark)


def left_out(options: PlanOptions) -> Iterator[Problem]:
    """A warning for all that a promotion does not bring."""
    for note in options.promotion.notes if options.promotion else ():
        yield Problem(note, severity="warning")
