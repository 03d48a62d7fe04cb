from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lettaform.address import Address
from lettaform.errors import PlanError
from lettaform.model import Check, Checked, CheckResult, CheckRun, Outcome, Reply, Report, Said, Turn

from .conftest import Flow, Run, a_plan

ANN = Address.parse("agents.ann")


def checked(*failures: str, **words: object) -> Checked:
    check = Check("greets", (ANN,), (Turn("hi"),), **words)  # type: ignore[arg-type]
    run = CheckRun((Said("hi", Reply("hello")),), failures)
    return Checked("support", "http://here", results=(CheckResult(check, ANN, (run,)),))


@pytest.mark.parametrize(("failures", "code"), [((), 0), (("no",), 3)])
@pytest.mark.parametrize("form", [[], ["--json"], ["--format", "junit"], ["--format", "markdown"]])
def test_exit_codes_and_formats(failures: tuple[str, ...], code: int, form: list[str], run: Run, flow: Flow) -> None:
    flow.checked = checked(*failures)
    result = run("check", *form)
    assert (result.exit_code, result.stderr) == (code, "")
    if form == ["--json"]:
        assert json.loads(result.stdout)["exit_code"] == code
    elif not form:
        assert result.stdout.startswith("failed  greets  agents.ann" if failures else "passed  greets  agents.ann")
    else:
        assert result.stdout.startswith("<?xml" if form[1] == "junit" else "### Checks of `support`")


def test_the_options_reach_the_function(run: Run, flow: Flow) -> None:
    assert run("check", "gr*", "other", "--plan", "--parallel", "2", "--lock-timeout", "5").exit_code == 0
    ((_, _, connection, options),) = flow.calls
    assert (options.names, options.planned, options.parallel) == (("gr*", "other"), True, 2)
    assert connection.patience == 5


def test_files_are_written(run: Run, flow: Flow, tmp_path: Path) -> None:
    flow.checked = checked("no")
    result = run("check", "--out", f"junit={tmp_path / 'a.xml'}", "--out", f"markdown={tmp_path / 'a.md'}")
    assert result.exit_code == 3
    assert (tmp_path / "a.xml").read_text().startswith("<?xml")
    assert "`greets`" in (tmp_path / "a.md").read_text()
    assert "Wrote" in result.stderr


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ("junit", "--out expects FORMAT=FILE, for example junit=checks.xml, and not `junit`"),
        ("juint=a.xml", "--out: unknown format `juint`; did you mean `junit`?"),
        ("html=a.html", "--out: unknown format `html`; the formats are text, json, markdown, junit"),
    ],
)
def test_a_wrong_format(out: str, message: str, run: Run) -> None:
    result = run("check", "--out", out)
    assert result.exit_code == 1
    assert message in " ".join(result.stderr.split())


def test_an_error(run: Run, flow: Flow) -> None:
    flow.raises = PlanError("no check has the name `x`", "did you mean `y`?")
    result = run("check", "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "did you mean `y`?" in result.stderr


# --- apply --check


def test_apply_runs_the_checks_afterwards(run: Run, flow: Flow) -> None:
    flow.checked = checked("no")
    result = run("apply", "-y", "--check")
    assert result.exit_code == 3
    at = [result.stdout.index(each) for each in ("failed  greets", "Applied:", "Failed greets: agents.ann", "Checks: ")]
    assert at == sorted(at)


def test_apply_runs_the_checks_if_nothing_changes(run: Run, flow: Flow) -> None:
    flow.planned, flow.checked = a_plan(empty=True), checked()
    result = run("apply", "-y", "--check")
    assert (result.exit_code, "Applied" in result.stdout) == (0, False)
    assert "Checks: 1 passed" in result.stdout


def test_without_the_flag_no_check_runs(run: Run, flow: Flow) -> None:
    flow.checked = checked("no")
    result = run("apply", "-y")
    assert (result.exit_code, "greets" in result.stdout) == (0, False)


@pytest.mark.parametrize("as_json", [False, True])
def test_a_rollback_is_told(as_json: bool, run: Run, flow: Flow) -> None:
    flow.checked, flow.undone = checked("no", on_failure="rollback"), Report()
    result = run("apply", "-y", "--check", *["--json"] * as_json)
    assert result.exit_code == 3
    if as_json:
        last = json.loads(result.stdout.splitlines()[-1])
        assert (last["exit_code"], last["checks"]["summary"]["failed"], last["rollback"]["exit_code"]) == (3, 1, 0)
    else:
        assert "Rolled back to kept. What the apply created stays." in result.stdout


def test_a_rollback_that_is_not_complete(run: Run, flow: Flow) -> None:
    (step,) = a_plan().steps
    undone = Report((Outcome(step, "failed", error=PlanError("no")),))
    flow.checked, flow.undone = checked("no", on_failure="rollback"), undone
    result = run("apply", "-y", "--check")
    assert result.exit_code == 5
    assert "`lettaform rollback` continues it" in result.stdout


def test_there_is_nothing_to_roll_back(run: Run, flow: Flow) -> None:
    flow.checked = checked("no", on_failure="rollback")
    result = run("apply", "-y", "--check")
    assert "Nothing was rolled back: no object that existed before was changed or deleted." in result.stdout


def test_the_command_that_asks_no_question_has_the_flag(run: Run, flow: Flow) -> None:
    assert "lettaform apply -y --check" in run("apply", "--check").stderr


def test_quarantine_alone_is_no_failure() -> None:
    found = checked("no", quarantine=True)
    assert (found.exit_code, found.rolls_back) == (0, False)
    assert replace(found, interrupted=True).exit_code == 130
