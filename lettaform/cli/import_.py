"""`lettaform import`: manage an existing object."""

from __future__ import annotations

import click

from lettaform.cli import Globals
from lettaform.cli.lock import locking


@click.command("import")
@click.argument("address")
@click.argument("id")
@locking
@click.pass_obj
def import_(asked: Globals, /, address: str, id: str, patience: float | None) -> None:
    """Manage the existing object ID under ADDRESS of the manifest.

    Only lettaform's mark is written to the object. `lettaform plan` then shows the values that differ.
    """
    from lettaform import flow
    from lettaform.render import data, text

    done = flow.adopt(asked.source(), asked.connection(patience), address, id)
    if asked.json:
        click.echo(data.dumps(data.plan(done), indent=2))
    else:
        click.echo(text.plan(done, color=asked.color, verbose=asked.verbose), nl=False)
