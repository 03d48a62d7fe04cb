from __future__ import annotations

from pathlib import Path

import pytest

from lettaform.errors import Guarded, LettaformError, ManifestError, Place, PlanError, Problem, Stale
from lettaform.render import problems

from .samples import HOSTILE


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_source_lines_with_a_caret_and_a_hint(here: Path) -> None:
    (here / "lettaform.yaml").write_text("agents:\n  boss:\n    blocks: [organisation]\n    tools: []\n")
    problem = Problem("no block `organisation`", Place("lettaform.yaml", 3, 14), "did you mean `organization`?")
    assert problems.problem(problem) == (
        "Error: no block `organisation`\n"
        "  at lettaform.yaml:3:14\n"
        "  2 │   boss:\n"
        "  3 │     blocks: [organisation]\n"
        "    │              ^\n"
        "  4 │     tools: []\n"
        "  → did you mean `organization`?\n"
    )


@pytest.mark.parametrize(
    ("source", "place", "lines"),
    [
        ("x: 1", (1, 4), ["  1 │ x: 1", "    │    ^"]),
        ("\tx: 1", (1, 2), ["  1 │   x: 1", "    │   ^"]),
        ("世界: 1\n", (1, 5), ["  1 │ 世界: 1", "    │       ^"]),
        ("a\r\nb\r\n", (2, 1), ["  1 │ a", "  2 │ b", "    │ ^"]),
        ("a\x1b[2J: 1", (1, 2), ["  1 │ a␛[2J: 1", "    │  ^"]),
        ("x: 1", (1, 99), ["  1 │ x: 1", "    │     ^"]),
        ("x: 1", (2, 1), []),
        ("x: 1", (0, 0), []),  # the path of a value in memory
    ],
)
def test_the_caret_points_at_the_column(here: Path, source: str, place: tuple[int, int], lines: list[str]) -> None:
    (here / "a.yaml").write_bytes(source.encode())
    shown = problems.problem(Problem("wrong", Place("a.yaml", *place))).splitlines()
    assert shown == ["Error: wrong", f"  at {Place('a.yaml', *place)}", *lines]


def test_a_long_line_is_cut_around_the_caret(here: Path) -> None:
    (here / "a.yaml").write_text("x" * 500 + "!" + "y" * 500)
    *_, line, caret = problems.problem(Problem("wrong", Place("a.yaml", 1, 501))).splitlines()
    assert len(line) < 120
    assert line[caret.index("^")] == "!"


@pytest.mark.parametrize("file", ["missing.yaml", ".", "a\0b", "x" * 5000])
def test_no_source_lines_without_a_readable_file(here: Path, file: str) -> None:
    assert len(problems.problem(Problem("wrong", Place(file, 1, 1))).splitlines()) == 2


def test_at_most_fifty_problems_are_shown() -> None:
    many = ManifestError([Problem(f"problem {number}", Place("a.yaml", number, 1)) for number in range(1, 64)])
    shown = problems.error(many, read=lambda file: None)
    assert "problem 50\n" in shown
    assert "problem 51\n" not in shown
    assert shown.endswith("\n… and 13 more\n\n63 problems.\n")


def test_a_file_is_read_once_for_all_its_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(problems, "_lines", lambda file: read.append(file))
    problems.error(ManifestError([Problem(str(n), Place("a.yaml", n, 1)) for n in range(1, 10)]))
    assert read == ["a.yaml"]


def test_errors_without_a_place() -> None:
    assert problems.error(LettaformError("no answer", "is it running?")) == "Error: no answer\n  → is it running?\n"
    assert problems.error(ManifestError([Problem("empty", severity="warning")])) == "Warning: empty\n"


def test_a_plan_error_shows_each_problem_and_each_hint_once() -> None:
    place = Place("a.yaml", 1, 1)
    found = [Problem("agents.a is protected", place, "--allow-destroy agents.a"), Problem("b, too", hint="see a")]
    error = Guarded("it would destroy", "--allow-destroy agents.a", found)
    assert problems.error(error, read=lambda file: None) == (
        "Error: it would destroy\n\n"
        "Error: agents.a is protected\n  at a.yaml:1:1\n  → --allow-destroy agents.a\n\n"
        "Error: b, too\n  → see a\n"
    )
    assert problems.error(PlanError("alone", None, [Problem("alone", hint="x")])) == "Error: alone\n  → x\n"


def test_problems_without_a_place_are_shown_as_a_list() -> None:
    error = Stale("it no longer fits", "plan again", [Problem("agents.a moved"), Problem("agents.b is gone", hint="x")])
    assert problems.error(error) == (
        "Error: it no longer fits\n  - agents.a moved\n  - agents.b is gone (x)\n  → plan again\n"
    )
    many = Stale("it no longer fits", problems=[Problem(f"moved {number}") for number in range(60)])
    assert problems.error(many).endswith("  - moved 49\n  … and 10 more\n")


def test_hostile_messages_are_cleaned() -> None:
    shown = problems.error(ManifestError([Problem(HOSTILE, Place(HOSTILE, 1, 1), HOSTILE)]))
    shown += problems.error(LettaformError(HOSTILE, HOSTILE))
    assert not set(shown) & set("\x1b\x07\x9b\u202e\r\u200b\x7f\ud800\U000e0041")


def test_colour() -> None:
    shown = problems.error(ManifestError([Problem("wrong", hint="right")]), color=True)
    assert shown == "\x1b[1;31mError:\x1b[0m \x1b[1mwrong\x1b[0m\n  \x1b[32m→\x1b[0m right\n"
