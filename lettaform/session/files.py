"""Values and texts to files, and new contents to files: complete or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WORKING = Path(".lettaform")
"""lettaform's own files, below the project: snapshots hold conversations, and belong in no repository."""


def make_working_folder(project: Path) -> None:
    """Create the folder of lettaform's own files, which git ignores. Raises OSError."""
    ignore = project / WORKING / ".gitignore"
    if not ignore.exists():
        ignore.parent.mkdir(parents=True, exist_ok=True)
        ignore.write_text("*\n", encoding="utf-8")


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a value as `write_text` writes a text."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file, complete or not at all, with mode 0600. Creates its folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


_UNFINISHED = ".lettaform-"
"""Stands in the name of a file that is being written, before the id of the process."""
_LEFT = re.compile(r"\..+" + re.escape(_UNFINISHED) + r"\d+(?:\.old)?")


class ChangedMeanwhile(Exception):
    """A file has another content than it had when it was read."""


def replace_contents(contents: Mapping[Path, tuple[bytes, bytes]], others: Iterable[Path] = ()) -> None:
    """Give files new contents: all of them or none. A kill leaves each file as it was or with its new content.

    contents  path to the content that the file must have and to the new one. A link keeps pointing to its file.
    others    files beside which a killed run may have left something, which is removed

    Raises OSError, or ChangedMeanwhile.
    """
    beside: dict[Path, list[Path]] = {}
    replaced: list[Path] = []
    try:
        for folder in {path.parent for path in (*contents, *others)}:
            _remove_unfinished(folder)
        for path, (old, new) in contents.items():
            _check_unchanged(path, old)
            beside[path] = [path.with_name(f".{path.name}{_UNFINISHED}{os.getpid()}{end}") for end in ("", ".old")]
            for temporary, content in zip(beside[path], (new, old), strict=True):
                _write_like(path, temporary, content)
        for path, (old, _) in contents.items():
            _check_unchanged(path, old)
        for path, (temporary, _) in beside.items():
            temporary.replace(path)
            replaced.append(path)
    except (OSError, ChangedMeanwhile):
        for path in replaced:
            beside[path][1].replace(path)
        raise
    finally:
        for temporary in (each for both in beside.values() for each in both):
            temporary.unlink(missing_ok=True)


def _check_unchanged(path: Path, content: bytes) -> None:
    if path.read_bytes() != content:
        raise ChangedMeanwhile(path)


def _remove_unfinished(folder: Path) -> None:
    """Remove what a killed run left in a folder."""
    for each in folder.iterdir():
        if _LEFT.fullmatch(each.name):
            each.unlink(missing_ok=True)


def _write_like(path: Path, new: Path, content: bytes) -> None:
    """Write a new file with the permissions of another one."""
    if not os.access(path, os.W_OK):  # a rename would replace it all the same
        raise PermissionError(13, "the file is not writable", str(path))
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
        os.fsync(file.fileno())


@contextmanager
def beside(folder: Path) -> Iterator[Path]:
    """A new folder on the same disk as `folder`, to be put in its place. It is deleted at the end. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def write_texts(folder: Path, texts: Mapping[str, str | bytes]) -> None:
    """Write files below a folder, by their paths. Texts are written byte for byte. Raises OSError."""
    for path, text in texts.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)


def put_in_place(made: Path, folder: Path) -> None:
    """Rename a complete folder to one that does not exist or is empty: both exist as a whole. Raises OSError."""
    made.chmod(0o755)
    made.rename(folder)


def is_free(folder: Path) -> bool:
    """Whether a folder can be written: it does not exist, or is empty. Raises OSError if it cannot be read."""
    return not os.path.lexists(folder) or (folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()))
