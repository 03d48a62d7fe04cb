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

GONE = Process(os.getpid(), "born at another time")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTAFORM_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LETTAFORM_LETTA", raising=False)

    def never(*_: object) -> Path:
        raise AssertionError("nothing may be installed here")

    monkeypatch.setattr("lettaform.local.environment.environment", never)


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def crashed(folder: Path, port: int = 20000) -> Path:
    """What is left of a server whose processes are gone."""
    folder.mkdir(parents=True)
    (folder / "home").mkdir()
    state.write(folder, State(port=port, version="0.16.8", processes={"postgres": GONE, "letta": GONE}))
    places.remember(port, folder)
    return folder


def test_a_port_that_somebody_else_has_is_refused_before_anything_is_done(taken: int, tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=f"port {taken} is taken by another program") as caught:
        local.up(taken, tmp_path / "data")
    assert caught.value.hint is not None
    assert "--port 0" in caught.value.hint


def test_a_folder_with_other_things_in_it_is_refused_and_stays_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "home").write_text("mine")
    with pytest.raises(LocalError, match="holds other things"):
        local.up(0, tmp_path / "data")
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["home"]


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_has_to_be_one(port: int) -> None:
    with pytest.raises(LocalError, match="is not a port"):
        local.up(port)


def test_down_does_nothing_where_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert local.down(20001) is False
    assert local.down(data=tmp_path / "absent") is False
    assert local.down(data=tmp_path / "data", purge=True) is False
    assert list((tmp_path / "data").iterdir()) == []


def test_down_needs_to_know_which() -> None:
    with pytest.raises(LocalError, match="which server"):
        local.down(None)


