from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lettaform import local
from lettaform.errors import LocalError
from lettaform.local import places, process, running, state
from lettaform.local.process import Process
from lettaform.local.state import State

ENDED = Process(os.getpid(), "another start time")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTAFORM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LETTAFORM_LETTA", raising=False)

    def never(*_: object) -> Path:
        raise AssertionError("no test here installs anything")

    monkeypatch.setattr("lettaform.local.environment.environment", never)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def crashed(folder: Path, port: int = 20000) -> Path:
    """The data folder of a server whose processes have ended."""
    folder.mkdir(parents=True)
    (folder / "home").mkdir()
    state.write(folder, State(port=port, version="0.16.8", processes={"postgres": ENDED, "letta": ENDED}))
    places.save_port(port, folder)
    return folder


def test_a_port_in_use_is_refused_first(taken: int, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=f"port {taken} is taken by another program") as caught:
        local.up(taken, tmp_path / "data")
    assert caught.value.hint is not None
    assert "--port 0" in caught.value.hint


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "home").write_text("mine")
    with pytest.raises(LocalError, match="contains other files"):
        local.up(0, tmp_path / "data")
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["home"]


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_invalid_port_is_refused(port: int) -> None:
    with pytest.raises(LocalError, match="is not a port"):
        local.up(port)


def test_down_does_nothing_if_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert local.down(20001) is False
    assert local.down(data=tmp_path / "absent") is False
    assert local.down(data=tmp_path / "data", purge=True) is False
    assert list((tmp_path / "data").iterdir()) == []


def test_down_needs_a_port_or_a_folder() -> None:
    with pytest.raises(LocalError, match="no server is chosen"):
        local.down(None)


