"""Files of lettactl to Nodes, and Nodes to values: what is wrong, and what is not carried over, is collected."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lettaform.errors import Place, nearest
from lettaform.kinds import kinds
from lettaform.lettactl.fields import (
    FLAG,
    KINDS,
    LIST,
    MAP,
    REFUSED_BY_LETTACTL,
    TEXT,
    TEXTS,
    WHOLE,
    Row,
    Table,
)
from lettaform.manifest.files import Files
from lettaform.manifest.form import report_type
from lettaform.manifest.node import UNRESOLVED, Node, described, empty
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.remedy import remedy
from lettaform.manifest.text import Dialect, parse
from lettaform.manifest.types import plain
from lettaform.manifest.words import field_hint
from lettaform.model import NotDeclared

DIALECT = Dialect("a manifest of lettactl has `agents:`", "write each document to a file of its own", merges=True)
_GROUPED = re.compile(r"[0-9]+(?:_[0-9]+)+")
"""A number that YAML 1.1 allows, and that lettactl reads."""


@dataclass(frozen=True)
class Document:
    """A file of lettactl.

    root   its content
    files  reads the files that it names; its directory is the one to which paths are relative
    """

    path: Path
    root: Node
    files: Files


@dataclass
class Reading:
    """What is found while files are read.

    problems  why nothing is written
    left      what is not carried over
    """

    problems: Problems = field(default_factory=Problems)
    left: list[NotDeclared] = field(default_factory=list)

    def leave(self, what: str, place: Place, reason: str, hint: str | None = None) -> None:
        """Note what is not carried over."""
        self.left.append(NotDeclared(what, reason, place=place, hint=hint or None))

    # --- files

    def document(self, path: Path, table: Table, root: Path | None) -> Document | None:
        """The content of a file; None, and a problem, if it cannot be used. `root`: in place of its own folder."""
        reader = Files(path.parent, self.problems)
        text = reader.text(path, None)
        node = None if text is None else parse(text, reader.shown(path), self.problems, DIALECT)
        if node is None or not self.map(node, "", table):
            return None
        return Document(path, node, self._base(path, node, root))

    def _base(self, path: Path, node: Node, root: Path | None) -> Files:
        """The reader of what a file names."""
        given, folder = node.map.get("root_path"), root or path.parent
        if given is not None and (text := self.text(given, "root_path", given.place)):
            folder = path.parent / text
            if not os.path.isdir(folder):
                self.problems.add(f"root_path: there is no folder `{text}`", given.place)
        return Files(folder, self.problems)

    # --- values

    def map(self, node: Node, path: str, table: Table) -> bool:
        """Whether a value is a map. Reports its unknown keys, and the fields that are not carried over."""
        if not isinstance(node.value, dict):
            report_type(node, "a map", path or "the file", self.problems, node.place)
            return False
        for key, child in node.map.items():
            row = table.get(key)
            where = f"{path}.{key}" if path else key
            if row is None:
                self._unknown(key, where, node.keys[key], table)
            elif child.tag:
                report_type(child, row.takes or "a value", where, self.problems, child.place)
            elif row.reason:
                self.leave(where, node.keys[key], row.reason, row.instead)
        return True

    def _unknown(self, key: str, where: str, place: Place, table: Table) -> None:
        near = nearest(key, table)
        here = next((field_hint(kind, kinds()[kind], key) for kind, each in KINDS if each is table), None)
        hint = f"did you mean `{near}`?" if near else f"here, {here}" if here else None
        if any(table is each for each in REFUSED_BY_LETTACTL):
            hint = hint or suggest(key, table)
            self.problems.add(f"{where}: lettactl has no field `{key}`", place, hint, field=where)
        else:
            self.leave(where, place, "lettactl has no such field, and ignores it", hint)

    def copied(self, node: Node, path: str, table: Table) -> Iterator[tuple[str, Any, Place]]:
        """Each field that goes as it is into one of ours: its name here, its value, and its place."""
        for key, row in table.items():
            if row.copied and key in node.map:
                value = self.value(node.map[key], row, f"{path}.{key}", node.at(key))
                if value is not UNRESOLVED:
                    yield row.copied, value, node.at(key)

    def value(self, node: Node, row: Row, path: str, place: Place) -> Any:
        """The value of a field; UNRESOLVED, and a problem, if it is not what the field takes, or null."""
        if node.null or node.value is UNRESOLVED:
            return UNRESOLVED
        match row.takes:
            case "a text":
                return self.text(node, path, place) or UNRESOLVED
            case "a whole number":
                return self._number(node, path, place)
            case "a list of texts":
                return self.texts(node, path) if self._is(node, LIST, path, place) else UNRESOLVED
            case "true or false" | "a list" | "a map":
                return plain(node) if self._is(node, row.takes, path, place) else UNRESOLVED
        return plain(node)

    def text(self, node: Node, path: str, place: Place) -> str | None:
        """A text; None, and a problem, if the value is none."""
        return node.text if self._is(node, TEXT, path, place) else None

    def texts(self, node: Node, path: str) -> list[str]:
        """The texts of a list."""
        found = [(item, self.text(item, f"{path}.{number}", item.place)) for number, item in enumerate(node.list)]
        return [text for _, text in found if text]

    def items(self, node: Node, key: str, path: str) -> list[Node]:
        """The items of a list below a map."""
        child = node.map.get(key)
        where = f"{path}.{key}" if path else key
        if child is None or child.null or not self._is(child, LIST, where, node.at(key)):
            return []
        return child.list

    def named(self, node: Node, key: str, path: str, table: Table) -> Iterator[tuple[str, Node, str]]:
        """Path, value and name of each map in a list below a map. `path`: empty at the top."""
        below = f"{path}.{key}" if path else key
        for number, each in enumerate(self.items(node, key, path)):
            if not isinstance(each.value, dict):
                self.map(each, f"{below}.{number}", table)
            elif name := self.required(each, "name", f"{below}.{number}"):
                self.map(each, f"{below}.{name}", table)
                yield f"{below}.{name}", each, name

    def below(self, node: Node, key: str, path: str, table: Table) -> Node:
        """A map below a map; an empty one if there is none."""
        child = node.map.get(key)
        if child is None or child.null or not self.map(child, f"{path}.{key}", table):
            return empty(node.place)
        return child

    def required(self, node: Node, key: str, path: str) -> str | None:
        """A text that must be given."""
        child = node.map.get(key)
        if child is None or child.null or child.text == "":
            near = nearest(key, node.map)
            hint = f"did you mean `{key}`, and not `{near}`?" if near and near != key else f"add `{key}: …`"
            self.problems.add(f"{path}: `{key}` is missing", child.place if child else node.place, hint)
            return None
        return self.text(child, f"{path}.{key}", node.at(key))

    def flag(self, node: Node, key: str, path: str) -> bool | None:
        """A flag of a map; None if it is not given."""
        child = node.map.get(key)
        given = child is not None and not child.null and self._is(child, FLAG, f"{path}.{key}", node.at(key))
        return bool(child.value) if child is not None and given else None

    def is_map(self, node: Node, path: str) -> bool:
        """Whether a value is a map with any keys; reports a problem if it is not."""
        return self._is(node, MAP, path, node.place)

    def _number(self, node: Node, path: str, place: Place) -> Any:
        if isinstance(node.value, str) and _GROUPED.fullmatch(node.value) and node.text_offset == 0:
            return int(node.value)
        return node.value if self._is(node, WHOLE, path, place) else UNRESOLVED

    def _is(self, node: Node, expected: str, path: str, place: Place) -> bool:
        """Whether a value is of a type; reports a problem if it is not."""
        types: Mapping[str, type] = {TEXT: str, WHOLE: int, FLAG: bool, LIST: list, TEXTS: list, MAP: dict}
        is_flag = isinstance(node.value, bool)
        if isinstance(node.value, types[expected]) and (not is_flag or expected == FLAG):
            return True
        if node.value is not UNRESOLVED:
            self.problems.add(f"{path}: expected {expected}, got {described(node.value)}", place, _hint(node, expected))
        return False


def _hint(node: Node, expected: str) -> str | None:
    """How to write a value."""
    return remedy(expected, node.value)
