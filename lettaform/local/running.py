"""Start, find, list and stop local servers."""

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
"""Whether the server has the echo model, to the handles of a model and an embedding that every new server has."""

ECHO_SINCE = (0, 16, 2)
"""The first release whose agents accept `openai-proxy/echo`: 0.15.1, 0.16.0 and 0.16.1 list it and answer 400."""

MODEL_KEYS = (
    *("ANTHROPIC_", "AZURE_", "BASETEN_", "DEEPSEEK_", "FIREWORKS_", "GEMINI_", "GOOGLE_", "GROQ_", "LMSTUDIO_"),
    *("MINIMAX_", "MISTRAL_", "OLLAMA_", "OPENAI_", "OPENLLM_", "OPENROUTER_", "SGLANG_", "TOGETHER_", "VLLM_", "XAI_"),
    *("ZAI_", "BEDROCK_"),
)
"""Prefixes of the variables in which Letta looks for keys of models. Not AWS_: those keys give access to far more."""

KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")
NETWORK = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")

OURS = ("home", "postgres", "run", "tools", "letta.log", "postgres.log", "echo.log", "openapi_letta.json", "dev.json")
"""Everything in a data folder except the lock. `purge` deletes exactly this."""
LOCK = "dev.lock"


@dataclass(frozen=True)
class Running:
    """A healthy server. `pid` is the process of Letta; `password` is the one given to `up`, if any."""

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
    """A server that was started on this machine. `broken`: a process of it has ended, or it does not answer."""

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
    """Start a server, or return the one that already runs on this port or with these data.

    port        the port on 127.0.0.1; 0 chooses a free one
    data        the folder that keeps everything between runs; default: one folder for each port
    letta       the release; default: the release that created the data, then LETTAFORM_LETTA, then 0.16.8
    echo_model  gives agents a model that repeats the last message and needs no key; without it, the keys of models in
                the environment are passed on
    password    the bearer token that every request needs; default: none
    timeout     seconds until the server must be healthy, counted from the end of the installation
    progress    receives one line of text for each stage

    Raises LocalError after it has stopped everything that it started.
    """
    tell = progress or _silent
    if os.name != "posix":
        raise LocalError("a local server needs Linux or macOS", "on Windows, run lettaform inside WSL")
    if not 0 <= port <= 65535:
        raise LocalError(f"{port} is not a port", "use 1 to 65535, or 0 for a free port")
    folder = _folder(port, data)
    if folder is None:
        port = _free_port()
        folder = places.default_data(port)
    with _held(folder, tell):
        _claim(folder)
        before = state.read(folder)
        release = _release(before, letta, folder)
        if echo_model and environment.number(release) < ECHO_SINCE:
            raise LocalError(
                f"Letta {release} does not support the echo model",
                "use 0.16.2 or later, or start it without the echo model",
            )
        if before is not None and before.processes:
            if _whole(before) and _healthy(before, patience=30):
                return _found(before, folder, port, echo_model, password)
            tell("the last server of these data was not stopped; cleaning up")
            _end(folder, before)
        port = port or _free_port()
        _require_free(port)
        python = environment.environment(tell, release)
        planned = _planned(before, release, port, echo_model, password)
        return _start(python, folder, planned, password, timeout, tell)


def down(port: int | None = 8283, data: Path | str | None = None, *, purge: bool = False) -> bool:
    """Stop the server of this data folder or port. `purge` deletes its data. Returns whether a process was running."""
    folder = _folder(port or 0, data)
    if folder is None:
        raise LocalError("no server is chosen", "choose it with --port or --data")
    if not folder.is_dir():
        places.forget_ports(folder)
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
    """All servers that were started on this machine, or the one of this port or data folder."""
    if port is None and data is None:
        folders = {folder for _, folder in places.saved_ports()}
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
    """The last lines of the log of Letta or PostgreSQL. With `follow`, also every new line, without end."""
    folder = _folder(port, data)
    file = (folder or Path()) / f"{of}.log"
    if folder is None or not file.is_file():
        raise LocalError(f"no server was started on port {port}" if data is None else f"there is no log in {data}")
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
    """The data folder: `data`, else the one last used with the port if it exists, else the default of the port."""
    if data is not None:
        return Path(data).expanduser().resolve()
    if port == 0:
        return None
    saved = places.data_of_port(port)
    default = places.default_data(port)
    if saved is None or saved == default:
        return default
    known = state.read(saved)
    return saved if known is not None and known.port == port else default


