"""References that form a cycle are errors, with the place of each reference; references that do not are allowed."""

from __future__ import annotations

import time

import pytest

from lettaform.errors import Problem
from tests.manifest.conftest import Project


def ring(members: int) -> str:
    """Agents that refer to one another: the first to the second, …, the last to the first."""
    agents = "".join(f"  a{n}: {{system: 'Ask ${{agents.a{(n + 1) % members}.id}}.'}}\n" for n in range(members))
    return f"stack: s\nagents:\n{agents}"


def only(project: Project) -> Problem:
    (problem,) = project.problems()
    return problem


@pytest.mark.parametrize("members", [2, 3, 50])
def test_a_cycle_is_reported_once_with_every_reference(members: int, project: Project) -> None:
    problem = only(project.write(ring(members)))
    names = [f"agents.a{n}" for n in range(members)]
    assert problem.message == f"cycle of references: {' → '.join([*names, names[0]])}"
    assert str(problem.place) == "lettaform.yaml:3:21"
    assert problem.hint is not None
    for number in range(members):
        reference = f"agents.a{number} → agents.a{(number + 1) % members} at lettaform.yaml:{number + 3}:"
        assert reference in problem.hint


def test_a_long_cycle_is_shortened(project: Project) -> None:
    problem = only(project.write(ring(80)))
    assert problem.message.endswith("→ agents.a49 → … 30 more → agents.a0")
    assert str(problem.hint).count("lettaform.yaml:") == 50


def test_cycles_without_common_objects_are_reported_together(project: Project) -> None:
    pairs = "".join(
        f"  {x}: {{description: '${{agents.{y}.id}}'}}\n  {y}: {{description: '${{agents.{x}.id}}'}}\n"
        for x, y in (("a", "b"), ("c", "d"))
    )
    messages = [problem.message for problem in project.write(f"stack: s\nagents:\n{pairs}").problems()]
    assert messages == [
        "cycle of references: agents.a → agents.b → agents.a",
        "cycle of references: agents.c → agents.d → agents.c",
    ]


def test_many_cycles_end_soon(project: Project) -> None:
    """Each cycle is found in a pass over all objects; so the number of reported cycles is limited."""
    agents = "".join(f"  a{n}: {{description: '${{agents.a{n}.id}}'}}\n" for n in range(1000))
    project.write(f"stack: s\nagents:\n{agents}")
    before = time.process_time()
    assert len(project.problems()) == 50
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    ("manifest", "chain"),
    [
        pytest.param(
            "agents: {a: {description: 'I am in ${groups.g.id}'}}\ngroups: {g: {type: round_robin, agents: [a]}}",
            "agents.a → groups.g → agents.a",
            id="an agent and its group",
        ),
        pytest.param(
            "agents: {a: {blocks: [b]}}\nblocks: {b: {value: 'of ${agents.a.id}'}}",
            "agents.a → blocks.b → agents.a",
            id="an agent and a shared block",
        ),
        pytest.param(
            "agents: {a: {archive: k}}\narchives: {k: {embedding: a/b, description: '${agents.a.id}'}}",
            "agents.a → archives.k → agents.a",
            id="an agent and its archive, whose ID is in the mark of the agent",
        ),
        pytest.param(
            "agents: {a: {blocks: [b], memory: {human: x}}}\nblocks: {b: {value: '${agents.a.memory.human.id}'}}",
            "agents.a → blocks.b → agents.a",
            id="an own block that is created with its agent",
        ),
        pytest.param(
            "agents: {a: {memory: {human: {tags: [x], value: 'of ${agents.a.id}'}}}}",
            "agents.a → agents.a.memory.human → agents.a",
            id="an own block that is created before its agent",
        ),
        pytest.param(
            "agents: {a: {sleeptime: true, description: 'with ${agents.a-sleeptime.id}'}}",
            "agents.a → agents.a-sleeptime → agents.a",
            id="an agent and what the server creates together with it",
        ),
        pytest.param(
            "agents: {a: {tools: [t]}}\ntools: {t: {mcp: m}}\n"
            "mcp_servers: {m: {type: streamable_http, url: 'https://x.y/${agents.a.id}'}}",
            "agents.a → tools.t → mcp_servers.m → agents.a",
            id="a tool of an MCP server",
        ),
        pytest.param(
            "agents: {w: {for_each: [x, y], description: '${agents.w[x].id}'}}",
            "agents.w[x] refers to itself: agents.w[x] → agents.w[x]",
            id="an instance of for_each that refers to itself",
        ),
        pytest.param(
            "defaults: {agents: {metadata: {boss: '${agents.boss.id}'}}}\nagents: {boss: {}, worker: {}}",
            "agents.boss refers to itself: agents.boss → agents.boss",
            id="a default that refers to an object of the same section",
        ),
        pytest.param(
            "agents: {a: {memory: {human: 'of ${agents.a.id}'}}}",
            "agents.a refers to itself: agents.a → agents.a",
            id="an own block that refers to its agent",
        ),
        pytest.param(
            "agents: {a: {description: '${agents.a.timezone}'}}",
            "agents.a refers to itself: agents.a → agents.a",
            id="a field that the server sets",
        ),
    ],
)
def test_every_kind_of_reference_counts(manifest: str, chain: str, project: Project) -> None:
    problem = only(project.write(f"stack: s\n{manifest}\n"))
    assert problem.message == (chain if "itself" in chain else f"cycle of references: {chain}")


def test_the_place_of_a_self_reference_is_its_expression(project: Project) -> None:
    problem = only(project.write("stack: s\nagents:\n  a:\n    description: I am ${stack} ${agents.a.id}\n"))
    assert str(problem.place) == "lettaform.yaml:4:32"
    assert str(problem.hint).endswith("agents.a → agents.a at lettaform.yaml:4:32")


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(
            "agents: {a: {memory: {human: x}}, b: {description: '${agents.a.memory.human.id}'}}", id="own block"
        ),
        pytest.param("agents: {a: {name: A, description: 'I am ${agents.a.name}'}}", id="a value of the manifest"),
        pytest.param("agents: {a: {}, b: {tags: ['${agents.a.id}'], system: '${agents.a.id}'}}", id="two references"),
        pytest.param("agents: {a: {external: true, id: x}, b: {system: '${agents.a.id}'}}", id="external"),
        pytest.param("agents: {a: {sleeptime: true}, b: {system: '${agents.a-sleeptime.id}'}}", id="companion"),
        pytest.param(
            "agents: {a: {blocks: [b], memory: {human: {tags: [x]}}}}\n"
            "blocks: {b: {value: '${agents.a.memory.human.id}'}}",
            id="an own block that is created before its agent",
        ),
        pytest.param("agents: {a: {}}\noutputs: {o: '${agents.a.id}'}", id="outputs"),
    ],
)
def test_references_without_a_cycle_are_allowed(manifest: str, project: Project) -> None:
    assert project.write(f"stack: s\n{manifest}\n").load().objects
