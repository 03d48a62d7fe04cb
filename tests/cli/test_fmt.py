from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from lettaform.cli import cli
from lettaform.errors import Place, Problem, Stale
from lettaform.manifest.formatted import Formatted, FormattedFile

from .conftest import Flow, Run

OLD, NEW = "stack:  s\nkey: hunter2\n", "stack: s\nkey: hunter2\n"
CARELESS = FormattedFile("a\x1b.yaml", Path("a.yaml"), OLD, NEW, frozenset({"hunter2"}))
CANONICAL = FormattedFile("b.yaml", Path("b.yaml"), "stack: s\n", "stack: s\n")
PROBLEM = Problem("invalid YAML", Place("c.yaml", 3, 4), "check the brackets")


@pytest.mark.parametrize(
    ("found", "arguments", "code"),
    [
        (Formatted((CARELESS, CANONICAL)), [], 0),
        (Formatted((CARELESS, CANONICAL)), ["--check"], 1),
        (Formatted((CANONICAL,)), ["--check"], 0),
        (Formatted((CARELESS,), (PROBLEM,)), [], 1),
    ],
)
def test_names_and_exit_codes(found: Formatted, arguments: list[str], code: int, run: Run, flow: Flow) -> None:
    flow.formatted = found
    result = run("fmt", "x.yaml", *arguments)
    assert (result.exit_code, result.stdout) == (code, "a␛.yaml\n" if CARELESS in found.files else "")
    assert ("at c.yaml:3:4" in result.stderr) is bool(found.problems)
    ((_, _, paths, write),) = flow.calls
    assert (paths, write) == ((Path("x.yaml"),), "--check" not in arguments)


def test_diff_shows_no_secret(run: Run, flow: Flow) -> None:
    flow.formatted = Formatted((CARELESS,))
    assert run("fmt", "--diff").stdout == (
        "a␛.yaml\n  @@ -1,2 +1,2 @@\n  - stack:  s\n  + stack: s\n    key: ‹secret›\n"
    )


@pytest.mark.parametrize("diff", [False, True])
def test_json(diff: bool, run: Run, flow: Flow) -> None:
    flow.formatted = Formatted((CARELESS, CANONICAL), (PROBLEM,))
    result = run("fmt", "--json", *["--diff"] * diff)
    found = json.loads(result.stdout)
    assert found["exit_code"] == result.exit_code == 1
    assert (found["files"], found["written"], found["format_version"]) == (2, True, "1.0")
    assert [set(each) for each in found["changed"]] == [{"file", "diff"} if diff else {"file"}]
    assert found["problems"][0]["line"] == 3
    assert "hunter2" not in result.stdout


def test_standard_input(flow: Flow) -> None:
    done = CliRunner().invoke(cli, ["fmt", "-"], input=b"stack:   s\r\n# \xc3\xa9")
    assert (done.exit_code, done.stdout_bytes) == (0, b"stack: s\r\n# \xc3\xa9\r\n")
    done = CliRunner().invoke(cli, ["fmt", "-", "--check"], input="stack:   s\n")
    assert (done.exit_code, done.stdout) == (1, "<stdin>\n")
    done = CliRunner().invoke(cli, ["fmt", "-", "--diff"], input="stack:   s\n")
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "  + stack: s")
    done = CliRunner().invoke(cli, ["fmt", "-"], input="a: [\n")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "<stdin>:2:1" in done.stderr


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("fmt - a.yaml", "cannot be combined"),
        ("fmt - --json", "add --check"),
        ("fmt -f a.yaml b.yaml", "leave FILE out"),
        ("fmt --server http://x", "--server"),
    ],
)
def test_arguments_that_contradict(line: str, words: str, run: Run, flow: Flow) -> None:
    result = run(*line.split())
    assert result.exit_code == 1
    assert words in result.stderr + result.stdout
    assert flow.calls == []


def test_a_file_that_changed_meanwhile_is_stale(run: Run, flow: Flow) -> None:
    flow.raises = Stale("a.yaml has changed since it was read; no file was written", "run it again")
    assert run("fmt").exit_code == 6


def test_pipelines_pass_the_same_options_to_all_verbs(run: Run, flow: Flow, tmp_path: Path) -> None:
    assert run("-C", str(tmp_path), "-e", "prod", "--var", "a=b", "fmt", "--check").exit_code == 0
