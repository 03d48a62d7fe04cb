"""The URL, the key and the project of a run: the option, the environment, the manifest."""

from __future__ import annotations

import json
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner, Result

from lettaform import flow
from lettaform.cli import cli
from lettaform.client import pools
from lettaform.errors import ManifestError, Stale
from lettaform.model import Server
from lettaform.session.server import DEFAULT_URL, Connection, Target, is_same_server, target
from lettaform.values import Secret
from tests.standin import StandIn
from tests.standin.server import serve

A, B = "http://a", "http://b"
KEY = {"LETTA_API_KEY": "key"}
AT_A = {"LETTA_BASE_URL": A}


@pytest.mark.parametrize(
    ("connection", "manifest", "environ", "url", "token", "project"),
    [
        (Connection(), Server(), {}, DEFAULT_URL, None, None),
        (Connection(), Server(B, project="mine"), {}, B, None, "mine"),
        (Connection(), Server(B, project="mine"), AT_A | {"LETTA_PROJECT": "theirs"}, A, None, "theirs"),
        (Connection(B, project="ours"), Server(A), AT_A | {"LETTA_PROJECT": "theirs"}, B, None, "ours"),
        # the key of the environment goes only to a URL that the user has chosen for this run
        (Connection(), Server(), KEY, DEFAULT_URL, None, None),
        (Connection(), Server(B), KEY, B, None, None),
        (Connection(), Server(B), KEY | AT_A, A, "key", None),
        (Connection(B), Server(B), KEY, B, "key", None),
        (Connection(B), Server(), KEY | AT_A, B, "key", None),
        # the key of the manifest goes only to the URL of the manifest
        (Connection(), Server(B, Secret("${env.X}", "own")), KEY, B, "own", None),
        (Connection(A), Server(B, Secret("${env.X}", "own")), {}, A, None, None),
        (Connection(f"{B}/"), Server(B, Secret("${env.X}", "own")), {}, f"{B}/", "own", None),
        (Connection(B), Server(B, Secret("${env.X}", "own")), KEY, B, "key", None),
        # of two servers, the key of the environment goes to the one that LETTA_BASE_URL names
        (Connection(B, key_option="--to-key-env"), Server(), KEY, B, None, None),
        (Connection(B, key_option="--to-key-env"), Server(), KEY | AT_A, B, None, None),
        (Connection(f"{A}/", key_option="--from-key-env"), Server(), KEY | AT_A, f"{A}/", "key", None),
        (Connection(B, key_option="--to-key-env"), Server(B, Secret("${env.X}", "own")), KEY | AT_A, B, "own", None),
        # a key that a program passes goes where it says
        (Connection(token="given"), Server(B), KEY, B, "given", None),
    ],
)
def test_the_option_wins_then_the_environment_then_the_manifest(
    connection: Connection,
    manifest: Server,
    environ: dict[str, str],
    url: str,
    token: str | None,
    project: str | None,
) -> None:
    found = target(connection, manifest, environ)
    assert (found.url, found.token, found.project) == (url, token, project)


def test_a_saved_plan_pins_the_url_and_chooses_it_for_no_key() -> None:
    assert target(Connection(), Server(B), KEY, pinned=A).token is None
    assert target(Connection(), Server(B), KEY, pinned=A).url == A
    assert target(Connection(f"{A}/"), Server(B), KEY, pinned=A).token == "key"
    assert target(Connection(), Server(A, Secret("x", "own")), {}, pinned=A).token == "own"
    for connection, environ in ((Connection(B), {}), (Connection(), {"LETTA_BASE_URL": B})):
        with pytest.raises(Stale, match=f"the plan was made for {A}, and .* names {B}"):
            target(connection, Server(A), environ, pinned=A)


def test_only_a_key_that_was_held_back_gets_advice() -> None:
    assert target(Connection(), Server(B), {}).advice is None
    assert target(Connection(B), Server(), KEY).advice is None
    assert "--server http://b" in str(target(Connection(), Server(B), KEY).advice)
    assert "${env.LETTA_API_KEY}" not in str(target(Connection(), Server(), KEY).advice)
    assert Target(A).advice is None


