"""validate must feel instant."""

from __future__ import annotations

import subprocess
import sys
import time

from tests.manifest.broken import TOOL
from tests.manifest.conftest import Project

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
    """0.1 s of processor time on a small machine; the rest of the 0.7 s is Python and pydantic coming up."""
    big(project, 200)
    before = time.process_time()
    manifest = project.load()
    assert time.process_time() - before < 0.5
    assert len(manifest.objects) == 605


def test_loads_nothing_that_it_does_not_need(project: Project) -> None:
    big(project, 2)
    heavy = {"httpx", "rich", "jsonschema", "deepdiff", "asyncio", "difflib"}
    code = (
        "import sys; from lettaform.cli import cli; cli.main(['validate'], standalone_mode=False); "
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "The manifest is valid: 11 objects in stack big.\n[]\n"
