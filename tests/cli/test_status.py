"""`lettaform status`: its forms, its selection, and a watch in a pipe and on a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.shell_completion import ShellComplete

from lettaform import errors
from lettaform.cli import cli, status
from lettaform.errors import LettaformError, Place, Problem, Unavailable
from lettaform.flow import StackStatus, StatusOptions
from lettaform.render.status_schema import status_schema
from tests.standin import StandIn
from tests.standin.server import serve

from .conftest import Flow, Run, a_status

TABLE = """\
ADDRESS   STATUS  NAME  MEMORY  USED  DRIFT  KEPT  LAST RUN
agents.a  ok      a      7/100    7%      0     0  -
"""
SUMMARY = "\n1 object of stack support on http://here is as declared.\n"


def test_a_table_and_a_summary(run: Run, flow: Flow) -> None:
    result = run("status")
    assert (result.exit_code, result.stdout, result.stderr) == (0, TABLE + SUMMARY, "")
    assert flow.calls[0][-1] == StatusOptions()


def test_patterns_and_tags_select(run: Run, flow: Flow) -> None:
    run("status", "agents.*", "blocks.org", "--tag", "core", "--tag", "lead")
    assert flow.calls[0][-1] == StatusOptions(("agents.*", "blocks.org"), ("core", "lead"))


@pytest.mark.parametrize("words", [["-o", "json"], ["--json"], ["--json", "-o", "json"]])
def test_json_follows_the_schema(words: list[str], run: Run, flow: Flow) -> None:
    flow.statuses = [a_status("a", warnings=(Problem("locked", severity="warning"),))]
    result = run("status", *words)
    jsonschema.validate(json.loads(result.stdout), status_schema(), cls=jsonschema.Draft202012Validator)
    assert (result.exit_code, result.stderr) == (0, "Warning: locked\n")


def test_names_are_for_other_commands(run: Run, flow: Flow) -> None:
    flow.statuses = [a_status("a", "b", warnings=(Problem("locked", severity="warning"),))]
    result = run("status", "-o", "name")
    assert (result.stdout, result.stderr) == ("agents.a\nagents.b\n", "Warning: locked\n")


def test_wide_has_more_columns(run: Run, flow: Flow) -> None:
    assert "agent-a" in run("status", "-o", "wide").stdout
    assert "agent-a" not in run("status").stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--json", "-o", "wide"], "--json cannot be combined with -o wide"),
        (["-o", "name", "--json"], "--json cannot be combined with -o name"),
        (["--interval", "2"], "--interval needs --watch"),
        (["-w", "--interval", "0"], "0.5"),
        (["-o", "yaml"], "'yaml' is not one of 'wide', 'json', 'name'"),
    ],
)
def test_options_that_contradict(words: list[str], message: str, run: Run, flow: Flow) -> None:
    result = run("status", *words)
    assert result.exit_code == 1
    assert message in result.output
    assert flow.calls == []


def test_an_error_is_reported_as_ever(run: Run, flow: Flow) -> None:
    flow.statuses = [errors.PlanError("no object has the address `x`", "did you mean `y`?")]
    result = run("status", "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "Error: no object has the address `x`\n  → did you mean `y`?\n"


def test_completion_knows_the_verb_and_its_forms() -> None:
    found = ShellComplete(cli, {}, "lettaform", "_LETTAFORM_COMPLETE")

    def offered(args: list[str], word: str) -> list[str]:
        return [each.value for each in found.get_completions(args, word)]

    assert "status" in offered([], "stat")
    assert offered(["status", "-o"], "") == ["wide", "json", "name"]
    assert {"--output", "--tag", "--watch", "--interval"} <= {*offered(["status"], "--")}


def test_the_words_of_kubectl_lead_to_it(run: Run, flow: Flow) -> None:
    for word in ("get", "ls", "ps", "top", "watch"):
        assert "`lettaform status" in run(word).stderr
    assert "accepted by `status`; here, write `--json`" in run("plan", "--output", "json").stderr


# --- a watch ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Ends a watch with Ctrl-C after this number of reads."""

    def after(number: int) -> None:
        left = iter(range(number - 1))

        def sleep(seconds: float) -> None:
            if next(left, None) is None:
                raise KeyboardInterrupt

        monkeypatch.setattr(status.time, "sleep", sleep)

    return after


def drifted(found: StackStatus) -> StackStatus:
    first, *rest = found.objects
    return replace(found, objects=(replace(first, status="drifted", drifted=("name",)), *rest))


