"""A folder to a Manifest, in a straight line: read, check the shape, overlay, fill in, expand, resolve."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from lettaform.errors import ManifestError
from lettaform.kinds import sections
from lettaform.manifest.documents import documents
from lettaform.manifest.expand import expand, overlay
from lettaform.manifest.files import Files
from lettaform.manifest.language import language
from lettaform.manifest.node import empty
from lettaform.manifest.problems import Problems
from lettaform.manifest.resolve import resolve
from lettaform.manifest.scope import Scope
from lettaform.manifest.variables import variables as variables_of
from lettaform.model import Manifest


def load(
    directory: Path,
    files: Sequence[Path] = (),
    *,
    environment: str | None = None,
    variables: Mapping[str, str] = {},
    variable_files: Sequence[Path] = (),
    environ: Mapping[str, str] = os.environ,
) -> Manifest:
    """The manifest of a project, resolved and checked. No network.

    directory       the project: nothing outside it is read, except variable files
    files           what to read, relative to it; else `lettaform.yaml`, else every YAML file of the folder, as one
    environment     the overlay to apply
    variables       values as texts, read by their declared types
    variable_files  YAML or JSON maps of values; the last one wins

    ManifestError carries every problem that was found.
    """
    problems = Problems()
    reader = Files(directory, problems)
    root = documents(files, reader, problems)
    if not root.map and problems.errors:
        raise ManifestError(problems.errors)
    if not problems.unread or "stack" in root.map:
        language().check(root, "", problems, root.place)
    root = overlay(root, environment, problems)
    stack = root.map["stack"].text if "stack" in root.map else None
    scope = Scope(reader, problems, environ, {}, stack or "", environment, frozenset(sections()))
    declared = root.map.get("variables") or empty(root.place)
    scope.variables = variables_of(declared, variables, variable_files, scope, environ)
    manifest = resolve(root, expand(root, scope), scope)
    if problems.errors:
        raise ManifestError(problems.errors)
    return manifest
