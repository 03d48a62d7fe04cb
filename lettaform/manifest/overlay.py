"""A manifest and the name of an environment to the manifest with that environment merged over it."""

from __future__ import annotations

from collections.abc import Mapping

from lettaform.kinds import kinds, sections
from lettaform.kinds.traits import Parts
from lettaform.manifest.language import EXTERNAL, NOT_IN_ENVIRONMENTS, REPEAT
from lettaform.manifest.node import FILE, JSON, Node, empty, is_external, merge
from lettaform.manifest.problems import Problems, suggest

_SECTION_AND_OBJECT = 2


def overlay(root: Node, environment: str | None, problems: Problems) -> Node:
    """The manifest with the selected environment merged over it, and every own object written as a map."""
    root = with_own_objects_as_maps(root)
    if environment is None:
        return root
    environments = root.map.get("environments") or empty(root.place)
    selected = environments.map.get(environment)
    if selected is None:
        if not problems.incomplete:
            place = root.keys.get("environments")
            problems.add(f"there is no environment `{environment}`", place, suggest(environment, environments.map))
        return root
    upper = _without_nulls(with_own_objects_as_maps(selected), _SECTION_AND_OBJECT)
    members = {key: node for key, node in upper.map.items() if key not in NOT_IN_ENVIRONMENTS}
    if limits := selected.map.get("limits"):
        members["limits"] = limits  # null lifts a limit
    root = _without_fields_of_externals(root, members)
    return merge(root, Node(upper.place, members, upper.keys)) if members else root


def _without_nulls(node: Node, depth: int) -> Node:
    """`node` without empty sections and objects: an empty line in an environment removes nothing."""
    if depth == 0 or not node.map:
        return node
    members = {key: _without_nulls(child, depth - 1) for key, child in node.map.items() if not child.null}
    return Node(node.place, members, node.keys)


def _without_fields_of_externals(root: Node, upper: Mapping[str, Node]) -> Node:
    """The manifest without what an object cannot have that the environment makes external: `upper`."""
    members = dict(root.map)
    for section in sections().keys() & members.keys() & upper.keys():
        objects = members[section]
        made = {key: node for key, node in upper[section].map.items() if is_external(node) and key in objects.map}
        if made:
            reduced = {key: _as_external(objects.map[key], node) for key, node in made.items()}
            members[section] = Node(objects.place, {**objects.map, **reduced}, objects.keys)
    return Node(root.place, members, root.keys)


def _as_external(lower: Node, upper: Node) -> Node:
    """What an object keeps when it becomes external. Another way to find it replaces the one below."""
    kept = {*REPEAT, *(() if upper.map.keys() & {"name", "id", "stack", "address"} else EXTERNAL)}
    members = {key: node for key, node in lower.map.items() if key in kept}
    return Node(lower.place, members, lower.keys) if lower.map else lower


def with_own_objects_as_maps(root: Node) -> Node:
    """The manifest with every own object written as a map, so that defaults and environments merge with it."""
    members = dict(root.map)
    for section, kind in sections().items():
        shorts = _short_fields(kind)
        if not shorts:
            continue
        if section in members:
            objects = members[section]
            whole = {key: _object(node, shorts) for key, node in objects.map.items()}
            members[section] = Node(objects.place, whole, objects.keys) if objects.map else objects
        defaults = members.get("defaults")
        if defaults is not None and section in defaults.map:
            lower = {**defaults.map, section: _object(defaults.map[section], shorts)}
            members["defaults"] = Node(defaults.place, lower, defaults.keys)
    return Node(root.place, members, root.keys)


def _short_fields(kind: str) -> Mapping[str, str]:
    """The fields that hold own objects which may be written as a text, with the field that the text sets."""
    owns = {line.name: kinds()[own.kind] for line, own in kinds()[kind].relations(Parts)}
    return {name: own.part.short for name, own in owns.items() if own.part.short}


def _object(body: Node, shorts: Mapping[str, str]) -> Node:
    """An object whose own objects are written as maps."""
    members = dict(body.map)
    for name, short in shorts.items():
        field = members.get(name)
        if field is not None and field.map:
            parts = {key: _own_object(node, short) for key, node in field.map.items()}
            members[name] = Node(field.place, parts, field.keys, field.tag)
    return Node(body.place, members, body.keys, body.tag) if body.map else body


def _own_object(node: Node, short: str) -> Node:
    if node.tag in (FILE, JSON) or node.text is not None:
        return Node(node.place, {short: node}, {short: node.place})
    return node