def test_in_a_pipe_the_rows_that_changed_are_added(run: Run, flow: Flow, times: Any) -> None:
    one, two = a_status("a"), a_status("a", "b")
    flow.statuses = [one, one, two, drifted(two), one]
    times(5)
    result = run("status", "--watch")
    assert result.exit_code == 130
    assert result.stderr == ""
    assert result.stdout.startswith(TABLE + SUMMARY)
    added = result.stdout.removeprefix(TABLE + SUMMARY).splitlines()
    assert [line.split()[:2] for line in added] == [
        ["agents.b", "ok"],
        ["agents.a", "drifted"],
        ["agents.a", "ok"],
        ["agents.b", "deleted"],
    ]
    assert "\x1b" not in result.stdout


def test_with_json_a_watch_prints_one_object_for_each_change(run: Run, flow: Flow, times: Any) -> None:
    one = a_status("a")
    flow.statuses = [one, one, drifted(one)]
    times(4)
    result = run("status", "-w", "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["objects"][0]["status"] for each in lines] == ["ok", "drifted"]
    assert result.exit_code == 130


def test_with_names_a_watch_prints_those_that_changed(run: Run, flow: Flow, times: Any) -> None:
    flow.statuses = [a_status("a"), a_status("a", "b")]
    times(3)
    assert run("status", "-w", "-o", "name").stdout == "agents.a\nagents.b\n"


BROKEN = errors.ManifestError([Problem("no such block", Place("lettaform.yaml", 2, 3))])


@pytest.mark.parametrize("error", [Unavailable("the server does not answer"), BROKEN])
def test_an_error_of_a_later_read_may_pass(error: LettaformError, run: Run, flow: Flow, times: Any) -> None:
    flow.statuses = [a_status("a"), error, a_status("a", "b")]
    times(3)
    result = run("status", "-w")
    assert result.exit_code == 130
    assert error.message.split(": ")[-1] in result.stderr
    assert result.stdout.splitlines()[-1].startswith("agents.b")


def test_an_error_of_a_later_read_is_json_too(run: Run, flow: Flow, times: Any) -> None:
    flow.statuses = [a_status("a"), Unavailable("the server does not answer")]
    times(2)
    lines = run("status", "-w", "--json").stdout.splitlines()
    assert json.loads(lines[1])["error"]["type"] == "Unavailable"


def test_an_error_of_the_first_read_ends_a_watch(run: Run, flow: Flow, times: Any) -> None:
    flow.statuses = [Unavailable("the server does not answer")]
    times(3)
    result = run("status", "-w")
    assert (result.exit_code, result.stdout, len(flow.calls)) == (1, "", 1)


def test_ctrl_c_during_the_first_read(run: Run, flow: Flow) -> None:
    flow.statuses = [KeyboardInterrupt()]
    result = run("status", "-w")
    assert (result.exit_code, result.output) == (130, "")


def test_a_terminal_is_drawn_again(run: Run, flow: Flow, times: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "_can_redraw", lambda: True)
    monkeypatch.setattr(status.shutil, "get_terminal_size", lambda *_, **__: os.terminal_size((60, 12)))
    many = [f"a{number}" for number in range(50)]
    flow.statuses = [a_status(*many), Unavailable("it does not answer"), a_status("z")]
    times(3)
    result = run("status", "-w", "--interval", "2", "--no-color")
    assert result.exit_code == 130
    first, second, third = result.stdout.split("\x1b[H")[1:]
    assert result.stdout.startswith("\x1b[2J\x1b[H")
    for each in (first, second, third):
        assert len(each.rstrip("\n").splitlines()) <= 12
        assert "\x1b[J" in each
    assert "… 44 more lines" in first
    assert "Error: it does not answer. It is tried again. Every 2 s;" in second
    assert "50 objects of stack support" in second
    assert "agents.z" in third
    assert "Every 2 s; Ctrl-C ends it." in third
    assert "a49" not in third


@pytest.mark.parametrize(("term", "redraws"), [("xterm", True), ("dumb", False), ("", False)])
def test_only_a_terminal_that_can_move_its_cursor_is_drawn_again(
    term: str, redraws: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status.sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", term or "dumb")
    assert status._can_redraw() == redraws
    monkeypatch.setattr(status.sys.stdout, "isatty", lambda: False, raising=False)
    assert not status._can_redraw()


@pytest.mark.thorough
def test_ctrl_c_ends_the_process_of_a_watch(tmp_path: Path) -> None:
    (tmp_path / "lettaform.yaml").write_text("stack: s\nblocks: {b: {value: x}}\n")
    with serve(StandIn()) as url:
        line = [sys.executable, "-m", "lettaform", "-C", str(tmp_path), "--server", url, "status", "-w"]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            lines = [process.stdout.readline() for _ in range(4)]
            process.send_signal(signal.SIGINT)
            rest, said = process.communicate(timeout=20)
        finally:
            process.kill()
            process.wait()
    assert (process.returncode, rest, said) == (130, "", "")
    assert lines[1].split()[:2] == ["blocks.b", "missing"]
    assert lines[3] == f"1 object of stack s on {url}: 1 missing.\n"