@contextlib.contextmanager
def _held(folder: Path, tell: Progress) -> Iterator[None]:
    """Hold the lock of a data folder. An OSError, such as a full disk, becomes a LocalError."""
    with places.locked(folder / LOCK, lambda: tell("waiting: another lettaform starts or stops this server")):
        try:
            yield
        except OSError as error:
            raise LocalError(f"{error.filename or folder}: {error.strerror or error}") from error


def _claim(folder: Path) -> None:
    """Refuse a folder that contains other files, because `purge` could delete them."""
    if not state.file_of(folder).exists() and any(entry.name != LOCK for entry in folder.iterdir()):
        (folder / LOCK).unlink()
        raise LocalError(f"{folder} contains other files", "choose an empty folder, or one that does not exist")


def _release(before: State | None, asked: str | None, folder: Path) -> str:
    """The release to run. Data work only with the release that created them: no wheel contains migrations."""
    created_by = before.version if before else ""
    if asked and created_by and asked != created_by:
        raise LocalError(
            f"Letta {created_by} created the data in {folder}; Letta {asked} cannot read them",
            "choose another --port or --data, or delete the data with `dev down --purge`",
        )
    return asked or created_by or os.environ.get("LETTAFORM_LETTA") or environment.LETTA


def _found(known: State, folder: Path, port: int, echo_model: bool, password: str | None) -> Running:
    if port not in (0, known.port):
        raise LocalError(f"the server of {folder} already runs on port {known.port}", "stop it first with `dev down`")
    if echo_model and known.echo_port is None:
        raise LocalError(f"{known.url} already runs without the echo model", "stop it first with `dev down`")
    if state.digest(password) != known.password:
        raise LocalError(f"{known.url} already runs with another password or none", "stop it first with `dev down`")
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
    """Whether all processes run. Letta starts last: if it is missing, an `up` was killed before it had finished."""
    return "letta" in known.processes and all(each.alive() for each in known.processes.values())


def _planned(before: State | None, release: str, port: int, echo_model: bool, password: str | None) -> State:
    model, embedding = MODELS[echo_model]
    # An agent keeps the address of the endpoint of its model: the echo model must always use the same port.
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
        places.save_port(current.port, folder)
        base = _base_environment(folder)

        database = postgres.start(python, folder, sockets, base, tell)
        current = current.with_process("postgres", database)
        state.write(folder, current)
        if current.echo_port is not None:
            current = _start_echo(python, folder, current, base)
            state.write(folder, current)
        postgres.wait(database, folder, deadline)

        log = folder / "letta.log"
        offset = log.stat().st_size if log.is_file() else 0
        tell(f"starting Letta {current.version} on port {current.port}")
        command = [str(python), str(Path(__file__).with_name("serve.py")), str(current.port)]
        variables = {**base, **letta_environment(folder, python, sockets, current, password)}
        letta = process.start(command, log=log, folder=folder, environment=variables)
        current = current.with_process("letta", letta)
        state.write(folder, current)
        version = _wait(current, log, offset, deadline, password)
        current = replace(current, version=version)
        state.write(folder, current)
    except BaseException:
        _end(folder, current)
        raise
    return _running(current, folder, password)


