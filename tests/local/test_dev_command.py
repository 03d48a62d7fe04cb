from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lettaform import local
from lettaform.cli import cli

SERVER = local.Running("http://127.0.0.1:9000", "0.16.8", "openai-proxy/echo", "openai/e", Path("/data"), 12, "secret")
KNOWN = local.Known("http://127.0.0.1:9000", "running", "0.16.8", "openai-proxy/echo", "openai/e", Path("/data"), 12)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    seen: list[object] = []

    def up(port: int, data: Path | None, **options: object) -> local.Running:
        progress = options.pop("progress")
        assert callable(progress)
        progress("starting")
        seen.append((port, data, options))
        return SERVER

    monkeypatch.setattr(local, "up", up)
    return seen


def test_up_with_json_prints_only_json_on_stdout(started: list[object]) -> None:
    words = "up --port 9000 --data /data --letta 0.16.8 --echo-model --password secret --timeout 60 --json"
    result = CliRunner().invoke(cli, ["dev", *words.split()], catch_exceptions=False)
    assert json.loads(result.stdout) == {
        "url": "http://127.0.0.1:9000",
        "version": "0.16.8",
        "model": "openai-proxy/echo",
        "embedding": "openai/e",
        "data": "/data",
        "pid": 12,
    }
    assert result.stderr == "starting\n"
    asked = {"letta": "0.16.8", "echo_model": True, "password": "secret", "timeout": 60.0}
    assert started == [(9000, Path("/data"), asked)]


def test_up_prints_the_url_the_log_and_the_command_that_stops_it(started: list[object]) -> None:
    result = CliRunner().invoke(cli, ["dev", "up"], catch_exceptions=False)
    assert started == [(8283, None, {"letta": None, "echo_model": False, "password": None, "timeout": 120})]
    use = "export LETTA_BASE_URL=http://127.0.0.1:9000"  # not the port where verbs look by default
    for words in ("http://127.0.0.1:9000", "/data/letta.log", "lettaform dev down --port 9000", use):
        assert words in result.stdout
    assert "secret" not in result.output


def test_down_all_stops_every_server(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[object] = []
    monkeypatch.setattr(local, "status", lambda: (KNOWN,))

    def down(_: int, data: Path, purge: bool) -> bool:
        stopped.append((data, purge))
        return True

    monkeypatch.setattr(local, "down", down)
    result = CliRunner().invoke(cli, ["dev", "down", "--all", "--purge"], catch_exceptions=False)
    assert stopped == [(Path("/data"), True)]
    assert result.stdout == "stopped the server of /data, data deleted\n"


def test_down_all_with_a_port_is_an_error() -> None:
    result = CliRunner().invoke(cli, ["dev", "down", "--all", "--port", "1"])
    assert result.exit_code == 1
    assert "--all cannot be combined with --port" in result.stderr


def test_status_lists_every_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "status", lambda port, data: (KNOWN,))
    listed = CliRunner().invoke(cli, ["dev", "status", "--json"], catch_exceptions=False)
    assert json.loads(listed.stdout)["servers"][0]["condition"] == "running"
    assert "running" in CliRunner().invoke(cli, ["dev", "status"], catch_exceptions=False).stdout


def test_logs_prints_the_lines_of_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[object] = []

    def logs(port: int, data: Path | None, **options: object) -> list[str]:
        calls.append((port, data, options))
        return ["one", "two"]

    monkeypatch.setattr(local, "logs", logs)
    result = CliRunner().invoke(cli, ["dev", "logs", "-n", "2", "--postgres"], catch_exceptions=False)
    assert result.stdout == "one\ntwo\n"
    assert calls == [(8283, None, {"lines": 2, "follow": False, "of": "postgres"})]
