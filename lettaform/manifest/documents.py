"""The files of a project as one mapping, whatever stands in which."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from lettaform.errors import Place
from lettaform.manifest.files import Files
from lettaform.manifest.node import Node, described, empty
from lettaform.manifest.problems import Problems
from lettaform.manifest.text import parse

NAMES = ("lettaform.yaml", "lettaform.yml")
_SUFFIXES = (".yaml", ".yml")
_DEPTH = {"defaults": 2, "environments": 3}
"""How many maps deep files may add to one another; one, for every key that is not named here."""


def documents(named: Sequence[Path], files: Files, problems: Problems) -> Node:
    """Everything that the named files, or those of the folder, and what they include, say."""
    waiting: list[tuple[Path, Place | None]] = [(files.directory / file, None) for file in named]
    waiting = waiting or _found(files, problems)
    whole: Node | None = None
    known: set[Path] = set()
    while waiting:
        path, asker = waiting.pop(0)
        real = files.inside(path)
        if real is None:
            hint = "run with -C on the folder that holds it"
            problems.add(f"`{files.shown(path)}` lies outside the project", asker, hint)
            problems.unread = True
            continue
        if real in known:
            continue
        known.add(real)
        node = _read(path, asker, files, problems)
        if node is not None:
            waiting += _included(node, files, problems)
            whole = node if whole is None else _union(whole, node, problems)
    return whole or empty(Place(files.shown(files.directory / NAMES[0]), 1, 1))


def _found(files: Files, problems: Problems) -> list[tuple[Path, Place | None]]:
    """`lettaform.yaml` if there is one, else every YAML file of the folder."""
    folder = files.directory
    for name in NAMES:
        if (folder / name).is_file():
            return [(folder / name, None)]
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIXES) and not name.startswith("."))
    except OSError as error:
        problems.add(f"the folder `{files.shown(folder)}` cannot be read: {error.strerror}", None)
        return []
    if not names:
        hint = "write a `lettaform.yaml`, or let `lettaform init` write one"
        problems.add(f"there is no manifest in `{files.shown(folder)}`", None, hint)
    return [(folder / name, None) for name in names]


def _read(path: Path, asker: Place | None, files: Files, problems: Problems) -> Node | None:
    text = files.text(path, asker)
    node = None if text is None else parse(text, files.shown(path), problems)
    if node is None:
        problems.unread = True
    elif not isinstance(node.value, dict):
        problems.add(f"expected a map of sections, got {described(node.value)}", node.place, "begin with `stack: NAME`")
        return None
    return node


def _included(node: Node, files: Files, problems: Problems) -> list[tuple[Path, Place | None]]:
    """The files that `include` of one file names."""
    found: list[tuple[Path, Place | None]] = []
    include = node.map.get("include")
    for item in include.list if include else ():
        if item.text:
            found += [(path, item.place) for path in _matches(item.text, item.place, files, problems)]
    return found


def _matches(pattern: str, place: Place, files: Files, problems: Problems) -> list[Path]:
    if not re.search(r"[*?\[]", pattern):
        path = files.named(pattern, place)
        problems.unread |= path is None
        return [path] if path else []
    fixed = re.split(r"[^/]*[*?\[]", pattern, maxsplit=1)[0]
    base = Path(os.path.abspath(files.beside(place) / fixed))
    try:
        if os.path.isabs(pattern) or not base.is_relative_to(files.directory):
            raise PermissionError
        paths = sorted(path for path in files.beside(place).glob(pattern) if path.is_file())
        if not all(map(files.inside, paths)):
            raise PermissionError
    except PermissionError:
        problems.add(f"`{pattern}` leads outside the project", place, "only files inside the project are included")
    except (OSError, ValueError, NotImplementedError) as error:
        problems.add(f"`{pattern}` is not a pattern: {error}", place, "teams/*.yaml")
    else:
        if not paths:
            problems.add(f"`{pattern}` matches no file", place, severity="warning")
        return paths
    problems.unread = True
    return []


def _union(first: Node, second: Node, problems: Problems) -> Node:
    """Two files as one. What both say is a problem."""
    members, keys = dict(first.map), dict(first.keys)
    for key, node in second.map.items():
        if key not in members:
            members[key], keys[key] = node, second.keys[key]
        elif key != "include":
            members[key] = _both(members[key], node, key, second.keys[key], keys[key], _DEPTH.get(key, 1), problems)
    return Node(first.place, members, keys)


def _both(first: Node, second: Node, name: str, here: Place, there: Place, depth: int, problems: Problems) -> Node:
    if depth and isinstance(first.value, list) and isinstance(second.value, list):
        return Node(first.place, first.value + second.value)
    if not depth or not isinstance(first.value, dict) or not isinstance(second.value, dict):
        problems.add(f"`{name}` is already defined at {there}", here, "keep one of the two")
        return first
    members, keys = dict(first.map), dict(first.keys)
    for key, node in second.map.items():
        if key in members:
            path = f"{name}.{key}"
            members[key] = _both(members[key], node, path, second.keys[key], keys[key], depth - 1, problems)
        else:
            members[key], keys[key] = node, second.keys[key]
    return Node(first.place, members, keys)
