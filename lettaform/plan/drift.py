"""A Manifest and its Diff to a Drift: what changed outside of lettaform since the last apply, object by object."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place, Problem
from lettaform.kinds import is_matched, kinds
from lettaform.model import (
    WHOLE,
    AgentChange,
    Desired,
    FieldChange,
    Live,
    Manifest,
    Observed,
    PlanOptions,
    Shard,
    Unmanaged,
)
from lettaform.plan.changes import Diff, ResourceChange
from lettaform.plan.compare import ignored
from lettaform.plan.leaves import member_key
from lettaform.plan.lookup import Lookup
from lettaform.plan.moves import Moves
from lettaform.plan.policy import policies
from lettaform.plan.pull import PullOptions, live_values
from lettaform.plan.selection import is_selected
from lettaform.values import Patch, Ref, secrets

ATTACHED = "attached"
"""The path under which an own block says whether its agent has it."""
MARKED = "marked"
"""The path under which an object says whether it carries lettaform's mark."""
GONE = "no longer declared, and no longer on the server"


@dataclass(frozen=True)
class ObjectDrift:
    """How one declared object differs from its declaration. Every field goes from the manifest's value to the live one.

    written_back  changed outside of lettaform; an apply writes the manifest's value. `conflict`: the manifest has
                  changed it, too
    kept          changed outside, and kept because of the policy. `conflict`: the manifest has changed it, too.
                  `merge`: so has it, and an apply writes what both changed
    edited        changed in the manifest alone, and not applied yet: no drift
    missing       it was applied, and the server no longer has it; an apply creates it again
    id            None if the server does not have it
    """

    address: Address
    kind: str
    id: str | None = None
    place: Place | None = None
    written_back: tuple[FieldChange, ...] = ()
    kept: tuple[FieldChange, ...] = ()
    edited: tuple[FieldChange, ...] = ()
    missing: bool = False

    def __bool__(self) -> bool:
        """Whether something changed outside of lettaform."""
        return bool(self.missing or self.written_back or self.kept)


@dataclass(frozen=True)
class Drift:
    """What changed outside of lettaform since the last apply.

    applied    whether anything of the stack was applied
    compared   number of declared objects that were applied
    objects    those that changed outside, sorted by address
    edited     number of objects that the manifest changes and no apply has written yet
    unmanaged  objects of the stack that no line declares any more: no drift
    pullable   address and path of the values that a pull puts into the manifest, with `--drift` if they are written
               back otherwise
    names      id to what people call the object, for display
    hidden     texts that must not be shown
    """

    stack: str
    url: str
    version: str
    environment: str | None = None
    shard: Shard = WHOLE
    applied: bool = True
    compared: int = 0
    objects: tuple[ObjectDrift, ...] = ()
    edited: int = 0
    unmanaged: tuple[Unmanaged, ...] = ()
    pullable: frozenset[tuple[Address, str]] = frozenset()
    warnings: tuple[Problem, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)
    hidden: tuple[str, ...] = field(default=(), repr=False, compare=False)

    def __bool__(self) -> bool:
        """Whether an apply would write something back, or create something again."""
        return any(each.missing or each.written_back for each in self.objects)

    @property
    def exit_code(self) -> int:
        """2: an apply would write something back. 0: it would not."""
        return 2 if self else 0

    @property
    def summary(self) -> dict[str, int]:
        """Numbers: of compared objects, of fields to write back, of missing objects, of fields that are kept, …"""
        return {
            "compared": self.compared,
            "written_back": sum(len(each.written_back) for each in self.objects),
            "missing": sum(each.missing for each in self.objects),
            "kept": sum(len(each.kept) for each in self.objects),
            "edited": self.edited,
            "unmanaged": len(self.unmanaged),
        }


@dataclass(frozen=True)
class Shown:
    """Live objects, and what the manifest says about them.

    objects   sorted by address, with all their fields
    declared  the declarations of the stack, by address
    changed   how objects differ from their declarations; those that do not are left out
    hidden    texts that must not be shown
    """

    stack: str
    url: str
    version: str
    environment: str | None = None
    objects: tuple[Live, ...] = ()
    declared: Mapping[Address, Desired] = field(default_factory=dict, repr=False)
    changed: Mapping[Address, ObjectDrift] = field(default_factory=dict)
    hidden: tuple[str, ...] = field(default=(), repr=False, compare=False)


