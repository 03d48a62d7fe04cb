"""`lettaform show`: show live objects, or a saved plan."""

from __future__ import annotations

from pathlib import Path

import click

from lettaform.cli import Globals
from lettaform.errors import LettaformError


@click.command()
@click.argument("address", metavar="[ADDRESS|PLAN]", required=False)
@click.pass_obj
def show(asked: Globals, /, address: str | None) -> None:
    """List the live objects of the stack. With ADDRESS, show the values of an object, or of all instances of a
    `for_each`; * stands for any text.

    A value that differs from the manifest is shown as a difference, such as what an agent has made of a seed. Fields
    that nobody declared are named; -v shows them, whole texts, and the ids of what the object refers to.

    With PLAN, a file written by `lettaform plan -o FILE`, show that plan. It needs no server, manifest or variable.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import show as render

    if address and Path(address).is_file():
        _show_plan(asked, Path(address))
        return
    found = flow.show(asked.source(), asked.connection(), address)
    if asked.json:
        click.echo(data.dumps(render.to_data(found), indent=2))
    elif address:
        click.echo(render.text(found, color=asked.color, verbose=asked.verbose), nl=False)
    else:
        click.echo(render.listing(found, color=asked.color, verbose=asked.verbose), nl=False)


def _show_plan(asked: Globals, path: Path) -> None:
    from lettaform import flow
    from lettaform.render import data, saved_plan, text
    from lettaform.render.clean import clean_line

    found = flow.show_saved(path)
    try:
        plan = saved_plan.to_plan(found)
    except ValueError as error:
        raise LettaformError(f"{path} is not a saved plan: {error}", "`lettaform plan -o FILE` writes one") from error
    if asked.json:
        click.echo(data.dumps(found, indent=2))
    else:
        click.echo(text.plan(plan, color=asked.color, verbose=asked.verbose), nl=False)
        if digest := found.get("digest"):
            click.echo(f"Digest: {clean_line(str(digest))}")
