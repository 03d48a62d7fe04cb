from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from lettaform.cli import apply as verb
from lettaform.errors import ServerError, Stale
from lettaform.model import Report

from .conftest import Flow, Run, a_plan

APPLIED = """\
Stack support · http://here · Letta 0.16.8

  + agents.a
      name  "a"

Plan: 1 to create, 0 to change, 0 to destroy.

agents.a: created (agent-1) in 0.3 s

Outputs:
  id = "agent-1"

Applied: 1 created in 1.4 s.
"""


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.cli.can_ask", lambda: True)


def test_yes_applies_without_a_question(run: Run, flow: Flow) -> None:
    result = run("apply", "-y")
    assert result.exit_code == 0
    assert result.stdout == APPLIED
    assert result.stderr == ""


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("YES\n", 0), ("\n", 1), ("n\n", 1), ("yeah\n", 1), ("", 1)])
@pytest.mark.usefixtures("terminal")
def test_the_question(answer: str, code: int, run: Run, flow: Flow) -> None:
    result = run("apply", input=answer)
    assert result.exit_code == code
    assert "Apply this change? [y/N]" in result.stderr
    assert flow.consents == [code == 0]
    assert ("Cancelled. Nothing was changed." in result.stderr) is (code == 1)


def test_without_a_terminal_the_question_is_an_error(run: Run, flow: Flow) -> None:
    result = run("apply")
    assert result.exit_code == 1
    assert "`lettaform apply -y`" in result.stderr
    assert "+ agents.a" in result.stdout
    assert flow.consents == [False]


@pytest.mark.parametrize("line", [["apply"], ["apply", "-y"], ["destroy"]])
def test_without_changes_there_is_no_question(line: list[str], run: Run, flow: Flow) -> None:
    flow.planned = a_plan(empty=True)
    result = run(*line)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "No changes.\n", "")


def test_events_in_json(run: Run, flow: Flow) -> None:
    result = run("apply", "--json", "-y")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert [event["event"] for event in events] == ["plan", "start", "done", "summary"]
    assert events[0]["plan"]["changes"][0]["address"] == "agents.a"
    assert events[2]["id"] == "agent-1"
    assert events[3] == {
        "event": "summary",
        "applied": 1,
        "failed": 0,
        "skipped": 0,
        "requests": 3,
        "seconds": 1.4,
        "exit_code": 0,
        "outputs": {"id": "agent-1"},
    }
    assert result.stderr == ""


def test_events_in_json_without_changes(run: Run, flow: Flow) -> None:
    flow.planned = a_plan(empty=True)
    events = [json.loads(line) for line in run("apply", "--json", "-y").stdout.splitlines()]
    assert [event["event"] for event in events] == ["plan", "summary"]
    assert events[1]["exit_code"] == 0


def test_json_needs_yes(run: Run, flow: Flow) -> None:
    result = run("apply", "--json")
    assert result.exit_code == 1
    assert "add -y" in json.loads(result.stdout)["error"]["message"]
    assert flow.calls == []


@pytest.mark.parametrize("json_", [False, True])
def test_a_failed_step_fails_the_run(json_: bool, run: Run, flow: Flow) -> None:
    flow.ended, flow.error = "failed", ServerError("refused", "mend it")
    result = run("apply", "-y", *(["--json"] if json_ else []))
    assert result.exit_code == 1
    if json_:
        last = json.loads(result.stdout.splitlines()[-1])
        assert (last["event"], last["failed"], last["exit_code"]) == ("summary", 1, 1)
    else:
        assert "agents.a: failed after 0.3 s\n" in result.stdout
        assert "Failed: agents.a: refused\n    mend it\n" in result.stderr
        assert result.output.count("refused") == 1


def test_the_exit_code_is_that_of_the_report(run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    for code in (5, 130):
        monkeypatch.setattr(Report, "exit_code", code)
        assert run("apply", "-y").exit_code == code


def test_options_are_passed_on(run: Run, flow: Flow) -> None:
    run("apply", "-y", "--parallel", "3", "--prune", "--target", "agents.a", "--allow-destroy", "agents.b")
    name, _, _, options, parallel = flow.calls[0]
    assert (name, options.prune, options.target, options.allow_destroy, parallel) == (
        *("apply", True, ("agents.a",), ("agents.b",)),
        3,
    )
    assert run("apply", "--parallel", "0").exit_code == 1


def test_a_saved_plan(run: Run, flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text("{}")
    assert run("apply", str(file), "-y").exit_code == 0
    assert flow.calls[0][0] == "apply_saved"
    assert flow.calls[0][3] == file
    assert f"run `lettaform apply -y {file}`" in run("apply", str(file)).stderr
    flow.raises = Stale("it moved")
    assert run("apply", str(file), "-y").exit_code == 6


@pytest.mark.parametrize(
    "option", [["--prune"], ["--ignore-limits"], ["--target", "a.b"], ["--reseed", "a.b"], ["--allow-destroy", "a.b"]]
)
def test_a_saved_plan_accepts_no_plan_options(option: list[str], run: Run, flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    file.write_text("{}")
    result = run("apply", str(file), "-y", *option)
    assert result.exit_code == 1
    assert option[0] in result.stderr
    assert flow.calls == []


def test_destroy(run: Run, flow: Flow) -> None:
    assert run("destroy", "-y", "--allow-destroy", "agents.*").exit_code == 0
    options = flow.calls[0][3]
    assert (options.destroy, options.prune, options.allow_destroy) == (True, False, ("agents.*",))
    assert "`lettaform destroy -y`" in run("destroy").stderr


def test_destroy_of_some_objects(run: Run, flow: Flow) -> None:
    assert run("destroy", "-y", "--target", "agents.*", "--exclude", "agents.a").exit_code == 0
    options = flow.calls[0][3]
    assert (options.destroy, options.target, options.exclude) == (True, ("agents.*",), ("agents.a",))


def test_the_command_that_asks_nothing_has_the_same_options(run: Run) -> None:
    refused = run("destroy", "--target", "agents.old").stderr
    assert "`lettaform destroy -y --target agents.old`" in refused
    refused = run("apply", "--prune", "--target", "agents.a[*]", "--allow-destroy", "agents.b").stderr
    assert "`lettaform apply -y --prune --target 'agents.a[*]' --allow-destroy agents.b`" in refused
    assert "`lettaform apply -y --ignore-limits`" in run("apply", "--ignore-limits").stderr


@pytest.mark.usefixtures("terminal")
def test_the_question_of_destroy(run: Run) -> None:
    assert "Destroy this object? [y/N]" in run("destroy", input="n\n").stderr


def test_a_broken_pipe_does_not_stop_an_apply(run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []

    def echo(text: str = "", **words: Any) -> None:
        written.append(text)
        if len(written) == 3:
            raise BrokenPipeError

    monkeypatch.setattr(click, "echo", echo)
    monkeypatch.setattr("lettaform.cli._close_output", lambda: 1)
    assert run("apply", "-y").exit_code == 0
    assert len(written) == 3


def test_a_terminal_gets_a_progress_bar(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from lettaform.cli import Globals
    from lettaform.render import progress

    bar = progress.bar(lambda: None, color=False)
    monkeypatch.setattr(progress, "bar", lambda planned, color: bar)
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert verb._watch(Globals(), print, lambda: None) is bar
    assert verb._watch(Globals(verbose=True), print, lambda: None) is not bar
    assert verb._watch(Globals(json=True), print, lambda: None) is not bar
