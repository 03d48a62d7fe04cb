"""The manifest files of a project to one Node: all sections, with `include` followed."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lettaform.errors import Place
from lettaform.manifest import memory
from lettaform.manifest.files import WILDCARD, Files, is_exclusion
from lettaform.manifest.node import Node, described, empty
from lettaform.manifest.problems import Problems
from lettaform.manifest.text import parse

NAMES = ("lettaform.yaml", "lettaform.yml")
COMPONENT = "component.yaml"
"""The file of a component, if its folder has one of this name."""
_SUFFIXES = (".yaml", ".yml")
_DEPTH = {"defaults": 2, "environments": 3, "lint": 2}
"""How many levels of maps several files may add to, by top-level key. Other keys: 1."""

Parsed = Callable[[str, str, Problems], Node | None]
"""The text of a file and its name to its content: see `text.parse`."""

_Source = tuple[Path, Place | None]
"""A file, and the place of the `include` that names it."""


def documents(
    named: Sequence[Path], files: Files, problems: Problems, document: Mapping[str, Any] | None = None
) -> Node:
    """The content of the named files, or of the manifest files of the folder, and of the files that they include.

    document  a manifest in memory, in place of files. The files that it includes are read
    """
    whole: Node | None = None
    if document is None:
        found = sources(named, files, problems)
    else:
        whole = memory.read(document, problems)
        files.note(memory.NAME, memory.written(whole))
        found = _read_all(deque(_included(whole, files, problems)), files, problems)
    for _, node in found:
        if node is not None:
            whole = node if whole is None else _combined(whole, node, problems)
    return whole or empty(Place(files.shown(files.directory / NAMES[0]), 1, 1))


def component(path: Path, place: Place, files: Files, problems: Problems) -> Node | None:
    """The content of a component: of a file, or of the files of a folder; None, and a problem, if it has none.

    place  the `use` that names it
    """
    whole: Node | None = None
    for _, node in component_sources(path, place, files, problems):
        if node is not None:
            whole = node if whole is None else _combined(whole, node, problems)
    return whole


def component_sources(path: Path, place: Place, files: Files, problems: Problems) -> Iterator[tuple[Path, Node | None]]:
    """Each file of a component once, and its content."""
    folder = path if path.is_dir() else path.parent
    named = [path] if path.is_file() else [folder / name for name in _component_files(folder)]
    if not named:
        hint = f"write the component to `{files.shown(folder / COMPONENT)}`"
        problems.add(f"there is no YAML file in `{files.shown(folder)}`", place, hint)
    yield from _read_all(deque((each, place) for each in named), files, problems, folder=folder)


def _component_files(folder: Path) -> list[str]:
    """`component.yaml` if it exists, otherwise every YAML file of the folder."""
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIXES) and not name.startswith("."))
    except OSError:
        return []
    return [COMPONENT] if COMPONENT in names else names


def sources(
    named: Sequence[Path], files: Files, problems: Problems, parsed: Parsed = parse
) -> Iterator[tuple[Path, Node | None]]:
    """Each of these files once, and its content; None, and a problem, if that cannot be used.

    parsed  what makes the content of a text
    """
    waiting: deque[_Source] = deque((files.directory / file, None) for file in named)
    yield from _read_all(waiting or deque(_manifest_files(files, problems)), files, problems, parsed)


def _read_all(
    waiting: deque[_Source],
    files: Files,
    problems: Problems,
    parsed: Parsed | None = None,
    folder: Path | None = None,
) -> Iterator[tuple[Path, Node | None]]:
    """As `sources`: these files, and those that they include. `folder`: of the component whose files they are."""
    known: set[Path] = set()
    while waiting:
        path, place = waiting.popleft()
        real = files.inside(path)
        if real is None:
            hint = "use -C with a folder that contains it"
            problems.add(f"`{files.shown(path)}` is outside the project", place, hint)
            problems.incomplete = True
            continue
        if real in known:
            continue
        known.add(real)
        if folder is not None:
            files.bind(path, folder)
        node = read(path, place, files, problems, parsed or parse)
        if node is not None:
            waiting += _included(node, files, problems)
        yield path, node


def _manifest_files(files: Files, problems: Problems) -> list[_Source]:
    """`lettaform.yaml` or `lettaform.yml` if it exists, otherwise every YAML file of the folder."""
    folder = files.directory
    present = [name for name in NAMES if (folder / name).is_file()]
    if len(present) > 1:
        hint = f"keep one of the two, or choose with -f: `-f {NAMES[0]}`"
        problems.add(f"`{NAMES[0]}` and `{NAMES[1]}` are both in `{files.shown(folder)}`", None, hint)
        problems.incomplete = True
    if present:
        return [(folder / present[0], None)]
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(_SUFFIXES) and not name.startswith("."))
    except OSError as error:
        problems.add(f"cannot read the folder `{files.shown(folder)}`: {error.strerror}", None)
        return []
    if not names:
        hint = "write a `lettaform.yaml`, or run `lettaform init`"
        problems.add(f"there is no manifest in `{files.shown(folder)}`", None, hint)
    if names:
        problems.remark = f"without a `lettaform.yaml`, all YAML files of the folder are one manifest: {_listed(names)}"
    return [(folder / name, None) for name in names]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def read(path: Path, place: Place | None, files: Files, problems: Problems, parsed: Parsed = parse) -> Node | None:
    """The sections of one file; None, and a problem, if it cannot be used. `place`: where the manifest names it."""
    text = files.text(path, place)
    node = None if text is None else parsed(text, files.shown(path), problems)
    if node is None:
        problems.incomplete = True
    return None if node is None or not is_map(node, problems) else node


def is_map(node: Node, problems: Problems) -> bool:
    """Whether a file is a map of sections; a problem if it is not."""
    if isinstance(node.value, dict):
        return True
    hint = "a manifest starts with `stack: NAME`"
    problems.add(f"expected a map of sections, got {described(node.value)}", node.place, hint)
    return False


def _included(node: Node, files: Files, problems: Problems) -> list[_Source]:
    """The files that the `include` of one file names."""
    found: list[_Source] = []
    include = node.map.get("include")
    items = [item for item in include.list if item.text] if include else []
    excluded = files.excluded([(item.text or "", item.place) for item in items])
    for item in items:
        paths = [] if is_exclusion(item.text or "") else _matches(item.text or "", item.place, files, problems)
        found += [(path, item.place) for path in paths if path not in excluded]
    return found


def _matches(pattern: str, place: Place, files: Files, problems: Problems) -> list[Path]:
    if not WILDCARD.search(pattern):
        path = files.named(pattern, place)
        problems.incomplete |= path is None
        return [path] if path else []
    fixed = re.split(r"[^/]*[*?\[]", pattern, maxsplit=1)[0]
    base = Path(os.path.abspath(files.folder_of(place) / fixed))
    try:
        bound = files.bound_of(place)
        if os.path.isabs(pattern) or not base.is_relative_to(bound):
            raise PermissionError
        paths = files.glob(pattern, place)
        if not all(files.inside(path, place) for path in paths):
            raise PermissionError
    except PermissionError:
        whole = "project" if bound == files.directory else "component"
        hint = f"only files inside the {whole} can be included"
        problems.add(f"`{pattern}` matches files outside the {whole}", place, hint)
    except (OSError, ValueError, NotImplementedError) as error:
        problems.add(f"`{pattern}` is not a valid pattern: {error}", place, "write a pattern such as `teams/*.yaml`")
    else:
        if not paths:
            problems.add(f"no file matches `{pattern}`", place, severity="warning", rule="no-file-matches")
        return paths
    problems.incomplete = True
    return []


def _combined(first: Node, second: Node, problems: Problems) -> Node:
    """Two files as one. A value that both define is a problem."""
    members, keys = dict(first.map), dict(first.keys)
    for key, node in second.map.items():
        if key not in members:
            members[key], keys[key] = node, second.keys[key]
        elif key != "include":
            depth = _DEPTH.get(key, 1)
            members[key] = _both(members[key], node, key, second.keys[key], keys[key], depth, problems)
    return Node(first.place, members, keys)


def _both(first: Node, second: Node, path: str, here: Place, there: Place, depth: int, problems: Problems) -> Node:
    """A value that two files define: lists are joined, maps are combined down to `depth` levels."""
    if depth and isinstance(first.value, list) and isinstance(second.value, list):
        return Node(first.place, first.value + second.value)
    if not depth or not isinstance(first.value, dict) or not isinstance(second.value, dict):
        problems.add(f"`{path}` is already defined at {there}", here, "remove one of the two")
        return first
    members, keys = dict(first.value), dict(first.keys)
    for key, node in second.value.items():
        if key in members:
            inner = f"{path}.{key}"
            members[key] = _both(members[key], node, inner, second.keys[key], keys[key], depth - 1, problems)
        else:
            members[key], keys[key] = node, second.keys[key]
    return Node(first.place, members, keys)
