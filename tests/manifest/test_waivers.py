"""`lint.ignore` switches warnings off, each with a reason, and says which entries match nothing."""

from __future__ import annotations

import pytest

from tests.manifest.conftest import Project

AGENTS = "stack: s\nagents: {a: {for_each: [x]}, b: {for_each: [y]}}\n"


def found(project: Project, lint: str, text: str = AGENTS, **words: object) -> list[str]:
    project.write(f"{text}lint: {lint}\n")
    return [f"{each.address or ''} {each.rule}".strip() for each in project.load(**{"lints": True, **words}).warnings]


@pytest.mark.parametrize(
    ("lint", "left"),
    [
        ("", ["agents.a single-for-each", "agents.b single-for-each"]),
        ("{ignore: []}", ["agents.a single-for-each", "agents.b single-for-each"]),
        ("{ignore: [{rule: single-for-each, reason: more later}]}", []),
        ("{ignore: [{rule: single-for-each, address: agents.a, reason: x}]}", ["agents.b single-for-each"]),
        ("{ignore: [{rule: single-for-each, address: 'agents.*', reason: x}]}", []),
        (
            "{ignore: [{rule: single-for-each, reason: x}, {rule: near-limit, address: blocks.b, reason: x}]}",
            ["unused-waiver"],
        ),
        (
            "{ignore: [{rule: single-for-each, reason: x}, {rule: near-limit, reason: x}, "
            "{rule: unused-waiver, reason: x}]}",
            [],
        ),
    ],
)
def test_switches_off(project: Project, lint: str, left: list[str]) -> None:
    assert found(project, lint) == left


def test_one_instance_of_several_is_switched_off(project: Project) -> None:
    text = "stack: s\nagents: {a: {for_each: [x, y], system: You work for <your company>.}}\n"
    ignored = "{{rule: placeholder-text, address: 'agents.a[{}]', reason: x}}"
    assert found(project, f"{{ignore: [{ignored.format('x')}]}}", text) == ["agents.a[y] placeholder-text"]
    both = f"{{ignore: [{ignored.format('x')}, {ignored.format('y')}]}}"
    assert found(project, both, text) == []


def test_warnings_of_a_plan_are_switched_off_and_others_are_not_missed_there(project: Project) -> None:
    text = "stack: s\nagents: {a: {system: a.md, secrets: {K: k}}}\n"
    entry = "{rule: path-as-text, address: agents.a, reason: x}, {rule: near-limit, reason: x}"
    assert found(project, f"{{ignore: [{entry}]}}", text, lints=False) == ["agents.a secret-in-clear"]


def test_entries_of_several_files_are_joined(project: Project) -> None:
    project.write(
        f"{AGENTS}include: [b.yaml]\nlint: {{ignore: [{{rule: single-for-each, address: agents.a, reason: x}}]}}\n",
        {"b.yaml": "lint: {ignore: [{rule: single-for-each, address: agents.b, reason: x}]}\n"},
    )
    assert project.load(lints=True).warnings == ()


CHOICE = "lint.ignore.0.rule: expected one of the allowed values, got the text"


@pytest.mark.parametrize(
    ("lint", "column", "message", "hint"),
    [
        ("{ignore: [{rule: near-limt, reason: x}]}", 24, f"{CHOICE} 'near-limt'", "did you mean `near-limit`?"),
        ("{ignore: [{rule: invalid-form, reason: x}]}", 24, f"{CHOICE} 'invalid-form'", None),
        ("{ignore: [{rule: near-limit}]}", 17, "`reason` is required in lint.ignore.0", "add `reason: …`"),
        (
            "{ignore: [{rule: near-limit, reason: ' '}]}",
            44,
            "lint.ignore.0.reason: expected a text, got the text ' '",
            None,
        ),
        (
            "{ignore: {rule: near-limit, reason: x}}",
            16,
            "lint.ignore: expected a list, got a map",
            "write a list: `[{rule: near-limit, reason: x}]`",
        ),
        ("{off: []}", 8, "lint: unknown key `off`", "one of: ignore"),
    ],
)
def test_wrong_entries_are_errors(project: Project, lint: str, column: int, message: str, hint: str | None) -> None:
    project.write(f"{AGENTS}lint: {lint}\n")
    (error,) = project.problems(lints=True)
    assert error.place is not None
    assert (error.place.line, error.place.column, error.message, error.hint) == (3, column, message, hint)
    assert error.rule == "invalid-form"


def test_an_environment_cannot_switch_off(project: Project) -> None:
    project.write(f"{AGENTS}environments: {{prod: {{lint: {{ignore: []}}}}}}\n")
    assert [each.message for each in project.problems()] == ["environments.prod: unknown key `lint`"]
