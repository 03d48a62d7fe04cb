"""`lettaform messages`: the messages of an agent or a conversation."""

from __future__ import annotations

import click

from lettaform.cli import Globals
from lettaform.cli.completion import agents

TYPES = {
    "user": "user_message",
    "assistant": "assistant_message",
    "reasoning": "reasoning_message",
    "tool-call": "tool_call_message",
    "tool-return": "tool_return_message",
    "approval-request": "approval_request_message",
    "approval-response": "approval_response_message",
    "system": "system_message",
    "summary": "summary_message",
    "event": "event_message",
}


@click.command()
@click.argument("what", metavar="ADDRESS|ID", shell_complete=agents)
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="How many. 0: all of them.")
@click.option("--type", "types", type=click.Choice(list(TYPES)), multiple=True, help="Only this type. Repeatable.")
@click.option("--search", metavar="TEXT", help="Only messages that contain TEXT, whatever its case.")
@click.option("--before", metavar="TIME|ID", help="Only messages older than this time, or than this message.")
@click.option("--after", metavar="TIME|ID", help="Only messages newer than this time, or than this message.")
@click.option("--conversation", metavar="KEY|ID", help="Those of this conversation with the agent.")
@click.pass_obj
def messages(
    asked: Globals,
    /,
    what: str,
    limit: int,
    types: tuple[str, ...],
    search: str | None,
    before: str | None,
    after: str | None,
    conversation: str | None,
) -> None:
    """Show the last messages of an agent or a conversation, oldest first, also those that left its context.

    TIME is a date or a time, such as 2026-11-27 or 2026-11-27T08:00; without a time zone, that of this machine. -v
    shows whole texts, what tools printed, and the ids of messages. Nothing is written.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import messages as render

    wanted = {"types": [TYPES[each] for each in types], "search": search, "before": before, "after": after}
    found = flow.messages(
        asked.source(),
        asked.connection(),
        what,
        conversation=conversation,
        limit=limit or None,
        **wanted,  # type: ignore[arg-type]
    )
    if asked.json:
        click.echo(data.dumps(render.messages_data(what, found), indent=2))
    elif found:
        click.echo(render.listed(found, color=asked.color, verbose=asked.verbose), nl=False)
    else:
        click.echo("No messages.")
