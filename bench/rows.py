"""What is measured: each row is one command, once for each size, beside its floor."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import tape
from bench.fleet import SYSTEM, write
from bench.process import Used, python, run
from bench.tape import Sent

STANDIN = 10_000
"""From this number of agents, plans are made on a stand-in."""
START = {"help": "--help", "version": "version"}
LOCAL = ("validate",)
SERVER = ("apply", "plan", "plan of one change", "one change", "snapshot", "pull", "change all", "destroy")
LARGE = ("plan", "destroy plan")
ROWS = (*START, *LOCAL, *SERVER, "destroy plan")
COMPOSE = "import sys, yaml\nfor file in sys.argv[1:]: yaml.compose(open(file), Loader=yaml.CSafeLoader)"


@dataclass(frozen=True)
class Run:
    """One run of a row.

    where      on what: nothing, a server, or a stand-in in the same process
    floor      seconds of the floor; None: none was measured. Without a server, and on a stand-in, CPU seconds
    terraform  seconds that Terraform needs for as many `terraform_data`
    """

    row: str
    agents: int
    where: str
    wall: float
    cpu: float
    memory: float
    requests: int | None = None
    floor: float | None = None
    terraform: float | None = None


def start_up(rows: Collection[str], folder: Path) -> Iterator[Run]:
    """Commands that need no manifest, beside an empty program."""
    for row, word in START.items():
        if row in rows:
            floor, _ = run(python("-c", "pass"), folder)
            used, _ = run(python("-m", "lettaform", word), folder)
            yield Run(row, 0, "-", used.wall, used.cpu, used.memory, None, floor.cpu)


def validate(agents: int, folder: Path) -> Run:
    """Beside the C parser of YAML, which composes the same files and does nothing with them."""
    files = [str(file) for file in write(folder, agents)]
    floor, _ = run(python("-c", COMPOSE, *files), folder)
    used, _ = run(python("-m", "lettaform", "validate"), folder)
    return Run("validate", agents, "-", used.wall, used.cpu, used.memory, None, floor.cpu)


def large(row: str, agents: int, folder: Path) -> Run:
    """A plan on a stand-in, beside its requests alone."""
    _, output = run(python("-m", "bench.large", row, str(agents)), folder)
    found = json.loads(output.splitlines()[-1])
    floor, requests = found.pop("floor"), int(found.pop("requests"))
    return Run(row, agents, "stand-in", **found, requests=requests, floor=floor)


@dataclass
class Fleet:
    """One fleet on a server, from its first apply to its destroy.

    number  how many prompts were written so far: each change has a text of its own
    """

    url: str
    folder: Path
    agents: int
    rows: Collection[str]
    number: int = 0
    terraform: dict[str, float] = field(default_factory=dict)

    def runs(self) -> Iterator[Run]:
        """Each row that is wanted. The server is left without the fleet."""
        write(self.folder, self.agents)
        self.terraform = _terraform(self.folder, self.agents)
        created, apply = self.command("apply", "-y")
        planned, plan = self.command("plan")
        yield from self.changes(planned, plan)
        yield from self.reads()
        if "change all" in self.rows:
            yield self.change_all()
        used, destroy = self.command("destroy", "-y", "--allow-destroy", "*")
        if {"apply", "destroy"} & {*self.rows}:
            yield from self.wanted(self.run("apply", created, apply, tape.written(self.url, apply)))
            yield from self.wanted(self.run("destroy", used, destroy, tape.deleted(self.url)))

    def changes(self, used: Used, plan: Sequence[Sent]) -> Iterator[Run]:
        """A plan without changes, and one field that changes. The floor of all is what the plan reads."""
        before = tape.replayed(self.url, plan)
        again, _ = self.command("plan")
        after = tape.replayed(self.url, plan)
        del used  # the first plan after an apply finds warm caches nowhere
        yield from self.wanted(self.run("plan", again, plan, (before + after) / 2))
        if not {"plan of one change", "one change"} & {*self.rows}:
            return
        self.number += 1
        write(self.folder, self.agents, first=f"{SYSTEM[:-1]}, {self.number}.")
        shown, requests = self.command("plan")
        yield from self.wanted(self.run("plan of one change", shown, requests, after))
        changed, requests = self.command("apply", "-y")
        yield from self.wanted(self.run("one change", changed, requests, tape.replayed(self.url, plan)))

    def reads(self) -> Iterator[Run]:
        """Commands that only read the server. Their floor is what they read."""
        for row, words in (("snapshot", ("snapshot", "create")), ("pull", ("pull",))):
            if row in self.rows:
                used, sent = self.command(*words)
                yield self.run(row, used, sent, tape.replayed(self.url, [each for each in sent if tape.is_read(each)]))

    def change_all(self) -> Run:
        """A new prompt for every agent. Its floor writes a third prompt: a server skips what it has already."""
        write(self.folder, self.agents, first="You are all changed.", others="You are all changed.")
        used, sent = self.command("apply", "-y")
        other = [each._replace(body=each.body.replace("all changed", "not the same")) for each in sent]
        updates = [each for each in other if each.method == "PATCH"]
        return self.run("change all", used, sent, tape.written(self.url, updates))

    def command(self, *words: str) -> tuple[Used, list[Sent]]:
        """Run a command of lettaform. Returns what it used, and what it sent."""
        with tempfile.NamedTemporaryFile("r", suffix=".json") as file:
            words = ("--server", self.url, *words)
            used, _ = run(python("-m", "bench.child", file.name, *words), self.folder)
            return used, [Sent(*each) for each in json.load(file)]

    def run(self, row: str, used: Used, sent: Sequence[Sent], floor: float) -> Run:
        return Run(
            row,
            self.agents,
            "server",
            used.wall,
            used.cpu,
            used.memory,
            len(sent),
            floor,
            self.terraform.get(row),
        )

    def wanted(self, found: Run) -> Iterator[Run]:
        if found.row in self.rows:
            yield found


def _terraform(folder: Path, number: int) -> dict[str, float]:
    """Row to the seconds that Terraform needs for as many `terraform_data`; nothing without a `terraform` on PATH."""
    program = shutil.which("terraform")
    if program is None:
        return {}
    inner = folder / "terraform"
    inner.mkdir(exist_ok=True)
    text = f'resource "terraform_data" "agent" {{\n  count = {number}\n  input = "{SYSTEM} ${{count.index}}"\n}}\n'
    (inner / "main.tf").write_text(text)
    commands = {
        "init": ["init", "-input=false"],
        "apply": ["apply", "-input=false", "-auto-approve"],
        "plan": ["plan", "-input=false"],
        "destroy": ["destroy", "-auto-approve"],
    }
    try:
        found = {row: run([program, *words], inner)[0].wall for row, words in commands.items()}
    except RuntimeError as error:  # no release of it that has `terraform_data`
        print(error, file=sys.stderr)
        return {}
    shutil.rmtree(inner)
    return found
