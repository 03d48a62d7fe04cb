"""A Graph to a drawing in SVG, and to an HTML page with it. Both need no other file, no network and no script.

Every text is clean and escaped. The page's Content-Security-Policy allows its own style sheet and nothing else.
"""

from __future__ import annotations

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from html import escape
from unicodedata import east_asian_width

from lettaform import __version__
from lettaform.address import Address
from lettaform.manifest.graph import Edge, Graph, Node
from lettaform.render.clean import clean_line
from lettaform.render.graph import lines_of
from lettaform.render.inline import count

_WIDTH, _LINE, _PADDING = 236, 17, 10
"""Of a box, in pixels: its width, the height of a line of text, and the space around the lines."""
_ROW, _COLUMN, _MARGIN = 14, 110, 20
"""Between boxes of a column, between columns, and around the drawing."""
_LETTERS = 31
"""The number of letters that fit into a line of a box."""

_COLOURS: Mapping[str, str] = {
    "agent": "#1f63c4",
    "block": "#1a7f4b",
    "archive": "#0b7f86",
    "tool": "#935b00",
    "mcp_server": "#7a4fc0",
    "folder": "#b0479a",
    "identity": "#626b77",
    "group": "#c02a33",
}
"""Kind to the colour of the edge of its boxes. Other kinds are grey."""

_STYLE = """
.drawing { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.drawing .back { fill: #fff; } .drawing .box { fill: #f6f7f9; stroke: #c3c9d2; }
.drawing .external { stroke-dasharray: 5 4; } .drawing text { fill: #1b1f24; } .drawing .note { fill: #626b77; }
.drawing .edge { fill: none; stroke: #939dab; stroke-width: 1.2; }
.drawing .edge:hover, .drawing g:hover > .box { stroke: #1f63c4; stroke-width: 2; }
@media (prefers-color-scheme: dark) {
.drawing .back { fill: #101317; } .drawing .box { fill: #20262e; stroke: #3a434f; }
.drawing text { fill: #e4e8ee; } .drawing .note { fill: #939dab; } .drawing .edge { stroke: #626b77; }
}
"""
_PAGE = """
body { margin: 0 auto; max-width: 1240px; padding: 24px; background: #fff; color: #1b1f24;
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 24px; margin: 0 0 4px; } p { margin: 0 0 16px; color: #626b77; }
.scroll { overflow-x: auto; border: 1px solid #dde1e7; border-radius: 8px; margin-bottom: 24px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: 5px 10px; border-bottom: 1px solid #dde1e7; }
td:first-child { white-space: nowrap; } td:last-child { min-width: 200px; } tr:last-child td { border-bottom: 0; }
code { font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; unicode-bidi: isolate; }
@media (prefers-color-scheme: dark) {
body { background: #101317; color: #e4e8ee; } p { color: #939dab; } .scroll, th, td { border-color: #2c333d; }
}
"""


def svg(graph: Graph) -> str:
    """The drawing as a file of its own."""
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{_svg(graph, style=f"<style>{_STYLE}</style>")}\n'


def page(graph: Graph) -> str:
    """The drawing on a page, with a table of the same objects."""
    style = _STYLE + _PAGE
    policy = f"default-src 'none'; style-src '{_hash(style)}'; base-uri 'none'; form-action 'none'"
    title = _text(f"Stack {graph.stack}" + (f" ({graph.environment})" if graph.environment else ""))
    number = sum(len(node.addresses) for node in graph.nodes)
    return "\n".join(
        [
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">',
            f'<meta name="generator" content="lettaform {escape(__version__)}">',
            f"<title>{title}</title>\n<style>{style}</style>\n</head>\n<body>",
            f"<h1>{title}</h1>\n<p>{count(number, 'object')}, {count(len(graph.edges), 'reference')}. "
            "An arrow points to what an object uses. Dashed: not managed by this stack.</p>",
            f'<div class="scroll">{_svg(graph)}</div>',
            *_table(graph),
            "</body>\n</html>\n",
        ]
    )


