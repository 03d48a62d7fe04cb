"""Values to JSON files that only their owner can read, and new contents to files: complete or not at all."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a file, complete or not at all, with mode 0600. Creates its folder. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(json.dumps(value, indent=1, ensure_ascii=False) + "\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


_UNFINISHED = ".lettaform-"
"""Stands in the name of a file that is being written, before the id of the process. It begins with a dot."""


class ChangedMeanwhile(Exception):
    """A file has another content than it had when it was read."""


def replace_contents(contents: Mapping[Path, tuple[bytes, bytes]]) -> None:
    """Give files new contents: all of them or none. A kill leaves each file as it was or with its new content.

    contents  path to the content that the file must have and to the new one. A link keeps pointing to its file.

    Raises OSError, or ChangedMeanwhile.
    """
    written: dict[Path, Path] = {}
    replaced: list[Path] = []
    try:
        for path, (old, new) in contents.items():
            _check_unchanged(path, old)
            written[path] = _write_beside(path, new)
        for path, (old, _) in contents.items():
            _check_unchanged(path, old)
        for path, temporary in written.items():
            temporary.replace(path)
            replaced.append(path)
    except (OSError, ChangedMeanwhile):
        for path in replaced:
            with suppress(OSError):
                _write_beside(path, contents[path][0]).replace(path)
        raise
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)


def _check_unchanged(path: Path, content: bytes) -> None:
    if path.read_bytes() != content:
        raise ChangedMeanwhile(path)


def _write_beside(path: Path, content: bytes) -> Path:
    """A new file beside another one, with its permissions. Removes what a killed run left there."""
    if not os.access(path, os.W_OK):  # a rename would replace it all the same
        raise PermissionError(13, "the file is not writable", str(path))
    unfinished = re.compile(re.escape(f".{path.name}{_UNFINISHED}") + r"\d+")
    for each in path.parent.iterdir():
        if unfinished.fullmatch(each.name):
            each.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}{_UNFINISHED}{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
        os.fsync(file.fileno())
    return temporary
