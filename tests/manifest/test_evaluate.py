"""Expressions with references and secrets: what stays secret, what waits for objects, and where problems are."""

from __future__ import annotations

from typing import Any

import pytest

from lettaform.address import Address
from lettaform.values import Ref, Secret, Template
from tests.manifest.conftest import Project

HEAD = """\
stack: s
variables:
  key: {secret: true, default: hunter2}
  rest: {secret: true}
  names: {type: list, default: [Ann, Bob]}
blocks: {a: {value: x}, b: {value: y}}
mcp_servers:
  m: {type: stdio, command: c, env: {IT: VALUE}}
"""
A, B = (Ref(Address.parse(f"blocks.{key}")) for key in "ab")


def env(project: Project, expression: str, **words: Any) -> Any:
    project.write(HEAD.replace("VALUE", f'"${{{expression}}}"'))
    manifest = project.load(**{"variables": {"rest": "r"}, **words})
    return manifest.objects[Address.parse("mcp_servers.m")].values["env"]["IT"]


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("upper(var.key)", "HUNTER2"),
        ("join('-', [var.key, 'x', 1])", "hunter2-x-1"),
        ("format('%s!', var.key)", "hunter2!"),
        ("split('t', var.key)[0]", "hun"),
        ("json(format('[\\\"%s\\\"]', var.key))[0]", "hunter2"),
        ("coalesce('', var.key)", "hunter2"),
        ("cond(true, var.key, 'x')", "hunter2"),
        ("[var.key][0]", "hunter2"),
        ("{for name in var.names : name => var.key}.Ann", "hunter2"),
        ("merge({a: var.key}, {b: 1}).a", "hunter2"),
        ("upper(env.KEY)", "ABC"),
    ],
)
def test_what_is_made_of_a_secret_is_secret(project: Project, expression: str, text: str) -> None:
    found = env(project, expression, environ={"KEY": "abc"})
    assert isinstance(found, Secret)
    assert found.value == text
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("length(var.key)", "`length` would show something of a secret"),
        ("cond(var.key == 'x', 'a', 'b')", "a secret cannot be compared"),
        ("cond(contains(var.key, 'x'), 'a', 'b')", "`contains` would show something of a secret"),
        ("cond(var.key, 'a', 'b')", "the test must be true or false, got a secret"),
        ("{for name in [var.key] : name => 1}.x", "a key must be a text that is known, got a secret"),
        ("[for name in var.key : name][0]", "`for` needs a list or a map, got a secret"),
        ("format(var.key, 1)", "the template must not contain a secret or a reference"),
        ("number(var.key)", "'hunter2' is not a number"),
        ("range(var.key)[0]", "`range` needs a whole number as argument 1, got a secret"),
        ("upper(blocks.a.id)", "`upper`: argument 1 must be known before objects are created"),
        ("cond(blocks.a.id == 'x', 'a', 'b')", "what is compared must be known before objects are created"),
        ("{for name in [blocks.a.id] : name => 1}.x", "a key must be a text that is known"),
    ],
)
def test_problems(project: Project, expression: str, message: str) -> None:
    project.write(HEAD.replace("VALUE", f'"${{{expression}}}"'))
    (problem,) = project.problems(variables={"rest": "r"})
    assert message.replace("hunter2", "‹secret›") in problem.message
    assert "hunter2" not in f"{problem}"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("join('-', [blocks.a.id, blocks.b.id])", Template((A, "-", B))),
        ("format('<%s>', blocks.a.id)", Template(("<", A, ">"))),
        ("coalesce(null, blocks.a.id)", A),
        ("concat(['x'], [blocks.a.id])[1]", A),
        ("[for id in [blocks.a.id] : id][0]", A),
        ("values({x: blocks.b.id})[0]", B),
    ],
)
def test_references_are_kept(project: Project, expression: str, expected: Any) -> None:
    project.write(HEAD.replace("env: {IT: VALUE}", "command: c") + f'outputs: {{it: "${{{expression}}}"}}\n')
    project.write((project.folder / "lettaform.yaml").read_text().replace("command: c, command: c", "command: c"))
    assert project.load(variables={"rest": "r"}).outputs["it"] == expected


@pytest.mark.parametrize("expression", ["upper(var.rest)", "json(var.rest).a", "format('%s', var.rest)"])
def test_a_secret_that_is_not_needed_needs_no_value(project: Project, expression: str) -> None:
    env_or_none = env_values(project, expression)
    assert env_or_none is None or env_or_none.unset


def env_values(project: Project, expression: str) -> Secret | None:
    project.write(HEAD.replace("VALUE", f'"${{{expression}}}"'))
    manifest = project.load(needs="plain")
    return (manifest.objects[Address.parse("mcp_servers.m")].values.get("env") or {}).get("IT")


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("${joyn('a')}", 18),
        ("${  upper( 1 )}", 27),
        ("x ${join('-', [for n in var.names : n.x])} y", 52),
        ("x ${lower('a'}", 29),
        ("${[1][3]}", 18),
        ("${cond(true, var.nams, 1)}", 29),
    ],
)
def test_a_problem_is_shown_where_it_is(project: Project, text: str, column: int) -> None:
    project.write(f'stack: s\nvariables: {{names: {{type: list, default: [a]}}}}\noutputs: {{it: "{text}"}}\n')
    (problem,) = project.problems()
    assert problem.place is not None
    assert (problem.place.line, problem.place.column) == (3, column)


def test_a_broken_member_reports_once(project: Project) -> None:
    project.write('stack: s\noutputs: {it: "${concat([var.a], [var.a])}"}\n')
    assert len(project.problems()) == 1
