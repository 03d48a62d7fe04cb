"""A manifest to the warnings about what nothing in it uses, in any environment."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cache

from lettaform.address import Address, matches
from lettaform.errors import Problem
from lettaform.kinds import kinds, sections
from lettaform.manifest.conditions import USE, is_conditional
from lettaform.manifest.expressions import NotAnExpression, parse, parts, paths
from lettaform.manifest.node import UNSET, Node, empty
from lettaform.manifest.rules import UNUSED_WAIVER
from lettaform.model import Desired, Manifest
from lettaform.values import refs

Used = set[tuple[str, str]]
"""Section and key of what is used. Variables are in the section `variables`."""


def unused(manifest: Manifest, root: Node, whole: Node, components: Collection[Node] = ()) -> Iterator[Problem]:
    """Shared objects and variables to which nothing refers, and waivers of policies that match no object.

    root        the files with the environment merged over them
    whole       the files with all environments
    components  the files of each component
    """
    used = _used(whole)
    for desired in manifest.objects.values():
        used |= {(each.section, each.key) for each in _referred(desired) if each.component is None}
    for section in ("variables", *_attached()):
        declared = root.map.get(section) or empty(root.place)
        for key, node in declared.map.items():
            if node.tag != UNSET and (section, key) not in used:
                yield _warning(Address.of(section, key), declared, key)
    yield from _unused_waivers(manifest, root)
    for component in components:
        yield from _unused_inputs(component)


def _referred(desired: Desired) -> Iterator[Address]:
    return (ref.address for ref in refs(desired.values))


def _unused_inputs(component: Node) -> Iterator[Problem]:
    """The inputs of a component to which nothing in it refers."""
    declared, used = component.map.get("variables") or empty(component.place), _used(component)
    for key, node in declared.map.items():
        if node.tag != UNSET and ("variables", key) not in used:
            message, hint = f"nothing in the component uses the input `{key}`", "remove it"
            yield Problem(message, declared.keys[key], hint, None, None, "warning", rule="unused-variable")


def _unused_waivers(manifest: Manifest, root: Node) -> Iterator[Problem]:
    """A warning for each waiver of a policy whose address is that of no declared object."""
    for key, policy in (root.map.get("policies") or empty(root.place)).map.items():
        waivers = policy.map.get("waivers") or empty(policy.place)
        for node in (each.map["address"] for each in waivers.list if "address" in each.map):
            pattern = node.text or ""
            if not any(matches(address, (pattern,)) for address in manifest.objects):
                message = f"policies.{key}.waivers: the manifest declares no object at `{pattern}`"
                hint = "remove the waiver, unless an environment needs it, or an object that is no longer declared"
                yield Problem(message, node.place, hint, severity="warning", rule=UNUSED_WAIVER)


def _warning(address: Address, declared: Node, key: str) -> Problem:
    is_variable = address.section == "variables"
    rule = "unused-variable" if is_variable else "unused-declaration"
    verb = "uses" if is_variable else "refers to"
    hint = "remove it" if is_variable else "remove it, or name it in the field of an agent"
    place = declared.keys[key]
    return Problem(f"nothing {verb} `{address}`", place, hint, str(address), None, "warning", rule=rule)


@cache
def _attached() -> tuple[str, ...]:
    """The sections of the objects that are of use to agents alone."""
    lines = kinds()["agent"].attrs().values()
    return tuple(dict.fromkeys(kinds()[line.to].section for line in lines if line.to))


@cache
def _references() -> Mapping[str, frozenset[str]]:
    """Name of a field that refers to objects to their sections, whatever the kind."""
    found: dict[str, set[str]] = {}
    for kind in kinds().values():
        for line in kind.attrs().values():
            if line.to:
                found.setdefault(line.name, set()).add(kinds()[line.to].section)
    return {name: frozenset(every) for name, every in found.items()}


def _used(whole: Node) -> Used:
    """What the files name: in expressions, and as keys in fields that refer to objects."""
    used: Used = set()
    waiting = [whole]
    while waiting:
        node = waiting.pop()
        waiting += [*node.map.values(), *node.list]
        if isinstance(node.value, str) and "${" in node.value:
            used |= set(_expressions(node.value))
        for name, child in node.map.items():
            for section in _references().get(name, ()):
                items = [item.map[USE] if is_conditional(item) else item for item in child.list]
                texts = (item.text for item in (child, *items) if item.text)
                used |= {(section, key) for text in texts for key in _keys(section, text)}
    return used


def _expressions(text: str) -> Iterator[tuple[str, str]]:
    for part in parts(text):
        try:
            found = tuple(paths(parse(part.text))) if part.expression else ()
        except NotAnExpression:
            continue
        for path in found:
            if path.steps and path.head in ("var", *sections()):
                yield "variables" if path.head == "var" else path.head, path.steps[0][0]


def _keys(section: str, text: str) -> Iterator[str]:
    """The keys that an item of a list of references may mean: the text itself, or what has the instance."""
    yield text
    try:
        yield Address.in_section(section, text).key
    except ValueError:
        return
