"""Connection and manifest errors: one clear line, exit code 1, no write request."""

from __future__ import annotations

import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from lettaform import local
from lettaform.cli import cli
from tests.live.fleet import Fleet


@contextmanager
def serve_fixed_answer(status: int, body: bytes = b"{}", **headers: str) -> Iterator[tuple[str, list[Any]]]:
    """A server on loopback that gives the same answer to every request, and records the request headers."""
    seen: list[Any] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(ConnectionError):
                self.wfile.write(body)

        def log_message(self, format: str, *words: Any) -> None:
            """No log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "lettaform.yaml").write_text("stack: s\nagents: {a: {model: letta/letta-free}}\n")
    return tmp_path


def run_plan(folder: Path, url: str) -> tuple[int, list[str]]:
    result = CliRunner().invoke(cli, ["-C", str(folder), "--server", url, "plan"])
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    return result.exit_code, result.stderr.splitlines()


def test_plan_reports_unreachable_server(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    code, lines = run_plan(folder, url)
    assert (code, lines[0]) == (1, f"Error: no server answers at {url}")
    assert "lettaform dev up" in lines[1]


@pytest.mark.parametrize("url", ["localhost:8283", "ftp://x", "http://", "not a url", "http://[::1"])
def test_plan_reports_invalid_server_url(folder: Path, url: str) -> None:
    code, lines = run_plan(folder, url)
    assert code == 1
    assert "is not the address of a server" in lines[0]


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b'{"status": "ok"}', b""])
def test_plan_reports_server_that_is_not_letta(folder: Path, body: bytes) -> None:
    with serve_fixed_answer(200, body) as (url, _):
        code, lines = run_plan(folder, url)
    assert code == 1
    assert "not a Letta server" in lines[0] or "not JSON" in lines[0]


def test_plan_reports_server_without_health_route(folder: Path) -> None:
    with serve_fixed_answer(404) as (url, _):
        code, lines = run_plan(folder, url)
    assert (code, lines[0]) == (1, f"Error: {url} answers, but is not a Letta server")


def test_plan_does_not_follow_redirect_with_token(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LETTA_API_KEY", "t0ken-sentinel")
    with (
        serve_fixed_answer(200) as (elsewhere, seen),
        serve_fixed_answer(307, Location=f"{elsewhere}/v1/health/") as (url, _),
    ):
        code, lines = run_plan(folder, url)
    assert code == 1
    assert "redirects" in lines[0]
    assert seen == []


def test_plan_reports_unknown_model_with_place_and_suggestion(fleet: Fleet) -> None:
    fleet.write("agents: {a: {model: letta/letta-fre}}")
    result = CliRunner().invoke(cli, ["-C", str(fleet.folder), "--server", fleet.connection.url or "", "plan"])
    assert result.exit_code == 1
    assert "the server has no model `letta/letta-fre`" in result.stderr
    assert "letta/letta-free" in result.stderr
    assert "lettaform.yaml:3:" in result.stderr


def test_plan_reports_tool_source_without_derivable_schema(fleet: Fleet) -> None:
    source = 'def shout(text):\n    """Shout."""\n    return text\n'
    fleet.write("tools: {t: {source: t.py}}", t_py=source)
    result = CliRunner().invoke(cli, ["-C", str(fleet.folder), "--server", fleet.connection.url or "", "plan"])
    assert result.exit_code == 1
    assert "the server cannot derive a schema" in result.stderr
    assert fleet.tools() == []


@pytest.mark.slow  # a server of its own
def test_plan_reports_missing_password(folder: Path) -> None:
    data = Path(tempfile.mkdtemp()) / "data"
    server = local.up(0, data, password="open sesame")
    try:
        code, lines = run_plan(folder, server.url)
        assert (code, lines[0]) == (1, f"Error: {server.url} does not let us in (401)")
        assert "LETTA_API_KEY" in lines[1]
        result = CliRunner().invoke(
            cli, ["-C", str(folder), "--server", server.url, "plan"], env={"LETTA_API_KEY": "open sesame"}
        )
        assert result.exit_code == 0, result.stderr
    finally:
        local.down(data=data, purge=True)
        data.parent.rmdir()
