"""A manifest to the places of its values: which characters of which file each value is written in."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lettaform.address import Address
from lettaform.errors import Place
from lettaform.kinds import kinds
from lettaform.kinds.traits import Companions, Parts
from lettaform.manifest.expressions import parts
from lettaform.manifest.node import FILE, JSON
from lettaform.manifest.scalars import Scalar
from lettaform.manifest.text import events
from lettaform.model import Desired, Manifest

_PROPERTIES = re.compile(r"(?:[&!]\S*[ \t]*(?:(?:#[^\r\n]*)?(?:\r\n|\r|\n)[ \t]*)*)*")
"""The anchor and the tag of a value."""


class Unwritable(Exception):
    """A value cannot be put back where it was written. `reasons`: object to what is wrong with it, of several."""

    def __init__(self, message: str, hint: str | None = None, reasons: Mapping[str, Unwritable] = {}) -> None:
        super().__init__(message)
        self.message, self.hint, self.reasons = message, hint, reasons


class Outdated(Exception):
    """A file is no longer what the manifest was read from."""


@dataclass(frozen=True)
class Target:
    """Where a value is written: a scalar of a YAML file, or a whole file (`start` is None)."""

    file: Path
    start: int | None = None


# --- the scalars of a file -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Written:
    """A scalar of a YAML file, and its tag."""

    scalar: Scalar
    tag: str | None


@dataclass
class _Level:
    """A list or map whose end has not been read.

    path  the keys that lead to it
    key   the event of the key whose value comes next
    """

    mapping: bool
    flow: bool
    path: tuple[str, ...] = ()
    key: Any = None


class Document:
    """The text of a YAML file, and what is written where."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.by_key: dict[tuple[int, int], _Written | None] = {}
        self.by_place: dict[tuple[int, int], _Written] = {}
        self.by_start: dict[int, _Written] = {}
        self.section: dict[tuple[int, int], tuple[str, ...]] = {}
        """Place of a key to the first two keys of its path."""
        self.levels: list[_Level] = []
        self.anchors: dict[str, _Written | None] = {}
        for event in events(source):
            self._take(event)

    def at(self, place: Place) -> _Written | None:
        """The scalar that belongs to the key at a place, or that stands there itself."""
        where = (place.line, place.column)
        return self.by_key[where] if where in self.by_key else self.by_place.get(where)

    def _take(self, event: Any) -> None:
        place = (event.start_mark.line + 1, event.start_mark.column + 1)
        match event:
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                outer = self.levels[-1] if self.levels else _Level(False, False)
                path = (*outer.path, outer.key.value if outer.key else "") if self.levels else ()
                self._add(event, None)
                flow = outer.flow or bool(event.flow_style)
                self.levels.append(_Level(isinstance(event, yaml.MappingStartEvent), flow, path))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                self.levels.pop()
            case yaml.AliasEvent():
                self._add(event, self.anchors.get(event.anchor or ""))
            case yaml.ScalarEvent():
                level = self.levels[-1] if self.levels else None
                if level and level.mapping and level.key is None:
                    level.key = event
                    self.section[place] = level.path[:2]
                else:
                    self._add(event, self._scalar(event, level))

    def _scalar(self, event: Any, level: _Level | None) -> _Written:
        start, end, key = event.start_mark.index, event.end_mark.index, level.key if level else None
        if event.anchor or event.tag:
            properties = _PROPERTIES.match(self.source, start, end)
            start = properties.end() if properties else start
        style = event.style if event.style in ("|", ">", "'", '"') else ""
        flow, below = key is None or (level is not None and level.flow), False
        if key is not None:
            below = any(each in self.source[key.end_mark.index : start] for each in "\r\n")
        indent = self._indent(key.start_mark) if key is not None else 0
        tagged = event.tag not in (None, FILE, JSON)
        written = _Written(Scalar(start, end, style, event.value, indent, flow, below, tagged), event.tag)
        self.by_place[event.start_mark.line + 1, event.start_mark.column + 1] = written
        self.by_start[start] = written
        return written

    def _indent(self, key: Any) -> int:
        """The column of a key, or that of the `?` before it."""
        before = self.source[key.index - key.column : key.index].rstrip(" ")
        return len(before) - 1 if before.endswith("?") else key.column

    def _add(self, event: Any, written: _Written | None) -> None:
        if anchor := getattr(event, "anchor", None):
            self.anchors[anchor] = written
        level = self.levels[-1] if self.levels else None
        if level and level.mapping and level.key is not None:
            mark = level.key.start_mark
            self.by_key[mark.line + 1, mark.column + 1] = written
            level.key = None


