"""The fleet that is measured: agents with 2 own blocks, 3 shared blocks, 2 custom tools and 2 tags each, as YAML."""

from __future__ import annotations

from pathlib import Path

MANIFEST = "lettaform.yaml"
PER_FILE = 100_000
"""Agents in one file: some 40 MB."""
SYSTEM = "You are one of many."
_TOOL = '''\
  tool{n}:
    source: |
      def bench_tool_{n}(text: str) -> str:
          """Answer with the text.

          Args:
              text (str): What to answer.

          Returns:
              str: The text.
          """
          return text
'''
_HEAD = (
    "stack: bench\nblocks:\n"
    + "".join(f"  shared{n}:\n    value: {'What all of us know. ' * 19}What all of us know.\n" for n in range(3))
    + "tools:\n"
    + "".join(_TOOL.format(n=n) for n in range(2))
)
_AGENT = """\
  {name}:
    model: letta/letta-free
    embedding: letta/letta-free
    system: {system}
    include_base_tools: false
    memory:
      persona: {persona}
      human: {human}
    blocks:
    - shared0
    - shared1
    - shared2
    tools:
    - tool0
    - tool1
    tags:
    - {tags[0]}
    - {tags[1]}
"""


def name(number: int) -> str:
    return f"agent{number}"


def memory(number: int) -> dict[str, str]:
    """The texts of the own blocks of an agent."""
    return {"persona": f"I am number {number}.", "human": "Nobody yet."}


def tags(number: int) -> list[str]:
    """The tags of an agent."""
    return ["bench", f"group{number % 10}"]


def write(folder: Path, agents: int, *, first: str = SYSTEM, others: str = SYSTEM) -> list[Path]:
    """Write the manifest. Returns its files: all but the first are included by it.

    first   the system prompt of the first agent
    others  that of the others
    """
    files = [folder / MANIFEST, *(folder / f"part{n}.yaml" for n in range(1, -(-agents // PER_FILE)))]
    include = f"include: [{', '.join(file.name for file in files[1:])}]\n" if files[1:] else ""
    for part, file in enumerate(files):
        numbers = range(part * PER_FILE, min(agents, (part + 1) * PER_FILE))
        texts = (_AGENT.format(name=name(n), system=others if n else first, tags=tags(n), **memory(n)) for n in numbers)
        file.write_text("".join(["" if part else include + _HEAD, "agents:\n" if numbers else "", *texts]))
    return files
