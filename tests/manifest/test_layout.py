"""Canonical layout: nothing but blanks, line breaks between values, and spellings of null and booleans changes."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lettaform.manifest import layout as module
from lettaform.manifest.emit_text import yaml_text
from lettaform.manifest.layout import Unlike, comments, layout
from lettaform.manifest.node import Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.text import parse

from .test_emit_text import KEYS, TREES

ROOT = Path(__file__).parents[2]

# --- examples --------------------------------------------------------------------------------------------------------

CASES = {
    "indentation": ("a:\n     b:\n       c: 1\n", "a:\n  b:\n    c: 1\n"),
    "lists are indented below their key": ("a:\n- x\n-   y\nb: 1\n", "a:\n  - x\n  - y\nb: 1\n"),
    "a map in a list": ("a:\n  -   x: 1\n      y: 2\n", "a:\n  - x: 1\n    y: 2\n"),
    "a list in a list": ("a:\n- - x\n  - y\n- z\n", "a:\n  - - x\n    - y\n  - z\n"),
    "an item below its dash": ("a:\n-\n   x: 1\n", "a:\n  -\n    x: 1\n"),
    "one space after a colon": ("a :   1\nb:\t2\n", "a: 1\nb: 2\n"),
    "columns of values": ("a:      1\nlonger: 2\n", "a: 1\nlonger: 2\n"),
    "a value below its key": ("a:\n     text\n", "a:\n  text\n"),
    "brackets": ("a: [ x,y , z ]\nb: { c: 1,d: [ ] }\n", "a: [x, y, z]\nb: {c: 1, d: []}\n"),
    "a comma at the end": ("a: [x, ]\n", "a: [x,]\n"),
    "brackets of several lines": ("a: [\n  x,\n    y\n]\nb: 1\n", "a: [\n    x,\n    y\n  ]\nb: 1\n"),
    "brackets that open in one line": ("a: [{\n  x: 1\n}]\n", "a: [{\n    x: 1\n  }]\n"),
    "keys in double quotes in braces": ('a: {"b":1}\n', 'a: {"b": 1}\n'),
    "blanks at the end": ("a: 1   \nb:\t\n  c: 2 \n", "a: 1\nb:\n  c: 2\n"),
    "blank lines": ("\n\na: 1\n\n\n\nb: 2\n\n\n", "a: 1\n\nb: 2\n"),
    "blank lines with blanks": ("a: 1\n  \n   \nb: 2\n", "a: 1\n\nb: 2\n"),
    "no line break at the end": ("a: 1", "a: 1\n"),
    "CRLF": ("a:\r\n- x\r\n\r\n\r\nb: |\r\n    t\r\n", "a:\r\n  - x\r\n\r\nb: |\r\n  t\r\n"),
    "CRLF without one at the end": ("a: 1\r\nb: 2", "a: 1\r\nb: 2\r\n"),
    "spellings": ("a: True\nb: ~\nc: NULL\nd: FALSE\ne:\n", "a: true\nb: null\nc: null\nd: false\ne:\n"),
    "spellings in brackets": ("a: [True, ~]\nb: {c: Null}\n", "a: [true, null]\nb: {c: null}\n"),
    "keys keep their spelling": (
        "a:\n  True: 1\n  ~: 2\nb: {Null: 1, True}\n",
        "a:\n  True: 1\n  ~: 2\nb: {Null: 1, True}\n",
    ),
    "texts keep their spelling": ("a: !!str True\nb: 'True'\nc: yes\n", "a: !!str True\nb: 'True'\nc: yes\n"),
    "quotes stay": ("a: 'x'\nb: \"y\"\nc: z\n", "a: 'x'\nb: \"y\"\nc: z\n"),
    "numbers stay": ("a: 1.50\nb: 0x1F\nc: 1e3\n", "a: 1.50\nb: 0x1F\nc: 1e3\n"),
    "tags and anchors": (
        "a:   &x   !file   p.md\nb: { c: !unset }\nd: [*x , *x ]\n",
        "a: &x !file p.md\nb: {c: !unset }\nd: [*x , *x ]\n",
    ),
    "an anchor above a map": ("a:   &x\n     b: 1\nc: *x\n", "a: &x\n  b: 1\nc: *x\n"),
    "an explicit key": ("? a\n:   1\n?   b\n", "? a\n: 1\n? b\n"),
    "document markers": ("%YAML 1.2\n---\na:  1\n...\n", "%YAML 1.2\n---\na: 1\n...\n"),
    "one pair of braces": ("{a: 1,\n b: 2}\n", "{a: 1,\n  b: 2}\n"),
    # comments
    "a space in comments": ("#a#e\n##b\n#!c\n#\n#  d \na: 1\n", "# a#e\n## b\n#!c\n#\n#  d\na: 1\n"),
    "comments behind values": ("a: 1 # x\nlong: 2        #y\n\nb: 3 #z\n", "a: 1     # x\nlong: 2  # y\n\nb: 3  # z\n"),
    "comments of other levels": ("a:  # x\n  bcd: 1 # y\n", "a:  # x\n  bcd: 1  # y\n"),
    "wide characters": ("a: 日本 # x\nb: abcd # y\n", "a: 日本  # x\nb: abcd  # y\n"),
    "a comment above": ("a:\n    # x\n    b: 1\n", "a:\n  # x\n  b: 1\n"),
    "a comment at the end of a map": ("a:\n    b: 1\n    # c: 2\nd: 3\n", "a:\n  b: 1\n  # c: 2\nd: 3\n"),
    "a comment above the next key": ("a:\n    b: 1\n# c\nd: 3\n", "a:\n  b: 1\n# c\nd: 3\n"),
    "a comment after a list at its key": ("a:\n- x\n# b\nb: 1\n", "a:\n  - x\n# b\nb: 1\n"),
    "a comment as the only content": ("a:\n  b:\n     # c: 1\nd: 1\n", "a:\n  b:\n    # c: 1\nd: 1\n"),
    "comments at the end": ("a:\n   b: 1\n   # x\n# y\n", "a:\n  b: 1\n  # x\n# y\n"),
    "comments in brackets": ("a: [ # x\n 1, # y\n # z\n]\n", "a: [  # x\n    1,  # y\n    # z\n  ]\n"),
    # texts of several lines
    "a literal block": ("a: |\n     x\n       y  \n\n     z\n", "a: |\n  x\n    y  \n\n  z\n"),
    "a literal block in a list": ("a:\n- |\n x\n- y\n", "a:\n  - |\n    x\n  - y\n"),
    "a folded block": ("a:   >-   # c\n    x\n    y\n\n\n\nb: 1\n", "a: >-  # c\n  x\n  y\n\nb: 1\n"),
    "blank lines that a block keeps": ("a: |+\n    x\n\n\nb: 1\n", "a: |+\n  x\n\n\nb: 1\n"),
    "blank lines inside a block": ("a: |\n    x\n\n\n\n    y\n", "a: |\n  x\n\n\n\n  y\n"),
    "spaces that begin a block": ("a: |4\n       x\n", "a: |2\n     x\n"),
    "a line of spaces in a block": ("a: |\n   x\n      \n   y\n", "a: |\n  x\n     \n  y\n"),
    "tabs in a block": ("a: |\n    y\n    \tx\t\n", "a: |\n  y\n  \tx\t\n"),
    "what looks like a comment in a block": ("a: |\n    #x\n    # y\n# z\n", "a: |\n  #x\n  # y\n# z\n"),
    "a block without a line break at the end": ("a: |\n    x", "a: |-\n  x\n"),
    "an empty block": ("a: |\n\n\nb: 1\n", "a: |\n\nb: 1\n"),
    "a plain text of several lines": ("a: x\n      y  \n\n   z\n", "a: x\n  y\n\n  z\n"),
    "a quoted text of several lines": ('a: "x \\\n      y\\ \n\n   z"\n', 'a: "x \\\n  y\\ \n\n  z"\n'),
    "a text in single quotes": ("a:\n  - 'x\n y'\n", "a:\n  - 'x\n    y'\n"),
}


@pytest.mark.parametrize("name", CASES)
def test_layout(name: str) -> None:
    before, after = CASES[name]
    assert layout(before) == after
    assert layout(after) == after
    assert value(before) == value(after)


def test_what_init_writes_is_canonical() -> None:
    example = (ROOT / "lettaform/cli/starters/lettaform.yaml").read_text().replace("@", "")
    assert layout(example) == example


def test_a_text_that_would_be_read_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STEP", 0)
    with pytest.raises(Unlike):
        layout("a:\n  b:\n    c: 1\nd: 2\n")


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("a: True", "a:   true  # x", True),
        ("True: 1", "true: 1", False),
        ("a: {b: [~], True: 1}", "a: {b: [null], True: 1}", True),
        ("a: {b: [~], True: 1}", "a: {b: [~], true: 1}", False),
        ("a: {b: {c: {}}, True: 1}", "a: {b: {c: {}}, true: 1}", False),
        ("a: 'True'", "a: true", False),
        ("a: !!str True", "a: !!str true", False),
        ("a: 1", "a: true", False),
        ("a: &x 1", "a: &y 1", False),
        ("a: [1]", "a:\n- 1", False),
    ],
)
def test_what_is_compared(one: str, other: str, equal: bool) -> None:
    assert (list(module._meaning(one)) == list(module._meaning(other))) is equal


def test_a_text_that_would_lose_a_comment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module._Line, "comment", property(lambda self: "", lambda self, text: None), raising=False)
    with pytest.raises(Unlike, match="comments"):
        layout("a: 1  # x\n")


# --- properties ------------------------------------------------------------------------------------------------------

everyday = settings(
    max_examples=int(os.environ.get("LETTAFORM_FUZZ", "60")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)


def plain(node: Node) -> Any:
    """A Node without places: the type of each value, its tag and the order of keys."""
    if isinstance(node.value, dict):
        return [(key, plain(each)) for key, each in node.value.items()]
    if isinstance(node.value, list):
        return ["list", *map(plain, node.value)]
    return (type(node.value).__name__, node.value, node.tag)


def value(text: str) -> Any:
    problems = Problems()
    node = parse(text, "x", problems)
    return "unusable" if node is None or problems.has_errors or not isinstance(node.value, dict) else plain(node)


def holds(text: str) -> None:
    found = value(text)
    if found == "unusable":
        return
    new = layout(text)
    assert value(new) == found
    assert layout(new) == new
    assert list(comments(new)) == list(comments(text))


WORDS = st.sampled_from(
    ["a", "b c", "True", "~", "null", "1", "-1.5", "'q # r'", '"d: \\n\\" e"', "x#y", "http://u", "ключ", "日本", "''"]
)
VALUES = WORDS | st.sampled_from(["!file p.md", "!json q.json", "!unset", "!!str 1", "&anchor v", "*known", ""])
COMMENTS = st.sampled_from(["", "", "", " #c", "   # d  ", " ## e", "\t# f"])
BLANKS = st.sampled_from(["", "", "", "\n", "\n  \n\n", "#g\n", "   #  h\n", "\n# i\n\n"])
LINES = st.lists(st.sampled_from(["x", "  y", "z  ", "", "# no comment", "\tt", "- u", "v: w"]), min_size=1, max_size=4)


class Drawn:
    """A text that is written in a careless way. `end`: its line break."""

    def __init__(self, draw: Any, end: str) -> None:
        self.draw, self.end, self.keys = draw, end, 0
        self.lines: list[str] = []

    def key(self) -> str:
        self.keys += 1
        word: str = self.draw(st.sampled_from(["k", "True", "'q k'", '"k"', "a-b.c", "k k"]))
        return f"{word[:-1]}{self.keys}{word[-1]}" if word[0] in "'\"" else f"{word}{self.keys}"

    def space(self) -> str:
        return str(self.draw(st.sampled_from([" ", " ", "   ", "\t"])))

    def flow(self, depth: int) -> str:
        form = self.draw(st.integers(0, 4)) if depth else 0
        gap = lambda: str(self.draw(st.sampled_from(["", " ", "  ", "\n" + " " * 30, " # j\n" + " " * 33])))  # noqa: E731
        items = [self.flow(depth - 1) for _ in range(self.draw(st.integers(0, 3)))] if form > 2 else []
        if form == 3:
            return "[" + ",".join(f"{gap()}{item}{gap() or ' '}" for item in items) + gap() + "]"
        if form == 4:
            return "{" + ",".join(f"{gap()}{self.key()}:{gap() or ' '}{item} " for item in items) + gap() + "}"
        return str(self.draw(WORDS))

    def value(self, start: str, indent: int, depth: int) -> None:
        """A value after `start`, in lines below it of at least `indent` + 1 columns."""
        form = self.draw(st.integers(0, 9 if depth else 5))
        inner = indent + self.draw(st.integers(1, 5))
        if form < 3:
            self.lines.append(f"{start}{self.space()}{self.draw(VALUES)}{self.draw(COMMENTS)}\n")
        elif form == 3:
            self.lines.append(f"{start} {self.flow(2)}{self.draw(COMMENTS)}\n")
        elif form == 4:
            self.block(start, indent, inner)
        elif form == 5:
            quote = self.draw(st.sampled_from(["", "'", '"']))
            self.lines.append(f"{start} {quote}one\n{' ' * inner}two{' ' * inner}\n\n{' ' * inner}three{quote}\n")
        elif form < 8:
            anchor = self.draw(st.sampled_from(["", "", f" &n{len(self.lines)}"]))
            self.lines.append(f"{start}{anchor}{self.draw(COMMENTS)}\n")
            self.map(inner, depth - 1)
        else:
            self.lines.append(f"{start}{self.draw(COMMENTS)}\n")
            self.list(inner if "-" in start or self.draw(st.booleans()) else indent, depth - 1)

    def block(self, start: str, indent: int, inner: int) -> None:
        style, chomp = self.draw(st.sampled_from("|>")), self.draw(st.sampled_from(["", "-", "+"]))
        texts = self.draw(LINES)
        digit = (
            str(inner - max(indent, 0)) if texts[0].startswith(" ") or not texts[0] or self.draw(st.booleans()) else ""
        )
        self.lines.append(f"{start} {style}{digit}{chomp}{self.draw(COMMENTS)}\n")
        self.lines += [f"{' ' * inner}{text}\n" if text else "\n" for text in texts]

    def map(self, indent: int, depth: int, first: str | None = None) -> None:
        for number in range(self.draw(st.integers(1, 3))):
            start = first if first is not None and number == 0 else " " * indent
            if number or first is None:
                self.lines.append(self.draw(BLANKS))
            self.value(f"{start}{self.key()}{self.draw(st.sampled_from([':', ':', ' :']))}", indent, depth)

    def list(self, indent: int, depth: int) -> None:
        for _ in range(self.draw(st.integers(1, 3))):
            self.lines.append(self.draw(BLANKS))
            start = f"{' ' * indent}-"
            if depth and self.draw(st.booleans()):
                gap = self.draw(st.integers(1, 4))
                self.map(indent + 1 + gap, depth - 1, start + " " * gap)
            else:
                self.value(start, indent, depth)

    def text(self) -> str:
        head = self.draw(st.sampled_from(["", "", "---\n", "# head\n\n", "\n\n"]))
        self.lines += [head, "known: &known v\n"]
        self.map(0, 3)
        self.lines.append(self.draw(BLANKS))
        text = "".join(self.lines)
        text = text if self.draw(st.booleans()) else text.rstrip("\n")
        return text.replace("\n", self.end)


@st.composite
def careless(draw: Any) -> str:
    """A text that is written in a careless way."""
    return Drawn(draw, draw(st.sampled_from(["\n", "\n", "\r\n"]))).text()


@everyday
@given(careless())
def test_values_and_comments_stay_and_the_second_time_nothing_changes(text: str) -> None:
    holds(text)


def test_careless_texts_are_usable() -> None:
    """The property above is about texts that are no manifests unless most of them can be read."""
    seen = []

    @settings(max_examples=40, deadline=None, database=None, derandomize=True)
    @given(careless())
    def collect(text: str) -> None:
        seen.append(value(text) != "unusable")

    collect()
    assert sum(seen) > len(seen) / 3


@everyday
@given(
    st.lists(st.sampled_from([*"ab:-?,[]{}#&*!|>'\"\\ \t\n\r~\x85\u2028", "\n", "  ", ": ", "- ", "a: "])).map("".join)
)
@example("a: |\n  x\n\x85b: 1")
def test_any_text_that_can_be_read(text: str) -> None:
    holds(text)


@settings(max_examples=int(os.environ.get("LETTAFORM_FUZZ", "20")), deadline=None)
@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=4))
def test_what_an_import_writes_is_canonical(tree: dict[str, Any]) -> None:
    text = yaml_text(tree)
    assert layout(text) == text


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*/*.yaml")), ids=lambda path: str(path.parent.name))
def test_examples_are_canonical(path: Path) -> None:
    assert layout(path.read_text()) == path.read_text()


def test_the_manifest_in_the_readme_is_canonical() -> None:
    found = re.search(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert found is not None
    assert layout(found[1]) == found[1]
