"""The section `checks`: what is read, and what is reported with its place."""

from __future__ import annotations

import pytest

from lettaform.address import Address
from lettaform.model import Check, Expectation, ExpectedCall, ExpectedText, Judge, Turn
from tests.manifest.conftest import Project

HEAD = """\
stack: s
variables: {city: {default: Rome}, key: {secret: true, default: hush}}
agents:
  ann: {model: a/b}
  worker: {model: a/b, for_each: [x, y]}
  none: {model: a/b, for_each: []}
  other: {external: true, name: theirs}
"""
at = Address.parse


def one(project: Project, text: str, **words: object) -> Check:
    (check,) = project.write(f"{HEAD}checks:\n  c: {text}\n", words.pop("files", None)).load(**words).checks  # type: ignore[arg-type]
    return check


def test_a_check_is_read_with_its_defaults(project: Project) -> None:
    check = one(project, "{agent: ann, say: hello}")
    assert check == Check("c", (at("agents.ann"),), (Turn("hello"),), place=check.place)
    assert (check.runs, check.pass_rate, check.quarantine, check.on_failure) == (1, 1.0, False, "stop")


def test_everything_of_a_check_is_read(project: Project) -> None:
    check = one(
        project,
        """
    agent: worker
    say:
      - "to ${var.city}"
      - {say: !file ask.txt, expect: {answer: {matches: "^x$"}, at_most: {seconds: 2.5}}}
    expect:
      answer: {contains: [a, b], excludes: c, json_schema: !json schema.json}
      calls: [{tool: look, arguments: {city: "${var.city}", number: 5}}, {tool: go}]
      no_calls: ["send_*"]
      memory: {human: {contains: Ann}}
      at_most: {seconds: 30, steps: 4, tokens: 900}
    runs: 5
    pass_rate: 0.8
    quarantine: true
    on_failure: rollback
    deny_tools: [pay]
    judge: {criteria: Polite., model: a/c}
""",
        files={"ask.txt": "ask", "schema.json": '{"type": "object"}'},
    )
    assert check.agents == (at("agents.worker[x]"), at("agents.worker[y]"))
    second = Expectation(ExpectedText(matches="^x$"), seconds=2.5)
    assert check.turns == (Turn("to Rome"), Turn("ask\n" if check.turns[1].say.endswith("\n") else "ask", second))
    assert check.expect == Expectation(
        ExpectedText(("a", "b"), ("c",), None, {"type": "object"}),
        (ExpectedCall("look", {"city": "Rome", "number": 5}), ExpectedCall("go")),
        ("send_*",),
        {"human": ExpectedText(("Ann",))},
        seconds=30,
        steps=4,
        tokens=900,
    )
    assert (check.runs, check.pass_rate, check.quarantine, check.on_failure) == (5, 0.8, True, "rollback")
    assert (check.deny_tools, check.judge) == (("pay",), Judge("Polite.", "a/c"))


