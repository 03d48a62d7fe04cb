"""Paths in a manifest to the content of files: inside the project, in UTF-8 and of limited size."""

from __future__ import annotations

import hashlib
import json
import os
import re
from codecs import getincrementaldecoder
from collections.abc import Collection, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from lettaform.errors import Place
from lettaform.manifest.data import InvalidText, csv_value, json_value
from lettaform.manifest.node import UNRESOLVED
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.text import decode
from lettaform.values import Item

MEGABYTE = 1_000_000
ONE, ALL = 100 * MEGABYTE, 1000 * MEGABYTE
"""The maximum size in bytes of one file, and of all files that are read: some 2 million agents with two blocks."""

MEBIBYTE = 1_048_576
UPLOAD = 50 * MEBIBYTE
"""The maximum size in bytes of a file of a folder: 0.16.8 accepts a larger one, and then fails to read it."""

WILDCARD = re.compile(r"[*?\[]")
_BINARY = frozenset(
    {
        *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".ico", ".tif", ".tiff", ".mp3", ".mp4", ".wav", ".mov"),
        *(".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".zip", ".gz", ".tar", ".7z", ".bin", ".exe"),
    }
)
"""Suffixes that 0.16.8 cannot read, whatever the content. Other files are judged by their content."""
_RENAMED = re.compile(r'^[.\s]|[\x00-\x1f\x7f\\/:*?"<>|]|[ .]$')
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "clock$", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
)
"""Names without suffix that 0.16.8 changes, or fails on."""
_SURROGATE = re.compile("[\ud800-\udfff]")


