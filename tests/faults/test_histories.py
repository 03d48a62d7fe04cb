"""Two manifests, one after the other: moves of every sort, objects that are adopted, lines that are removed, objects
that another stack uses, and more members than a page of the server holds.

Nothing is created again or lost, and an interrupted apply is completed by the next one.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lettaform import flow
from lettaform.model import Manifest
from tests.faults.fleet import CONSENT, differences
from tests.faults.harness import Fault, FaultyTransport, at
from tests.faults.run import LATENCY, Run, Wrong
from tests.standin import StandIn

pytestmark = pytest.mark.thorough

HEAD = """
defaults:
  agents: {model: openai-proxy/echo, embedding: letta/letta-free, include_base_tools: false}
  folders: {embedding: letta/letta-free}
"""
MOVES: Mapping[str, tuple[str, str]] = {
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

MANY = 101
"""Members: more than a page of most lists, and than the server answers for an archive."""

SOURCE = """def word(text: str) -> str:
    '''Answer.

    Args:
        text (str): A text.
    '''
    return text
"""
EACH = f"""tools: {{t: {{source: {json.dumps(SOURCE)}}}}}
        archives: {{r: {{passages: [One.]}}}}
        folders: {{f: {{}}}}
        identities: {{i: {{identifier_key: i, name: i, identity_type: user}}}}"""
"""One object of each kind that agents use, without the blocks."""

LINES: Mapping[str, tuple[str, str]] = {
    "lines that added members are removed": (
        f"""
        blocks: {{s: {{value: S}}}}
        {EACH}
        agents:
          a: {{tools: [t], blocks: [s], tags: [u], archive: r, folders: [f], identities: [i], secrets: {{K: one}}}}
        groups: {{g: {{type: round_robin, agents: [a], description: g}}}}
        """,
        f"""
        blocks: {{s: {{value: S}}}}
        tools: {{t: {{source: {json.dumps(SOURCE)}}}}}
        archives: {{r: {{}}}}
        folders: {{f: {{}}}}
        identities: {{i: {{identifier_key: i, name: i, identity_type: user}}}}
        agents: {{a: {{}}}}
        groups: {{g: {{type: round_robin, agents: [a], description: g}}}}
        """,
    ),
    "objects whose lines are removed are pruned together with what refers to them": (
        """
        blocks: {s: {value: S}, r: {value: R}}
        archives: {r: {passages: [One.]}}
        folders: {f: {}}
        agents: {a: {blocks: [s, r], archive: r, folders: [f], memory: {x: X}}, b: {blocks: [s]}}
        groups: {g: {type: round_robin, agents: [a, b], description: g}}
        """,
        "agents: {a: {}}",
    ),
    "objects are forgotten, and stay": (
        f"""
        blocks: {{s: {{value: S}}, k: {{value: K}}}}
        {EACH}
        agents:
          a: {{tools: [t], blocks: [s, k], archive: r, folders: [f], identities: [i], memory: {{x: X}}}}
          b: {{blocks: [k], sleeptime: {{frequency: 3}}, memory: {{y: Y}}}}
        groups: {{g: {{type: round_robin, agents: [a], description: g}}}}
        """,
        """
        blocks: {k: {value: K}}
        removed:
          - {from: blocks.s}
          - {from: tools.t}
          - {from: archives.r}
          - {from: folders.f}
          - {from: identities.i}
          - {from: groups.g}
          - {from: agents.a}
          - {from: agents.b, destroy: true}
        """,
    ),
    "an agent with everything is replaced": (
        f"""
        blocks: {{s: {{value: S}}}}
        {EACH}
        agents:
          a: {{tools: [t], blocks: [s], tags: [u], archive: r, folders: [f], identities: [i], memory: {{x: X, y: Y}}}}
        groups: {{g: {{type: round_robin, agents: [a], description: g}}}}
        """,
        f"""
        blocks: {{s: {{value: S}}}}
        {EACH}
        agents:
          a:
            agent_type: memgpt_v2_agent
            tools: [t]
            blocks: [s]
            tags: [u]
            archive: r
            folders: [f]
            identities: [i]
            memory: {{x: X, y: Y}}
        groups: {{g: {{type: round_robin, agents: [a], description: g}}}}
        """,
    ),
    "many members are added": (
        """
        archives: {r: {passages: [One.]}}
        folders: {f: {}}
        agents: {a: {archive: r, folders: [f], tags: [u]}}
        """,
        f"""
        archives: {{r: {{passages: {json.dumps([f"Passage {n}." for n in range(MANY)])}}}}}
        folders: {{f: {{}}}}
        blocks: {{{", ".join(f"s{n}: {{value: S}}" for n in range(MANY))}}}
        agents: {{a: {{archive: r, folders: [f], tags: {[f"u{n}" for n in range(MANY)]},
                       blocks: {[f"s{n}" for n in range(MANY)]}}}}}
        """,
    ),
    "many members are removed": (
        f"""
        archives: {{r: {{passages: {json.dumps([f"Passage {n}." for n in range(MANY)])}}}}}
        blocks: {{{", ".join(f"s{n}: {{value: S}}" for n in range(MANY))}}}
        agents: {{a: {{archive: r, tags: {[f"u{n}" for n in range(MANY)]}, blocks: {[f"s{n}" for n in range(MANY)]}}}}}
        """,
        "archives: {r: {passages: [One.]}}\nagents: {a: {}}",
    ),
}
"""Lists and maps whose lines change: the manifest before and after."""

OTHER = """
blocks: {theirs: {value: T}, ours: {external: true, stack: histories, address: blocks.s}}
agents:
  lead: {blocks: [theirs, ours], memory: {x: X}}
