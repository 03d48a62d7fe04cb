"""A project folder to a Manifest: read files, check forms, merge the environment, expand, resolve."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lettaform.address import COMPONENTS
from lettaform.errors import ManifestError, Place
from lettaform.kinds import kinds, sections
from lettaform.kinds.traits import Companions
from lettaform.manifest.components import Definition, Library
from lettaform.manifest.documents import documents
from lettaform.manifest.expand import expand
from lettaform.manifest.files import Files
from lettaform.manifest.garbage import without_garbage_collection
from lettaform.manifest.language import language
from lettaform.manifest.lint import lint
from lettaform.manifest.node import UNRESOLVED, UNSET, Node, empty
from lettaform.manifest.overlay import overlay
from lettaform.manifest.problems import Problems
from lettaform.manifest.resolve import resolve
from lettaform.manifest.rules import FORM, VALUE, VARIABLE
from lettaform.manifest.scope import Needs, Scope
from lettaform.manifest.variables import variables as variables_of
from lettaform.manifest.waivers import Waivers
from lettaform.model import Inputs, Manifest, Server
from lettaform.values import Secret


def load(
    directory: Path,
    files: Sequence[Path] = (),
    *,
    environment: str | None = None,
    variables: Mapping[str, str] = {},
    variable_files: Sequence[Path] = (),
    environ: Mapping[str, str] = os.environ,
    needs: Needs = "everything",
    connects: bool = True,
    contents: Mapping[Path, bytes] = {},
    document: Mapping[str, Any] | None = None,
    stack: str | None = None,
    lints: bool = False,
) -> Manifest:
    """The manifest of a project, resolved and checked. Sends no requests.

    directory       the project folder: only variable files may be outside it
    files           manifest files, relative to it. Default: `lettaform.yaml`, or all YAML files of the folder
    environment     the environment to merge over the manifest
    variables       values as texts, parsed as the declared types
    variable_files  YAML or JSON maps of values; the last one wins
    needs           which variables must have a value; what depends on others is left out
    connects        whether requests go to the server that the manifest names, so that its variables must have values
    contents        resolved path of a file to what is read in place of what it holds
    document        a manifest in memory, in place of files; `files` is then empty
    stack           the name of the stack, in place of the one in the manifest
    lints           whether to look for what is valid and probably a mistake, too

    Raises ManifestError with all problems.
    """
    return begin(
        directory,
        files,
        environment=environment,
        variables=variables,
        variable_files=variable_files,
        environ=environ,
        needs=needs,
        connects=connects,
        contents=contents,
        document=document,
        stack=stack,
        lints=lints,
    ).finish()


@dataclass(frozen=True)
class Outline:
    """What is known of a manifest before it is expanded and resolved.

    server  the server that the manifest names
    fields  kind to the fields that its objects may declare: those of the manifest, and possibly more
    """

    stack: str
    server: Server
    fields: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Draft:
    """A manifest whose files have been read.

    outline     None if it is not known: there are problems, or an expression says something about the server
    finish      expands, resolves and checks the manifest. Raises ManifestError with all problems. May run in a thread.
    from_files  whether it is read from the files of the project, and not from a saved plan
    """

    outline: Outline | None
    finish: Callable[[], Manifest]
    from_files: bool = True


def begin(
    directory: Path,
    files: Sequence[Path] = (),
    *,
    environment: str | None = None,
    variables: Mapping[str, str] = {},
    variable_files: Sequence[Path] = (),
    environ: Mapping[str, str] = os.environ,
    needs: Needs = "everything",
    connects: bool = True,
    contents: Mapping[Path, bytes] = {},
    document: Mapping[str, Any] | None = None,
    stack: str | None = None,
    lints: bool = False,
    planned: Mapping[str, Any] = {},
) -> Draft:
    """The files of a project, read and merged with the environment. Parameters and errors are those of `load`.

    planned  the values that a saved plan has, of variables whose values nothing else gives
    """
    with without_garbage_collection():
        problems = Problems()
        reader = Files(directory, problems, contents)
        root = _named(documents(files, reader, problems, document), stack)
        if not root.map and problems.has_errors:
            raise ManifestError(problems.errors)
        problems.rule = FORM
        if not problems.incomplete or "stack" in root.map:  # `stack` may be in the file that cannot be read
            language().check(root, "", problems, root.place)
        problems.waivers = Waivers.read(root)
        whole, root = root, _named(overlay(root, environment, problems), stack)
        uses = (library := Library(reader, problems)).uses(root)
    name = root.map["stack"].text if "stack" in root.map else None
    scope = Scope(
        reader,
        problems,
        environ,
        planned=planned,
        needs=needs,
        stack=name or "",
        environment=environment,
        sections=frozenset((*sections(), COMPONENTS)),
    )
    outline = None if problems.has_errors or not name else _outline(root, name, library)
    nodes = _Nodes(root, whole, library, uses)
    return Draft(outline, _Merged(nodes, scope, variables, variable_files, connects, lints).finish)


@dataclass(frozen=True)
class _Nodes:
    """What the files of a manifest say: with and without the environment, and its components."""

    root: Node
    whole: Node
    library: Library
    uses: Mapping[str, Definition]


@dataclass
class _Merged:
    """A manifest whose files have been read and merged.

    nodes  None once they are resolved: a manifest needs much less memory
    """

    nodes: _Nodes | None
    scope: Scope
    variables: Mapping[str, str]
    variable_files: Sequence[Path]
    connects: bool
    lints: bool
    manifest: Manifest | None = None

    def finish(self) -> Manifest:
        """See Draft."""
        if self.nodes is not None:
            nodes, self.nodes = self.nodes, None
            with without_garbage_collection():
                self.manifest = self.resolved(nodes)
        if self.manifest is None or self.scope.problems.has_errors:
            raise ManifestError(self.scope.problems.errors)
        return self.manifest

    def resolved(self, nodes: _Nodes) -> Manifest:
        """The manifest. It must not be used if there are problems."""
        scope, problems, root = self.scope, self.scope.problems, nodes.root
        declared = root.map.get("variables") or empty(root.place)
        problems.rule = VARIABLE
        scope.variables = variables_of(declared, self.variables, self.variable_files, scope, scope.environ)
        problems.rule = VALUE
        manifest = resolve(root, expand(root, scope, nodes.uses), scope, connects=self.connects)
        scope.shared.refer = None  # a cycle: while garbage collection pauses, all nodes would stay
        manifest = replace(manifest, inputs=_inputs(scope, declared))
        if self.lints and not problems.has_errors:
            problems.extend(lint(manifest, root, nodes.whole, scope.files.shown, nodes.library.definitions))
            problems.add_unused_waivers()
        return replace(manifest, warnings=problems.warnings)


def _named(root: Node, stack: str | None) -> Node:
    """The manifest with another name of its stack, if there is one."""
    if stack is None:
        return root
    place = Place("stack", 0, 0)
    return Node(root.place, {**root.map, "stack": Node(place, stack)}, {**root.keys, "stack": place})


def _inputs(scope: Scope, declared: Node) -> Inputs:
    """What the manifest was read from. A variable without a value is left out."""
    values = {f"var.{name}": value for name, value in scope.variables.items() if value is not UNRESOLVED}
    named = ((name, node.map["env"].text) for name, node in declared.map.items() if "env" in node.map)
    values |= {f"env.{name}": Secret(f"${{env.{name}}}", value) for name, value in scope.shared.env_read.items()}
    return Inputs(dict(scope.files.digests), values, {name: text for name, text in named if text})


def _outline(root: Node, stack: str, library: Library) -> Outline | None:
    """What is known of a manifest, and of its components."""
    server = (root.map.get("server") or empty(root.place)).map
    if any(node.deferred for node in server.values()) or "api_key" in server:
        return None
    texts = {key: node.text for key, node in server.items()}
    fields: dict[str, set[str]] = {}
    roots = (root, *(each.root for each in library.definitions))
    for each in (*roots, *_laid_over(roots)):
        _add_fields(each, fields)
    return Outline(
        stack,
        Server(texts.get("url"), None, texts.get("project")),
        {kind: frozenset(names) for kind, names in fields.items()},
    )


def _laid_over(roots: Sequence[Node]) -> Iterator[Node]:
    """What uses of components lay over them, as sections."""
    for root in roots:
        for use in (root.map.get(COMPONENTS) or empty(root.place)).map.values():
            overlay = use.map.get("overlay") or empty(use.place)
            yield overlay
            defaults = use.map.get("defaults") or empty(use.place)
            yield Node(use.place, {section: Node(use.place, {"": body}) for section, body in defaults.map.items()})


def _add_fields(root: Node, fields: dict[str, set[str]]) -> None:
    """Add the fields that some sections declare, by kind."""
    defaults = root.map.get("defaults") or empty(root.place)
    for section, kind in sections().items():
        objects = [node for node in (root.map.get(section) or empty(root.place)).map.values() if node.tag != UNSET]
        for body in (*objects, *([lower] if objects and (lower := defaults.map.get(section)) else ())):
            fields.setdefault(kind, set()).update(body.map)
            for other, names in _companions(kind, body):
                fields.setdefault(other, set()).update(names)


def _companions(kind: str, body: Node) -> Iterator[tuple[str, Collection[str]]]:
    """The kinds of what the server may create along with an object, and their fields."""
    for line, companions in kinds()[kind].relations(Companions):
        node = body.map.get(line.name)
        if node is not None and node.value not in (None, False):
            yield from ((other, node.map.keys()) for other in companions.kinds)