def drift(manifest: Manifest, difference: Diff, options: PlanOptions) -> Drift:
    """The Drift of a stack. `options`: the ones with which the Diff was made."""
    observed = difference.observed
    assert observed is not None
    every = classify(manifest, difference)
    applied = [each.address for each in manifest.objects.values() if each.external is None]
    applied = [address for address in applied if address in observed.objects or address in every]
    lookup = Lookup(manifest, Moves(observed), options)
    pullable = live_values(manifest, difference, PullOptions(drift=True))
    return Drift(
        manifest.stack,
        observed.url,
        observed.version,
        manifest.environment,
        options.shard,
        applied=observed.state.exists,
        compared=sum(is_selected(each, manifest, options) and lookup.is_in_shard(each) for each in applied),
        objects=tuple(each for _, each in sorted(every.items(), key=lambda item: item[0]) if each),
        edited=len(_edited(difference, every)),
        unmanaged=(*difference.unmanaged, *_gone(difference)),
        pullable=frozenset((each.address, each.path) for each in pullable if each.outcome == "pull"),
        names=observed.names,
    )


def classify(manifest: Manifest, difference: Diff) -> dict[Address, ObjectDrift]:
    """How each declared object differs from its declaration. Objects that do not differ are left out."""
    observed = difference.observed
    assert observed is not None
    lookup = Lookup(manifest, Moves(observed), PlanOptions())
    found: dict[Address, dict[str, Any]] = defaultdict(lambda: {"written_back": [], "kept": [], "edited": []})
    for resource in difference.resources:
        if resource.desired is None or resource.desired.external:
            continue
        if _is_missing(observed, resource):
            found[resource.address]["missing"] = True
        for name, change in _of_resource(lookup, resource):
            found[resource.address][name].append(change)
    for kept in (*difference.runtime, *_ignored(lookup)):
        name = "kept" if kept.live_moved or kept.conflict else "edited"
        found[kept.address][name].append(_from_agent(manifest.objects[kept.address], kept))
    return {address: _object(manifest, observed, address, each) for address, each in found.items()}


def _object(manifest: Manifest, observed: Observed, address: Address, found: Mapping[str, Any]) -> ObjectDrift:
    live, desired = observed.objects.get(address), manifest.objects[address]
    rest = {name: tuple(each) for name, each in found.items() if isinstance(each, list)}
    id, missing = live.id if live else None, found.get("missing", False)
    return ObjectDrift(address, desired.kind, id, desired.place, missing=missing, **rest)


# --- missing objects -------------------------------------------------------------------------------------------------


def _is_missing(observed: Observed, resource: ResourceChange) -> bool:
    """Whether an object is created that an earlier apply has created already.

    The own blocks of a missing agent are a part of it. What an interrupted apply has deleted is not missing.
    """
    address, state = resource.address, observed.state
    if resource.change.action != "create" or resource.live is not None:
        return False
    if address.parent is not None:
        return _was_applied(observed, address)
    id = state.ids.get(address)
    return id is not None and id not in state.tombstones and address not in observed.carried_over


def _was_applied(observed: Observed, part: Address) -> bool:
    """Whether the agent of an own block exists, and got the block from an earlier apply."""
    owner = observed.objects.get(part.parent) if part.parent else None
    return owner is not None and part.child in owner.mark.parts


def _gone(difference: Diff) -> Iterator[Unmanaged]:
    """Objects that the state names, that are no longer declared, and that no longer exist."""
    for resource in difference.resources:
        gone = resource.desired is None and resource.live is None and resource.change.action == "forget"
        if gone and not is_matched(resource.address):
            change = resource.change
            yield Unmanaged(change.kind, change.id or "", change.address, GONE)


def _edited(difference: Diff, every: Mapping[Address, ObjectDrift]) -> set[Address]:
    """The objects that the manifest creates, changes or removes, whatever changed outside."""
    fields = {address for address, each in every.items() if each.edited}
    missing = {address for address, each in every.items() if each.missing}
    new = {each.address for each in difference.resources if each.desired and each.change.action == "create"}
    created = {address for address in new if address.parent not in new and address not in missing}
    actions = ("delete", "forget")
    removed = {each.address for each in difference.resources if each.live and each.change.action in actions}
    return fields | created | removed


# --- fields ----------------------------------------------------------------------------------------------------------

