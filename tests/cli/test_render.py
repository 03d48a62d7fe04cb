"""`lettaform render`: options, output and exit codes."""

from __future__ import annotations

import json

from lettaform.errors import ManifestError, Place, Problem

from .conftest import Flow, Run


def test_yaml_is_the_default(run: Run, flow: Flow) -> None:
    result = run("render", "components.emea", "agents.*", "-e", "prod")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-2:] == ["# environment: prod", "stack: support"]
    ((_, source, patterns),) = flow.calls
    assert (source.environment, patterns) == ("prod", ("components.emea", "agents.*"))


def test_json(run: Run) -> None:
    found = json.loads(run("render", "--json").stdout)
    assert (found["stack"], found["environment"], found["objects"]) == ("support", "prod", [])


def test_problems(run: Run, flow: Flow) -> None:
    flow.raises = ManifestError([Problem("no such block", Place("a.yaml", 2, 3))])
    for arguments in ([], ["--json"]):
        result = run("render", *arguments)
        assert result.exit_code == 1
        assert "no such block" in result.stderr + result.stdout
