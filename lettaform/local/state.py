"""The state of the server of one data folder, stored in its `dev.json`."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lettaform.errors import LocalError
from lettaform.local.process import Process

FORMAT = 1


@dataclass(frozen=True)
class State:
    """How the server was last started, and its processes. A stopped server has none."""

    port: int
    version: str = ""
    model: str = ""
    embedding: str = ""
    echo_port: int | None = None
    password: str | None = None
    """The digest of the password, which shows whether a second `up` gives the same one."""
    sockets: str | None = None
    """The folder of the socket of PostgreSQL, if it is outside the data folder."""
    processes: Mapping[str, Process] = field(default_factory=dict)
    """The processes `postgres`, `echo` and `letta`, in the order in which they start."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def with_process(self, name: str, process: Process) -> State:
        return replace(self, processes={**self.processes, name: process})

    def stopped(self) -> State:
        return replace(self, processes={}, sockets=None)


def file_of(data: Path) -> Path:
    return data / "dev.json"


def digest(password: str | None) -> str | None:
    return None if password is None else hashlib.sha256(password.encode()).hexdigest()


def read(data: Path) -> State | None:
    """The state, or None if no server was ever started in this folder. Raises LocalError for an unreadable file."""
    file = file_of(data)
    try:
        written = json.loads(file.read_text())
        if written.pop("format") != FORMAT:
            raise LocalError(f"{file} was written by another version of lettaform", "stop the server with that version")
        processes = {name: Process(**stored) for name, stored in written.pop("processes").items()}
        return State(**written, processes=processes)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise LocalError(f"cannot read {file}: {error}", "delete the file if it is damaged; the data stay") from error


def write(data: Path, state: State) -> None:
    """Replace the file in one step, so that a reader sees either the old state or the new one. Mode 0600."""
    file = file_of(data)
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "w") as opened:
        json.dump({"format": FORMAT, **asdict(state)}, opened, indent=2)
    temporary.replace(file)
