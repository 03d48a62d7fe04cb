"""`lettaform show`: show live objects."""

from __future__ import annotations

import click

from lettaform.cli import Globals


@click.command()
@click.argument("address", required=False)
@click.pass_obj
def show(asked: Globals, /, address: str | None) -> None:
    """Show the live objects of the stack with their current values. With ADDRESS, only that object."""
    from lettaform import flow
    from lettaform.render import data, objects

    found = flow.show(asked.source(), asked.connection(), address)
    if asked.json:
        click.echo(data.dumps({"objects": [data.live(item) for item in found]}, indent=2))
    else:
        click.echo(objects.objects(found, color=asked.color, verbose=asked.verbose), nl=False)