"""
WITH_OTHERS: Mapping[str, tuple[str, str]] = {
    "a block that another stack uses changes": (
        "blocks: {s: {value: S, description: before}}\nagents: {a: {blocks: [s]}}",
        "blocks: {s: {value: S, description: after, policy: {description: enforce}}}\nagents: {a: {blocks: []}}",
    ),
    "everything but a block that another stack uses is pruned": (
        "blocks: {s: {value: S}, r: {value: R}}\nagents: {a: {blocks: [s, r], memory: {x: X}}}",
        "blocks: {s: {value: S}}",
    ),
}
"""Manifests of a stack beside another stack that uses `blocks.s`."""

MADE_BY_HAND: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "block": ("blocks", {"label": "s", "value": "S"}),
    "identity": ("identities", {"identifier_key": "i", "name": "i", "identity_type": "user"}),
    "folder": ("folders", {"name": "f", "embedding": "letta/letta-free"}),
    "archive": ("archives", {"name": "r", "embedding": "letta/letta-free"}),
    "tool": ("tools", {"source_code": SOURCE}),
    "agent": (
        "agents",
        {
            "name": "hand made",
            "model": "openai-proxy/echo",
            "embedding": "letta/letta-free",
            "memory_blocks": [{"label": "x", "value": "X"}, {"label": "z", "value": "Z"}],
            "tags": ["u"],
        },
    ),
}
ADOPTED = (
    "",
    f"""
    blocks: {{s: {{value: S}}}}
    tools: {{t: {{source: {json.dumps(SOURCE)}}}}}
    archives: {{r: {{name: r, passages: [One.]}}}}
    folders: {{f: {{name: f}}}}
    identities: {{i: {{identifier_key: i, name: i, identity_type: user}}}}
    agents:
      a: {{name: hand made, memory: {{x: X, y: Y}}, blocks: [s], tools: [t], archive: r, folders: [f], tags: [w]}}
    imports:
      - {{to: blocks.s, id: $block}}
      - {{to: tools.t, id: $tool}}
      - {{to: archives.r, id: $archive}}
      - {{to: folders.f, id: $folder}}
      - {{to: identities.i, id: $identity}}
      - {{to: agents.a, id: $agent}}
    """,
)
"""What was made by hand, and the manifest that adopts it and changes it."""

CASES: Mapping[str, tuple[str, str]] = MOVES | LINES | WITH_OTHERS | {"what was made by hand is adopted": ADOPTED}


@dataclass(frozen=True)
class Start:
    """A server between the two manifests, the second manifest, and the server after it was applied."""

    tables: Any
    manifest: Manifest
    sent: list[str]
    end: Mapping[str, Any]


def read(text: str, stack: str = "histories") -> Manifest:
    with TemporaryDirectory() as folder:
        lines = text.strip("\n").splitlines() or [""]
        indent = len(lines[0]) - len(lines[0].lstrip())
        body = "\n".join(line[indent:] for line in lines)
        (Path(folder) / "lettaform.yaml").write_text(f"stack: {stack}\n{HEAD}{body}")
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
    made = made_by_hand(run) if CASES[case] is ADOPTED else {}
    if case in WITH_OTHERS:
        Run(standin, read(OTHER, "others"), CONSENT, FaultyTransport(standin, latency=LATENCY, seed=0)).apply_again()
    for block in run.standin.tables.blocks.values():
        block["value"] += "" if block["label"] == "lettaform" else " And what the agent learned."
    tables = copy.deepcopy(run.standin.tables)
    run = started(tables, read(Template(after).substitute(made)))
    run.apply_again()
    run.assert_no_changes()
    return Start(tables, run.manifest, run.sent, run.snapshot())


def made_by_hand(run: Run) -> Mapping[str, str]:
    """Make the objects through the API. Their ids, by kind."""
    found = {}
    for kind, (path, body) in MADE_BY_HAND.items():
        found[kind] = run.raw.post(f"/v1/{path}/", json=body).raise_for_status().json()["id"]
    return found


def contents(tables: Any) -> Iterator[tuple[str, str]]:
    """The ids of all objects that hold memory or data, each with it."""
    for block in tables.blocks.values():
        if block["label"] != "lettaform":
            yield block["id"], block["value"]
    for passage in tables.passages.values():
        yield passage["id"], passage["text"]


@pytest.mark.parametrize("case", MOVES)
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


@pytest.mark.parametrize("case", [*LINES, *WITH_OTHERS])
def test_memory_and_the_objects_of_others_are_kept(case: str) -> None:
    begin = start(case)
    run = started(begin.tables, begin.manifest)
    declared = {str(address) for address in begin.manifest.objects}
    run.apply_again()
    before, after = (tables.blocks for tables in (begin.tables, run.standin.tables))
    kept = [id for id, block in before.items() if is_kept(block, declared)]
    assert {id: after[id]["value"] for id in kept} == {id: before[id]["value"] for id in kept}
    assert kept or case not in WITH_OTHERS


def is_kept(block: Mapping[str, Any], declared: Collection[str]) -> bool:
    """Whether a block is of another stack, or declared."""
    tags = block["tags"]
    ours = "lettaform:stack=histories" in tags
    state = any(tag.startswith("lettaform:state=histories") for tag in tags)
    return not state and (not ours or any(tag.removeprefix("lettaform:addr=") in declared for tag in tags))


@pytest.mark.parametrize("case", CASES)
def test_a_change_that_is_killed_in_the_middle_is_completed(case: str) -> None:
    numbers = writes(case)
    check(case, Fault.KILL_AFTER, numbers[len(numbers) // 3 :: max(1, len(numbers) // 3)])


@pytest.mark.parametrize(
    "case", [case if case in MOVES else pytest.param(case, marks=pytest.mark.slow) for case in CASES]
)
def test_a_change_that_is_killed_at_any_write_is_completed(case: str) -> None:
    check(case, Fault.KILL_AFTER, writes(case))


@pytest.mark.slow
@pytest.mark.parametrize("fault", Fault)
@pytest.mark.parametrize("case", CASES)
def test_a_change_under_any_fault_is_completed(case: str, fault: Fault) -> None:
    check(case, fault, writes(case))
