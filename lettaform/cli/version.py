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
    """`lettaform 1.0 (Python 3.12.1, Linux)`."""
    return f"lettaform {__version__} (Python {platform.python_version()}, {platform.system()})"
