"""Agents that `matches` selects to ResourceChanges: what is written, and what is taken back from the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place, Problem
from lettaform.kinds import MATCHED, is_matched, kinds
from lettaform.kinds.base import Attr
from lettaform.model import Action, AgentChange, Change, Desired, Live, Manifest, Mark, Observed
from lettaform.plan.changes import ResourceChange
from lettaform.plan.compare import Comparison, compare
from lettaform.plan.lookup import Lookup
from lettaform.plan.notes import EXAMPLES, agents
from lettaform.values import UNREAD, Patch

NOWHERE = Place("", 0, 0)


def expand(manifest: Manifest, observed: Observed) -> Manifest:
    """The manifest with an object for each agent that `matches` selects. What was added before is replaced."""
    if not manifest.matches:
        return manifest
    objects = {address: each for address, each in manifest.objects.items() if not is_matched(address)}
    for match in manifest.matches:
        for address in (observed.matched or {}).get(match.address, ()):
            declared = (match.values, match.place, match.places, match.policies)
            objects[address] = Desired(address, MATCHED, *declared)
    return replace(manifest, objects=objects)


def unselected(lookup: Lookup) -> Iterator[Problem]:
    """Warnings about entries of `matches` that select no agent, or that fit agents of the stack itself."""
    matched = lookup.observed.matched
    for match in lookup.manifest.matches if matched is not None else ():
        if not lookup.is_selected(match.address):
            continue
        if own := sorted(map(str, lookup.observed.left_out.get(match.address, ()))):
            named = ", ".join(own[:EXAMPLES]) + (f" and {len(own) - EXAMPLES} more" if len(own) > EXAMPLES else "")
            message = f"{match.address} leaves out {agents(len(own))} of this stack: {named}"
            hint = "declare these fields in `agents`, too, or name these agents in `exclude`"
            yield Problem(message, match.place, hint, str(match.address), severity="warning")
        elif not (matched or {}).get(match.address):
            message, hint = f"{match.address} selects no agent", "correct `match`, or remove the entry"
            yield Problem(message, match.place, hint, str(match.address), severity="warning")


# --- agents that are selected ----------------------------------------------------------------------------------------


def update_matched(lookup: Lookup, desired: Desired, live: Live) -> list[ResourceChange | AgentChange]:
    """Change the declared fields of an agent that the stack does not own, and keep in the state what that added."""
    stored, kept = live.mark, lookup.observed.state.matched.get(desired.address, Mark())
    removable = replace(live, mark=_removable(stored, desired.values))
    compared = compare(lookup, _at_first(desired, stored), removable)
    mark = Mark(compared.base, dict(_added(stored, compared, live)))
    again = dict(_kept_with_model(desired, live, compared))
    pending, begun = (desired.address in each for each in (lookup.observed.state.pending, lookup.observed.state.begun))
    writes = bool(compared.fields or compared.attach or compared.detach)
    if not (writes or pending or begun or mark != kept):
        return [*compared.agent_changes]
    action: Action = "update" if writes or pending else "mark"
    reason = "in the state of the stack"
    if writes:
        reason = next((each.reason for each in compared.fields_changed), "manifest")
    elif pending and (call := lookup.call(live.kind)):
        reason = f"interrupted before {call.done}"
    change = Change(
        desired.address,
        live.kind,
        action,
        live.id,
        reason,
        compared.fields_changed,
        max(lookup.recompiles(live, compared.touched), int(pending)),
        place=desired.place,
        notes=(*compared.notes, *(f"`{name}` is sent again as it is: the server would reset it" for name in again)),
        name=live.name,
    )
    resource = ResourceChange(
        change,
        desired,
        live,
        {**compared.fields, **again},
        attach=compared.attach,
        detach=compared.detach,
        replaces=compared.replaces,
        matched=mark if begun or mark != kept else None,
    )
    return [*compared.agent_changes, resource]


def _at_first(desired: Desired, mark: Mark) -> Desired:
    """The declaration with the policies of the fields that were applied before: the first value is always written.

    A text with the policy `merge` is not: what the agent has is not overwritten without a question.
    """
    applied = {*mark.members, *(path.split(".")[0] for path in mark.base)}
    kept = {name: each for name, each in desired.policies.items() if name in applied or each == "merge"}
    return replace(desired, policies=kept)


def _removable(mark: Mark, declared: Mapping[str, Any]) -> Mark:
    """A mark that names only what lettaform added, where the manifest no longer declares it.

    Values that it replaced stay as they are: what was there before is not known.
    """
    lines, base = kinds()[MATCHED].attrs(), {}
    for path, each in mark.base.items():
        name, _, key = path.partition(".")
        line, value = lines.get(name), declared.get(name)
        if line is None or (line.clear == [] and not line.additive and name not in declared):
            continue
        is_declared = name in declared and (not key or (isinstance(value, Mapping) and key in value))
        if not line.partial or is_declared or key in mark.members.get(name, ()):
            base[path] = each
    return replace(mark, base=base)


def _added(stored: Mark, compared: Comparison, live: Live) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Field to the members and entries that lettaform added, now or before. What others added is theirs."""
    lines = kinds()[MATCHED].attrs()
    for name in dict.fromkeys((*stored.members, *compared.members, *compared.fields)):
        line, patch = lines.get(name), compared.fields.get(name)
        if line is None:
            continue
        known, new = stored.members.get(name, ()), _new_members(name, compared, patch)
        if line.additive:
            wanted = compared.members.get(name, ())
            found = tuple(each for each in wanted if each in known or each in new)
        else:
            found = tuple(dict.fromkeys((*_still(known, name, compared), *_new_entries(line, live, patch))))
        if found:
            yield name, found


