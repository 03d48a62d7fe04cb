"""Desired and Live to Deltas: what happens to each object of a manifest, and to what it no longer declares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place, Problem, nearest
from lettaform.kinds import companions, kind_of, kinds
from lettaform.kinds.base import Kind
from lettaform.model import (
    Action,
    AgentChange,
    Change,
    Dependents,
    Desired,
    FieldChange,
    Live,
    Manifest,
    Mark,
    Moved,
    Observed,
    PlanOptions,
    Removed,
    Unmanaged,
)
from lettaform.plan.changes import Diff, ResourceChange
from lettaform.plan.compare import Lookup, compare, matches
from lettaform.plan.policy import policies
from lettaform.values import Patch, Ref, refs

TOLD = 3
"""How many of what dies unasked are named; of more, the number is."""


def diff(manifest: Manifest, observed: Observed, options: PlanOptions) -> Diff:
    """Compare what is wanted with what is live. Pure: decides everything, writes nothing."""
    return _Diff(manifest, observed, options).run()


class _Diff:
    def __init__(self, manifest: Manifest, observed: Observed, options: PlanOptions) -> None:
        self.manifest, self.options = manifest, options
        # one that is left out of this plan keeps its old address, and is not taken for undeclared there
        self.waiting = {entry.old for entry in manifest.moved if not self.selected(entry.new)}
        moves = tuple(each for each in manifest.moved if each.old not in self.waiting)
        self.observed, self.moved, self.blocked = _move(observed, (*moves, *_halfway(manifest, observed)))
        self.lookup = self.vanishing()
        self.resources: list[ResourceChange] = []
        self.runtime: list[AgentChange] = []
        self.unmanaged: list[Unmanaged] = []
        self.problems: list[Problem] = list(observed.problems)
        self.guards: list[Problem] = []
        self.parts: dict[Address, list[Desired]] = {}
        self.due: set[Address] = set()
        """To whom a call is due, whatever else changes: something that it brings is not there yet."""
        for desired in manifest.objects.values():
            if parent := desired.address.parent:
                self.parts.setdefault(parent, []).append(desired)

    def run(self) -> Diff:
        if not self.options.destroy:
            tops = [d for d in self.manifest.objects.values() if d.address.parent is None and self.selected(d.address)]
            for desired in (each for each in tops if each.brought and not self.there(each.address)):
                self.arrival(desired, self.parts.get(desired.address, []))
            for desired in (each for each in tops if each.external is None):
                if desired.along is None or self.there(desired.address):
                    self.one(desired)
            self.followers()
            self.lacking()
            self.stuck()
        self.undeclared()
        self.bound()
        resources, runtime, unmanaged = tuple(self.resources), tuple(self.runtime), tuple(self.unmanaged)
        return Diff(resources, runtime, unmanaged, tuple(self.problems), tuple(self.guards), self.observed)

    def there(self, address: Address) -> bool:
        """Whether something lives at an address, and stays."""
        return address in self.observed.objects and address not in self.lookup.gone

    def vanishing(self) -> Lookup:
        """An lookup for what cannot stay: a fixed field of it differs, or what it came along with goes."""
        gone: frozenset[Address] = frozenset()
        living = [
            d for d in self.manifest.objects.values() if d.address in self.observed.objects and not self.options.destroy
        ]
        while True:
            lookup = Lookup(self.manifest, self.observed, self.options, gone)
            stay = (d for d in living if d.address not in gone and self.selected(d.address))
            more = {d.address for d in stay if d.brought in gone or self.unfixable(lookup, d)}
            if not more:
                return lookup
            gone |= more

    def unfixable(self, lookup: Lookup, desired: Desired) -> bool:
        lines = kinds()[desired.kind].attrs()
        fixed = {name: value for name, value in desired.values.items() if lines[name].immutable}
        if not fixed or desired.external or desired.address.parent or desired.along:
            return False
        return bool(
            compare(lookup, replace(desired, values=fixed), self.observed.objects[desired.address]).fields_changed
        )

    def selected(self, address: Address) -> bool:
        desired = self.manifest.objects.get(address)
        address = (desired.along if desired else None) or address  # they come and go together
        return (not self.options.target or matches(address, self.options.target)) and not matches(
            address, self.options.exclude
        )

    def problem(self, desired: Desired, path: str, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem(message, desired.place_of(path), hint, str(desired.address), path or None))

    # --- one object and its parts

    def one(self, desired: Desired) -> None:
        live, parts = self.observed.objects.get(desired.address), self.parts.get(desired.address, [])
        if live is None:
            self.birth(desired, parts)
            return
        resource = self.compared(desired, live)
        if resource.change.action == "replace":
            self.birth(desired, parts, resource)
            return
        known, hung = dict(live.mark.parts), []
        if desired.address in self.due:
            due = "what it brings is listed anew"
            change = resource.change
            told = replace(change, reason=due) if not change.fields_changed else change
            resource = replace(resource, change=replace(told, recompiles=max(1, change.recompiles)))
        for part in parts:
            hung += self.part(desired, live, part, known)
        links = (*resource.attach, *hung)
        if hung:
            shown = FieldChange("memory", None, Patch(tuple(self.lookup.named(member) for _, member in hung)))
            resource = replace(
                resource, change=replace(resource.change, fields_changed=(*resource.change.fields_changed, shown))
            )
        self.collisions(desired, live, links, resource.detach)
        mark = replace(resource.mark or Mark(), parts=known)
        self.keep(replace(resource, attach=links, mark=mark))

    def compared(self, desired: Desired, live: Live) -> ResourceChange:
        """A living object against its manifest, as a change to it."""
        kind, found = kinds()[desired.kind], compare(self.lookup, desired, live)
        self.runtime += found.runtime
        if found.renamed or kind.name_field in found.fields:
            self.taken(desired, kind)
        touched = {d.path.split(".")[0] for d in found.fields_changed} | {f for f, _ in (*found.links, *found.unlinks)}
        users = len(self.observed.users.get(live.id, ())) or self.lookup.hung[live.id]
        change = Change(
            desired.address,
            desired.kind,
            "update",
            live.id,
            fields_changed=tuple(found.fields_changed),
            recompiles=0 if not kind.compiled & touched else 1 if kind.call else users,
            place=desired.place,
            notes=tuple(found.notes),
        )
        if fixed := [name for name in touched if kind.attrs()[name].immutable]:
            change = self.replaced(desired, change, fixed)
        mark = Mark(found.base, found.members, live.mark.parts)
        return ResourceChange(change, desired, live, found.fields, mark, tuple(found.links), tuple(found.unlinks))

    def replaced(self, desired: Desired, change: Change, fixed: list[str]) -> Change:
        """What cannot change on a living object makes another of it; where it is precious, if that is agreed to."""
        names = ", ".join(f"`{name}`" for name in sorted(fixed))
        kind = kinds()[desired.kind]
        note = (
            f"{names} cannot change on a living {desired.kind}: replaced{kind.replacement and f', {kind.replacement}'}"
        )
        bereft = self.bereft(desired)
        lost = f"; {bereft} agents outside this manifest would lose it" if bereft else ""
        if (kind.precious or bereft) and not matches(desired.address, self.options.allow_destroy):
            hint, place = f"`--allow-destroy '{desired.address}'` consents", desired.place_of(fixed[0])
            self.guards.append(Problem(f"{desired.address}: {note}{lost}", place, hint, str(desired.address), fixed[0]))
        return replace(change, action="replace", notes=(f"{note}{lost}", *self.followed(change.id or "")))

    def followed(self, id: str) -> Iterator[str]:
        """What dies with an object that dies, and stands at no address of ours: somebody else asked for it."""
        lost = [each for each in self.tied(id).along if each.id not in self.lookup.addresses]
        for kind in dict.fromkeys(each.kind for each in lost):
            ids = sorted(each.id for each in lost if each.kind == kind)
            what = ", ".join(ids) if len(ids) <= TOLD else f"{len(ids)} {kinds()[kind].section.replace('_', ' ')}"
            yield f"takes along {what}, of which this manifest does not speak"

    def tied(self, id: str) -> Dependents:
        return self.observed.dependents.get(id, Dependents())

    def bound(self) -> None:
        """What the server lets nobody delete before something that stays."""
        dying = [d for d in self.resources if d.live and d.change.action in ("delete", "replace")]
        gone = {resource.live.id for resource in dying if resource.live}
        for resource in dying:
            for each in self.tied(resource.change.id or "").before:
                if each.id not in gone:
                    what = self.lookup.addresses.get(each.id) or f"{each.kind} {each.id}"
                    message = f"{resource.address} cannot die before {what}, which needs it"
                    hint = f"delete {what} first, or keep {resource.address}"
                    place = resource.desired.place if resource.desired else None
                    self.problems.append(Problem(message, place, hint, str(resource.address)))

    def bereft(self, desired: Desired) -> int:
        """How many agents have what is replaced, and nothing says to attach what takes its place, or to take it off."""
        objects = self.observed.objects
        mine = {desired.address} | {a for a, d in self.manifest.objects.items() if d.brought == desired.address}
        ids = {objects[address].id for address in mine if address in objects}
        living = [(d, objects[a]) for a, d in self.manifest.objects.items() if a in objects]
        again = {live.id for d, live in living if any(ref.address in mine for ref in refs(dict(d.values)))}
        given = {live.id for _, live in living if any(ids.intersection(each) for each in live.mark.members.values())}
        return len(self.observed.users.get(objects[desired.address].id, frozenset()) - again - given)

    def keep(self, resource: ResourceChange) -> None:
        """Note the resource if it does anything; name its action after what it does."""
        live, change, moved = resource.live, resource.change, self.moved.get(resource.address)
        assert live is not None
        claim = not live.marked or moved is not None
        remark = claim or resource.mark != live.mark
        resource = replace(resource, claim=claim, mark=resource.mark if remark else None)
        call = kinds()[change.kind].call
        pending = call is not None and resource.address in self.observed.state.pending
        change = replace(change, recompiles=max(change.recompiles, pending))
        if resource.fields or resource.attach or resource.detach:
            change = replace(change, reason=next((d.reason for d in change.fields_changed), "manifest"))
        elif pending and call:
            change = replace(change, reason=f"interrupted before {call.done}")
        elif resource.address in self.due:
            pass
        elif remark:
            action: Action = "record" if live.marked else "adopt"
            change = replace(change, action=action, reason=f"moved from {moved}" if moved else "marks only")
        elif not resource.address.parent and resource.address not in self.observed.state.ids:
            change = replace(change, action="record", reason="not in the stack record")
        else:
            return
        self.resources.append(replace(resource, change=change))

    # --- what does not live yet

    def birth(self, desired: Desired, parts: list[Desired], old: ResourceChange | None = None) -> None:
        """A new object; where it takes the place of an `old` one, every block of that goes over to it."""
        kind = kinds()[desired.kind]
        self.taken(desired, kind)
        for line in kind.attrs().values():
            if line.required and desired.values.get(line.name) is None:
                self.problem(desired, "", f"{desired.address} does not exist yet, so `{line.name}` must be given")
        self.isolated(desired)
        kept: dict[str, Any] = {}
        inside = [self.part_at_birth(part, kept, replaced=old is not None) for part in parts]
        self.crowded(desired, parts, kept)
        kept |= self.carried_over(desired, old, kept)
        lines = kind.attrs()
        # 0.16.8 writes a system prompt of its own where none is told
        told = {n: lines[n].clear if v is None and lines[n].clear == "" else v for n, v in desired.values.items()}
        fields = {n: v for n, v in told.items() if v is not None and lines[n].write}
        spoken = fields | {n: v for n, v in told.items() if v is not None and lines[n].attached()}
        base, members = self.lookup.base_of(desired)
        mark = Mark(base, members, {part.address.child or "": self.lookup.base_of(part)[0] for part in parts})
        shown = tuple(
            FieldChange(name, None, value, secret=kind.attrs()[name].secret) for name, value in spoken.items()
        )
        change = Change(desired.address, desired.kind, "create", fields_changed=shown, place=desired.place)
        change = old.change if old else change
        # what a birth cannot bring is attached after it
        later = ((n, v) for n, v in desired.values.items() if v is not None and lines[n].attached())
        each = ((name, item) for name, value in later for item in ([value] if isinstance(value, Ref) else value))
        links = tuple((name, self.lookup.member(item)) for name, item in each)
        self.resources += [
            ResourceChange(change, desired, old.live if old else None, fields, mark, links, reused=kept),
            *inside,
        ]

    def arrival(self, desired: Desired, parts: list[Desired]) -> None:
        """What another object brings: it comes with that, or was not listed there yet."""
        address, by, lines = desired.address, desired.brought, kinds()[desired.kind].attrs()
        assert by is not None
        old = self.observed.objects.get(address)
        note = f"comes with {by}" if old is None else f"comes anew with {by}"
        change = Change(address, desired.kind, "replace" if old else "create", old.id if old else None)
        change = replace(change, reason="manifest", place=desired.place, notes=(note,))
        if desired.external:
            self.resources.append(ResourceChange(change, desired, old, discover=(desired.external.name or "", Ref(by))))
            self.due |= {by} if self.there(by) else set()
            if self.there(by) and self.manifest.objects[by].external:
                told = f"{by} offers no {desired.kind} `{desired.external.name}`, and is not ours to be listed anew"
                self.problem(desired, "", f"{address}: {told}")
            return
        values = {n: lines[n].clear if v is None else v for n, v in desired.values.items()}
        shown = tuple(FieldChange(name, None, value, secret=lines[name].secret) for name, value in values.items())
        # others' members stay, as on anything that lives
        links = [(n, self.lookup.member(each)) for n, v in values.items() if lines[n].link for each in v]
        fields = {n: Patch(tuple(v)) if lines[n].additive else v for n, v in values.items() if not lines[n].link}
        base, members = self.lookup.base_of(desired)
        mark = Mark(base, members, {part.address.child or "": {} for part in parts})
        change = replace(change, fields_changed=shown)
        self.resources.append(ResourceChange(change, desired, old, fields, mark, tuple(links), discover=("", Ref(by))))
        for part in parts:
            self.part_of_arrival(part, Ref(address))

    def part_of_arrival(self, part: Desired, by: Ref) -> None:
        """A part that such an object has from birth: it takes over the memory of an earlier one."""
        old = self.observed.objects.get(part.address) or self.survivor(part)
        note = f"comes with {by.address}" + (", and takes over what the one before it says" if old else "")
        fields = {"value": old.values.get("value") or ""} if old else {}
        shown = tuple(FieldChange(name, None, value) for name, value in fields.items())
        change = Change(part.address, part.kind, "replace" if old else "create", old.id if old else None)
        change = replace(change, fields_changed=shown, place=part.place, notes=(note,))
        taken = (str(part.values.get("label") or part.address.child), by)
        self.resources.append(
            ResourceChange(change, part, old, fields, Mark(*self.lookup.base_of(part)), discover=taken)
        )

    def part_at_birth(self, part: Desired, kept: dict[str, Any], *, replaced: bool) -> ResourceChange:
        """An own block of an agent to be: born with it, unless memory of an earlier one survives."""
        living = self.observed.objects.get(part.address) if replaced else None
        survivor = living or self.survivor(part)
        if survivor is None and kinds()[part.kind].part.lost_inline & part.values.keys():
            kept[part.address.child or ""] = Ref(part.address)
            return self.part_of_its_own(part)
        if survivor is None:
            return ResourceChange(self.shown(part), part)
        kept[part.address.child or ""] = survivor.id
        equal = part.values.get("value") in (None, survivor.values.get("value"))
        note = "surviving memory" if equal else "surviving memory, which differs from the seed: kept"
        change = Change(part.address, part.kind, "adopt", survivor.id, "re-attached", place=part.place, notes=(note,))
        return ResourceChange(change, part, survivor)

    def carried_over(self, desired: Desired, old: ResourceChange | None, kept: Mapping[str, Any]) -> dict[str, str]:
        """The blocks of a replaced agent that the manifest says nothing of: what it made, or others gave it."""
        left = self.observed.carried_over.get(desired.address, ())
        if old and old.live:
            left = self.observed.attached.get(old.live.id, ())
        wanted = desired.values.get("blocks") or ()
        gone = {member for _, member in old.detach} if old else set()
        gone |= {*kept.values()} | set(map(self.lookup.member, wanted))
        labels = set(map(self.label, wanted)) | set(kept)
        free = [block for block in left if block.id not in gone and block.name not in labels]
        return {f"{block.name} {block.id}": block.id for block in free if not self.doomed(block)}

    def shown(self, desired: Desired) -> Change:
        """The creation of an own block."""
        fields_changed = tuple(FieldChange(name, None, v) for name, v in desired.values.items() if v is not None)
        return Change(desired.address, desired.kind, "create", fields_changed=fields_changed, place=desired.place)

    def survivor(self, part: Desired) -> Live | None:
        return next(iter(self.observed.detached.get(part.address, ())), None)

    # --- own blocks of a living agent

    def part(
        self, parent: Desired, agent: Live, part: Desired, known: dict[str, Mapping[str, str]]
    ) -> list[tuple[str, Any]]:
        """One own block of a living agent. Returns what must be attached; `known`: blocks that it was ever given."""
        key, live, survivor = part.address.child or "", self.observed.objects.get(part.address), self.survivor(part)
        hanging = self.observed.attached.get(agent.id, ())
        twin = next((b for b in hanging if b.name == part.values.get("label") and not b.marked), None)
        if live is None and twin is not None:
            # it made the block itself, or somebody wiped the mark
            self.shared_twin(part, agent, twin)
            live = replace(twin, mark=Mark(known.get(key, {})))
        if live is not None:
            known.setdefault(key, {})
            self.keep(self.compared(part, live))
            return []
        policy = policies(part)["value"]
        if key in known and policy != "enforce" and not matches(part.address, self.options.reseed):
            # its agent took it off: that is the agent's to decide
            id = survivor.id if survivor else agent.id
            self.runtime.append(AgentChange(part.address, "attached", id, want=True, live=False))
            return []
        known[key] = {}
        if survivor is not None:
            resource = self.compared(part, survivor)
            change = replace(resource.change, action="adopt", reason="re-attached", recompiles=0)
            self.resources.append(replace(resource, change=change))
            return [("blocks", survivor.id)]
        self.resources.append(self.part_of_its_own(part))
        return [("blocks", Ref(part.address))]

    def part_of_its_own(self, part: Desired) -> ResourceChange:
        """An own block that is made by itself, and attached."""
        base, members = self.lookup.base_of(part)
        fields = {name: value for name, value in part.values.items() if value is not None}
        return ResourceChange(self.shown(part), part, None, fields, Mark(base, members))

    def shared_twin(self, part: Desired, agent: Live, twin: Live) -> None:
        if others := self.observed.users.get(twin.id, frozenset()) - {agent.id}:
            message = f"{part.address}: the block {twin.id} has this label and is shared with {len(others)} more agents"
            self.problem(part, "", message, "declare it under `blocks:` instead")

    def followers(self) -> None:
        """Blocks that an agent let go move with it all the same: at its old address they would count as undeclared."""
        taken = {resource.live.id for resource in self.resources if resource.live}
        for address, live in self.observed.orphaned_blocks:
            if live.address != address and live.id not in taken:
                change = Change(address, live.kind, "record", live.id, f"moved from {live.address}")
                self.resources.append(ResourceChange(change, None, live, mark=live.mark, claim=True))

    # --- what is in the way

    def lacking(self) -> None:
        """What is referred to lives, or is made by this very plan; `--target` and `--exclude` may leave it out."""
        made = {d.address for d in self.resources if d.change.action in ("create", "replace")}
        there = self.observed.objects.keys() | made
        for resource in self.resources:
            desired = resource.desired
            if desired is None:
                continue
            values = desired.values if resource.change.action in ("create", "replace") else resource.fields
            needed = {
                ref.address
                for ref in refs([dict(values), [member for _, member in resource.attach], resource.discover])
            }
            for address in sorted(needed - there):
                message = f"{desired.address} needs {address}, which does not exist and is left out of this plan"
                self.problem(desired, "", message, f"`--target '{address}'` takes it in")

    def stuck(self) -> None:
        """Where both ends of a `moved` live, one of them would be left behind, and pruned."""
        for entry in self.blocked:
            message = (
                f"{entry.old} cannot become {entry.new}: both are alive, {self.observed.objects[entry.old].id} and "
            )
            message += self.observed.objects[entry.new].id
            hint = f"`lettaform state mv` or `state rm` one of them, or leave `{entry.old}` out of `moved`"
            self.problems.append(Problem(message, entry.place, hint, str(entry.old)))

    def taken(self, desired: Desired, kind: type[Kind]) -> None:
        """A unique name that a stranger has is not ours to overwrite."""
        name = desired.values.get(kind.name_field)
        ours = (a for a, live in self.observed.objects.items() if live.kind == desired.kind and live.name == name)
        if kind.unique and (other := next((address for address in ours if address != desired.address), None)):
            # an upsert by name would overwrite it, and a death of the other take this one along
            message = f"the {desired.kind} `{name}` exists already as {other}"
            self.problem(
                desired, kind.name_field, message, f"`lettaform state mv '{other}' '{desired.address}'` moves it"
            )
            return
        stranger = self.observed.foreign.get((desired.kind, str(name))) if kind.unique else None
        if stranger is None:
            return
        owner = f"stack `{stranger.stack}`" if stranger.stack else "somebody else"
        adopt = f"adopt it with `lettaform import '{desired.address}' {stranger.id}`, or "
        remedy = ("" if stranger.stack else adopt) + f"use it with `external: true` and `name: {name}`"
        message = f"the {desired.kind} `{name}` exists already and belongs to {owner} ({stranger.id})"
        self.problem(desired, kind.name_field, message, remedy)

    def collisions(
        self, desired: Desired, live: Live, links: tuple[tuple[str, Any], ...], unlinks: tuple[tuple[str, Any], ...]
    ) -> None:
        """0.16.8 refuses a second block with a label that the agent has."""
        gone = {member for _, member in unlinks}
        self.single(desired, live, links, gone)
        hanging = self.observed.attached.get(live.id, ())
        taken = {b.name: b for b in hanging if b.id not in gone and not self.doomed(b)}
        for name, member in links:
            label = self.label(member) if name == "blocks" else None
            other = taken.get(label or "")
            if other is None or other.id == member:
                continue
            whose = f"{other.id}, which the agent or somebody else attached"
            hint = f"detach {other.id}, or declare it"
            if other.address:
                whose, hint = f"{other.address}, which is no longer declared", "`--prune` removes it"
            message = f"{desired.address} already has a block labelled `{label}`: {whose}"
            self.problem(desired, "blocks", message, hint)

    def single(self, desired: Desired, live: Live, links: tuple[tuple[str, Any], ...], gone: set[Any]) -> None:
        """Where only one can be attached, one that somebody else attached is in the way."""
        for name, _ in links:
            wanted = desired.values.get(name)
            have = [item for item in live.values.get(name) or () if item not in gone]
            if isinstance(wanted, Ref) and have:
                told = f"{desired.address} has the {name} {have[0]} already, which the agent or somebody else attached"
                hint = f"detach it, or adopt it: `lettaform import '{wanted.address}' {have[0]}`"
                self.problem(desired, name, told, hint)

    def crowded(self, desired: Desired, parts: list[Desired], kept: Mapping[str, Any]) -> None:
        """At birth 0.16.8 leaves out, without a word, all but one of several blocks of one label."""
        lives = [self.observed.objects.get(part.address) or self.survivor(part) for part in parts]
        names = {live.id: live.name for live in lives if live}
        own = [(part, kept.get(part.address.child or "")) for part in parts]
        labels = [(part.address, names.get(str(id)) or str(part.values.get("label"))) for part, id in own]
        labels += [(member.address, self.label(member) or "") for member in desired.values.get("blocks") or ()]
        taken: dict[str, Address] = {}
        for address, label in labels:
            other = taken.setdefault(label, address)
            if other != address:
                message = f"{desired.address} would get two blocks labelled `{label}`: {other} and {address}"
                self.problem(desired, "blocks", message, f"give {address} another label, or leave it out")

    def isolated(self, desired: Desired) -> None:
        """Labels that speak of blocks of another object: 0.16.8 makes half of it where one of them is unknown."""
        for line in kinds()[desired.kind].attrs().values():
            above = desired.values.get(line.inside or "")
            if not isinstance(above, Ref) or not desired.values.get(line.name):
                continue
            live, wanted = self.observed.objects.get(above.address), self.manifest.objects.get(above.address)
            known = {block.name for block in self.observed.attached.get(live.id, ())} if live else set()
            known |= {str(part.values.get("label")) for part in self.parts.get(above.address, ())}
            known |= {self.label(member) or "" for member in (wanted.values.get("blocks") or () if wanted else ())}
            for label in desired.values[line.name]:
                if label not in known:
                    message = f"{desired.address}: {above.address} has no block labelled `{label}`"
                    near = nearest(label, sorted(known))
                    self.problem(desired, line.name, message, f"did you mean `{near}`?" if near else None)

    def doomed(self, block: Live) -> bool:
        return bool(block.address) and self.options.prune and block.address not in self.manifest.objects

    def label(self, member: Any) -> str | None:
        """The label of a block that is or will be attached."""
        address = member.address if isinstance(member, Ref) else self.lookup.addresses.get(member)
        if address is None:
            return None
        live, wanted = self.observed.objects.get(address), self.manifest.objects.get(address)
        if live is None:
            return str(wanted.values.get("label")) if wanted else None
        if wanted is None or wanted.external or wanted.values.get("label") == live.name:
            return live.name
        return str(compare(self.lookup, wanted, live).fields.get("label", live.name))

    # --- what is ours and no longer declared

    def undeclared(self) -> None:
        removed = {entry.address: entry for entry in self.manifest.removed}
        # what the server made along with an object goes where that goes
        removed |= {each: entry for entry in self.manifest.removed for _, _, each in companions(entry.address)}
        orphans = {a: lives[0] for a, lives in self.observed.detached.items() if a not in self.observed.objects}
        orphans |= self.unmarked()
        for address, live in sorted((orphans | dict(self.observed.objects)).items(), key=lambda item: item[0]):
            if live.stack != self.manifest.stack or not self.selected(address):
                continue
            if {address, address.parent} & self.waiting and not self.options.destroy:
                continue
            declared = address in self.manifest.objects and not self.options.destroy
            gone = removed.get(address) or removed.get(address.parent or address)
            if declared and not gone:
                continue
            if gone and not gone.destroy and not self.options.destroy:
                change = Change(address, live.kind, "forget", live.id, "removed: {destroy: false}", place=gone.place)
                self.resources.append(ResourceChange(change, None, live, mark=Mark()))
            elif self.options.prune or self.options.destroy or gone:
                self.death(address, live)
            else:
                reason = "marked, no longer declared; --prune deletes it"
                self.unmanaged.append(Unmanaged(live.kind, live.id, address, reason))
        for address, id in self.observed.state.ids.items():
            if id not in self.lookup.addresses and address not in self.manifest.objects:
                change = Change(
                    address, kind_of(address) or address.section, "forget", id, "no longer exists on the server"
                )
                self.resources.append(ResourceChange(change))
        for copy in self.observed.duplicates:
            if copy.address and self.selected(copy.address):
                reason = "a copy: it claims an address that belongs to another object; never touched"
                self.unmanaged.append(Unmanaged(copy.kind, copy.id, copy.address, reason))
        for address, lives in self.observed.held_elsewhere.items():
            if self.selected(address):
                gone = removed.get(address) or removed.get(address.parent or address)
                self.strays(address, lives, gone)

    def unmarked(self) -> dict[Address, Live]:
        """Parts with which something was born that came along, where the apply died that would have marked them."""
        objects, found = self.observed.objects, dict[Address, Live]()
        orphaned_blocks = {address for address, _ in self.observed.orphaned_blocks}
        for _, _, address in (each for a in objects for each in companions(a) if each[2] in objects):
            by = objects[address]
            for name, key in kinds()[by.kind].discovered_parts().items():
                own, blocks = address.part(name, key), self.observed.attached.get(by.id, ())
                twin = next((each for each in blocks if each.name == key and each.stack is None), None)
                if twin and by.stack == self.manifest.stack and own not in objects and own not in orphaned_blocks:
                    found[own] = replace(twin, address=own, stack=self.manifest.stack)
        return found

    def strays(self, address: Address, lives: tuple[Live, ...], gone: Removed | None) -> None:
        """Memory that another agent has taken over is kept, and no longer ours where its agent is not."""
        parent, reason = address.parent or address, "its agent let it go, and another agent has it: kept"
        leaves = self.options.destroy or gone or (self.options.prune and parent not in self.manifest.objects)
        for live in lives:
            if leaves:
                change = Change(address, live.kind, "forget", live.id, reason, place=gone.place if gone else None)
                self.resources.append(ResourceChange(change, None, live, mark=Mark()))
            else:
                self.unmanaged.append(Unmanaged(live.kind, live.id, address, reason))

    def death(self, address: Address, live: Live) -> None:
        wanted, allowed = self.manifest.objects.get(address), matches(address, self.options.allow_destroy)
        parent = self.observed.objects.get(address.parent) if address.parent else None
        users = self.observed.users.get(live.id, frozenset()) - self.leaving - {parent.id if parent else ""}
        if users and not allowed and parent and parent.id in self.leaving:
            reason = f"its agent goes, and {len(users)} agents outside this plan have it: kept"
            self.resources.append(
                ResourceChange(Change(address, live.kind, "forget", live.id, reason), None, live, mark=Mark())
            )
            return
        if users and not allowed:
            reason = f"kept: {len(users)} agents outside this plan use it"
            self.unmanaged.append(Unmanaged(live.kind, live.id, address, reason))
            return
        protected = address in self.observed.state.protected or (wanted is not None and wanted.prevent_destroy)
        if protected and not allowed:
            place, path = wanted.place if wanted else None, "lifecycle.prevent_destroy"
            message, hint = f"{address} is protected by `prevent_destroy`", f"`--allow-destroy '{address}'` consents"
            self.guards.append(Problem(message, place, hint, str(address), path))
        reason = "destroy" if self.options.destroy else "no longer declared"
        change = Change(address, live.kind, "delete", live.id, reason, notes=tuple(self.followed(live.id)))
        self.resources.append(ResourceChange(change, None, live))

    @cached_property
    def leaving(self) -> frozenset[str]:
        """Agents that let go of what is deleted: those that die, and those that are taken off it."""
        kept: Mapping[Address, Desired] = {} if self.options.destroy else self.manifest.objects
        ours = {a: live for a, live in self.observed.objects.items() if live.stack == self.manifest.stack}
        dying = {live.id for a, live in ours.items() if live.kind == "agent" and a not in kept}
        dying |= {each.id for id in dying for each in self.tied(id).along}
        return frozenset(dying | {resource.live.id for resource in self.resources if resource.live and resource.detach})


def _halfway(manifest: Manifest, observed: Observed) -> Iterator[Moved]:
    """A crash between mark and record leaves one object at two addresses: the declared one decides, or the record.

    And what another object brings is where that is.
    """
    at = {live.id: address for address, live in observed.objects.items() if address.parent is None}
    for new, id in observed.brought.items():
        if at.get(id, new) != new:
            yield Moved(at[id], new, Place("", 0, 0))
    first: dict[str, Address] = {}
    for address, live in observed.objects.items():
        if address.parent is None and live.stack == manifest.stack:
            pair = (first.setdefault(live.id, address), address)
            old, new = sorted(pair, key=lambda each: (each in manifest.objects, each in observed.state.ids))
            if old != new:
                yield Moved(old, new, Place("", 0, 0))


def _move(observed: Observed, moved: tuple[Moved, ...]) -> tuple[Observed, dict[Address, Address], list[Moved]]:
    """The observed as if every `moved` had happened; what moved, new address to old; and what has no room."""
    objects, detached, held_elsewhere = dict(observed.objects), dict(observed.detached), dict(observed.held_elsewhere)
    done, left = dict[Address, Address](), list(moved)

    def free(entry: Moved) -> bool:
        # a crash between mark and record leaves one object at both addresses
        old, new = objects.get(entry.old), objects.get(entry.new)
        return old is None or new is None or old.id == new.id

    while entry := next(filter(free, left), None):
        left.remove(entry)
        for old in [a for a in (*objects, *detached, *held_elsewhere) if a == entry.old or a.parent == entry.old]:
            new = entry.new.part(old.field, old.child) if old.field and old.child and old != entry.old else entry.new
            if old in objects and (new not in objects or objects[new].id == objects[old].id):
                objects[new] = replace(objects.pop(old), address=new)
                done[new] = old
            for orphaned_blocks in (detached, held_elsewhere):
                if old in orphaned_blocks:
                    orphaned_blocks[new] = (*orphaned_blocks.get(new, ()), *orphaned_blocks.pop(old))
    return replace(observed, objects=objects, detached=detached, held_elsewhere=held_elsewhere), done, left
