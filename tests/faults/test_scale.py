"""`examples/scale`: what its files start, exercised by processes on this machine."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import lettaform
from tests.standin import StandIn, serve

EXAMPLE = Path(__file__).parents[2] / "examples" / "scale"
ROOT = Path(__file__).parents[2]


class Machine:
    """A copy of the example, a server, and `lettaform` on the path."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.url = folder, url
        for path in EXAMPLE.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        (folder / "run.sh").chmod(0o755)
        program = folder / "bin" / "lettaform"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lettaform "$@"\n')
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        (program.parent / "pip").symlink_to("/bin/true")

    def environment(self, **values: str) -> dict[str, str]:
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        where = {"PATH": path, "PYTHONPATH": str(ROOT), "LETTA_BASE_URL": self.url}
        return {**os.environ, **where, **values}

    def start(self, *words: str, **values: str) -> subprocess.Popen[str]:
        quiet: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        return subprocess.Popen(words, cwd=self.folder, env=self.environment(**values), **quiet)

    @property
    def stack(self) -> lettaform.Stack:
        return lettaform.load(self.folder, server=self.url)


@pytest.fixture
def standin() -> StandIn:
    return StandIn()


@pytest.fixture
def machine(tmp_path: Path, standin: StandIn) -> Iterator[Machine]:
    with serve(standin) as url:
        yield Machine(tmp_path, url)


def scripts() -> dict[str, tuple[str, str]]:
    """File of an engine to the command that it runs, and to the variable with the number of the shard."""
    job, flow = (yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text()) for name in ("kubernetes-job", "argo-workflow"))
    github, gitlab = (yaml.safe_load((EXAMPLE / f"{name}.yml").read_text()) for name in ("github-actions", "gitlab-ci"))
    steps = [each["run"] for each in github["jobs"]["apply"]["steps"] if "run" in each]
    return {
        "kubernetes": (job["spec"]["template"]["spec"]["containers"][0]["command"][2], "JOB_COMPLETION_INDEX"),
        "argo": (flow["spec"]["templates"][1]["container"]["command"][2], "INDEX"),
        "github": ("\n".join(steps), "INDEX"),
        "gitlab": ("\n".join(gitlab["apply"]["script"]), "CI_NODE_INDEX"),
    }


def test_every_engine_starts_sixteen_shards() -> None:
    job, flow = (yaml.safe_load((EXAMPLE / f"{name}.yaml").read_text()) for name in ("kubernetes-job", "argo-workflow"))
    github, gitlab = (yaml.safe_load((EXAMPLE / f"{name}.yml").read_text()) for name in ("github-actions", "gitlab-ci"))
    assert (job["spec"]["completions"], job["spec"]["completionMode"]) == (16, "Indexed")
    assert flow["spec"]["templates"][0]["steps"][0][0]["withSequence"] == {"count": "16"}
    assert github["jobs"]["apply"]["strategy"]["matrix"]["index"] == [*range(16)]
    assert gitlab["apply"]["parallel"] == 16
    for script, variable in scripts().values():
        assert variable in script
        assert "--wait 600" in script
        assert "/16" in script or "$CI_NODE_TOTAL" in script


@pytest.mark.thorough
def test_the_command_of_every_engine_applies_its_shard(machine: Machine) -> None:
    """Each of them another shard, all at the same time; that of Kubernetes is the shard 0."""
    runs = []
    for number, (script, variable) in enumerate(scripts().values()):
        counted_from = 1 if variable == "CI_NODE_INDEX" else 0
        values = {variable: str(number + counted_from), "CI_NODE_TOTAL": "16"}
        script = script.replace("--wait 600", "--wait 10" if number == 0 else "--wait 120")
        runs.append(machine.start("sh", "-c", script, **values))
    printed = [run.communicate(timeout=300)[0] for run in runs]
    # the group of shard 0 waits for agents of shards that nobody applies here
    assert [run.returncode for run in runs] == [5, 0, 0, 0], printed
    applied = {run.shard for run in machine.stack.history()}
    assert "0/16" in applied
    assert all(not machine.stack.plan(shard=(index, 16)) for index in range(1, 4))


@pytest.mark.slow
def test_sixteen_shards_by_four_processes_that_are_killed_end_like_one_apply(
    machine: Machine, standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> None:
    started = machine.start("./run.sh", SHARDS="16", PROCESSES="4", ATTEMPTS="6", WAIT="120")
    killed = 0
    while started.poll() is None and killed < 6:
        time.sleep(2.5)
        if found := children(started.pid):
            os.kill(found[killed % len(found)], signal.SIGKILL)
            killed += 1
    printed, _ = started.communicate(timeout=600)
    assert killed >= 4
    assert started.returncode == 0, printed
    assert not machine.stack.plan()
    other = StandIn()
    with serve(other) as url:
        Machine(tmp_path_factory.mktemp("one"), url).stack.apply(consent=True)
    assert names(standin) == names(other)


def names(standin: StandIn) -> dict[str, Any]:
    """What is on a server, without ids."""
    tables = standin.tables
    blocks = [(row["label"], row["value"]) for row in tables.blocks.values() if row["label"] != "lettaform"]
    agents = sorted((row["name"], row["system"]) for row in tables.agents.values())
    groups = [(row["description"], len(row["agent_ids"])) for row in tables.groups.values()]
    return {"agents": agents, "blocks": sorted(blocks), "groups": groups}


def children(pid: int) -> list[int]:
    """The processes of lettaform that a process has started, directly or not."""
    parents, ours = dict[int, int](), []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            number, rest = path.read_text().split(" (", 1)
            words = (path.parent / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        parents[int(number)] = int(re.split(r"\) \S ", rest, maxsplit=1)[1].split()[0])
        if b"lettaform" in words and b"-m" in words:
            ours.append(int(number))

    def is_below(each: int) -> bool:
        return each == pid or (each in parents and is_below(parents[each]))

    return [each for each in ours if is_below(each)]
