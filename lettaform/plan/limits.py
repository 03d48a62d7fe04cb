"""A Diff to the limits that it exceeds: how much a plan may delete, how many agents it may change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from lettaform.address import Address, matches
from lettaform.errors import Problem
from lettaform.model import Limits, Live, Manifest, Match, Observed, PlanOptions, Shard
from lettaform.ownership.shards import Spread
from lettaform.plan.changes import Diff, ResourceChange
from lettaform.plan.notes import agents
from lettaform.plan.prompt_changes import prompt_changes
from lettaform.plan.selection import is_selected

FEW = 5
"""Number of deleted objects up to which `deleted_percent` is not judged: of a small stack, one is a large share."""
EXAMPLES = 5
"""The largest number of objects that a message names one by one."""
HINT = (
    "to review the changes, add `--ignore-limits` to `lettaform plan`; `apply` then needs it, too. "
    "`limits` in the manifest sets the limits"
)


def limited(difference: Diff, manifest: Manifest, observed: Observed, options: PlanOptions) -> Diff:
    """The Diff with the limits of the manifest that it exceeds."""
    return replace(difference, exceeded=exceeded(difference, manifest, observed, options))


def exceeded(difference: Diff, manifest: Manifest, observed: Observed, options: PlanOptions) -> tuple[Problem, ...]:
    """A problem for each limit of the manifest that the changes exceed; none if they are ignored, or for a destroy.

    What `--allow-destroy` or an entry of `removed` names was agreed to by name, and does not count.
    """
    if options.ignore_limits or options.destroy:
        return ()
    observed = difference.observed or observed
    named = {entry.address for entry in manifest.removed if entry.destroy}
    counted = [each for each in difference.resources if not _is_agreed(each.address, named, options)]
    deleted = [each for each in counted if each.change.action in ("delete", "replace")]
    found = (
        _too_many_deleted(deleted, manifest.limits),
        _too_large_a_share(deleted, manifest.limits, _number_of_objects(observed, manifest, options.shard)),
        _too_many_agents(_touched(difference.resources, observed), manifest.limits, observed),
        _too_much_memory(counted, manifest.limits),
        _too_long_prompts(difference.resources, manifest, observed),
        *(_too_many_matched(match, manifest, observed, options) for match in manifest.matches),
    )
    return tuple(problem for problem in found if problem)


def _is_agreed(address: Address, named: Collection[Address], options: PlanOptions) -> bool:
    every = {address, address.top, address.declaration, address.top.declaration}
    return not every.isdisjoint(named) or matches(address, options.allow_destroy)


def _number_of_objects(observed: Observed, manifest: Manifest, shard: Shard) -> int:
    """The number of objects of the stack, or of the shard."""
    owned = [a for a, live in (*observed.objects.items(), *observed.orphaned_blocks) if live.stack == manifest.stack]
    if not shard:
        return len(owned)
    spread = Spread.of(manifest, observed)
    return sum(spread.has(shard, address) for address in owned)


def _problem(limits: Limits, name: str, message: str, names: Iterable[str]) -> Problem:
    every = sorted(names)
    shown = ", ".join(every[:EXAMPLES]) + (f" and {len(every) - EXAMPLES} more" if len(every) > EXAMPLES else "")
    return Problem(f"{message}: {shown}", limits.places.get(name), HINT, None, f"limits.{name}")


def _too_many_deleted(deleted: list[ResourceChange], limits: Limits) -> Problem | None:
    if limits.deleted is None or len(deleted) <= limits.deleted:
        return None
    message = f"the plan deletes or replaces {_objects(len(deleted))}, and the limit is {limits.deleted}"
    return _problem(limits, "deleted", message, (str(each.address) for each in deleted))


def _too_large_a_share(deleted: list[ResourceChange], limits: Limits, total: int) -> Problem | None:
    number, most = len(deleted), limits.deleted_percent
    total = max(total, number)
    if most is None or number <= FEW or 100 * number <= most * total:
        return None
    what = f"{number} of the {total} objects of the stack"
    message = f"the plan deletes or replaces {what}, and the limit is {most} %"
    return _problem(limits, "deleted_percent", message, (str(each.address) for each in deleted))


def _too_many_agents(touched: frozenset[str], limits: Limits, observed: Observed) -> Problem | None:
    if limits.agents is None or len(touched) <= limits.agents:
        return None
    message = f"the plan changes, deletes or recompiles {agents(len(touched))}, and the limit is {limits.agents}"
    names = observed.names
    return _problem(limits, "agents", message, (names.get(id, id) for id in touched))


def _touched(resources: Iterable[ResourceChange], observed: Observed) -> frozenset[str]:
    """The ids of existing agents that the changes reach: themselves, their parts, and the shared objects they use."""
    found: set[str] = set()
    for each in resources:
        if each.change.action not in ("create", "update", "replace", "delete"):
            continue
        owner = observed.objects.get(each.address.parent) if each.address.parent else None
        found |= {live.id for live in (each.live, owner) if live is not None and live.kind == "agent"}
        found |= observed.users.get(each.live.id, frozenset()) if each.live else set()
    return frozenset(found)


def _too_many_matched(match: Match, manifest: Manifest, observed: Observed, options: PlanOptions) -> Problem | None:
    """An entry of `matches` that selects more agents than it may, unless the plan is not about it."""
    found = (observed.matched or {}).get(match.address, ())
    about = any(is_selected(address, manifest, options) for address in found)
    if match.limit is None or len(found) <= match.limit or not about:
        return None
    names = [f"{observed.objects[each].name} ({each.index})" for each in found]
    shown = ", ".join(names[:EXAMPLES]) + (f" and {len(names) - EXAMPLES} more" if len(names) > EXAMPLES else "")
    message = f"{match.address} selects {agents(len(found))}, and the limit is {match.limit}: {shown}"
    hint = "narrow `match`, or raise `limit`; `--ignore-limits` lifts all limits for one run"
    return Problem(message, match.places.get("limit", match.place), hint, str(match.address), "limit")


def _too_much_memory(changes: Iterable[ResourceChange], limits: Limits) -> Problem | None:
    lost = {str(each.address): number for each in changes if (number := _lost(each))}
    total = sum(lost.values())
    if limits.memory_lost is None or total <= limits.memory_lost:
        return None
    message = f"the plan removes {total:,} characters of memory, and the limit is {limits.memory_lost:,}"
    return _problem(limits, "memory_lost", message, lost)


def _lost(resource: ResourceChange) -> int:
    """The number of characters in the lines that a block loses. The blocks of a replaced agent are kept."""
    live, change = resource.live, resource.change
    if live is None or live.kind != "block":
        return 0
    if change.action == "delete" or (change.action == "replace" and resource.address.parent is None):
        return len(_text(live))
    return sum(_difference(field.old, field.new) for field in change.fields_changed if field.path == "value")


def _too_long_prompts(resources: Iterable[ResourceChange], manifest: Manifest, observed: Observed) -> Problem | None:
    """The prompts that are created above the limit, or that grow above it. One that gets shorter is never too long."""
    most = manifest.limits.prompt_tokens
    if most is None:
        return None
    every = prompt_changes(resources, manifest, observed)
    long = {str(each.address): each.after for each in every if each.growth > 0 and each.after > most}
    if not long:
        return None
    what = f"the prompts of {agents(len(long))}" if len(long) > 1 else "the prompt of an agent"
    message = f"the plan gives {what} up to {max(long.values()):,} estimated tokens, and the limit is {most:,}"
    return _problem(manifest.limits, "prompt_tokens", message, long)


def _text(live: Live) -> str:
    value = live.values.get("value")
    return value if isinstance(value, str) else ""


def _difference(old: object, new: object) -> int:
    lost = Counter(_lines(old)) - Counter(_lines(new))
    return sum(len(line) * number for line, number in lost.items())


def _lines(text: object) -> Iterator[str]:
    return iter(text.split("\n") if isinstance(text, str) else ())


def _objects(number: int) -> str:
    return f"{number} {'object' if number == 1 else 'objects'}"
