"""The examples in Python on a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

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
