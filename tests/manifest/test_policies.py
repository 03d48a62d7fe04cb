"""Policies are checked without a server: names and types in rules, with their places."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lettaform.manifest import policies
from lettaform.manifest.policies import MISSING, VARIABLES
from lettaform.model import PlanPolicy
from tests.manifest.conftest import Project

PAGE = Path(__file__).parents[2] / "docs" / "policies.md"
NAMES, OF_PLAN = (f"the variables are {', '.join(VARIABLES[about])}" for about in VARIABLES)


@pytest.fixture
def _cel() -> None:
    pytest.importorskip("cel_expr_python")


@pytest.mark.usefixtures("_cel")
def test_a_policy_is_read_with_its_defaults(project: Project) -> None:
    project.write(
        """\
        stack: s
        policies:
          a: {rule: stack == "s"}
          b:
            for: plan
            severity: warning
            rule: plan.changes.size() < 9
            message: Too many.
            waivers: [{reason: a migration}, {address: agents.a, reason: x}]
        """
    )
    one, two = project.load().policies
    assert one == PlanPolicy("a", 'stack == "s"', place=one.place)
    assert two == PlanPolicy(
        "b", "plan.changes.size() < 9", "plan", "warning", "Too many.", two.place, ("*", "agents.a")
    )


@pytest.mark.usefixtures("_cel")
@pytest.mark.parametrize(
    ("policy", "place", "message", "hint"),
    [
        (" {rule: change.knd == 'x'}", "3:19", "undeclared reference to 'change.knd'", NAMES),
        (' {rule: "change.knd == 1"}', "3:20", "undeclared reference to 'change.knd'", NAMES),
        (" {rule: stack == 'x' && bla}", "3:29", "undeclared reference to 'bla'", NAMES),
        (" {rule: change.kind}", "3:13", "must be true or false, and is string", None),
        (
            " {rule: change.kind + 1 == 2}",
            "3:25",
            "found no matching overload for '_+_' applied to '(string, int)'",
            None,
        ),
        (" {for: plan, rule: change.kind == 'x'}", "3:30", "undeclared reference to 'change.kind'", OF_PLAN),
        (
            "\n    rule: |\n      stack == 'x' ||\n        bla",
            "4:11",
            "line 2, column 3 of the expression: undeclared reference to 'bla'",
            NAMES,
        ),
    ],
)
def test_a_wrong_rule_is_an_error_with_its_place(
    project: Project, policy: str, place: str, message: str, hint: str | None
) -> None:
    project.write(f"stack: s\npolicies:\n  a:{policy}\n")
    (problem,) = project.problems()
    assert str(problem.place) == f"lettaform.yaml:{place}"
    assert (problem.message, problem.hint) == (f"policies.a.rule: {message}", hint)


@pytest.mark.usefixtures("_cel")
def test_all_faults_of_a_rule_are_reported(project: Project) -> None:
    project.write("stack: s\npolicies: {a: {rule: one && two}, b: {rule: 'stack =='}}\n")
    assert len(project.problems()) == 3


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ("{}", "`rule` is required in policies.a"),
        ("{rule: 'true', for: objects}", "policies.a.for: expected one of the allowed values, got the text 'objects'"),
        ("{rule: 'true', waivers: [{address: a}]}", "`reason` is required in policies.a.waivers.0"),
        ("{rule: true}", "policies.a.rule: expected a text, got true"),
        ("{rule: !file a.cel}", "policies.a.rule: expected a text; `!file` is not allowed here"),
    ],
)
@pytest.mark.usefixtures("_cel")
def test_the_form_of_a_policy(project: Project, policy: str, message: str) -> None:
    project.write(f"stack: s\npolicies: {{a: {policy}}}\n")
    assert [each.message for each in project.problems()] == [message]


def test_without_cel_a_manifest_with_policies_is_an_error(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "is_available", lambda: False)
    project.write("stack: s\npolicies: {a: {rule: 'true'}}\n")
    (problem,) = project.problems()
    assert (problem.message, problem.place and problem.place.line) == (f"policies: {MISSING}", 2)
    assert problem.hint == "install it: `pip install 'lettaform[policy]'`"
    project.write("stack: s\npolicies: {}\n")
    assert project.load().policies == ()


@pytest.mark.usefixtures("_cel")
def test_an_environment_adds_and_changes_policies(project: Project) -> None:
    project.write(
        """\
        stack: s
        policies: {a: {rule: 'true'}}
        environments: {prod: {policies: {a: {rule: 'true', severity: warning}, b: {rule: 'false'}}}}
        """
    )
    assert [(each.name, each.severity) for each in project.load().policies] == [("a", "error")]
    found = project.load(environment="prod").policies
    assert [(each.name, each.severity) for each in found] == [("a", "warning"), ("b", "error")]


def test_the_page_lists_each_variable_with_its_type() -> None:
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert rows == {name: type for every in VARIABLES.values() for name, type in every.items()}
