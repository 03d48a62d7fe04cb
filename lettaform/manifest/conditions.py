"""Members of lists that are there under a condition, `{use: search_docs, when: "${var.docs}"}`, to plain members."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lettaform.manifest.form import Definitions, Flag
from lettaform.manifest.node import Node

USE, WHEN = "use", "when"
"""The keys of such a member: of both together, no other member of a list is a map."""
FORM = Flag("Whether the member is in the list.")
_NAME = "conditional_member"


def is_conditional(item: Node) -> bool:
    """Whether a member of a list has a condition."""
    return len(item.map) == 2 and USE in item.map and WHEN in item.map


def conditional_fields(body: Node) -> list[str]:
    """The fields of an object whose lists have members with a condition."""
    return [name for name, node in body.map.items() if any(map(is_conditional, node.list))]


def unconditional(body: Node, names: list[str], is_wanted: Callable[[Node], bool]) -> Node:
    """An object in which some lists have the wanted members, without their conditions. `names`: of these lists."""
    if not names:
        return body
    members = dict(body.map)
    for name in names:
        node = members[name]
        items = [item.map[USE] if is_conditional(item) else item for item in node.list if _stays(item, is_wanted)]
        members[name] = Node(node.place, items, node.keys, node.tag)
    return Node(body.place, members, body.keys, body.tag)


def _stays(item: Node, is_wanted: Callable[[Node], bool]) -> bool:
    return not is_conditional(item) or is_wanted(item.map[WHEN])


def conditions(body: Node) -> Iterator[tuple[str, Node]]:
    """Every condition in the lists of an object, with its path."""
    for name in conditional_fields(body):
        for index, item in enumerate(body.map[name].list):
            if is_conditional(item):
                yield f"{name}.{index}.{WHEN}", item.map[WHEN]


def with_conditions(schema: Mapping[str, Any], definitions: Definitions) -> dict[str, Any]:
    """The JSON Schema of a list whose members may have a condition; another schema as it is."""
    if "items" not in schema:
        return {**schema}
    definitions[_NAME] = {
        "description": "A member of the list, under a condition.",
        "type": "object",
        "properties": {USE: {"description": "The member."}, WHEN: FORM.schema(definitions)},
        "required": [USE, WHEN],
        "additionalProperties": False,
    }
    items = schema["items"]
    alternatives = items["anyOf"] if [*items] == ["anyOf"] else [items]
    return {**schema, "items": {"anyOf": [*alternatives, {"$ref": f"#/$defs/{_NAME}"}]}}
