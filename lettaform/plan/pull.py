"""A Diff to the live values that differ from the manifest, each with what a pull does about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lettaform.address import Address, matches
from lettaform.errors import Place, Problem
from lettaform.kinds import kinds
from lettaform.model import AgentChange, Desired, FieldChange, Manifest, MergeConflict, Observed
from lettaform.plan.changes import Diff
from lettaform.values import MISSING, UNREAD, Secret, tainted

Outcome = Literal["pull", "conflict", "manifest", "drift", "ours", "not a value"]
"""What a pull does: `pull` writes the live value, all others leave the manifest as it is.

`conflict`: both sides changed. `manifest`: only the manifest changed. `drift`: the field has the policy `enforce`, and
drift was not asked for. `ours`: the manifest's value was chosen. `not a value`: an attachment, a list or a secret.
"""


@dataclass(frozen=True)
class PullOptions:
    """The options of a pull. Patterns are addresses with `*`.

    addresses  patterns: pull these objects alone
    drift      pull values with the policy `enforce`, too
    ours       patterns: keep the manifest's values where both sides changed
    theirs     patterns: take the live values, whatever changed
    record     write the marks, too, as if the new manifest had been applied
    """

    addresses: tuple[str, ...] = ()
    drift: bool = False
    ours: tuple[str, ...] = ()
    theirs: tuple[str, ...] = ()
    record: bool = False


@dataclass(frozen=True)
class LiveValue:
    """A live value that differs from the manifest's.

    agents    whether its policy leaves it to agents
    note      why there is no value to pull
    merged    the text that both sides make, with the policy `merge`: the files get it, and the next apply writes it
    conflict  why the texts of both sides cannot be merged
    """

    address: Address
    path: str
    want: Any
    live: Any
    outcome: Outcome
    agents: bool = True
    place: Place | None = None
    note: str = ""
    merged: str | None = None
    conflict: MergeConflict | None = None

    @property
    def new(self) -> Any:
        """What the files get. A text that was removed is an empty one."""
        if self.merged is not None:
            return self.merged
        return "" if self.live is None and isinstance(self.want, str) else self.live


@dataclass(frozen=True)
class Pull:
    """What a pull found, and what it does to the files.

    pulled     the values that the files get
    conflicts  the values that both sides changed
    refused    the values that contain secrets; their texts are not part of it
    kept       the values that cannot be put back, with the reason
    others     the values that are left as they are on purpose, see `Outcome`
    files      path of each file that changes to its text before and after
    hidden     texts that must not be shown
    written    whether the files have been written
    recorded   the objects whose marks have been written, too
    """

    stack: str
    url: str
    version: str
    environment: str | None = None
    options: PullOptions = field(default_factory=PullOptions)
    pulled: tuple[LiveValue, ...] = ()
    conflicts: tuple[LiveValue, ...] = ()
    refused: tuple[Problem, ...] = ()
    kept: tuple[Problem, ...] = ()
    others: tuple[LiveValue, ...] = ()
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    hidden: tuple[str, ...] = field(default=(), repr=False)
    written: bool = False
    recorded: frozenset[Address] = frozenset()

    @property
    def unrecorded(self) -> frozenset[Address]:
        """The objects with a pulled value of which no mark says yet that it was applied."""
        return frozenset(each.address for each in self.pulled if each.merged is None) - self.recorded

    @property
    def merged(self) -> tuple[LiveValue, ...]:
        """The pulled texts that both sides made: the server does not have them yet."""
        return tuple(each for each in self.pulled if each.merged is not None)

    def __bool__(self) -> bool:
        return bool(self.files)

    def exit_code(self, *, check: bool = False) -> int:
        """4: both sides changed a value. 1: a secret, or a value that was named and cannot be put back. 2: `check`."""
        if self.conflicts:
            return 4
        if self.refused or (self.kept and self.options.addresses):
            return 1
        return 2 if check and self.files else 0


def present(observed: Observed, address: Address, path: str) -> Any:
    """The live value of a declared leaf; MISSING if there is none."""
    live, (name, _, key) = observed.objects.get(address), path.partition(".")
    value = live.values.get(name, MISSING) if live else MISSING
    if value is UNREAD or value is MISSING or not key:
        return MISSING if value is UNREAD else value
    return value.get(key, MISSING) if isinstance(value, Mapping) else MISSING


def live_values(manifest: Manifest, difference: Diff, options: PullOptions) -> list[LiveValue]:
    """Every declared value that is another one on the server, sorted by address."""
    observed = difference.observed
    assert observed is not None
    found = [*_of_agents(manifest, difference.runtime, options), *_drifted(manifest, observed, difference, options)]
    chosen = (each for each in found if not options.addresses or matches(each.address, options.addresses))
    return sorted(chosen, key=lambda each: (str(each.address), each.path))


def _of_agents(manifest: Manifest, changes: tuple[AgentChange, ...], options: PullOptions) -> Iterator[LiveValue]:
    for change in changes:
        desired = manifest.objects[change.address]
        if note := _no_value(desired, change.path, change.live):
            yield LiveValue(change.address, change.path, None, None, "not a value", place=desired.place, note=note)
            continue
        outcome = _outcome(change.address, options, live=change.live_moved, manifest=change.seed_moved)
        if change.conflict is not None:  # --ours and --theirs did not resolve it
            outcome = "conflict"
        place, conflict = desired.place_of(change.path), change.conflict
        yield LiveValue(change.address, change.path, change.want, change.live, outcome, place=place, conflict=conflict)


def _drifted(manifest: Manifest, observed: Observed, difference: Diff, options: PullOptions) -> Iterator[LiveValue]:
    for resource in difference.resources:
        desired = manifest.objects.get(resource.address)
        if desired is None or resource.live is None:
            continue
        for change in resource.change.fields_changed:
            if change.policy == "merge":
                yield _merged(desired, observed, change)
            elif change.reason in ("drift", "conflict", "manifest") and _is_leaf(desired, change):
                yield _drift(desired, observed, change, options)


def _merged(desired: Desired, observed: Observed, change: FieldChange) -> LiveValue:
    """A text with the policy `merge` that the next apply writes: it is that of the manifest, or a merged one."""
    address, live = desired.address, present(observed, desired.address, change.path)
    merged = change.new if change.reason == "merge" and isinstance(change.new, str) else None
    outcome: Outcome = "manifest" if merged is None else "pull"
    want, place = desired.values.get(change.path), desired.place_of(change.path)
    return LiveValue(address, change.path, want, live, outcome, place=place, merged=merged)


def _drift(desired: Desired, observed: Observed, change: FieldChange, options: PullOptions) -> LiveValue:
    address, live = desired.address, present(observed, desired.address, change.path)
    note = _no_value(desired, change.path, live)
    asked = options.drift or matches(address, options.theirs)
    outcome = _outcome(address, options, live=change.reason != "manifest", manifest=change.reason != "drift")
    if outcome != "manifest" and not asked:
        outcome = "drift"
    elif note:
        outcome = "manifest" if outcome == "manifest" else "not a value"
    want, shown = (None, None) if note else (change.new, live)
    return LiveValue(address, change.path, want, shown, outcome, False, desired.place_of(change.path), note)


def _is_leaf(desired: Desired, change: FieldChange) -> bool:
    """Whether a change is about a declared value, and not about the blocks of an agent."""
    return change.path.split(".")[0] in desired.values


def _no_value(desired: Desired, path: str, live: Any) -> str:
    """Why there is no live value to pull; empty if there is one."""
    name = path.split(".")[0]
    line = kinds()[desired.kind].attrs().get(name)
    if line is None or name not in desired.values:
        return "was detached on the server: attachments are not pulled"
    if line.secret or live is MISSING or isinstance(live, Secret) or tainted(desired.values[name]):
        return "is a secret, or is not read from the server"
    if line.to or line.additive:
        return "is a list of attached objects: edit it by hand"
    return ""


def _outcome(address: Address, options: PullOptions, *, live: bool, manifest: bool) -> Outcome:
    """What to do about a value that changed on the server, in the manifest, or on both sides."""
    if matches(address, options.theirs):
        return "pull"
    if not live:
        return "manifest"
    if matches(address, options.ours):
        return "ours" if manifest else "pull"
    return "conflict" if manifest else "pull"
