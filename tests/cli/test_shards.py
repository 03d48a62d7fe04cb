"""`--shard`, `--wait`, and the locks of several shards."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lettaform.model import WHOLE, Lock, PlanOptions, Shard
from tests.cli.conftest import Flow, Run, at

SHARD = Shard(3, 16)
ONE = Lock("identity-1", "ann@here (pid 1)", "2026-01-01T00:00:00Z", shard=Shard(0, 16))
TWO = replace(ONE, id="identity-2", holder="bob@\x1b[2Jci", run="run 9", shard=SHARD)


@pytest.mark.parametrize("line", ["plan", "apply -y", "destroy -y", "drift", "plan --refresh-only"])
@pytest.mark.parametrize("environment", [False, True])
def test_a_shard_is_given_to_the_verb(
    run: Run, flow: Flow, line: str, environment: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = line.split()
    if environment:
        monkeypatch.setenv("LETTAFORM_SHARD", "3/16")
    else:
        words += ["--shard", "3/16"]
    assert run(*words).exit_code in (0, 2), run(*words).output
    options = next(each for each in flow.calls[0] if isinstance(each, PlanOptions))
    assert options.shard == SHARD


def test_a_shard_is_given_to_status(run: Run, flow: Flow) -> None:
    assert run("status", "--shard", "3/16").exit_code == 0
    assert flow.calls[0][-1].shard == SHARD


def test_without_a_shard_it_is_the_whole_stack(run: Run, flow: Flow) -> None:
    run("plan")
    run("plan", "--shard", "0/1")
    assert [call[-1].shard for call in flow.calls] == [WHOLE, WHOLE]


@pytest.mark.parametrize("text", ["3", "16/16", "-1/4", "a/b", "1/0", "3/16/2"])
@pytest.mark.parametrize("verb", ["plan", "status"])
def test_what_is_no_shard_is_refused(run: Run, verb: str, text: str) -> None:
    result = run(verb, f"--shard={text}")
    assert result.exit_code == 1
    assert f"'{text}' is no shard; write K/N, such as 3/16, with K from 0 to N-1" in " ".join(result.stderr.split())


def test_an_apply_waits_for_other_shards(run: Run, flow: Flow) -> None:
    run("apply", "-y", "--shard", "3/16", "--wait", "90")
    assert flow.waited == 90


def test_the_command_that_is_suggested_has_the_shard(run: Run) -> None:
    result = run("apply", "--shard", "3/16", "--wait", "90")
    assert "lettaform apply -y --shard 3/16 --wait 90" in result.stderr


def test_a_saved_plan_is_checked_against_the_shard(run: Run, flow: Flow, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    saved.write_text("{}")
    run("apply", "-y", str(saved), "--shard", "3/16")
    assert flow.shard == SHARD
    refused = run("apply", "-y", str(saved), "--wait", "3")
    assert "--wait cannot be combined with a saved plan" in refused.stderr


def test_the_plan_of_a_shard_says_so(run: Run, flow: Flow) -> None:
    waiting = {at("agents.a"): (at("blocks.b"),)}
    flow.planned = replace(flow.planned, options=PlanOptions(shard=SHARD), waiting=waiting)
    assert "shard 3/16" in run("plan").stdout
    shown = json.loads(run("plan", "--json").stdout)
    assert (shown["shard"], shown["waiting"]) == ("3/16", {"agents.a": ["blocks.b"]})
    assert "3/16" in run("plan", "--format", "markdown").stdout
    assert "3/16" in run("plan", "--format", "html").stdout


def test_the_drift_and_the_status_of_a_shard_say_so(run: Run, flow: Flow) -> None:
    flow.drifted = replace(flow.drifted, shard=SHARD)
    assert "shard 3/16" in run("drift").stdout
    assert json.loads(run("drift", "--json").stdout)["shard"] == "3/16"
    flow.statuses = [replace(each, shard=SHARD) for each in flow.statuses if not isinstance(each, BaseException)]
    assert "shard 3/16" in run("status").stdout
    assert json.loads(run("status", "--json").stdout)["shard"] == "3/16"


# --- locks -----------------------------------------------------------------------------------------------------------


def test_locks_are_listed(run: Run, flow: Flow) -> None:
    assert run("lock", "show").stdout == "The stack is not locked.\n"
    assert json.loads(run("--json", "lock", "show").stdout) == {"locks": []}
    flow.locks = [ONE, TWO]
    assert run("lock", "show").stdout.splitlines() == [
        "Shard 0/16: locked by ann@here (pid 1) since 2026-01-01T00:00:00Z",
        "Shard 3/16: locked by bob@␛[2Jci since 2026-01-01T00:00:00Z, run run 9",
    ]
    found = json.loads(run("--json", "lock", "show").stdout)["locks"]
    assert [(each["shard"], each["id"]) for each in found] == [("0/16", "identity-1"), ("3/16", "identity-2")]
    flow.locks = [replace(ONE, shard=WHOLE)]
    assert run("lock", "show").stdout == "Locked by ann@here (pid 1) since 2026-01-01T00:00:00Z\n"


def test_one_of_several_locks_is_released(run: Run, flow: Flow) -> None:
    flow.locks = [ONE, TWO]
    result = run("lock", "release", "-y")
    assert result.exit_code == 1
    assert "2 locks are held: 0/16, 3/16" in result.stderr
    assert "name one of them with `--shard`" in result.stderr
    assert run("lock", "release", "-y", "--shard", "3/16").exit_code == 0
    assert flow.calls[-1][-1] == TWO
    assert "shard 1/16 is not locked" in run("lock", "release", "-y", "--shard", "1/16").stderr
    flow.locks = [ONE]
    assert run("lock", "release", "-y").exit_code == 0
    assert flow.calls[-1][-1] == ONE
    assert "there is no terminal to ask on" in run("lock", "release").stderr
    flow.locks = []
    assert "the stack is not locked" in run("lock", "release", "-y").stderr
