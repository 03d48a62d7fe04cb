"""Who runs lettaform: user, machine, and the CI run."""

from __future__ import annotations

import getpass
import os
import socket


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
