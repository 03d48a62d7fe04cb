"""`lettaform archive`: search in the long-term memory of agents."""

from __future__ import annotations

import click

from lettaform.cli import Globals, Verbs
from lettaform.cli.completion import archives


@click.group(cls=Verbs)
def archive() -> None:
    """Search in archives."""


@archive.command()
@click.argument("what", metavar="ADDRESS|ID", shell_complete=archives)
@click.argument("text", metavar="TEXT...", nargs=-1, required=True)
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    metavar="N",
    help="The largest number of passages, from 1 to 100.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only passages with this tag. Repeatable: with any.")
@click.pass_obj
def search(asked: Globals, /, what: str, text: tuple[str, ...], limit: int, tags: tuple[str, ...]) -> int:
    """Show the passages of an archive that are nearest to TEXT, as the server finds them for agents.

    The archive is named by its address, such as archives.facts, or by its id: that needs no manifest. An archive
    without an embedding model is searched for passages that contain TEXT. Nothing is written.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import search as render

    words = flow.Search(" ".join(text), limit, tags)
    found = flow.archive_search(asked.source(), asked.connection(), what, words)
    if asked.json:
        click.echo(data.dumps(render.to_data(found), indent=2))
    else:
        click.echo(render.text(found, color=asked.color, verbose=asked.verbose), nl=False)
    return 0
