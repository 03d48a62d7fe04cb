"""`lettaform render`: the final manifest, and where each value comes from."""

from __future__ import annotations

import click

from lettaform.cli import Globals
from lettaform.cli.completion import addresses


@click.command()
@click.argument("patterns", metavar="[ADDRESS|PATTERN]...", nargs=-1, shell_complete=addresses)
@click.option("--no-origin", is_flag=True, help="Leave out the comments that say where each value comes from.")
@click.pass_obj
def render(asked: Globals, /, patterns: tuple[str, ...], no_origin: bool) -> None:
    """Print the manifest as it is after components, for_each, defaults, the environment and expressions, as YAML.

    A comment says where each value is written, and which variables, inputs and items of a for_each it is made of.
    PATTERN is an address, in which * stands for any text, or that of a component: print these objects alone.

    Secrets are hidden, and need no value. What only the server knows, such as the id of an object, stays an expression.
    No server is contacted.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import manifest as render

    found = flow.render(asked.source(), patterns)
    if asked.json:
        click.echo(data.dumps(render.to_data(found), indent=2))
    else:
        click.echo(render.text(found, origins=not no_origin), nl=False)
