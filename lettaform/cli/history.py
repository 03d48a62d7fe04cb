"""`lettaform history`: show the last runs that changed the stack."""

from __future__ import annotations

import click

from lettaform.cli import Globals


@click.command()
@click.option("-n", "--number", type=click.IntRange(min=1), metavar="N", help="Show only the last N runs.")
@click.pass_obj
def history(asked: Globals, /, number: int | None) -> None:
    """Show who changed the stack, when, and from which git commit. The newest run comes first.

    The state of the stack keeps the last 50 runs. `lettaform show ADDRESS` tells which of them last wrote an object.
    """
    from lettaform import flow
    from lettaform.render import data, objects

    runs = flow.history(asked.source(), asked.connection())[:number]
    if asked.json:
        click.echo(data.dumps({"runs": [data.run(each) for each in runs]}, indent=2))
    else:
        click.echo(objects.history(runs, color=asked.color), nl=False)