# --- a server that asks for a key ------------------------------------------------------------------------------------


class Guarded:
    """A stand-in behind a password. `keys`: what it was sent."""

    def __init__(self) -> None:
        self.keys: set[str | None] = set()
        guard = self

        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                guard.keys.add(self.headers.get("authorization"))
                self.send_response(401)
                self.send_header("content-length", "0")
                self.end_headers()

            do_POST = do_GET

            def log_message(self, format: str, *args: object) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()


@contextmanager
def guard() -> Iterator[Guarded]:
    found = Guarded()
    yield found
    found.http.shutdown()
    found.http.server_close()


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    with guard() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LETTA_BASE_URL", "LETTA_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LETTA_API_KEY", "a-key")
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, ["-C", str(folder), *words])


READING = ["plan", "show", "state list", "lock show", "apply -y", "destroy -y", "import blocks.b block-1"]


@pytest.mark.parametrize("verb", READING)
def test_no_verb_sends_the_key_of_the_environment_to_the_url_of_a_manifest(
    verb: str, guarded: Guarded, folder: Path
) -> None:
    (folder / "lettaform.yaml").write_text(f"stack: s\nserver: {{url: '{guarded.url}'}}\nblocks: {{b: {{value: x}}}}\n")
    refused = run(folder, *verb.split())
    assert (refused.exit_code, guarded.keys) == (1, {None})
    assert "LETTA_API_KEY was not sent" in refused.stderr
    # each remedy that the error names is tried
    assert f"--server {guarded.url}" in refused.stderr
    run(folder, "--server", guarded.url, *verb.split())
    assert guarded.keys == {None, "Bearer a-key"}


def test_the_other_remedies_send_the_key_too(guarded: Guarded, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, line = folder / "lettaform.yaml", 'api_key: "${env.LETTA_API_KEY}"'
    path.write_text(f"stack: s\nserver: {{url: '{guarded.url}'}}\n")
    advice = run(folder, "plan").stderr
    assert f"LETTA_BASE_URL={guarded.url}" in advice
    assert line in advice
    # each remedy has a server of its own: a request of the refused plan may arrive after that plan has ended
    with guard() as other, monkeypatch.context() as patch:
        path.write_text(f"stack: s\nserver: {{url: '{other.url}'}}\n")
        patch.setenv("LETTA_BASE_URL", other.url)
        assert "LETTA_API_KEY was not sent" not in run(folder, "plan").stderr
        assert other.keys == {"Bearer a-key"}
    with guard() as other:
        path.write_text(f"stack: s\nserver:\n  url: {other.url}\n  {line}\n")
        run(folder, "plan")
        assert other.keys == {"Bearer a-key"}


def test_the_environment_wins_over_the_url_of_the_manifest(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "lettaform.yaml").write_text("stack: s\nserver: {url: 'http://127.0.0.1:1'}\nblocks: {b: {value: x}}\n")
    assert "no server answers at http://127.0.0.1:1" in run(folder, "plan").stderr
    with serve(StandIn()) as url:
        monkeypatch.setenv("LETTA_BASE_URL", url)
        planned = run(folder, "plan", "--json", "-o", str(folder / "plan.json"))
        assert json.loads(planned.stdout)["server"]["url"] == url
        monkeypatch.delenv("LETTA_BASE_URL")
        # the saved plan goes to the server that it was made for
        assert run(folder, "apply", "-y", str(folder / "plan.json")).exit_code == 0
        monkeypatch.setenv("LETTA_BASE_URL", "http://127.0.0.1:1")
        stale = run(folder, "apply", "-y", str(folder / "plan.json"))
    assert stale.exit_code == 6
    assert f"the plan was made for {url}, and LETTA_BASE_URL names http://127.0.0.1:1" in stale.stderr


def test_what_the_manifest_says_about_the_server_needs_values_only_where_it_is_used(folder: Path) -> None:
    text = 'stack: s\nvariables: {where: {}}\nserver: {url: "${var.where}", api_key: "${env.NO_SUCH_KEY}"}\n'
    (folder / "lettaform.yaml").write_text(text)
    with pytest.raises(ManifestError) as refused:
        flow.lock_show(flow.Source(folder), Connection())
    assert [each.message for each in refused.value.problems] == [
        "the variable `where` has no value",
        "the environment variable `NO_SUCH_KEY` is not set",
    ]
    assert run(folder, "validate").exit_code == 0
    with serve(StandIn()) as url:
        assert flow.lock_show(flow.Source(folder), Connection(url)) == []


def test_a_key_of_a_manifest_needs_a_url(folder: Path) -> None:
    (folder / "lettaform.yaml").write_text('stack: s\nserver: {api_key: "${env.LETTA_API_KEY}"}\n')
    refused = run(folder, "validate")
    assert "server.api_key: needs `url`" in refused.stderr
    assert "a-key" not in refused.output


def test_a_key_that_one_of_two_servers_asks_for_is_named_by_an_option() -> None:
    found = target(Connection(B, key_option="--to-key-env"), Server(), KEY)
    assert found.advice == f"write `--to-key-env NAME`: NAME is the environment variable with the key of {B}"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://a", "http://A:80/", True),
        ("https://a.example", "https://a.example.:443", True),
        ("http://localhost:8283", "http://127.0.0.1:8283/", True),
        ("http://[::1]:8283", "http://localhost:8283", True),
        ("http://a", "https://a", False),
        ("http://a:8283", "http://a:8284", False),
        ("http://a/letta", "http://a", False),
        ("http://a:x", "http://a", False),
    ],
)
def test_spellings_of_one_server(one: str, other: str, same: bool) -> None:
    assert is_same_server(one, other) == same


