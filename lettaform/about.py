"""What the program says about itself: its help and its versions, without an import that Python has not made yet."""

from __future__ import annotations

import os
import sys

from lettaform import __version__

HELP = os.path.join(os.path.dirname(__file__), "cli", "help.txt")
"""What `lettaform --help` prints in COLUMNS or more. Generated from the options and verbs of `cli`."""
COLUMNS = 80
"""The width of a terminal from which on the help has the same lines in each."""


def versions() -> dict[str, str]:
    """The versions of lettaform and Python, and the operating system."""
    system = os.uname().sysname if hasattr(os, "uname") else "Windows"
    return {"version": __version__, "python": sys.version.split()[0], "system": system}


def line() -> str:
    """Name and version of lettaform, version of Python, and operating system."""
    found = versions()
    return f"lettaform {found['version']} (Python {found['python']}, {found['system']})"


def answer(arguments: list[str]) -> str | None:
    """What the program prints for arguments that ask for its help or its version alone. None for all others."""
    if arguments in (["version"], ["--version"]):
        return line() + "\n"
    if arguments not in (["--help"], ["-h"]) or _columns() < COLUMNS:
        return None
    with open(HELP, encoding="utf-8") as file:
        return file.read()


def _columns() -> int:
    """The width of the terminal, as `shutil.get_terminal_size` finds it; COLUMNS if there is none."""
    try:
        named = int(os.environ.get("COLUMNS", 0))
    except ValueError:
        named = 0
    if named > 0:
        return named
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or COLUMNS
    except (AttributeError, ValueError, OSError):
        return COLUMNS
