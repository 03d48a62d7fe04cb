"""`lettaform import`: adopt what lives already."""

from __future__ import annotations

import click

from lettaform.cli import Globals


@click.command("import")
@click.argument("address")
@click.argument("id")
@click.pass_obj
def import_(asked: Globals, /, address: str, id: str) -> None:
    """Adopt the living object ID under ADDRESS of the manifest. Only its mark is written; `plan` shows what differs."""
    from lettaform import flow
    from lettaform.render import data, text

    done = flow.adopt(asked.source(), asked.connection(), address, id)
    if asked.json:
        click.echo(data.dumps(data.plan(done), indent=2))
    else:
        click.echo(text.plan(done, color=asked.color, verbose=asked.verbose), nl=False)
