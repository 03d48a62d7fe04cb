"""A manifest in memory, made of Python's own values, to a Node. The place of a value is its path: `agents.lead.model`.

The same values are accepted as in a file, and the same checks follow. What a tag says in a file is said by File,
JsonFile, CsvFile and UNSET.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from lettaform.errors import Place
from lettaform.manifest import node
from lettaform.manifest.form import entry
from lettaform.manifest.node import CSV, FILE, JSON, UNRESOLVED, Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.text import DEPTH
from lettaform.values import CsvFile, File, JsonFile, Refused, Unset

ROOT = Place("manifest", 0, 0)
"""The place of what is about the whole manifest."""
NAME = "the manifest in memory"
"""Its name among the files that a manifest was read from."""
_ACCEPTED = "use texts, numbers, True, False, None, lists, mappings, File, JsonFile, CsvFile and UNSET"


_TAGS: Mapping[type, str] = {File: FILE, JsonFile: JSON, CsvFile: CSV}


def read(document: Mapping[str, Any], problems: Problems) -> Node:
    """The root of a manifest. What cannot be part of a manifest is a problem, and UNRESOLVED."""
    return _Reader(problems).read(document, "", ROOT, 0)


def written(root: Node) -> bytes:
    """A manifest as bytes: equal manifests have equal ones."""
    return json.dumps(root, default=lambda value: [value.tag, value.value] if isinstance(value, Node) else "").encode()


class _Reader:
    """Builds Nodes. `path`: the path of a value, for its place."""

    def __init__(self, problems: Problems) -> None:
        self.problems = problems

    def read(self, value: Any, path: str, place: Place, depth: int) -> Node:
        if isinstance(value, Mapping | list | tuple):
            if depth >= DEPTH:
                return self.refused(f"lists and maps are nested more than {DEPTH} levels deep", place)
            members = self.map if isinstance(value, Mapping) else self.list
            return members(value, path, place, depth + 1)
        if isinstance(value, File | JsonFile | CsvFile):
            return self.file(value, place)
        if isinstance(value, Unset):
            return Node(place, None, tag=node.UNSET)
        if isinstance(value, Refused):
            return self.refused(value.message, place, value.hint)
        return self.scalar(value, place)

    def map(self, value: Any, path: str, place: Place, depth: int) -> Node:
        members: dict[str, Node] = {}
        places: dict[str, Place] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                self.refused(f"a key must be a text, got {key!r}", place)
                continue
            inner = entry(path, key) if path else key
            places[key] = Place(inner, 0, 0)
            members[key] = self.read(item, inner, places[key], depth)
        return Node(place, members, places)

    def list(self, value: Any, path: str, place: Place, depth: int) -> Node:
        items = []
        for number, item in enumerate(value):
            inner = f"{path}.{number}"
            if isinstance(item, Unset):
                message = "`UNSET` removes a field of a map; it cannot be an item of a list"
                self.problems.add(message, Place(inner, 0, 0))
                continue
            items.append(self.read(item, inner, Place(inner, 0, 0), depth))
        return Node(place, items)

    def file(self, value: File | JsonFile | CsvFile, place: Place) -> Node:
        path = fspath(value.path)
        if not path:
            name = type(value).__name__
            return self.refused(f"`{name}` needs a path", place, f'write `{name}("path/to/file")`')
        return Node(place, path, tag=_TAGS[type(value)])

    def scalar(self, value: Any, place: Place) -> Node:
        """A text, a number, a truth value or nothing. A member of an enumeration counts as its value."""
        if value is None or isinstance(value, bool):
            return Node(place, value)
        if isinstance(value, str):
            text = str.__str__(value)
            if any("\ud800" <= character <= "\udfff" for character in text):
                return self.refused("the text is not valid Unicode: it contains a surrogate", place)
            return Node(place, text)
        if isinstance(value, int | float):
            if isinstance(value, int) and abs(value) >= 2**63:
                return self.refused(f"the number `{str(value)[:30]}` is too large", place)
            if not math.isfinite(value):
                return self.refused(f"`{value}` is not a valid number in JSON", place)
            return Node(place, int(value) if isinstance(value, int) else float(value))
        name = type(value).__name__
        hint = "write `str(path)`, or `File(path)` for the content of the file" if isinstance(value, PathLike) else None
        return self.refused(f"a value of the type `{name}` cannot be part of a manifest", place, hint or _ACCEPTED)

    def refused(self, message: str, place: Place, hint: str | None = None) -> Node:
        self.problems.add(message, place, hint)
        return Node(place, UNRESOLVED)
