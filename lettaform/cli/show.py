"""`lettaform show`: what is live."""

from __future__ import annotations

import click

from lettaform.cli import Globals


@click.command()
@click.argument("address", required=False)
@click.pass_obj
def show(asked: Globals, /, address: str | None) -> None:
    """Show what is live of this stack, as the server has it now: all of it, or what answers to ADDRESS."""
    from lettaform import flow
    from lettaform.render import data, text

    found = flow.show(asked.source(), asked.connection(), address)
    if asked.json:
        click.echo(data.dumps({"objects": [data.live(item) for item in found]}, indent=2))
    else:
        click.echo(text.objects(found, color=asked.color), nl=False)
