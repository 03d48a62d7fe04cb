"""`lettaform canary`: which plan is shown, asked for, saved and carried out, and how checks of both are printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lettaform.flow import CanaryOptions
from lettaform.model import Check, Checked, CheckResult, CheckRun, Turn

from .conftest import Flow, Run, a_plan, at

DOES = ("start", "promote", "remove")


@pytest.mark.parametrize("does", DOES)
def test_it_shows_the_plan_and_asks(does: str, flow: Flow, run: Run) -> None:
    done = run("canary", does, "clerk")
    assert done.exit_code == 1
    assert "agents.a" in done.stdout
    assert f"lettaform canary {does} -y clerk" in done.stderr
    assert flow.consents == [False]


@pytest.mark.parametrize("does", DOES)
def test_it_is_carried_out_and_reported(does: str, flow: Flow, run: Run) -> None:
    done = run("canary", does, "-y", "agents.clerk", "agents.b*")
    assert done.exit_code == 0
    assert flow.calls[0][0] == f"canary_{does}"
    assert flow.calls[0][3] == ("agents.clerk", "agents.b*")
    events = [json.loads(line) for line in run("canary", does, "clerk", "-y", "--json").stdout.splitlines()]
    assert events[-1]["event"] == "summary"
    assert run("canary", does, "clerk", "--json").exit_code == 1


@pytest.mark.parametrize("does", DOES)
def test_its_plan_is_saved_and_nothing_is_carried_out(does: str, flow: Flow, run: Run, tmp_path: Path) -> None:
    done = run("canary", does, "clerk", "-o", str(tmp_path / "p.json"), "--out", f"markdown={tmp_path / 'p.md'}")
    assert done.exit_code == 0
    assert "agents.a" in done.stdout
    assert "lettaform apply" in done.stderr
    assert (tmp_path / "p.json").read_text() == "saved"
    assert "agents.a" in (tmp_path / "p.md").read_text()
    assert flow.consents == []


def test_options_of_a_start(flow: Flow, run: Run) -> None:
    run("canary", "start", "clerk", "-y")
    run("canary", "start", "clerk", "-y", "--copies", "3", "--memory", "isolated", "--shared")
    assert [call[4] for call in flow.calls] == [CanaryOptions(), CanaryOptions(3, "isolated", shared=True)]
    asked = run("canary", "start", "clerk", "--copies", "3").stderr
    assert "lettaform canary start -y clerk --copies 3 --memory copy" in asked
    assert run("canary", "start", "clerk", "--copies", "0").exit_code == 1
    assert run("canary", "start").exit_code == 1


def test_an_empty_plan_asks_nothing(flow: Flow, run: Run) -> None:
    flow.planned = a_plan(empty=True)
    done = run("canary", "promote", "clerk")
    assert (done.exit_code, flow.consents) == (0, [])


def checked(*passed: bool) -> Checked:
    results = [
        CheckResult(
            Check("greets", (at(agent),), (Turn("hi"),)), at(agent), (CheckRun(failures=() if each else ("silent",)),)
        )
        for agent, each in zip(("agents.a", "agents.a@canary-1"), passed, strict=True)
    ]
    return Checked("support", "http://here", results=tuple(results))


@pytest.mark.parametrize(("passed", "code"), [((True, True), 0), ((False, True), 0), ((True, False), 3)])
def test_checks_of_the_canary_alone_decide(passed: tuple[bool, bool], code: int, flow: Flow, run: Run) -> None:
    flow.checked = checked(*passed)
    done = run("canary", "check", "a", "--check", "greets")
    assert done.exit_code == code
    assert "CHECK" in done.stdout
    assert 'agents["a@canary-1"] passes' in done.stdout
    (_, _, _, addresses, options) = flow.calls[0]
    assert (addresses, options.names, options.parallel) == (("a",), ("greets",), 4)
    found = json.loads(run("canary", "check", "--json").stdout)
    assert (found["exit_code"], found["compared"][0]["canary"]) == (code, 'agents["a@canary-1"]')


def test_the_comparison_is_written_to_files(flow: Flow, run: Run, tmp_path: Path) -> None:
    flow.checked = checked(True, False)
    files = {form: tmp_path / form for form in ("text", "json", "markdown", "junit")}
    out = [word for form, path in files.items() for word in ("--out", f"{form}={path}")]
    run("canary", "check", *out)
    assert all("canary" in path.read_text() for path in files.values())