def test_a_url_with_the_path_of_the_api_says_what_to_write(folder: Path) -> None:
    (folder / "lettaform.yaml").write_text("stack: s\nblocks: {b: {value: x}}\n")
    with serve(StandIn()) as url:
        said = run(folder, "--server", f"{url}/v1", "plan")
        assert (said.exit_code, f"write it without `/v1`: {url}\n" in said.stderr) == (1, True)
        assert run(folder, "--server", f"{url}/", "plan").exit_code == 0


def test_https_on_a_server_that_has_none_says_what_to_write(folder: Path) -> None:
    (folder / "lettaform.yaml").write_text("stack: s\nblocks: {b: {value: x}}\n")
    with serve(StandIn()) as url:
        said = run(folder, "--server", url.replace("http:", "https:"), "plan")
    assert said.exit_code == 1
    assert "does not answer with https" in said.stderr
    assert f"if it has none, write {url}\n" in said.stderr


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_is_not_trusted_can_be(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "lettaform.yaml").write_text("stack: s\nblocks: {b: {value: x}}\n")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout {key} -out {certificate}"
    more = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
    subprocess.run([*made.split(), *more.split()], check=True, capture_output=True)
    with serve(StandIn()) as plain, encrypted(plain, key, certificate) as url:
        said = run(folder, "--server", url, "plan")
        assert f"the certificate of {url} is not trusted: self-signed certificate" in said.stderr
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        pools.trusted.cache_clear()  # a process reads it once
        trusted = run(folder, "--server", url, "plan")
        assert trusted.exit_code == 0, trusted.stderr
    pools.trusted.cache_clear()


@contextmanager
def encrypted(plain: str, key: Path, certificate: Path) -> Iterator[str]:
    """A URL with https that leads to a server without."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), context.wrap_socket(self.request, server_side=True) as client:
                address = urlsplit(plain)
                with socket.create_connection((address.hostname or "", address.port or 0)) as server:
                    answers = threading.Thread(target=copy, args=(server, client), daemon=True)
                    answers.start()
                    copy(client, server)
                    answers.join()

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while some := source.recv(65536):
                target.sendall(some)
            target.shutdown(socket.SHUT_WR)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("localhost", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"https://localhost:{server.server_address[1]}"
        server.shutdown()
