from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from lettaform.errors import Problem
from lettaform.model import AgentChange
from lettaform.plan.saved import approval
from lettaform.render.data import plan_schema
from lettaform.values import Secret

from .conftest import Flow, Run, a_plan, at


def test_a_plan_as_text(run: Run) -> None:
    assert run("plan").stdout == (
        "Stack support · http://here · Letta 0.16.8\n\n"
        '  + agents.a\n      name  "a"\n\n'
        "Plan: 1 to create, 0 to change, 0 to destroy.\n"
        f"Digest: {approval(a_plan())}\n"
    )


@pytest.mark.parametrize("line", [["plan", "--json"], ["plan", "--format", "json"], ["--json", "plan"]])
def test_a_plan_as_json(line: list[str], run: Run) -> None:
    result = run(*line)
    jsonschema.validate(json.loads(result.stdout), plan_schema())
    assert result.stderr == ""


def test_notices_and_warnings_are_printed_on_stderr_beside_json(run: Run, flow: Flow) -> None:
    moved = AgentChange(at("agents.a.memory.b"), "value", "block-1", seed_moved=True)
    flow.planned = a_plan(empty=True, runtime=(moved,), warnings=(Problem("careful"),))
    result = run("plan", "--json", "--detailed-exitcode")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["changes"] == []
    assert "`lettaform apply --reseed agents.a.memory.b` overwrites it" in result.stderr
    assert "Warning: careful" in result.stderr


@pytest.mark.parametrize(("empty", "code"), [(True, 0), (False, 2)])
def test_detailed_exitcode_and_complete_output(empty: bool, code: int, run: Run, flow: Flow) -> None:
    flow.planned = a_plan(empty=empty)
    assert run("plan").exit_code == 0
    result = run("plan", "--json", "--detailed-exitcode")
    assert result.exit_code == code
    assert json.loads(result.stdout)["stack"] == "support"


def test_options_are_passed_on(run: Run, flow: Flow) -> None:
    run(
        *("plan", "--prune", "--target", "agents.*", "--target", "blocks.a", "--exclude", "agents.b"),
        *("--reseed", "agents.a.memory.x", "--allow-destroy", "agents.c", "--ignore-limits"),
    )
    options = flow.calls[0][3]
    assert options.prune
    assert options.ignore_limits
    assert not options.destroy
    assert options.target == ("agents.*", "blocks.a")
    assert options.exclude == ("agents.b",)
    assert options.reseed == ("agents.a.memory.x",)
    assert options.allow_destroy == ("agents.c",)


def test_saving_a_plan(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "plan.json"
    result = run("plan", "-o", str(file), "--json")
    assert file.read_text() == "saved"
    json.loads(result.stdout)
    assert "To apply exactly this plan, run `lettaform apply" in result.stderr


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("plain", "It needs no manifest and no variables."),
        (
            Secret("${var.key}", "x"),
            "It needs no manifest and no variables but the secrets that it writes: ${var.key}.",
        ),
        (
            Secret("literal", "x"),
            "It needs the manifest, in which a secret stands in clear: the plan holds no secrets.",
        ),
    ],
)
def test_saving_says_what_the_apply_needs(value: Any, says: str, run: Run, flow: Flow, tmp_path: Path) -> None:
    (step,) = flow.planned.steps
    flow.planned = replace(flow.planned, steps=(replace(step, fields={"secrets": {"KEY": value}}),))
    assert says in run("plan", "-o", str(tmp_path / "plan.json")).stderr


def test_contradicting_formats_are_an_error(run: Run, flow: Flow) -> None:
    assert run("plan", "--json", "--format", "text").exit_code == 1
    assert flow.calls == []


@pytest.mark.parametrize("cost", [False, True])
def test_cost_lets_the_server_count(cost: bool, run: Run, flow: Flow) -> None:
    assert run("plan", *["--cost"] * cost).exit_code == 0
    assert flow.counts_tokens is cost


def test_cost_is_no_option_of_refresh_only(run: Run) -> None:
    result = run("plan", "--refresh-only", "--cost")
    assert (result.exit_code, "cannot be combined with --cost" in result.stderr) == (1, True)
