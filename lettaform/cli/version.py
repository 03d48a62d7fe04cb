"""`lettaform version`: print the version."""

from __future__ import annotations

import json
import platform

import click

from lettaform import __version__
from lettaform.cli import Globals


@click.command()
@click.pass_obj
def version(asked: Globals, /) -> None:
    """Print the versions of lettaform and Python, and the operating system."""
    if asked.json:
        versions = {"version": __version__, "python": platform.python_version(), "system": platform.system()}
        click.echo(json.dumps(versions))
    else:
        click.echo(line())


def line() -> str:
    """Name and version of lettaform, version of Python, and operating system."""
    return f"lettaform {__version__} (Python {platform.python_version()}, {platform.system()})"
