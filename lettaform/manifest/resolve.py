"""Instances to a Manifest: references to addresses, types checked, names known, nothing left to find out."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lettaform.errors import Place
from lettaform.kinds import kinds, sections
from lettaform.kinds.base import Attr, Never, Policy, path_get
from lettaform.kinds.tool import BUILT_IN, first_function, tool_name
from lettaform.manifest.expand import Expanded, Instance
from lettaform.manifest.form import UNMANAGED, never, partial
from lettaform.manifest.node import HOLE, UNSET, Node, described, empty
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.scope import SECRET, Path, Scope
from lettaform.manifest.types import Flaw, find, flaws, places
from lettaform.model import Desired, External, Import, Manifest, Moved, Removed
from lettaform.words import Address, Joined, Ref, Secret, fill, tainted

# What the tables of the kinds do not say yet.
BUILT_INS: Mapping[str, frozenset[str]] = {"tool": BUILT_IN}
"""Objects that the server has by itself, by name: used without being declared."""
NAMES: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {"tool": tool_name}
"""Names that the server reads out of other fields."""
SOURCES: Mapping[tuple[str, str], Mapping[str, Mapping[str, Any]]] = {
    ("tool", "source"): {".py": {}, ".ts": {"source_type": "typescript"}},
}
"""Fields that take a path of one line, by its ending, and what the ending says of other fields."""
RESERVED = "lettaform"
"""Our own tags begin with it and a colon; our own entry of `metadata` is called so."""

LONGEST = 30
"""How many objects a field may be taken from, one after the other."""


def resolve(root: Node, expanded: Expanded, scope: Scope) -> Manifest:
    """The whole manifest. Of no use if there were problems."""
    return _Resolution(root, expanded, scope).manifest()


class _Resolution:
    """One manifest on its way."""

    def __init__(self, root: Node, expanded: Expanded, scope: Scope) -> None:
        self.root, self.expanded, self.scope = root, expanded, scope
        self.problems: Problems = scope.problems
        self.instances = expanded.instances
        self.indexes: dict[Address, list[Address]] = {}
        for address in self.instances:
            if address.index is not None and not address.field:
                self.indexes.setdefault(Address(address.section, address.key), []).append(address)
        self.implied: dict[Address, Desired] = {}
        self.asking: list[tuple[Address, str]] = []
        scope.refer = self.refer

    def manifest(self) -> Manifest:
        objects = {address: self.desired(instance) for address, instance in self.instances.items()}
        objects |= self.implied
        self.names_are_unique(objects)
        for desired in objects.values():
            self.members_are_unique(desired, objects)
        declared = self.root.map
        url = declared["server"].map.get("url") if "server" in declared else None
        return Manifest(
            stack=self.scope.stack,
            objects=objects,
            url=self.url(url) if url is not None and url.tag != UNSET else None,
            environment=self.scope.environment,
            moved=tuple(self.moved()),
            imports=tuple(self.imports(objects)),
            removed=tuple(self.removed()),
            outputs=self.outputs(declared.get("outputs") or empty(self.root.place)),
            warnings=self.problems.warnings,
        )

    # --- one object ---------------------------------------------------------------------------------------------------

    def desired(self, instance: Instance) -> Desired:
        """One object, whole."""
        where = dict(places(instance.body))
        if instance.external:
            return Desired(instance.address, instance.kind, {}, instance.place, where, external=self.external(instance))
        lines = instance.table.attrs()
        values = {name: self.field(instance, name) for name, line in lines.items() if not line.own}
        values = {name: value for name, value in values.items() if value is not Silent}
        sound = self.sound(instance, values)
        broken = len(sound) < len(values)
        name = self.name(instance)
        if name is not HOLE and instance.table.name_field not in values:
            sound = {instance.table.name_field: name, **sound}
        self.implications(instance, sound)
        self.check(instance, sound, broken=broken)
        policies, protected = self.ownership(instance)
        return Desired(instance.address, instance.kind, sound, instance.place, where, policies, protected)

    def field(self, instance: Instance, name: str) -> Any:
        """One field's value, with slots; HOLE if it cannot be known, Silent if nothing is said."""
        node = instance.body.map.get(name)
        if name in instance.values:
            return instance.values[name]
        if node is None or node.tag == UNSET:
            return Silent
        step = (instance.address, name)
        if step in self.asking or len(self.asking) > LONGEST:
            circle = " → ".join(f"{address}.{field}" for address, field in [*self.asking[-4:], step])
            self.problems.add(f"fields that are taken from one another: {circle}", node.place, address=instance.address)
            return HOLE
        self.asking.append(step)
        try:
            value = self.scope.value(node, instance.each)
        finally:
            self.asking.pop()
        if value is not HOLE:
            value = self.meaning(instance, instance.table.attrs()[name], node, value)
        instance.values[name] = value
        return value

    def meaning(self, instance: Instance, line: Attr, node: Node, value: Any) -> Any:
        """What a value means for this field: a path, a secret, references."""
        if tainted(value) and not line.secret:
            where = instance.body.at(line.name)
            self.problems.add(f"{line.name}: a secret cannot stand here", where, SECRET, field=line.name)
            return HOLE
        if line.secret:
            return self.secret(value)
        if line.to in kinds():
            return self.references(instance, line, node, value)
        endings = SOURCES.get((instance.kind, line.name))
        if endings and isinstance(value, str) and not node.tag and "\n" not in value and value:
            return self.source(instance, line, node, value, endings)
        return value

    def secret(self, value: Any) -> Any:
        if isinstance(value, str):
            self.problems.conceal(value)
            return Secret("literal", value)
        if isinstance(value, Mapping):
            return {key: self.secret(item) for key, item in value.items()}
        return [self.secret(item) for item in value] if isinstance(value, list) else value

    def source(self, instance: Instance, line: Attr, node: Node, value: str, endings: Mapping[str, Any]) -> Any:
        """The text of the file that a path of one line names."""
        if not value.endswith(tuple(endings)):
            words = " or ".join(endings)
            message = f"{line.name}: {described(value)} is no path that ends in {words}, and no text of several lines"
            self.problems.add(message, node.place, f"write a path, or the text itself after `{line.name}: |`")
            return HOLE
        instance.sources[line.name] = value
        path = self.scope.files.named(value, node.place)
        text = None if path is None else self.scope.files.text(path, node.place)
        return HOLE if text is None else text

    def sound(self, instance: Instance, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values that are of their types. What was written literally has been told about already."""
        lines = instance.table.attrs()
        known = {name: value for name, value in values.items() if value is not HOLE}
        typed = {n: partial(lines[n], fill(value, _stand_in)) for n, value in known.items() if value is not None}
        broken: set[str] = set()
        for flaw in flaws(instance.table, typed):
            name = str(flaw.path[0])
            if _later(known[name], flaw):
                continue
            broken.add(name)
            _, where, was_open = find(instance.body, flaw.path)
            if was_open:
                message = flaw.message(secret=lines[name].secret)
                self.problems.add(message, where, flaw.hint, address=instance.address, field=flaw.field)
        for name, value in known.items():
            if value is None and lines[name].clear is Never:
                broken.add(name)
                if instance.body.map[name].open:
                    where = instance.body.at(name)
                    self.problems.add(never(name), where, UNMANAGED, address=instance.address, field=name)
        return {name: value for name, value in known.items() if name not in broken}

    def name(self, instance: Instance) -> Any:
        """What people know it by: what it says, what follows from its other fields, or its key."""
        name = instance.table.name_field
        if instance.table.attrs()[name].write is not None:
            return self.field(instance, name) if name in instance.body.map else instance.name
        if name in instance.body.map:
            message = f"{name}: is read from the object's other fields"
            self.problems.add(message, instance.body.keys[name], "leave the line out", address=instance.address)
            return HOLE
        others = {key: self.field(instance, key) for key in instance.body.map if key in instance.table.attrs()}
        if any(value is HOLE for value in others.values()):
            return HOLE
        others = {key: value for key, value in others.items() if value is not Silent}
        found = NAMES[instance.kind](fill(others, _stand_in)) if instance.kind in NAMES else instance.name
        if found is None and not any(line.birth and name in others for name, line in instance.table.attrs().items()):
            needed = [name for name, line in instance.table.attrs().items() if line.birth]
            message = f"`{needed[0] if needed else name}` is missing"
            self.problems.add(message, instance.place, address=instance.address, field=needed[0] if needed else name)
        return HOLE if found is None else found

    def implications(self, instance: Instance, values: dict[str, Any]) -> None:
        """What the ending of a path says of other fields."""
        for name, path in instance.sources.items():
            for ending, implied in SOURCES[instance.kind, name].items():
                if path.endswith(ending):
                    values |= {key: value for key, value in implied.items() if key not in instance.body.map}

    def check(self, instance: Instance, values: Mapping[str, Any], *, broken: bool) -> None:
        """What the kind itself finds wrong, and what is reserved for us."""
        for path, message, hint in instance.table.check(values):
            name = path.partition(".")[0]
            node = instance.body.map.get(name)
            if node is None and broken:
                continue  # what is missing may be among what is broken
            where = self.shown(instance, path)
            told = f"{path}: {self.origin(instance, name, values)}{message}"
            self.problems.add(told, where, hint, address=instance.address, field=path)
        tags, metadata = values.get("tags"), values.get("metadata")
        for index, tag in enumerate(tags if isinstance(tags, list) else ()):
            if isinstance(tag, str) and tag.startswith(f"{RESERVED}:"):
                where = self.shown(instance, f"tags.{index}")
                self.reserved(f"tags: {tag!r} begins with `{RESERVED}:`, which is reserved", where, instance)
        if isinstance(metadata, Mapping) and RESERVED in metadata:
            where = self.shown(instance, f"metadata.{RESERVED}")
            self.reserved(f"metadata: the key `{RESERVED}` is reserved", where, instance)

    def reserved(self, message: str, where: Place, instance: Instance) -> None:
        self.problems.add(message, where, "it is where lettaform keeps its marks", address=instance.address)

    def shown(self, instance: Instance, path: str) -> Place:
        """Where to show a problem with a field, or with a whole object."""
        steps: list[str | int] = [int(step) if step.isdecimal() else step for step in path.split(".")]
        return find(instance.body, steps)[1] if str(steps[0]) in instance.body.map else instance.place

    def origin(self, instance: Instance, name: str, values: Mapping[str, Any]) -> str:
        """File and line of a problem inside a source that stands in a file of its own."""
        if name not in instance.sources or name not in values:
            return ""
        path = self.scope.files.beside(instance.body.map[name].place) / instance.sources[name]
        return f"{self.scope.files.shown(path)}:{_line(values[name])}: "

    def ownership(self, instance: Instance) -> tuple[dict[str, Policy], bool]:
        """Who owns which field, and whether the object may be destroyed."""
        body = instance.body.map
        policy = body["policy"].map if "policy" in body else {}
        owners: dict[str, Any] = {name: node.text for name, node in policy.items() if node.tag != UNSET}
        lifecycle = body["lifecycle"].map if "lifecycle" in body else {}
        for node in lifecycle["ignore_changes"].list if "ignore_changes" in lifecycle else ():
            if owners.get(str(node.text), "ignore") != "ignore":
                said = f"`{node.text}` has the policy `{owners[str(node.text)]}`, too"
                self.problems.add(f"lifecycle.ignore_changes: {said}", node.place, "keep one of the two")
            owners[str(node.text)] = "ignore"
        prevent = lifecycle.get("prevent_destroy")
        if prevent is None or prevent.tag == UNSET:
            return owners, False
        value = self.scope.plain(prevent, instance.each, "lifecycle.prevent_destroy")
        if prevent.open and value is not HOLE and not isinstance(value, bool):
            message = f"lifecycle.prevent_destroy: expected true or false, got {described(value)}"
            self.problems.add(message, prevent.place, address=instance.address)
        return owners, value is True

    def external(self, instance: Instance) -> External:
        """How to find what somebody else owns."""
        body = instance.body
        said = {key: body.map[key] for key in ("name", "id", "stack", "address") if key in body.map}
        if set(said) not in ({"name"}, {"id"}, {"stack", "address"}):
            message = "an external object is found by exactly one of: name; id; stack and address"
            self.problems.add(message, body.at("external"), address=instance.address)
        found = {key: self.scope.text(node, instance.each, key) for key, node in said.items()}
        address = said.get("address")
        return External(
            found.get("name"),
            found.get("id"),
            found.get("stack"),
            self.address(address) if address is not None else None,
        )

    # --- references ---------------------------------------------------------------------------------------------------

    def references(self, instance: Instance, line: Attr, node: Node, value: Any) -> Any:
        """Keys of another section as Refs; all instances of what has `for_each`."""
        if value is None:
            return None
        if not isinstance(value, list):
            found = self.reference(instance, line, value, instance.body.at(line.name))
            return found if found is HOLE or len(found) != 1 else found[0]
        targets: list[Any] = []
        broken = False
        for index, item in enumerate(value):
            where = node.list[index].place if index < len(node.list) else instance.body.at(line.name)
            found = self.reference(instance, line, item, where)
            if found is HOLE:
                broken = True
                continue
            for target in found:
                if target in targets:
                    shown = target.address if isinstance(target, Ref) else described(target)
                    message = f"{line.name}: {shown} stands twice"
                    self.problems.add(message, where, "leave one out", address=instance.address, field=line.name)
                else:
                    targets.append(target)
        return HOLE if broken else targets

    def reference(self, instance: Instance, line: Attr, item: Any, where: Place) -> Any:
        """The Refs that one item stands for."""
        kind = line.to or ""
        section = kinds()[kind].section
        if isinstance(item, Ref):
            if (item.address.section, item.path) == (section, "id"):
                return [item]
            self.problems.add(f"{line.name}: {item.address} is none of {section}", where, address=instance.address)
            return HOLE
        if not isinstance(item, str):
            return [item]  # of a wrong type, which is told elsewhere
        declared = self.expanded.keys[section]
        if item in declared:
            whole = Address(section, item)
            return [Ref(address) for address in self.all_of(whole)]
        one = self.one_of(section, item)
        if one is not None and one in self.instances:
            return [Ref(one)]
        if item in BUILT_INS.get(kind, ()):
            return [Ref(self.built_in(kind, section, item, where))]
        if self.problems.unread:
            return HOLE
        return self.unknown(instance, line, section, item, where)

    def all_of(self, address: Address) -> list[Address]:
        """The instances of a key; none if its `when` is false."""
        if address in self.expanded.repeated:
            return self.indexes.get(address, [])
        return [address] if address in self.instances else []

    def one_of(self, section: str, item: str) -> Address | None:
        """`worker[emea]` as an address."""
        try:
            return Address.parse(f"{section}{'' if item.startswith('[') else '.'}{item}")
        except ValueError:
            return None

    def built_in(self, kind: str, section: str, name: str, where: Place) -> Address:
        address = Address(section, name)
        if address not in self.implied:
            self.implied[address] = Desired(address, kind, {}, where, external=External(name=name))
        return address

    def unknown(self, instance: Instance, line: Attr, section: str, item: str, where: Place) -> Any:
        declared = self.expanded.keys[section]
        one = self.one_of(section, item)
        whole = Address(section, one.key) if one is not None and one.index is not None else None
        words = [*declared, *BUILT_INS.get(line.to or "", ())]
        hint = suggest(item, words)
        if whole is not None and whole in self.expanded.repeated:
            hint = suggest(item, [str(address).partition(".")[2] for address in self.all_of(whole)])
        elif item.startswith(f"{section}.") and item.partition(".")[2] in declared:
            hint = f"did you mean `{item.partition('.')[2]}`?"
        elif hint is None or not declared:
            hint = hint or f"declare it in `{section}`"
        message = f"{line.name}: there is no {line.to} `{item}`"
        self.problems.add(message, where, hint, address=instance.address, field=line.name)
        return HOLE

    def refer(self, path: Path, where: Place) -> Any:
        """An expression about another object: a Ref, or the value itself where the manifest says it."""
        address, rest = self.taken_apart(path, where)
        if address is None:
            return HOLE
        instance = self.instances[address]
        if not rest:
            return self.no(f"`${{{path.text}}}` names an object, not a value", where, f"${{{path.text}.id}}")
        field, lines = rest[0], instance.table.attrs()
        if rest == ["id"]:
            return Ref(address)
        if field not in lines or lines[field].own:
            readable = ["id", *(name for name, line in lines.items() if line.read is not None and not line.secret)]
            return self.no(f"`${{{path.text}}}`: there is no `{field}`", where, suggest(field, readable))
        value = Silent if instance.external else self.said(instance, field)
        if value is Silent and lines[field].read is None:
            return self.no(f"`${{{path.text}}}` is not known: the manifest does not say it", where)
        if value is Silent:
            return Ref(address, ".".join(rest))
        if value is HOLE or len(rest) == 1:
            return value
        deeper = path_get(value, ".".join(rest[1:])) if isinstance(value, Mapping) else None
        return deeper if deeper is not None else Ref(address, ".".join(rest))

    def said(self, instance: Instance, field: str) -> Any:
        """A field of another object, its name included."""
        return self.name(instance) if field == instance.table.name_field else self.field(instance, field)

    def taken_apart(self, path: Path, where: Place) -> tuple[Address | None, list[str]]:
        """The object that an expression names, and what of it."""
        section, steps = path.head, list(path.steps)
        if not steps:
            self.no(f"`${{{path.text}}}` names no object", where, f"${{{section}.key.id}}")
            return None, []
        key, _ = steps.pop(0)
        address = Address(section, key)
        if key not in self.expanded.keys[section]:
            if not self.problems.unread:
                self.no(f"there is no `{section}.{key}`", where, suggest(key, self.expanded.keys[section]))
            return None, []
        if address in self.expanded.repeated:
            choices = [str(one) for one in self.all_of(address)]
            if not steps or not steps[0][1]:
                self.no(f"`{address}` is made by `for_each`: name one of them", where, suggest(str(address), choices))
                return None, []
            address = Address(section, key, steps.pop(0)[0])
            if address not in self.instances:
                self.no(f"there is no `{address}`", where, suggest(str(address), choices))
                return None, []
        if address not in self.instances:
            self.no(f"`{address}` is left out by its `when`", where)
            return None, []
        words = [word for word, _ in steps]
        line = self.instances[address].table.attrs().get(words[0]) if words else None
        if line is not None and line.own and len(words) > 1:
            address, words = address.own(words[0], words[1]), words[2:]
            if address not in self.instances:
                parts = [part.child or "" for part in self.instances if part.parent == address.parent]
                self.no(f"there is no `{address}`", where, suggest(address.child or "", parts))
                return None, []
        return address, words

    def no(self, message: str, where: Place, hint: str | None = None) -> Any:
        self.problems.add(message, where, hint)
        return HOLE

    # --- what concerns several objects --------------------------------------------------------------------------------

    def names_are_unique(self, objects: Mapping[Address, Desired]) -> None:
        """Where the server knows objects by name, two of one name are one."""
        first: dict[tuple[str, str], Desired] = {}
        for desired in objects.values():
            name = _name(desired)
            if not kinds()[desired.kind].unique or name is None:
                continue
            other = first.setdefault((desired.kind, name), desired)
            if other is not desired:
                message = f"{desired.address} and {other.address} are one {desired.kind}, `{name}`, on the server"
                self.problems.add(message, desired.place, f"the other stands at {other.place}", address=desired.address)

    def members_are_unique(self, desired: Desired, objects: Mapping[Address, Desired]) -> None:
        """An agent sees what it has by name: no two of a kind may share one."""
        first: dict[tuple[str, str], tuple[Address, Place]] = {}
        for kind, member, where in self.members(desired, objects):
            name = _name(member)
            if name is None:
                continue
            known, other = first.setdefault((kind, name), (member.address, where))
            if known != member.address:
                label = kinds()[kind].name_field
                message = f"two {kind}s of {desired.address} have the {label} `{name}`"
                hint = f"the other stands at {other}"
                self.problems.add(message, where, hint, address=desired.address)

    def members(self, desired: Desired, objects: Mapping[Address, Desired]) -> Iterator[tuple[str, Desired, Place]]:
        instance = self.instances.get(desired.address)
        if instance is None or instance.external:
            return
        for name, line in instance.table.attrs().items():
            if line.own and name in instance.body.map:
                parts = (desired.address.own(name, key) for key in instance.body.map[name].map)
                yield from ((line.own, objects[part], objects[part].place) for part in parts if part in objects)
            elif line.to:
                value = desired.values.get(name)
                for index, item in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(item, Ref) and item.address in objects:
                        yield line.to, objects[item.address], self.shown(instance, f"{name}.{index}")

    # --- what is said beside the objects ------------------------------------------------------------------------------

    def address(self, node: Node) -> Address | None:
        """An address that was written as a text."""
        if node.text is None:
            return None
        try:
            address = Address.parse(node.text)
        except ValueError:
            self.problems.add(f"`{node.text}` is not an address", node.place, "as in agents.supervisor")
            return None
        if address.section not in sections():
            hint = suggest(address.section, sections())
            self.problems.add(f"`{node.text}`: there is no section `{address.section}`", node.place, hint)
            return None
        return address

    def entries(self, key: str) -> Iterator[Node]:
        if key in self.root.map:
            yield from (node for node in self.root.map[key].list if node.map)

    def pair(self, node: Node, *keys: str) -> list[Address | None]:
        return [self.address(node.map[key]) if key in node.map else None for key in keys]

    def declared(self, address: Address, node: Node) -> bool:
        """Whether the manifest makes this; a problem if it does not."""
        if address in self.instances or self.problems.unread:
            return True
        choices = [str(one) for one in self.instances]
        self.problems.add(f"nothing is declared at `{address}`", node.place, suggest(str(address), choices[:2000]))
        return False

    def gone(self, address: Address, node: Node) -> bool:
        """Whether the manifest makes this no more; a problem if it does."""
        repeated = address.index is None and address in self.expanded.repeated
        if address not in self.instances and not repeated:
            return True
        message = f"`{address}` is still declared"
        self.problems.add(message, node.place, f"take it out of `{address.section}`, or this line away")
        return False

    def moved(self) -> Iterator[Moved]:
        sources: dict[Address, Node] = {}
        entries = list(self.entries("moved"))
        chained = {address for node in entries for address in self.pair(node, "from")}
        for node in entries:
            old, new = self.pair(node, "from", "to")
            if old is None or new is None:
                continue
            if old in sources:
                message = f"`{old}` moves twice"
                self.problems.add(message, node.map["from"].place, f"the other stands at {sources[old].place}")
            sources[old] = node.map["from"]
            if (old.section, old.field) != (new.section, new.field):
                self.problems.add(f"`{old}` cannot become `{new}`: they are different kinds", node.map["to"].place)
            elif new in self.expanded.repeated and old.index is None:
                yield from (_with_index(old, one, node) for one in self.all_of(new))
            elif self.gone(old, node.map["from"]) and (new in chained or self.declared(new, node.map["to"])):
                yield Moved(old, new, node.place)

    def imports(self, objects: Mapping[Address, Desired]) -> Iterator[Import]:
        seen: dict[str, Place] = {}
        for node in self.entries("imports"):
            (address,) = self.pair(node, "to")
            id = self.scope.text(node.map["id"], None, "id") if "id" in node.map and node.map["id"].open else None
            id = id or (node.map["id"].text if "id" in node.map else None)
            if address is None or id is None or not self.declared(address, node.map["to"]):
                continue
            if address in objects and objects[address].external is not None:
                message = f"`{address}` is external: it is used, and never ours"
                self.problems.add(message, node.map["to"].place, "take `external` away, or this line")
            for what, where in ((str(address), node.map["to"].place), (id, node.map["id"].place)):
                if what in seen:
                    self.problems.add(f"`{what}` is imported twice", where, f"the other stands at {seen[what]}")
                seen[what] = where
            yield Import(address, id, node.place)

    def removed(self) -> Iterator[Removed]:
        for node in self.entries("removed"):
            (address,) = self.pair(node, "from")
            destroy = self.scope.plain(node.map["destroy"], None, "destroy") if "destroy" in node.map else False
            if isinstance(destroy, str):
                where = node.map["destroy"]
                if where.open:
                    self.problems.add(f"destroy: expected true or false, got {described(destroy)}", where.place)
            if address is not None and self.gone(address, node.map["from"]):
                yield Removed(address, destroy is True, node.place)

    def outputs(self, node: Node) -> Mapping[str, Any]:
        found = {}
        for key, child in node.map.items():
            if child.tag == UNSET:
                continue
            value = self.scope.value(child)
            if value is not HOLE and tainted(value):
                self.problems.add(f"outputs.{key}: a secret cannot stand here", node.at(key), "outputs are shown")
            found[key] = value
        return found

    def url(self, node: Node) -> str | None:
        if not node.open:
            return node.text
        url = self.scope.text(node, None, "server.url")
        if url is not None and not url.startswith(("http://", "https://")):
            self.problems.add(f"server.url: expected an http(s) URL, got {described(url)}", node.place)
        return url


class _Silent:
    """The manifest says nothing about this field."""


Silent = _Silent()


def _stand_in(ref: Ref) -> str:
    return f"‹{ref.address}.{ref.path}›"


def _later(value: Any, flaw: Flaw) -> bool:
    """Whether what is wrong is a value that another object will have: its type is not known yet."""
    for step in flaw.path[1:]:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break
    return isinstance(value, Ref) and value.path != "id"


def _name(desired: Desired) -> str | None:
    """What the server knows it by, if that can be told from here."""
    name = desired.external.name if desired.external else desired.values.get(kinds()[desired.kind].name_field)
    return None if isinstance(name, Ref | Joined | Secret) else name


def _with_index(old: Address, new: Address, node: Node) -> Moved:
    return Moved(Address(old.section, old.key, new.index), new, node.place)


def _line(source: str) -> int:
    """The line of a Python source that a problem with it is about."""
    try:
        function = first_function(ast.parse(source))
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError):
        return 1
    return function.lineno if function else 1
