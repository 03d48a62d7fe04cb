"""Functions: what each returns, and what it refuses. Through a manifest, as `evaluate` calls them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from lettaform.errors import ManifestError
from lettaform.manifest.bounds import Bound
from lettaform.manifest.functions import FUNCTIONS, MOST, WIDEST
from tests.manifest.conftest import Project

VARIABLES = """\
stack: s
variables:
  names: {type: list, default: [Ann, Bob]}
  desks: {type: map, default: {ann: 1, bob: two}}
  on: {type: bool, default: true}
"""
FILES = {"a.json": '{"x": [1, {"y": "z"}]}', "t.csv": 'id,name\n1,"Ann, A."\n\n2,Bob\n', "w.txt": "hello"}


def value(project: Project, expression: str) -> Any:
    project.write(f"{VARIABLES}outputs:\n  it: |-\n    ${{{expression}}}\n", FILES)
    return project.load().outputs["it"]


CASES: dict[str, list[tuple[str, Any]]] = {
    "join": [("join(', ', var.names)", "Ann, Bob"), ("join('-', [1, true, 'x'])", "1-true-x"), ("join('', [])", "")],
    "split": [("split('-', 'a-b-')", ["a", "b", ""])],
    "lower": [("lower('ÄB')", "äb")],
    "upper": [("upper(var.names[1])", "BOB")],
    "trim": [("trim('  a ')", "a"), ("trim('--a-', '-')", "a")],
    "replace": [("replace('a.b.c', '.', '-')", "a-b-c")],
    "format": [("format('%s has %d of %03d, %%', 'Ann', 2, '7')", "Ann has 2 of 007, %"), ("format('x')", "x")],
    "text": [("text(1)", "1"), ("text(false)", "false")],
    "number": [("number('12')", 12), ("number(' 1.5 ')", 1.5), ("number(3)", 3)],
    "length": [("length(var.names)", 2), ("length('abc')", 3), ("length(var.desks)", 2)],
    "keys": [("keys(var.desks)", ["ann", "bob"])],
    "values": [("values(var.desks)", [1, "two"])],
    "merge": [("merge({a: 1, b: 1}, {b: 2})", {"a": 1, "b": 2}), ("merge()", {})],
    "concat": [("concat(var.names, [3])", ["Ann", "Bob", 3]), ("concat()", [])],
    "contains": [
        ("contains(var.names, 'Ann')", True),
        ("contains([1], true)", False),
        ("contains(var.desks, 'bob')", True),
        ("contains('hello', 'ell')", True),
    ],
    "range": [("range(3)", [0, 1, 2]), ("range(1, 3)", [1, 2]), ("range(5, 0, -2)", [5, 3, 1])],
    "coalesce": [("coalesce(null, '', 0)", 0), ("coalesce('')", None)],
    "json": [("json(file('a.json')).x[1].y", "z"), ("json('[1, null]')", [1, None])],
    "yaml": [("yaml('a: [1, x]')", {"a": [1, "x"]}), ("yaml('007x')", "007x")],
    "csv": [("values(csv(file('t.csv')))", [{"id": "1", "name": "Ann, A."}, {"id": "2", "name": "Bob"}])],
    "file": [("file('w.txt')", "hello")],
    "cond": [("cond(var.on, 1, 2)", 1), ("cond(var.on == false, json('broken'), 2)", 2)],
}


def test_every_function_has_a_case() -> None:
    assert CASES.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize(("expression", "expected"), [case for every in CASES.values() for case in every])
def test_values(project: Project, expression: str, expected: Any) -> None:
    found = value(project, expression)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_and_descriptions(name: str) -> None:
    function = FUNCTIONS[name]
    assert function.signature.startswith(f"{name}(")
    assert re.match(r"[A-Z].*\.$", function.doc)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("uper('a')", "there is no function `uper` → did you mean `upper`?"),
        ("join('a')", "`join` takes 2 arguments, got 1 → write `join(SEPARATOR, LIST)`"),
        ("trim()", "`trim` takes 1 to 2 arguments, got 0 → write `trim(TEXT[, CHARACTERS])`"),
        ("coalesce()", "`coalesce` takes at least 1 argument, got 0 → write `coalesce(VALUE…)`"),
        ("join(1, [])", "`join` needs a text as argument 1, got the number 1 → write `join(SEPARATOR, LIST)`"),
        ("join('', [[]])", "`join` needs a list of texts and numbers as argument 2, got a list"),
        ("range(true)", "`range` needs a whole number as argument 1, got true"),
        (f"range({MOST + 1})", f"`range`: a range has at most {MOST} numbers"),
        ("range(1, 2, 0)", "`range`: the step must not be 0"),
        ("split('', 'a')", "`split`: the separator must not be empty"),
        ("replace('a', '', 'b')", "`replace`: the text to replace must not be empty"),
        ("number('x')", "`number`: 'x' is not a number"),
        ("format('%s')", "`format`: the template has 1 placeholders for 0 values"),
        ("format('%q', 1)", "`format`: `%q` is no placeholder"),
        ("format('%3d', 1)", "`format`: `%3d` is no placeholder"),
        (f"format('%0{WIDEST + 1}d', 1)", f"`format`: `%0{WIDEST + 1}d` is no placeholder"),
        ("format('%d', 'x')", "`format`: %d needs a whole number"),
        ("json('{')", "`json`: Expecting property name enclosed in double quotes (line 1)"),
        ("json('{\"a\": 1, \"a\": 2}')", "`json`: the key 'a' is defined twice in one object"),
        ("json('NaN')", "`json`: NaN is not a number in JSON"),
        ("yaml('a: b: c')", "`yaml`: invalid YAML: mapping values are not allowed in this context (line 1)"),
        ("yaml('a: !file x')", "`yaml`: `!file` has no meaning here (line 1)"),
        ("csv('a,a')", "`csv`: the column `a` is named twice (line 1)"),
        ("values(csv('a'))[0]", "there is no item 0 in 0 items"),
        ("cond(1, 2, 3)", "the test must be true or false, got the number 1 → compare with `==` or `!=`"),
        ("{a: 1, 'a': 2}", "two entries have the key 'a'"),
        ("{for x in var.names : var.on => x}", "two entries have the key 'true'"),
        ("{for x in var.names : [x] => 1}", "a key must be a text that is known, got a list"),
        ("[for x in 'abc' : x]", "`for` needs a list or a map, got the text 'abc'"),
        ("[for var in var.names : 1]", "`var` has a meaning already → choose another name"),
        ("[for x in var.names : x if x]", "what follows `if` must be true or false, got the text 'Ann'"),
        ("var.names[2]", "there is no item 2 in 2 items"),
        ("var.names.x", "there is no `x` in a list"),
        ("lower(", "is not an expression: expected a value, got the end"),
    ],
)  # fmt: skip
def test_problems(project: Project, expression: str, message: str) -> None:
    project.write(f"{VARIABLES}outputs:\n  it: |-\n    ${{{expression}}}\n", FILES)
    (problem,) = project.problems()
    shown = f"{problem.message} → {problem.hint}" if problem.hint else problem.message
    assert message in shown


def test_what_expressions_produce_is_bounded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.manifest.bounds.PRODUCED", Bound(1000, 0))
    assert value(project, "join('', [for a in range(100) : 'xxxx'])") == "xxxx" * 100
    for expression in ("join('', [for a in range(300) : 'xxxx'])", "range(2000)", "{for a in range(501) : a => a}"):
        with pytest.raises(ManifestError, match="produce too much"):
            value(project, expression)


def test_how_often_expressions_repeat_is_bounded(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.manifest.bounds.TURNS", Bound(1000, 0))
    assert len(value(project, "[for a in range(900) : a]")) == 900
    with pytest.raises(ManifestError, match="repeat more than 1000 times"):
        value(project, "[for a in range(100) : [for b in range(100) : b]]")
