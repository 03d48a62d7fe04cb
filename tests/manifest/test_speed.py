"""The time of `load`: short, and proportional to the number of agents."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time

import pytest

from lettaform.errors import ManifestError
from tests.manifest.broken import TOOL
from tests.manifest.conftest import Project

pytestmark = pytest.mark.thorough

AGENT = """
  agent{0}:
    description: Agent {0} of ${{stack}}
    system: |
      You are an agent.
      You are number {0}.
    memory:
      persona: I am agent {0}.
      human: {{value: Nobody yet., limit: 2000}}
    blocks: [b0, b1, b2]
    tools: [t0, t1]
    tags: [big]"""


def big(project: Project, agents: int) -> Project:
    blocks = "".join(f"  b{n}: {{value: Text {n}., limit: 5000}}\n" for n in range(3))
    head = f"stack: big\ndefaults: {{agents: {{model: a/b, embedding: a/b}}}}\nblocks:\n{blocks}"
    tools = "tools:\n  t0: {source: t0.py}\n  t1: {source: t1.py}\n"
    files = {f"t{n}.py": TOOL.replace("shout", f"shout_{n}") for n in range(2)}
    return project.write(head + tools + "agents:" + "".join(AGENT.format(n) for n in range(agents)) + "\n", files)


def test_200_agents(project: Project) -> None:
    """0.1 s of processor time on a small machine."""
    big(project, 200)
    before = time.process_time()
    manifest = project.load()
    assert time.process_time() - before < 0.5
    assert len(manifest.objects) == 605


def seconds(project: Project) -> float:
    """The shortest processor time of three loads, valid or not."""
    times = []
    for _ in range(3):
        before = time.process_time()
        with contextlib.suppress(ManifestError):
            project.load()
        times.append(time.process_time() - before)
    return min(times)


def test_the_time_for_each_agent_does_not_grow(project: Project) -> None:
    few, many = (seconds(big(project, agents)) / agents for agents in (250, 1000))
    assert many < 1.6 * few


def test_many_unknown_references(project: Project) -> None:
    """Each unknown key is compared with the keys of its section, up to a limit for all of them together."""
    blocks = "".join(f"  shared_block_{n}: {{value: x}}\n" for n in range(800))
    agents = "".join(f"  a{n}: {{blocks: [shared_blok_{n}]}}\n" for n in range(800))
    project.write(f"stack: s\nblocks:\n{blocks}agents:\n{agents}")
    assert seconds(project) < 5
    problems = project.problems()
    assert len(problems) == 800
    assert problems[0].hint == "did you mean `shared_block_0`?"
    assert problems[-1].hint == "declare it in `blocks`"


def test_one_unknown_key_in_many_places_gets_its_suggestion_everywhere(project: Project) -> None:
    blocks = "".join(f"  shared_block_{n}: {{value: x}}\n" for n in range(800))
    agents = "".join(f"  a{n}: {{blocks: [shared_blok_7]}}\n" for n in range(800))
    problems = project.write(f"stack: s\nblocks:\n{blocks}agents:\n{agents}").problems()
    assert {problem.hint for problem in problems} == {"did you mean `shared_block_7`?"}


def test_does_not_import_what_it_does_not_need(project: Project) -> None:
    big(project, 2)
    heavy = {"httpx", "rich", "jsonschema", "deepdiff", "asyncio", "difflib"}
    code = (
        "import sys; from lettaform.cli import cli; cli.main(['validate'], standalone_mode=False); "
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "The manifest is valid: 11 objects in stack big.\n[]\n"
