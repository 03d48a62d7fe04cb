from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from lettaform.local import postgres, process


def test_the_socket_is_in_the_data_folder_if_its_path_is_short_and_plain() -> None:
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp", prefix="plain-") as folder:
        data = Path(folder)
        assert postgres.place_sockets(data) == data / "run"
        assert postgres.place_sockets(data) == data / "run"


@pytest.mark.parametrize("name", ["x" * 90, "with a space", "a:b", "ü" * 40])
def test_otherwise_the_socket_is_in_a_private_temporary_folder(tmp_path: Path, name: str) -> None:
    data = tmp_path / name
    data.mkdir()
    sockets = postgres.place_sockets(data)
    try:
        assert data not in sockets.parents
        assert len(os.fsencode(sockets / postgres.SOCKET)) <= 103
        assert sockets.stat().st_mode & 0o777 == 0o700
    finally:
        sockets.rmdir()


def test_the_uri_has_the_folder_the_user_and_no_ssl() -> None:
    parts = urlsplit(postgres.uri(Path("/tmp/a+b")))
    assert parse_qs(parts.query) == {"host": ["/tmp/a+b"], "user": ["postgres"], "ssl": ["disable"]}


@pytest.mark.parametrize("text", ["", "nonsense\n", "99999999\n"])
def test_a_postmaster_that_does_not_run_is_not_found(tmp_path: Path, text: str) -> None:
    (tmp_path / "postmaster.pid").write_text(text)
    assert postgres.running(tmp_path) is None


def test_a_pid_of_another_program_is_not_a_postmaster(tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text(f"{os.getpid()}\n")
    assert postgres.running(tmp_path) is None


def test_a_postmaster_is_identified_by_the_folder_in_its_command(tmp_path: Path) -> None:
    code = "import time; time.sleep(600)"
    command = [sys.executable, "-I", "-c", code, "-D", str(tmp_path)]
    one = process.start(command, log=tmp_path / "log", folder=tmp_path, environment={})
    try:
        (tmp_path / "postmaster.pid").write_text(f"{one.pid}\n")
        until = time.monotonic() + 10
        while postgres.running(tmp_path) is None and time.monotonic() < until:
            time.sleep(0.01)  # forked, but the program is not loaded yet
        assert postgres.running(tmp_path) == one.pid
    finally:
        process.end([one.pid])
