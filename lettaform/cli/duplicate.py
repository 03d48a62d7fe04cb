"""`lettaform duplicate`: declare a copy of an agent, a block or an archive."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from lettaform.cli import Globals, refusal
from lettaform.cli.apply import yes
from lettaform.cli.completion import addresses

if TYPE_CHECKING:
    from lettaform.session.duplicate import Duplicated


@click.command()
@click.argument("old", metavar="ADDRESS", shell_complete=addresses)
@click.argument("new", metavar="NEW_ADDRESS", shell_complete=addresses)
@click.option(
    "--memory",
    type=click.Choice(["seeds", "live"]),
    default="seeds",
    show_default=True,
    help="seeds: the copy begins with the texts of the manifest. live: with what agents made of them on the server: "
    "blocks, also those that an agent created, or passages.",
)
@yes
@click.pass_obj
def duplicate(asked: Globals, /, old: str, new: str, memory: str, yes: bool) -> int:
    """Declare a copy of an agent, a block or an archive under a new address. Shows the change of the files and asks.

    The text of the declaration is copied, with its expressions and comments, also in each environment that changes it.
    Shared blocks, tools, folders and the archive of an agent are shared with the copy. A copy has no messages.

    Nothing is written on the server: `lettaform apply` creates the copy. With the seeds, no server is needed.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import duplicate as render

    if asked.json and not yes:
        raise click.UsageError("--json cannot ask for confirmation; add -y")
    refused: list[str] = []

    def consent(found: Duplicated) -> bool:
        if not asked.json:
            files = render.redacted(found.files, found.hidden)
            click.echo(render.text(files, found.notes, color=asked.color), nl=False)
        command = shlex.join(["lettaform", "duplicate", "-y", "--memory", memory, old, new])
        question = "Write these files?" if len(found.files) > 1 else "Write this file?"
        refused.append("" if yes else refusal(question, command))
        return not refused[0]

    done = flow.duplicate(asked.source(), asked.connection(), old, new, live=memory == "live", consent=consent)
    if refused[0]:
        click.echo(refused[0], err=True)
        return 1
    if asked.json:
        files = render.redacted(done.files, done.hidden)
        shown = render.to_data(done.old, done.new, files, done.notes, live=done.live, written=done.written)
        click.echo(data.dumps(shown, indent=2))
    else:
        click.echo("\n" + render.report(done.new), nl=False)
    return 0
