"""A local server: started, found, ended. `up` and `down` say how; the other files say with what."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from lettaform.errors import LocalError
from lettaform.local import environment, places, postgres, process, state
from lettaform.local.places import Progress
from lettaform.local.state import State

MODELS = {
    False: ("letta/letta-free", "letta/letta-free"),
    True: ("openai-proxy/echo", "openai/text-embedding-3-small"),
}
"""The handles of a model and an embedding that are there from the start, without and with the echo model."""

ECHO_SINCE = (0, 16, 2)
"""Whose agents take `openai-proxy/echo`: 0.15.1, 0.16.0 and 0.16.1 list it and answer 400 to it."""

MODEL_KEYS = (
    *("ANTHROPIC_", "AZURE_", "BASETEN_", "DEEPSEEK_", "FIREWORKS_", "GEMINI_", "GOOGLE_", "GROQ_", "LMSTUDIO_"),
    *("MINIMAX_", "MISTRAL_", "OLLAMA_", "OPENAI_", "OPENLLM_", "OPENROUTER_", "SGLANG_", "TOGETHER_", "VLLM_", "XAI_"),
    *("ZAI_", "BEDROCK_"),
)
"""How the names of the variables begin in which Letta looks for models. Not AWS_: those open far more than a model."""

SURROUNDINGS = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")

OURS = ("home", "postgres", "run", "tools", "letta.log", "postgres.log", "echo.log", "openapi_letta.json", "dev.json")
"""All that a data folder of ours holds, but for the lock: what `purge` deletes, and not a file more."""
LOCK = "dev.lock"


@dataclass(frozen=True)
class Running:
    """A server that is healthy. `pid` is Letta's own process; `password` is the one that was given, if any."""

    url: str
    version: str
    model: str
    embedding: str
    data: Path
    pid: int
    password: str | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.data / "letta.log"


@dataclass(frozen=True)
class Known:
    """A server that was once started here. `broken`: some of its processes are gone, or it does not answer."""

    url: str
    condition: Literal["running", "broken", "stopped"]
    version: str
    model: str
    embedding: str
    data: Path
    pid: int | None


def up(
    port: int = 8283,
    data: Path | str | None = None,
    *,
    letta: str | None = None,
    echo_model: bool = False,
    password: str | None = None,
    timeout: float = 120,
    progress: Progress | None = None,
) -> Running:
    """Start a server, or find the one that already runs there. Port 0 means a free one.

    `data` is the folder that keeps everything between runs. `letta` is the release: unless given, the one that made the
    data, or the one that LETTAFORM_LETTA names, or 0.16.8. With `echo_model` agents answer without a key, by a small
    model that repeats what it hears; without it, the model keys in the environment are passed on. With `password` every
    request has to carry it as a bearer token. `timeout` is in seconds and counts from the end of an installation, which
    happens once. Raises LocalError, after stopping whatever it had started.
    """
    tell = progress or _silent
    if os.name != "posix":
        raise LocalError("a local server needs Linux or macOS", "on Windows, run lettaform inside WSL")
    if not 0 <= port <= 65535:
        raise LocalError(f"{port} is not a port", "ports are 1 to 65535; 0 means a free one")
    folder = _folder(port, data)
    if folder is None:
        port = _free_port()
        folder = places.default_data(port)
    with _held(folder, tell):
        _claim(folder)
        before = state.read(folder)
        release = _release(before, letta, folder)
        if echo_model and environment.number(release) < ECHO_SINCE:
            raise LocalError(f"Letta {release} lists the echo model and refuses it", "leave it out; 0.16.2 takes it")
        if before is not None and before.processes:
            if _whole(before) and _healthy(before, patience=30):
                return _found(before, folder, port, echo_model, password)
            tell("the last server here did not end well; clearing up after it")
            _end(folder, before)
        port = port or _free_port()
        _require_free(port)
        python = environment.environment(tell, release)
        planned = _planned(before, release, port, echo_model, password)
        return _start(python, folder, planned, password, timeout, tell)


def down(port: int | None = 8283, data: Path | str | None = None, *, purge: bool = False) -> bool:
    """Stop the server of this data folder, or of this port; whether anything ran. With `purge` its data go, too."""
    folder = _folder(port or 0, data)
    if folder is None:
        raise LocalError("which server?", "name it with --port or --data")
    if not folder.is_dir():
        places.forget(folder)
        return False
    with _held(folder, _silent):
        known = state.read(folder)
        if known is None:
            (folder / LOCK).unlink()
            return False
        ran = _end(folder, known)
        if purge:
            _purge(folder)
        return ran


