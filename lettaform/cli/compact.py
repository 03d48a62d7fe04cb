"""`lettaform compact`: the older messages in a context to a summary."""

from __future__ import annotations

import click

from lettaform.cli import Globals
from lettaform.cli.completion import agents


@click.command()
@click.argument("what", metavar="ADDRESS|ID", shell_complete=agents)
@click.option("--conversation", metavar="KEY|ID", help="The context of this conversation with the agent.")
@click.pass_obj
def compact(asked: Globals, /, what: str, conversation: str | None) -> None:
    """Replace older messages in the context of an agent or a conversation by a summary that its model writes.

    The messages stay in the history, which `lettaform messages` shows.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render.clean import clean

    found = flow.compact(asked.source(), asked.connection(), what, conversation=conversation)
    if asked.json:
        shown = {"of": what, "summary": found.summary, "messages_before": found.before, "messages_after": found.after}
        click.echo(data.dumps({"format_version": data.FORMAT_VERSION, **shown}, indent=2))
        return
    click.echo(f"Compacted: {found.before} → {found.after} messages in the context, the prompt included. Summary:")
    for line in clean(found.summary).split("\n"):
        click.echo(f"  {line}".rstrip())
