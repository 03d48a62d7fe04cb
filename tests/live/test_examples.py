"""Every example converges on a real server, and destroy removes all of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from click.testing import CliRunner, Result

from lettaform import flow, local
from lettaform.cli import cli
from tests.live.conftest import Letta
from tests.live.fleet import RequestLog

EXAMPLES = sorted(Path(__file__).parents[2].glob("examples/*/lettaform.yaml"))


SLOW = ("per-tenant",)
"""Hundreds of agents: minutes. The stand-in applies them in every run."""


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=path.parent.name, marks=[pytest.mark.slow] if path.parent.name in SLOW else [])
        for path in EXAMPLES
    ],
)
def test_example_converges_and_destroy_removes_all(
    path: Path, letta: Letta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / path.parent.name
    shutil.copytree(path.parent, folder)
    if letta.password:
        monkeypatch.setenv("LETTA_API_KEY", letta.password)

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, ["-C", str(folder), "--server", letta.url, *words])

    try:
        assert run("plan", "--detailed-exitcode").exit_code == 2
        applied = run("apply", "-y", "--json")
        assert applied.exit_code == 0, applied.output
        assert json.loads(applied.stdout.splitlines()[-1])["event"] == "summary"
        for _ in range(2):
            again = run("plan", "--detailed-exitcode")
            assert (again.exit_code, "No changes." in again.stdout) == (0, True)
        requests = RequestLog(monkeypatch)
        assert run("apply", "-y").exit_code == 0
        assert requests.writes() == []
        assert run("show").exit_code == 0
        compared = run("drift")
        assert (compared.exit_code, compared.stdout.count("\n"), compared.stdout[:9]) == (0, 1, "No drift:")
    finally:
        assert run("destroy", "-y", "--allow-destroy", "*").exit_code == 0
    connection = flow.Connection(url=letta.url, token=letta.password)
    assert flow.state_list(flow.Source(folder), connection) == []


def test_examples_exist() -> None:
    assert {path.parent.name for path in EXAMPLES} >= {"minimal", "shared-memory", "tools"}


def test_an_agent_of_init_answers(letta: Letta, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the README shows: `dev up`, `init`, `apply`, and a message to the agent."""
    here = local.Known(letta.url, "running", "", letta.model, letta.embedding, tmp_path, 1)
    monkeypatch.setattr(local, "status", lambda: (here,))
    monkeypatch.setenv("LETTA_BASE_URL", letta.url)
    if letta.password:
        monkeypatch.setenv("LETTA_API_KEY", letta.password)
    folder = tmp_path / f"init-{uuid4().hex[:8]}"
    folder.mkdir()

    def run(*words: str) -> Result:
        return CliRunner().invoke(cli, ["-C", str(folder), *words])

    try:
        assert run("init").exit_code == 0
        assert run("apply", "-y").exit_code == 0
        (worker,) = json.loads(run("show", "agents.worker", "--json").stdout)["objects"][:1]
        bearer = {"Authorization": f"Bearer {letta.password}"} if letta.password else {}
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        url = f"{letta.url}/v1/agents/{worker['id']}/messages"
        answer = httpx.post(url, json=body, headers=bearer, timeout=120).raise_for_status().json()
        if letta.model == local.MODELS[True][0]:
            assert [each for each in answer["messages"] if each["message_type"] == "assistant_message"]
    finally:
        assert run("destroy", "-y", "--allow-destroy", "*").exit_code == 0
