"""A memory report for people, and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from lettaform.address import Address
from lettaform.errors import Problem
from lettaform.plan.memory import AgentMemory, BlockMemory, MemoryReport
from lettaform.render.memory import text, to_data
from lettaform.render.memory_schema import memory_schema
from tests.render.hostile import TEXTS

at = Address.parse
PARTS = {"system": 400, "blocks": 2000, "tools": 1500}
FULL = BlockMemory("human", "block-1", at("agents.lead.memory.human"), 1900, 7300, 8000)
ORG = BlockMemory("org", "block-2", at("blocks.org"), 30, 50, 1000)
LEAD = AgentMemory(at("agents.lead"), "agent-1", "lead", "openai/gpt", PARTS, (FULL, ORG), 4000)
SMALL = AgentMemory(at("agents.small"), "agent-2", "small", "openai/gpt", {"system": 10}, (ORG,))
COUNTED = AgentMemory(
    at("agents.lead"),
    "agent-1",
    "lead",
    "openai/gpt",
    {**PARTS, "files": 0, "messages": 300},
    (FULL, ORG),
    4000,
    12,
    counted=True,
)


def report(*agents: AgentMemory, **words: object) -> MemoryReport:
    return MemoryReport("s", "http://here", "0.16.8", None, agents, max(len(agents), 2), **words)  # type: ignore[arg-type]


def test_a_table() -> None:
    assert text(report(LEAD, SMALL)) == (
        "AGENT           USED  WINDOW  SHARE  SYSTEM  BLOCKS  TOOLS  FULLEST BLOCK\n"
        "agents.lead   ~3,900   4,000    97%     400   2,000  1,500  human 91%\n"
        "agents.small     ~10       -      -      10       -      -  org 5%\n"
        "\n"
        "Blocks near their limit:\n"
        "  agents.lead.memory.human  7,300 of 8,000 characters, 91%\n"
        "\n"
        "2 agents of stack s on http://here: 1 near the context window, 1 block near the limit. Estimated, without "
        "files and messages; `lettaform memory --exact` lets the server count.\n"
    )


def test_a_single_agent_in_parts() -> None:
    assert text(report(COUNTED)) == (
        "agents.lead  4,200 of 4,000 tokens, 105%  openai/gpt\n"
        "  system      400    10%\n"
        "  blocks    2,000    50%\n"
        "    human  about 1,900, 7,300 of 8,000 characters, 91%\n"
        "    org  about 30, 50 of 1,000 characters, 5%  blocks.org\n"
        "  tools     1,500    37%\n"
        "  files         0     0%\n"
        "  messages    300     7%  12 messages\n"
        "  free          0     0%\n"
        "\n"
        "1 of 2 agents of stack s on http://here: 1 near the context window, 1 block near the limit.\n"
    )


def test_without_agents_and_with_a_warning() -> None:
    warning = Problem("the server does not count", None, "what is shown is estimated", severity="warning")
    assert text(report(warnings=(warning,))) == (
        "Warning: the server does not count\n    what is shown is estimated\n\n"
        "0 of 2 agents of stack s on http://here: nothing is nearly full.\n"
    )


def test_a_shared_block_near_its_limit_is_listed_once() -> None:
    shared = BlockMemory("org", "block-2", at("blocks.org"), 30, 990, 1000)
    agents = [AgentMemory(at(f"agents.a{n}"), f"agent-{n}", "a", "m/m", PARTS, (shared,), 9000) for n in range(3)]
    shown = text(report(*agents))
    assert shown.count("blocks.org  990 of 1,000 characters, 99%") == 1
    assert "1 block near the limit" in shown


def test_60_columns() -> None:
    long = AgentMemory(at(f"agents.{'x' * 70}"), "agent-1", "a", "m/m", PARTS, (FULL,), 4000)
    table = text(report(LEAD, long), width=60).split("\n\n")[0]
    assert max(map(len, table.splitlines())) <= 60
    assert "SHARE" in table


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_texts(name: str) -> None:
    hostile = TEXTS[name]
    block = BlockMemory(hostile, "block-1", None, 1, 99, 100)
    agent = AgentMemory(Address.of("agents", hostile), hostile, hostile, hostile, PARTS, (block,), 10)
    found = MemoryReport(hostile, hostile, hostile, hostile, (agent, SMALL), 2)
    for shown in (text(found, color=False), text(found.select(("agents.*",)), color=False)):
        assert not {"\x1b", "\x07", "\u202e", "\u2028", "\r"} & set(shown)


def test_json_is_valid() -> None:
    shown = to_data(report(LEAD, SMALL, COUNTED, warnings=(Problem("x", severity="warning"),)))
    Draft202012Validator(memory_schema()).validate(shown)
    first = shown["agents"][0]
    assert (first["used"], first["near_limit"], first["counted"], first["messages"]) == (3900, True, False, None)
    assert [block["near_limit"] for block in first["blocks"]] == [True, False]
    published = json.loads((Path(__file__).parents[2] / "schemas/memory.schema.json").read_text())
    assert published == memory_schema()