class Files:
    """The files of one project. Each file is read once."""

    def __init__(self, directory: Path, problems: Problems, contents: Mapping[Path, bytes] = {}) -> None:
        """`contents`: resolved path of a file to what is read in place of what it holds."""
        self.directory, self.contents = Path(os.path.abspath(directory)), contents
        self.root = self.directory.resolve()
        self.problems = problems
        self._paths: dict[str, Path] = {}
        self._texts: dict[Path, str | None] = {}
        self.digests: dict[str, str] = {}
        """Path of each file that was read, relative to the project, to the digest of its content."""
        self.size = 0
        """The bytes that were read."""
        self._bounds: dict[str, Path] = {}
        """A file of a component, as shown, to the folder of the component, which its paths may not leave."""

    def shown(self, path: Path) -> str:
        """The path as shown to users: relative to the working directory if it is inside it."""
        path = Path(os.path.abspath(path))
        try:
            shown = path.relative_to(Path.cwd()).as_posix()
        except (ValueError, OSError):
            shown = path.as_posix()
        self._paths.setdefault(shown, path)
        return shown

    def folder_of(self, place: Place) -> Path:
        """The folder that contains the file of `place`."""
        return self._paths[place.file].parent if place.file in self._paths else self.directory

    def bind(self, path: Path, folder: Path) -> None:
        """Let the paths that a file names stay inside a folder, that of the component to which the file belongs."""
        self._bounds[self.shown(path)] = folder

    def bound_of(self, place: Place | None) -> Path:
        """The folder that paths written at a place may not leave: the project, or that of a component."""
        return self._bounds.get(place.file, self.directory) if place else self.directory

    def inside(self, path: Path, place: Place | None = None) -> Path | None:
        """`path` with its symlinks resolved; None if it cannot be, or is outside of what `place` may name."""
        try:
            real = path.resolve()
            root = self._bounds[place.file].resolve() if place and place.file in self._bounds else self.root
        except (OSError, RuntimeError, ValueError):
            return None
        return real if real.is_relative_to(root) else None

    # --- one file

    def exists(self, written: str, place: Place) -> bool:
        """Whether a text at `place` is the path of a file of the project."""
        path = self.folder_of(place) / written
        return self.inside(path, place) is not None and _is_file(path)

    def named(self, written: str, place: Place) -> Path | None:
        """The file that a manifest names at `place`; None, and a problem, if it does not exist or is not allowed."""
        if not written.strip() or "\0" in written or _SURROGATE.search(written):
            self.problems.add(f"{written!r} is not a path", place)
            return None
        # a file that is named in two ways is one file
        path = Path(os.path.abspath(self.folder_of(place) / written))
        if os.path.isabs(written):
            self.problems.add(f"`{written}` is an absolute path", place, "write a path relative to this file")
        elif not path.is_relative_to(self.bound_of(place)) or self.inside(path, place) is None:
            hint = "move the file into the project, or use -C with a folder that contains both"
            if place.file in self._bounds:
                hint = "move the file into the folder of the component, or pass what it contains as an input"
            whole = "component" if place.file in self._bounds else "project"
            self.problems.add(f"`{written}` is outside the {whole}", place, hint)
        elif os.path.isdir(path):
            self.problems.add(f"`{written}` is a folder", place, "name a file inside it")
        elif _is_dangling(path):
            self.problems.add(f"`{written}` links to a file that does not exist", place)
        elif not _is_file(path):
            self.problems.add(f"there is no file `{written}`", place, _similar(self, path, written))
        else:
            return path
        return None

    def text(self, path: Path, place: Place | None) -> str | None:
        """The text of a file; None, and a problem, if it cannot be read. `place`: where the manifest names it."""
        path = Path(os.path.abspath(path))
        if path not in self._texts:
            self._texts[path] = self._load(path, place)
        return self._texts[path]

    def data(self, path: Path, place: Place) -> Any:
        """The data of a JSON file; UNRESOLVED, and a problem, if it cannot be read."""
        text = self.text(path, place)
        if text is None:
            return UNRESOLVED
        try:
            return json_value(text)
        except InvalidText as error:
            line, column = (error.line or 1), (error.column or 1)
            self.problems.add(f"invalid JSON: {error}", Place(self.shown(path), line, column))
            return UNRESOLVED

    def rows(self, path: Path, place: Place) -> Any:
        """The rows of a CSV file, by their first column; UNRESOLVED, and a problem, if it cannot be read."""
        text = self.text(path, place)
        if text is None:
            return UNRESOLVED
        try:
            return csv_value(text)
        except InvalidText as error:
            self.problems.add(f"invalid CSV: {error}", Place(self.shown(path), error.line or 1, 1))
            return UNRESOLVED

    def _load(self, path: Path, place: Place | None) -> str | None:
        file = self.shown(path)
        start = Place(file, 1, 1)
        try:
            if not path.is_file():  # reading a pipe would block
                self.problems.add(f"there is no file `{file}`", place)
                return None
            with self._opened(path) as stream:
                data = stream.read(ONE + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self.problems.add(f"cannot read `{file}`: {reason}", place or start)
            return None
        self.note(self._relative(path), data)
        if len(data) > ONE:
            self.problems.add(f"`{file}` is larger than {ONE // MEGABYTE} MB", place or start)
        elif self.size > ALL:
            self.problems.add(f"the files of the project are larger than {ALL // MEGABYTE} MB", place or start)
        else:
            return decode(data, file, self.problems)
        return None

    def _opened(self, path: Path) -> BinaryIO:
        content = self.contents.get(path.resolve()) if self.contents else None
        return path.open("rb") if content is None else BytesIO(content)

    def note(self, name: str, data: bytes) -> None:
        """Keep the digest of what was read, and count its bytes."""
        self.size += len(data)
        self.digests[name] = hashlib.sha256(data).hexdigest()

    def _relative(self, path: Path) -> str:
        return Path(os.path.relpath(path, self.directory)).as_posix()

    # --- the files of a folder on the server

    def matching(self, pattern: str, place: Place, excluded: Collection[Path] = ()) -> Iterator[Item]:
        """The files that match a pattern, without those `excluded`, as Items with the digest of their content.

        The name of an Item is the path below the fixed part of the pattern, with `__` for `/`.
        """
        for name, path in self._paths_matching(pattern, place).items():
            if path not in excluded and (item := self._item(name, path, place, pattern)):
                yield item

    def excluded(self, patterns: Iterable[tuple[str, Place]]) -> frozenset[Path]:
        """The files that the patterns with a leading `!` exclude. A pattern that excludes none is a warning."""
        found: set[Path] = set()
        for pattern, place in patterns:
            paths = self._found(pattern[1:], place) if is_exclusion(pattern) else None
            if paths == []:
                message = f"`{pattern}` excludes no file"
                self.problems.add(message, place, severity="warning", rule="unused-exclusion")
            found |= {*(paths or ())}
        return frozenset(found)

    def _found(self, pattern: str, place: Place) -> list[Path] | None:
        """The files that match a pattern; None, and a problem, if it is not a valid one."""
        if os.path.isabs(pattern) or ".." in Path(pattern).parts:
            hint = "write a path relative to this file, without `..`"
            self.problems.add(f"`{pattern}` may match files outside the project", place, hint)
            return None
        try:
            return self.glob(pattern, place)
        except (OSError, ValueError, NotImplementedError) as error:
            hint = "write a pattern such as `docs/**/*.md`"
            self.problems.add(f"`{pattern}` is not a valid pattern: {error}", place, hint)
            return None

    def glob(self, pattern: str, place: Place) -> list[Path]:
        """The files that match a pattern, sorted. Raises ValueError, OSError or NotImplementedError.

        As in shells, wildcards leave out files and folders whose names begin with a dot, unless the pattern spells it.
        """
        folder, dotted = self.folder_of(place), [part for part in Path(pattern).parts if part.startswith(".")]

        def is_hidden(path: Path) -> bool:
            parts = (part for part in path.relative_to(folder).parts if part.startswith(".") and part != "..")
            return any(not any(fnmatchcase(part, each) for each in dotted) for part in parts)

        found = (path for path in folder.glob(pattern) if _is_file(path) or _is_dangling(path))
        return sorted(path for path in found if not is_hidden(path))

    def _paths_matching(self, pattern: str, place: Place) -> Mapping[str, Path]:
        fixed = pattern
        while WILDCARD.search(fixed):
            fixed = os.path.dirname(fixed)
        if fixed == pattern:
            path = self.named(pattern, place)
            return {path.name: path} if path else {}
        paths = self._found(pattern, place)
        if paths == []:
            hint = "`*` leaves out names that begin with a dot: write `.*` for those"
            hidden = any(map(_is_file, self.folder_of(place).glob(pattern)))
            self.problems.add(f"no file matches `{pattern}`", place, hint if hidden else None)
        folder = self.folder_of(place) / fixed
        return {path.relative_to(folder).as_posix().replace("/", "__"): path for path in paths or ()}

    def _item(self, name: str, path: Path, place: Place, pattern: str) -> Item | None:
        """A file of a folder; None, and a problem, if the server would reject or change it."""
        file = self.shown(path)
        try:
            message, hint = self._unusable(name, path, file, place)
            if message and WILDCARD.search(pattern):
                hint = f"{hint + ', or ' if hint else ''}exclude it with {_exclusion(path, self.folder_of(place))}"
            if not message:
                with self._opened(path) as stream:
                    found = _sha256(stream, text=path.suffix.lower() != ".pdf")
                if found:
                    size, digest = found
                    self.digests[self._relative(path)] = digest
                    return Item(f"{name} {size} {digest}", name, {"path": str(path)})
                message = f"`{file}` is not UTF-8 text: the server accepts text, code and PDF"
                hint = f"exclude it with {_exclusion(path, self.folder_of(place))}, or save it as UTF-8"
        except OSError as error:
            message, hint = f"cannot read `{file}`: {error.strerror}", None
        self.problems.add(message, place, hint)
        return None

    def _unusable(self, name: str, path: Path, file: str, place: Place) -> tuple[str, str | None]:
        """Why the server would not keep the file, apart from its content; an empty message if it would."""
        base = os.path.splitext(name)[0]
        if self.inside(path, place) is None:
            whole = "component" if place.file in self._bounds else "project"
            return f"`{file}` is outside the {whole}", f"move it into the {whole}"
        if _is_dangling(path):
            return f"`{file}` links to a file that does not exist", "remove the link"
        if path.suffix.lower() in _BINARY:
            return f"`{file}`: the server accepts text, code and PDF", "save it as one of these"
        if _RENAMED.search(base) or base.split(".")[0].lower() in _RESERVED or len(name.encode()) > 255:
            return f"`{file}`: the server would change the name `{name}`", "rename the file"
        if path.stat().st_size > UPLOAD:
            return f"`{file}` is larger than {UPLOAD // MEBIBYTE} MB, the maximum of the server", None
        return "", None


def _similar(files: Files, path: Path, written: str) -> str | None:
    """A hint that names the nearest file of the same folder."""
    folder = files.inside(path.parent)
    try:
        names = sorted(os.listdir(folder)) if folder else []
    except OSError:
        return f"there is no folder `{Path(written).parent}`"
    base = written[: -len(path.name)] if written.endswith(path.name) else ""
    return suggest(path.name, names, lambda name: f"{base}{name}")


def _exclusion(path: Path, folder: Path) -> str:
    """The pattern that excludes a file, as it is written in a list. `folder`: that of the manifest file."""
    written = re.sub(r"([*?[])", r"[\1]", path.relative_to(folder).as_posix())
    return f"`{json.dumps('!' + written, ensure_ascii=False)}`"


def is_exclusion(pattern: str) -> bool:
    """Whether a pattern excludes the files that it matches."""
    return pattern.startswith("!")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _is_dangling(path: Path) -> bool:
    """Whether a path is a symlink to nothing."""
    return os.path.islink(path) and not os.path.exists(path)


def _sha256(stream: BinaryIO, *, text: bool) -> tuple[int, str] | None:
    """The size and the sha256 of a file; None if `text` and it is not UTF-8: 0.16.8 drops what it cannot decode."""
    size, sha, decoder = 0, hashlib.sha256(), getincrementaldecoder("utf-8")()
    while part := stream.read(MEBIBYTE):
        size += len(part)
        sha.update(part)
        try:
            if text and ("\0" in decoder.decode(part)):
                return None
        except UnicodeDecodeError:
            return None
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return None
    return size, sha.hexdigest()
