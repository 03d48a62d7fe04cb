"""`lettaform version`: print the version."""

from __future__ import annotations

import json

import click

from lettaform.about import line, versions
from lettaform.cli import Globals


@click.command()
@click.pass_obj
def version(asked: Globals, /) -> None:
    """Print the versions of lettaform and Python, and the operating system."""
    click.echo(json.dumps(versions()) if asked.json else line())
