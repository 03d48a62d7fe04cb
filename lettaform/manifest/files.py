"""Paths to text: what is read lies inside the project, is plain UTF-8 and not too large."""

from __future__ import annotations

import hashlib
import json
import os
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lettaform.errors import Place
from lettaform.manifest.node import HOLE
from lettaform.manifest.problems import Problems, suggest
from lettaform.manifest.text import DEPTH, decode
from lettaform.values import Item

MEGABYTE = 1_000_000
ONE, ALL = 10 * MEGABYTE, 64 * MEGABYTE
"""How large one file, and all that are read, may be."""

MEBIBYTE = 1_048_576
UPLOAD = 50 * MEBIBYTE
"""How large a file of a folder may be: 0.16.8 takes a larger one, and then fails to read it."""

_WILD = re.compile(r"[*?\[]")
_BINARY = frozenset(
    {
        *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".ico", ".tif", ".tiff", ".mp3", ".mp4", ".wav", ".mov"),
        *(".doc", ".docx", ".xls", ".xlsx", ".ppt", ".pptx", ".odt", ".zip", ".gz", ".tar", ".7z", ".bin", ".exe"),
    }
)
"""Endings of what 0.16.8 cannot read, whatever is in it. Of other files their content tells."""
_RENAMED = re.compile(r'^[.\s]|[\x00-\x1f\x7f\\/:*?"<>|]|[ .]$')
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul", "clock$", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")}
)
"""Names, without endings, that 0.16.8 does not keep as they are: it calls such a file otherwise, or fails."""
_LONE = re.compile("[\ud800-\udfff]")


