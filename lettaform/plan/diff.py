"""Desired and Live to Deltas: what differs, who owns it, and what will be written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

from lettaform.errors import Problem
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Kind, Policy
from lettaform.model import (
    Action,
    Change,
    Desired,
    Difference,
    Live,
    Manifest,
    Mark,
    Moved,
    Runtime,
    Unmanaged,
    Wish,
    World,
)
from lettaform.plan.policy import Verdict, decide, policies
from lettaform.words import Address, Digest, Keep, Ref, canonical, digest, fill, refs


@dataclass(frozen=True)
class Delta:
    """A Change, and what it takes. What is not in `change` is not written.

    fields  what to write, by field; may hold slots
    mark    our mark afterwards; None: untouched
    links   field and member to attach · unlinks  to detach
    claim   the object does not carry the address yet
    kept    own block's key to the id of a living block that takes its place at birth
    """

    change: Change
    desired: Desired | None = None
    live: Live | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    mark: Mark | None = None
    links: tuple[tuple[str, Any], ...] = ()
    unlinks: tuple[tuple[str, Any], ...] = ()
    claim: bool = False
    kept: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> Address:
        return self.change.address


@dataclass(frozen=True)
class Draft:
    """Everything that diff() found."""

    deltas: tuple[Delta, ...] = ()
    runtime: tuple[Runtime, ...] = ()
    unmanaged: tuple[Unmanaged, ...] = ()
    problems: tuple[Problem, ...] = ()
    guards: tuple[Problem, ...] = ()
    """What needs a consent that was not given."""
    world: World | None = None
    """As if every `moved` had happened."""


def diff(manifest: Manifest, world: World, wish: Wish) -> Draft:
    """Compare what is wanted with what is live. Pure: decides everything, writes nothing."""
    return _Diff(manifest, world, wish).run()


def kinds_at(address: Address) -> str:
    """The kind of what stands at a top-level address."""
    return next((name for name, kind in kinds().items() if kind.section == address.section), address.section)


def matches(address: Address, patterns: tuple[str, ...]) -> bool:
    """Whether an address, or what it is a part of, fits one of the patterns."""
    return any(
        fnmatchcase(_plain(str(each)), _plain(p)) for p in patterns for each in (address, address.parent) if each
    )


def _plain(text: str) -> str:
    return text.replace("[", "\u27e6").replace("]", "\u27e7")  # fnmatch would take them for a set


class _Diff:
    def __init__(self, manifest: Manifest, world: World, wish: Wish) -> None:
        self.manifest, self.wish = manifest, wish
        self.world, self.moved = _move(world, manifest.moved)
        self.deltas: list[Delta] = []
        self.runtime: list[Runtime] = []
        self.unmanaged: list[Unmanaged] = []
        self.problems: list[Problem] = list(world.problems)
        self.guards: list[Problem] = []
        self.ids = {live.id: address for address, live in self.world.objects.items()}
        self.parts: dict[Address, list[Desired]] = {}
        for desired in manifest.objects.values():
            if parent := desired.address.parent:
                self.parts.setdefault(parent, []).append(desired)

    def run(self) -> Draft:
        if not self.wish.destroy:
            for desired in self.manifest.objects.values():
                if desired.external is None and desired.address.parent is None and self.selected(desired.address):
                    self.one(desired)
        self.undeclared()
        deltas, runtime, unmanaged = tuple(self.deltas), tuple(self.runtime), tuple(self.unmanaged)
        return Draft(deltas, runtime, unmanaged, tuple(self.problems), tuple(self.guards), self.world)

    def selected(self, address: Address) -> bool:
        return (not self.wish.target or matches(address, self.wish.target)) and not matches(address, self.wish.exclude)

    def problem(self, desired: Desired, path: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(message, desired.place_of(path), hint, str(desired.address), path or None))

    # --- one object and its parts

    def one(self, desired: Desired) -> None:
        live = self.world.objects.get(desired.address)
        parts = self.parts.get(desired.address, [])
        if live is None:
            self.birth(desired, parts)
            return
        delta = self.compare(desired, live)
        if delta is None:
            return
        if delta.change.action == "replace":
            self.birth(desired, parts, delta)
            return
        marks, links = dict(delta.mark.parts if delta.mark else live.mark.parts), list(delta.links)
        for part in parts:
            links += self.part(desired, live, part, marks)
        if hung := tuple(self.named(member) for _, member in links[len(delta.links) :]):
            shown = Difference("memory", None, Keep(hung))
            delta = replace(delta, change=replace(delta.change, differences=(*delta.change.differences, shown)))
        mark = replace(delta.mark or live.mark, parts=marks)
        self.collisions(desired, live, links, delta.unlinks)
        delta = replace(delta, links=tuple(links), mark=mark if self.remark(desired.address, live, mark) else None)
        self.keep(delta)

    def remark(self, address: Address, live: Live, mark: Mark) -> bool:
        return mark != live.mark or not live.marked or address in self.moved

    def keep(self, delta: Delta) -> None:
        """Note the delta if it does anything; name its action after what it does."""
        live, links, unlinks = delta.live, delta.links, delta.unlinks
        if not (delta.fields or delta.mark or links or unlinks):
            if live and not delta.address.parent and delta.address not in self.world.record.ids:
                change = replace(delta.change, action="record", reason="not in the stack record")
                self.deltas.append(replace(delta, change=change))
            return
        delta = replace(delta, claim=bool(live and not live.marked) or delta.address in self.moved)
        change = delta.change
        if not (delta.fields or links or unlinks):
            moved = delta.address in self.moved
            action: Action = "record" if (live and live.marked) else "adopt"
            reason = f"moved from {self.moved[delta.address]}" if moved else "marks only"
            change = replace(change, action=action, reason=reason)
        else:
            change = replace(change, reason=next((d.reason for d in change.differences), "manifest"))
        self.deltas.append(replace(delta, change=change))

    def birth(self, desired: Desired, parts: list[Desired], old: Delta | None = None) -> None:
        """A new object; where it takes the place of an `old` one, every block of that goes over to it."""
        kind = kinds()[desired.kind]
        self.taken(desired, kind)
        for line in kind.attrs().values():
            if line.birth and desired.values.get(line.name) is None:
                self.problem(desired, "", f"{desired.address} does not exist yet, so `{line.name}` must be given")
        fields = {
            name: value for name, value in desired.values.items() if value is not None and kind.attrs()[name].write
        }
        base, members = self.base_of(desired, kind)
        kept: dict[str, str] = {}
        action: Action = "replace" if old else "create"
        for part in parts:
            living = self.world.objects.get(part.address) if old else None
            survivor = living or next(iter(self.world.survivors.get(part.address, ())), None)
            self.part_at_birth(part, survivor, kept)
        if old and old.live:
            kept |= self.heirloom(desired, old, kept)
        bases = {part.address.child or "": self.base_of(part, kinds()[part.kind])[0] for part in parts}
        known = {key: {k: d for k, d in each.items() if isinstance(d, str)} for key, each in bases.items()}
        shown = tuple(Difference(name, None, value, secret=kind.attrs()[name].secret) for name, value in fields.items())
        change = Change(
            desired.address,
            desired.kind,
            action,
            old.live.id if old and old.live else None,
            differences=shown,
            place=desired.place,
        )
        if old:
            change = replace(change, differences=old.change.differences, notes=old.change.notes)
        mark = Mark(base, members, known)
        self.deltas.insert(
            len(self.deltas) - len(parts), Delta(change, desired, old.live if old else None, fields, mark, kept=kept)
        )

    def heirloom(self, desired: Desired, old: Delta, kept: Mapping[str, str]) -> dict[str, str]:
        """The blocks of a replaced agent that the manifest says nothing of: what it made, or others gave it."""
        assert old.live is not None
        gone = {member for _, member in old.unlinks} | set(kept.values())
        shared = [self.member(item) for item in desired.values.get("blocks") or ()]
        labels = {self.label(item) for item in desired.values.get("blocks") or ()} | set(kept)
        attached = self.world.attached.get(old.live.id, ())
        free = [b for b in attached if b.id not in gone and b.id not in shared and b.name not in labels]
        return {f"{block.name} {block.id}": block.id for block in free if not self.doomed(block)}

    def part_at_birth(self, part: Desired, survivor: Live | None, kept: dict[str, str]) -> None:
        if survivor is None:
            shown = tuple(Difference(name, None, value) for name, value in part.values.items() if value is not None)
            change = Change(part.address, part.kind, "create", differences=shown, place=part.place)
            self.deltas.append(Delta(change, part, fields={}, mark=None))
            return
        kept[part.address.child or ""] = survivor.id
        want = part.values.get("value")
        equal = want is None or survivor.values.get("value") == want
        note = "surviving memory" if equal else "surviving memory, which differs from the seed: kept"
        change = Change(part.address, part.kind, "adopt", survivor.id, "re-attached", place=part.place, notes=(note,))
        self.deltas.append(Delta(change, part, survivor))

    def part(
        self, parent: Desired, agent: Live, part: Desired, marks: dict[str, Mapping[str, str]]
    ) -> list[tuple[str, Any]]:
        """One own block of a living agent. Returns what must be attached to it."""
        key = part.address.child or ""
        live = self.world.objects.get(part.address)
        if live is not None:
            delta = self.compare(part, live)
            if delta is not None:
                self.keep(
                    replace(
                        delta, mark=delta.mark if delta.mark and self.remark(part.address, live, delta.mark) else None
                    )
                )
            marks.setdefault(key, {})
            return []
        survivor = next(iter(self.world.survivors.get(part.address, ())), None)
        policy = policies(part)["value"]
        twin = next((b for b in self.world.attached.get(agent.id, ()) if b.name == part.values.get("label")), None)
        if twin is not None and not twin.marked:
            self.adopt_part(parent, agent, part, twin, marks)
            return []
        if key in marks and policy != "enforce" and not matches(part.address, self.wish.reseed):
            # its agent took it off: that is the agent's to decide
            self.runtime.append(
                Runtime(part.address, "attached", survivor.id if survivor else agent.id, want=True, live=False)
            )
            return []
        marks[key] = {}
        if survivor is not None:
            delta = self.compare(part, survivor)
            change = Change(part.address, part.kind, "adopt", survivor.id, "re-attached", place=part.place)
            self.deltas.append(
                replace(delta, change=replace(change, differences=delta.change.differences))
                if delta
                else Delta(change, part, survivor)
            )
            return [("blocks", survivor.id)]
        kind = kinds()[part.kind]
        base, members = self.base_of(part, kind)
        fields = {name: value for name, value in part.values.items() if value is not None}
        shown = tuple(Difference(name, None, value) for name, value in fields.items())
        change = Change(part.address, part.kind, "create", differences=shown, place=part.place)
        self.deltas.append(Delta(change, part, None, fields, Mark(base, members)))
        return [("blocks", Ref(part.address))]

    def adopt_part(
        self, parent: Desired, agent: Live, part: Desired, twin: Live, marks: dict[str, Mapping[str, str]]
    ) -> None:
        """A block without our mark hangs on the agent under the label: it made it, or somebody wiped the mark."""
        key = part.address.child or ""
        others = self.world.users.get(twin.id, frozenset()) - {agent.id}
        if others:
            message = f"{part.address}: the block {twin.id} has this label and is shared with {len(others)} more agents"
            self.problem(part, "", message, "declare it under `blocks:` instead")
        delta = self.compare(part, replace(twin, mark=Mark(marks.get(key, {}))))
        if delta is not None:
            self.keep(replace(delta, live=twin, mark=delta.mark or Mark()))
        marks.setdefault(key, {})

    def taken(self, desired: Desired, kind: type[Kind]) -> None:
        """A unique name that a stranger has is not ours to overwrite."""
        name = desired.values.get(kind.name_field)
        stranger = self.world.strangers.get((desired.kind, str(name))) if kind.unique else None
        if stranger is None:
            return
        owner = f"stack `{stranger.stack}`" if stranger.stack else "somebody else"
        remedy = (
            "use it with `external: {name: …}`"
            if stranger.stack
            else f"adopt it with `lettaform import {desired.address} {stranger.id}`, or use it with `external: true`"
        )
        self.problem(
            desired,
            kind.name_field,
            f"the {desired.kind} `{name}` exists already and belongs to {owner} ({stranger.id})",
            remedy,
        )

    def collisions(
        self, desired: Desired, live: Live, links: list[tuple[str, Any]], unlinks: tuple[tuple[str, Any], ...]
    ) -> None:
        """0.16.8 refuses a second block with a label that the agent has."""
        gone = {member for _, member in unlinks}
        taken = {b.name: b for b in self.world.attached.get(live.id, ()) if b.id not in gone and not self.doomed(b)}
        for name, member in links:
            if name != "blocks":
                continue
            label = self.label(member)
            if label in taken and taken[label].id != member:
                other = taken[label]
                whose = (
                    f"{other.address}, which is no longer declared"
                    if other.address
                    else f"{other.id}, which the agent or somebody else attached"
                )
                hint = "`--prune` removes it" if other.address else f"detach {other.id}, or declare it"
                self.problem(
                    desired, "blocks", f"{desired.address} already has a block labelled `{label}`: {whose}", hint
                )

    def doomed(self, block: Live) -> bool:
        return bool(block.address) and self.wish.prune and block.address not in self.manifest.objects

    def label(self, member: Any) -> str | None:
        address = member.address if isinstance(member, Ref) else self.ids.get(member)
        if address is None:
            return None
        if address in self.world.objects:
            return self.world.objects[address].name
        wanted = self.manifest.objects.get(address)
        return str(wanted.values.get("label")) if wanted else None

    # --- fields

    def compare(self, desired: Desired, live: Live) -> Delta | None:
        """A living object against its manifest. None: the problems say why there is no answer."""
        kind = kinds()[desired.kind]
        owners = policies(desired)
        reseed = matches(desired.address, self.wish.reseed)
        found = _Found(base=dict(live.mark.base), members=dict(live.mark.members))
        found.base = {p: d for p, d in found.base.items() if p.split(".")[0] in desired.values}
        for name, value in desired.values.items():
            line = kind.attrs()[name]
            if line.once or line.own or (line.write is None and line.read is None):
                continue
            if line.additive:
                self.collection(desired, live, line, value, owners[name], found, reseed)
            elif line.write is not None:
                self.leaves(desired, live, kind, line, value, owners[name], found, reseed)
            elif live.values.get(name) != value:  # a tool is renamed by its source
                found.differences.append(Difference(name, live.values.get(name), value, owners[name]))
                found.fields[name] = value
                self.taken(desired, kind)
        fixed = [d for d in found.differences if kind.attrs()[d.path.split(".")[0]].fixed]
        self.group(kind, desired, live, found)
        compiled = kind.compiled & (
            {d.path.split(".")[0] for d in found.differences} | {f for f, _ in (*found.links, *found.unlinks)}
        )
        users = len(self.world.users.get(live.id, ())) or sum(
            any(b.id == live.id for b in blocks) for blocks in self.world.attached.values()
        )
        change = Change(
            desired.address,
            desired.kind,
            "update",
            live.id,
            differences=tuple(found.differences),
            recompiles=0 if not compiled else 1 if kind.recompile else users,
            place=desired.place,
            notes=tuple(found.notes),
        )
        mark = Mark(found.base, found.members, live.mark.parts)
        delta = Delta(change, desired, live, found.fields, mark, tuple(found.links), tuple(found.unlinks))
        return self.replacement(desired, delta, fixed) if fixed else delta

    def replacement(self, desired: Desired, delta: Delta, fixed: list[Difference]) -> Delta:
        names = ", ".join(f"`{d.path}`" for d in fixed)
        note = f"{names} cannot change on a living {desired.kind}: replaced, with its blocks, without its conversation"
        if not matches(desired.address, self.wish.allow_destroy):
            hint = f"`--allow-destroy '{desired.address}'` consents"
            place = desired.place_of(fixed[0].path)
            self.guards.append(Problem(f"{desired.address}: {note}", place, hint, str(desired.address), fixed[0].path))
        return replace(delta, change=replace(delta.change, action="replace", notes=(note,)))

    def leaves(
        self,
        desired: Desired,
        live: Live,
        kind: type[Kind],
        line: Attr,
        value: Any,
        policy: Policy,
        found: _Found,
        reseed: bool,
    ) -> None:
        have = live.values.get(line.name)
        new = line.clear if value is None else value
        theirs: list[Any] = []
        if isinstance(new, list) and isinstance(have, list) and desired.policies.get(line.name) != "enforce":
            theirs = self.theirs(kind, line, new, have, found)
            have = [item for item in kind.normal(line.name, have) if item not in theirs] if theirs else have
        entries: dict[str, Any] = {}
        for path, want, old in _leaves(line, new, have):
            known = self.known(want)
            unreadable = line.read is None
            wanted = None if known is _UNKNOWN else _digest(kind, line, known)
            base = None if line.secret else found.base.get(path)
            lively = base if unreadable else _digest(kind, line, _project(old, known))
            # what is not there yet has no digest: it differs from everything
            verdict = decide(policy, base, wanted or object(), lively, reseed=reseed)
            self.note(desired, live, line, path, old, want, verdict, found)
            if verdict.write is None:
                continue
            shown = None if line.secret else old
            found.differences.append(Difference(path, shown, want, policy, verdict.write, line.secret))
            if line.partial and isinstance(new, Mapping) and value is not None:
                entries[path[len(line.name) + 1 :]] = _over(old, want)
            else:
                found.fields[line.name] = [*new, *theirs] if theirs else new
        if value is None and line.partial and line.name in found.fields:
            found.fields[line.name] = Keep(entries=(), drop=tuple(have or ()))
        if entries:
            gone = tuple(key for key, item in entries.items() if item is None)
            found.fields[line.name] = Keep(
                entries=tuple((k, v) for k, v in entries.items() if v is not None), drop=gone
            )

    def note(
        self, desired: Desired, live: Live, line: Attr, path: str, old: Any, want: Any, verdict: Verdict, found: _Found
    ) -> None:
        if verdict.runtime or verdict.seed_moved:
            shown = (None, None) if line.secret else (old, want)
            self.runtime.append(Runtime(desired.address, path, live.id, shown[0], shown[1], verdict.seed_moved))
        found.base.pop(path, None)
        if line.secret or verdict.base is None:
            return
        found.base[path] = verdict.base if isinstance(verdict.base, str) else Digest(want)  # type: ignore[assignment]

    def theirs(self, kind: type[Kind], line: Attr, new: list[Any], have: list[Any], found: _Found) -> list[Any]:
        """Items of a live list that the server put there by itself, and that were never declared: they stay."""

        def spelled(item: Any) -> str:
            return canonical(kind.normal(line.name, [item]))

        ours = set(found.members.get(line.name, ())) | {spelled(item) for item in new}
        declared = tuple(spelled(item) for item in new if kind.foreign(line.name, item))
        if declared or line.name in found.members:
            found.members[line.name] = declared
        foreign = [item for item in kind.normal(line.name, have) if kind.foreign(line.name, item)]
        return [item for item in foreign if spelled(item) not in ours]

    def group(self, kind: type[Kind], desired: Desired, live: Live, found: _Found) -> None:
        """Where one of a group is written, its declared others are sent again: the server would reset them."""
        groups = {kind.attrs()[name].group for name in found.fields} - {None}
        for name, value in desired.values.items():
            line = kind.attrs()[name]
            if line.group in groups and name not in found.fields and line.write and value is not None:
                held = line.read is not None and live.values.get(name) is not None
                again = _project(live.values[name], value) if held else value
                found.fields[name] = Keep(entries=tuple(again.items())) if line.partial else again
                found.notes.append(f"`{name}` is sent again as it is: the server would reset it")

    def collection(
        self, desired: Desired, live: Live, line: Attr, value: Any, policy: Policy, found: _Found, reseed: bool
    ) -> None:
        if policy == "ignore":
            return
        want = [self.member(item) for item in value or ()]
        have = [item for item in live.values.get(line.name) or () if not self.own(desired.address, item)]
        ours = found.members.get(line.name, ())
        exact = desired.policies.get(line.name) == "enforce"
        drop = [item for item in have if item not in want and (exact or item in ours)]
        add = [item for item in want if item not in have]
        if line.to == "block" and not reseed:
            add = [item for item in add if not self.dropped(desired, live, item, ours)]
        found.members[line.name] = tuple(want)
        if not want and line.name not in live.mark.members:
            del found.members[line.name]
        if not add and not drop:
            return
        drift = all(item in ours for item in add) and not any(item in ours for item in drop)
        reason = "drift" if drift and line.name in live.mark.members else "manifest"
        names = Keep(tuple(map(self.named, add)), tuple(map(self.named, drop)))
        found.differences.append(Difference(line.name, [self.named(i) for i in have], names, policy, reason))  # type: ignore[arg-type]
        if line.link:
            found.links += [(line.name, item) for item in add]
            found.unlinks += [(line.name, item) for item in drop]
        else:
            found.fields[line.name] = Keep(tuple(add), tuple(drop))

    def dropped(self, desired: Desired, live: Live, item: Any, ours: tuple[Any, ...]) -> bool:
        """Whether the agent itself took off a shared block that is its to drop."""
        address = self.ids.get(item)
        shared = self.manifest.objects.get(address) if address else None
        if item not in ours or shared is None or shared.external or policies(shared)["value"] == "enforce":
            return False
        self.runtime.append(Runtime(desired.address, f"blocks[{shared.address.key}]", live.id, live=False, want=True))
        return True

    def own(self, agent: Address, item: Any) -> bool:
        address = self.ids.get(item)
        return address is not None and address.parent == agent

    def member(self, item: Any) -> Any:
        """The id of what a list refers to, where it is alive."""
        known = self.known(item)
        return item if known is _UNKNOWN else known

    def named(self, item: Any) -> Any:
        address = self.ids.get(item) if isinstance(item, str) else None
        return Ref(address) if address else item

    def known(self, value: Any) -> Any:
        """`value` without slots for other objects, or _UNKNOWN if one of them does not exist yet."""

        def answer(ref: Ref) -> Any:
            live = self.world.objects.get(ref.address)
            if live is None:
                raise LookupError
            return live.id if ref.path == "id" else live.values.get(ref.path)

        try:
            return fill(value, answer)
        except LookupError:
            return _UNKNOWN

    def base_of(self, desired: Desired, kind: type[Kind]) -> tuple[dict[str, str], dict[str, tuple[Any, ...]]]:
        """Base digests and members of an object that is born as declared."""
        base: dict[str, Any] = {}
        members: dict[str, tuple[Any, ...]] = {}
        for name, value in desired.values.items():
            line = kind.attrs()[name]
            if line.once or line.own or line.secret or line.write is None:
                continue
            if line.additive:
                if value:
                    members[name] = tuple(map(self.member, value))
                continue
            for path, want, _ in _leaves(line, line.clear if value is None else value, None):
                base[path] = Digest(want) if any(True for _ in refs(want)) else _digest(kind, line, want)
            if isinstance(value, list) and any(kind.foreign(name, item) for item in value):
                members[name] = tuple(canonical(kind.normal(name, [i])) for i in value if kind.foreign(name, i))
        return base, members

    # --- what is ours and no longer declared

    def undeclared(self) -> None:
        removed = {entry.address: entry for entry in self.manifest.removed}
        orphans = {a: lives[0] for a, lives in self.world.survivors.items() if a not in self.world.objects}
        for address, live in sorted((orphans | dict(self.world.objects)).items(), key=lambda item: item[0]):
            if live.stack != self.manifest.stack or not self.selected(address):
                continue
            declared = address in self.manifest.objects and not self.wish.destroy
            gone = removed.get(address) or removed.get(address.parent or address)
            if declared and not gone:
                continue
            if gone and not gone.destroy and not self.wish.destroy:
                change = Change(address, live.kind, "forget", live.id, "removed: {destroy: false}", place=gone.place)
                self.deltas.append(Delta(change, None, live, mark=Mark()))
            elif self.wish.prune or self.wish.destroy or gone:
                self.death(address, live)
            else:
                self.unmanaged.append(
                    Unmanaged(live.kind, live.id, address, "marked, no longer declared; --prune deletes it")
                )
        for address, id in self.world.record.ids.items():
            if id not in self.ids and address not in self.manifest.objects:
                kind = kinds_at(address)
                self.deltas.append(Delta(Change(address, kind, "forget", id, "no longer exists on the server")))
        for copy in self.world.copies:
            if copy.address and self.selected(copy.address):
                reason = "a copy: it claims an address that belongs to another object; never touched"
                self.unmanaged.append(Unmanaged(copy.kind, copy.id, copy.address, reason))

    def death(self, address: Address, live: Live) -> None:
        wanted = self.manifest.objects.get(address)
        parent = self.world.objects.get(address.parent) if address.parent else None
        users = self.world.users.get(live.id, frozenset()) - self.dying() - {parent.id if parent else ""}
        allowed = matches(address, self.wish.allow_destroy)
        if users and not allowed:
            reason = f"no longer declared, but {len(users)} agents outside this plan use it: kept"
            self.unmanaged.append(Unmanaged(live.kind, live.id, address, reason))
            return
        protected = address in self.world.record.protected or (wanted is not None and wanted.prevent_destroy)
        if protected and not allowed:
            place, field = wanted.place if wanted else None, "lifecycle.prevent_destroy"
            message, hint = f"{address} is protected by `prevent_destroy`", f"`--allow-destroy '{address}'` consents"
            self.guards.append(Problem(message, place, hint, str(address), field))
        change = Change(address, live.kind, "delete", live.id, "destroy" if self.wish.destroy else "no longer declared")
        self.deltas.append(Delta(change, None, live))

    def dying(self) -> frozenset[str]:
        """Agents that this plan deletes, and those that it takes off what is deleted."""
        kept = () if self.wish.destroy else self.manifest.objects
        return frozenset(
            live.id
            for a, live in self.world.objects.items()
            if live.kind == "agent" and live.stack == self.manifest.stack and a not in kept
        ) | frozenset(delta.live.id for delta in self.deltas if delta.live and delta.unlinks)


@dataclass
class _Found:
    """What the comparison of one object gathers."""

    base: dict[str, str] = field(default_factory=dict)
    members: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    links: list[tuple[str, Any]] = field(default_factory=list)
    unlinks: list[tuple[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


_UNKNOWN: Any = object()


def _move(world: World, moved: tuple[Moved, ...]) -> tuple[World, dict[Address, Address]]:
    """The world as if every `moved` had happened, and what moved: new address to old."""
    objects, survivors, done = dict(world.objects), dict(world.survivors), {}
    for entry in moved:
        for old in [a for a in (*objects, *survivors) if a == entry.old or a.parent == entry.old]:
            new = entry.new.own(old.field, old.child) if old.field and old.child and old != entry.old else entry.new
            if old in objects and new not in objects:
                objects[new] = replace(objects.pop(old), address=new)
                done[new] = old
            if old in survivors:
                survivors[new] = survivors.pop(old)
    return replace(world, objects=objects, survivors=survivors), done


def _leaves(line: Attr, want: Any, have: Any) -> Iterator[tuple[str, Any, Any]]:
    """Path, wanted and live value of what is compared by itself: each entry of a partial map, else the whole."""
    if line.partial and isinstance(want, Mapping) and want:
        for key, item in want.items():
            yield f"{line.name}.{key}", item, (have or {}).get(key)
    else:
        yield line.name, want, have


def _digest(kind: type[Kind], line: Attr, value: Any) -> str:
    value = kind.normal(line.name, value)
    if line.unordered and isinstance(value, list):
        value = sorted(value, key=canonical)
    if value is None or value in ("", [], {}):  # the server answers nothing in several ways
        value = None
    return digest(value)


def _project(have: Any, want: Any) -> Any:
    """The part of `have` that `want` speaks of."""
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        return {key: _project(have.get(key), item) for key, item in want.items() if key in have or item is not None}
    return have


def _over(have: Any, want: Any) -> Any:
    """`want` laid over `have`, key by key, so that what it does not name stays."""
    if isinstance(have, Mapping) and isinstance(want, Mapping):
        return dict(have) | {key: _over(have.get(key), item) for key, item in want.items()}
    return want
