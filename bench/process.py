"""A command to its wall time, CPU time and peak memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POLL = 0.004
"""Seconds between looks at the memory of a process."""


@dataclass(frozen=True)
class Used:
    """What a process used: seconds, CPU seconds, and the maximum of its resident memory in MB."""

    wall: float
    cpu: float
    memory: float


def run(command: Sequence[str], folder: Path) -> tuple[Used, str]:
    """Run a command. Returns what it used, and its output. RuntimeError if it fails."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = time.perf_counter()
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(command, cwd=folder, env=environ, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        peak, ended, status, usage = 0.0, 0, 0, None
        while not ended:
            peak = max(peak, _peak(process.pid))
            time.sleep(POLL)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read().decode("utf-8", "replace")
    assert usage is not None
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}:\n{text[-2000:]}")
    return Used(wall, usage.ru_utime + usage.ru_stime, peak or usage.ru_maxrss / 1024), text


def _peak(pid: int) -> float:
    """The peak of the resident memory of a process in MB; 0 where /proc does not tell.

    The usage that a process leaves behind counts what its parent had in memory when it started it.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def python(*words: str) -> list[str]:
    """A command of this Python."""
    return [sys.executable, *words]
