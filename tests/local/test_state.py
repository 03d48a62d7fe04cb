from __future__ import annotations

import stat
from pathlib import Path

import pytest

from lettaform.errors import LocalError
from lettaform.local import state
from lettaform.local.process import Process

STARTED = state.State(
    port=8283,
    version="0.16.8",
    model="openai-proxy/echo",
    embedding="openai/text-embedding-3-small",
    echo_port=20001,
    password=state.digest("open sesame"),
    sockets="/tmp/lettaform-1",
).with_process("letta", Process(12, "345"))


def test_read_returns_what_was_written(tmp_path: Path) -> None:
    state.write(tmp_path, STARTED)
    assert state.read(tmp_path) == STARTED


def test_the_file_is_private_and_contains_no_password(tmp_path: Path) -> None:
    state.write(tmp_path, STARTED)
    assert stat.S_IMODE(state.file_of(tmp_path).stat().st_mode) == 0o600
    assert "open sesame" not in state.file_of(tmp_path).read_text()
    assert [file.name for file in tmp_path.iterdir()] == ["dev.json"]


def test_a_folder_without_a_server_has_no_state(tmp_path: Path) -> None:
    assert state.read(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": 1}',
        '{"format": 1, "processes": {"letta": {"pid": 1}}}',
        '{"format": 1, "processes": {}, "unknown": 1}',
    ],
)
def test_a_damaged_file_is_an_error(tmp_path: Path, text: str) -> None:
    state.file_of(tmp_path).write_text(text)
    with pytest.raises(LocalError, match="cannot read"):
        state.read(tmp_path)


def test_a_file_of_another_format_is_an_error(tmp_path: Path) -> None:
    state.file_of(tmp_path).write_text('{"format": 2}')
    with pytest.raises(LocalError, match="another version"):
        state.read(tmp_path)


def test_a_stopped_server_keeps_its_settings_and_has_no_processes() -> None:
    stopped = STARTED.stopped()
    assert (stopped.processes, stopped.sockets) == ({}, None)
    assert (stopped.port, stopped.echo_port, stopped.model) == (8283, 20001, "openai-proxy/echo")
