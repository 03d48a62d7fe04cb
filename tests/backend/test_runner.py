"""Who runs lettaform, for the lock and for the history."""

from __future__ import annotations

import getpass
import socket

import pytest

from lettaform.backend.runner import ci_run, runner, user


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
