"""Who runs lettaform: user, machine, process, and the CI run."""

from __future__ import annotations

import getpass
import os
import socket
from contextlib import suppress
from pathlib import Path


def user() -> str:
    """The name of the user; `unknown` if the system has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def runner() -> str:
    """User and machine, for people."""
    return f"{user()}@{socket.gethostname()}"


def ci_run() -> str:
    """The URL or number of the CI run; empty outside of one."""
    return os.environ.get("CI_JOB_URL") or os.environ.get("GITHUB_RUN_ID") or ""


def machine() -> str:
    """This boot of this machine, and this container: where a pid is unique. "" if that is not known."""
    names = [socket.gethostname()]
    with suppress(OSError):
        names.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        names.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(names) if len(names) == 3 else ""


def has_ended(where: str, pid: str) -> bool:
    """Whether a process ran on this machine and has ended. `where`: its `machine`. False if that is not known."""
    if not where or where != machine() or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