@pytest.mark.parametrize(
    ("agent", "addresses"),
    [
        ("ann", ["agents.ann"]),
        ("worker", ["agents.worker[x]", "agents.worker[y]"]),
        ('"worker[y]"', ["agents.worker[y]"]),
        ("none", []),
    ],
)
def test_the_key_of_a_for_each_stands_for_its_instances(agent: str, addresses: list[str], project: Project) -> None:
    check = one(project, f"{{agent: {agent}, say: x}}")
    assert [str(each) for each in check.agents] == addresses


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("{agent: ann}", "`say` is required in checks.c", "add `say: …`"),
        ("{agent: an, say: x}", "checks.c.agent: there is no agent `an`", "did you mean `ann`?"),
        ("{agent: agents.ann, say: x}", "checks.c.agent: there is no agent `agents.ann`", "did you mean `ann`?"),
        ('{agent: "worker[z]", say: x}', "checks.c.agent: there is no agent `worker[z]`", "did you mean `worker[y]`?"),
        ("{agent: other, say: x}", "`agents.other` is external, and belongs to another stack", "that owns it"),
        ("{agent: ann, say: []}", "checks.c.say: must not be empty", "write the message"),
        ("{agent: ann, say: ' '}", "checks.c.say: must not be empty", None),
        ("{agent: ann, say: 5}", "checks.c.say: expected a text, got the number 5", "quote the value"),
        ("{agent: ann, say: '${var.key}'}", "checks.c.say: a secret cannot be used here", "secrets can be used only"),
        (
            "{agent: ann, say: '${agents.ann.id}'}",
            "checks.c.say: must be known before objects",
            "use a literal or a variable",
        ),
        ("{agent: ann, say: x, expcet: {}}", "checks.c: unknown key `expcet`", "did you mean `expect`?"),
        ("{agent: ann, say: x, runs: 0}", "checks.c.runs: expected a whole number from 1 to 100, got 0", None),
        ("{agent: ann, say: x, runs: 1.5}", "checks.c.runs: expected a whole number from 1 to 100", None),
        ("{agent: ann, say: x, runs: '${var.n}'}", "checks.c.runs: expected a whole number", "expressions cannot"),
        ("{agent: ann, say: x, pass_rate: 80}", "checks.c.pass_rate: expected a number from 0 to 1, got 80", None),
        (
            "{agent: ann, say: x, on_failure: undo}",
            "checks.c.on_failure: expected one of the allowed",
            "stop, rollback",
        ),
        ("{agent: ann, say: x, expect: {answer: hi}}", "checks.c.expect.answer: expected a map", None),
        (
            "{agent: ann, say: x, expect: {answer: {matches: '('}}}",
            "matches: not a regular expression: missing ), unterminated subpattern at position 0",
            None,
        ),
        (
            "{agent: ann, say: x, expect: {answer: {json_schema: {type: objekt}}}}",
            "json_schema.type: not a JSON Schema: 'objekt' is not valid",
            None,
        ),
        (
            "{agent: ann, say: x, expect: {answer: {json_schema: x}}}",
            "json_schema: expected a map, got the text 'x'",
            None,
        ),
        ("{agent: ann, say: x, expect: {calls: [look]}}", "checks.c.expect.calls.0: expected a map", "`{tool: look}`"),
        ("{agent: ann, say: x, expect: {calls: [{}]}}", "`tool` is required in checks.c.expect.calls.0", "`tool: …`"),
        ("{agent: ann, say: x, judge: Polite.}", "checks.c.judge: expected a map", "criteria"),
        (
            "{agent: ann, say: x, expect: {at_most: {seconds: 30s}}}",
            "expected a number from 0, got the text '30s'",
            None,
        ),
    ],
)
def test_mistakes_are_reported_with_their_place(text: str, message: str, hint: str | None, project: Project) -> None:
    found = project.write(f"{HEAD}checks:\n  c: {text}\n").problems(needs="nothing")
    assert message in found[0].message
    assert found[0].place is not None
    assert found[0].place.line == 9
    assert (hint or "") in (found[0].hint or "")


def test_a_check_that_needs_an_unset_variable_is_left_out_where_it_is_not_needed(project: Project) -> None:
    head = HEAD.replace("variables: {", "variables: {late: {}, ")
    text = f"{head}checks:\n  c: {{agent: ann, say: '${{var.late}}'}}\n  d: {{agent: ann, say: x}}\n"
    assert [each.name for each in project.write(text).load(needs="nothing").checks] == ["d"]
    assert "variable `late`" in project.problems()[0].message


def test_an_environment_adds_and_removes_checks(project: Project) -> None:
    text = f"""{HEAD}checks:
  c: {{agent: ann, say: x}}
  d: {{agent: ann, say: x}}
environments:
  prod: {{checks: {{c: !unset , d: {{runs: 3}}, e: {{agent: ann, say: y}}}}}}
"""
    found = project.write(text).load(environment="prod", needs="nothing").checks
    assert [(each.name, each.runs) for each in found] == [("d", 3), ("e", 1)]
