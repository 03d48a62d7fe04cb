"""Texts to parts and trees: where an expression ends, what it consists of, and what is none."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.manifest.expressions import (
    DEPTH,
    Call,
    Compared,
    For,
    ListOf,
    Literal,
    MapOf,
    Member,
    NotAnExpression,
    Path,
    parse,
    parts,
    paths,
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", [("plain", False, True)]),
        ("a ${var.x} b", [("a ", False, True), ("var.x", True, True), (" b", False, True)]),
        ("$${x} ${ stack }", [("${", False, True), ("x} ", False, True), ("stack", True, True)]),
        ("${var.x", [("var.x", True, False)]),
        ("${var.x\n}", [("var.x", True, False), ("\n}", False, True)]),
        ("${lower('}')}!", [("lower('}')", True, True), ("!", False, True)]),
        ('${"it\'s }"}', [('"it\'s }"', True, True)]),
        ("${'it''s }'}", [("'it''s }'", True, True)]),
        ("${{a: {b: 1}}}.", [("{a: {b: 1}}", True, True), (".", False, True)]),
        ('${"', [("", True, False), ('"', False, True)]),
    ],
)
def test_parts(text: str, found: list[tuple[str, bool, bool]]) -> None:
    assert [(part.text, part.expression, part.closed) for part in parts(text)] == found


def test_a_part_knows_where_its_text_starts() -> None:
    text = "ab ${  lower('x') } ${var.y}"
    assert [text[part.start :].startswith(part.text) for part in parts(text) if part.expression] == [True, True]


X, Y = Path("x", "x", (), 0), Path("y", "y", (), 3)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("x", X),
        ("agents.w[emea].id", Path("agents.w[emea].id", "agents", (("w", False), ("emea", True), ("id", False)))),
        ('blocks["a/b"].id', Path('blocks["a/b"].id', "blocks", (("a/b", True), ("id", False)))),
        ("true", Literal(True, 0)),
        ("null", Literal(None, 0)),
        ("true.x", Path("true.x", "true", (("x", False),))),
        ("-12", Literal(-12, 0)),
        ("1.50", Literal(1.5, 0)),
        (r'"a\"\n"', Literal('a"\n', 0)),
        ("'it''s'", Literal("it's", 0)),
        ("[x, 1,]", ListOf((Path("x", "x", (), 1), Literal(1, 4)), 0)),
        ("[]", ListOf((), 0)),
        ("{}", MapOf((), 0)),
        ("{a: 1}", MapOf(((Literal("a", 1), Literal(1, 4)),), 0)),
        (
            '{"a b": 1, x.y: 2}',
            MapOf(((Literal("a b", 1), Literal(1, 8)), (Path("x.y", "x", (("y", False),), 11), Literal(2, 16))), 0),
        ),
        ("f( x , 1 )", Call("f", (Path("x", "x", (), 3), Literal(1, 7)), 0)),
        ("f().a[0]", Member(Call("f", (), 0), ("a", "0"), 0)),
        ("x==1", Compared(X, Literal(1, 3), True, 1)),
        ("x != y", Compared(X, Path("y", "y", (), 5), False, 2)),
        ("((x))", Path("x", "x", (), 2)),
        ("[for a in x : a]", For(("a",), Path("x", "x", (), 10), None, Path("a", "a", (), 14), None, 0)),
        (
            "{for k, v in x : k => v if v == 1}",
            For(
                ("k", "v"),
                Path("x", "x", (), 13),
                Path("k", "k", (), 17),
                Path("v", "v", (), 22),
                Compared(Path("v", "v", (), 27), Literal(1, 32), True, 29),
                0,
            ),
        ),
    ],
)
def test_trees(text: str, tree: Any) -> None:
    assert parse(text) == tree


@pytest.mark.parametrize(
    ("text", "message", "at"),
    [
        ("", "expected a value, got the end", 0),
        ("a b", "expected the end, got `b`", 2),
        ("f(", "expected a value, got the end", 2),
        ("f(1 2)", "expected `)`, got `2)`", 4),
        ("[1, 2", "expected `]`, got the end", 5),
        ("{a 1}", "expected `:`, got `1}`", 3),
        ("[for x in y]", "expected `:`, got `]`", 11),
        ("{for x in y : x}", "expected `=>`, got `}`", 15),
        ("x == ", "expected a value, got the end", 5),
        ("1.2.3", "expected a value, got `1.2.3`", 0),
        ("007", "expected a value, got `007`", 0),
        (r'"\q"', r'"\q" is not a text in JSON', 0),
        ("%", "expected a value, got `%`", 0),
        ("[" * 50, f"more than {DEPTH} expressions are nested", DEPTH),
    ],
)
def test_no_expressions(text: str, message: str, at: int) -> None:
    with pytest.raises(NotAnExpression) as caught:
        parse(text)
    assert (caught.value.message, caught.value.at) == (message, at)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("var.x", ["var.x"]),
        ("join(var.by, [for x in var.items : lower(x.name) if x != stack])", ["var.by", "var.items", "stack"]),
        ("{for k, v in {a: var.b} : k => [v, var.c]}", ["var.b", "var.c"]),
        ("json(file('x')).y == (var.d)", ["var.d"]),
        ("[for x in x : x]", ["x"]),
    ],
)
def test_paths_are_all_but_the_names_of_loops(text: str, found: list[str]) -> None:
    assert [path.text for path in paths(parse(text))] == found
