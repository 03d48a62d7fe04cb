"""What files say to single objects: the environment laid over, defaults underneath, one instance per `for_each`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import companions, kinds, sections
from lettaform.kinds.base import Kind
from lettaform.manifest.form import said_of
from lettaform.manifest.language import EXTERNAL, ONCE, REPEAT
from lettaform.manifest.node import FILE, HOLE, JSON, UNSET, Node, described, empty, merge
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.scope import Each, Scope

MOST = 20_000
"""Objects that one manifest may make."""


@dataclass
class Instance:
    """One object, its fields as they were written and merged, and the round of the `for_each` that makes it.

    name     what it is called unless it says so itself
    along    the object along with which the server makes it
    values   fields that are known already
    sources  fields whose text was read from a file: the path
    """

    address: Address
    kind: str
    body: Node
    place: Place
    name: str
    each: Each | None = None
    external: bool = False
    along: Address | None = None
    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def table(self) -> type[Kind]:
        """Its kind."""
        return kinds()[self.kind]


@dataclass(frozen=True)
class Expanded:
    """Every object that the manifest makes, and how its keys were written.

    keys      section to keys, those with no instance, too
    repeated  keys with `for_each`: they are addressed with an index
    unusable  keys whose instances cannot be told; the reason has been
    """

    instances: Mapping[Address, Instance]
    keys: Mapping[str, Mapping[str, Place]]
    repeated: set[Address] = field(default_factory=set)
    unusable: set[Address] = field(default_factory=set)

    @cached_property
    def indexed(self) -> Mapping[Address, list[Address]]:
        """Keys with `for_each` to their instances."""
        found: dict[Address, list[Address]] = {}
        for address in self.instances:
            if address.index is not None and not address.field:
                found.setdefault(address.instance(None), []).append(address)
        return found

    def all_of(self, address: Address) -> list[Address]:
        """The instances of a key; none if its `when` is false."""
        if address in self.repeated:
            return self.indexed.get(address, [])
        return [address] if address in self.instances else []


def overlay(root: Node, environment: str | None, problems: Problems) -> Node:
    """The root with the chosen environment laid over it."""
    root = _spelled_out(root)
    if environment is None:
        return root
    environments = root.map.get("environments") or empty(root.place)
    chosen = environments.map.get(environment)
    if chosen is None:
        if not problems.unread:
            place = root.keys.get("environments")
            problems.add(f"there is no environment `{environment}`", place, suggest(environment, environments.map))
        return root
    above = _sparse(_spelled_out(chosen), 2)
    fields = {key: node for key, node in above.map.items() if key not in ONCE}
    return merge(root, Node(above.place, fields, above.keys)) if fields else root


def _sparse(node: Node, depth: int) -> Node:
    """`node` without empty sections and objects: an empty line must not wipe out what lies below."""
    if depth == 0 or not node.map:
        return node
    members = {key: _sparse(child, depth - 1) for key, child in node.map.items() if not child.null}
    return Node(node.place, members, node.keys)


def expand(root: Node, scope: Scope) -> Expanded:
    """Every object of every section, parts of objects included."""
    sectioned = {section: root.map.get(section) or empty(root.place) for section in sections()}
    keys = {
        section: {key: objects.keys[key] for key, node in objects.map.items() if key and node.tag != UNSET}
        for section, objects in sectioned.items()
    }
    found: dict[Address, Instance] = {}
    others: list[Instance] = []
    expanded = Expanded(found, keys)
    below = root.map.get("defaults") or empty(root.place)
    for section, kind in sections().items():
        for key, place in keys[section].items():
            address = Address.of(section, key)
            body = _body(sectioned[section].map[key], below.map.get(section))
            rounds = None if body is None else _rounds(body, address, scope)
            if body is None or rounds is None:
                expanded.unusable.add(address)
                continue
            if "for_each" in body.map:
                expanded.repeated.add(address)
            for instance in _instances(address, kind, body, place, rounds, scope):
                found[instance.address] = instance
                found |= {part.address: part for part in _parts(instance)}
                others += _company(instance, scope)
                if len(found) + len(others) > MOST:
                    scope.problems.add(f"more than {MOST} objects", place)
                    return expanded
    for instance in others:
        address, top = instance.address, instance.address.instance(None)
        if address in found:
            told = f"{address} is what the server makes along with {instance.along}"
            scope.problems.add(told, found[address].place, "give this one another key", address=address)
            continue
        found |= {each.address: each for each in (instance, *_born_with(instance))}
        keys[top.section].setdefault(top.key, instance.place)
        if address.index is not None:
            expanded.repeated.add(top)
    return expanded


def _body(node: Node, below: Node | None) -> Node | None:
    """The fields of an object over the defaults of its section; None if there are no fields to speak of."""
    if node.null:
        node = empty(node.place)
    if not isinstance(node.value, dict):
        return None
    external = node.map.get("external")
    if external is not None and external.value is True:
        return node
    return merge(below if below is not None and below.map else empty(node.place), node)


def _instances(
    address: Address, kind: str, body: Node, place: Place, rounds: Sequence[Each | None], scope: Scope
) -> Iterator[Instance]:
    external = "external" in body.map and body.map["external"].value is True
    _misplaced(kind, body, str(address), external, scope.problems)
    for each in rounds:
        name = address.key if each is None else f"{address.key}-{each.key}"
        here = address if each is None else address.instance(each.key)
        when = body.map.get("when")
        if when is not None and when.tag != UNSET:
            wanted = scope.plain(when, each, "when")
            if wanted is not HOLE and not isinstance(wanted, bool) and when.open:
                scope.problems.add(f"when: expected true or false, got {described(wanted)}", when.place, address=here)
            if wanted is False:
                continue
        yield Instance(here, kind, body, place, name, each, external)


def _misplaced(kind: str, body: Node, address: str, external: bool, problems: Problems) -> None:
    """Fields that only others' objects have, and those that others' objects cannot have."""
    known = kinds()[kind].attrs()
    for key, node in body.map.items():
        if node.tag == UNSET:
            continue
        if external and key not in EXTERNAL and key not in REPEAT and (key in known or key in ("policy", "lifecycle")):
            hint = "it is found by name, by id, or by stack and address"
            problems.add(f"`{key}` of an external object is never written", body.keys[key], hint, address=address)
        if not external and key in EXTERNAL and key != "external" and key not in known:
            name = kinds()[kind].name_field
            hint = f"did you mean `{name}`?" if key == "name" else "or add `external: true`"
            problems.add(f"only an external object has `{key}`", body.keys[key], hint, address=address)


def _rounds(body: Node, address: Address, scope: Scope) -> list[Each | None] | None:
    """The rounds of a `for_each`; a single empty one without it; None, and a problem, if they cannot be told."""
    node = body.map.get("for_each")
    if node is None or node.tag == UNSET:
        return [None]
    items = scope.plain(node, None, "for_each")
    if isinstance(items, dict) and "" not in items:
        return [Each(key, value) for key, value in items.items()]
    if isinstance(items, dict):
        scope.problems.add("for_each: a key is empty", node.place, address=address)
    elif isinstance(items, list):
        return _list_rounds(items, node, address, scope.problems)
    elif items is not HOLE and node.open:
        message = f"for_each: expected a list or a map, got {described(items)}"
        scope.problems.add(message, node.place, address=address)
    return None


def _list_rounds(items: list[Any], node: Node, address: Address, problems: Problems) -> list[Each | None] | None:
    rounds: dict[str, Each] = {}
    sound = True
    for index, item in enumerate(items):
        where = node.list[index].place if index < len(node.list) else node.place
        text = isinstance(item, str | int) and not isinstance(item, bool) and item != ""
        if text and str(item) not in rounds:
            rounds[str(item)] = Each(str(item), item)
            continue
        sound = False
        if text:
            problems.add(f"for_each: {str(item)!r} stands twice", where, "each item makes one object", address=address)
        else:
            hint = "use a map, whose keys become the indexes, for anything else"
            problems.add(f"for_each: expected texts in the list, got {described(item)}", where, hint, address=address)
    return list(rounds.values()) if sound else None


def _parts(instance: Instance) -> Iterator[Instance]:
    """The own objects of an object: one per entry of a field whose values are parts of it."""
    if instance.external:
        return
    for name, line in instance.table.attrs().items():
        field = instance.body.map.get(name)
        if not line.own or field is None:
            continue
        for key, node in field.map.items():
            if key and isinstance(node.value, dict):
                address = instance.address.part(name, key)
                yield Instance(address, line.own, node, field.keys[key], key, instance.each)


def _company(instance: Instance, scope: Scope) -> Iterator[Instance]:
    """What the server makes along with an object; their keys are its own and the field's that asks for them."""
    for name, kind, address in companions(instance.address):
        field = instance.body.map.get(name)
        if instance.external or field is None or field.null or field.tag == UNSET:
            continue
        if field.map or scope.plain(field, instance.each, name) is True:
            names = said_of(instance.table.attrs()[name])[kind]
            fields = {key: node for key, node in field.map.items() if key in names}
            body, place = Node(field.place, fields, field.keys), instance.body.keys[name]
            yield Instance(address, kind, body, place, address.key, instance.each, along=instance.address)


