"""A graph as Mermaid, DOT and JSON: well-formed for any name, and equal for equal graphs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lettaform.address import Address
from lettaform.manifest.graph import Edge, Graph, Node
from lettaform.render import data
from lettaform.render import graph as render

HOSTILE = [
    '"]; click x href "javascript:alert(1)"',
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '%%{init: {"securityLevel": "loose"}}%%',
    "`**bold**`",
    "end",
    "a;b #quot; &quot; &lt;",
    '\\\\N \\G \\"x\\',
    "line\nbreak\r\ttab",
    "\x1b[2Jesc\u202eright\u200b",
    "日本 é 🙂",
    "1. list",
    "--> b | c {d} (e)",
    '"] [URL="http://x"]',
    "}\nevil -> x",
]


def a_graph(*keys: str) -> Graph:
    """Two agents with own blocks and instances that have these keys, and an external block."""
    found = []
    for key in keys:
        one, two = Address.of("agents", key), Address.of("agents", key, "x")
        found += [Node("agent", (one,), (key, "p"), stack=key), Node("agent", (two, Address.of("agents", key, key)))]
        found += [Node("agent", (Address.of("agents", key, "z" + key),))]
    block = Node("block", (Address.of("blocks", "b"),), external=True)
    edges = tuple(Edge(node.first, block.first, ("blocks", f"memory.{keys[0]}.value")) for node in found)
    return Graph(keys[0], (*found, block), edges)


WORD, TEXT = r"[A-Za-z][A-Za-z0-9_]*", r'"[\w .,:/@…×\[\]+#;-]*(?:<br/>[\w .,:/@…×\[\]+#;-]*)*"'
BRACKETS = [(r"\[", r"\]"), (r"\[\(", r"\)\]"), (r"\{\{", r"\}\}"), (r"\[\[", r"\]\]"), (r"\(", r"\)"), (">", r"\]")]
BRACKETS += [(r"\[/", r"/\]"), (r"\(\[", r"\]\)")]
MERMAID = [
    "flowchart LR",
    *(f" +{WORD}{left}{TEXT}{right}" for left, right in BRACKETS),
    rf" +subgraph {WORD}\[{TEXT}\]",
    " +end",
    rf" +{WORD} -->\|{TEXT}\| {WORD}",
    " +classDef external stroke-dasharray: 5 5",
    rf" +class {WORD}(,{WORD})* external",
]
QUOTED = r'"(?:[^"\\\n]|\\\\|\\"|\\n)*"'
DOT = [
    rf"digraph {QUOTED} \{{",
    "  rankdir=LR",
    '  (node|edge) \\[fontname="sans-serif"(, fontsize=10)?\\]',
    rf" +subgraph cluster_{WORD} \{{",
    rf" +label={QUOTED}",
    rf" +{WORD} \[shape=\w+, label={QUOTED}(, style=\w+)?\]",
    rf" +{WORD} -> {WORD} \[label={QUOTED}\]",
    r" *\}",
]


def check(found: Graph) -> None:
    """Each line is one of those that the language has, and nothing of a name is outside of quotes."""
    for form, allowed in (("mermaid", MERMAID), ("dot", DOT)):
        text = render.text(found, form)  # type: ignore[arg-type]
        assert text == render.text(found, form)  # type: ignore[arg-type]
        assert text.isprintable() or set(re.sub(r"[^\x00-\x1f]", "", text)) == {"\n"}
        lines = text.removesuffix("\n").split("\n")
        wrong = [line for line in lines if not any(re.fullmatch(each, line) for each in allowed)]
        assert wrong == []
        opened = sum(bool(re.match(r" *subgraph", line)) for line in lines) + (form == "dot")
        assert opened == sum(line.strip() in ("end", "}") for line in lines)
        entities = re.findall(r"#(\d+);", text)
        assert form == "dot" or len(entities) == text.count("#") >= text.count(";")
    ends = re.findall(rf"^  ({WORD}) -->.* ({WORD})$", render.text(found, "mermaid"), re.MULTILINE)
    assert len(set(ends)) == len(found.edges)  # each node has a name of its own
    json.loads(data.dumps(render.to_data(found)))


@pytest.mark.parametrize("key", HOSTILE)
def test_a_name_cannot_act(key: str) -> None:
    check(a_graph(key))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=3, unique=True))
def test_any_name(keys: list[str]) -> None:
    check(a_graph(*keys))


@pytest.mark.skipif(shutil.which("dot") is None, reason="Graphviz is not installed")
def test_graphviz_reads_it() -> None:
    text = render.text(a_graph(*HOSTILE), "dot")
    subprocess.run(["dot", "-Tsvg"], input=text, text=True, check=True, capture_output=True)


TEAM = Graph(
    "s",
    (
        Node("agent", (Address.of("agents", "boss"),), ("a", "b", "c", "d", "e", "f")),
        Node("agent", tuple(Address.of("agents", "worker", f"k{n}") for n in range(48)), ("notes",)),
        Node("block", (Address.of("blocks", "brand"),), external=True, stack="other"),
        Node("block", (Address.of("blocks", "room", "x"),)),
        Node("block", (Address.of("blocks", "room", "y"),)),
    ),
    (Edge(Address.of("agents", "worker", "k0"), Address.of("blocks", "brand"), ("blocks", "system")),),
    "prod",
)


def test_mermaid() -> None:
    assert render.text(TEAM, "mermaid") == (
        "flowchart LR\n"
        '  agents_boss["agents.boss<br/>memory: a, b, c, d and 2 more"]\n'
        '  agents_worker_k0["agents.worker[…] 48 ×<br/>memory: notes"]\n'
        '  blocks_brand[("blocks.brand<br/>stack: other")]\n'
        '  subgraph for_each_blocks_room["blocks.room"]\n'
        '    blocks_room_x[("blocks.room[x]")]\n'
        '    blocks_room_y[("blocks.room[y]")]\n'
        "  end\n"
        '  agents_worker_k0 -->|"blocks, system"| blocks_brand\n'
        "  classDef external stroke-dasharray: 5 5\n"
        "  class blocks_brand external\n"
    )


def test_dot() -> None:
    lines = render.text(TEAM, "dot").splitlines()
    assert lines[0] == 'digraph "s" {'
    assert '  agents_worker_k0 [shape=box, label="agents.worker[…] 48 ×\\nmemory: notes"]' in lines
    assert '  blocks_brand [shape=cylinder, label="blocks.brand\\nstack: other", style=dashed]' in lines
    assert '  agents_worker_k0 -> blocks_brand [label="blocks, system"]' in lines


def test_json() -> None:
    found = render.to_data(TEAM)
    assert (found["stack"], found["environment"], len(found["nodes"][1]["objects"])) == ("s", "prod", 48)
    assert found["nodes"][2] == {
        "address": "blocks.brand",
        "kind": "block",
        "objects": ["blocks.brand"],
        "own_blocks": [],
        "external": True,
        "stack": "other",
    }
    assert found["edges"] == [{"from": "agents.worker[k0]", "to": "blocks.brand", "fields": ["blocks", "system"]}]


def test_an_empty_graph() -> None:
    assert render.text(Graph("s"), "mermaid") == "flowchart LR\n"
    check(Graph("s"))


def test_what_mermaid_does_not_show() -> None:
    assert render.too_large(TEAM) is None
    agents = tuple(Node("agent", (Address.of("agents", f"a{number}"),)) for number in range(700))
    edges = tuple(Edge(agents[0].first, each.first, ("x",)) for each in agents[1:])
    assert "699 edges" in (render.too_large(Graph("s", agents, edges)) or "")
    long = tuple(Node("agent", (Address.of("agents", f"a{number:0>300}"),)) for number in range(100))
    assert "characters" in (render.too_large(Graph("s", long)) or "")