def test_down_cleans_up_after_a_crash_and_does_not_kill_another_process_with_the_same_pid(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    assert local.status(data=folder)[0].condition == "stopped"
    # The stored pid is that of this process: a mistake would kill the test run.
    assert local.down(data=folder) is False
    left = state.read(folder)
    assert left is not None
    assert left.processes == {}


@pytest.mark.skipif(not process.PROC.is_dir(), reason="needs /proc")
def test_down_ends_processes_without_parents(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    orphan = process.start(
        ["/bin/sleep", "600"],
        log=folder / "letta.log",
        folder=folder,
        environment={"HOME": str(folder / "home")},
    )
    assert local.down(data=folder) is True
    assert not orphan.alive()


def test_up_cleans_up_an_interrupted_start_without_waiting_for_letta(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    left = process.start(
        ["/bin/sleep", "600"], log=folder / "postgres.log", folder=folder, environment={"HOME": str(folder / "home")}
    )
    state.write(folder, State(port=20000, processes={"postgres": left}))
    lines: list[str] = []
    began = time.monotonic()
    with pytest.raises(AssertionError, match="no test here installs"):
        local.up(0, folder, progress=lines.append)
    assert time.monotonic() - began < 5
    assert lines == ["the last server of these data was not stopped; cleaning up"]
    assert not left.alive()


def installed_by_up(monkeypatch: pytest.MonkeyPatch, folder: Path, **options: str) -> str:
    """The release that `up` installs."""
    seen: list[str] = []

    def installed(_: object, release: str) -> Path:
        seen.append(release)
        raise AssertionError

    monkeypatch.setattr("lettaform.local.environment.environment", installed)
    with pytest.raises(AssertionError):
        local.up(0, folder, **options)  # type: ignore[arg-type]
    return seen[0]


def test_data_keep_the_release_that_created_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert installed_by_up(monkeypatch, tmp_path / "new") == local.LETTA
    assert installed_by_up(monkeypatch, tmp_path / "new", letta="0.16.4") == "0.16.4"
    monkeypatch.setenv("LETTAFORM_LETTA", "0.16.5")
    assert installed_by_up(monkeypatch, tmp_path / "new") == "0.16.5"
    assert installed_by_up(monkeypatch, tmp_path / "new", letta="0.16.4") == "0.16.4"
    assert installed_by_up(monkeypatch, crashed(tmp_path / "data")) == "0.16.8"
    with pytest.raises(LocalError, match=r"Letta 0\.16\.4 cannot read them") as caught:
        local.up(0, tmp_path / "data", letta="0.16.4")
    assert "--purge" in str(caught.value.hint)


def test_the_echo_model_is_refused_on_releases_that_do_not_support_it(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"0\.16\.1 does not support the echo model"):
        local.up(0, tmp_path / "data", letta="0.16.1", echo_model=True)


def test_an_error_of_the_file_system_is_a_local_error(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    (folder / "dev.json").unlink()
    (folder / "dev.json").mkdir()
    with pytest.raises(LocalError, match=r"dev\.json"):
        local.up(0, folder)


def test_purge_deletes_only_the_files_of_the_server(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    for name in ("letta.log", "keep.txt"):
        (folder / name).write_text("")
    (folder / "postgres").mkdir()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("")
    (folder / "tools").symlink_to(outside)
    local.down(data=folder, purge=True)
    assert [file.name for file in folder.iterdir()] == ["keep.txt"]
    assert (outside / "precious").exists()
    (folder / "keep.txt").unlink()
    assert local.status() == ()


def test_purge_removes_the_folder_if_it_is_empty(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    local.down(data=folder, purge=True)
    assert not folder.exists()


def test_status_lists_all_servers_or_the_one_of_a_port_or_folder(tmp_path: Path) -> None:
    first, second = crashed(tmp_path / "first", 20002), crashed(places.default_data(20001), 20001)
    assert [known.data for known in local.status()] == [second, first]
    assert [known.data for known in local.status(20002)] == [first]
    assert [known.data for known in local.status(20001)] == [second]
    assert local.status(20003) == ()
    assert {(known.condition, known.pid) for known in local.status()} == {("stopped", None)}


def test_a_server_with_an_ended_process_is_broken(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    alive = Process(os.getpid(), process.start_time(os.getpid()) or "")
    state.write(folder, State(port=20000, processes={"postgres": alive, "letta": ENDED}))
    (known,) = local.status()
    assert (known.condition, known.pid) == ("broken", None)


def test_a_data_folder_is_not_found_by_a_previous_port(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data", 20002)
    state.write(folder, State(port=20005))
    assert local.status(20002) == ()


def test_logs_returns_the_last_lines(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    (folder / "letta.log").write_text("one\ntwo\nthree\n")
    (folder / "postgres.log").write_text("ready\n")
    assert list(local.logs(20000, lines=2)) == ["two", "three"]
    assert list(local.logs(data=folder, lines=0)) == []
    assert list(local.logs(data=folder, of="postgres")) == ["ready"]


def test_logs_with_follow_returns_every_new_line(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    with (folder / "letta.log").open("w", buffering=1) as log:
        log.write("one\n")
        lines = local.logs(data=folder, follow=True)
        assert next(lines) == "one"
        log.write("two\nthree\n")
        assert [next(lines), next(lines)] == ["two", "three"]


def test_logs_of_an_unknown_server_is_an_error() -> None:
    with pytest.raises(LocalError, match="port 20009"):
        next(local.logs(20009))


def variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, planned: State, password: str | None = None
) -> dict[str, str]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "aws")
    monkeypatch.setenv("LETTA_PG_URI", "elsewhere")
    python = tmp_path / "environment" / "bin" / "python"
    python.parent.mkdir(parents=True)
    return running.letta_environment(tmp_path, python, tmp_path / "run", planned, password)


def test_only_the_keys_of_models_are_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    passed = variables(monkeypatch, tmp_path, State(port=1))
    assert (passed["OPENAI_API_KEY"], passed["ANTHROPIC_API_KEY"]) == ("sk-real", "sk-ant")
    assert "AWS_SECRET_ACCESS_KEY" not in passed
    assert passed["LETTA_PG_URI"].startswith("postgresql://")
    assert "LETTA_SERVER_PASSWORD" not in passed
    assert passed["HTTPS_PROXY"] == "http://proxy:1"
    assert passed["NO_PROXY"] == "example.org,127.0.0.1,localhost"


def test_with_the_echo_model_no_other_model_is_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    passed = variables(monkeypatch, tmp_path, State(port=1, echo_port=20001), "secret")
    assert "ANTHROPIC_API_KEY" not in passed
    assert (passed["OPENAI_API_KEY"], passed["OPENAI_API_BASE"]) == ("echo", "http://127.0.0.1:20001/v1")
    assert (passed["LETTA_SERVER_SECURE"], passed["LETTA_SERVER_PASSWORD"]) == ("true", "secret")
