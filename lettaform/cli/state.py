"""`lettaform state`: what the server remembers of this stack."""

from __future__ import annotations

import click

from lettaform.cli import Globals
from lettaform.cli.lock import locking
from lettaform.errors import LettaformError


@click.group()
def state() -> None:
    """What the server remembers of this stack: which object is which address, and what was last applied."""


@state.command("list")
@click.pass_obj
def list_(asked: Globals, /) -> None:
    """List everything that carries this stack's mark, copies and left-over memory included."""
    from lettaform import flow
    from lettaform.render import data, text

    found = flow.state_list(asked.source(), asked.connection())
    if asked.json:
        click.echo(data.dumps({"objects": [data.live(item, values=False) for item in found]}, indent=2))
    else:
        click.echo(text.table(found, color=asked.color), nl=False)


@state.command()
@click.argument("address")
@click.pass_obj
def show(asked: Globals, /, address: str) -> None:
    """Show what is remembered of ADDRESS: digests of what was last applied, members that lettaform attached."""
    from lettaform import flow
    from lettaform.errors import nearest
    from lettaform.render import data, text

    everything = flow.state_list(asked.source(), asked.connection())
    found = [item for item in everything if str(item.address) == address]
    if not found:
        near = nearest(address, [str(item.address) for item in everything])
        raise LettaformError(f"nothing of this stack answers to `{address}`", near and f"did you mean `{near}`?")
    if asked.json:
        click.echo(data.dumps({"objects": [data.live(item, values=False, mark=True) for item in found]}, indent=2))
    else:
        click.echo(text.marks(found, color=asked.color), nl=False)


@state.command()
@click.argument("old")
@click.argument("new")
@locking
@click.pass_obj
def mv(asked: Globals, /, old: str, new: str, patience: float | None) -> None:
    """Give the object at OLD the address NEW, and its own blocks with it."""
    from lettaform import flow
    from lettaform.render import data

    flow.state_move(asked.source(), asked.connection(patience), old, new)
    click.echo(data.dumps({"moved": {"from": old, "to": new}}) if asked.json else f"Moved: {old} is now {new}.")


@state.command()
@click.argument("address")
@locking
@click.pass_obj
def rm(asked: Globals, /, address: str, patience: float | None) -> None:
    """Forget ADDRESS: the object stays as it is, and is no longer this stack's."""
    from lettaform import flow
    from lettaform.render import data

    flow.state_remove(asked.source(), asked.connection(patience), address)
    click.echo(data.dumps({"forgotten": address}) if asked.json else f"Forgotten: {address}. The object stays.")


@state.command()
@locking
@click.pass_obj
def rebuild(asked: Globals, /, patience: float | None) -> None:
    """Make the state again from the marks and what can be read of it, and name what is not certain."""
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render.clean import clean_line
    from lettaform.render.spell import count

    number, lost = flow.state_rebuild(asked.source(), asked.connection(patience))
    if asked.json:
        click.echo(data.dumps({"recorded": number, "lost": lost}))
        return
    click.echo(f"Recorded: {count(number, 'object')}.")
    for line in lost:
        click.echo(f"  {clean_line(line)}")
