"""The work of `load` is proportional to the number of agents. Function calls are counted, and not time."""

from __future__ import annotations

import contextlib
import cProfile
import subprocess
import sys

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


def calls(project: Project) -> int:
    """The number of function calls of a load, valid or not."""
    counted = cProfile.Profile()
    with contextlib.suppress(ManifestError):
        counted.runcall(project.load)
    return sum(each.callcount for each in counted.getstats())


def test_the_work_for_each_agent_does_not_grow(project: Project) -> None:
    few, many = (calls(big(project, agents)) / agents for agents in (100, 400))
    assert many < 1.05 * few


def unknown(project: Project, number: int) -> Project:
    """Blocks, and as many agents that misspell one each."""
    blocks = "".join(f"  shared_block_{n}: {{value: x}}\n" for n in range(number))
    agents = "".join(f"  a{n}: {{blocks: [shared_blok_{n}]}}\n" for n in range(number))
    return project.write(f"stack: s\nblocks:\n{blocks}agents:\n{agents}")


def test_many_unknown_references(project: Project) -> None:
    """Each unknown key is compared with the keys of its section, up to a limit for all of them together."""
    problems = unknown(project, 800).problems()
    assert len(problems) == 800
    assert problems[0].hint == "did you mean `shared_block_0`?"
    assert problems[-1].hint == "declare it in `blocks`"


@pytest.mark.slow
def test_the_work_for_unknown_references_is_limited(project: Project) -> None:
    few, many = (calls(unknown(project, number)) for number in (400, 800))
    assert many < 1.3 * few


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
