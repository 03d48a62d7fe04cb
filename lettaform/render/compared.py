"""The results of checks on agents and their canaries to text, Markdown, JUnit and JSON, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Any

from lettaform.model import CheckResult, Compared
from lettaform.render import checks, table
from lettaform.render.clean import clean_line
from lettaform.render.markdown import code
from lettaform.render.paint import Paint
from lettaform.render.table import Cell, Column
from lettaform.render.text import seconds

_COLUMNS = (
    Column("CHECK", least=12, most=40),
    Column("AGENT", least=14, most=60),
    Column("RESULT"),
    Column("PASSED", rank=1),
    Column("TIME", rank=2),
    Column("STEPS", rank=4),
    Column("TOKENS", rank=3),
)


def text(found: Compared, *, color: bool = False, verbose: bool = False, width: int | None = None) -> str:
    """A table with a row for each check and agent, what is not as expected, and a summary.

    verbose  also the conversations, in full
    width    number of characters of a line; None: no limit
    """
    paint = Paint(color)
    rows = [_cells(original, copy) for original, copy in found.pairs]
    lines = table.lines(_COLUMNS, rows, paint, width) if rows else []
    details = checks.text(found.checked, color=color, verbose=verbose)
    return "\n".join([*lines, *([""] if lines else []), details.rstrip("\n"), *_sentences(found)]) + "\n"


def _cells(original: CheckResult, copy: CheckResult) -> list[Cell]:
    meaning = checks.MEANINGS[copy.status]
    status, *numbers = _both(original, copy)
    names = [Cell(clean_line(original.check.name)), Cell(clean_line(str(original.agent)))]
    return [*names, Cell(status, meaning), *map(Cell, numbers)]


def _both(original: CheckResult, copy: CheckResult) -> list[str]:
    """Result, passed runs, and medians of time, steps and tokens: of the agent, and of its canary."""
    both = (_values(original), _values(copy))
    return [f"{one} → {other}" for one, other in zip(*both, strict=True)]


def _values(result: CheckResult) -> list[str]:
    passed = f"{sum(run.passed for run in result.runs)}/{len(result.runs)}"
    took, steps, tokens = _medians(result)
    return [result.status, passed, seconds(took), f"{steps:g}", f"{tokens:g}"]


def _medians(result: CheckResult) -> tuple[float, float, float]:
    """The medians of seconds, steps and tokens of the runs."""
    runs = result.runs
    return median(r.seconds for r in runs), median(r.steps for r in runs), median(r.tokens for r in runs)


def _sentences(found: Compared) -> Iterator[str]:
    """What is said about each canary: how many checks it passes, and how many its agent does."""
    for agent, copy in found.copies.items():
        pairs = [pair for pair in found.pairs if pair[0].agent == agent]
        if pairs:
            passed = [sum(each.status == "passed" for each in side) for side in zip(*pairs, strict=True)]
            line = f"{copy} passes {passed[1]} of {len(pairs)} checks; {agent} passes {passed[0]}."
            yield clean_line(line)


# --- Markdown and JUnit ----------------------------------------------------------------------------------------------


def markdown(found: Compared) -> str:
    """A table that compares, and then the results of both as `check` prints them. Texts of agents stand in code."""
    lines = ["### Canary and agent", ""]
    lines += [f"{code(line)}\n" for line in _sentences(found)]
    lines += ["| check | agent | result | passed | time | steps | tokens |", "|---|---|---|---|---|---|---|"]
    rows, more = checks.fitting([[_row(*pair)] for pair in found.pairs], checks.ROWS // 2)
    lines += [*rows, *(["", f"… and {more} more"] if more else [])]
    return "\n".join(lines) + "\n\n" + checks.markdown(found.checked)


def _row(original: CheckResult, copy: CheckResult) -> str:
    names: Sequence[str] = (original.check.name, str(original.agent))
    return f"| {' | '.join([*map(checks.cell, names), *_both(original, copy)])} |"


def junit(found: Compared) -> str:
    """The XML of JUnit: a test case for each check of an agent, and of its canary."""
    return checks.junit(found.checked)


# --- JSON ------------------------------------------------------------------------------------------------------------


def to_data(found: Compared) -> dict[str, Any]:
    """The object that `canary check --json` prints: that of `check --json`, with what compares both."""
    pairs = [
        {
            "check": original.check.name,
            "agent": str(original.agent),
            "canary": str(copy.agent),
            "agent_result": _result(original),
            "canary_result": _result(copy),
        }
        for original, copy in found.pairs
    ]
    return {**checks.to_data(found.checked), "compared": pairs, "exit_code": found.exit_code}


def _result(result: CheckResult) -> dict[str, Any]:
    took, steps, tokens = _medians(result)
    return {
        "status": result.status,
        "rate": round(result.rate, 4),
        "median_seconds": round(took, 3),
        "median_steps": steps,
        "median_tokens": tokens,
    }
