"""The graph of a manifest: edges, own blocks, external objects, and instances that are one node."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lettaform import flow
from lettaform.address import Address
from lettaform.errors import PlanError
from lettaform.flow import Source
from lettaform.manifest.graph import Graph, Node, graph
from lettaform.manifest.load import load

Draw = Callable[..., Graph]


@pytest.fixture
def draw(tmp_path: Path) -> Draw:
    def draw(text: str, *patterns: str) -> Graph:
        (tmp_path / "lettaform.yaml").write_text(f"stack: s\n{text}")
        return flow.graph(Source(tmp_path), patterns)

    return draw


def edges(found: Graph) -> set[str]:
    return {f"{each.source} {','.join(each.fields)} {each.target}" for each in found.edges}


def nodes(found: Graph) -> dict[str, int]:
    return {
        str(each.first.declaration if len(each.addresses) > 1 else each.first): len(each.addresses)
        for each in found.nodes
    }


def node(found: Graph, address: str) -> Node:
    return next(each for each in found.nodes if Address.parse(address) in each.addresses)


TEAM = """\
blocks:
  org: {value: x}
  brand: {external: true, stack: other, address: blocks.brand}
archives: {facts: {}}
mcp_servers: {clock: {type: stdio, command: clock, args: []}}
tools: {now: {mcp: clock}}
agents:
  a:
    model: x/m
    memory: {persona: x, human: y}
    blocks: [org, brand]
    tools: [now, web_search]
    archive: facts
    sleeptime: true
  b: {model: x/m, blocks: [org], system: "Ask ${agents.a.id}."}
  lone: {model: x/m}
groups: {pair: {type: supervisor, agents: [b], manager: a}}
"""


def test_edges_and_nodes(draw: Draw) -> None:
    found = draw(TEAM)
    assert edges(found) == {
        "agents.a blocks blocks.org",
        "agents.a blocks blocks.brand",
        "agents.a tools tools.now",
        "agents.a tools tools.web_search",
        "agents.a archive archives.facts",
        "agents.a sleeptime agents.a-sleeptime",
        "agents.a sleeptime groups.a-sleeptime",
        "agents.b blocks blocks.org",
        "agents.b system agents.a",
        "groups.pair agents agents.b",
        "groups.pair manager agents.a",
        "tools.now mcp mcp_servers.clock",
    }
    assert [str(each.first) for each in found.nodes] == sorted(str(each.first) for each in found.nodes)
    assert node(found, "agents.a").parts == ("human", "persona")
    assert "agents.lone" in nodes(found)
    external = {str(each.first): each.stack for each in found.nodes if each.external}
    assert external == {"blocks.brand": "other", "tools.web_search": None}  # a tool of an MCP server is declared


def test_a_pattern_shows_objects_and_what_they_are_linked_to(draw: Draw) -> None:
    found = draw(TEAM, "agents.b", "tools.now")
    assert set(nodes(found)) == {
        "agents.b",
        "blocks.org",
        "agents.a",
        "groups.pair",
        "tools.now",
        "mcp_servers.clock",
    }
    assert "agents.a blocks blocks.org" not in edges(found)
    assert "agents.a" in nodes(draw(TEAM, "agents.a.memory.human"))
    with pytest.raises(PlanError, match=r"agents\.c"):
        draw(TEAM, "agents.c")


def test_nothing_is_declared(draw: Draw) -> None:
    assert draw("") == Graph("s")


def test_variables_need_no_values(draw: Draw) -> None:
    found = draw(
        "variables: {m: {}}\nagents: {a: {model: '${var.m}', blocks: [b]}}\nblocks: {b: {value: '${var.m}'}}\n"
    )
    assert edges(found) == {"agents.a blocks blocks.b"}


FLEET = """\
blocks:
  org: {value: x}
  room: {for_each: [r, s, t], value: x}
  desk: {for_each: [k1, k2, k3, k4], value: x}
agents:
  worker:
    for_each: [k1, k2, k3, k4]
    model: x/m
    memory: {notes: x}
    blocks: [org, "room[r]", "room[s]", "desk[${each.key}]"]
"""


def test_instances_with_equal_edges_are_one_node(draw: Draw) -> None:
    found = draw(FLEET)
    assert nodes(found) == {
        "agents.worker": 4,
        "blocks.desk": 4,
        "blocks.org": 1,
        "blocks.room": 2,
        "blocks.room[t]": 1,
    }
    assert edges(found) == {
        "agents.worker[k1] blocks blocks.org",
        "agents.worker[k1] blocks blocks.room[r]",
        "agents.worker[k1] blocks blocks.desk[k1]",
    }
    assert node(found, "agents.worker[k3]").parts == ("notes",)


def test_an_instance_with_another_edge_is_a_node_of_its_own(draw: Draw) -> None:
    found = draw(FLEET + "  boss: {model: x/m, blocks: ['desk[k2]']}\n")
    assert nodes(found)["agents.worker"] == nodes(found)["blocks.desk"] == 3
    assert {"agents.worker[k2] blocks blocks.desk[k2]", "agents.boss blocks blocks.desk[k2]"} <= edges(found)
    assert "agents.worker[k1] blocks blocks.desk[k1]" in edges(found)


def test_which_instances_share_what_is_not_lost(draw: Draw) -> None:
    text = "blocks: {room: {for_each: [r, s], value: x}}\nagents:\n  w:\n    for_each: {a: r, b: r, c: s, d: s}\n"
    found = draw(text + "    model: x/m\n    blocks: ['room[${each.value}]']\n")
    assert edges(found) == {"agents.w[a] blocks blocks.room[r]", "agents.w[c] blocks blocks.room[s]"}
    assert [len(each.addresses) for each in found.nodes] == [2, 2, 1, 1]


def test_a_large_fleet_is_small_and_fast(draw: Draw) -> None:
    keys = ", ".join(f"k{number}" for number in range(300))
    found = draw(FLEET.replace("k1, k2, k3, k4", keys))
    assert len(found.nodes) == 5


def test_every_example() -> None:
    for path in sorted(Path(__file__).parents[2].glob("examples/*/lettaform.yaml")):
        manifest = load(path.parent, needs="nothing", connects=False)
        found = graph(manifest)
        shown = {address for each in found.nodes for address in each.addresses}
        assert shown == {address for address in manifest.objects if address.parent is None}
        assert {end for each in found.edges for end in (each.source, each.target)} <= shown
