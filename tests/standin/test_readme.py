"""Every block of the README runs as it stands, in the order of the page, on a stand-in and its echo model."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT
from tests.standin import serve
from tests.transcripts import Shell

BLOCK = re.compile(r"^```(sh|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LETTAFORM = f"""#!/bin/sh
exec "{sys.executable}" -m lettaform "$@"
"""
ELSEWHERE = ("pip install ", "lettaform dev up")
"""What is installed and runs already."""


def scripts(block: str) -> Iterator[str]:
    """Each command of lettaform by itself, and what stands between two of them together."""
    between: list[str] = []
    for line in block.splitlines():
        if line.startswith(ELSEWHERE):
            continue
        if not line.startswith("lettaform "):
            between.append(line)
            continue
        if between:
            yield "\n".join(between)
            between = []
        yield line
    if between:
        yield "\n".join(between)


@pytest.mark.thorough
def test_the_blocks_of_the_readme_run_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "lettaform"
    program.parent.mkdir()
    program.write_text(LETTAFORM)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "clone").mkdir()
    printed = list[str]()
    with serve() as url:
        monkeypatch.setenv("LETTA_BASE_URL", url)
        shell = Shell(tmp_path / "clone", url)
        for language, text in BLOCK.findall((ROOT / "README.md").read_text("utf-8")):
            if language == "yaml":
                shell.folder = tmp_path / "support"
                shell.folder.mkdir()
                (shell.folder / "lettaform.yaml").write_text(text, "utf-8")
            else:
                printed.append("".join(shell.run(script, monkeypatch) for script in scripts(text)))
    first, second = printed
    assert "Applied: 6 created" in first
    assert "\nHello\n" in first
    assert "agents.worker[apac]" in second
