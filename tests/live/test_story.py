"""The story of `examples/gitops`: a pull request is applied, and one is refused until it is reviewed again."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from lettaform import flow
from tests.live.conftest import Letta

EXAMPLE = Path(__file__).parents[2] / "examples" / "gitops"


def test_the_story_of_two_pull_requests(letta: Letta) -> None:
    environ = {**os.environ, "LETTA_BASE_URL": letta.url, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if letta.password:
        environ["LETTA_API_KEY"] = letta.password
    done = subprocess.run([EXAMPLE / "story.sh"], env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    steps = re.split(r"^== ", done.stdout, flags=re.MULTILINE)[1:]
    applied = [step for step in steps if step.startswith(("Pull request 1 is", "It is applied"))]
    assert len([step for step in applied if "Applied: 2 changed" in step]) == 2
    assert "+ Be brief and kind." in steps[1]
    assert "the server has changed since" in done.stderr
    assert "No changes." in steps[-2]
    source, connection = flow.Source(EXAMPLE, environment="story"), flow.Connection(url=letta.url, token=letta.password)
    assert flow.state_list(source, connection) == []
