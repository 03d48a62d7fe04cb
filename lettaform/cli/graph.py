"""`lettaform graph`: who shares what, as a drawing."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, cast

import click
from click.shell_completion import CompletionItem

from lettaform.cli import Globals

if TYPE_CHECKING:
    from lettaform.render.graph import Form

FORMATS = ("mermaid", "dot")


def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The addresses of the manifest that begin like this."""
    from lettaform import flow
    from lettaform.errors import LettaformError

    with suppress(LettaformError, OSError):
        asked = context.obj if isinstance(context.obj, Globals) else Globals()
        addresses = sorted(map(str, flow.read(asked.source(), "nothing").objects))
        return [CompletionItem(each) for each in addresses if each.startswith(incomplete)]
    return []


@click.command()
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1, shell_complete=complete)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Language of the drawing; dot is for Graphviz. Default: mermaid.",
)
@click.pass_obj
def graph(asked: Globals, /, patterns: tuple[str, ...], form: str | None) -> None:
    """Print which agents share which blocks, tools, folders and other objects, as Mermaid or DOT.

    PATTERN is an address, in which * stands for any text: show these objects and all to which they are linked.
    External objects are dashed. Instances of a `for_each` with equal edges are one node with their number.

    No server is contacted. What depends on a variable without a value is left out. Graphviz draws what
    `lettaform graph --format dot` prints: pipe it to dot -Tsvg.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import graph as render

    if asked.json and form is not None:
        raise click.UsageError(f"--json cannot be combined with --format {form}")
    found = flow.graph(asked.source(), patterns)
    if asked.json:
        click.echo(data.dumps(render.to_data(found), indent=2))
        return
    form = form or "mermaid"
    click.echo(render.text(found, cast("Form", form)), nl=False)
    if form == "mermaid" and (why := render.too_large(found)):
        click.echo(f"Warning: {why}\n  → name a PATTERN, or run `lettaform graph --format dot`", err=True)
