"""The folders and file locks of local servers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lettaform.errors import LocalError

Progress = Callable[[str], None]


def cache() -> Path:
    """The folder of installed environments. It can be deleted: everything in it can be installed again."""
    return _folder("user_cache_path")


def servers() -> Path:
    """The folder that contains the default data folders."""
    return _folder("user_data_path") / "dev"


def default_data(port: int) -> Path:
    """The data folder of a server that is started without one."""
    return servers() / str(port)


def _folder(kind: str) -> Path:
    home = os.environ.get("LETTAFORM_HOME")
    if home:
        return Path(home).expanduser().absolute()
    import platformdirs

    folder: Path = getattr(platformdirs, kind)("lettaform")
    return folder


def save_port(port: int, data: Path) -> None:
    """Record the data folder of the server on this port, so that `down --port` finds it."""
    file = servers() / "ports" / str(port)
    create_folder(file.parent)
    file.write_text(str(data))


def forget_ports(data: Path) -> None:
    """Delete the file of every port of this data folder."""
    for port, folder in saved_ports():
        if folder == data:
            (servers() / "ports" / str(port)).unlink(missing_ok=True)


def saved_ports() -> list[tuple[int, Path]]:
    """Every port with a file, and its data folder, if the folder still exists."""
    folder = servers() / "ports"
    files = sorted(folder.iterdir(), key=lambda file: file.name) if folder.is_dir() else []
    pairs = [(int(file.name), Path(file.read_text())) for file in files if file.name.isdigit()]
    return [(port, data) for port, data in pairs if data.is_dir()]


def data_of_port(port: int) -> Path | None:
    """The data folder that was last used with this port."""
    return dict(saved_ports()).get(port)


def create_folder(folder: Path) -> Path:
    """Create the folder if it does not exist, closed to other users. Returns it."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise LocalError(
            f"cannot create the folder {folder}: {error.strerror}",
            "choose another folder with --data, or set LETTAFORM_HOME",
        ) from error
    return folder


@contextmanager
def locked(file: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock on `file`. Calls `waiting` once if another process holds it. `file` may be deleted meanwhile."""
    import fcntl

    create_folder(file.parent)
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
            # `down --purge` deletes the file while it holds the lock. A lock on a deleted file excludes nobody.
            if file.exists() and os.path.samestat(os.fstat(descriptor), file.stat()):
                yield
                return
        finally:
            os.close(descriptor)
        create_folder(file.parent)
