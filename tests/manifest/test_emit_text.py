"""Trees to YAML and back: the same tree, and the form in which people write it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from lettaform.manifest.emit_text import File, Raw, flow_entry, yaml_text
from lettaform.manifest.node import Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.text import parse

CHARACTERS = st.characters(exclude_categories=("Cs",))
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=30),
    st.text(st.sampled_from("ab \n:#-,'\"{}[]|>&*!%@`?yes01.e$_\t"), max_size=40),
    st.text(st.sampled_from("abc d"), min_size=90, max_size=300),
    st.from_regex(r"[0-9:.\-+eExob_]{1,8}", fullmatch=True),
)
LEAVES = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(-(2**60), 2**60), st.floats(-1e6, 1e6))
KEYS = st.one_of(st.text(CHARACTERS, min_size=1, max_size=10), TEXTS.filter(lambda text: text != "<<"))
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=15,
)


def value_of(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {key: value_of(child) for key, child in node.map.items()}
    return [value_of(child) for child in node.list] if isinstance(node.value, list) else node.value


def escaped(value: Any) -> Any:
    """A tree as expressions read it: `$${` is a literal `${`."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    return [escaped(item) for item in value] if isinstance(value, list) else value


@pytest.mark.thorough
@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, TREES, min_size=1, max_size=4))
def test_what_is_written_reads_back_as_the_same_tree(tree: dict[str, Any]) -> None:
    problems = Problems()
    node = parse(yaml_text(tree), "f", problems)
    assert node is not None
    assert not problems.errors
    assert value_of(node) == escaped(tree)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Who decides, and how.", "k: Who decides, and how.\n"),
        ("no", 'k: "no"\n'),
        ("12", 'k: "12"\n'),
        ("2024-01-01", 'k: "2024-01-01"\n'),
        ("a: b", 'k: "a: b"\n'),
        ("letta/letta-free", "k: letta/letta-free\n"),
        ("", 'k: ""\n'),
        ("cost ${x}", 'k: "cost $${x}"\n'),
        (Raw("${var.x}"), 'k: "${var.x}"\n'),
        (File("!file", "prompts/a.md", ""), "k: !file prompts/a.md\n"),
        (File("", "tools/a.py", ""), "k: tools/a.py\n"),
        ("one\ntwo\n", "k: |\n  one\n  two\n"),
        ("one\n\ntwo", "k: |-\n  one\n\n  two\n"),
        ("ends in spaces  \n", 'k: "ends in spaces  \\n"\n'),
        (["a", "b c"], "k: [a, b c]\n"),
        (["a, b"], 'k: ["a, b"]\n'),
        ({"a": 1, "b": [True, None]}, "k: {a: 1, b: [true, null]}\n"),
        ([], "k: []\n"),
        ({}, "k: {}\n"),
        ([{"text": "x" * 110, "size": 1}], f"k:\n  - text: {'x' * 110}\n    size: 1\n"),
        ({"yes": 1, "a/b": 2}, 'k: {"yes": 1, "a/b": 2}\n'),
        ("word " * 30 + "end", "k: >-\n  " + "word " * 19 + "word\n  " + "word " * 10 + "end\n"),
    ],
)
def test_forms(value: Any, text: str) -> None:
    assert yaml_text({"k": value}) == text


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("x", "k: x"),
        ("a: b", 'k: "a: b"'),
        ("a\nb", 'k: "a\\nb"'),
        ("${x}", 'k: "$${x}"'),
        ({"human": {"value": "a\n${x}", "limit": 5}}, 'k: {"human": {"value": "a\\n$${x}", "limit": 5}}'),
        ({"human": {"value": "x, y", "limit": 5}}, 'k: {human: {value: "x, y", limit: 5}}'),
        (["one", {"text": "two"}, True, None], "k: [one, {text: two}, true, null]"),
    ],
)
def test_an_entry_inside_brackets_reads_back(value: object, written: str) -> None:
    assert flow_entry("k", value) == written
    escaped = json.loads(json.dumps(value).replace("${", "$${"))
    assert yaml.safe_load(f"{{{written}}}") == {"k": escaped}