def status(port: int | None = None, data: Path | str | None = None) -> tuple[Known, ...]:
    """All servers known here, or the one of this port or this data folder."""
    if port is None and data is None:
        folders = {noted for _, noted in places.noted_ports()}
    else:
        folder = _folder(port or 0, data)
        folders = {folder} if folder is not None else set()
    found = [(folder, known) for folder in folders if (known := state.read(folder)) is not None]
    return tuple(_known(folder, known) for folder, known in sorted(found, key=lambda pair: (pair[1].port, pair[0])))


def logs(
    port: int = 8283,
    data: Path | str | None = None,
    *,
    lines: int = 50,
    follow: bool = False,
    of: Literal["letta", "postgres"] = "letta",
) -> Iterator[str]:
    """The last lines of the server's log, or of its PostgreSQL's; with `follow` also those to come, for ever."""
    folder = _folder(port, data)
    file = (folder or Path()) / f"{of}.log"
    if folder is None or not file.is_file():
        raise LocalError(f"no server was started on port {port} yet" if data is None else f"there is no log in {data}")
    with file.open(errors="replace") as opened:
        yield from [line.rstrip("\n") for line in deque(opened, maxlen=lines)]
        rest = ""
        while follow:
            rest += opened.readline()
            if rest.endswith("\n"):
                yield rest.rstrip("\n")
                rest = ""
            else:
                time.sleep(0.2)


def _silent(_: str) -> None:
    pass


def _folder(port: int, data: Path | str | None) -> Path | None:
    """Named by `data`; else whatever the port was last used with, while that lives; else the port's own."""
    if data is not None:
        return Path(data).expanduser().resolve()
    if port == 0:
        return None
    noted = places.noted(port)
    own = places.default_data(port)
    if noted is None or noted == own:
        return own
    known = state.read(noted)
    return noted if known is not None and known.port == port else own


@contextlib.contextmanager
def _held(folder: Path, tell: Progress) -> Iterator[None]:
    """Keep everybody else away from this folder. A full disk, or a file of another user, becomes a LocalError."""
    with places.locked(folder / LOCK, lambda: tell("another lettaform is busy with this server; waiting")):
        try:
            yield
        except OSError as error:
            raise LocalError(f"{error.filename or folder}: {error.strerror or error}") from error


def _claim(folder: Path) -> None:
    """Refuse a folder with other things in it: `purge` could not tell them from ours."""
    if not state.file_of(folder).exists() and any(entry.name != LOCK for entry in folder.iterdir()):
        (folder / LOCK).unlink()
        raise LocalError(f"{folder} holds other things", "name an empty folder, or one that does not exist yet")


def _release(before: State | None, asked: str | None, folder: Path) -> str:
    """The release to run. Tables fit the one that made them: no wheel knows how to migrate them."""
    made = before.version if before else ""
    if asked and made and asked != made:
        raise LocalError(
            f"the data in {folder} are those of Letta {made}, which {asked} cannot read",
            "choose another --port or --data, or delete them with `dev down --purge`",
        )
    return asked or made or os.environ.get("LETTAFORM_LETTA") or environment.LETTA


def _found(known: State, folder: Path, port: int, echo_model: bool, password: str | None) -> Running:
    if port not in (0, known.port):
        raise LocalError(f"the server of {folder} already runs on port {known.port}", "stop it first with `dev down`")
    if echo_model and known.echo_port is None:
        raise LocalError(f"{known.url} already runs, without the echo model", "stop it first with `dev down`")
    if state.digest(password) != known.password:
        raise LocalError(f"{known.url} already runs, with another password or none", "stop it first with `dev down`")
    return _running(known, folder, password)


def _running(known: State, folder: Path, password: str | None) -> Running:
    pid = known.processes["letta"].pid
    return Running(known.url, known.version, known.model, known.embedding, folder, pid, password)


def _known(folder: Path, known: State) -> Known:
    condition: Literal["running", "broken", "stopped"] = "stopped"
    if any(each.alive() for each in known.processes.values()):
        condition = "running" if _whole(known) and _healthy(known, patience=2) else "broken"
    pid = known.processes["letta"].pid if condition == "running" else None
    return Known(known.url, condition, known.version, known.model, known.embedding, folder, pid)


