"""Moves of every sort: nothing is created again or lost, and an interrupted apply is completed by the next one."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lettaform import flow
from lettaform.model import Manifest
from tests.faults.fleet import CONSENT, differences
from tests.faults.harness import Fault, FaultyTransport, at
from tests.faults.sweep import LATENCY, Run, Wrong
from tests.standin import StandIn

pytestmark = pytest.mark.thorough

HEAD = """
stack: moves
defaults:
  agents: {model: openai-proxy/echo, embedding: letta/letta-free, include_base_tools: false}
  folders: {embedding: letta/letta-free}
"""
CASES: Mapping[str, tuple[str, str]] = {
    "an own block to another agent": (
        "agents: {a: {memory: {x: X, p: P}}, b: {memory: {q: Q}}}",
        """
        agents: {a: {memory: {p: P}}, b: {memory: {q: Q, x: X}}}
        moved: [{from: agents.a.memory.x, to: agents.b.memory.x}]
        """,
    ),
    "an own block to another agent, with a label that the first agent has": (
        "agents: {a: {memory: {x: X, y: Y}}, b: {memory: {q: Q}}}",
        """
        agents: {a: {memory: {y: Y}}, b: {memory: {q: Q, y: X}}}
        moved: [{from: agents.a.memory.x, to: agents.b.memory.y}]
        """,
    ),
    "own blocks of two agents change places": (
        "agents: {a: {memory: {x: X}}, b: {memory: {x: Y}}}",
        """
        agents: {a: {memory: {x: Y}}, b: {memory: {x: X}}}
        moved: [{from: agents.a.memory.x, to: agents.b.memory.x}, {from: agents.b.memory.x, to: agents.a.memory.x}]
        """,
    ),
    "own blocks of one agent change places": (
        "agents: {a: {memory: {x: X, y: Y}}}",
        """
        agents: {a: {memory: {x: Y, y: X}}}
        moved: [{from: agents.a.memory.x, to: agents.a.memory.y}, {from: agents.a.memory.y, to: agents.a.memory.x}]
        """,
    ),
    "agents change places": (
        "agents: {a: {name: n, memory: {x: X, p: P}}, b: {name: m, memory: {x: Y}}}",
        """
        agents: {a: {name: m, memory: {x: Y}}, b: {name: n, memory: {x: X, p: P}}}
        moved: [{from: agents.a, to: agents.b}, {from: agents.b, to: agents.a}]
        """,
    ),
    "a chain of agents": (
        "agents: {a: {name: n, memory: {x: X}}, b: {name: m, memory: {x: Y}}}",
        """
        agents: {b: {name: n, memory: {x: X}}, c: {name: m, memory: {x: Y}}}
        moved: [{from: agents.a, to: agents.b}, {from: agents.b, to: agents.c}]
        """,
    ),
    "an own block into a renamed agent, out of another": (
        "agents: {a: {name: n, memory: {x: X}}, b: {name: m, memory: {y: Y, z: Z}}}",
        """
        agents: {c: {name: n, memory: {x: X, y: Y}}, d: {name: m, memory: {z: Z}}}
        moved:
          - {from: agents.a, to: agents.c}
          - {from: agents.b, to: agents.d}
          - {from: agents.b.memory.y, to: agents.c.memory.y}
        """,
    ),
    "own blocks into a new agent, out of a deleted one": (
        "agents: {a: {memory: {x: X, y: Y}}}",
        """
        agents: {b: {memory: {x: X, z: Y}}}
        moved: [{from: agents.a.memory.x, to: agents.b.memory.x}, {from: agents.a.memory.y, to: agents.b.memory.z}]
        """,
    ),
    "an own block from one replaced agent to another": (
        "agents: {a: {memory: {x: X, p: P}}, b: {memory: {q: Q}}}",
        """
        agents:
          a: {agent_type: memgpt_v2_agent, memory: {p: P}}
          b: {agent_type: memgpt_v2_agent, memory: {q: Q, y: X}}
        moved: [{from: agents.a.memory.x, to: agents.b.memory.y}]
        """,
    ),
    "an own block becomes a shared one": (
        "agents: {a: {memory: {x: X}}, b: {}}",
        """
        blocks: {x: {value: X}}
        agents: {a: {blocks: [x]}, b: {blocks: [x]}}
        moved: [{from: agents.a.memory.x, to: blocks.x}]
        """,
    ),
    "an own block becomes a shared one that only others use": (
        "agents: {a: {memory: {x: X}}, b: {}}",
        """
        blocks: {z: {value: X}}
        agents: {a: {}, b: {blocks: [z]}}
        moved: [{from: agents.a.memory.x, to: blocks.z}]
        """,
    ),
    "a shared block becomes an own one": (
        "blocks: {x: {value: X}}\nagents: {a: {blocks: [x]}, b: {blocks: [x]}}",
        """
        agents: {a: {memory: {x: X}}, b: {blocks: []}}
        moved: [{from: blocks.x, to: agents.a.memory.x}]
        """,
    ),
    "a shared block becomes an own one of an agent that did not use it": (
        "blocks: {x: {value: X}}\nagents: {a: {}, b: {blocks: [x]}}",
        """
        agents: {a: {memory: {y: X}}, b: {blocks: []}}
        moved: [{from: blocks.x, to: agents.a.memory.y}]
        """,
    ),
    "a single agent becomes one of several": (
        "agents: {a: {name: n, memory: {x: X}, sleeptime: {frequency: 3}}}",
        """
        agents: {a: {for_each: [k, l], name: n, memory: {x: X}, sleeptime: {frequency: 3}}}
        moved: [{from: agents.a, to: "agents.a[k]"}]
        """,
    ),
    "one of several agents becomes a single one": (
        "agents: {a: {for_each: [k, l], name: n, memory: {x: X}, sleeptime: {frequency: 3}}}",
        """
        agents: {a: {name: n, memory: {x: X}, sleeptime: {frequency: 3}}}
        moved: [{from: "agents.a[k]", to: agents.a}]
        """,
    ),
    "what has contents changes places": (
        """
        archives: {a: {name: n, passages: [One.]}, b: {name: m, passages: [Two., Three.]}}
        groups: {g: {type: round_robin, agents: [a, b], description: g}}
        agents: {a: {archive: a}, b: {archive: b}}
        """,
        """
        archives: {a: {name: m, passages: [Two., Three.]}, b: {name: n, passages: [One.]}}
        groups: {h: {type: round_robin, agents: [a, b], description: g}}
        agents: {a: {archive: b}, b: {archive: a}}
        moved:
          - {from: archives.a, to: archives.b}
          - {from: archives.b, to: archives.a}
          - {from: groups.g, to: groups.h}
        """,
    ),
}
"""What moves: the manifest before, and the manifest with the moves."""


@dataclass(frozen=True)
class Start:
    """A server before the moves, the manifest with the moves, and the server after them."""

    tables: Any
    manifest: Manifest
    sent: list[str]
    end: Mapping[str, Any]


def read(text: str) -> Manifest:
    with TemporaryDirectory() as folder:
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        (Path(folder) / "lettaform.yaml").write_text(HEAD + "\n".join(line[indent:] for line in lines))
        return flow.read(flow.Source(Path(folder)))


def started(tables: Any, manifest: Manifest, fault: Fault = Fault.REFUSE, number: int = 0) -> Run:
    standin = StandIn(seed=1)  # other ids than those of `tables`
    standin.tables = copy.deepcopy(tables)
    return Run(standin, manifest, CONSENT, FaultyTransport(standin, fault, at(number), latency=LATENCY, seed=0))


@cache
def start(case: str) -> Start:
    """The start of a case, after its agents wrote to all their blocks, and its undisturbed end."""
    before, after = CASES[case]
    standin = StandIn(seed=2)
    run = Run(standin, read(before), CONSENT, FaultyTransport(standin, latency=LATENCY, seed=0))
    run.apply_again()
    for block in run.standin.tables.blocks.values():
        block["value"] += "" if block["label"] == "lettaform" else " And what the agent learned."
    tables = copy.deepcopy(run.standin.tables)
    run = started(tables, read(after))
    run.apply_again()
    run.assert_no_changes()
    return Start(tables, run.manifest, run.sent, run.snapshot())


def contents(tables: Any) -> Iterator[tuple[str, str]]:
    """The ids of all objects that hold memory or data, each with it."""
    for block in tables.blocks.values():
        if block["label"] != "lettaform":
            yield block["id"], block["value"]
    for passage in tables.passages.values():
        yield passage["id"], passage["text"]


@pytest.mark.parametrize("case", CASES)
def test_moved_objects_keep_what_they_hold(case: str) -> None:
    begin = start(case)
    run = started(begin.tables, begin.manifest)
    plan, before = run.plan(), dict(contents(begin.tables))
    deleted = {change.id for change in plan.changes if change.action == "delete"}
    run.apply_again()
    after = dict(contents(run.standin.tables))
    assert {id: after.get(id) for id in before if id not in deleted} == {
        id: text for id, text in before.items() if id not in deleted
    }
    moved = {change.id for change in plan.changes if "moved from" in f"{change.reason} {change.notes}"}
    assert moved
    assert not moved & deleted


def problems(case: str, fault: Fault, number: int) -> list[str]:
    """What is wrong after one interrupted apply and one more."""
    begin = start(case)
    run = started(begin.tables, begin.manifest, fault, number)
    try:
        run.apply_with_fault()
        run.apply_again()
        run.assert_no_changes()
    except Wrong as error:
        return [str(error)]
    return list(differences(run.snapshot(), begin.end))


def check(case: str, fault: Fault, numbers: Iterable[int]) -> None:
    found = {number: wrong for number in numbers if (wrong := problems(case, fault, number))}
    assert not found


def writes(case: str) -> list[int]:
    """The numbers of the requests that may write."""
    return [number for number, shape in enumerate(start(case).sent, 1) if not shape.startswith("GET")]


@pytest.mark.parametrize("case", CASES)
def test_a_move_that_is_killed_in_the_middle_is_completed(case: str) -> None:
    numbers = writes(case)
    check(case, Fault.KILL_AFTER, numbers[len(numbers) // 3 :: max(1, len(numbers) // 3)])


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES)
def test_a_move_that_is_killed_anywhere_is_completed(case: str) -> None:
    check(case, Fault.KILL_AFTER, range(1, len(start(case).sent) + 1))


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("case", CASES)
def test_a_move_under_any_fault_is_completed(case: str, fault: Fault) -> None:
    check(case, fault, writes(case))
