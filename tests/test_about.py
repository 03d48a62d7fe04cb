"""`--help` and `version`: as `cli` prints them, and before anything is imported."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from lettaform import __version__, about
from lettaform.cli import cli


def lettaform(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lettaform", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_the_help_is_that_of_cli(option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    ours = about.answer([option])
    theirs = CliRunner().invoke(cli, ["--help"], prog_name="lettaform", terminal_width=78).stdout
    assert ours == theirs
    assert theirs.isascii(), "every terminal can represent it"


@pytest.mark.parametrize(("columns", "width"), [("60", 60), ("79", 79), ("80", None), ("200", None), ("x", None)])
def test_a_narrow_terminal_gets_narrow_lines(columns: str, width: int | None) -> None:
    done = lettaform("--help", COLUMNS=columns)
    assert (done.returncode, done.stderr) == (0, "")
    assert (done.stdout == Path(about.HELP).read_text("utf-8")) == (width is None)
    assert done.stdout.startswith("Usage: lettaform ")


def test_the_width_is_that_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((70, 24)))
    monkeypatch.setattr(sys.stdout, "fileno", lambda: 1, raising=False)
    assert about.answer(["--help"]) is None
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((0, 0)))
    assert about.answer(["--help"])


def test_the_versions() -> None:
    assert about.versions() == {
        "version": __version__,
        "python": platform.python_version(),
        "system": platform.system(),
    }
    assert about.answer(["version"]) == about.answer(["--version"]) == f"{about.line()}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["plan", "--help"], ["version", "--help"], ["version", "--json"], ["--help", "plan"], ["plan"]]
)
def test_everything_else_is_for_cli(arguments: list[str]) -> None:
    assert about.answer(arguments) is None


@pytest.mark.parametrize("argument", ["--help", "version"])
def test_the_process_imports_nothing_for_it(argument: str) -> None:
    script = (
        "import sys, runpy\nbefore = {*sys.modules}\nsys.argv = ['lettaform', sys.argv[1]]\n"
        "runpy.run_module('lettaform', run_name='__main__')\nprint(*sorted({*sys.modules} - before), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script, argument], capture_output=True, text=True, check=True)
    assert done.stdout
    assert {*done.stderr.split()} <= {"__future__", "lettaform", "lettaform.about"}


def test_the_reader_of_the_output_may_have_ended() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "lettaform", "--help"], stdout=write, stderr=subprocess.PIPE, text=True
        )
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (1, "")
