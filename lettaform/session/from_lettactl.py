"""Manifests of lettactl to the files of a manifest that declares the same. Reads no server."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lettaform.lettactl.fleet import Options, read
from lettaform.manifest.amend import Amending
from lettaform.manifest.keys import stack_name
from lettaform.model import Imported
from lettaform.session.import_all import check_folder, report, write
from lettaform.session.recorded import faults_on_bare_server


async def from_lettactl(
    paths: Sequence[Path], folder: Path, options: Options, *, stack: str | None = None, fold: bool = True
) -> Imported:
    """Write the manifest to a folder: all of it, or nothing. ManifestError with every problem of the files."""
    check_folder(folder)
    fleet = read(paths, options)
    amending = Amending(fleet.declared, {})
    name = stack or stack_name(paths[0].stem, "agents")
    written = await write(name, amending, folder, faults_on_bare_server, fold=fold)
    return report(name, folder, amending, written, fleet.left, fleet.place_of)


__all__ = ["Options", "from_lettactl"]
