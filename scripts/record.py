"""Records the terminal session of the README: `python -m scripts.record` writes `docs/session.svg`.

It runs the commands on a real Letta server, which it starts and stops, or on that of LETTAFORM_TEST_URL, and draws what
they print on a terminal.
"""

from __future__ import annotations

import io
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from lettaform.session.server import DEFAULT_URL

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "session.svg"
COLUMNS = 88
STEPS = (
    "lettaform apply -y",
    "sed -i 's/do not know something/are not sure/' prompts/worker.md",
    "lettaform plan",
    "lettaform apply -y",
    "lettaform status",
)
"""What is typed, after `lettaform init`. Of an apply, the end is shown."""
THEME = TerminalTheme(
    (24, 28, 34),
    (228, 232, 238),
    [
        (24, 28, 34),
        (255, 128, 133),
        (86, 201, 138),
        (229, 179, 90),
        (125, 177, 255),
        (200, 150, 255),
        (90, 205, 215),
        (228, 232, 238),
    ],
    [
        (98, 107, 119),
        (255, 128, 133),
        (86, 201, 138),
        (229, 179, 90),
        (125, 177, 255),
        (200, 150, 255),
        (90, 205, 215),
        (255, 255, 255),
    ],
)
FORM = """<svg xmlns="http://www.w3.org/2000/svg" class="rich-terminal" \
viewBox="0 0 {terminal_width} {terminal_height}" role="img" aria-label="lettaform in a terminal">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; }}
{styles}
</style>
<rect width="{terminal_width}" height="{terminal_height}" rx="8" fill="#181c22"/>
<g transform="translate(16, 12)" class="{unique_id}-matrix">
{backgrounds}
{matrix}
</g>
</svg>
"""
"""As the format of rich, without the frame of a window and without a font from the network."""


def main() -> None:
    with server() as url, tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "support"
        project.mkdir()
        shell = Shell(project, url)
        shell.run("lettaform init")
        try:
            # whatever port the server has: readers have it on the default one
            shown = [(step, shell.run(step).replace(url, DEFAULT_URL)) for step in STEPS]
        finally:
            shell.run("lettaform destroy -y --allow-destroy '*'")
    TARGET.write_text(
        drawn(
            [
                (step, _end(output) if step == "lettaform apply -y" else output)
                for number, (step, output) in enumerate(shown)
            ]
        )
    )
    print(TARGET.relative_to(ROOT))


@contextmanager
def server() -> Iterator[str]:
    """The URL of a server with a model that needs no key."""
    if url := os.environ.get("LETTAFORM_TEST_URL"):
        yield url
        return
    port = "8299"
    command = [sys.executable, "-m", "lettaform", "dev"]
    with tempfile.TemporaryDirectory() as folder:
        where = ["--port", port, "--data", folder]
        subprocess.run([*command, "up", *where, "--echo-model"], check=True)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            subprocess.run([*command, "down", *where, "--purge"], check=True)


class Shell:
    """Commands on a terminal of COLUMNS columns."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        bin = folder.parent / "bin"
        bin.mkdir()
        program = bin / "lettaform"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m lettaform "$@"\n')
        program.chmod(0o755)
        self.environment = {
            **{name: text for name, text in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")},
            "PATH": f"{bin}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LETTA_BASE_URL": url,
            "COLUMNS": str(COLUMNS),
            "LINES": "40",
            "TERM": "xterm",
        }

    def run(self, line: str) -> str:
        """What stays on the screen, with colours. CalledProcessError if the command fails."""
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ["bash", "-c", line], cwd=self.folder, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        seen = b""
        while select.select([ours], [], [], 120)[0]:
            try:
                part = os.read(ours, 65536)
            except OSError:  # Linux says so when the process is gone
                break
            seen += part
            if not part:
                break
        os.close(ours)
        if code := process.wait():
            raise subprocess.CalledProcessError(code, line, seen)
        return screen(seen.decode())


def screen(seen: str) -> str:
    """The lines that a progress bar has not erased."""
    seen = re.sub(r"\x1b\[\?25[lh]", "", seen).replace("\r\n", "\n")
    lines = [re.split(r"\r|\x1b\[2K|\x1b\[1A", line)[-1] for line in seen.split("\n")]
    return "\n".join(line for line in lines if "Applying" not in line).strip("\n")


def _end(output: str) -> str:
    """The first line of an apply, and what stands below its plan."""
    lines = output.split("\n")
    summary = next(number for number, line in enumerate(lines) if "Plan:" in line)
    return "\n".join([lines[0], "", "\x1b[2m  …\x1b[0m", "", *lines[summary:]])


def drawn(steps: list[tuple[str, str]]) -> str:
    """The session as SVG."""
    console = Console(record=True, width=COLUMNS + 2, file=io.StringIO(), force_terminal=True, legacy_windows=False)
    for number, (command, output) in enumerate(steps):
        if number:
            console.print()
        console.print(Text.assemble(("$ ", "dim"), (command, "bold")))
        if output:
            console.print(Text.from_ansi(output))
    return console.export_svg(theme=THEME, code_format=FORM, unique_id="session")


if __name__ == "__main__":
    main()
