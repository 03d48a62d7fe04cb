"""A value of a manifest that remembers where it was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lettaform.errors import Place

FILE, JSON, UNSET = "!file", "!json", "!unset"
TAGS: Mapping[str, str] = {
    FILE: "The UTF-8 text of a file, whose path is relative to this one.",
    JSON: "The data of a JSON file, whose path is relative to this one.",
    UNSET: "Back to silence: whatever the defaults or the file below say, the field is not managed.",
}


class _Hole:
    """What stands where a value could not be found out; the reason has been told."""

    def __repr__(self) -> str:
        return "HOLE"


HOLE = _Hole()


@dataclass(slots=True, eq=False)
class Node:
    """A scalar, a list of Nodes, or a mapping of text to Nodes.

    keys    where each key of a mapping stands
    tag     `!file`, `!json`, `!unset` or nothing
    inset   how many columns after `place` a one-line text begins; None where that cannot be said
    """

    place: Place
    value: Any
    keys: Mapping[str, Place] = field(default_factory=dict)
    tag: str = ""
    inset: int | None = None

    @property
    def map(self) -> Mapping[str, Node]:
        """The members, if this is a mapping; none otherwise."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def list(self) -> list[Node]:
        """The items, if this is a list; none otherwise."""
        return self.value if isinstance(self.value, list) else []

    @property
    def text(self) -> str | None:
        """The text, if this is one that stands for itself."""
        return self.value if isinstance(self.value, str) and not self.tag else None

    @property
    def null(self) -> bool:
        """Whether `null`, or nothing at all, was written."""
        return self.value is None and not self.tag

    @property
    def open(self) -> bool:
        """Whether the value is only known once expressions and files have been read."""
        return self.value is HOLE or self.tag in (FILE, JSON) or (isinstance(self.value, str) and "${" in self.value)

    def at(self, key: str) -> Place:
        """Where a problem with the member `key` is best shown: its value, unless that begins on another line."""
        value, where = self.map[key].place, self.keys[key]
        return value if (value.file, value.line) == (where.file, where.line) else where


def empty(place: Place) -> Node:
    """A mapping without members."""
    return Node(place, {})


def merge(below: Node, above: Node) -> Node:
    """`above` laid over `below`: maps merge key by key, everything else replaces, `!unset` takes away."""
    if not isinstance(below.value, dict) or not isinstance(above.value, dict):
        return above
    members, keys = dict(below.value), dict(below.keys)
    for key, node in above.value.items():
        if node.tag == UNSET:
            members.pop(key, None)
            keys.pop(key, None)
            continue
        members[key] = merge(members[key], node) if key in members else node
        keys[key] = above.keys[key]
    return Node(above.place, members, keys)


def plural(number: int, word: str) -> str:
    """`1 key`, `2 keys`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def described(value: Any) -> str:
    """A value in plain words, short enough for a message."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    if isinstance(value, str):
        shown = value if len(value) <= 40 else value[:39] + "…"
        return f"the text {shown!r}"
    if isinstance(value, Mapping):
        return "a map"
    return "a list" if isinstance(value, list | tuple) else "something else"
