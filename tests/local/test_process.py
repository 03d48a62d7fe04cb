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
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}], start_new_session=True)"


def test_it_runs_in_a_session_of_its_own_and_writes_into_its_log(start: Start, tmp_path: Path) -> None:
    one = start(f"print('hello', flush=True); {SLEEP}")
    eventually(lambda: (tmp_path / "log").read_text() == "hello\n")
    assert os.getsid(one.pid) == one.pid != os.getsid(0)
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_it_is_alive_until_it_ends(start: Start) -> None:
    one = start(SLEEP)
    assert one.alive()
    os.kill(one.pid, signal.SIGKILL)
    eventually(lambda: not one.alive())


def test_a_pid_that_now_belongs_to_somebody_else_is_not_it(start: Start) -> None:
    one = start(SLEEP)
    assert not Process(one.pid, one.born + "1").alive()


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert process.birth(child.pid) is None


def test_end_asks_first_and_insists_then(start: Start, tmp_path: Path) -> None:
    deaf, polite = start(f"{DEAF}; {SLEEP}"), start(SLEEP)
    eventually(lambda: "deaf" in (tmp_path / "log").read_text())
    began = time.monotonic()
    process.end([deaf.pid, polite.pid], grace=0.5)
    assert 0.5 <= time.monotonic() - began < 5
    assert not deaf.alive()
    assert not polite.alive()


def test_end_does_not_mind_those_that_are_gone(start: Start) -> None:
    one = start("")
    eventually(lambda: not one.alive())
    process.end([one.pid])


def test_descendants_are_found_even_in_sessions_of_their_own(start: Start) -> None:
    one = start(PARENT)
    eventually(lambda: process.descendants([one.pid]))
    (child,) = process.descendants([one.pid])
    assert SLEEP in process.command(child)
    assert process.descendants([child]) == set()


@pytest.mark.skipif(not process.PROC.is_dir(), reason="needs /proc")
def test_residents_are_found_by_their_home_even_without_parents(start: Start, tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "home2"
    one = start(PARENT, home)
    start(SLEEP, other)
    eventually(lambda: process.descendants([one.pid]))
    (child,) = process.descendants([one.pid])
    assert process.residents(home) == {one.pid, child}
    process.end([one.pid], signal.SIGKILL)
    assert process.residents(home) == {child}
    process.end([child])
    assert process.residents(home) == set()
