"""`from-lettactl`: arguments to calls, results to text and JSON, words that people bring along."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lettaform.errors import ManifestError, Place, Problem
from lettaform.lettactl.fleet import Options
from lettaform.model import Imported, NotDeclared

from .conftest import Flow, Run

LEFT = NotDeclared("agents.a.first_message", "no messages", place=Place("f.yaml", 3, 5), hint="send it")
WRITTEN = Imported(
    *("fleet", "out dir", ("lettaform.yaml", "imports.yaml"), {"agents": 1}, {"agents": 1}, {}),
    (LEFT, NotDeclared("agents.b.first_message", "no messages", place=Place("f.yaml", 9, 5), hint="send it")),
    {"shop_key": "agents.a", "token": "mcp_servers.m"},
    {},
    environment={"shop_key": "SHOP_KEY"},
    by_name={"agents.a": "a"},
)


def test_the_options(run: Run, flow: Flow, tmp_path: Path) -> None:
    assert run("from-lettactl", "a.yaml", "b.yaml", "-o", "out").exit_code == 0
    assert flow.calls[0][1:] == ([Path("a.yaml"), Path("b.yaml")], Path("out"), Options(), None, True)
    line = ["--stack", "s", "--root", "r", "--model", "a/b", "--embedding", "c/d", "--allow-secrets", "--no-fold"]
    assert run("-C", str(tmp_path), "from-lettactl", "a.yaml", "-o", "out", *line).exit_code == 0
    options = Options("a/b", "c/d", tmp_path / "r", True)
    assert flow.calls[1][1:] == ([tmp_path / "a.yaml"], tmp_path / "out", options, "s", False)


def test_what_was_written_and_what_was_not(run: Run, flow: Flow) -> None:
    flow.imported = WRITTEN
    assert run("from-lettactl", "f.yaml", "-o", "out").stdout == (
        "Wrote 2 files to out dir: stack `fleet`.\n"
        "  agents: 1\n"
        "Not declared:\n"
        "  agents.a.first_message (f.yaml:3:5), agents.b.first_message (f.yaml:9:5): no messages\n"
        "    → send it\n"
        "Secrets are variables: set LETTAFORM_VAR_token, SHOP_KEY.\n"
        "Next: `lettaform plan -C 'out dir'` shows what it adopts by name, changes and creates.\n"
        "`lettaform apply -C 'out dir'` does it.\n"
    )
    shown = json.loads(run("from-lettactl", "f.yaml", "-o", "out", "--json").stdout)
    assert shown["not_declared"][0] == {
        "what": "agents.a.first_message",
        "reason": "no messages",
        "hint": "send it",
        "file": "f.yaml",
        "line": 3,
        "column": 5,
    }
    assert shown["adopted_by_name"] == [{"address": "agents.a", "name": "a"}]
    assert (shown["variables"], shown["environment"]) == (["shop_key", "token"], {"shop_key": "SHOP_KEY"})


def test_every_line_of_a_file_is_named(run: Run, flow: Flow) -> None:
    left = tuple(NotDeclared(f"agents.{n}.lettabot", "no", place=Place("f.yaml", n, 1)) for n in range(1, 9))
    flow.imported = Imported("s", "out", (), {}, {}, {}, left, {}, {})
    assert all(f"(f.yaml:{n}:1)" in run("from-lettactl", "f.yaml", "-o", "out").stdout for n in range(1, 9))


def test_problems_are_shown_with_their_lines(run: Run, flow: Flow, tmp_path: Path) -> None:
    file = tmp_path / "f.yaml"
    file.write_text("agents: 5\n")
    flow.raises = ManifestError([Problem("agents: expected a list, got the number 5", Place(str(file), 1, 9))])
    result = run("from-lettactl", str(file), "-o", "out")
    assert result.exit_code == 1
    assert "1 │ agents: 5" in result.stderr


@pytest.mark.parametrize("line", [["-o", "out"], ["a.yaml"]])
def test_it_needs_files_and_a_folder(line: list[str], run: Run, flow: Flow) -> None:
    assert run("from-lettactl", *line).exit_code == 1
    assert flow.calls == []


@pytest.mark.parametrize("word", ["lettactl", "convert"])
def test_who_looks_for_lettactl_finds_the_verb(word: str, run: Run) -> None:
    assert "`lettaform from-lettactl FILE -o DIR`" in run(word).stderr
