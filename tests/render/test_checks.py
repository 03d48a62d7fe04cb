"""The results of checks in every format. What agents say acts in none of them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from lettaform.address import Address
from lettaform.cli.check import FORMATS, document
from lettaform.errors import Place, Problem
from lettaform.model import CalledTool, Check, Checked, CheckResult, CheckRun, Reply, Said, Turn
from lettaform.render import checks

from .hostile import TEXTS
from .test_hostile import COMMANDS, INVISIBLE, SPECIAL, tokens

at = Address.parse
SAID = Said("hi", Reply("Hello, Ann.", (CalledTool("pay", {"sum": 5}, "1", denied=True),), steps=2, tokens=9), 1.5)


def result(
    *runs: CheckRun,
    name: str = "greets",
    agent: str | Address = "agents.ann",
    notes: tuple[str, ...] = (),
    **words: object,
) -> CheckResult:
    at_agent = at(agent) if isinstance(agent, str) else agent
    check = Check(name, (at_agent,), (Turn("hi"),), runs=len(runs), place=Place("fleet.yaml", 12, 5), **words)  # type: ignore[arg-type]
    return CheckResult(check, at_agent, runs, notes)


PASSED = CheckRun((SAID,), seconds=2.0)
FAILED = CheckRun((SAID,), ("the answer does not contain “bob”: “Hello, Ann.”",), seconds=3.0)
BROKEN = CheckRun((), error="no server answers", seconds=1.0)
FULL = Checked(
    "support",
    "http://here",
    "prod",
    results=(
        result(PASSED, notes=("without tools.new in `tools`: it does not exist yet",)),
        result(PASSED, FAILED, name="thinks", agent="agents.worker[emea]"),
        result(BROKEN, name="breaks"),
        result(FAILED, name="flaky", quarantine=True),
    ),
    seconds=9.0,
    warnings=(Problem("copies of this check may still exist: no", severity="warning"),),
)


def test_a_line_for_each_result() -> None:
    assert [checks.line(each) for each in FULL.results] == [
        "passed  greets  agents.ann  2.0 s",
        "failed  thinks  agents.worker[emea]  1 of 2 runs  5.0 s",
        "error   breaks  agents.ann  1.0 s",
        "failed  flaky  agents.ann  3.0 s  in quarantine",
    ]


def test_text() -> None:
    assert (
        checks.text(FULL)
        == """\
Failed thinks: agents.worker[emea]
  at fleet.yaml:12:5
  - run 2: the answer does not contain “bob”: “Hello, Ann.”
    > hi
    call pay {"sum": 5} (denied)
    < Hello, Ann.

Error breaks: agents.ann
  at fleet.yaml:12:5
  - no server answers

Failed flaky: agents.ann
  at fleet.yaml:12:5
  - the answer does not contain “bob”: “Hello, Ann.”
    > hi
    call pay {"sum": 5} (denied)
    < Hello, Ann.

Copy of agents.ann without tools.new in `tools`: it does not exist yet

Warning: copies of this check may still exist: no

Checks: 1 passed, 1 failed, 1 error, 1 in quarantine did not pass in 9.0 s.
"""
    )


def test_verbose_text_has_the_conversations_that_passed() -> None:
    shown = checks.text(FULL, verbose=True)
    assert shown.startswith("Passed greets: agents.ann\n  at fleet.yaml:12:5\n  without tools.new")


def test_a_long_answer_is_cut_unless_everything_is_asked_for() -> None:
    found = Checked("s", "http://here", results=(result(CheckRun((Said("x", Reply("a" * 9_000)),), ("no",))),))
    assert len(checks.text(found)) < 800
    assert len(checks.text(found, verbose=True)) > 9_000


def test_junit() -> None:
    root = ElementTree.fromstring(checks.junit(FULL).encode())
    (suite,) = root
    assert (suite.attrib["tests"], suite.attrib["failures"], suite.attrib["errors"], suite.attrib["skipped"]) == (
        "4",
        "1",
        "1",
        "1",
    )
    found = [
        (case.attrib["classname"], case.attrib["name"], [each.tag for each in case if each.tag != "system-out"])
        for case in suite
    ]
    assert found == [
        ("support.checks.greets", "agents.ann", []),
        ("support.checks.thinks", "agents.worker[emea]", ["failure"]),
        ("support.checks.breaks", "agents.ann", ["error"]),
        ("support.checks.flaky", "agents.ann", ["skipped"]),
    ]
    failure = suite[1][0]
    assert failure.attrib["message"] == "the answer does not contain “bob”: “Hello, Ann.”"
    assert (suite[1].attrib["file"], suite[1].attrib["line"]) == ("fleet.yaml", "12")


def test_markdown() -> None:
    shown = checks.markdown(FULL)
    assert "| `thinks` | `agents.worker[emea]` | failed | 1 of 2 | 5.0 s |" in shown
    assert "| `flaky` | `agents.ann` | failed, in quarantine | 0 of 1 | 3.0 s |" in shown
    assert "```\nrun 2: the answer does not contain “bob”: “Hello, Ann.”\n```" in shown


def test_a_long_report_fits_into_a_comment() -> None:
    many = tuple(result(CheckRun((), ("x" * 900,)), name=f"c{number}") for number in range(300))
    shown = checks.markdown(Checked("s", "http://here", results=many))
    assert "more checks did not pass" in shown
    assert len(shown) < 65_000


def test_json() -> None:
    found = checks.to_data(FULL)
    assert (found["summary"], found["exit_code"]) == ({"passed": 1, "failed": 1, "error": 1, "quarantined": 1}, 3)
    assert [each["status"] for each in found["checks"]] == ["passed", "failed", "error", "failed"]
    (turn,) = found["checks"][0]["runs"][0]["turns"]
    assert turn["calls"] == [{"tool": "pay", "arguments": {"sum": 5}, "denied": True}]


def test_nothing_ran() -> None:
    assert (
        checks.text(Checked("s", "http://here", planned=True)) == "Checks: 0 passed of the planned agents in 0.0 s.\n"
    )
    assert checks.summary(Checked("s", "http://here", interrupted=True)).startswith("Interrupted: 0 passed")


def hostile(text: str) -> Checked:
    said = Said(text, Reply(text, (CalledTool(text, {text: text}),)))
    run = CheckRun((said,), (text,), verdict=text)
    broken = result(CheckRun((), error=text), name="c", agent=Address.of("agents", text), notes=(text,))
    passed = result(CheckRun((said,)), name="d", notes=(text,))
    return Checked(
        text, text, text, results=(result(run), broken, passed), warnings=(Problem(text, severity="warning"),)
    )


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", TEXTS)
def test_no_format_has_a_command_or_an_invisible_character(name: str, form: str) -> None:
    shown = document(hostile(TEXTS[name]), form)
    assert COMMANDS.findall(shown) == []
    assert INVISIBLE.findall(shown) == []
    shown.encode("utf-8")


@pytest.mark.parametrize("name", TEXTS)
def test_markdown_and_xml_are_not_broken_by_a_text(name: str) -> None:
    found = tokens(checks.markdown(hostile(TEXTS[name])))
    outside = [token.content for token in found if token.type == "text"]
    assert [text for text in outside if SPECIAL.search(text)] == []
    assert {token.type for token in found if token.type.startswith(("link", "image", "html", "s_", "em"))} == set()
    root = ElementTree.fromstring(checks.junit(hostile(TEXTS[name])).encode())
    assert {each.tag for each in root.iter()} == {
        "testsuites",
        "testsuite",
        "testcase",
        "failure",
        "error",
        "system-out",
    }
