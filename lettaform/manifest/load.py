"""A project folder to a Manifest: read files, check forms, merge the environment, expand, resolve."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lettaform.errors import ManifestError
from lettaform.kinds import sections
from lettaform.manifest.documents import documents
from lettaform.manifest.expand import expand
from lettaform.manifest.files import Files
from lettaform.manifest.language import language
from lettaform.manifest.node import empty
from lettaform.manifest.overlay import overlay
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
    """The manifest of a project, resolved and checked. Sends no requests.

    directory       the project folder: only variable files may be outside it
    files           manifest files, relative to it. Default: `lettaform.yaml`, or all YAML files of the folder
    environment     the environment to merge over the manifest
    variables       values as texts, parsed as the declared types
    variable_files  YAML or JSON maps of values; the last one wins

    Raises ManifestError with all problems.
    """
    with _without_garbage_collection():
        return _load(directory, files, environment, variables, variable_files, environ)


def _load(
    directory: Path,
    files: Sequence[Path],
    environment: str | None,
    variables: Mapping[str, str],
    variable_files: Sequence[Path],
    environ: Mapping[str, str],
) -> Manifest:
    problems = Problems()
    reader = Files(directory, problems)
    root = documents(files, reader, problems)
    if not root.map and problems.has_errors:
        raise ManifestError(problems.errors)
    if not problems.incomplete or "stack" in root.map:  # `stack` may be in the file that cannot be read
        language().check(root, "", problems, root.place)
    root = overlay(root, environment, problems)
    stack = root.map["stack"].text if "stack" in root.map else None
    scope = Scope(reader, problems, environ, {}, stack or "", environment, frozenset(sections()))
    declared = root.map.get("variables") or empty(root.place)
    scope.variables = variables_of(declared, variables, variable_files, scope, environ)
    manifest = resolve(root, expand(root, scope), scope)
    if problems.has_errors:
        raise ManifestError(problems.errors)
    return manifest


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Pause the garbage collector: a load creates millions of objects and no garbage, and each pass visits them all."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