def _hash(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"


def _text(text: str) -> str:
    """Clean text, escaped, without the two characters that XML does not allow."""
    return escape(clean_line(text).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd"))


# --- places ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Box:
    """A node and its place: the left upper corner, and the height."""

    node: Node
    lines: list[str]
    x: int
    y: int
    height: int

    @property
    def middle(self) -> int:
        return self.y + self.height // 2


def _placed(graph: Graph) -> dict[Address, _Box]:
    """The boxes in columns: each right of all that refer to it, near the middle of these."""
    columns: dict[int, list[Node]] = defaultdict(list)
    column_of = _columns(graph)
    for node in graph.nodes:
        columns[column_of[node.first]].append(node)
    users: dict[Address, list[Address]] = defaultdict(list)
    for edge in graph.edges:
        users[edge.target].append(edge.source)
    boxes: dict[Address, _Box] = {}
    for number in sorted(columns):
        y = _MARGIN

        def wanted(node: Node) -> float:
            above = [boxes[each].middle for each in users[node.first] if each in boxes]
            return sum(above) / len(above) if above else 0

        for node in sorted(columns[number], key=wanted):
            lines = lines_of(node)
            height = len(lines) * _LINE + _PADDING
            boxes[node.first] = _Box(node, lines, _MARGIN + number * (_WIDTH + _COLUMN), y, height)
            y += height + _ROW
    return boxes


def _columns(graph: Graph) -> dict[Address, int]:
    """The column of each node: the length of the longest way to it. An edge that closes a circle does not count."""
    targets: dict[Address, list[Address]] = {node.first: [] for node in graph.nodes}
    for edge in graph.edges:
        targets[edge.source].append(edge.target)
    order: list[Address] = []
    state: dict[Address, int] = {}
    counted: list[tuple[Address, Address]] = []
    for start in targets:
        waiting = [(start, iter(targets[start]))] if start not in state else []
        state.setdefault(start, 1)
        while waiting:
            at, left = waiting[-1]
            if (each := next(left, None)) is None:
                state[at] = 2
                order.append(at)
                waiting.pop()
            elif state.get(each) != 1:
                counted.append((at, each))
                if each not in state:
                    state[each] = 1
                    waiting.append((each, iter(targets[each])))
    following: dict[Address, list[Address]] = defaultdict(list)
    for source, target in counted:
        following[source].append(target)
    columns = dict.fromkeys(targets, 0)
    for at in reversed(order):
        for each in following[at]:
            columns[each] = max(columns[each], columns[at] + 1)
    return columns


# --- SVG -------------------------------------------------------------------------------------------------------------


def _svg(graph: Graph, style: str = "") -> str:
    boxes = _placed(graph)
    width = max((box.x + _WIDTH for box in boxes.values()), default=0) + _MARGIN
    height = max((box.y + box.height for box in boxes.values()), default=0) + _MARGIN
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    about = _text(f"What the objects of the stack {graph.stack} use")
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="drawing" {size} role="img" aria-label="{about}">',
            *([style] if style else []),
            '<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
            'orient="auto"><path d="M0 0L8 4L0 8z" fill="#939dab"/></marker></defs>',
            '<rect class="back" width="100%" height="100%"/>',
            *(_edge(edge, boxes) for edge in graph.edges),
            *(_box(box) for box in boxes.values()),
            "</svg>",
        ]
    )


def _edge(edge: Edge, boxes: Mapping[Address, _Box]) -> str:
    source, target = boxes[edge.source], boxes[edge.target]
    start, end = source.x + _WIDTH, target.x
    bend = max(abs(end - start) // 2, 40)
    way = f"M{start} {source.middle}C{start + bend} {source.middle} {end - bend} {target.middle} {end} {target.middle}"
    about = _text(f"{edge.source} → {edge.target}: {', '.join(edge.fields)}")
    return f'<path class="edge" marker-end="url(#arrow)" d="{way}"><title>{about}</title></path>'


def _box(box: _Box) -> str:
    node, colour = box.node, _COLOURS.get(box.node.kind, "#626b77")
    external = " external" if node.external else ""
    place = f'x="{box.x}" y="{box.y}" height="{box.height}"'
    texts = [
        f'<text class="{"note" if number else "name"}" x="{box.x + 12}" y="{box.y + 19 + number * _LINE}">'
        f"{_text(_cut(line))}</text>"
        for number, line in enumerate(box.lines)
    ]
    about = _text(f"{node.kind}: {', '.join(map(str, node.addresses[:30]))}")
    return (
        f'<g><title>{about}</title><rect class="box{external}" {place} width="{_WIDTH}" rx="5"/>'
        f'<rect {place} width="4" rx="2" fill="{colour}"/>{"".join(texts)}</g>'
    )


def _cut(text: str) -> str:
    """As much of a text as fits into a box."""
    shown, used = "", 0
    for letter in clean_line(text):
        used += 2 if east_asian_width(letter) in "WF" else 1
        if used > _LETTERS:
            return f"{shown[:-1]}…"
        shown += letter
    return shown


def _table(graph: Graph) -> Iterator[str]:
    """What the drawing says, for those who search, or do not see it."""
    names = {node.first: f"<code>{_text(lines_of(node)[0])}</code>" for node in graph.nodes}
    used: dict[Address, list[str]] = defaultdict(list)
    for edge in graph.edges:
        used[edge.source].append(names[edge.target])
    yield '<div class="scroll">'
    yield "<table>\n<tr><th>object</th><th>kind</th><th>memory</th><th>uses</th></tr>"
    for node in graph.nodes:
        cells = (names[node.first], _text(node.kind), _text(", ".join(node.parts)), ", ".join(used[node.first]))
        yield f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    yield "</table></div>"
