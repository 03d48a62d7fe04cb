from __future__ import annotations

import json

import pytest

from lettaform.errors import Problem, Stale
from lettaform.flow import Connection, Pull, PullOptions

from .conftest import Flow, Run, a_pull


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.cli.can_ask", lambda: True)


def test_yes_writes_without_a_question(run: Run, flow: Flow) -> None:
    result = run("pull", "-y")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "  - a: x\n  + a: y\n" in result.stdout
    assert result.stdout.endswith("`lettaform apply` writes.\n")
    assert flow.consents == [True]


def test_options_are_passed_on(run: Run, flow: Flow) -> None:
    words = [
        "agents.*",
        "blocks.b",
        "--drift",
        "--ours",
        "blocks.c",
        "--theirs",
        "blocks.d",
        "--theirs",
        "x",
        "--record",
    ]
    assert run("pull", "-y", *words).exit_code == 0
    ((_, _, connection, options),) = flow.calls
    assert options == PullOptions(("agents.*", "blocks.b"), True, ("blocks.c",), ("blocks.d", "x"), True)
    assert isinstance(connection, Connection)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 1), ("n\n", 1)])
@pytest.mark.usefixtures("terminal")
def test_the_question(answer: str, code: int, run: Run, flow: Flow) -> None:
    result = run("pull", input=answer)
    assert result.exit_code == code
    assert "Write this file? [y/N]" in result.stderr
    assert ("Cancelled. Nothing was changed." in result.stderr) is (code == 1)
    assert ("Pulled:" in result.stdout) is (code == 0)


def test_without_a_terminal_the_question_is_an_error_that_names_the_command(run: Run, flow: Flow) -> None:
    result = run("pull", "agents.worker[x]", "--drift", "--ours", "a b", "--theirs", "c", "--record")
    assert result.exit_code == 1
    assert "`lettaform pull -y 'agents.worker[x]' --drift --ours 'a b' --theirs c --record`" in result.stderr
    assert flow.consents == [False]


def test_check_writes_nothing_and_exits_with_2(run: Run, flow: Flow) -> None:
    result = run("pull", "--check")
    assert (result.exit_code, flow.consents) == (2, [False])
    assert result.stdout.endswith("Pull: 1 value into 1 file.\n")
    flow.pulled = Pull("s", "http://here", "1")
    result = run("pull", "--check")
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "Nothing to pull.")


@pytest.mark.parametrize("arguments", [["--check"], ["-y"]])
def test_json(arguments: list[str], run: Run, flow: Flow) -> None:
    result = run("pull", "--json", *arguments)
    found = json.loads(result.stdout)
    assert found["written"] is ("-y" in arguments)
    assert result.exit_code == found["exit_code"] == (0 if "-y" in arguments else 2)


def test_json_asks_no_question(run: Run, flow: Flow) -> None:
    result = run("pull", "--json")
    assert (result.exit_code, flow.calls) == (1, [])
    assert "add -y or --check" in result.stdout


def test_check_and_record_exclude_each_other(run: Run, flow: Flow) -> None:
    result = run("pull", "--check", "--record")
    assert (result.exit_code, flow.calls) == (1, [])


@pytest.mark.parametrize(
    ("words", "code"),
    [({"conflicts": (a_pull().pulled[0],)}, 4), ({"refused": (Problem("`value` contains a secret"),)}, 1)],
)
def test_exit_codes_of_what_is_not_pulled(words: dict[str, object], code: int, run: Run, flow: Flow) -> None:
    flow.pulled = a_pull(**words)
    assert run("pull", "-y").exit_code == code


def test_a_file_that_changed_meanwhile_is_stale(run: Run, flow: Flow) -> None:
    flow.raises = Stale("lettaform.yaml has changed since it was read; no file was written", "run it again")
    assert run("pull", "-y").exit_code == 6
