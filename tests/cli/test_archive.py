from __future__ import annotations

import json

import pytest

from lettaform.flow import Search

from .conftest import Flow, Run


def test_search(run: Run, flow: Flow) -> None:
    result = run("archive", "search", "archives.facts", "old", "Rome", "--tag", "a", "--tag", "b", "--limit", "3")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "  1  Rome␛\n" in result.stdout
    assert flow.calls[0][3:] == ("archives.facts", Search("old Rome", 3, ("a", "b")))


def test_json(run: Run) -> None:
    shown = json.loads(run("archive", "search", "archive-1", "x", "--json").stdout)
    assert (shown["archive"], shown["limit"]) == ("archive-1", 10)


@pytest.mark.parametrize(
    "arguments",
    [["archives.facts"], ["archives.facts", "x", "--limit", "0"], ["archives.facts", "x", "--limit", "101"]],
)
def test_wrong_arguments(arguments: list[str], run: Run, flow: Flow) -> None:
    result = run("archive", "search", *arguments)
    assert (result.exit_code, flow.calls) == (1, [])
