"""`lettaform export`: an agent to an agent file."""

from __future__ import annotations

from pathlib import Path

import click

from lettaform.cli import Globals
from lettaform.cli.completion import agents


@click.command()
@click.argument("what", metavar="ADDRESS|ID", shell_complete=agents)
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File to write, with mode 0600. Default: standard output.",
)
@click.pass_obj
def export(asked: Globals, /, what: str, out: Path | None) -> None:
    """Write the agent file (.af) of an agent, by its ADDRESS in the stack or its ID, or of a conversation.

    The file is in the server's own format, and equal as long as its content is. It contains no secret of the agent and
    no mark of the stack. What it lacks of the agent is named on stderr.
    """
    from lettaform import flow
    from lettaform.errors import PlanError
    from lettaform.render import data
    from lettaform.render.clean import clean_line
    from lettaform.session.files import write_json

    found = flow.export(asked.source(), asked.connection(), what)
    for each in found.lost:
        click.echo(f"Not in the file: {clean_line(each)}", err=True)
    if out is None:
        click.echo(data.dumps(found.file, indent=1))
        return
    path = asked.directory / out
    try:
        write_json(path, found.file)
    except OSError as error:
        raise PlanError(f"cannot write {path}: {error.strerror}") from error
    if asked.json:
        click.echo(data.dumps({"path": str(path), "agent": found.name, "not_in_file": list(found.lost)}, indent=2))
    else:
        click.echo(f"Wrote {clean_line(str(path))}: agent `{clean_line(found.name)}`.")
