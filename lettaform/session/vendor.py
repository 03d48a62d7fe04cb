"""The components of git repositories that a manifest uses, to the files in `vendor/` and the lock file."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from lettaform.errors import ManifestError, PlanError
from lettaform.manifest.components import Library, Locate
from lettaform.manifest.documents import documents
from lettaform.manifest.files import Files
from lettaform.manifest.node import Node, empty
from lettaform.manifest.overlay import overlay
from lettaform.manifest.problems import Problems
from lettaform.manifest.vendored import (
    FOLDER,
    LOCK,
    Locked,
    Source,
    Unusable,
    Vendored,
    differing,
    digests,
    lock_text,
    read_lock,
)
from lettaform.model import VendoredComponent, Vendoring, VendorOutcome
from lettaform.session.git import fetch


def vendor(directory: Path, named: Sequence[Path] = (), *, check: bool = False) -> Vendoring:
    """Fetch the components that are missing or differ, and remove those that nothing uses.

    named  manifest files, as for `load`
    check  neither fetch nor write: find out what differs

    ManifestError if the files have problems, or a component cannot be fetched. PlanError if a file cannot be written.
    """
    work = _Check(directory) if check else _Fetch(directory)
    _find_uses(directory, named, work.folder, strict=not check)
    try:
        work.finish()
    except OSError as error:
        raise PlanError(f"cannot write {error.filename}: {error.strerror}") from error
    return Vendoring(tuple(sorted(work.found, key=lambda each: each.source)), check)


def _find_uses(directory: Path, named: Sequence[Path], locate: Locate, *, strict: bool) -> None:
    """Read the components of the manifest, with each of its environments. Raises ManifestError."""
    problems = Problems()
    files = Files(directory, problems)
    whole = documents(named, files, problems)
    library = Library(files, problems, locate)
    environments = (whole.map.get("environments") or empty(whole.place)).map
    for name in (None, *environments):
        root: Node = overlay(whole, name, problems)
        library.uses(root)
    if strict and problems.has_errors:
        raise ManifestError(problems.errors)


class _Fetch:
    """Fetches what is not there. `found`: the components so far."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.found = Path(os.path.abspath(directory)), list[VendoredComponent]()
        try:
            self.locked = read_lock(self.directory)
        except Unusable:
            self.locked = {}
        self.used: dict[str, Locked] = {}

    def folder(self, text: str) -> Path:
        """The folder of a source, fetched if it is missing or differs. Raises Unusable."""
        source = Source.read(text)
        folder = self.directory / FOLDER / source.name
        if source.spelled not in self.used:
            self.used[source.spelled] = self._vendored(source, folder)
        return folder

    def _vendored(self, source: Source, folder: Path) -> Locked:
        locked = self.locked.get(source.spelled)
        if locked is not None and _is_as_locked(folder, locked):
            self.found.append(VendoredComponent(source.spelled, f"{FOLDER}/{source.name}", "unchanged"))
            return locked
        fetched = Locked(source, self._fetched(source, folder, locked))
        self.found.append(VendoredComponent(source.spelled, f"{FOLDER}/{source.name}", "fetched"))
        return fetched

    def _fetched(self, source: Source, folder: Path, locked: Locked | None) -> dict[str, str]:
        """Fetch a source, and put it in the place of what is in the folder. Returns the digests of its files."""
        if folder.parent.is_symlink():
            raise Unusable(f"`{FOLDER}` is a link", f"make it a folder: `lettaform vendor` writes only to `{FOLDER}`")
        try:
            folder.parent.mkdir(exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as temporary:
                new = Path(temporary, source.name)
                new.mkdir()
                fetch(source, new)
                found = digests(new)
                if locked is not None and found != dict(locked.files):
                    hint = f"if that is what you want, remove its entry from `{LOCK}`"
                    raise Unusable(f"`{LOCK}` has other digests for `{source.spelled}` than the repository", hint)
                _remove(folder)
                new.replace(folder)
        except OSError as error:
            raise Unusable(f"cannot write `{FOLDER}/{source.name}`: {error.strerror}", "make it writable") from error
        return found

    def finish(self) -> None:
        """Remove what nothing uses any more, and write the lock file. Raises OSError."""
        for spelled in self.locked.keys() - self.used.keys():
            name = f"{FOLDER}/{self.locked[spelled].source.name}"
            _remove(self.directory / name)
            self.found.append(VendoredComponent(spelled, name, "removed"))
        path, text = self.directory / LOCK, lock_text(self.used)
        before = path.read_text("utf-8") if path.exists() else lock_text({})
        if text != before:
            temporary = path.with_name(f".{LOCK}.{os.getpid()}")
            temporary.write_text(text, "utf-8")
            temporary.replace(path)


class _Check:
    """Finds out what differs. `found`: the components so far."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.found = Path(os.path.abspath(directory)), list[VendoredComponent]()
        self.vendored, self.used = Vendored(self.directory), set[str]()

    def folder(self, text: str) -> Path:
        """The folder of a source. Raises Unusable if it is not as the lock file says."""
        source = Source.read(text)
        outcome: VendorOutcome = "unchanged"
        reason = ""
        try:
            return self.vendored.folder(text)
        except Unusable as error:
            outcome, reason = "differs", error.message
            raise
        finally:
            if source.spelled not in self.used:
                self.used.add(source.spelled)
                name = f"{FOLDER}/{source.name}"
                self.found.append(VendoredComponent(source.spelled, name, outcome, reason))

    def finish(self) -> None:
        """Add what nothing uses any more."""
        try:
            locked = read_lock(self.directory)
        except Unusable:
            return
        for spelled in locked.keys() - self.used:
            reason = "nothing uses it"
            self.found.append(VendoredComponent(spelled, f"{FOLDER}/{locked[spelled].source.name}", "differs", reason))


def _is_as_locked(folder: Path, locked: Locked) -> bool:
    try:
        return folder.is_dir() and not folder.is_symlink() and not differing(folder, locked.files)
    except (OSError, Unusable):
        return False


def _remove(folder: Path) -> None:
    """Remove what lettaform vendored, or a link in its place."""
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
    elif folder.exists():
        shutil.rmtree(folder)