class Files:
    """The files of one project. Each is read once."""

    def __init__(self, directory: Path, problems: Problems) -> None:
        self.directory = Path(os.path.abspath(directory))
        self.root = self.directory.resolve()
        self.problems = problems
        self._paths: dict[str, Path] = {}
        self._texts: dict[Path, str | None] = {}
        self._read = 0

    def shown(self, path: Path) -> str:
        """The path as people are told it: relative to where they stand, if it lies below."""
        path = Path(os.path.abspath(path))
        try:
            spelled = path.relative_to(Path.cwd()).as_posix()
        except (ValueError, OSError):
            spelled = path.as_posix()
        self._paths.setdefault(spelled, path)
        return spelled

    def beside(self, place: Place) -> Path:
        """The folder of the file that `place` lies in."""
        return self._paths[place.file].parent if place.file in self._paths else self.directory

    def inside(self, path: Path) -> Path | None:
        """`path` with its symlinks resolved, or None if that lies outside the project or nowhere."""
        try:
            real = path.resolve()
        except (OSError, RuntimeError, ValueError):
            return None
        return real if real.is_relative_to(self.root) else None

    def named(self, spelled: str, place: Place) -> Path | None:
        """The file that a manifest names at `place`; None, and a problem, unless it may be read."""
        if not spelled.strip() or "\0" in spelled or _LONE.search(spelled):
            self.problems.add(f"{spelled!r} is not a path", place)
            return None
        path = self.beside(place) / spelled
        if os.path.isabs(spelled):
            self.problems.add(f"`{spelled}` is an absolute path", place, "write it relative to this file")
        elif not Path(os.path.abspath(path)).is_relative_to(self.directory) or self.inside(path) is None:
            hint = "move it into the project, or run with -C on the folder that holds both"
            self.problems.add(f"`{spelled}` lies outside the project", place, hint)
        elif os.path.isdir(path):
            self.problems.add(f"`{spelled}` is a folder", place, "name a file in it")
        elif not self._there(path):
            self.problems.add(f"there is no file `{spelled}`", place, self._similar(path, spelled))
        else:
            return path
        return None

    def matching(self, pattern: str, place: Place) -> Iterator[Item]:
        """The files that a pattern names, by content: called after what follows its fixed part, `a/b` as `a__b`."""
        fixed = pattern
        while _WILD.search(fixed):
            fixed = os.path.dirname(fixed)
        if fixed == pattern:
            path = self.named(pattern, place)
            paths = {path.name: path} if path else {}
        elif os.path.isabs(pattern) or ".." in Path(pattern).parts:
            self.problems.add(f"`{pattern}` may lie outside the project", place, "write it relative to this file")
            return
        else:
            folder = self.beside(place) / fixed
            tail = pattern[len(fixed) :].lstrip("/")
            there = sorted(each for each in folder.glob(tail) if self._there(each))
            paths = {each.relative_to(folder).as_posix().replace("/", "__"): each for each in there}
            if not paths:
                self.problems.add(f"no file fits `{pattern}`", place)
        for name, path in paths.items():
            if item := self._content(name, path, place):
                yield item

    def _content(self, name: str, path: Path, place: Place) -> Item | None:
        """A file of a folder; None, and a problem, if the server would not take it as it is."""
        file = self.shown(path)
        base = os.path.splitext(name)[0]
        try:
            if self.inside(path) is None:
                self.problems.add(f"`{file}` lies outside the project", place, "move it into the project")
            elif path.suffix.lower() in _BINARY:
                hint = f"leave out `*{path.suffix}`"
                self.problems.add(f"`{file}`: the server takes text, code and PDF", place, hint)
            elif _RENAMED.search(base) or base.split(".")[0].lower() in _RESERVED or len(name.encode()) > 255:
                self.problems.add(f"`{file}`: the server would not keep the name `{name}`", place, "rename it")
            elif (size := path.stat().st_size) > UPLOAD:
                message = f"`{file}` is larger than {UPLOAD // MEBIBYTE} MB, and the server takes no more"
                self.problems.add(message, place)
            elif sha := _sha(path, text=path.suffix.lower() != ".pdf"):
                return Item(f"{name} {size} {sha}", name, {"path": str(path)})
            else:
                told = f"`{file}` is no text in UTF-8: the server takes text, code and PDF"
                self.problems.add(told, place, "leave it out, or save it as UTF-8")
        except OSError as error:
            self.problems.add(f"`{file}` cannot be read: {error.strerror}", place)
        return None

    def text(self, path: Path, place: Place | None) -> str | None:
        """The text of a file; None, and a problem, if it cannot be had. `place`: who asked, None if a person did."""
        path = Path(os.path.abspath(path))
        if path not in self._texts:
            self._texts[path] = self._load(path, place)
        return self._texts[path]

    def data(self, path: Path, place: Place) -> Any:
        """The data of a JSON file; HOLE, and a problem, if there is none."""
        text = self.text(path, place)
        if text is None:
            return HOLE
        try:
            data = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_twins)
        except json.JSONDecodeError as error:
            where = Place(self.shown(path), error.lineno, error.colno)
            self.problems.add(f"not JSON: {error.msg}", where)
        except (ValueError, RecursionError) as error:
            words = "too deep" if isinstance(error, RecursionError) else str(error)
            self.problems.add(f"not JSON that lettaform takes: {words}", Place(self.shown(path), 1, 1))
        else:
            flaw = _flaw(data, DEPTH)
            if flaw is None:
                return data
            self.problems.add(f"not JSON that lettaform takes: {flaw}", Place(self.shown(path), 1, 1))
        return HOLE

    def _there(self, path: Path) -> bool:
        try:
            return path.is_file()
        except (OSError, ValueError):
            return False

    def _similar(self, path: Path, spelled: str) -> str | None:
        """The nearest file of the folder, spelled as the missing one was."""
        folder = self.inside(path.parent)
        try:
            names = sorted(os.listdir(folder)) if folder else []
        except OSError:
            return f"there is no folder `{Path(spelled).parent}`"
        hint = suggest(path.name, names)
        if hint is None or not hint.startswith("did you mean"):
            return hint
        return hint.replace("`", f"`{spelled[: -len(path.name)]}", 1) if spelled.endswith(path.name) else hint

    def _load(self, path: Path, place: Place | None) -> str | None:
        file = self.shown(path)
        start = Place(file, 1, 1)
        try:
            if not path.is_file():  # a pipe would never end
                self.problems.add(f"there is no file `{file}`", place)
                return None
            with path.open("rb") as stream:
                data = stream.read(ONE + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            self.problems.add(f"`{file}` cannot be read: {reason}", place or start)
            return None
        self._read += len(data)
        if len(data) > ONE:
            self.problems.add(f"`{file}` is larger than {ONE // MEGABYTE} MB", place or start)
        elif self._read > ALL:
            self.problems.add(f"the project's files are larger than {ALL // MEGABYTE} MB together", place or start)
        else:
            return decode(data, file, self.problems)
        return None


def _sha(path: Path, *, text: bool) -> str | None:
    """The sha256 of a file; None where it shall be a text, and is none: 0.16.8 would lose what it cannot decode."""
    sha, decoder = hashlib.sha256(), getincrementaldecoder("utf-8")()
    with path.open("rb") as stream:
        while part := stream.read(MEBIBYTE):
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
    return sha.hexdigest()


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number that JSON knows")


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        twin = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twin!r} stands twice in one object")
    return data


def _flaw(data: Any, depth: int) -> str | None:
    """What in `data` no server would take."""
    if depth == 0:
        return f"more than {DEPTH} lists and maps inside one another"
    if isinstance(data, str):
        return "a text holds half of a surrogate pair" if _LONE.search(data) else None
    if isinstance(data, float):
        return "a number is too large" if data in (float("inf"), float("-inf")) else None
    items = [*data, *data.values()] if isinstance(data, dict) else data if isinstance(data, list) else ()
    return next((flaw for flaw in (_flaw(item, depth - 1) for item in items) if flaw), None)