def _new_members(name: str, compared: Comparison, patch: Any) -> tuple[Any, ...]:
    attached = tuple(member for field, member in compared.attach if field == name)
    return (*attached, *(patch.put if isinstance(patch, Patch) and patch.entries is None else ()))


def _new_entries(line: Attr, live: Live, patch: Any) -> Iterator[str]:
    """The keys that are added to a map."""
    have = live.values.get(line.name)
    held = have if isinstance(have, Mapping) else {}
    if isinstance(patch, Patch) and patch.entries is not None and not line.merges:
        yield from (key for key, _ in patch.entries if key not in held)


def _still(known: tuple[Any, ...], name: str, compared: Comparison) -> Iterator[Any]:
    """The keys of a map that lettaform added and that stay."""
    yield from (key for key in known if f"{name}.{key}" in compared.base)


def _kept_with_model(desired: Desired, live: Live, compared: Comparison) -> Iterator[tuple[str, Any]]:
    """What the server would reset because the model changes, and that is not declared: it is sent as it is."""
    lines = kinds()[live.kind].attrs()
    if compared.fields.get("model") in (None, live.values.get("model")):
        return
    provider = [str(model).partition("/")[0] for model in (live.values.get("model"), compared.fields["model"])]
    for name, line in lines.items():
        have = live.values.get(name, UNREAD)
        if line.group != lines["model"].group or name in desired.values or line.write is None or have is UNREAD:
            continue
        if have is not None and not (line.partial and provider[0] != provider[1]):
            yield name, Patch(entries=tuple(have.items())) if line.partial else have


# --- agents that are no longer selected ------------------------------------------------------------------------------


def release(lookup: Lookup) -> Iterator[ResourceChange]:
    """Take back what was added to agents that nothing selects any more. Values that were written stay."""
    destroy, matched = lookup.options.destroy, lookup.observed.matched
    if matched is None:  # whether these agents exist is not known
        return
    kept = set() if destroy else {address for every in matched.values() for address in every}
    declared = {match.address for match in lookup.manifest.matches}
    for address in lookup.observed.state.matched_agents:
        if address in kept or not lookup.is_selected(address):
            continue
        reason = "no longer selected" if address.declaration in declared else "no longer declared"
        live = lookup.live(address)
        if live is None:
            change = Change(address, MATCHED, "forget", address.index, "no longer exists on the server")
            yield ResourceChange(change, matched=Mark())
        else:
            yield _released(lookup, live, address, "destroy" if destroy else reason)


def _released(lookup: Lookup, live: Live, address: Address, reason: str) -> ResourceChange:
    nothing = Desired(address, live.kind, {}, NOWHERE)
    compared = compare(lookup, nothing, replace(live, mark=_removable(live.mark, {})))
    pending = address in lookup.observed.state.pending
    writes = bool(compared.fields or compared.attach or compared.detach or pending)
    change = Change(
        address,
        live.kind,
        "update" if writes else "forget",
        live.id,
        reason,
        compared.fields_changed,
        max(lookup.recompiles(live, compared.touched), int(pending)),
        notes=compared.notes,
        name=live.name,
    )
    return ResourceChange(
        change,
        None,
        live if writes else None,
        compared.fields,
        attach=compared.attach,
        detach=compared.detach,
        matched=Mark(),
    )
