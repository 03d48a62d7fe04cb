from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lettaform.address import Address
from lettaform.cli import cli
from lettaform.errors import ManifestError, Place, Problem
from lettaform.manifest.graph import Edge, Graph, Node

from .conftest import Flow, Run


def test_mermaid_is_the_default(run: Run, flow: Flow) -> None:
    result = run("graph", "agents.*", "blocks.b", "-e", "prod")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == 'flowchart LR\n  agents_a["agents.a"]\n'
    ((_, source, patterns),) = flow.calls
    assert (source.environment, patterns) == ("prod", ("agents.*", "blocks.b"))


def test_formats(run: Run, flow: Flow) -> None:
    assert run("graph", "--format", "dot").stdout.startswith('digraph "support" {')
    assert json.loads(run("graph", "--json").stdout)["nodes"][0]["address"] == "agents.a"
    assert "--format dot" in json.loads(run("graph", "--json", "--format", "dot").stdout)["error"]["message"]
    assert run("graph", "--format", "svg").stdout.startswith("<?xml")
    assert run("graph", "--format", "html").stdout.startswith("<!DOCTYPE html>")
    assert run("graph", "--format", "png").exit_code == 1


def test_a_graph_that_mermaid_does_not_show_is_printed_with_a_warning(run: Run, flow: Flow) -> None:
    agents = tuple(Node("agent", (Address.of("agents", f"a{number}"),)) for number in range(502))
    flow.drawn = Graph("s", agents, tuple(Edge(agents[0].first, each.first, ("x",)) for each in agents[1:]))
    result = run("graph")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1004)
    assert "at most 500 by default\n  → name a PATTERN, or run `lettaform graph --format svg`" in result.stderr
    assert run("graph", "--format", "dot").stderr == ""


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_problems(arguments: list[str], run: Run, flow: Flow) -> None:
    flow.raises = ManifestError([Problem("no such block", Place("a.yaml", 2, 3))])
    result = run("graph", *arguments)
    assert result.exit_code == 1
    assert "no such block" in result.stderr + result.stdout


@pytest.mark.parametrize(
    ("begun", "found"),
    [("agents.a.", "plain,agents.a.memory.human"), ("b", "plain,blocks.b"), ("x", "")],
)
def test_the_shell_completes_addresses(begun: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = {"_LETTAFORM_COMPLETE": "bash_complete", "COMP_WORDS": f"lettaform graph {begun}", "COMP_CWORD": "2"}
    assert CliRunner().invoke(cli, [], prog_name="lettaform", env=asked).stdout.strip() == ""
    (tmp_path / "lettaform.yaml").write_text("stack: s\nagents: {a: {memory: {human: x}}}\nblocks: {b: {value: x}}\n")
    assert CliRunner().invoke(cli, [], prog_name="lettaform", env=asked).stdout.strip() == found
