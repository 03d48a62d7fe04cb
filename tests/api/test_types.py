"""Programs that use lettaform pass type checkers, and wrong ones do not: `callers.py`, and the examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAMS = [ROOT / "tests" / "api" / "callers.py", *sorted((ROOT / "examples" / "python").rglob("*.py"))]


@pytest.mark.thorough
def test_mypy_strict() -> None:
    # with the cache that checking the project itself has filled
    command = [sys.executable, "-m", "mypy", "--strict", *map(str, PROGRAMS)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.thorough
def test_pyright_strict(tmp_path: Path) -> None:
    """Only where pyright is installed: it brings a runtime of JavaScript."""
    pytest.importorskip("pyright")
    config = {
        "include": [os.path.relpath(each, tmp_path) for each in PROGRAMS],
        "extraPaths": [os.path.relpath(ROOT, tmp_path)],
        "typeCheckingMode": "strict",
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": True,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "pyright", "-p", str(tmp_path), "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
