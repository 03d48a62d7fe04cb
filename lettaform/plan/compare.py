"""One object as wanted against the same as it lives: what differs, who owns it, and what our mark will say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from lettaform.address import Address
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind
from lettaform.model import AgentChange, Desired, FieldChange, Live, Manifest, Observed, PlanOptions, Reason
from lettaform.plan.policy import Decision, decide, policies
from lettaform.values import Digest, Item, Patch, Ref, Secret, canonical, digest, fill, refs

UNKNOWN: Any = object()
"""Stands for a value that depends on something that does not exist yet."""


class Lookup:
    """What a plan sees: one manifest, one observed, and how their objects answer to each other."""

    def __init__(
        self, manifest: Manifest, observed: Observed, options: PlanOptions, gone: frozenset[Address] = frozenset()
    ) -> None:
        """`gone`: what lives and will be replaced."""
        self.manifest, self.observed, self.options, self.gone = manifest, observed, options, gone
        self.addresses = {live.id: address for address, live in observed.objects.items()}
        self.hung = Counter(block.id for blocks in observed.attached.values() for block in blocks)

    @cached_property
    def ids(self) -> Mapping[tuple[str, str], str]:
        """Kind and unique name to the id of what has it, anybody's."""
        lives = (*self.observed.foreign.values(), *self.observed.objects.values())
        return {(live.kind, live.name): live.id for live in lives if kinds()[live.kind].unique}

    def known(self, value: Any) -> Any:
        """`value` with what is alive in place of its Refs, secrets in clear; UNKNOWN if something is not alive yet."""

        def answer(ref: Ref) -> Any:
            live = self.observed.objects.get(ref.address)
            if live is None or ref.address in self.gone:
                raise LookupError
            return live.id if ref.path == "id" else live.values.get(ref.path)

        try:
            return fill(value, answer)
        except LookupError:
            return UNKNOWN

    def member(self, item: Any) -> Any:
        """The id of what a list refers to, where it is alive."""
        known = self.known(item)
        return item if known is UNKNOWN else known

    def named(self, item: Any) -> Any:
        """A member as people know it: by its address, where it has one."""
        address = self.addresses.get(item) if isinstance(item, str) else None
        return Ref(address) if address else item

    def told(self, old: Any) -> Any:
        """What a field refers to, as people know it."""
        return list(map(self.named, old)) if isinstance(old, list) else self.named(old)

    def base_of(self, desired: Desired) -> tuple[dict[str, Any], dict[str, tuple[Any, ...]]]:
        """Base digests and members of an object that is born as declared."""
        kind = kinds()[desired.kind]
        base: dict[str, Any] = {}
        members: dict[str, tuple[Any, ...]] = {}
        for name, value in desired.values.items():
            line = kind.attrs()[name]
            if line.create_only or line.own or line.secret or not (line.write or line.link or line.holds):
                continue
            if line.additive:
                told = [value] if isinstance(value, Ref) else value
                members |= {name: tuple(known(self.member(item)) for item in told)} if told else {}
                continue
            for path, want, _ in leaves(line, line.clear if value is None else value, None):
                later = any(True for _ in refs(want))
                base[path] = Digest(want, line.unordered) if later else spelled(kind, line, want)
            if isinstance(value, list) and (foreign := [item for item in value if kind.foreign(name, item)]):
                members[name] = tuple(canonical(kind.normal(name, [item])) for item in foreign)
        return base, members


