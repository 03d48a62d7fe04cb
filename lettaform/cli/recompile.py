"""`lettaform recompile`: prompts compiled again from the memory as it is."""

from __future__ import annotations

import click

from lettaform.cli import Globals
from lettaform.cli.completion import agents


@click.command()
@click.argument("what", metavar="ADDRESS|ID", shell_complete=agents)
@click.option("--parallel", type=click.IntRange(1, 64), default=8, show_default=True, help="How many at the same time.")
@click.pass_obj
def recompile(asked: Globals, /, what: str, parallel: int) -> int:
    """Compile the prompts of agents and conversations again, from their memory as it is. ADDRESS may have `*`.

    The server compiles a prompt when an agent begins, and does not do it again when its memory changes from outside.
    apply recompiles what it changes; this is for changes that others made. The conversations of an agent are compiled,
    too.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render.clean import clean_line

    done = flow.recompile(asked.source(), asked.connection(), what, parallel=parallel)
    failed = [(whom, error) for whom, error in done if error]
    code = 0 if not failed else 1 if len(failed) == len(done) else 5
    if asked.json:
        shown = [{"name": whom.name, "id": whom.id, "error": error.message if error else None} for whom, error in done]
        click.echo(
            data.dumps({"format_version": data.FORMAT_VERSION, "recompiled": shown, "exit_code": code}, indent=2)
        )
        return code
    for whom, error in failed:
        click.echo(f"Failed: {clean_line(whom.name)}: {clean_line(error.message if error else '')}", err=True)
    click.echo(f"Recompiled {len(done) - len(failed)} of {len(done)} prompts.")
    return code
