"""Pages that show commands with their output: runs the commands, and compares what they print.

A block of a page begins with "```console". A line `$ COMMAND` is run, and the lines up to the next one are its output.
`…` stands for any text, and alone on a line for any lines. Ids, times and digests of a page stand for others: the first
use of an id binds it to the id that the command printed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from lettaform.cli import cli

SERVER = "http://localhost:8283"
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ID = re.compile(r"\b[a-z]+-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b")
_VARYING = {
    r"\b\d{8}T\d{6}\.\d{6}Z": r"\d{8}T\d{6}\.\d{6}Z",
    r"\b[0-9a-f]{32}\.[0-9a-f]{8}\b": r"[0-9a-f]{32}\.[0-9a-f]{8}",
    r"Letta 0\.16\.8": r"Letta [\d.]+",
    r"\b\d+\.\d s\b": r"\d+\.\d s",
}
"""What differs in each run, and what it may be instead."""


@dataclass(frozen=True)
class Shown:
    """A command of a page, and the output that the page shows."""

    command: str
    output: str


def shown(page: Path) -> Iterator[Shown]:
    """The commands of a page in their order."""
    for block in _BLOCK.findall(page.read_text("utf-8")):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            yield Shown(command, output)


@dataclass
class Shell:
    """Runs commands in a folder: those of lettaform in this process, others in bash."""

    folder: Path
    url: str
    ids: dict[str, str] = field(default_factory=dict)

    def run(self, command: str, monkeypatch: pytest.MonkeyPatch) -> str:
        """The output of a command of a page."""
        command = _ID.sub(lambda found: self.ids.get(found[0], found[0]), command.replace(SERVER, self.url))
        if command.startswith("lettaform "):
            monkeypatch.chdir(self.folder)
            done = CliRunner().invoke(cli, shlex.split(command, comments=True)[1:])
            assert done.exit_code == 0, f"{command}: {done.output}"
            return done.output
        script = ["bash", "-e", "-o", "pipefail", "-c", f"{command}\npwd > .cwd"]
        shell = subprocess.run(script, cwd=self.folder, capture_output=True, text=True, check=True)
        moved = self.folder / ".cwd"
        if not moved.exists():  # the command has changed the folder
            moved = next(self.folder.glob("*/.cwd"))
        self.folder = Path(moved.read_text().strip())
        moved.unlink()
        return shell.stdout

    def check(self, expected: str, output: str) -> None:
        """Compare an output with that of a page, and bind the ids of the page."""
        new: dict[str, str] = {}
        pattern = "".join(self._line(line, new) for line in expected.splitlines())
        printed = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
        found = re.fullmatch(pattern, printed)
        assert found, f"the page shows\n{expected}\nand the command printed\n{printed}"
        self.ids |= {id: found[group] for id, group in new.items()}

    def _line(self, line: str, new: dict[str, str]) -> str:
        if line == "…":
            return r"(?:.*\n)*?"
        escaped = re.escape(line.replace(SERVER, self.url).rstrip()).replace("…", ".*")
        plain = escaped.replace(r"\-", "-").replace(r"\ ", " ")
        for varying, instead in _VARYING.items():
            plain = re.sub(varying.replace(r"\.", r"\\\."), lambda _, instead=instead: instead, plain)
        return _ID.sub(lambda found: self._id(found[0], new), plain) + r"\n"

    def _id(self, id: str, new: dict[str, str]) -> str:
        if id in self.ids:
            return self.ids[id]
        if id in new:
            return f"(?P={new[id]})"
        new[id] = f"id{len(self.ids) + len(new)}"
        return f"(?P<{new[id]}>{id.partition('-')[0]}-[0-9a-f-]{{36}})"
