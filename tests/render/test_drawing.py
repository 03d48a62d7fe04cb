"""A graph as SVG and HTML: well-formed for any name, self-contained, and without overlapping boxes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from lettaform.address import Address
from lettaform.manifest.graph import Edge, Graph, Node
from lettaform.render import drawing

from .samples import HOSTILE as CONTROLS
from .test_graph import HOSTILE, a_graph

SVG = "{http://www.w3.org/2000/svg}"


def boxes(graph: Graph) -> dict[str, tuple[float, float, float]]:
    """The first line of each box to its place and height."""
    found = {}
    for group in ElementTree.fromstring(drawing.svg(graph)).iter(f"{SVG}g"):
        rect, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        assert rect is not None
        assert text is not None
        found[str(text.text)] = (float(rect.get("x", 0)), float(rect.get("y", 0)), float(rect.get("height", 0)))
    return found


def chain(*pairs: tuple[str, str]) -> Graph:
    names = sorted({Address.parse(name) for pair in pairs for name in pair})
    edges = tuple(Edge(Address.parse(a), Address.parse(b), ("blocks",)) for a, b in pairs)
    return Graph("s", tuple(Node(name.section[:-1], (name,)) for name in names), edges)


def test_what_is_used_stands_right_of_its_users() -> None:
    found = boxes(chain(("agents.a", "blocks.x"), ("agents.b", "blocks.x"), ("blocks.x", "tools.t")))
    assert found["agents.a"][0] == found["agents.b"][0] < found["blocks.x"][0] < found["tools.t"][0]


def test_circles_end() -> None:
    found = boxes(chain(("agents.a", "agents.b"), ("agents.b", "agents.a"), ("agents.b", "agents.b")))
    assert len(found) == 2


def test_boxes_of_500_agents_do_not_overlap_and_all_edges_are_there() -> None:
    graph = chain(*((f"agents.a{number}", f"blocks.b{number % 7}") for number in range(500)))
    places = sorted(boxes(graph).values())
    assert len(places) == 507
    for (x, y, height), (other, below, _) in pairwise(places):
        assert x != other or y + height < below
    assert drawing.svg(graph).count('class="edge"') == 500


def test_an_empty_graph_is_a_drawing() -> None:
    assert ElementTree.fromstring(drawing.svg(Graph("s"))).tag == f"{SVG}svg"
    assert "0 objects, 0 references." in drawing.page(Graph("s"))


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "h1", "p", "div", "table", "tr", "th", "td", "code"),
    *("svg", "defs", "marker", "path", "rect", "g", "text"),
}


@pytest.mark.parametrize("name", [*HOSTILE, CONTROLS, "]]>", "</title><script>", "</style>", "\ufffe\uffff"])
def test_no_name_can_add_an_element_or_an_attribute(name: str) -> None:
    graph = a_graph(name, f"{name} 2")
    graph = Graph(name, graph.nodes, graph.edges, environment=name)
    ElementTree.fromstring(drawing.svg(graph).encode())
    reader = Elements()
    reader.feed(drawing.page(graph))
    assert {tag for tag, _ in reader.found} <= ALLOWED
    for _, attributes in reader.found:
        assert not [each for each in attributes if each.startswith("on") or each in ("href", "src", "xlink:href")]
    assert not set(drawing.page(graph)) & set("\x1b\x07\x9b\u202e\r\u200b\x7f\ud800\U000e0041")


def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    page = drawing.page(a_graph("x", "y"))
    assert "<script" not in page
    assert not re.findall(r"""(?:src|href)=|url\((?!#)|@import""", page)
    assert set(re.findall(r"https?://[^\"' ]+", page)) == {"http://www.w3.org/2000/svg"}
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    assert drawing._hash(style[1]) in page


def test_the_table_says_what_the_drawing_says() -> None:
    page = drawing.page(chain(("agents.a", "blocks.x")))
    assert "<tr><td><code>agents.a</code></td><td>agent</td><td></td><td><code>blocks.x</code></td></tr>" in page
