"""`lettaform state`: inspect and change the state of the stack."""

from __future__ import annotations

import click

from lettaform.address import Address
from lettaform.cli import Globals, Verbs
from lettaform.cli.completion import addresses
from lettaform.cli.lock import locking
from lettaform.errors import LettaformError


@click.group(cls=Verbs)
def state() -> None:
    """Inspect and change the state of the stack: the address of each object, and digests of the values last applied.

    The state is stored on the server.
    """


@state.command("list")
@click.pass_obj
def list_(asked: Globals, /) -> None:
    """List all objects of the stack.

    The list includes duplicates (other objects with the same mark) and orphaned memory blocks.
    """
    from lettaform import flow
    from lettaform.render import data, objects

    found = flow.state_list(asked.source(), asked.connection())
    if asked.json:
        click.echo(data.dumps({"objects": [data.live(item, values=False) for item in found]}, indent=2))
    else:
        click.echo(objects.table(found, color=asked.color), nl=False)


@state.command()
@click.argument("address", shell_complete=addresses)
@click.pass_obj
def show(asked: Globals, /, address: str) -> None:
    """Show the state of ADDRESS.

    The state holds digests of the values last applied, and the members that lettaform attached.
    """
    from lettaform import flow
    from lettaform.errors import nearest
    from lettaform.render import data, objects

    everything = flow.state_list(asked.source(), asked.connection())
    found = [item for item in everything if item.address and _names(address, item.address)]
    if not found:
        near = nearest(address, [str(item.address) for item in everything])
        hint = f"did you mean `{near}`?" if near else "`lettaform state list` lists all addresses"
        raise LettaformError(f"the stack has no object `{address}`", hint)
    if asked.json:
        click.echo(data.dumps({"objects": [data.live(item, values=False, mark=True) for item in found]}, indent=2))
    else:
        click.echo(objects.marks(found, color=asked.color), nl=False)


def _names(text: str, address: Address) -> bool:
    """Whether a text names an object, or the declaration that it is an instance of."""
    try:
        return Address.read(text) in (address, address.declaration)
    except ValueError:
        return False


@state.command()
@click.argument("old", shell_complete=addresses)
@click.argument("new", shell_complete=addresses)
@locking
@click.pass_obj
def mv(asked: Globals, /, old: str, new: str, patience: float | None) -> None:
    """Change the address of an object from OLD to NEW. The addresses of its memory blocks change with it."""
    from lettaform import flow
    from lettaform.render import data

    flow.state_move(asked.source(), asked.connection(patience), old, new)
    click.echo(data.dumps({"moved": {"from": old, "to": new}}) if asked.json else f"Moved {old} to {new}.")


@state.command()
@click.argument("address", shell_complete=addresses)
@locking
@click.pass_obj
def rm(asked: Globals, /, address: str, patience: float | None) -> None:
    """Stop managing ADDRESS. The object itself is kept on the server."""
    from lettaform import flow
    from lettaform.render import data

    flow.state_remove(asked.source(), asked.connection(patience), address)
    click.echo(
        data.dumps({"forgotten": address})
        if asked.json
        else f"{address} is no longer managed. The object still exists."
    )


@state.command()
@locking
@click.pass_obj
def rebuild(asked: Globals, /, patience: float | None) -> None:
    """Rebuild the state of the stack from the marks on its objects. Lists what cannot be recovered."""
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render.clean import clean_line
    from lettaform.render.inline import count

    number, lost = flow.state_rebuild(asked.source(), asked.connection(patience))
    if asked.json:
        click.echo(data.dumps({"recorded": number, "lost": lost}))
        return
    click.echo(f"Rebuilt the state: {count(number, 'object')}.")
    for line in lost:
        click.echo(f"  {clean_line(line)}")
