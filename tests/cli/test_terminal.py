"""The command line on a pseudo-terminal: the question, Ctrl-C, colours, the progress bar."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.thorough

# An apply as the real one does it: the question is asked from inside of a running event loop.
SCRIPT = """
import asyncio, sys, time, types
import lettaform
from conftest import Connection, Flow, Snapshots, Source, VERBS, PlanOptions, a_plan
fake, module = Flow(), types.ModuleType("lettaform.flow")
for name in VERBS: setattr(module, name, getattr(fake, name))
for each in (Source, Connection, PlanOptions, Snapshots): setattr(module, each.__name__, each)
carry_out = Flow.carry_out
def looped(consent, notify, snapshots):
    def slowly(event):
        notify(event)
        time.sleep(0.2)
    async def run(): return carry_out(fake, consent, slowly, snapshots)
    return asyncio.run(run())
fake.carry_out = looped
sys.modules["lettaform.flow"] = lettaform.flow = module
from lettaform.cli import cli
cli.main(["apply"], prog_name="lettaform")
"""


class Terminal:
    """The screen and the keyboard of a process."""

    def __init__(self, handle: int, process: subprocess.Popen[bytes]) -> None:
        self.handle, self.process, self.seen = handle, process, ""

    def until(self, text: str) -> None:
        end = time.monotonic() + 20
        while text not in self.seen and time.monotonic() < end and self.read():
            pass
        assert text in self.seen

    def read(self) -> bool:
        ready, _, _ = select.select([self.handle], [], [], 1)
        try:
            self.seen += os.read(self.handle, 65536).decode() if ready else ""
        except OSError:  # Linux says so when the process is gone
            return False
        return True

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def end(self) -> int:
        end = time.monotonic() + 20
        while self.read() and time.monotonic() < end:
            pass
        return self.process.wait(20)


@contextmanager
def terminal(folder: str, **environment: str) -> Iterator[Terminal]:
    ours, theirs = pty.openpty()
    variables = {**os.environ, "TERM": "xterm", "PYTHONPATH": folder, "COLUMNS": "100", **environment}
    if "NO_COLOR" not in environment:
        variables.pop("NO_COLOR", None)

    def control() -> None:
        os.setsid()
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], stdin=theirs, stdout=theirs, stderr=theirs, env=variables, preexec_fn=control
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
        os.close(ours)


HERE = os.path.dirname(__file__)


def test_after_yes_a_progress_bar_is_shown_and_erased() -> None:
    with terminal(HERE) as screen:
        screen.until("Apply this change? [y/N] ")
        screen.type("y\n")
        assert screen.end() == 0
        assert "\x1b[32m+\x1b[0m \x1b[1magents.a\x1b[0m" in screen.seen
        assert "Applying" in screen.seen
        after = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.seen.split("Applying")[-1])
        assert after.endswith("Applied: 1 created, 0 changed, 0 destroyed in 1.4 s.\r\n")
        assert "created (agent-1)" not in screen.seen


def test_ctrl_c_at_the_question_ends_the_process() -> None:
    with terminal(HERE) as screen:
        screen.until("[y/N] ")
        screen.type("\x03")
        started = time.monotonic()
        assert screen.end() == 130
        assert time.monotonic() - started < 5
        assert "Interrupted." in screen.seen
        assert "Traceback" not in screen.seen


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_with_no_color_or_a_dumb_terminal(variables: dict[str, str]) -> None:
    with terminal(HERE, **variables) as screen:
        screen.until("[y/N] ")
        screen.type("n\n")
        assert screen.end() == 1
        assert "\x1b[" not in screen.seen
