"""`lettaform version`."""

from __future__ import annotations

import json
import platform

import click

from lettaform import __version__
from lettaform.cli import Globals


@click.command()
@click.pass_obj
def version(asked: Globals, /) -> None:
    """Print the version, of lettaform and of what it runs on."""
    told = {"version": __version__, "python": platform.python_version(), "system": platform.system()}
    if asked.json:
        click.echo(json.dumps(told))
    else:
        click.echo(f"lettaform {told['version']} (Python {told['python']}, {told['system']})")
