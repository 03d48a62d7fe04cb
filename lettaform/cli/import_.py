"""`lettaform import`: adopt what lives already."""

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
    """Adopt the living object ID under ADDRESS of the manifest. Only its mark is written; `plan` shows what differs."""
    from lettaform import flow
    from lettaform.render import data, text

    done = flow.adopt(asked.source(), asked.connection(patience), address, id)
    if asked.json:
        click.echo(data.dumps(data.plan(done), indent=2))
    else:
        click.echo(text.plan(done, color=asked.color, verbose=asked.verbose), nl=False)
