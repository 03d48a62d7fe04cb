"""`lettaform migrate`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lettaform.model import Change, FieldChange, Verified
from tests.cli.conftest import Flow, Run, at

BETWEEN = ("--from", "http://old", "--to", "http://new")
BLOCK = Change(at("blocks.team"), "block", "update", "block-1", fields_changed=(FieldChange("value", "Ann", "Bob"),))


def test_migrate_passes_its_arguments_on(run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEW_KEY", "k")
    words = ("migrate", "-y", *BETWEEN, "--to-key-env", "NEW_KEY", "agents.*", "--parallel", "3", "--lock-timeout", "5")
    result = run(*words)
    assert (result.exit_code, result.stderr) == (0, "")
    ((name, source, first, second, addresses, parallel),) = flow.calls
    assert (name, source.directory, addresses, parallel) == ("migrate", Path(), ("agents.*",), 3)
    assert [(each.url, each.token, each.patience) for each in (first, second)] == [
        *(("http://old", None, 5.0), ("http://new", "k", 5.0))
    ]
    assert flow.consents == [True]


def test_both_servers_are_named(run: Run) -> None:
    assert "Missing option '--from'" in run("migrate", "--to", "http://new").stderr
    assert "`migrate` does not accept --server" in run("--server", "http://x", "migrate", *BETWEEN).stderr


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("sk-let-hunter22", "expected the name of an environment variable, and not the key"),
        ("NOT_SET_HUNTER22", "no environment variable has this name, or it is empty"),
    ],
)
def test_a_key_is_given_by_the_name_of_its_variable_and_never_repeated(
    run: Run, flow: Flow, value: str, message: str
) -> None:
    result = run("migrate", *BETWEEN, "--from-key-env", value)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "hunter22" not in result.output.lower()
    assert flow.calls == []


def test_without_a_terminal_the_question_is_an_error_that_names_the_command(
    run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLD_KEY", "k")
    result = run("migrate", "agents.worker[x]", *BETWEEN, "--from-key-env", "OLD_KEY", "--snapshot-dir", "kept")
    command = "lettaform migrate -y 'agents.worker[x]' --from http://old --to http://new --from-key-env OLD_KEY"
    assert result.exit_code == 1
    assert f"`{command} --snapshot-dir kept`" in result.stderr
    assert flow.consents == [False]


def test_the_question(run: Run, flow: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lettaform.cli.can_ask", lambda: True)
    assert "Carry out this change? [y/N]" in run("migrate", *BETWEEN, input="n\n").stderr
    assert run("migrate", *BETWEEN, input="y\n").exit_code == 0
    assert flow.consents == [False, True]


@pytest.mark.parametrize(
    ("found", "code", "texts"),
    [
        (Verified(), 0, ["Verified: both servers are as in the snapshot."]),
        (Verified((BLOCK,)), 5, ["Not on http://here as in the snapshot:", "~ blocks.team"]),
        (Verified(moved=(BLOCK,)), 6, ["Changed since on the server that they come from:", "~ blocks.team"]),
        (Verified(error="no answer"), 5, ["Not verified: no answer. Run the same command again."]),
    ],
)
def test_the_comparison_is_shown_and_decides_the_exit_code(
    run: Run, flow: Flow, found: Verified, code: int, texts: list[str]
) -> None:
    flow.verified = found
    result = run("migrate", "-y", *BETWEEN)
    assert result.exit_code == code
    assert [each for each in texts if each not in result.stdout] == []
    lines = [json.loads(line) for line in run("migrate", "-y", "--json", *BETWEEN).stdout.splitlines()]
    verified = lines[-1]["verified"]
    assert lines[-1]["exit_code"] == code
    assert [len(verified[key]) for key in ("differences", "moved")] == [len(found.differences), len(found.moved)]
