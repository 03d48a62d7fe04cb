from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lettaform.local import process
from lettaform.local.process import Process

Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Process] = []

    def run(code: str, home: Path = tmp_path) -> Process:
        log = tmp_path / "log"
        environment = {"HOME": str(home), "PATH": os.defpath}
        one = process.start([sys.executable, "-I", "-c", code], log=log, folder=tmp_path, environment=environment)
        started.append(one)
        return one

    yield run
    for one in started:
        process.end({one.pid} | process.descendants([one.pid]), signal.SIGKILL)


def eventually(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


SLEEP = "import time; time.sleep(600)"
IGNORES_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}], start_new_session=True)"


def test_a_process_has_its_own_session_and_writes_to_its_log(start: Start, tmp_path: Path) -> None:
    one = start(f"print('hello', flush=True); {SLEEP}")
    eventually(lambda: (tmp_path / "log").read_text() == "hello\n")
    assert os.getsid(one.pid) == one.pid != os.getsid(0)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_a_process_is_alive_until_it_ends(start: Start) -> None:
    one = start(SLEEP)
    assert one.alive()
    os.kill(one.pid, signal.SIGKILL)
    eventually(lambda: not one.alive())


def test_a_reused_pid_is_not_the_same_process(start: Start) -> None:
    one = start(SLEEP)
    assert not Process(one.pid, one.started + "1").alive()


def test_a_zombie_has_no_start_time() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.start_time(child.pid) is None


def test_end_sends_sigterm_and_then_sigkill(start: Start, tmp_path: Path) -> None:
    stubborn, polite = start(f"{IGNORES_SIGTERM}; {SLEEP}"), start(SLEEP)
    eventually(lambda: "ready" in (tmp_path / "log").read_text())
    began = time.monotonic()
    process.end([stubborn.pid, polite.pid], grace=0.5)
    assert 0.5 <= time.monotonic() - began < 5
    assert not stubborn.alive()
    assert not polite.alive()


def test_end_ignores_processes_that_have_ended(start: Start) -> None:
    one = start("")
    eventually(lambda: not one.alive())
    process.end([one.pid])


def test_descendants_are_found_in_other_sessions(start: Start) -> None:
    one = start(PARENT)
    eventually(lambda: process.descendants([one.pid]))
    (child,) = process.descendants([one.pid])
    assert SLEEP in process.command(child)
    assert process.descendants([child]) == set()


@pytest.mark.skipif(not process.PROC.is_dir(), reason="needs /proc")
def test_processes_are_found_by_their_home_without_parents(start: Start, tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "home2"
    one = start(PARENT, home)
    start(SLEEP, other)
    eventually(lambda: process.descendants([one.pid]))
    (child,) = process.descendants([one.pid])
    assert process.with_home(home) == {one.pid, child}
    process.end([one.pid], signal.SIGKILL)
    assert process.with_home(home) == {child}
    process.end([child])
    assert process.with_home(home) == set()