def _whole(known: State) -> bool:
    """Whether nothing died. Letta starts last: without it, an `up` was killed on the way."""
    return "letta" in known.processes and all(each.alive() for each in known.processes.values())


def _planned(before: State | None, release: str, port: int, echo_model: bool, password: str | None) -> State:
    model, embedding = MODELS[echo_model]
    # An agent keeps the address of its model's endpoint for life: the echo model has to come back on the same port.
    echo_port = (before and before.echo_port) or _free_port()
    return State(
        port=port,
        version=release,
        model=model,
        embedding=embedding,
        echo_port=echo_port if echo_model else None,
        password=state.digest(password),
    )


def _start(python: Path, folder: Path, planned: State, password: str | None, timeout: float, tell: Progress) -> Running:
    deadline = time.monotonic() + timeout
    current = planned
    try:
        sockets = postgres.place_sockets(folder)
        current = replace(current, sockets=None if sockets.parent == folder else str(sockets))
        state.write(folder, current)
        places.remember(current.port, folder)
        base = _base_environment(folder)

        database = postgres.start(python, folder, sockets, base, tell)
        current = current.with_process("postgres", database)
        state.write(folder, current)
        if current.echo_port is not None:
            current = _start_echo(python, folder, current, base)
            state.write(folder, current)
        postgres.wait(database, folder, deadline)

        log = folder / "letta.log"
        said = log.stat().st_size if log.is_file() else 0
        tell(f"starting Letta {current.version} on port {current.port}")
        command = [str(python), str(Path(__file__).with_name("serve.py")), str(current.port)]
        variables = {**base, **letta_environment(folder, python, sockets, current, password)}
        letta = process.start(command, log=log, folder=folder, environment=variables)
        current = current.with_process("letta", letta)
        state.write(folder, current)
        version = _wait(current, log, said, deadline, password)
        current = replace(current, version=version)
        state.write(folder, current)
    except BaseException:
        _end(folder, current)
        raise
    return _running(current, folder, password)


