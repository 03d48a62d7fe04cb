"""The examples in Python on a real server."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import lettaform
from lettaform import flow
from tests.live.conftest import Letta

PROJECT = Path(__file__).parents[2] / "examples" / "python" / "pytest-project"


def test_the_tests_of_a_project_pass(letta: Letta, tmp_path: Path) -> None:
    environment = {**os.environ, "LETTAFORM_TEST_URL": letta.url, "PYTHONPATH": str(PROJECT.parents[2])}
    environment |= {"LETTAFORM_TEST_PASSWORD": letta.password} if letta.password else {}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "base")]
    done = subprocess.run([*command, str(PROJECT)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {path.name for path in tmp_path.glob("base/*/test-*")}
    assert names
    for name in names:
        source = flow.Source(PROJECT / "fleet", stack=name)
        assert flow.state_list(source, flow.Connection(url=letta.url, token=letta.password)) == []


def test_an_agent_answers(letta: Letta, tmp_path: Path) -> None:
    agent = lettaform.Agent(model=letta.model, embedding=letta.embedding, memory={"human": "Ann"})
    fleet = lettaform.Fleet(agents={"lead": agent}, stack=f"t-{uuid4().hex[:8]}")
    server = lettaform.Connection(url=letta.url, token=letta.password)
    stack = lettaform.load(fleet, directory=tmp_path, server=server)

    async def ask() -> tuple[str, str]:
        run = stack.aio.sending("agents.lead", "One stream.")
        async for _ in run:
            pass
        assert run.result is not None
        answer = await stack.aio.send("agents.lead", "And one answer.")
        return run.result.text, answer.text

    try:
        stack.apply(consent=True)
        assert stack.send("agents.lead", "Hello there!").text.endswith("Hello there!")
        streamed, answered = asyncio.run(ask())
        assert streamed.endswith("One stream.")
        assert answered.endswith("And one answer.")
        said = stack.messages("agents.lead", types=["user_message"])
        assert [each.message_type for each in said] == ["user_message"] * 3
    finally:
        stack.destroy(consent=True)
