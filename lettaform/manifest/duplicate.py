"""A declaration to the new contents of the files in which a copy of it stands, under another key.

The text of the declaration is copied, so that expressions, tags and comments in it stay. It is copied wherever the
object is declared: in an environment, too. What results is read again: nothing but the copy may differ.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from lettaform.address import Address
from lettaform.errors import ManifestError, PlanError
from lettaform.manifest.emit_text import entry_lines, flow_entry, key_text
from lettaform.manifest.locate import Places
from lettaform.manifest.scalars import Splice, newline, spliced
from lettaform.manifest.write import Reload, differences
from lettaform.model import Manifest

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_BY_HAND = "copy the declaration by hand"

Contents = Mapping[Path, tuple[bytes, bytes]]
"""Path of a file to its content before and after."""


def duplicate(
    manifest: Manifest, directory: Path, old: Address, new: Address, fields: Mapping[str, Any], reload: Reload
) -> Contents:
    """The files of a manifest in which the declaration at `old` also stands at `new`, which is in the same section.

    fields  values of the copy in place of those in the text

    PlanError if the text cannot be copied; Outdated if a file has changed since the manifest was read.
    """
    places, made = Places(manifest, directory), dict[Path, bytes]()
    for name in manifest.inputs.files:
        path = places.path(str(directory / name))
        if path.suffix not in (".yaml", ".yml"):
            continue
        source = places.file(path).decode("utf-8")
        splices = [_copy(source, entry, new.key, fields) for entry in _entries(source, old)]
        if splices:
            made[path] = spliced(source, splices).encode()
    if not made:
        raise PlanError(f"{old} is not declared by itself in a YAML file", _BY_HAND)
    _check(manifest, new, made, reload)
    return {path: (places.file(path), content) for path, content in made.items()}


def _check(manifest: Manifest, new: Address, made: Mapping[Path, bytes], reload: Reload) -> None:
    """Raise PlanError unless the new files declare the copy, and everything else as before."""
    try:
        found = reload(made)
    except ManifestError as error:
        problem = error.problems[0]
        raise PlanError(f"the copy is not valid: {problem.message}", problem.hint or _BY_HAND) from error
    kept = {address: each for address, each in found.objects.items() if address in manifest.objects}
    changed = next(differences(manifest, replace(found, objects=kept), {}), None)
    if changed is not None or new not in found.objects:
        raise PlanError(f"the copy would also change {changed or 'what else is written there'}", _BY_HAND)


# --- the text of a declaration ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Entry:
    """One entry of a map. `flow`: whether the map is written inside brackets."""

    key: Any
    value: Any
    flow: bool

    @property
    def start(self) -> int:
        return int(self.key.start_mark.index)

    @property
    def column(self) -> int:
        return int(self.key.start_mark.column)


def _entries(source: str, address: Address) -> list[_Entry]:
    """Where an object is declared in a file: in its section, and in that of each environment."""
    root = yaml.compose(source, Loader=_LOADER)
    every = [each for holder in _holders(root) for each in _member(holder, address.section)]
    found = [each for section in every for each in _member(section.value, address.key)]
    return sorted({each.start: each for each in found}.values(), key=lambda each: each.start)


def _holders(root: Any) -> Iterator[Any]:
    """The maps that can have sections."""
    yield root
    for environments in _member(root, "environments"):
        yield from (each.value for each in _members(environments.value))


def _member(node: Any, key: str) -> Iterator[_Entry]:
    return (each for each in _members(node) if each.key.value == key)


def _members(node: Any) -> Iterator[_Entry]:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        yield _Entry(key, value, bool(node.flow_style))


def _copy(source: str, entry: _Entry, key: str, fields: Mapping[str, Any]) -> Splice:
    """The splice that adds a copy of an entry after it."""
    if entry.value.start_mark.index < entry.key.end_mark.index:
        raise PlanError("the declaration is written as an alias (`*`)", _BY_HAND)
    start, end = entry.start, _end(source, entry)
    changes = [(start, int(entry.key.end_mark.index), key_text(key)), *_changed(source, entry, fields)]
    text = spliced(source[:end], changes)[start:]
    if entry.flow:
        return end, end, f", {text}"
    line = source.rfind("\n", 0, start) + 1
    indent = source[line:start]
    if indent.strip():
        raise PlanError("the declaration does not begin on a line of its own", _BY_HAND)
    after = source.find("\n", end)
    after = len(source) if after < 0 else after - source[:after].endswith("\r")
    spaced = newline(source) if _is_spaced(source[:line]) else ""
    return after, after, f"{newline(source)}{spaced}{indent}{text}"


def _is_spaced(before: str) -> bool:
    """Whether an empty line separates an entry from the one before it."""
    lines = before.split("\n")[:-1]
    while lines and lines[-1].lstrip().startswith("#"):
        lines.pop()
    return bool(lines) and not lines[-1].strip()


def _end(source: str, entry: _Entry) -> int:
    """The end of an entry, without the comments and empty lines that follow it."""
    start, end = entry.start, int(entry.value.end_mark.index)
    if entry.flow:
        return end
    lines = source[start:end].split("\n")
    while len(lines) > 1 and _follows(lines[-1], entry.column):
        lines.pop()
    return start + len("\n".join(lines).rstrip())


def _follows(line: str, column: int) -> bool:
    """Whether a line at the end of an entry is empty, or a comment about what follows it."""
    text = line.lstrip()
    return not text.strip() or (text.startswith("#") and len(line) - len(text) <= column)


# --- other values in the copy ----------------------------------------------------------------------------------------


def _changed(source: str, entry: _Entry, fields: Mapping[str, Any]) -> Iterator[Splice]:
    """The splices that give fields of an entry other values."""
    members = {each.key.value: each for each in _members(entry.value)}
    if fields and not members:
        yield _only(entry, fields)
        return
    for name, value in fields.items():
        if name in members:
            each = members[name]
            text = flow_entry(name, value) if each.flow else _lines(source, name, value, each.column)
            yield each.start, _end(source, each), text
    missing = {name: value for name, value in fields.items() if name not in members}
    if missing:
        last = max(members.values(), key=lambda each: each.start)
        end = _end(source, last)
        yield end, end, "".join(_added(source, last, name, value) for name, value in missing.items())


def _only(entry: _Entry, fields: Mapping[str, Any]) -> Splice:
    """The splice that writes fields in place of a short form, such as the text of a block, or of nothing."""
    start, end = int(entry.key.end_mark.index), int(entry.value.end_mark.index)
    return start, end, f": {{{', '.join(flow_entry(name, value) for name, value in fields.items())}}}"


def _added(source: str, last: _Entry, name: str, value: Any) -> str:
    if last.flow:
        return f", {flow_entry(name, value)}"
    return newline(source) + " " * last.column + _lines(source, name, value, last.column)


def _lines(source: str, name: str, value: Any, column: int) -> str:
    lines: Sequence[str] = entry_lines(name, value, column)
    return newline(source).join(lines)[column:]
