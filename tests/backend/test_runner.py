"""Who runs lettaform, for the lock and for the history."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import sys

import pytest

from lettaform.backend.runner import ci_run, has_ended, machine, runner, user


def test_a_run_names_user_and_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ann")
    assert runner() == f"ann@{socket.gethostname()}"


def test_a_system_without_users_has_an_unknown_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr(getpass, "getuser", fails)
    assert user() == "unknown"


@pytest.mark.parametrize(("name", "run"), [("CI_JOB_URL", "https://ci/1"), ("GITHUB_RUN_ID", "17")])
def test_a_ci_run_is_named(name: str, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in ("CI_JOB_URL", "GITHUB_RUN_ID"):
        monkeypatch.delenv(each, raising=False)
    assert ci_run() == ""
    monkeypatch.setenv(name, run)
    assert ci_run() == run


def test_whether_a_process_has_ended_is_known_on_this_machine_alone() -> None:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    here = machine()
    assert has_ended(here, str(os.getpid())) is False
    assert has_ended(here, str(done.pid)) is bool(here)
    assert has_ended("another machine", str(done.pid)) is False
    assert has_ended(here, "x") is False
    assert has_ended("", str(done.pid)) is False
