"""`lettaform show`: show live objects, or a saved plan."""

from __future__ import annotations

from pathlib import Path

import click

from lettaform.cli import Globals, Usage
from lettaform.cli.completion import addresses_or_files
from lettaform.cli.formats import Formats, document, formatted
from lettaform.errors import LettaformError


@click.command()
@click.argument("address", metavar="[ADDRESS|PLAN]", shell_complete=addresses_or_files, required=False)
@click.pass_obj
@formatted
def show(asked: Globals, /, address: str | None, chosen: Formats) -> None:
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
        _show_plan(asked, Path(address), chosen)
        return
    if chosen.is_document or chosen.files:
        given = "--out" if chosen.files else f"--format {chosen.shown}"
        raise Usage(f"{given} shows a saved plan", "`lettaform plan -o FILE` writes one", click.get_current_context())
    found = flow.show(asked.source(), asked.connection(), address)
    if asked.json:
        click.echo(data.dumps(render.to_data(found), indent=2))
    elif address:
        click.echo(render.text(found, color=asked.color, verbose=asked.verbose), nl=False)
    else:
        click.echo(render.listing(found, color=asked.color, verbose=asked.verbose), nl=False)


def _show_plan(asked: Globals, path: Path, chosen: Formats) -> None:
    from lettaform import flow
    from lettaform.render import saved_plan

    found = flow.show_saved(path)
    try:
        plan = saved_plan.to_plan(found)
    except ValueError as error:
        raise LettaformError(f"{path} is not a saved plan: {error}", "`lettaform plan -o FILE` writes one") from error
    click.echo(document(plan, chosen.shown, color=asked.color, verbose=asked.verbose, saved=found), nl=False)
    chosen.write(plan, asked, found)
