"""One use of a component to its instances: the component with what is laid over it, and the values of its inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lettaform.address import Component
from lettaform.errors import Place
from lettaform.kinds import sections
from lettaform.manifest import bounds
from lettaform.manifest.components import Definition
from lettaform.manifest.node import UNRESOLVED, UNSET, Node, empty, merge
from lettaform.manifest.overlay import with_own_objects_as_maps
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.scope import MAXIMUM_DEPTH, Each, Scope, outside
from lettaform.manifest.variables import default_of, given_to

LARGEST = 200_000
"""The maximum number of items, at all levels, of one value that a component gets or gives; 1,000 characters are one."""


@dataclass(frozen=True)
class Use:
    """An instance of a component. `root`: its files, with what the use lays over them."""

    component: Component
    root: Node
    scope: Scope
    place: Place
    given: Mapping[str, Node]

    @property
    def passed(self) -> Mapping[str, Place]:
        """The inputs that the use gives, with the place of each value."""
        return {name: node.place for name, node in self.given.items()}


class Laid:
    """One use of a component, checked, from which its instances are made.

    node         the fields of the use
    declaration  its path, without the key of an instance
    """

    def __init__(self, node: Node, definition: Definition, declaration: Component, problems: Problems) -> None:
        self.node, self.definition, self.declaration, self.problems = node, definition, declaration, problems
        self.given = _set(node.map.get("inputs"))
        upper = {"defaults": node.map["defaults"]} if "defaults" in node.map else {}
        overlay = node.map.get("overlay") or empty(node.place)
        whole = with_own_objects_as_maps(Node(node.place, {**overlay.map, **upper}, overlay.keys))
        self.defaults, self.overlay = (
            whole.map.get("defaults"),
            {k: v for k, v in whole.map.items() if k in overlay.map},
        )
        self.plain = self.laid(None)
        self.check_inputs()
        self.check_overlay()

    def use(self, component: Component, outer: Scope, each: Each | None) -> Use:
        """One instance. `outer`: the scope of the use."""
        scope = outer.of_component(component)
        scope.variables = Inputs(self.definition.variables, self.given, scope, outer, each)
        root = self.plain if self.plain is not None else self.laid((outer, each))
        assert root is not None
        return Use(component, root, scope, self.node.place, self.given)

    def laid(self, context: tuple[Scope, Each | None] | None) -> Node | None:
        """The component with what the use lays over it; None without a context if that has expressions."""
        root, parts = self.definition.root, (self.defaults, *self.overlay.values())
        if context is None and any(_is_deferred(part) for part in parts if part is not None):
            return None
        members, keys = dict(root.map), dict(root.keys)
        if self.defaults is not None and self.defaults.map:
            lower = self.defaults if context is None else outside(self.defaults, *context)
            members["defaults"] = merge(lower, root.map["defaults"]) if "defaults" in root.map else lower
            keys.setdefault("defaults", lower.place)
        for section, node in self.overlay.items():
            upper = node if context is None else outside(node, *context)
            members[section] = merge(root.map[section], upper) if section in root.map else upper
            keys.setdefault(section, upper.place)
        return Node(root.place, members, keys)

    def check_inputs(self) -> None:
        """Report inputs that the component does not have, and those that it needs."""
        declared, inputs = self.definition.variables, self.node.map.get("inputs") or empty(self.node.place)
        for name in self.given:
            if name not in declared.map:
                hint = suggest(name, declared.map) or "declare it in the `variables` of the component"
                message = f"{self.declaration}: the component has no input `{name}`"
                self.problems.add(message, inputs.keys[name], hint)
        for name, node in declared.map.items():
            default = node.map.get("default")
            has_value = default is not None and default.tag != UNSET and not default.null
            if name not in self.given and node.tag != UNSET and not has_value:
                hint = f"add `inputs: {{{name}: …}}`; the component declares it at {declared.keys[name]}"
                self.problems.add(f"{self.declaration}: the input `{name}` is required", self.node.place, hint)

    def check_overlay(self) -> None:
        """Report what is laid over objects that the component does not have."""
        for section, node in self.overlay.items():
            known = self.definition.root.map.get(section) or empty(self.node.place)
            for key in node.map:
                if key not in known.map and section in sections():
                    hint = suggest(key, known.map) or f"the component declares nothing in `{section}`"
                    message = f"{self.declaration}: overlay: the component has no `{key}` in `{section}`"
                    self.problems.add(message, node.keys[key], hint)


class Inputs(Mapping[str, Any]):
    """The values of the inputs of one instance, each evaluated when it is first asked for."""

    def __init__(
        self, declared: Node, given: Mapping[str, Node], scope: Scope, outer: Scope, each: Each | None
    ) -> None:
        self.declared, self.given, self.scope, self.outer, self.each = declared, given, scope, outer, each
        self.values_: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self.values_:
            self.values_[name] = UNRESOLVED  # an input that is made of itself: its fields or outputs report that
            self.values_[name] = self._value(name)
        return self.values_[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name, node in self.declared.map.items() if node.tag != UNSET)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in self.declared.map and self.declared.map[str(name)].tag != UNSET

    def _value(self, name: str) -> Any:
        node, place = self.declared.map[name], self.declared.at(name)
        if name not in self.given:
            return default_of(name, node, place, self.scope)
        given = self.given[name]
        value = self.outer.value(given, self.each)
        if value is not UNRESOLVED and not is_small(value, self.scope):
            return self.scope.no(f"the value of the input `{name}` is too large", given.place)
        where = f"{self.scope.component}: the input `{name}`"
        return given_to(name, node, place, self.scope, value, given.place, where)


def is_small(value: Any, scope: Scope) -> bool:
    """Whether a value can be passed on. Values that contain others could grow without limit, each twice the last."""
    count, waiting = 0, [(value, 0)]
    while waiting:
        each, depth = waiting.pop()
        count += 1 + (len(each) // 1000 if isinstance(each, str) else 0)
        if count > LARGEST or depth > MAXIMUM_DEPTH:
            return False
        if isinstance(each, Mapping):
            waiting += [(inner, depth + 1) for inner in each.values()]
        elif isinstance(each, list):
            waiting += [(inner, depth + 1) for inner in each]
    return scope.within(bounds.PRODUCED, count)


def _set(node: Node | None) -> dict[str, Node]:
    """The entries of a map, without those that are `!unset`."""
    return {key: child for key, child in (node.map if node else {}).items() if child.tag != UNSET}


def _is_deferred(node: Node) -> bool:
    """Whether a value contains an expression or names a file."""
    if node.map or isinstance(node.value, list):
        return any(_is_deferred(child) for child in (*node.map.values(), *node.list))
    return node.deferred or bool(node.tag and node.tag != UNSET)
