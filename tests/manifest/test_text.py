"""The strict subset of YAML that manifests are written in."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import yaml

from lettaform.errors import Place
from lettaform.manifest import text as reader
from lettaform.manifest.node import CSV, FILE, JSON, UNRESOLVED, UNSET, Node
from lettaform.manifest.problems import Problems
from lettaform.manifest.text import DEPTH, EXPANDED, EXPANDED_EACH, parse
from lettaform.manifest.types import plain


def read(text: str) -> tuple[Node | None, list[str]]:
    problems = Problems()
    node = parse(text, "f", problems)
    return node, [str(problem) for problem in problems.errors]


def value(text: str) -> Any:
    node, said = read(f"v: {text}\n")
    assert node is not None
    assert not said
    return plain(node)["v"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        *((word, word) for word in ("no", "on", "yes", "off", "y", "N", "1:30", "2024-01-01", "0b1", "1_000", "0o8")),
        *((word, word) for word in ("1.2.3", "v1", "+", ".", "..", "1e", "0xg", "<", "=", "nan", "inf", "tRue")),
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        ("0", 0),
        ("-7", -7),
        ("+7", 7),
        ("0o17", 15),
        ("0xfF", 255),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("2.", 2.0),
        ("1e3", 1000.0),
        ("1.5E-2", 0.015),
        ('"12"', "12"),
        ("'true'", "true"),
        ("!!str 012", "012"),
        ("! true", "true"),
        ("9223372036854775807", 2**63 - 1),
    ],
)
def test_core_scalars(written: str, meant: Any) -> None:
    found = value(written)
    assert found == meant
    assert type(found) is type(meant)


@pytest.mark.parametrize("written", ["012", "-012", "00", "9223372036854775808", "1e999", ".nan", "-.INF", "9" * 5000])
def test_ambiguous_numbers_need_quotes(written: str) -> None:
    node, said = read(f"v: {written}\n")
    assert node is not None
    assert node.map["v"].value is UNRESOLVED
    assert len(said) == 1
    assert said[0].startswith("f:1:4: ")
    assert "quote it" in said[0]


def test_keys_are_texts_as_written() -> None:
    node, said = read("1: a\ntrue: b\n~: c\n012: d\n1.50: e\n")
    assert node is not None
    assert list(node.map) == ["1", "true", "~", "012", "1.50"]
    assert not said


def test_aliases() -> None:
    node, said = read("a: &x [1, {b: 2}]\nc: *x\nd: {e: *x}\nf: &s text\ng: *s\n")
    assert node is not None
    assert plain(node) == {"a": [1, {"b": 2}], "c": [1, {"b": 2}], "d": {"e": [1, {"b": 2}]}, "f": "text", "g": "text"}
    assert not said


def test_exponential_aliases_are_rejected_quickly() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    before = time.process_time()
    text = "\n".join(lines)
    node, said = read(text)
    assert time.process_time() - before < 1
    assert node is None
    most = EXPANDED + EXPANDED_EACH * len(text)
    assert said == [f"f:5:50: the aliases of this file stand for more than {most} values"]


def test_a_long_file_may_have_many_aliases() -> None:
    """A fleet whose agents all repeat the same values."""
    each = f"&all [{', '.join('x' * 40)}]"
    node, said = read("\n".join([f"a: {each}", *(f"a{n}: *all" for n in range(6000))]))
    assert not said
    assert node is not None
    assert len(node.map) == 6001


def test_aliases_cannot_exceed_the_depth_limit() -> None:
    """Each alias is nested only 40 levels deep; together they would overflow the stack."""
    lines = ["a0: &a0 []"] + [f"a{n}: &a{n} " + "[" * 40 + f"*a{n - 1}" + "]" * 40 for n in range(1, 200)]
    _, said = read("\n".join(lines))
    assert len(said) == 1
    assert said[0].endswith(f"lists and maps are nested more than {DEPTH} levels deep")


@pytest.mark.parametrize(("open", "close"), [("[", "]"), ("{a: ", "}")])
@pytest.mark.parametrize("deep", [DEPTH + 1, 900])
def test_depth(open: str, close: str, deep: int) -> None:
    node, said = read(open * deep + close * deep)
    assert node is None
    assert said == [f"f:1:{1 + len(open) * DEPTH}: lists and maps are nested more than {DEPTH} levels deep"]
    node, said = read(open * DEPTH + "1" + close * DEPTH)
    assert node is not None
    assert not said


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 100_000, "- " * 100_000, "? " * 50_000, "&a [" * 50_000])
def test_very_deep(text: str) -> None:
    node, said = read(text)
    assert node is None
    assert len(said) == 1


def test_places() -> None:
    node, _ = read("a:\n  - b: ünï\n    c: |\n      text\n")
    assert node is not None
    item = node.map["a"].list[0]
    assert (node.keys["a"], item.place) == (Place("f", 1, 1), Place("f", 2, 5))
    assert (item.map["b"].place, item.keys["c"], item.map["c"].place) == (
        Place("f", 2, 8),
        Place("f", 3, 5),
        Place("f", 3, 8),
    )


@pytest.mark.parametrize(
    "text", ["a: 1\nb: [x, {y: z}]\n", "a: b\n c: d\n", "a: !!python/name:os.system\n", "&x a: *x\n", ""]
)
def test_the_pure_python_parser_gives_the_same_result(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without libyaml, PyYAML reports other messages and other places."""

    def seen() -> Any:
        node, said = read(text)
        return (None if node is None else plain(node), len(said))

    fast = seen()
    monkeypatch.setattr(reader, "_LOADER", yaml.SafeLoader)
    assert seen() == fast


