"""The manifest files of a project, or a text, to what they contain in canonical layout. Writes nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from lettaform.errors import Place, Problem
from lettaform.kinds import kinds
from lettaform.manifest.components import files_of_components
from lettaform.manifest.documents import is_map, sources
from lettaform.manifest.files import Files
from lettaform.manifest.layout import Unlike, layout
from lettaform.manifest.node import Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.secret_shapes import SHAPES
from lettaform.manifest.text import decode, parse

STDIN = "<stdin>"
"""What stands for the name of a text that is no file."""


@dataclass(frozen=True)
class FormattedFile:
    """A file in canonical layout.

    name    its path, as people see it
    path    where it is; None: it is no file
    hidden  texts that must not be shown: they are secrets, or look like one
    """

    name: str
    path: Path | None
    old: str = field(repr=False)
    new: str = field(repr=False)
    hidden: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def changes(self) -> bool:
        """Whether the file is not in canonical layout."""
        return self.old != self.new


@dataclass(frozen=True)
class Formatted:
    """Files in canonical layout.

    files     those that can be formatted, in the order of the manifest
    problems  what is wrong with the others, which stay as they are
    written   whether the files that change have been written
    """

    files: tuple[FormattedFile, ...] = ()
    problems: tuple[Problem, ...] = ()
    written: bool = False

    @property
    def changed(self) -> tuple[FormattedFile, ...]:
        """The files that are not in canonical layout."""
        return tuple(each for each in self.files if each.changes)

    @property
    def contents(self) -> Mapping[Path, tuple[bytes, bytes]]:
        """Path of each file that changes to its old and its new content. A link is the file that it links to."""
        files = ((each, each.path) for each in self.changed)
        return {path.resolve(): (each.old.encode(), each.new.encode()) for each, path in files if path is not None}

    def exit_code(self, *, check: bool) -> int:
        """1 if there is a problem, and with `check` if a file is not in canonical layout."""
        return int(bool(self.problems) or (check and bool(self.changed)))


def format_files(directory: Path, named: Sequence[Path] = (), paths: Sequence[Path] = ()) -> Formatted:
    """The manifest files of a project, the files that they include, and those of components, in canonical layout.

    directory  the project
    named      its manifest files; empty: `lettaform.yaml`, or all YAML files of the folder
    paths      format these files alone, whether the manifest includes them or not
    """
    problems = Problems()
    files = Files(directory, problems)
    chosen = [directory / path for path in paths]
    if not paths:
        read = list(sources(named, files, problems))
        roots = (node for _, node in read if node is not None)
        chosen = [path for path, _ in read] + list(files_of_components(roots, files, problems))
    found: dict[Path, FormattedFile] = {}
    for path in chosen:
        text = None if path.resolve() in found else files.text(path, None)
        formatted = None if text is None else _formatted(text, files.shown(path), path, problems)
        if formatted is not None:
            found[path.resolve()] = formatted
    return Formatted(tuple(found.values()), _sorted(problems))


def format_text(data: bytes) -> Formatted:
    """A text in canonical layout, as the only file."""
    problems = Problems()
    text = decode(data, STDIN, problems)
    found = None if text is None else _formatted(text, STDIN, None, problems)
    return Formatted((found,) if found else (), _sorted(problems))


def _sorted(problems: Problems) -> tuple[Problem, ...]:
    return tuple(sorted(problems.errors, key=lambda problem: problem.place or Place("", 0, 0)))


def _formatted(text: str, name: str, path: Path | None, problems: Problems) -> FormattedFile | None:
    """A file in canonical layout; None, and a problem, if it cannot be read."""
    own = Problems()
    node = parse(text, name, own)
    usable = node is not None and is_map(node, own)
    if not usable or node is None or own.has_errors:
        for each in own.errors:
            problems.add(each.message, each.place, each.hint, secret=each.secret)
        return None
    try:
        new = layout(text)
    except Unlike as error:
        hint = "this is a bug of lettaform: please report it, with the part of the file that it is about"
        problems.add(f"the file cannot be formatted: {error}. It stays as it is", Place(name, 1, 1), hint)
        return None
    return FormattedFile(name, path, text, new, frozenset((*_secrets(node), *_with_shapes(text))))


# --- what a diff must not show ---------------------------------------------------------------------------------------


@cache
def _secret_names() -> Collection[str]:
    """The fields of all kinds whose values are secrets."""
    return {line.name for kind in kinds().values() for line in kind.attrs().values() if line.secret}


def _secrets(node: Node, *, secret: bool = False) -> Iterator[str]:
    """The texts of a file that stand where secrets belong, and are no expressions."""
    if secret and node.text and "${" not in node.text:
        yield node.text
    is_variable = "secret" in node.map and node.map["secret"].value is True
    for key, each in node.map.items():
        yield from _secrets(each, secret=secret or key in _secret_names() or (is_variable and key == "default"))
    for each in node.list:
        yield from _secrets(each, secret=secret)


def _with_shapes(text: str) -> Iterator[str]:
    for shape in SHAPES.values():
        yield from (found[0] for found in shape.finditer(text))