def test_down_clears_up_after_a_crash_and_never_kills_a_stranger_with_the_same_pid(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    assert local.status(data=folder)[0].condition == "stopped"
    # The recorded pid is this very process: it would not survive a mistake.
    assert local.down(data=folder) is False
    left = state.read(folder)
    assert left is not None
    assert left.processes == {}


@pytest.mark.skipif(not process.PROC.is_dir(), reason="needs /proc")
def test_down_ends_what_outlived_its_parents(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    orphan = process.start(
        ["/bin/sleep", "600"],
        log=folder / "letta.log",
        folder=folder,
        environment={"HOME": str(folder / "home")},
    )
    assert local.down(data=folder) is True
    assert not orphan.alive()


def test_a_start_that_was_cut_off_is_cleared_up_without_waiting_for_a_letta_that_never_was(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    left = process.start(
        ["/bin/sleep", "600"], log=folder / "postgres.log", folder=folder, environment={"HOME": str(folder / "home")}
    )
    state.write(folder, State(port=20000, processes={"postgres": left}))
    said: list[str] = []
    began = time.monotonic()
    with pytest.raises(AssertionError, match="nothing may be installed"):
        local.up(0, folder, progress=said.append)
    assert time.monotonic() - began < 5
    assert said == ["the last server here did not end well; clearing up after it"]
    assert not left.alive()


def asked_for(monkeypatch: pytest.MonkeyPatch, folder: Path, **told: str) -> str:
    """The release that an `up` would install."""
    seen: list[str] = []

    def installed(_: object, release: str) -> Path:
        seen.append(release)
        raise AssertionError

    monkeypatch.setattr("lettaform.local.environment.environment", installed)
    with pytest.raises(AssertionError):
        local.up(0, folder, **told)  # type: ignore[arg-type]
    return seen[0]


def test_data_keep_the_release_that_made_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked_for(monkeypatch, tmp_path / "new") == local.LETTA
    assert asked_for(monkeypatch, tmp_path / "new", letta="0.16.4") == "0.16.4"
    monkeypatch.setenv("LETTAFORM_LETTA", "0.16.5")
    assert asked_for(monkeypatch, tmp_path / "new") == "0.16.5"
    assert asked_for(monkeypatch, tmp_path / "new", letta="0.16.4") == "0.16.4"
    assert asked_for(monkeypatch, crashed(tmp_path / "data")) == "0.16.8"
    with pytest.raises(LocalError, match=r"are those of Letta 0\.16\.8, which 0\.16\.4 cannot read") as caught:
        local.up(0, tmp_path / "data", letta="0.16.4")
    assert "--purge" in str(caught.value.hint)


def test_the_echo_model_is_not_promised_where_agents_cannot_have_it(tmp_path: Path) -> None:
    with pytest.raises(LocalError, match=r"0\.16\.1 lists the echo model and refuses it"):
        local.up(0, tmp_path / "data", letta="0.16.1", echo_model=True)


def test_what_the_file_system_refuses_is_an_error_for_people(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    (folder / "dev.json").unlink()
    (folder / "dev.json").mkdir()
    with pytest.raises(LocalError, match=r"dev\.json"):
        local.up(0, folder)


def test_purge_deletes_what_is_ours_and_not_a_file_more(tmp_path: Path) -> None:
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


def test_purge_removes_the_folder_if_nothing_else_is_in_it(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    local.down(data=folder, purge=True)
    assert not folder.exists()


def test_status_lists_all_or_one_and_a_port_finds_its_data(tmp_path: Path) -> None:
    first, second = crashed(tmp_path / "first", 20002), crashed(places.default_data(20001), 20001)
    assert [known.data for known in local.status()] == [second, first]
    assert [known.data for known in local.status(20002)] == [first]
    assert [known.data for known in local.status(20001)] == [second]
    assert local.status(20003) == ()
    assert {(known.condition, known.pid) for known in local.status()} == {("stopped", None)}


def test_a_server_that_has_lost_a_process_is_broken(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    alive = Process(os.getpid(), process.birth(os.getpid()) or "")
    state.write(folder, State(port=20000, processes={"postgres": alive, "letta": GONE}))
    (known,) = local.status()
    assert (known.condition, known.pid) == ("broken", None)


def test_a_data_folder_whose_port_has_changed_is_not_found_by_the_old_one(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data", 20002)
    state.write(folder, State(port=20005))
    assert local.status(20002) == ()


def test_logs_end_with_the_last_lines(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    (folder / "letta.log").write_text("one\ntwo\nthree\n")
    (folder / "postgres.log").write_text("ready\n")
    assert list(local.logs(20000, lines=2)) == ["two", "three"]
    assert list(local.logs(data=folder, lines=0)) == []
    assert list(local.logs(data=folder, of="postgres")) == ["ready"]


def test_logs_that_are_followed_go_on_with_whole_lines(tmp_path: Path) -> None:
    folder = crashed(tmp_path / "data")
    with (folder / "letta.log").open("w", buffering=1) as log:
        log.write("one\n")
        lines = local.logs(data=folder, follow=True)
        assert next(lines) == "one"
        log.write("two\nthree\n")
        assert [next(lines), next(lines)] == ["two", "three"]


def test_logs_of_a_server_that_never_was() -> None:
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


def test_model_keys_are_passed_on_and_nothing_else_that_is_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    passed = variables(monkeypatch, tmp_path, State(port=1))
    assert (passed["OPENAI_API_KEY"], passed["ANTHROPIC_API_KEY"]) == ("sk-real", "sk-ant")
    assert "AWS_SECRET_ACCESS_KEY" not in passed
    assert passed["LETTA_PG_URI"].startswith("postgresql://")
    assert "LETTA_SERVER_PASSWORD" not in passed
    assert passed["HTTPS_PROXY"] == "http://proxy:1"
    assert passed["NO_PROXY"] == "example.org,127.0.0.1,localhost"


def test_the_echo_model_is_the_only_one_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    passed = variables(monkeypatch, tmp_path, State(port=1, echo_port=20001), "secret")
    assert "ANTHROPIC_API_KEY" not in passed
    assert (passed["OPENAI_API_KEY"], passed["OPENAI_API_BASE"]) == ("echo", "http://127.0.0.1:20001/v1")
    assert (passed["LETTA_SERVER_SECURE"], passed["LETTA_SERVER_PASSWORD"]) == ("true", "secret")
