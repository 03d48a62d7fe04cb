"""Every problem of a manifest has a rule, and the page of the rules says the same as the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lettaform.manifest.rules import ERRORS, RULES, WARNINGS
from tests.manifest.broken import CASES, Broken
from tests.manifest.conftest import Project

PAGE = Path(__file__).parents[2] / "docs" / "lint.md"


@pytest.mark.thorough
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_error_has_the_id_of_a_rule(case: Broken, project: Project) -> None:
    project.write(case.text, case.files)
    assert {each.rule for each in project.problems(**case.words) if each.severity == "error"} <= ERRORS.keys()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("stack: [", "invalid-syntax"),
        ("stack: s\nagnets: {}\n", "invalid-form"),
        ("stack: s\nvariables: {v: {type: list, default: x}}\n", "invalid-variable"),
        ("stack: s\nagents: {a: {blocks: [b]}}\n", "invalid-reference"),
        ("stack: s\nagents: {a: {model: '${var.x}'}}\n", "invalid-reference"),
        ("stack: s\nblocks: {a: {value: abc, limit: 2}}\n", "invalid-value"),
        ("stack: s\nagents: {a: {system: !file a.md}}\n", "invalid-value"),
        ("stack: s\nremoved: [{from: agents.a}]\nagents: {a: }\n", "invalid-declaration"),
    ],
)
def test_rule_of_an_error(project: Project, text: str, rule: str) -> None:
    project.write(text)
    assert {each.rule for each in project.problems()} == {rule}


def test_severities() -> None:
    assert {rule.severity for rule in ERRORS.values()} == {"error"}
    assert {rule.severity for rule in WARNINGS.values()} == {"warning"}


def test_page_lists_each_rule_with_its_text() -> None:
    rows = re.findall(r"^\| `([\w-]+)` \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert rows == [(id, rule.doc) for id, rule in RULES.items()]
