"""Background processes: start them, identify them by pid and start time, end them with their descendants."""

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
    """A process, identified by its pid and start time. The system reuses a pid, but not together with the time."""

    pid: int
    started: str

    def alive(self) -> bool:
        return start_time(self.pid) == self.started


def start_time(pid: int) -> str | None:
    """The start time of a process, in the form of the kernel. None if there is no such process, or only a zombie."""
    _reap(pid)
    if not PROC.is_dir():
        return _start_time_by_ps(pid)
    fields = _fields(pid)
    return None if fields is None or fields[0] in "ZX" else fields[19]


def _fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on: state, parent, … The second one is a name with any characters."""
    try:
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _start_time_by_ps(pid: int) -> str | None:
    found = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = found.stdout.strip().partition(" ")
    return None if not started or state.startswith("Z") else started.strip()


def command(pid: int) -> str:
    """The command line of a process; empty if it cannot be read."""
    if not PROC.is_dir():
        return subprocess.run(
            ["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
    try:
        return os.fsdecode((PROC / str(pid) / "cmdline").read_bytes()).replace("\0", " ")
    except OSError:
        return ""


def _reap(pid: int) -> None:
    # Only a child can be reaped here. Other processes are reaped by their parent, or by init.
    with contextlib.suppress(OSError):
        os.waitpid(pid, os.WNOHANG)


def start(
    command: Sequence[str | Path], *, log: Path, folder: Path, environment: Mapping[str, str], user: str | None = None
) -> Process:
    """Start a process in its own session, so that Ctrl-C does not reach it. Its output is appended to `log`."""
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
    process = Process(child.pid, start_time(child.pid) or "")
    # The process outlives this object, which would otherwise warn when it is collected. `start_time` reaps the process.
    child.returncode = 0
    return process


def descendants(pids: Iterable[int]) -> set[int]:
    """The pids of all children of these processes, of their children, and so on."""
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


def with_home(home: Path) -> set[int]:
    """The pids of all processes whose HOME is this folder: all processes of a server, even if their parents have ended.

    Without /proc, the result is empty, and `descendants` finds fewer of them.
    """
    wanted = b"HOME=" + os.fsencode(home)
    found = set()
    for pid in _pids() if PROC.is_dir() else []:
        try:
            environment = (PROC / str(pid) / "environ").read_bytes()
        except OSError:
            continue
        if wanted in environment.split(b"\0") and start_time(pid):
            found.add(pid)
    return found - {os.getpid()}


def end(pids: Iterable[int], first: signal.Signals = signal.SIGTERM, grace: float = 10.0) -> None:
    """Send `first`, wait up to `grace` seconds, send SIGKILL. Returns when all processes have ended."""
    left = {pid: started for pid in pids if (started := start_time(pid))}
    for each in (first, signal.SIGKILL):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, each)
        left = _wait(left, grace)
        if not left:
            return


def _wait(left: dict[int, str], grace: float) -> dict[int, str]:
    deadline = time.monotonic() + grace
    while left and time.monotonic() < deadline:
        left = {pid: started for pid, started in left.items() if start_time(pid) == started}
        time.sleep(0.05 if left else 0)
    return left