def _base_environment(folder: Path) -> dict[str, str]:
    """The same for all processes. HOME is also the mark by which `process.residents` knows ours."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in SURROUNDINGS if name in os.environ}
    return {"PATH": os.defpath, **kept, "HOME": str(home)}


def letta_environment(
    folder: Path, python: Path, sockets: Path, planned: State, password: str | None
) -> dict[str, str]:
    shared = python.parent.parent / "nltk_data"
    shared.mkdir(exist_ok=True)
    variables = {
        "LETTA_PG_URI": postgres.uri(sockets),
        "LETTA_DIR": str(folder / "home" / ".letta"),
        "TOOL_EXEC_DIR": str(folder / "tools"),
        "NLTK_DATA": str(shared),
        "LETTA_DISABLE_TRACING": "true",
        "LETTA_DISABLE_SQLALCHEMY_POOLING": "false",
        "MCP_DISABLE_STDIO": "false",
        "PYTHONUNBUFFERED": "1",
        **_network(),
    }
    if planned.echo_port is not None:
        variables |= {"OPENAI_API_KEY": "echo", "OPENAI_API_BASE": f"http://127.0.0.1:{planned.echo_port}/v1"}
    else:
        variables |= {name: value for name, value in os.environ.items() if name.startswith(MODEL_KEYS)}
    if password is not None:
        variables |= {"LETTA_SERVER_SECURE": "true", "LETTA_SERVER_PASSWORD": password}
    return variables


def _network() -> dict[str, str]:
    """The way to the models outside, with loopback spared from any proxy."""
    spelled = [*NETWORK, *(name.lower() for name in NETWORK)]
    kept = {name: os.environ[name] for name in spelled if os.environ.get(name)}
    direct = [os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "", "127.0.0.1", "localhost"]
    spared = ",".join(filter(None, direct))
    return {**kept, "NO_PROXY": spared, "no_proxy": spared}


def _start_echo(python: Path, folder: Path, current: State, base: dict[str, str]) -> State:
    """Several attempts: between finding a free port and taking it, somebody else may."""
    script = Path(__file__).with_name("echo.py")
    for _ in range(3):
        port = current.echo_port if _is_free(current.echo_port or 0) else _free_port()
        echo = process.start(
            [python, "-I", script, "--port", str(port)], log=folder / "echo.log", folder=folder, environment=base
        )
        for _ in range(200):
            if not echo.alive():
                break
            if _connects(port or 0):
                return replace(current, echo_port=port).with_process("echo", echo)
            time.sleep(0.05)
        process.end([echo.pid])
        current = replace(current, echo_port=_free_port())
    raise LocalError("the echo model does not start", f"its log is {folder / 'echo.log'}")


def _wait(current: State, log: Path, said: int, deadline: float, password: str | None) -> str:
    """The version, once it is healthy. Raises LocalError with the end of its log."""
    letta = current.processes["letta"]
    while time.monotonic() < deadline and letta.alive():
        version = _health(current.port, timeout=2)
        if version:
            return version
        time.sleep(0.2)
    why = "does not become healthy in time" if letta.alive() else "ended before it was healthy"
    with log.open(errors="replace") as opened:
        opened.seek(said)
        tail = "".join(opened.readlines()[-15:]).strip()
    if password:
        tail = tail.replace(password, "‹password›")
    raise LocalError(f"Letta {why}. The end of its log:\n{tail}", f"all of it is in {log}")


def _healthy(known: State, patience: float) -> bool:
    """Whether it answers. A server that is busy may need a while to."""
    deadline = time.monotonic() + patience
    while not (answer := _health(known.port, timeout=patience)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer is not None


def _health(port: int, timeout: float) -> str | None:
    """The version of the Letta that answers on this port."""
    import httpx

    with contextlib.suppress(httpx.HTTPError, ValueError, AttributeError, TypeError):
        # No proxy from the environment may come between us and loopback.
        with httpx.Client(trust_env=False, timeout=timeout) as client:
            answer = client.get(f"http://127.0.0.1:{port}/v1/health/")
        if answer.status_code == 200 and answer.json().get("status") == "ok":
            return str(answer.json()["version"])
    return None


def _require_free(port: int) -> None:
    if _is_free(port):
        return
    version = _health(port, timeout=2)
    who = f"a Letta {version} that was not started here" if version else "another program"
    raise LocalError(f"port {port} is taken by {who}", "choose another with --port; --port 0 takes any free one")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers themselves do: a connection that has just ended does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return port != 0


def _free_port() -> int:
    """Below those that the system hands out by itself, and not one whose data folder already exists."""
    chosen = random.Random()  # noqa: S311 - two of us at once shall not choose alike; nothing is kept secret
    for _ in range(1000):
        port = chosen.randrange(20000, 32000)
        if _is_free(port) and not places.default_data(port).exists():
            return port
    raise LocalError("no free port could be found", "name one with --port")


def _connects(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(folder: Path, known: State) -> bool:
    """End all of its processes, whatever they started, and whatever outlived a crash; whether there were any."""
    alive = {name: each.pid for name, each in known.processes.items() if each.alive()}
    postmaster = postgres.running(postgres.cluster(folder))
    home = folder / "home"
    ran = bool(alive or postmaster or process.residents(home))

    # Letta ends what it started if it is asked to; tools and MCP servers that it does not end are ended after it.
    started = process.descendants([alive["letta"]]) if "letta" in alive else set()
    process.end(_only(alive.get("letta")), grace=8)
    process.end(started | set(_only(alive.get("echo"))), grace=2)
    # SIGINT: PostgreSQL closes its connections and ends cleanly. On SIGTERM it would wait for them.
    process.end(_only(alive.get("postgres")) + _only(postmaster), signal.SIGINT, grace=20)
    for _ in range(5):  # what is ended may start another while it ends
        process.end(process.residents(home), grace=2)

    shutil.rmtree(folder / "run", ignore_errors=True)
    if known.sockets:
        shutil.rmtree(known.sockets, ignore_errors=True)
    state.write(folder, known.stopped())
    return ran


def _only(pid: int | None) -> list[int]:
    return [] if pid is None else [pid]


def _purge(folder: Path) -> None:
    for name in OURS:
        entry = folder / name
        try:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
        except OSError as error:
            raise LocalError(f"cannot delete {error.filename or entry}: {error.strerror}") from error
    places.forget(folder)
    (folder / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()  # a folder with somebody else's files in it stays
