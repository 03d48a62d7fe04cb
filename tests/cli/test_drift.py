from __future__ import annotations

import json

import jsonschema
import pytest

from lettaform.errors import PlanError, Unavailable
from lettaform.flow import PlanOptions
from lettaform.render.drift_schema import drift_schema

from .conftest import Flow, Run, a_drift


@pytest.mark.parametrize(("empty", "code"), [(True, 0), (False, 2)])
def test_the_exit_code_says_whether_an_apply_would_write_something_back(
    empty: bool, code: int, run: Run, flow: Flow
) -> None:
    flow.drifted = a_drift(empty=empty)
    assert run("drift").exit_code == code
    result = run("drift", "--json")
    assert result.exit_code == code
    shown = json.loads(result.stdout)
    jsonschema.validate(shown, drift_schema())
    assert shown["drift"] is not empty


def test_options_are_passed_on(run: Run, flow: Flow) -> None:
    run("drift", "--target", "agents.*", "--exclude", "agents.b", "--exclude", "agents.c")
    ((verb, _, _, options),) = flow.calls
    assert verb == "drift"
    assert options == PlanOptions(target=("agents.*",), exclude=("agents.b", "agents.c"))


@pytest.mark.parametrize("form", [(), ("-v",), ("--json",), ("--no-color",)])
def test_plan_refresh_only_prints_the_same(form: tuple[str, ...], run: Run, flow: Flow) -> None:
    expected = run("drift", "--target", "blocks.a", *form).stdout
    for spelled in ("--refresh-only", "-refresh-only"):
        assert run("plan", spelled, "--target", "blocks.a", *form).stdout == expected
    assert (
        run("plan", "--refresh-only", "--target", "blocks.a", "--format", "json").stdout
        == run("drift", "--json").stdout
    )
    assert {call[0] for call in flow.calls} == {"drift"}


def test_plan_refresh_only_exits_as_plan_does(run: Run, flow: Flow) -> None:
    assert run("plan", "--refresh-only").exit_code == 0
    assert run("plan", "--refresh-only", "--detailed-exitcode").exit_code == 2
    flow.drifted = a_drift(empty=True)
    assert run("plan", "--refresh-only", "--detailed-exitcode").exit_code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--prune"],
        ["--reseed", "x"],
        ["--ours", "x"],
        ["--theirs", "x"],
        ["--allow-destroy", "x"],
        ["--without-messages", "x"],
        ["-o", "plan.json"],
    ],
)
def test_options_of_changes_have_no_place_beside_refresh_only(words: list[str], run: Run, flow: Flow) -> None:
    result = run("plan", "--refresh-only", *words)
    assert (result.exit_code, flow.calls) == (1, [])
    assert f"--refresh-only plans no change; it cannot be combined with {words[0]}" in result.stderr


@pytest.mark.parametrize("error", [Unavailable("no answer"), PlanError("no object has the address `x`")])
def test_errors_are_those_of_other_verbs(error: Exception, run: Run, flow: Flow) -> None:
    flow.raises = error
    result = run("drift")
    assert (result.exit_code, result.stdout) == (1, "")
    assert json.loads(run("drift", "--json").stdout)["error"]["exit_code"] == 1


def test_the_schema_of_drift(run: Run) -> None:
    assert json.loads(run("schema", "drift").stdout) == drift_schema()
