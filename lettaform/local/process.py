"""Processes that outlive us: started, known again by pid and birth, and ended with all they started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A pid alone is soon somebody else's; together with the time of its birth it is not."""

    pid: int
    born: str

    def alive(self) -> bool:
        return birth(self.pid) == self.born


def birth(pid: int) -> str | None:
    """When the kernel says that it was started; None if there is no such process, or only its zombie."""
    _reap(pid)
    if not PROC.is_dir():
        return _birth_by_ps(pid)
    fields = _fields(pid)
    return None if fields is None or fields[0] in "ZX" else fields[19]


def _fields(pid: int) -> list[str] | None:
    """/proc/PID/stat from its third field on: state, parent, … The second is a name that may hold anything."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _birth_by_ps(pid: int) -> str | None:
    found = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, born = found.stdout.strip().partition(" ")
    return None if not born or state.startswith("Z") else born.strip()


def command(pid: int) -> str:
    """Its command line, as far as anybody may see it."""
    if not PROC.is_dir():
        return subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
    try:
        return os.fsdecode((PROC / str(pid) / "cmdline").read_bytes()).replace("\0", " ")
    except OSError:
        return ""


def _reap(pid: int) -> None:
    # Somebody else's child is reaped by its own parent, or by init.
    with contextlib.suppress(OSError):
        os.waitpid(pid, os.WNOHANG)


def start(
    command: Sequence[str | Path], *, log: Path, folder: Path, environment: Mapping[str, str], user: str | None = None
) -> Process:
    """Start it in a session of its own, so that no Ctrl-C meant for us reaches it; output goes to the end of `log`."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    group: dict[str, object] = {}
    if user is not None:
        import pwd

        group = {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []}
    try:
        child = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            start_new_session=True,
            **group,  # type: ignore[call-overload]
        )
    finally:
        os.close(descriptor)
    process = Process(child.pid, birth(child.pid) or "")
    # It is meant to outlive this object, which otherwise complains when it is collected; `birth` reaps instead.
    child.returncode = 0
    return process


def descendants(pids: Iterable[int]) -> set[int]:
    """All that these processes started and that still hang below them."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    queue = list(pids)
    while queue:
        for child in children.get(queue.pop(), []):
            if child not in found:
                found.add(child)
                queue.append(child)
    return found


def _parents() -> list[tuple[int, int]]:
    if PROC.is_dir():
        return [(pid, int(fields[1])) for pid in _pids() if (fields := _fields(pid)) is not None]
    listed = subprocess.run(["ps", "-axo", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    return [(int(pid), int(parent)) for pid, parent in (line.split() for line in listed.splitlines())]


def _pids() -> list[int]:
    return [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()]


def residents(home: Path) -> set[int]:
    """All processes whose HOME is this folder: whatever a server of ours started, even if its parents are gone.

    Where there is no /proc, this finds nobody, and `descendants` has to do.
    """
    wanted = b"HOME=" + os.fsencode(home)
    found = set()
    for pid in _pids() if PROC.is_dir() else []:
        try:
            environment = (PROC / str(pid) / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0") and birth(pid):
            found.add(pid)
    return found - {os.getpid()}


def end(pids: Iterable[int], first: signal.Signals = signal.SIGTERM, grace: float = 10.0) -> None:
    """Ask with `first`, wait up to `grace` seconds, then SIGKILL; return when all of them are gone."""
    left = {pid: born for pid in pids if (born := birth(pid))}
    for attempt in (first, signal.SIGKILL):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, attempt)
        left = _wait(left, grace)
        if not left:
            return


def _wait(left: dict[int, str], grace: float) -> dict[int, str]:
    deadline = time.monotonic() + grace
    while left and time.monotonic() < deadline:
        left = {pid: born for pid, born in left.items() if birth(pid) == born}
        time.sleep(0.05 if left else 0)
    return left
