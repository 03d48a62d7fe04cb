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
from pathlib import Path

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


# A real apply on a stand-in, whose answers take their time.
FLEET = """
import asyncio, sys
from unittest import mock
from lettaform import flow
from lettaform.backend import connect
from lettaform.cli import cli
from tests.standin import StandIn
class Slow(StandIn):
    async def handle_async_request(self, request):
        await asyncio.sleep(0.03)
        return await super().handle_async_request(request)
server = Slow()
words = ["-C", sys.argv[1], "--server", "http://stand.in"]
mock.patch.object(flow, "connect", lambda url, **more: connect(url, **more, transport=server)).start()
for verb in sys.argv[2:]:
    try: cli.main([*words, *verb.split()], prog_name="lettaform")
    except SystemExit as end:
        if end.code: raise
"""
AGENTS = """
stack: support
blocks: {shared: {value: One.}}
agents:
  clerk: {for_each: [berlin, paris, 東京], model: letta/letta-free, memory: {human: {value: x}}, blocks: [shared]}
  supervisor: {model: letta/letta-free}
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
def terminal(folder: str, *script: str, **environment: str) -> Iterator[Terminal]:
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
        [sys.executable, "-c", *(script or (SCRIPT,))],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=variables,
        preexec_fn=control,
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
ROOT = Path(__file__).parents[2]


def test_after_yes_a_progress_bar_is_shown_and_erased() -> None:
    with terminal(HERE) as screen:
        screen.until("Apply this change? [y/N] ")
        screen.type("y\n")
        assert screen.end() == 0
        assert "\x1b[32m+\x1b[0m \x1b[1magents.a\x1b[0m" in screen.seen
        assert "Applying" in screen.seen
        after = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.seen.split("Applying")[-1])
        assert after.endswith("Applied: 1 created in 1.4 s.\r\n")
        assert "agents.a\x1b[0m created in 0.3 s" in screen.seen


def shown(seen: str) -> str:
    """What stays on the screen, without colours. Times are `0.0 s`."""
    seen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", seen)]
    return re.sub(r"\d+\.\d s", "0.0 s", "\n".join(line for line in lines if line and "Applying" not in line))


@pytest.mark.parametrize("columns", ["60", "120"])
def test_an_apply_leaves_a_line_for_each_object_and_its_summary(columns: str, tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text(AGENTS)
    verbs = ("apply -y --parallel 1", "destroy -y --parallel 1")
    with terminal(str(ROOT), FLEET, str(tmp_path), *verbs, COLUMNS=columns) as screen:
        assert screen.end() == 0
        seen = shown(screen.seen)
    created, destroyed = (part.splitlines() for part in seen.split("Plan: ")[1:])
    assert {*created} >= {
        "  + blocks.shared created in 0.0 s",
        "  + agents.clerk[berlin] created in 0.0 s",
        '  + agents.clerk["東京"] created in 0.0 s',
        "  + agents.supervisor created in 0.0 s",
    }
    assert "Applied: 8 created in 0.0 s." in created
    assert "  - agents.clerk[berlin] destroyed in 0.0 s" in destroyed
    assert re.fullmatch(r"Destroyed: \d+ objects in 0\.0 s\.", destroyed[-1])
    assert any(line.startswith("Snapshot: ") for line in destroyed)


def test_ctrl_c_leaves_what_was_done(tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text(AGENTS.replace("[berlin, paris, 東京]", str([*range(60)])))
    verb = "apply -y --parallel 1 --no-lock"
    with terminal(str(ROOT), FLEET, str(tmp_path), verb, COLUMNS="60") as screen:
        screen.until("clerk[3]\x1b[0m created")
        screen.type("\x03")
        assert screen.end() == 130
        seen = shown(screen.seen)
    assert "  + agents.clerk[0] created in 0.0 s" in seen
    assert len(re.findall(r"^Skipped: .* and \d+ more: interrupted$", seen, re.M)) == 1
    assert re.search(r"^Interrupted: \d+ created in 0\.0 s\. \d+ steps skipped\. ", seen, re.M)
    assert seen.count("\n") < seen.index("Plan:") + 40


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