@pytest.mark.parametrize("tag", ["!unset", "!file", "!json"])
@pytest.mark.parametrize(
    "text", ["a: {{b: {0}}}", "a: {{x: '!', b: {0}}}", "a: [{0}]", "a: [[x, {0}], y]", "a: [{{b: {0}}}]"]
)
def test_a_tag_before_a_bracket_needs_a_space(tag: str, text: str) -> None:
    problems = Problems()
    written = text.format(tag)
    assert parse(written, "f", problems) is None
    (problem,) = problems.errors
    found = re.fullmatch(r"write a space after `(\S+)`: `(\S+ .)`", str(problem.hint))
    assert found is not None
    # the remedy is tried
    again = Problems()
    parse(written.replace(found[2].replace(" ", ""), found[2]), "f", again)
    assert not [each for each in again.errors if "invalid YAML" in each.message]


# --- tags as expressions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "tag", "value"),
    [
        ('${file("a/b c.md")}', FILE, "a/b c.md"),
        ("'${file(\"a.md\")}'", FILE, "a.md"),
        ("\"${file('a.md')}\"", FILE, "a.md"),
        ('${json(file("a.json"))}', JSON, "a.json"),
        ('${csv(file("a.csv"))}', CSV, "a.csv"),
        ('${yaml(file("a.yaml"))}', "", '${yaml(file("a.yaml"))}'),
        ('${file("prompts/${each.key}.md")}', "", '${file("prompts/${each.key}.md")}'),
        ("${unset}", UNSET, None),
        ("$${unset}", "", "$${unset}"),
        ('x ${file("a.md")}', "", 'x ${file("a.md")}'),
        ("${file(a.md)}", "", "${file(a.md)}"),
        ("${file(\"a.md')}", "", "${file(\"a.md')}"),
        ("${unset }", "", "${unset }"),
    ],
)
def test_an_expression_may_stand_for_a_tag(written: str, tag: str, value: str | None) -> None:
    problems = Problems()
    node = parse(f"a: {written}\n", "f", problems)
    assert node is not None
    assert not problems.errors
    assert (node.map["a"].tag, node.map["a"].value) == (tag, value)


def test_an_expression_for_a_tag_has_the_problems_of_the_tag() -> None:
    problems = Problems()
    parse('a: ${file("")}\nb: ["${unset}"]\n', "f", problems)
    assert [each.message for each in problems.errors] == [
        "`!file` needs a path",
        "`!unset` removes a field of a map; it cannot be an item of a list",
    ]
