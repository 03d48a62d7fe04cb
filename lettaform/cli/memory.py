"""`lettaform memory`: what fills the context windows of the agents of the stack."""

from __future__ import annotations

import shutil
import sys

import click

from lettaform.cli import Globals
from lettaform.cli.completion import agents


@click.command()
@click.argument("patterns", metavar="[ADDRESS]...", shell_complete=agents, nargs=-1)
@click.option(
    "--exact",
    is_flag=True,
    help="Let the server count the tokens of all agents: one request for each. ADDRESS does so for those it names.",
)
@click.pass_obj
def memory(asked: Globals, /, patterns: tuple[str, ...], exact: bool) -> int:
    """Show what fills the context windows of the agents of the stack, in tokens, the fullest first.

    Without ADDRESS, the numbers are estimates from lists, in a few requests for any number of agents: system prompt,
    memory blocks, tools and rules. With ADDRESS, in which * stands for any text, the server counts for the agents that
    it names: also files, the summary of old messages, and messages. A single agent is shown in parts.

    Contexts and blocks that are full to 90 % or more are pointed out. Nothing is written, and no lock is taken.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import memory as render

    found = flow.memory(asked.source(), asked.connection(), patterns, count_tokens=exact or bool(patterns))
    if asked.json:
        click.echo(data.dumps(render.to_data(found), indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        click.echo(render.text(found, color=asked.color, width=width), nl=False)
    return 0
