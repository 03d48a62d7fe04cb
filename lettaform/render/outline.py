"""A plan to what every format for people shows of it, in the same words."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from lettaform import model
from lettaform.plan.saved import APPROVAL, approval
from lettaform.render.changes import named

RESTORED = "Changed outside lettaform, will be restored"
KEPT = "Changed by agents, kept"
UNMANAGED = "Not managed by this manifest"


def conflicts(plan: model.Plan) -> str:
    """The title of the texts that cannot be merged."""
    where = "in both environments" if plan.options.promotion else "in the manifest and on the server"
    return f"Changed {where}, not merged"


def changes(plan: model.Plan, *, ids: bool = False) -> tuple[list[model.Change], list[model.Change]]:
    """The changes, and those that restore what was changed outside lettaform. With names in place of ids.

    ids  whether the ids stand after the names
    """
    every = [named(change, plan.names, ids=ids) for change in plan.changes]
    drift = [change for change in every if _is_drift(change)]
    return [change for change in every if not _is_drift(change)], drift


def _is_drift(change: model.Change) -> bool:
    reasons = {difference.reason for difference in change.fields_changed}
    return change.action == "update" and (reasons == {"drift"} or (not reasons and change.reason == "drift"))


def digest(plan: model.Plan, known: str | None = None) -> str:
    """What approves the plan; empty if it does nothing. `known`: that of a saved plan, which holds no steps."""
    if known is None:
        return approval(plan) if plan else ""
    return known if APPROVAL.fullmatch(known) else ""


def notices(plan: model.Plan) -> list[str]:
    """The values of the manifest that changed and are not written, because an agent changed them, too."""
    same: dict[tuple[str, bool], list[model.AgentChange]] = {}
    for kept in plan.runtime:
        if kept.seed_moved:
            field = f"{kept.address.declaration}.{kept.path}"
            same.setdefault((field, is_seed(kept)), []).append(kept)
    return [_notice(every) for every in same.values()]


def _notice(every: Sequence[model.AgentChange]) -> str:
    """Why the value of the manifest is not written, for one object or for instances of one declaration."""
    first, more = every[0], f" and {len(every) - 1} more" if len(every) > 1 else ""
    command = f"lettaform apply --reseed {shlex.quote(str(first.address))}"
    if is_seed(first):
        why = "the manifest's value changed; it belongs to the agents once it is written, and stays as it is."
    else:
        why = "the manifest's value changed, but the agent's value is kept."
    return f"{first.address}.{first.path}{more}: {why} `{command}` overwrites {'the first' if more else 'it'}."


def kept(plan: model.Plan) -> list[model.AgentChange]:
    """The values that agents changed and that stay, without the texts that cannot be merged."""
    return [each for each in plan.runtime if each.live_moved and each.conflict is None]


def is_seed(kept: model.AgentChange) -> bool:
    """Whether the manifest's value alone has changed, and is not written because agents own the value."""
    return kept.seed_moved and not kept.live_moved and kept.conflict is None
