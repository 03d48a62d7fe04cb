"""`lettaform restore` and `rollback`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lettaform.cli import cli
from lettaform.errors import PlanError, Problem
from tests.cli.conftest import Flow, Run, a_plan


def test_restore_passes_its_arguments_on(run: Run, flow: Flow) -> None:
    words = ["restore", "-y", "support-1", "agents.*", "blocks.b", "--as", "copy", "--parallel", "3"]
    result = run(*words, "--snapshot-dir", "kept")
    assert (result.exit_code, result.stderr) == (0, "")
    ((name, _, _, path, addresses, stack, parallel),) = flow.calls
    assert (name, path, addresses, stack) == ("restore", Path("kept/support-1"), ("agents.*", "blocks.b"), "copy")
    assert parallel == 3
    assert flow.consents == [True]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (
            ("restore", "latest", "agents.worker[x]", "--as", "copy"),
            "lettaform restore -y latest 'agents.worker[x]' --as copy",
        ),
        (("rollback",), "lettaform rollback -y"),
    ],
)
def test_without_a_terminal_the_question_is_an_error_that_names_the_command(
    run: Run, flow: Flow, words: tuple[str, ...], command: str
) -> None:
    result = run(*words)
    assert result.exit_code == 1
    assert f"`{command}`" in result.stderr
    assert "+ agents.a" in result.stdout
    assert flow.consents == [False]


@pytest.mark.parametrize(("verb", "question"), [(("restore", "latest"), "Restore"), (("rollback",), "Roll back")])
def test_the_question(
    run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch, verb: tuple[str, ...], question: str
) -> None:
    monkeypatch.setattr("lettaform.cli.can_ask", lambda: True)
    assert f"{question} this change?" in run(*verb, input="n\n").stderr
    assert run(*verb, input="y\n").exit_code == 0
    assert flow.consents == [False, True]


@pytest.mark.parametrize("verb", [("restore", "latest"), ("rollback",)])
def test_json_is_that_of_apply(run: Run, flow: Flow, verb: tuple[str, ...]) -> None:
    flow.destroys = True
    lines = [json.loads(line) for line in run(*verb, "-y", "--json").stdout.splitlines()]
    assert [line["event"] for line in lines] == ["plan", "snapshot", "start", "done", "summary"]
    assert "--json cannot ask for confirmation" in run(*verb, "--json").stdout


def test_an_empty_plan_says_so_and_succeeds(run: Run, flow: Flow) -> None:
    flow.planned = a_plan(empty=True)
    result = run("restore", "latest")
    assert result.exit_code == 0
    assert "No changes." in result.stdout


def test_everything_that_is_impossible_is_listed(run: Run, flow: Flow) -> None:
    problems = [Problem("agents.a: no key"), Problem("agents.b: no key", hint="give its variable")]
    flow.raises = PlanError("the snapshot cannot be restored; nothing was changed", problems=problems)
    result = run("restore", "latest", "-y")
    assert result.exit_code == 1
    assert "agents.a: no key" in result.stderr
    assert "give its variable" in result.stderr


@pytest.mark.parametrize("words", [("snapshot", "show"), ("snapshot", "verify"), ("snapshot", "diff"), ("restore",)])
@pytest.mark.usefixtures("flow")
def test_the_shell_completes_names_of_snapshots(words: tuple[str, ...]) -> None:
    def completed(begun: str) -> str:
        line = " ".join(("lettaform", *words, begun))
        asked = {"_LETTAFORM_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) + 1)}
        return CliRunner().invoke(cli, [], env=asked, prog_name="lettaform").output

    assert completed("") == "plain,latest\nplain,support-1\nplain,broken\n"
    assert completed("sup") == "plain,support-1\n"
    assert completed("./els") == "dir,./els\n"


def test_apply_takes_a_snapshot_of_what_it_changes(run: Run) -> None:
    assert (
        "`lettaform apply -y --snapshot --snapshot-dir kept`"
        in run("apply", "--snapshot", "--snapshot-dir", "kept").stderr
    )
