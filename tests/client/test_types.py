"""The types that callers see: mypy --strict finds no fault in a caller's file, and finds the faults of a wrong one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CALLER = Path(__file__).with_name("caller.py")
ROOT = CALLER.parent.parent.parent
WRONG = """
from lettaform.client import AsyncClient, Client

def sync(client: Client) -> str:
    return client.agents.retrieve("a")

async def awaited(client: AsyncClient) -> None:
    client.agents.retrieve(7)
    client.agents.retrieve("a")["id"]

def missing(client: Client) -> None:
    client.agents.messages.create("a")
    client.agents.nothing
"""


def checked(file: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(file)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.thorough
def test_a_callers_file_has_no_fault() -> None:
    found = checked(CALLER)
    assert (found.stdout, found.returncode) == ("", 0)


@pytest.mark.thorough
def test_faults_of_a_caller_are_found(tmp_path: Path) -> None:
    file = tmp_path / "wrong.py"
    file.write_text(WRONG)
    lines = [int(line.split(":")[1]) for line in checked(file).stdout.splitlines() if ": error:" in line]
    assert sorted(set(lines)) == [5, 8, 9, 12, 13]
