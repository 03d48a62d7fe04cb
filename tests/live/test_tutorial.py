"""The tutorial, word for word: each command is run, and its output is what the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform import flow
from lettaform.model import PlanOptions
from tests.live.conftest import Letta
from tests.transcripts import Shell, shown

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"


def test_the_tutorial_runs_as_it_is_written(letta: Letta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not letta.model.endswith("echo") or letta.password:
        pytest.skip("the tutorial uses the server of `lettaform dev up --echo-model`")
    monkeypatch.setenv("LETTA_BASE_URL", letta.url)
    monkeypatch.setattr("lettaform.cli.init._server", lambda: None)  # the models of the echo server
    shell = Shell(tmp_path, letta.url)
    try:
        for each in shown(PAGE):
            shell.check(each.output, shell.run(each.command, monkeypatch))
    finally:
        connection = flow.Connection(letta.url)
        if (shell.folder / "lettaform.yaml").exists():
            flow.apply(flow.Source(shell.folder), connection, PlanOptions(destroy=True), consent=True)