Found = tuple[str, FieldChange]
"""The name of a field of ObjectDrift, and what belongs into it."""


def _of_resource(lookup: Lookup, resource: ResourceChange) -> Iterator[Found]:
    """The fields that an apply writes, each with its class."""
    desired, live = resource.desired, resource.live
    if desired is None or live is None:
        return
    lines = kinds()[desired.kind].attrs()
    observed, address = lookup.observed, resource.address
    if address.parent and address in observed.detached and _was_applied(observed, address):
        yield "written_back", FieldChange(ATTACHED, True, False, reason="drift")
    unmarked = _is_unmarked(observed, address, live)
    if unmarked:
        yield "written_back", FieldChange(MARKED, True, False, reason="drift")
    for change in resource.change.fields_changed:
        line = lines.get(change.path)
        if unmarked and not live.mark.base and not any(secret.unset for secret in secrets(change.new)):
            # the digests are gone, too: drift and an edit look the same, and drift is the safe answer
            yield "written_back", replace(_reversed(change), reason="drift")
        elif change.policy == "merge" and change.reason in ("merge", "conflict"):
            want = desired.values.get(change.path)
            yield "kept", FieldChange(change.path, want, change.old, change.policy, "merge", change.secret)
        elif line and line.additive and change.path in desired.values:
            yield from _members(lookup, resource, desired, live, change)
        elif change.reason in ("drift", "conflict"):
            yield "written_back", _reversed(change)
        elif not any(secret.unset for secret in secrets(change.new)):
            yield "edited", _reversed(change)


def _is_unmarked(observed: Observed, address: Address, live: Live) -> bool:
    """Whether somebody removed lettaform's mark from an object that the state knows."""
    claims = live.kind in observed.capabilities.claims
    return claims and not live.marked and observed.state.ids.get(address) == live.id


def _reversed(change: FieldChange) -> FieldChange:
    """The change from the manifest's value to the live one."""
    if isinstance(change.new, Patch):
        return replace(change, old=None, new=Patch(change.new.drop, change.new.put))
    return replace(change, old=change.new, new=change.old)


def _members(
    lookup: Lookup, resource: ResourceChange, desired: Desired, live: Live, change: FieldChange
) -> Iterator[Found]:
    """The members of a list that others removed, or added to an exact list, apart from those that the manifest changes.

    The mark knows which members lettaform added. Of a list of which it knows none, the manifest's change alone is seen.
    """
    name, observed = change.path, lookup.observed
    ours, sent = frozenset(live.mark.members.get(name, ())), resource.fields.get(name)
    patch = sent if isinstance(sent, Patch) else Patch()
    add = [*patch.put, *(member for field, member in resource.attach if field == name)]
    drop = [*patch.drop, *(member for field, member in resource.detach if field == name)]
    have = live.values.get(name)
    present = frozenset(map(member_key, have)) if isinstance(have, list) else frozenset()
    lost = [member for member in add if (key := _key(observed, member)) in ours and key not in present]
    exact = bool(ours) and desired.policies.get(name) == "enforce"
    added = [member for member in drop if exact and member_key(member) not in ours]
    whole = len(lost) == len(add) and len(added) == len(drop)
    if lost or added:
        moved = Patch(tuple(map(lookup.named, added)), tuple(map(lookup.named, lost)))
        yield "written_back", replace(change, old=None, new=moved, reason="drift" if whole else "conflict")
    if not whole:
        yield "edited", _reversed(change)


def _key(observed: Observed, member: Any) -> Any:
    """What a mark stores of a member; of an object that no longer exists, what it has stored."""
    return observed.state.ids.get(member.address) if isinstance(member, Ref) else member_key(member)


def _from_agent(desired: Desired, kept: AgentChange) -> FieldChange:
    """A value that is kept, from the manifest's value to the live one."""
    name, lines = kept.path.split(".")[0], kinds()[desired.kind].attrs()
    policy = policies(desired).get(name, "seed")
    secret = name in lines and lines[name].secret
    return replace(kept.field_change, policy=policy, secret=secret)


def _ignored(lookup: Lookup) -> Iterator[AgentChange]:
    """The values with the policy `ignore` that others have changed: no plan mentions them."""
    for address, desired in lookup.manifest.objects.items():
        live = lookup.live(address)
        if live is not None and desired.external is None and "ignore" in desired.policies.values():
            yield from ignored(lookup, desired, live)
