"""The files of a project to the names in them, for completion: also if they have problems."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lettaform.address import COMPONENTS, Address
from lettaform.kinds import MATCHES, sections
from lettaform.manifest.components import Library
from lettaform.manifest.documents import documents
from lettaform.manifest.expand import expand
from lettaform.manifest.files import Files
from lettaform.manifest.garbage import without_garbage_collection
from lettaform.manifest.node import empty
from lettaform.manifest.overlay import overlay
from lettaform.manifest.problems import Problems
from lettaform.manifest.scope import Scope
from lettaform.manifest.variables import variables as values_of


@dataclass(frozen=True)
class Names:
    """The names in a manifest.

    addresses     of objects, of their parts, and of declarations with `for_each`, which stand for all instances; of
                  components, which stand for all their objects
    environments  those that `-e` can select
    checks        of the section `checks`
    files         the files that were read
    """

    stack: str
    addresses: tuple[str, ...]
    environments: tuple[str, ...]
    checks: tuple[str, ...]
    files: tuple[Path, ...]


def names(
    directory: Path,
    files: Sequence[Path] = (),
    *,
    environment: str | None = None,
    variables: Mapping[str, str] = {},
    variable_files: Sequence[Path] = (),
    environ: Mapping[str, str] = os.environ,
) -> Names:
    """The names in a manifest, as far as it can be read. The parameters are those of `load`."""
    with without_garbage_collection():
        problems = Problems()
        reader = Files(directory, problems)
        whole = documents(files, reader, problems)
        root = overlay(whole, environment, problems)
        stack = root.map["stack"].text if "stack" in root.map else None
        scope = Scope(
            reader,
            problems,
            environ,
            needs="nothing",
            stack=stack or "",
            environment=environment,
            sections=frozenset((*sections(), COMPONENTS)),
        )
        declared = root.map.get("variables") or empty(root.place)
        scope.variables = values_of(declared, variables, variable_files, scope, environ)
        expanded = expand(root, scope, Library(reader, problems).uses(root))
        addresses = {*map(str, expanded.instances), *map(str, expanded.repeated), *map(str, expanded.uses)}
        addresses |= {str(Address.of(MATCHES, key)) for key in (root.map.get(MATCHES) or empty(root.place)).map if key}
    environments = (whole.map.get("environments") or empty(root.place)).map
    checks = (root.map.get("checks") or empty(root.place)).map
    read = (Path(os.path.abspath(directory / name)) for name in reader.digests)
    return Names(stack or "", tuple(sorted(addresses)), tuple(environments), tuple(checks), tuple(read))
