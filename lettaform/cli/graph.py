"""`lettaform graph`: who shares what, as a drawing."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from lettaform.cli import Globals
from lettaform.cli.completion import addresses

if TYPE_CHECKING:
    from lettaform.render.graph import Form

FORMATS = ("mermaid", "dot", "svg", "html")


@click.command()
@click.argument("patterns", metavar="[PATTERN]...", nargs=-1, shell_complete=addresses)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Language of the drawing. svg and html are pictures that need no other program. Default: mermaid.",
)
@click.pass_obj
def graph(asked: Globals, /, patterns: tuple[str, ...], form: str | None) -> None:
    """Print which agents share which blocks, tools, folders and other objects, as Mermaid, DOT, SVG or HTML.

    PATTERN is an address, in which * stands for any text: show these objects and all to which they are linked.
    External objects are dashed. Instances of a `for_each` with equal edges are one node with their number.

    No server is contacted. What depends on a variable without a value is left out. `lettaform graph --format svg`
    prints a picture, and --format html a page with it that needs no network; dot is for Graphviz.
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
    if form in ("svg", "html"):
        from lettaform.render import drawing

        click.echo(drawing.svg(found) if form == "svg" else drawing.page(found), nl=False)
        return
    click.echo(render.text(found, cast("Form", form)), nl=False)
    if form == "mermaid" and (why := render.too_large(found)):
        click.echo(f"Warning: {why}\n  → name a PATTERN, or run `lettaform graph --format svg`", err=True)
