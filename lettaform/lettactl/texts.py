"""Paths in a file of lettactl to the content of the files that they name: inside its root, as lettactl reads them."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from lettaform.errors import Place
from lettaform.lettactl.reading import Document, Reading
from lettaform.manifest.emit_text import File
from lettaform.manifest.files import Files
from lettaform.manifest.problems import Problems
from lettaform.values import Item

FENCE = "```"
_SPACES = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(map(chr, range(0x2000, 0x200B)))
"""What JavaScript takes for spaces."""
_EVERYTHING = ("files/*", "files/**/*")
"""The only patterns of lettactl: each stands for all files below `files`."""


def prompt(text: str) -> str:
    """A system prompt as lettactl sends it: without spaces around it, and without fences around all of it."""
    trimmed = text.strip(_SPACES)
    if trimmed.startswith(FENCE) and trimmed.endswith(FENCE):
        return trimmed[3:-3].strip(_SPACES)
    return trimmed


class Texts:
    """The files that a file of lettactl names."""

    def __init__(self, document: Document, reading: Reading) -> None:
        self.files, self.reading = document.files, reading

    def text(self, written: str, path: str, place: Place) -> str | None:
        """The text of a file; None, and a problem, if it cannot be read."""
        found = self._named(written, path, place)
        return None if found is None else self.files.text(found, place)

    def file(self, written: str, text: str) -> File:
        """A text that stands in a file of the same path in what is written."""
        where = Path(os.path.abspath(self.files.directory / written))
        return File("!file", where.relative_to(self.files.directory).as_posix(), text)

    def exists(self, written: str) -> bool:
        """Whether there is a file of this path inside the root."""
        path = self.files.directory / written
        return self.files.inside(path) is not None and path.is_file()

    def tools(self) -> list[str]:
        """The names of the tools that `tools/*` stands for."""
        found = sorted((self.files.directory / "tools").glob("*.py"))
        return [each.stem for each in found if not each.name.startswith("_") and each.is_file()]

    def _named(self, written: str, path: str, place: Place) -> Path | None:
        """A file inside the root; None, and a problem."""
        problems, root = self.reading.problems, self.files.directory
        where = Path(os.path.abspath(root / written))
        if where.is_relative_to(root) and self.files.inside(where) is not None:
            return self.files.named(where.relative_to(root).as_posix(), place)
        message = f"{path}: `{written}` is outside the root, `{self.files.shown(root)}`"
        root_option = "`lettaform from-lettactl FILE -o DIR --root ROOT`"
        hint = f"move the file there, or name a folder that contains it: `root_path` in this file, or {root_option}"
        problems.add(message, place, hint)
        return None

    # --- the files of folders

    def uploads(self, written: str, what: str, place: Place) -> Iterator[Item]:
        """The files that a line of a folder stands for. What cannot be uploaded is left out."""
        if written in _EVERYTHING:
            below = sorted(each for each in (self.files.directory / "files").rglob("*") if each.is_file())
            names = [each.relative_to(self.files.directory).as_posix() for each in below]
            if not names:
                self.reading.leave(f"{what}: {written}", place, "the folder `files` has no files")
        else:
            names = [written]
        for name in names:
            if item := self._upload(name, what, place):
                yield item

    def _upload(self, written: str, what: str, place: Place) -> Item | None:
        path = Path(os.path.abspath(self.files.directory / written))
        if not path.is_relative_to(self.files.directory) or self.files.inside(path) is None:
            self._named(written, what, place)
            return None
        found = Problems()
        pattern = glob.escape(path.relative_to(self.files.directory).as_posix())
        if not path.is_file() and any(each in written for each in "*?["):
            reason = "lettactl takes a pattern for the name of one file, and uploads nothing"
            self.reading.leave(f"{what}: {written}", place, reason, f"write `files: [{written}]` below the folder here")
        elif next(iter(Files(self.files.directory, found).matching(pattern, place)), None):
            content = path.read_bytes()
            return Item(f"{path.name} {hashlib.sha256(content).hexdigest()}", path.name, {"text": content})
        for problem in found.errors:
            self.reading.leave(f"{what}: {written}", place, problem.message, problem.hint)
        return None
