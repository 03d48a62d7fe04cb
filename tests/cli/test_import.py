"""`import ADDRESS ID` and `import --all`: arguments to calls, results to text and JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lettaform.address import Address
from lettaform.model import Change, Imported, NotDeclared
from lettaform.ownership.unowned import Filter

from .conftest import Flow, Run

FOUND = Imported(
    "fleet",
    "out dir",
    ("imports.yaml", "lettaform.yaml"),
    {"agents": 12, "blocks": 1},
    {"agents": 2, "blocks": 1},
    {"agents.w[a]": "agent-1"},
    (
        *(NotDeclared(f"tool `t{number}`", "the server has no source of it", f"tool-{number}") for number in range(7)),
        NotDeclared("agents.x\x1b", "`name` is left as it is: no"),
    ),
    {"api_key": "agents.x: secrets.API_KEY"},
    {"other": 3},
    21,
)


def test_one_object(run: Run, flow: Flow) -> None:
    adopted = Change(Address.read("agents.a"), "agent", "adopt", "agent-1")
    flow.planned = replace(flow.planned, changes=(adopted,))
    done = run("import", "agents.a", "agent-1")
    assert done.exit_code == 0
    assert done.stdout == (
        "  > agents.a adopted (agent-1)\n\nImported: 1 object. `lettaform plan` shows what differs.\n"
    )
    assert flow.calls[0][0] == "adopt"
    assert flow.calls[0][3:] == ("agents.a", "agent-1")


def test_the_options_of_all(run: Run, flow: Flow, tmp_path: Path) -> None:
    assert run("import", "--all", "-o", "ops", "--stack", "s", "--no-fold", "--no-conversations").exit_code == 0
    name, _, _, folder, options = flow.calls[0]
    assert (name, folder) == ("import_all", Path("ops"))
    assert (options.stack, options.only, options.fold, options.without) == ("s", Filter(), False, ("conversation",))
    line = ["--name", "a", "--name", "b", "--match", "w-*", "--tag", "t", "--id", "agent-1"]
    assert run("-C", str(tmp_path), "import", "-o", "ops", *line).exit_code == 0
    assert flow.calls[1][3] == tmp_path / "ops"
    assert flow.calls[1][4].only == Filter(("a", "b"), ("t",), ("w-*",), ("agent-1",))
    assert flow.calls[1][4].fold


def test_what_was_written(run: Run, flow: Flow) -> None:
    flow.imported = FOUND
    assert run("import", "--all", "-o", "x").stdout == (
        "Wrote 2 files to out dir: stack `fleet`.\n"
        "  agents: 12, in 2 declarations\n"
        "  blocks: 1\n"
        "Left to stack `other`: 3 objects.\n"
        "Not declared:\n"
        "  tool `t0`, tool `t1`, tool `t2`, tool `t3`, tool `t4` and 2 more: the server has no source of it\n"
        "  agents.x␛: `name` is left as it is: no\n"
        "Secrets are variables: set LETTAFORM_VAR_api_key.\n"
        "Next: `lettaform apply -C 'out dir'` adopts the objects, and changes nothing else.\n"
    )
    assert "tool `t6`" in run("import", "--all", "-o", "x", "-v").stdout


def test_what_was_written_as_json(run: Run, flow: Flow) -> None:
    flow.imported = FOUND
    shown = json.loads(run("import", "--all", "-o", "x", "--json").stdout)
    assert shown["objects"] == {"agents": 12, "blocks": 1}
    assert shown["adopted"] == [{"address": "agents.w[a]", "id": "agent-1"}]
    assert shown["not_declared"][0] == {"what": "tool `t0`", "reason": "the server has no source of it", "id": "tool-0"}
    assert (shown["requests"], shown["variables"]) == (21, ["api_key"])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["import"], "expected ADDRESS and ID, or --all -o DIR"),
        (["import", "agents.a"], "expected ADDRESS and ID, or --all -o DIR"),
        (["import", "--all"], "-o DIR is required"),
        (["import", "--name", "a"], "-o DIR is required"),
        (["import", "agents.a", "agent-1", "--all", "-o", "x"], "cannot be combined with --all"),
        (["import", "agents.a", "agent-1", "-o", "x"], "-o needs --all or a filter"),
        (["import", "agents.a", "agent-1", "--no-fold"], "--no-fold needs --all or a filter"),
    ],
)
def test_arguments_of_neither_form_are_errors(line: list[str], message: str, run: Run, flow: Flow) -> None:
    result = run(*line)
    assert result.exit_code == 1
    assert message in result.stderr
    assert flow.calls == []
