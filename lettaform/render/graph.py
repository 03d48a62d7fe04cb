"""A Graph to Mermaid, to DOT and to JSON. Names of objects cannot act in any of these languages."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from lettaform.address import Address
from lettaform.manifest.graph import Edge, Graph, Node
from lettaform.render import data
from lettaform.render.clean import clean_line

Form = Literal["mermaid", "dot"]
MERMAID_EDGES, MERMAID_CHARACTERS = 500, 50_000
"""What Mermaid shows unless it is configured otherwise (`maxEdges`, `maxTextSize`)."""

_SHAPES: Mapping[str, tuple[str, str]] = {
    "agent": ("[", "]"),
    "block": ("[(", ")]"),
    "archive": ("[(", ")]"),
    "tool": ("{{", "}}"),
    "mcp_server": ("[[", "]]"),
    "folder": ("[/", "/]"),
    "identity": ("([", "])"),
    "group": (">", "]"),
}
"""Kind to the brackets of its shape in Mermaid. Other kinds have round corners."""
_DOT_SHAPES: Mapping[str, str] = {
    "agent": "box",
    "block": "cylinder",
    "archive": "cylinder",
    "tool": "hexagon",
    "mcp_server": "component",
    "folder": "folder",
    "identity": "ellipse",
    "group": "house",
}
_MOST_PARTS = 4
"""Own blocks whose names are shown: more are counted."""
_UNSAFE = re.compile(r"[^\w .,:/@…×\[\]+-]")
"""Characters that Mermaid might take for syntax, Markdown, HTML, a directive or an entity."""


def text(graph: Graph, form: Form) -> str:
    """The graph as a text that Mermaid or Graphviz reads. Equal graphs have equal texts."""
    return "\n".join(_mermaid(graph) if form == "mermaid" else _dot(graph)) + "\n"


def too_large(graph: Graph) -> str | None:
    """Why Mermaid does not show a graph unless it is configured to; None if it does."""
    if len(graph.edges) > MERMAID_EDGES:
        return f"the graph has {len(graph.edges)} edges, and Mermaid shows at most {MERMAID_EDGES} by default"
    length = len(text(graph, "mermaid"))
    if length > MERMAID_CHARACTERS:
        return f"the graph has {length} characters, and Mermaid reads at most {MERMAID_CHARACTERS} by default"
    return None


def to_data(graph: Graph) -> dict[str, Any]:
    """The object that `graph --json` prints."""
    return {
        "format_version": data.FORMAT_VERSION,
        "stack": graph.stack,
        **({"environment": graph.environment} if graph.environment is not None else {}),
        "nodes": [
            {
                "address": str(node.first),
                "kind": node.kind,
                "objects": [str(each) for each in node.addresses],
                "own_blocks": list(node.parts),
                "external": node.external,
                **({"stack": node.stack} if node.stack else {}),
            }
            for node in graph.nodes
        ],
        "edges": [
            {"from": str(edge.source), "to": str(edge.target), "fields": list(edge.fields)} for edge in graph.edges
        ],
    }


# --- what is shown ---------------------------------------------------------------------------------------------------


def _name(node: Node) -> str:
    """`agents.a`, or `agents.worker[…] 48 ×`."""
    number = len(node.addresses)
    return str(node.first) if number == 1 else f"{node.first.declaration}[…] {number} ×"


def lines_of(node: Node) -> list[str]:
    """The lines of the label of a node."""
    lines = [_name(node)]
    if node.parts:
        more = len(node.parts) - _MOST_PARTS
        shown = ", ".join(node.parts[:_MOST_PARTS]) + (f" and {more} more" if more > 0 else "")
        lines.append(f"memory: {shown}")
    lines += [f"stack: {node.stack}"] if node.stack else []
    return lines


def _grouped(nodes: Sequence[Node]) -> Iterator[tuple[Address | None, list[Node]]]:
    """The nodes, those of one `for_each` together with its address."""
    counts = Counter(node.first.declaration for node in nodes if node.first.index is not None)
    groups: dict[Address, list[Node]] = defaultdict(list)
    for node in nodes:
        groups[node.first.declaration if counts[node.first.declaration] > 1 else node.first].append(node)
    for address, group in groups.items():
        yield (address if counts[address] > 1 else None), group


Groups = list[tuple[Address | None, list[Node]]]
_NODE, _GROUP = "", "for_each "


def _with_identifiers(graph: Graph) -> tuple[Groups, dict[tuple[str, Address], str]]:
    """The groups of the nodes, and a word for each node and group that nothing else has."""
    groups = list(_grouped(graph.nodes))
    named = [(_NODE, node.first) for node in graph.nodes]
    named += [(_GROUP, address) for address, _ in groups if address is not None]
    found: dict[tuple[str, Address], str] = {}
    taken: set[str] = set()
    for sort, address in named:
        word = free = re.sub(r"[^A-Za-z0-9]+", "_", f"{sort}{address}").strip("_")
        number = 1
        while free in taken:
            number += 1
            free = f"{word}_{number}"
        taken.add(free)
        found[sort, address] = free
    return groups, found


# --- Mermaid ---------------------------------------------------------------------------------------------------------


def _mermaid(graph: Graph) -> Iterator[str]:
    groups, ids = _with_identifiers(graph)
    yield "flowchart LR"
    for address, nodes in groups:
        indent = "  "
        if address is not None:
            yield f'  subgraph {ids[_GROUP, address]}["{_escaped(str(address))}"]'
            indent = "    "
        for node in nodes:
            left, right = _SHAPES.get(node.kind, ("(", ")"))
            label = "<br/>".join(map(_escaped, lines_of(node)))
            yield f'{indent}{ids[_NODE, node.first]}{left}"{label}"{right}'
        if address is not None:
            yield "  end"
    for edge in graph.edges:
        yield f'  {ids[_NODE, edge.source]} -->|"{_escaped(_label(edge))}"| {ids[_NODE, edge.target]}'
    external = [ids[_NODE, node.first] for node in graph.nodes if node.external]
    if external:
        yield "  classDef external stroke-dasharray: 5 5"
        yield f"  class {','.join(external)} external"


def _escaped(text: str) -> str:
    """A text in double quotes in Mermaid: entities are written with `#`."""
    return _UNSAFE.sub(lambda found: f"#{ord(found[0])};", clean_line(text))


def _label(edge: Edge) -> str:
    return ", ".join(edge.fields)


# --- DOT -------------------------------------------------------------------------------------------------------------


def _dot(graph: Graph) -> Iterator[str]:
    groups, ids = _with_identifiers(graph)
    yield f"digraph {_quoted(graph.stack)} {{"
    yield "  rankdir=LR"
    yield '  node [fontname="sans-serif"]'
    yield '  edge [fontname="sans-serif", fontsize=10]'
    for address, nodes in groups:
        indent = "  "
        if address is not None:
            yield f"  subgraph cluster_{ids[_GROUP, address]} {{"
            yield f"    label={_quoted(str(address))}"
            indent = "    "
        yield from (f"{indent}{ids[_NODE, node.first]} [{_attributes(node)}]" for node in nodes)
        if address is not None:
            yield "  }"
    for edge in graph.edges:
        yield f"  {ids[_NODE, edge.source]} -> {ids[_NODE, edge.target]} [label={_quoted(_label(edge))}]"
    yield "}"


def _attributes(node: Node) -> str:
    label = "\\n".join(_quoted(line)[1:-1] for line in lines_of(node))
    words = [f"shape={_DOT_SHAPES.get(node.kind, 'box')}", f'label="{label}"']
    words += ["style=dashed"] if node.external else ["style=rounded"] if node.kind not in _DOT_SHAPES else []
    return ", ".join(words)


def _quoted(text: str) -> str:
    """A text in double quotes in DOT, where a label may contain escapes and HTML entities."""
    escaped = clean_line(text).replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
    return f'"{escaped}"'
