"""Where everything of a local server lies, and the locks that keep two of us from the same place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lettaform.errors import LocalError

Progress = Callable[[str], None]


def cache() -> Path:
    """The folder of what can be installed again."""
    return _folder("user_cache_path")


def servers() -> Path:
    """The folder of the data folders of servers that were given none."""
    return _folder("user_data_path") / "dev"


def default_data(port: int) -> Path:
    return servers() / str(port)


def _folder(kind: str) -> Path:
    home = os.environ.get("LETTAFORM_HOME")
    if home:
        return Path(home).expanduser().absolute()
    import platformdirs

    folder: Path = getattr(platformdirs, kind)("lettaform")
    return folder


def remember(port: int, data: Path) -> None:
    """Note that the server of this port keeps its data there, so that `down --port` finds it."""
    note = servers() / "ports" / str(port)
    made(note.parent)
    note.write_text(str(data))


def forget(data: Path) -> None:
    for port, noted in noted_ports():
        if noted == data:
            (servers() / "ports" / str(port)).unlink(missing_ok=True)


def noted_ports() -> list[tuple[int, Path]]:
    """All ports that were ever given to a data folder that still exists."""
    folder = servers() / "ports"
    notes = sorted(folder.iterdir(), key=lambda note: note.name) if folder.is_dir() else []
    pairs = [(int(note.name), Path(note.read_text())) for note in notes if note.name.isdigit()]
    return [(port, data) for port, data in pairs if data.is_dir()]


def noted(port: int) -> Path | None:
    return dict(noted_ports()).get(port)


def made(folder: Path) -> Path:
    """The folder, made if need be, closed to other users."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LocalError(
            f"cannot make the folder {folder}: {error.strerror}",
            "name another with --data, or set LETTAFORM_HOME",
        ) from error
    return folder


@contextmanager
def locked(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock on `file`, which may be deleted meanwhile; call `waiting` once if somebody else has it."""
    import fcntl

    made(file.parent)
    while True:
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise LocalError(f"cannot write {file}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            # `down --purge` deletes the file while it holds it: a lock on a file without a name protects nobody.
            if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                yield
                return
        finally:
            os.close(descriptor)
        made(file.parent)
