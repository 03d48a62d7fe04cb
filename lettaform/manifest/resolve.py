"""Instances to a Manifest: references to addresses, types checked, names known, nothing left to find out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_origin

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.kinds.base import Attr, Never, Policy
from lettaform.manifest.declarations import Beside, address
from lettaform.manifest.expand import Expanded, Instance
from lettaform.manifest.form import UNMANAGED, never, partial
from lettaform.manifest.node import HOLE, UNSET, Node, described
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.references import References
from lettaform.manifest.scope import SECRET, Path, Scope
from lettaform.manifest.types import Flaw, find, flaws, places
from lettaform.manifest.uniqueness import members_are_unique, names_are_unique
from lettaform.model import Desired, External, Manifest
from lettaform.ownership.marks import MARK
from lettaform.values import Item, Ref, Secret, fill, tainted

LONGEST = 30
"""How many objects a field may be taken from, one after the other."""


def resolve(root: Node, expanded: Expanded, scope: Scope) -> Manifest:
    """The whole manifest. Of no use if there were problems."""
    objects = Objects(expanded, scope).all()
    beside = Beside(root, expanded, scope)
    return Manifest(
        stack=scope.stack,
        objects=objects,
        url=beside.url(),
        environment=scope.environment,
        moved=tuple(beside.moved()),
        imports=tuple(beside.imports(objects)),
        removed=tuple(beside.removed()),
        outputs=beside.outputs(),
        warnings=scope.problems.warnings,
    )


class Objects:
    """The objects of a manifest, each field known when it is asked for."""

    def __init__(self, expanded: Expanded, scope: Scope) -> None:
        self.scope, self.instances = scope, expanded.instances
        self.problems: Problems = scope.problems
        self.references = References(expanded, scope.problems)
        self.asking: list[tuple[Address, str]] = []
        scope.refer = self.refer

    def all(self) -> Mapping[Address, Desired]:
        """Every object, and those of the server's own that are used."""
        objects = {address: self.desired(instance) for address, instance in self.instances.items()}
        objects |= self.references.implied
        names_are_unique(objects, self.problems)
        for instance in self.instances.values():
            members_are_unique(instance, objects, self.problems)
        return objects

    def desired(self, instance: Instance) -> Desired:
        """One object, whole."""
        where = dict(places(instance.body))
        if instance.external:
            return Desired(instance.address, instance.kind, {}, instance.place, where, external=self.external(instance))
        lines = instance.table.attrs()
        if line := next((line for name, line in lines.items() if line.brought and name in instance.body.map), None):
            by = self.field(instance, line.name)
            nothing = Desired(instance.address, instance.kind, {}, instance.place, where)
            return self.offered(instance, line, by) if isinstance(by, Ref) else nothing
        values = {name: self.field(instance, name) for name, line in lines.items() if not line.own}
        values = {name: value for name, value in values.items() if value is not Silent}
        sound = self.sound(instance, values)
        broken = len(sound) < len(values)
        name = self.name(instance)
        if name not in (None, HOLE) and instance.table.name_field not in values and instance.along is None:
            sound = {instance.table.name_field: name, **sound}
        self.implications(instance, sound)
        told = self.check(instance, sound, broken=broken)
        if name is None and not broken and not told:
            self.nameless(instance)
        sound |= {
            name: self.items(instance, name, value) for name, value in sound.items() if lines[name].holds and value
        }
        policies, protected = self.ownership(instance)
        if instance.along:
            protected = self.ownership(self.instances[instance.along])[1]
        external, along = None, instance.along
        return Desired(
            instance.address, instance.kind, sound, instance.place, where, policies, protected, external, along
        )

    def offered(self, instance: Instance, line: Attr, by: Ref) -> Desired:
        """What another object offers: found by its name there, and by nothing else."""
        key = instance.table.name_field
        for other in instance.body.map:
            if other not in (line.name, key, "for_each", "when"):
                message = f"`{other}` does not go with `{line.name}`: it is made by what offers it"
                where = instance.body.keys[other]
                self.problems.add(message, where, "leave the line out", address=instance.address, field=other)
        node = instance.body.map.get(key)
        name = instance.name if node is None else self.scope.text(node, instance.each, key)
        external, said = External(name=name, by=by.address), dict(places(instance.body))
        return Desired(instance.address, instance.kind, {}, instance.place, said, external=external)

    def field(self, instance: Instance, name: str) -> Any:
        """One field's value, with slots; HOLE if it cannot be known, Silent if nothing is said."""
        node = instance.body.map.get(name)
        if name in instance.values:
            return instance.values[name]
        if node is None or node.tag == UNSET:
            return Silent
        if node.map and instance.table.attrs()[name].along:
            return True  # what the map says is of others
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
            return self.references.members(instance, line, node, value)
        endings = line.file
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
            if was_open or not self.problems.errors:
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
        if not instance.table.naming.fields:
            return self.field(instance, name) if name in instance.body.map else instance.name
        if name in instance.body.map:
            message = f"{name}: is read from the object's other fields"
            self.problems.add(message, instance.body.keys[name], "leave the line out", address=instance.address)
            return HOLE
        others = {field: self.field(instance, field) for field in instance.table.naming.fields}
        if any(value is HOLE for value in others.values()):
            return HOLE
        given = {field: fill(value, _stand_in) for field, value in others.items() if value is not Silent}
        return HOLE if flaws(instance.table, given) else instance.table.naming.derive(given)

    def items(self, instance: Instance, name: str, value: Any) -> list[Item]:
        """What is kept by content; each once."""
        found: dict[str, Item] = {}
        patterns = instance.table.attrs()[name].holds == "files"
        for index, each in enumerate(value if isinstance(value, list) else ()):
            where = self.shown(instance, f"{name}.{index}")
            if not patterns and isinstance(each, str | dict) and each:
                item = instance.table.item(name, each)
                if item.key in found:
                    told = f"{name}.{index}: stands twice"
                    self.problems.add(told, where, "leave one out", address=instance.address, field=name)
                found[item.key] = item
            elif patterns and isinstance(each, str):
                self.matching(instance, name, each, where, found)
        return list(found.values())

    def matching(self, instance: Instance, field: str, pattern: str, where: Place, found: dict[str, Item]) -> None:
        """The files that a pattern names."""
        taken = {item.name: item for item in found.values()}
        for item in self.scope.files.matching(pattern, where):
            other = taken.get(item.name)
            if other is not None and other.body != item.body:
                told = f"{field}: two files would be called `{item.name}`: {other.body['path']} and {item.body['path']}"
                self.problems.add(told, where, "rename one", address=instance.address, field=field)
            found[item.key] = item

    def implications(self, instance: Instance, values: dict[str, Any]) -> None:
        """What the ending of a path says of other fields."""
        for name, path in instance.sources.items():
            for ending, implied in (instance.table.attrs()[name].file or {}).items():
                if path.endswith(ending):
                    values |= {key: value for key, value in implied.items() if key not in instance.body.map}

    def nameless(self, instance: Instance) -> None:
        fields = instance.table.naming.fields
        missing = next((field for field in fields if field not in instance.body.map), None)
        message = f"`{missing}` is missing" if missing == fields[0] else f"`{'` and `'.join(fields)}` give it no name"
        self.problems.add(message, instance.place, address=instance.address, field=fields[0])

    def check(self, instance: Instance, values: Mapping[str, Any], *, broken: bool) -> bool:
        """What the kind itself finds wrong, and what is reserved for us. Whether the kind found anything."""
        fields = instance.table.model_fields
        # a whole list or map that another object will have cannot be looked into
        open = {n for n, v in values.items() if isinstance(v, Ref) and get_origin(fields[n].annotation) in (dict, list)}
        found = instance.table.check({name: value for name, value in values.items() if name not in open})
        for path, message, hint in found:
            name = path.partition(".")[0]
            node = instance.body.map.get(name)
            if node is None and broken:
                continue  # what is missing may be among what is broken
            where = self.shown(instance, path)
            told = f"{path}: {self.origin(instance, name, values)}{message}"
            self.problems.add(told, where, hint, address=instance.address, field=path)
        tags, metadata = values.get("tags"), values.get("metadata")
        for index, tag in enumerate(tags if isinstance(tags, list) else ()):
            if isinstance(tag, str) and tag.startswith(f"{MARK}:"):
                where = self.shown(instance, f"tags.{index}")
                self.reserved(f"tags: {tag!r} begins with `{MARK}:`, which is reserved", where, instance)
        if isinstance(metadata, Mapping) and MARK in metadata:
            where = self.shown(instance, f"metadata.{MARK}")
            self.reserved(f"metadata: the key `{MARK}` is reserved", where, instance)
        return bool(found)

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
        return f"{self.scope.files.shown(path)}:{instance.table.line_of(name, values[name])}: "

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
        for key in (key for key, value in found.items() if value == ""):
            self.problems.add(f"{key}: is empty", said[key].place, address=instance.address, field=key)
        where = said.get("address")
        return External(
            found.get("name"),
            found.get("id"),
            found.get("stack"),
            address(where, self.problems) if where is not None else None,
        )

    def refer(self, path: Path, where: Place) -> Any:
        """An expression about another object: a Ref, or the value itself where the manifest says it."""
        address, rest = self.references.object(path, where)
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
        if value is HOLE:
            return HOLE
        for step in rest[1:]:
            value = value[step] if isinstance(value, Mapping) and step in value else Ref(address, ".".join(rest))
        if isinstance(value, Mapping | list):  # or else values could grow without bounds, each twice the one before
            hint = "only texts, numbers and truth values can be taken from another object"
            return self.no(f"`${{{path.text}}}` is {described(value)}", where, hint)
        return value

    def said(self, instance: Instance, field: str) -> Any:
        """A field of another object, its name included."""
        if field != instance.table.name_field or instance.along:
            return self.field(instance, field)
        name = self.name(instance)
        return HOLE if name is None else name

    def no(self, message: str, where: Place, hint: str | None = None) -> Any:
        self.problems.add(message, where, hint)
        return HOLE


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
