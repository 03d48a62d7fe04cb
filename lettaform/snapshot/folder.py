"""A snapshot to and from a folder that only its owner can read."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from lettaform.errors import Problem, SnapshotError, nearest
from lettaform.snapshot.compare import Counted, held_by
from lettaform.snapshot.format import INDEX, FileSum, Snapshot, from_text, to_json

_T = TypeVar("_T")


# --- write -----------------------------------------------------------------------------------------------------------


class NewFolder:
    """A folder that is being written. It is complete once `end` has written the index."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[str, FileSum] = {}

    def begin(self) -> None:
        """Create the folder."""
        self.path.mkdir(parents=True, mode=0o700)

    def add(self, name: str, value: Any) -> None:
        """Write a JSON file."""
        self._write(self.path / name, _spell(value))
        self.files[name] = _sum(self.path / name)

    def take(self, name: str, source: Path) -> None:
        """Take over a file of another snapshot, as a link where the file system has links."""
        try:
            os.link(source, self.path / name)
        except OSError:
            self._write(self.path / name, source.read_bytes())
        self.files[name] = _sum(self.path / name)

    def drop(self, name: str) -> None:
        """Remove a file again."""
        (self.path / name).unlink()
        del self.files[name]

    def end(self, snapshot: Snapshot) -> None:
        """Write the index, complete or not at all."""
        temporary = self.path / f".{INDEX}"
        self._write(temporary, _spell(to_json(snapshot)))
        temporary.replace(self.path / INDEX)

    def _write(self, path: Path, content: bytes) -> None:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # what is deleted next must be on the disk


def _spell(value: Any) -> bytes:
    """JSON with sorted keys, so that equal values are equal bytes. Lone surrogates are escaped: UTF-8 has none."""
    text = json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:
        return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()


def _sum(path: Path) -> FileSum:
    with path.open("rb") as file:
        return FileSum(hashlib.file_digest(file, "sha256").hexdigest(), path.stat().st_size)


@contextmanager
def complete_or_removed(path: Path) -> Iterator[None]:
    """Remove the folder on every way out if it has no index. OSError becomes SnapshotError."""
    try:
        yield
    except OSError as error:
        message = f"cannot write the snapshot {path}: {error.strerror}"
        raise SnapshotError(message, "make the folder writable; nothing was changed on the server") from error
    finally:
        if not (path / INDEX).exists():
            shutil.rmtree(path, ignore_errors=True)


async def in_thread(work: Callable[..., _T], *arguments: Any) -> _T:
    """Do work that blocks in a thread. A cancellation waits until it has ended."""
    task = asyncio.ensure_future(asyncio.to_thread(work, *arguments))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise


# --- read ------------------------------------------------------------------------------------------------------------


def read(folder: Path, *, ours: bool = False) -> Snapshot:
    """The snapshot in a folder. SnapshotError with every fault of its index. `ours`: whether this run wrote it."""
    path = folder / INDEX
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        hint = "a snapshot whose writing was interrupted has none" if folder.is_dir() else "`lettaform snapshot list`"
        raise SnapshotError(f"{folder} is no snapshot: it has no {INDEX}", hint) from error
    except OSError as error:
        raise SnapshotError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SnapshotError(f"{path} cannot be read", problems=[Problem(f"no UTF-8 at byte {error.start}")]) from error
    return from_text(text, str(path), ours=ours)


def content(folder: Path, name: str) -> Any:
    """The value of a JSON file of a snapshot. SnapshotError if it cannot be read."""
    path = folder / name
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SnapshotError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SnapshotError(f"{path} is no JSON: {error}") from error


def file_faults(folder: Path, snapshot: Snapshot) -> Iterator[Problem]:
    """Files that are missing, changed, or not listed."""
    for name, expected in sorted(snapshot.files.items()):
        try:
            found = _sum(folder / name)
        except OSError as error:
            yield Problem(f"{name}: cannot be read: {error.strerror}", field=name)
            continue
        if found.bytes != expected.bytes:
            yield Problem(f"{name}: has {found.bytes} bytes, and not {expected.bytes}", field=name)
        elif found.sha256 != expected.sha256:
            yield Problem(f"{name}: was changed: its sha256 is {found.sha256}", field=name)
    named = {name for entry in snapshot.entries for name in entry.files}
    yield from (Problem(f"{name}: is not listed below `files`", field=name) for name in named - snapshot.files.keys())


def folders(directory: Path) -> list[Path]:
    """The folders of a directory, by name; none if there is no directory."""
    with suppress(FileNotFoundError):
        return sorted(each for each in directory.iterdir() if each.is_dir() and not each.name.startswith("."))
    return []


def held(folder: Path, snapshot: Snapshot) -> Counted:
    """What the files of a snapshot hold, by the id of their object. SnapshotError if one cannot be read."""
    found = {}
    for entry in snapshot.entries:
        contents = content(folder, entry.contents) if entry.contents else None
        messages = content(folder, entry.messages)["messages"] if entry.messages else None
        found[entry.live.id] = held_by(contents, messages)
    return found


def find(text: str, directory: Path) -> Path:
    """The folder that a person names: by its path, by its name in a directory, or as `latest`.

    `latest` is none that a restore took of what it overwrote: a restore that did not finish can be run again.
    SnapshotError if there is none, with the nearest name.
    """
    if text == "latest":
        whole = [(each.header, folder) for folder, each in listed(directory) if isinstance(each, Snapshot)]
        found = [(header.created_at, folder) for header, folder in whole if header.scope != "restore"]
        if not found:
            of_restores = ", but of restores: name one" if whole else ""
            hint = "`lettaform snapshot create` writes one"
            raise SnapshotError(f"there is no snapshot in {directory}{of_restores}", hint)
        return max(found)[1]
    for path in (Path(text), directory / text):
        path = path.parent if path.name == INDEX else path
        if path.is_dir():
            return path
    near = nearest(text, [folder.name for folder in folders(directory)])
    hint = f"did you mean `{near}`?" if near else f"`lettaform snapshot list` lists those in {directory}"
    raise SnapshotError(f"there is no snapshot `{text}`", hint)


def listed(directory: Path) -> Iterator[tuple[Path, Snapshot | SnapshotError]]:
    """The folders of a directory, by name, each with its snapshot, or with the reason why it is none."""
    for folder in folders(directory):
        try:
            yield folder, read(folder)
        except SnapshotError as error:
            yield folder, error