@dataclass
class Found:
    """What a comparison gathers: what to write, to attach and to detach, and our mark afterwards."""

    base: dict[str, Any] = field(default_factory=dict)
    members: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    fields_changed: list[FieldChange] = field(default_factory=list)
    links: list[tuple[str, Any]] = field(default_factory=list)
    unlinks: list[tuple[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    runtime: list[AgentChange] = field(default_factory=list)
    renamed: bool = False


def compare(lookup: Lookup, desired: Desired, live: Live) -> Found:
    """Everything that differs between `desired` and `live`, field by field, judged by its policy."""
    return _Comparison(lookup, desired, live).run()


class _Comparison:
    def __init__(self, lookup: Lookup, desired: Desired, live: Live) -> None:
        self.lookup, self.desired, self.live = lookup, desired, live
        self.kind: type[Kind] = kinds()[desired.kind]
        self.owners = policies(desired)
        self.reseed = matches(desired.address, lookup.options.reseed)
        declared = {path: value for path, value in live.mark.base.items() if path.split(".")[0] in desired.values}
        self.found = Found(declared, dict(live.mark.members))

    def run(self) -> Found:
        for name, value in self.desired.values.items():
            line = self.kind.attrs()[name]
            if line.create_only or line.own:
                continue
            if line.additive:
                self.collection(line, value)
            elif line.write is not None:
                self.value(line, value)
            elif self.live.values.get(name) != value:  # a tool is renamed by its source
                self.found.renamed = True
                self.found.fields[name] = value
                self.found.fields_changed.append(
                    FieldChange(name, self.live.values.get(name), value, self.owners[name])
                )
        self.again()
        return self.found

    # --- values

    def value(self, line: Attr, value: Any) -> None:
        new, have = line.clear if value is None else value, self.live.values.get(line.name)
        if line.partial and isinstance(new, Mapping) and value is not None:
            declared = {f"{line.name}.{key}" for key in new}
            for path in [path for path in self.found.base if path.startswith(f"{line.name}.")]:
                if path not in declared:
                    del self.found.base[path]
            if not new:
                return  # an empty map declares nothing
        theirs: list[Any] = []
        exact = self.desired.policies.get(line.name) == "enforce" or line.to
        if isinstance(new, list) and isinstance(have, list) and not exact:
            theirs = self.theirs(line, new, have)
            have = [item for item in self.kind.normal(line.name, have) if item not in theirs] if theirs else have
        written: dict[str, Any] = {}
        for path, want, old in leaves(line, new, have):
            decision = self.judge(line, path, want, old)
            self.note(line, path, want, old, decision)
            if decision.write is not None:
                written[path] = over(old, want)
                shown = self.lookup.told(old) if line.to else old
                if line.secret and old is not None:  # that there is one may be told, so that it shows as changed
                    shown = Secret("live", "")
                policy = self.owners[line.name]
                self.found.fields_changed.append(FieldChange(path, shown, want, policy, decision.write, line.secret))
        if not written:
            return
        if not line.partial or not isinstance(new, Mapping):
            self.found.fields[line.name] = [*new, *theirs] if theirs else new
        elif value is None:
            self.found.fields[line.name] = Patch(entries=(), drop=tuple(have or ()))
        else:
            if line.merges:  # and resets, 0.16.8, what depends on what is changed: all that is declared goes along
                same = {path: over(old, want) for path, want, old in leaves(line, new, have)}
                written = same | written
            entries = {path[len(line.name) + 1 :]: item for path, item in written.items()}
            gone = tuple(key for key, item in entries.items() if item is None)
            self.found.fields[line.name] = Patch(
                entries=tuple((k, v) for k, v in entries.items() if v is not None), drop=gone
            )

    def judge(self, line: Attr, path: str, want: Any, old: Any) -> Decision:
        known = self.lookup.known(want)
        base = None if line.secret else self.found.base.get(path)
        if base is None and line.immutable and line.read is None:
            return Decision(base=spelled(self.kind, line, known))  # nobody can tell what it was born with
        lively = base if line.read is None else spelled(self.kind, line, project(old, known) if known else old)
        # what is not there yet has no digest, and differs from everything
        wanted = object() if known is UNKNOWN else spelled(self.kind, line, known)
        return decide(self.owners[line.name], base, wanted, lively, reseed=self.reseed)

    def note(self, line: Attr, path: str, want: Any, old: Any, decision: Decision) -> None:
        if decision.runtime or decision.seed_moved:
            live, wanted = (None, None) if line.secret else (old, want)
            address, id = self.desired.address, self.live.id
            self.found.runtime.append(AgentChange(address, path, id, live, wanted, decision.seed_moved))
        self.found.base.pop(path, None)
        if not line.secret and decision.base is not None:
            self.found.base[path] = decision.base if isinstance(decision.base, str) else Digest(want, line.unordered)

    def theirs(self, line: Attr, new: list[Any], have: list[Any]) -> list[Any]:
        """Items of a live list that the server put there by itself, and that were never declared: they stay."""

        def plain(item: Any) -> str:
            return canonical(self.kind.normal(line.name, [item]))

        ours = set(self.found.members.get(line.name, ())) | set(map(plain, new))
        declared = tuple(plain(item) for item in new if self.kind.foreign(line.name, item))
        if declared or line.name in self.found.members:
            self.found.members[line.name] = declared
        foreign = [item for item in self.kind.normal(line.name, have) if self.kind.foreign(line.name, item)]
        return [item for item in foreign if plain(item) not in ours]

    def again(self) -> None:
        """Where one of a group is written, its declared others are sent again: the server would reset them."""
        lines, found = self.kind.attrs(), self.found
        groups = {lines[name].group for name in found.fields} - {None}
        for name, value in self.desired.values.items():
            line = lines[name]
            if line.group not in groups or name in found.fields or line.write is None or value is None:
                continue
            held = line.read is not None and self.live.values.get(name) is not None
            same = project(self.live.values[name], value) if held else value
            found.fields[name] = Patch(entries=tuple(same.items())) if line.partial else same
            found.notes.append(f"`{name}` is sent again as it is: the server would reset it")

    # --- collections to which others belong, too

    def collection(self, line: Attr, value: Any) -> None:
        if self.owners[line.name] == "ignore":
            return
        found, lookup = self.found, self.lookup
        told = [value] if isinstance(value, Ref) else value or ()
        want = list(map(lookup.member, told))
        have = [item for item in self.live.values.get(line.name) or () if not self.own(item)]
        have = [item for item in have if isinstance(item, Item) or lookup.addresses.get(item) not in lookup.gone]
        ours = found.members.get(line.name, ())
        exact = self.desired.policies.get(line.name) == "enforce"
        kept = self.entailed(line) if exact else ()
        drop = [i for i in have if i not in want and i not in kept and (exact or known(i) in ours)]
        add = [item for item in want if item not in have]
        if line.to == "block" and not self.reseed:
            add = [item for item in add if not self.dropped(item, ours)]
        same = len(want) == len(ours) and all(known(item) in ours for item in want)  # their order says nothing
        if not same and (want or line.name in found.members):
            found.members[line.name] = tuple(map(known, want))
        if not add and not drop:
            return
        moved = all(known(item) in ours for item in add) and not any(known(item) in ours for item in drop)
        reason: Reason = "drift" if moved and line.name in self.live.mark.members else "manifest"
        change = Patch(tuple(map(lookup.named, add)), tuple(map(lookup.named, drop)))
        old, policy = list(map(lookup.named, have)), self.owners[line.name]
        found.fields_changed.append(FieldChange(line.name, old, change, policy, reason))
        if line.link or line.holds:
            found.links += [(line.name, item) for item in add]
            found.unlinks += [(line.name, item) for item in drop]
        else:
            found.fields[line.name] = Patch(tuple(add), tuple(drop))

    def entailed(self, line: Attr) -> list[str]:
        """Members that are there because another field holds something: the server would only put them back."""
        others = [other for other in self.kind.attrs().values() if other.entails and self.live.values.get(other.name)]
        names = {name for other in others for name in (other.entails or {}).get(line.name, ())}
        return [self.lookup.ids[line.to or "", name] for name in names if (line.to or "", name) in self.lookup.ids]

    def own(self, item: Any) -> bool:
        address = self.lookup.addresses.get(item)
        return address is not None and address.parent == self.desired.address

    def dropped(self, item: Any, ours: tuple[Any, ...]) -> bool:
        """Whether the agent itself took off a shared block that is its to drop."""
        address = self.lookup.addresses.get(item)
        shared = self.lookup.manifest.objects.get(address) if address else None
        if item not in ours or shared is None or shared.external or policies(shared)["value"] == "enforce":
            return False
        path = f"blocks[{shared.address.key}]"
        self.found.runtime.append(AgentChange(self.desired.address, path, self.live.id, live=False, want=True))
        return True


def known(item: Any) -> Any:
    """A member as our mark remembers it."""
    return item.key if isinstance(item, Item) else item


def matches(address: Address, patterns: tuple[str, ...]) -> bool:
    """Whether an address, or what it is a part of, fits one of the patterns."""
    return any(
        fnmatchcase(_plain(str(each)), _plain(p)) for p in patterns for each in (address, address.parent) if each
    )


def _plain(text: str) -> str:
    return text.replace("[", "\u27e6").replace("]", "\u27e7")  # fnmatch would take them for a set


def leaves(line: Attr, want: Any, have: Any) -> Iterator[tuple[str, Any, Any]]:
    """Path, wanted and live value of what is compared by itself: each entry of a partial map, else the whole."""
    if line.partial and isinstance(want, Mapping) and want:
        for key, item in want.items():
            yield f"{line.name}.{key}", item, (have or {}).get(key)
    else:
        yield line.name, want, have


def spelled(kind: type[Kind], line: Attr, value: Any) -> str:
    """The digest of a value in the one form in which it is compared."""
    value = kind.normal(line.name, value)
    if line.unordered and isinstance(value, list):
        value = sorted(value, key=canonical)
    if value in ("", [], {}):  # the server answers "nothing" in several ways
        value = None
    return digest(value)


def project(have: Any, want: Any) -> Any:
    """The part of `have` that `want` speaks of."""
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        return {key: project(have.get(key), item) for key, item in want.items() if key in have or item is not None}
    return have


def over(have: Any, want: Any) -> Any:
    """`want` laid over `have`, key by key, so that what it does not name stays."""
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        return dict(have) | {key: over(have.get(key), item) for key, item in want.items()}
    return want