def _born_with(instance: Instance) -> Iterator[Instance]:
    """The parts that such an object has from birth."""
    for name, key in instance.table.discovered_parts().items():
        own = instance.table.attrs()[name].own or ""
        yield Instance(instance.address.part(name, key), own, empty(instance.place), instance.place, key, instance.each)


def _spelled_out(root: Node) -> Node:
    """The root with every own object written as a map, so that defaults and environments merge with it."""
    members = dict(root.map)
    for section, kind in sections().items():
        owns = {
            name: line.own for name, line in kinds()[kind].attrs().items() if line.own and kinds()[line.own].part.short
        }
        if not owns:
            continue
        if section in members:
            objects = members[section]
            wholes = {key: _whole(node, owns) for key, node in objects.map.items()}
            members[section] = Node(objects.place, wholes, objects.keys) if objects.map else objects
        defaults = members.get("defaults")
        if defaults is not None and section in defaults.map:
            lower = {**defaults.map, section: _whole(defaults.map[section], owns)}
            members["defaults"] = Node(defaults.place, lower, defaults.keys)
    return Node(root.place, members, root.keys)


def _whole(body: Node, owns: Mapping[str, str]) -> Node:
    """An object whose short own objects are maps."""
    members = dict(body.map)
    for name, kind in owns.items():
        field = members.get(name)
        if field is not None and field.map:
            parts = {key: _long(node, kinds()[kind].part.short or "") for key, node in field.map.items()}
            members[name] = Node(field.place, parts, field.keys, field.tag)
    return Node(body.place, members, body.keys, body.tag) if body.map else body


def _long(node: Node, field: str) -> Node:
    if node.tag in (FILE, JSON) or node.text is not None:
        return Node(node.place, {field: node}, {field: node.place})
    return node
