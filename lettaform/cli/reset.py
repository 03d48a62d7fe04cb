"""`lettaform reset`: an agent with an empty context."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lettaform.cli import Globals, refusal
from lettaform.cli.completion import agents
from lettaform.errors import PlanError

if TYPE_CHECKING:
    from lettaform.flow import Recipient


@click.command()
@click.argument("what", metavar="ADDRESS|ID", shell_complete=agents)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.option(
    "-o",
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where the agent file is written first. Default: a new file in .lettaform/agent-files.",
)
@click.pass_obj
def reset(asked: Globals, /, what: str, yes: bool, out: Path | None) -> int:
    """Remove all messages from the context of an agent, so that it begins anew. Its memory stays.

    Its agent file is written first, with the messages in the context. The messages also stay in the history, which
    `lettaform messages` shows.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render.clean import clean_line

    refused = ""

    def consent(whom: Recipient, messages: int) -> bool:
        nonlocal refused
        if yes:
            return True
        command = f"lettaform reset '{clean_line(what)}' -y"
        if asked.json:
            raise PlanError("confirmation is needed, and --json never asks", f"run `{command} --json`")
        refused = refusal(f"Remove {messages} messages from the context of {clean_line(whom.name)}?", command)
        return not refused

    path, messages = flow.reset(asked.source(), asked.connection(), what, path=out, consent=consent)
    if asked.json:
        shown = {"of": what, "messages": messages, "agent_file": str(path) if path else None}
        click.echo(data.dumps({"format_version": data.FORMAT_VERSION, **shown}, indent=2))
    elif path is None:
        click.echo(refused or "The context has no messages. Nothing was changed.", err=bool(refused))
    else:
        click.echo(f"Agent file: {clean_line(str(path))}")
        click.echo(f"Reset {clean_line(what)}: {messages} messages were removed from its context.")
    return 1 if refused else 0
