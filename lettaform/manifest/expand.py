"""A manifest to Instances: one per object, with defaults merged in and `for_each` and `when` applied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any

from lettaform.address import COMPONENTS, Address, Component
from lettaform.errors import Place
from lettaform.kinds import companions, kinds, sections
from lettaform.kinds.base import Attr, Kind
from lettaform.kinds.traits import Companions, Parts
from lettaform.manifest import bounds
from lettaform.manifest.bodies import NOT_OF_EXTERNALS, companion_fields, not_of_externals
from lettaform.manifest.components import Definition
from lettaform.manifest.conditions import conditional_fields, unconditional
from lettaform.manifest.language import EXTERNAL, REPEAT
from lettaform.manifest.node import UNRESOLVED, UNSET, Node, described, empty, is_external, merge, size_of
from lettaform.manifest.scope import Each, Scope
from lettaform.manifest.uses import Laid, Use

INSTANCE = 200
"""As how many values an instance of a component counts, beside its own."""


@dataclass(slots=True)
class Instance:
    """One object: its fields as written, and the `for_each` item that it is created for.

    scope    what its expressions can refer to
    name     its name unless the fields set one
    owner    the object together with which the server creates it
    values   fields that have been evaluated
    sources  fields whose text was read from a file, with the path
    """

    address: Address
    kind: str
    body: Node
    place: Place
    scope: Scope
    name: str
    each: Each | None = None
    external: bool = False
    owner: Address | None = None
    values: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)

    @property
    def table(self) -> type[Kind]:
        """Its kind."""
        return kinds()[self.kind]


@dataclass(frozen=True)
class Expanded:
    """All objects of a manifest and of its components.

    keys        component to section to the keys in it, also of declarations without instances; None: the manifest
    repeated    declarations with `for_each`: their objects are addressed with an index
    unusable    declarations whose instances cannot be determined; the problem has been reported
    uses        the instances of components
    used        component to the keys in its `components`, with the place of each
    exceeded    the first declaration with which the objects have too many values
    """

    instances: dict[Address, Instance] = field(default_factory=dict)
    keys: dict[Component | None, dict[str, dict[str, Place]]] = field(default_factory=dict)
    repeated: set[Address | Component] = field(default_factory=set)
    unusable: set[Address | Component] = field(default_factory=set)
    uses: dict[Component, Use] = field(default_factory=dict)
    used: dict[Component | None, Mapping[str, Place]] = field(default_factory=dict)
    exceeded: list[Address | Component] = field(default_factory=list)

    def declared(self, component: Component | None, section: str) -> Mapping[str, Place]:
        """The keys in a section of a component, or of the manifest."""
        return self.keys.get(component, {}).get(section, {})

    @cached_property
    def _by_declaration(self) -> Mapping[Address, list[Address]]:
        found: dict[Address, list[Address]] = {}
        for address in self.instances:
            if address.index is not None and not address.field:
                found.setdefault(address.instance(None), []).append(address)
        return found

    def instances_of(self, declaration: Address) -> list[Address]:
        """The objects of a declaration; none if its `when` is false."""
        if declaration in self.repeated:
            return self._by_declaration.get(declaration, [])
        return [declaration] if declaration in self.instances else []


def expand(root: Node, scope: Scope, definitions: Mapping[str, Definition] = {}) -> Expanded:
    """All objects of all sections, with their own objects and companions, and those of components.

    definitions  the components that the manifest uses, by key
    """
    expanded = Expanded()
    _Expansion(root, scope, expanded, definitions).run()
    return expanded


class _Expansion:
    """Expands a manifest, or one instance of a component. `expanded`: what was found before, and gets the result."""

    def __init__(self, root: Node, scope: Scope, expanded: Expanded, definitions: Mapping[str, Definition]) -> None:
        self.root, self.scope, self.problems, self.expanded = root, scope, scope.problems, expanded
        self.component, self.definitions = scope.component, definitions
        self.sections = {section: root.map[section] for section in sections() if section in root.map}
        self.defaults = root.map.get("defaults") or empty(root.place)
        self.keys = {section: _declared(objects) for section, objects in self.sections.items()}
        self.found = expanded.instances
        self.companions: list[Instance] = []
        expanded.keys[self.component] = self.keys

    def run(self) -> None:
        """Expand everything."""
        for section in list(self.sections):
            for key, place in self.keys[section].items():
                address = Address.of(section, key, None, self.component)
                self.declaration(address, sections()[section], self.sections[section].map[key], place)
        for companion in self.companions:
            self.add_companion(companion)
        self.components()

    # --- components

    def components(self) -> None:
        """Expand the components that this one uses."""
        section = self.root.map.get(COMPONENTS) or empty(self.root.place)
        self.expanded.used[self.component] = _declared(section)
        for key in self.expanded.used[self.component]:
            declaration, node = Component.of(self.component, key), section.map[key]
            definition = self.definitions.get(key)
            size = 0 if definition is None else INSTANCE + definition.size
            items = None if definition is None else self.items(node, declaration, size)
            if definition is None or items is None:
                self.expanded.unusable.add(declaration)
                continue
            if "for_each" in node.map:
                self.expanded.repeated.add(declaration)
            laid = Laid(node, definition, declaration, self.problems)
            for each in items:
                component = declaration if each is None else declaration.instance(each.key)
                if self.is_wanted(node, each, component):
                    self.expanded.uses[component] = use = laid.use(component, self.scope, each)
                    _Expansion(use.root, use.scope, self.expanded, definition.uses).run()

    # --- objects

    def declaration(self, address: Address, kind: str, node: Node, place: Place) -> None:
        """Add the instances of one key of a section."""
        body = _with_defaults(node, self.defaults.map.get(address.section))
        items = None if body is None else self.items(body, address, self.size(body, address))
        if body is None or items is None:
            self.expanded.unusable.add(address)
            return
        if "for_each" in body.map:
            self.expanded.repeated.add(address)
        external = is_external(body)
        self.check_keys(kind, body, address, external)
        for each in items:
            here = address if each is None else address.instance(each.key)
            if not self.is_wanted(body, each, here):
                continue
            instance = Instance(
                here, kind, self.chosen(body, each, here), place, self.scope, _name(here, kind), each, external
            )
            self.found[here] = instance
            if not external:
                for part in _own_objects(instance):
                    part.body = self.chosen(part.body, each, part.address)
                    self.found[part.address] = part
                self.companions += self.companions_of(instance)

    def is_wanted(self, body: Node, each: Each | None, address: Address | Component) -> bool:
        """The value of `when`. True if it cannot be determined."""
        node = body.map.get("when")
        if node is None or node.tag == UNSET:
            return True
        return self.holds(node, each, address)

    def chosen(self, body: Node, each: Each | None, address: Address) -> Node:
        """The fields of an object with lists of the members whose `when` holds."""
        names = conditional_fields(body)
        return unconditional(body, names, lambda node: self.holds(node, each, address)) if names else body

    def holds(self, node: Node, each: Each | None, address: Address | Component) -> bool:
        """The value of a `when`: of an object, a component, or a member of a list. True if it cannot be determined."""
        wanted = self.scope.plain(node, each, "when")
        if wanted is not UNRESOLVED and not isinstance(wanted, bool) and node.deferred:
            message = f"when: expected true or false, got {described(wanted)}"
            self.problems.add(message, node.place, address=address)
        return wanted is not False

    def check_keys(self, kind: str, body: Node, address: Address, external: bool) -> None:
        """Report fields that external objects cannot have, and keys that only they can have."""
        known = kinds()[kind].attrs()
        for key, node in body.map.items():
            if node.tag == UNSET:
                continue
            if external and (key in known or key in ("policy", "lifecycle")) and key not in {**EXTERNAL, **REPEAT}:
                self.problems.add(not_of_externals(key), body.keys[key], NOT_OF_EXTERNALS, address=address)
            if not external and key in EXTERNAL and key != "external" and key not in known:
                hint = f"did you mean `{kinds()[kind].name_field}`?" if key == "name" else "add `external: true`"
                self.problems.add(f"only external objects have `{key}`", body.keys[key], hint, address=address)

    # --- for_each

    def size(self, body: Node, address: Address) -> int:
        """The number of values that each object of a declaration has beside those that are written for it alone."""
        if "for_each" in body.map:
            return size_of(body)
        return size_of(self.defaults.map[address.section]) if address.section in self.defaults.map else 0

    def items(self, body: Node, address: Address | Component, size: int) -> Sequence[Each | None] | None:
        """The items of `for_each`; a single None without it; None, and a problem, if they cannot be determined.

        size  the number of values that come with each item
        """
        node = body.map.get("for_each")
        if node is None or node.tag == UNSET:
            return [None] if self.has_room(size, body, address) else None
        items = self.scope.plain(node, None, "for_each")
        if isinstance(items, list | dict) and not self.has_room(len(items) * size, body, address):
            return None
        if isinstance(items, list):
            return self.list_items(items, node, address)
        if isinstance(items, dict) and "" not in items:
            return [Each(key, value) for key, value in items.items()]
        if isinstance(items, dict):
            self.problems.add("for_each: a key must not be empty", node.place, address=address)
        elif items is not UNRESOLVED and node.deferred:
            message = f"for_each: expected a list or a map, got {described(items)}"
            self.problems.add(message, node.place, address=address)
        return None

    def has_room(self, number: int, node: Node, address: Address | Component) -> bool:
        """Whether so many more values are within the bound. If not, it is one problem. `node`: what asks for them."""
        if self.scope.within(bounds.VALUES, number):
            return True
        if not self.expanded.exceeded:
            self.expanded.exceeded.append(address)
            most = self.scope.maximum(bounds.VALUES)
            hint = "the limit grows with the files: list the objects in a CSV file, or split the manifest"
            place = node.map["for_each"].place if "for_each" in node.map else node.place
            message = f"by `for_each` and `defaults`, the objects of the manifest have more than {most} values"
            self.problems.add(message, place, hint, address=address)
        return False

    def list_items(self, items: list[Any], node: Node, address: Address | Component) -> Sequence[Each | None] | None:
        found: dict[str, Each] = {}
        valid = True
        for index, item in enumerate(items):
            where = node.list[index].place if index < len(node.list) else node.place
            usable = isinstance(item, str | int) and not isinstance(item, bool) and item != ""
            if usable and str(item) not in found:
                found[str(item)] = Each(str(item), item)
                continue
            valid = False
            if usable:
                message, hint = f"for_each: {str(item)!r} is listed twice", "each item creates one object: remove one"
            else:
                message = f"for_each: expected a text or a whole number, got {described(item)}"
                hint = "for other values use a map: its keys become the indexes"
            self.problems.add(message, where, hint, address=address)
        return list(found.values()) if valid else None

    # --- companions

    def companions_of(self, instance: Instance) -> Iterator[Instance]:
        """What the server creates together with an object. Its key is that of the object and of the field."""
        if instance.kind not in _kinds_with_companions():
            return
        for name, kind, address in companions(instance.address):
            field = instance.body.map.get(name)
            if field is None or field.null or field.tag == UNSET:
                continue
            if field.map or self.scope.plain(field, instance.each, name) is True:
                names = companion_fields(instance.table.attrs()[name])[kind]
                fields = {key: node for key, node in field.map.items() if key in names}
                body, place = Node(field.place, fields, field.keys), instance.body.keys[name]
                name = _name(address, kind)
                yield Instance(address, kind, body, place, self.scope, name, instance.each, owner=instance.address)

    def add_companion(self, instance: Instance) -> None:
        address, declaration = instance.address, instance.address.instance(None)
        if address in self.found:
            message = f"{address} is also the address of what the server creates together with {instance.owner}"
            hint = f"rename `{address.key}`"
            self.problems.add(message, self.found[address].place, hint, address=address)
            return
        self.found |= {each.address: each for each in (instance, *_discovered_parts(instance))}
        self.keys.setdefault(declaration.section, {}).setdefault(declaration.key, instance.place)
        if address.index is not None:
            self.expanded.repeated.add(declaration)


def _declared(section: Node) -> dict[str, Place]:
    """The keys of a section, with the place of each."""
    return {key: section.keys[key] for key, node in section.map.items() if key and node.tag != UNSET}


def _name(address: Address, kind: str) -> str:
    """The name of an object that sets none: the keys of its address. A label is a word of prompts: it is the key."""
    own = [address.key] if address.index is None else [address.key, address.index]
    if address.component is None or kinds()[kind].part.short:
        return "-".join(own)
    steps = ((step.key, step.instance) for step in address.component.steps)
    return "-".join([*(word for step in steps for word in step if word is not None), *own])


def _with_defaults(node: Node, defaults: Node | None) -> Node | None:
    """The fields of an object merged over the defaults of its section; None if the object is not a map."""
    if node.null:
        node = empty(node.place)
    if not isinstance(node.value, dict):
        return None
    if is_external(node):
        return node
    # merging also removes `!unset` fields
    return merge(defaults if defaults is not None and defaults.map else empty(node.place), node)


def _own_objects(instance: Instance) -> Iterator[Instance]:
    """The objects that are part of an object: the entries of its fields that hold own objects."""
    for line in own_lines(instance.kind):
        field = instance.body.map.get(line.name)
        if field is None:
            continue
        for key, node in field.map.items():
            if key and isinstance(node.value, dict):
                address = instance.address.part(line.name, key)
                yield Instance(address, _part_kind(line), node, field.keys[key], instance.scope, key, instance.each)


def _discovered_parts(instance: Instance) -> Iterator[Instance]:
    """The own objects that the server creates together with a companion."""
    for name, key in instance.table.discovered_parts().items():
        own, address = _part_kind(instance.table.attrs()[name]), instance.address.part(name, key)
        place = instance.place
        yield Instance(address, own, empty(place), place, instance.scope, key, instance.each)


@cache
def own_lines(kind: str) -> Sequence[Attr]:
    """The fields of a kind that hold own objects."""
    return [line for line, _ in kinds()[kind].relations(Parts)]


@cache
def _kinds_with_companions() -> frozenset[str]:
    return frozenset(name for name, kind in kinds().items() if kind.relations(Companions))


def _part_kind(line: Attr) -> str:
    """The kind of the parts that a field holds."""
    parts = line.related(Parts)
    assert parts is not None
    return parts.kind
