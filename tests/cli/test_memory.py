from __future__ import annotations

import json

import pytest

from lettaform.errors import Unavailable

from .conftest import Flow, Run


@pytest.mark.parametrize(
    ("arguments", "patterns", "counts"),
    [
        ([], (), False),
        (["--exact"], (), True),
        (["agents.a", "agents.w*"], ("agents.a", "agents.w*"), True),
    ],
)
def test_addresses_and_exact_let_the_server_count(
    arguments: list[str], patterns: tuple[str, ...], counts: bool, run: Run, flow: Flow
) -> None:
    result = run("memory", *arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "0 agents of stack support on http://here: nothing is nearly full.\n"
    assert flow.calls[0][3] == patterns
    assert flow.counts_tokens is counts


def test_json(run: Run) -> None:
    assert json.loads(run("memory", "--json").stdout)["agents"] == []


def test_a_server_that_does_not_answer(run: Run, flow: Flow) -> None:
    flow.raises = Unavailable("http://here does not answer")
    result = run("memory")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "does not answer" in result.stderr
