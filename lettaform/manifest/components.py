"""The section `components` to the files of each component, read once, with the components that it uses itself."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from lettaform.address import COMPONENTS, Component
from lettaform.errors import Place
from lettaform.manifest import language
from lettaform.manifest.documents import component as documents
from lettaform.manifest.documents import component_sources
from lettaform.manifest.files import Files
from lettaform.manifest.node import UNSET, Node, empty, size_of
from lettaform.manifest.overlay import with_own_objects_as_maps
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.vendored import GIT, Unusable, Vendored

NESTED = 20
"""How many components may be used inside of one another."""


@dataclass(frozen=True)
class Definition:
    """A component as it is written.

    root  its files, with every own object as a map
    uses  the components that it uses, by key; those that cannot be read are left out
    """

    path: Path
    root: Node
    uses: Mapping[str, Definition] = field(default_factory=dict)

    @cached_property
    def size(self) -> int:
        """The number of values in its files."""
        return size_of(self.root)

    @property
    def variables(self) -> Node:
        """Its inputs."""
        return self.root.map.get("variables") or empty(self.root.place)


def files_of_components(roots: Iterable[Node], files: Files, problems: Problems) -> Iterator[Path]:
    """The files of the components that these files use, and that components use, without those of git repositories."""
    waiting, known = deque(roots), set[Path]()
    while waiting:
        section = waiting.popleft().map.get(COMPONENTS)
        for use in (node.map["use"] for node in (section.map if section else {}).values() if "use" in node.map):
            text = use.text or ""
            path = Path(os.path.abspath(files.folder_of(use.place) / text))
            if "\0" in text or "${" in text or "::" in text or not text or not path.exists():
                continue
            real = files.inside(path)
            if real is not None and real not in known:
                known.add(real)
                for each, node in component_sources(path, use.place, files, problems):
                    yield each
                    waiting += [node] if node is not None else []


Locate = Callable[[str], Path]
"""The `use` of a component of a git repository to its folder. Raises Unusable."""


class Library:
    """Reads the files of components. Each is read and checked once, however many uses it has."""

    def __init__(self, files: Files, problems: Problems, locate: Locate | None = None) -> None:
        """`locate`: Default: the vendored files of the project."""
        self.files, self.problems = files, problems
        self.locate = locate or Vendored(files.directory).folder
        self.known: dict[Path, Definition] = {}
        self.vendored: list[Path] = []
        """The folders of components of git repositories, which do not use what is outside of them."""

    def uses(self, root: Node) -> Mapping[str, Definition]:
        """The components that a manifest uses, by key. What cannot be read is reported, and left out."""
        return self._uses(root, None, ())

    @property
    def definitions(self) -> list[Definition]:
        """All components that were read."""
        return list(self.known.values())

    def _uses(
        self, root: Node, outer: Component | None, chain: tuple[tuple[Path, Place], ...]
    ) -> dict[str, Definition]:
        section = root.map.get(COMPONENTS) or empty(root.place)
        found: dict[str, Definition] = {}
        for key, node in section.map.items():
            at = Component.of(outer, key)
            if not key or node.tag == UNSET or not isinstance(node.value, dict | None):
                continue
            use = node.map.get("use")
            if use is None or use.tag == UNSET:
                self.problems.add(f"`use` is required in {at}", section.at(key), "add `use: ./components/NAME`")
                continue
            if use.text is None:
                continue  # the form has reported it
            try:
                definition = self._definition(self._path(use), use.place, at, chain)
            except Unusable as error:
                self.problems.add(error.message, use.place, error.hint)
            else:
                found |= {key: definition} if definition is not None else {}
        return found

    def _path(self, use: Node) -> Path:
        """The file or folder that a `use` names. Raises Unusable."""
        text, place = use.text or "", use.place
        if not text.strip() or "\0" in text:
            raise Unusable("a component needs a path", "write `use: ./components/NAME`")
        if "${" in text:
            raise Unusable("`use` cannot contain an expression", "write one entry for each component")
        if text.startswith(GIT):
            self.vendored.append(self.locate(text))
            return self.vendored[-1]
        if "://" in text or text.startswith("git@"):
            form = f"{GIT}https://HOST/REPOSITORY.git//FOLDER?ref=COMMIT"
            raise Unusable(f"`{text}` is not a path of this project", f"name a git repository as {form}")
        path = Path(os.path.abspath(self.files.folder_of(place) / text))
        if os.path.isabs(text):
            raise Unusable(f"`{text}` is an absolute path", "write a path relative to this file")
        around = next((each for each in self.vendored if self.files.bound_of(place).is_relative_to(each)), None)
        if not path.is_relative_to(around or self.files.directory) or self.files.inside(path) is None:
            whole = "component of the git repository" if around else "project"
            raise Unusable(f"`{text}` is outside the {whole}", "move the component into it")
        if not path.exists():
            raise Unusable(f"there is no component `{text}`", self._similar(path, text))
        if path.is_file() and path.suffix not in (".yaml", ".yml"):
            raise Unusable(f"`{text}` is no YAML file", "name the folder of the component, or a YAML file")
        return path

    def _similar(self, path: Path, written: str) -> str:
        """A hint that names the nearest file or folder beside a path."""
        try:
            names = [each.name for each in path.parent.iterdir() if not each.name.startswith(".")]
        except OSError:
            return "name a folder that holds the files of the component"
        base = written.rstrip("/").removesuffix(path.name)
        near = suggest(path.name, sorted(names), lambda name: f"{base}{name}")
        return near or "name a folder that holds the files of the component"

    def _definition(
        self, path: Path, place: Place, at: Component, chain: tuple[tuple[Path, Place], ...]
    ) -> Definition | None:
        """The component in a file or folder. `chain`: the components around it, and the uses of each."""
        real = path.resolve()
        if real in self.known:
            return self.known[real]
        inside = [each for each, _ in chain]
        if real in inside:
            uses = [str(each) for _, each in chain[inside.index(real) + 1 :]] + [str(place)]
            message = f"the component `{self.files.shown(path)}` uses itself: {' → '.join(uses)}"
            self.problems.add(message, place, "remove one of these uses")
            return None
        if len(chain) >= NESTED:
            self.problems.add(f"components are nested more than {NESTED} levels deep", place)
            return None
        root = documents(path, place, self.files, self.problems)
        if root is None:
            self.problems.incomplete = True
            return None
        language.component().check(root, str(at), self.problems, root.place)
        root = with_own_objects_as_maps(root)
        found = Definition(path, root, self._uses(root, at, (*chain, (real, place))))
        self.known[real] = found
        return found