def _base_environment(folder: Path) -> dict[str, str]:
    """The variables of all processes. `process.with_home` finds them by HOME."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
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
    """The proxy settings of the user, with loopback excluded from every proxy."""
    names = [*NETWORK, *(name.lower() for name in NETWORK)]
    kept = {name: os.environ[name] for name in names if os.environ.get(name)}
    direct = [os.environ.get("NO_PROXY") or os.environ.get("no_proxy") or "", "127.0.0.1", "localhost"]
    excluded = ",".join(filter(None, direct))
    return {**kept, "NO_PROXY": excluded, "no_proxy": excluded}


def _start_echo(python: Path, folder: Path, current: State, base: dict[str, str]) -> State:
    """Start the echo model, in up to three attempts: another program may take the port that was found to be free."""
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


def _wait(current: State, log: Path, offset: int, deadline: float, password: str | None) -> str:
    """Wait until Letta is healthy. Returns its version. Raises LocalError with the log from `offset` on."""
    letta = current.processes["letta"]
    while time.monotonic() < deadline and letta.alive():
        version = _health(current.port, timeout=2)
        if version:
            return version
        time.sleep(0.2)
    why = "does not become healthy in time" if letta.alive() else "ended before it was healthy"
    with log.open(errors="replace") as opened:
        opened.seek(offset)
        tail = "".join(opened.readlines()[-15:]).strip()
    if password:
        tail = tail.replace(password, "‹password›")
    raise LocalError(f"Letta {why}. The end of its log:\n{tail}", f"the whole log is {log}")


def _healthy(known: State, patience: float) -> bool:
    """Whether the server answers within `patience` seconds. A busy server may need some time."""
    deadline = time.monotonic() + patience
    while not (answer := _health(known.port, timeout=patience)) and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer is not None


def _health(port: int, timeout: float) -> str | None:
    """The version of the Letta that answers on this port, or None."""
    import httpx

    with contextlib.suppress(httpx.HTTPError, ValueError, AttributeError, TypeError):
        # Requests to loopback must not use a proxy from the environment.
        with httpx.Client(trust_env=False, timeout=timeout) as client:
            answer = client.get(f"http://127.0.0.1:{port}/v1/health/")
        if answer.status_code == 200 and answer.json().get("status") == "ok":
            return str(answer.json()["version"])
    return None


def _require_free(port: int) -> None:
    if _is_free(port):
        return
    version = _health(port, timeout=2)
    who = f"a Letta {version} that lettaform did not start" if version else "another program"
    raise LocalError(f"port {port} is taken by {who}", "choose another port with --port; --port 0 chooses a free one")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: a connection that has just ended does not block the port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return port != 0


def _free_port() -> int:
    """A free port below the range of the system, whose default data folder does not exist."""
    chosen = random.Random()  # noqa: S311 - only keeps two simultaneous runs from the same choice
    for _ in range(1000):
        port = chosen.randrange(20000, 32000)
        if _is_free(port) and not places.default_data(port).exists():
            return port
    raise LocalError("no free port was found", "choose one with --port")


def _connects(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end(folder: Path, known: State) -> bool:
    """End all processes of a server, also those left by a crash. Returns whether there were any."""
    alive = {name: each.pid for name, each in known.processes.items() if each.alive()}
    postmaster = postgres.running(postgres.cluster(folder))
    home = folder / "home"
    ran = bool(alive or postmaster or process.with_home(home))

    # Letta ends most processes that it started. Tools and MCP servers that it does not end are ended after it.
    started = process.descendants([alive["letta"]]) if "letta" in alive else set()
    process.end(_only(alive.get("letta")), grace=8)
    process.end(started | set(_only(alive.get("echo"))), grace=2)
    # On SIGINT, PostgreSQL closes its connections and ends cleanly. On SIGTERM, it waits for them.
    process.end(_only(alive.get("postgres")) + _only(postmaster), signal.SIGINT, grace=20)
    for _ in range(5):  # a process may start another one while it ends
        process.end(process.with_home(home), grace=2)

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
    places.forget_ports(folder)
    (folder / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()  # a folder with other files stays
