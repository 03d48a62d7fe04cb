"""Node: a value of a manifest together with the place where it was written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lettaform.errors import Place

FILE, JSON, CSV, UNSET = "!file", "!json", "!csv", "!unset"
TAGS: Mapping[str, str] = {
    FILE: "The content of a UTF-8 text file. The path is relative to the file that contains the tag.",
    JSON: "The content of a JSON file. The path is relative to the file that contains the tag.",
    CSV: "The rows of a CSV file, as a map: the first column is the key, and each value is a map of texts with the "
    "names of the first row. The path is relative to the file that contains the tag.",
    UNSET: "Remove what `defaults` or the environment below set, so that the field is unmanaged.",
}
FILES = (FILE, JSON, CSV)
"""The tags that stand before the path of a file."""


SPELLINGS: Mapping[str, str] = {
    'file("PATH")': f"{FILE} PATH",
    'json(file("PATH"))': f"{JSON} PATH",
    'csv(file("PATH"))': f"{CSV} PATH",
    "unset": UNSET,
}
"""Expressions that mean the same as a tag, where they are the whole value."""
_PATH = r"""file\((?:"([^"$\\]*)"|'([^'$\\]*)')\)"""
_SPELLED = re.compile(rf"\$\{{(?:{_PATH}|(json|csv)\({_PATH}\)|unset)\}}")


def spelled_tag(text: str) -> tuple[str, str] | None:
    """The tag that a text is a spelling of, with its path; None if it is none."""
    found = _SPELLED.fullmatch(text) if text.startswith("${") else None
    if found is None:
        return None
    double, single, word, inner_double, inner_single = found.groups()
    if text == "${unset}":
        return UNSET, ""
    return {"json": JSON, "csv": CSV}.get(word, FILE), double or single or inner_double or inner_single or ""


class _Unresolved:
    """The type of UNRESOLVED."""

    def __repr__(self) -> str:
        return "UNRESOLVED"


UNRESOLVED = _Unresolved()
"""Stands for a value that could not be determined. The problem has already been reported."""


@dataclass(slots=True, eq=False)
class Node:
    """A scalar, a list of Nodes, or a map from text to Nodes.

    keys         the place of each key of a map
    tag          one of TAGS, or empty
    text_offset  columns between `place` and the first character of a one-line text (1 after a quote);
                 None if the columns of the text cannot be computed from `place`
    """

    place: Place
    value: Any
    keys: Mapping[str, Place] = field(default_factory=dict)
    tag: str = ""
    text_offset: int | None = None

    @property
    def map(self) -> Mapping[str, Node]:
        """The members of a map; empty for other values."""
        return self.value if isinstance(self.value, dict) else _EMPTY

    @property
    def list(self) -> list[Node]:
        """The items of a list; empty for other values."""
        return self.value if isinstance(self.value, list) else []

    @property
    def text(self) -> str | None:
        """The text, if the value is an untagged text."""
        return self.value if isinstance(self.value, str) and not self.tag else None

    @property
    def null(self) -> bool:
        """Whether the value is `null` or empty."""
        return self.value is None and not self.tag

    @property
    def deferred(self) -> bool:
        """Whether the value is known only after expressions are evaluated and files are read."""
        value = self.value
        return value is UNRESOLVED or self.tag in FILES or (isinstance(value, str) and "${" in value)

    def at(self, key: str) -> Place:
        """Where to show a problem with the member `key`: its value, or its key if the value is on another line."""
        value, where = self.value[key].place, self.keys[key]
        return value if (value.line, value.file) == (where.line, where.file) else where


_EMPTY: Mapping[str, Node] = {}


def empty(place: Place) -> Node:
    """A map without members."""
    return Node(place, {})


def size_of(node: Node) -> int:
    """The number of values in a Node, itself included."""
    value = node.value
    if isinstance(value, dict):
        return 1 + sum(map(size_of, value.values()))
    return 1 + sum(map(size_of, value)) if isinstance(value, list) else 1


def is_external(body: Node) -> bool:
    """Whether the fields of an object say that it is managed elsewhere."""
    return "external" in body.map and body.map["external"].value is True


def merge(lower: Node, upper: Node) -> Node:
    """`upper` merged over `lower`: maps merge key by key, other values replace, `!unset` removes."""
    if not isinstance(lower.value, dict) or not isinstance(upper.value, dict):
        return upper
    members, keys = dict(lower.value), dict(lower.keys)
    for key, node in upper.value.items():
        if node.tag == UNSET:
            members.pop(key, None)
            keys.pop(key, None)
            continue
        members[key] = merge(members[key], node) if key in members else node
        keys[key] = upper.keys[key]
    return Node(upper.place, members, keys)


def plural(number: int, word: str) -> str:
    """`1 key`, `2 keys`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def described(value: Any) -> str:
    """A value in words, at most about 50 characters."""
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
    return "a list" if isinstance(value, list | tuple) else "another value"
