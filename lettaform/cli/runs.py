"""`lettaform runs`: what agents do with messages: list, show, follow, cancel."""

from __future__ import annotations

import shutil
import sys

import click

from lettaform.cli import Globals, Verbs
from lettaform.cli.completion import agents
from lettaform.cli.talk import Talk


class Runs(Verbs):
    """A group whose verb is `list` if none is given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = {*self.commands, "-h", "--help"} & {*args}
        return super().parse_args(ctx, args if named else ["list", *args])


@click.group(cls=Runs)
def runs() -> None:
    """List, show, follow and cancel runs. A run is what the server does with one message.

    Without a verb, the runs are listed.
    """


@runs.command("list")
@click.argument("what", metavar="[ADDRESS|ID]", required=False, shell_complete=agents)
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@click.option("--active", is_flag=True, help="Only those that have not ended.")
@click.pass_obj
def list_(asked: Globals, /, what: str | None, limit: int, active: bool) -> None:
    """List the last runs, newest first: of an agent or a conversation, or of all agents of the stack.

    Where there is no manifest, all runs of the server are listed.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import messages as render

    found = flow.runs(asked.source(), asked.connection(), what, limit=limit, active=active)
    if asked.json:
        shown = [render.run_data(run) | {"of": name} for run, name in found]
        click.echo(data.dumps({"format_version": data.FORMAT_VERSION, "runs": shown}, indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        click.echo(render.runs_text(found, color=asked.color, width=width), nl=False)


@runs.command()
@click.argument("id")
@click.pass_obj
def show(asked: Globals, /, id: str) -> None:
    """Show one run: whose it is, how it stands, and why it ended."""
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import messages as render

    found = flow.run_show(asked.source(), asked.connection(), id)
    if asked.json:
        shown = {"format_version": data.FORMAT_VERSION, **render.run_data(found)}
        click.echo(data.dumps(shown, indent=2))
    else:
        click.echo(render.run_text(found, color=asked.color), nl=False)


@runs.command()
@click.argument("id")
@click.pass_obj
def follow(asked: Globals, /, id: str) -> int:
    """Print what came of a run from its beginning, and go on until it ends. Exit codes are those of `send`.

    Ctrl-C ends this command. The run goes on.
    """
    from lettaform import flow

    run = flow.run_show(asked.source(), asked.connection(), id)
    came = flow.run_follow(asked.source(), asked.connection(), id)
    return Talk(asked, run.conversation or run.agent, background=True).run(came, whole=not run.streams)


@runs.command()
@click.argument("id")
@click.pass_obj
def cancel(asked: Globals, /, id: str) -> int:
    """Ask the server to end a run.

    A server without Redis finishes a run that began in the background, although it answers that it was cancelled.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import messages as render
    from lettaform.render.clean import clean_line

    found = flow.run_cancel(asked.source(), asked.connection(), id)
    if asked.json:
        click.echo(data.dumps({"format_version": data.FORMAT_VERSION, **render.run_data(found)}, indent=2))
    elif found.status == "cancelled":
        click.echo(f"Cancelled {clean_line(found.id)}.")
    else:
        click.echo(f"{clean_line(found.id)} is {clean_line(found.status)}.")
    return 0