class Places:
    """The files of a manifest, and where its values are written in them."""

    def __init__(self, manifest: Manifest, directory: Path) -> None:
        self.manifest = manifest
        names = manifest.inputs.files.items()
        self.digests = {Path(os.path.abspath(directory), name).resolve(): digest for name, digest in names}
        self.paths: dict[str, Path] = {}
        self.bytes: dict[Path, bytes] = {}
        self.documents: dict[Path, Document] = {}

    def file(self, path: Path) -> bytes:
        """The content of a file that the manifest was read from."""
        if path not in self.bytes:
            try:
                content = path.read_bytes()
            except OSError as error:
                raise Outdated(str(path)) from error
            if hashlib.sha256(content).hexdigest() != self.digests.get(path):
                raise Outdated(str(path))
            self.bytes[path] = content
        return self.bytes[path]

    def path(self, name: str) -> Path:
        """A file, by one of its names: a link is the file that it links to."""
        if name not in self.paths:
            self.paths[name] = Path(os.path.abspath(name)).resolve()
        return self.paths[name]

    def document(self, path: Path) -> Document:
        if path not in self.documents:
            self.documents[path] = Document(self.file(path).decode("utf-8"))
        return self.documents[path]

    def is_shared_by_environments(self, address: Address, path: str) -> bool:
        """Whether a value is written outside of the selected environment, where other environments have it, too."""
        if self.manifest.environment is None:
            return False
        place = self.manifest.objects[address].place_of(path)
        section = self.document(self.path(place.file)).section.get((place.line, place.column))
        return section != ("environments", self.manifest.environment)

    def target(self, desired: Desired, path: str) -> Target:
        """Where a leaf is written. Raises Unwritable."""
        if path in desired.files:
            return Target(self.path(desired.files[path]))
        place = desired.places.get(path)
        if place is None:
            return self.unwritten(desired, path)
        file = self.path(place.file)
        written = self.document(file).at(place)
        if written is None:
            raise Unwritable("is written as a list or a map", "only single values are pulled: edit it by hand")
        if written.tag == JSON:
            raise Unwritable("comes from a JSON file (`!json`)", "edit that file by hand")
        if found := next((each for each in parts(written.scalar.value) if each.expression), None):
            hint = "edit what the expression refers to, or write the text itself"
            raise Unwritable(f"is written as an expression, `${{{found.text}}}`", hint)
        return Target(file, written.scalar.start)

    def unwritten(self, desired: Desired, path: str) -> Target:
        """The reason why a leaf has no place of its own."""
        outer = path.rpartition(".")[0]
        if outer and outer in desired.places:
            self.target(desired, outer)  # an expression or a JSON file says why
            raise Unwritable("is not written by itself", "edit it by hand")
        key = desired.address.child or desired.address.key
        if path == kinds()[desired.kind].name_field:
            message = f"is not written in the manifest: it follows from the key `{key}`"
            raise Unwritable(message, f"rename the key, and add an entry to `moved` from {desired.address}")
        raise Unwritable("is not written in the manifest", None)

    def users(self, targets: Collection[Target]) -> dict[Target, list[tuple[Address, str]]]:
        """The objects that have the values which are written in the files of these places, by the place of each."""
        found: dict[Target, list[tuple[Address, str]]] = {}
        for address, desired in self.manifest.objects.items():
            lines = kinds()[desired.kind].attrs()
            apart = {name for name, line in lines.items() if isinstance(line.relation, Parts | Companions)}
            for path, place in desired.places.items():
                name = path.split(".")[0]
                if name not in desired.values or name in apart:
                    continue
                target = self.used(desired, path, place)
                if target is not None and target in targets:
                    found.setdefault(target, []).append((address, path))
        return found

    def used(self, desired: Desired, path: str, place: Place) -> Target | None:
        """Where a value is written, if that is in a file that has been read, or is a file."""
        if path in desired.files:
            return Target(self.path(desired.files[path]))
        file = self.path(place.file)
        written = self.documents[file].at(place) if file in self.documents else None
        return None if written is None else Target(file, written.scalar.start)
