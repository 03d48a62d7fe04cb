from __future__ import annotations

import json

import pytest

from .conftest import Flow, Run


@pytest.mark.parametrize(
    ("memory", "live"), [([], False), (["--memory", "seeds"], False), (["--memory", "live"], True)]
)
def test_it_shows_and_writes(memory: list[str], live: bool, run: Run, flow: Flow) -> None:
    result = run("duplicate", "agents.a", "agents.b", *memory, "-y")
    assert (result.exit_code, result.stderr) == (0, "")
    assert "+ b: {}" in result.stdout
    assert "Declared agents.b. `lettaform apply --target agents.b`" in result.stdout
    assert flow.calls[0][3:] == ("agents.a", "agents.b", live)
    assert flow.consents == [True]


def test_without_a_terminal_it_asks_for_yes(run: Run, flow: Flow) -> None:
    result = run("duplicate", "agents.a", "agents.b", "--memory", "live")
    assert (result.exit_code, flow.consents) == (1, [False])
    assert "run `lettaform duplicate -y --memory live agents.a agents.b`" in result.stderr


def test_json(run: Run, flow: Flow) -> None:
    shown = json.loads(run("duplicate", "agents.a", "agents.b", "-y", "--json").stdout)
    assert (shown["address"], shown["memory"], shown["written"]) == ("agents.b", "seeds", True)
    assert run("duplicate", "agents.a", "agents.b", "--json").exit_code == 1
