"""`lettaform send`: a message to an agent or a conversation, or to many agents, and the answers."""

from __future__ import annotations

import mimetypes
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from lettaform.cli import Globals, ask, can_ask
from lettaform.cli.completion import agents
from lettaform.cli.talk import Talk
from lettaform.errors import PlanError

if TYPE_CHECKING:
    from lettaform.client.messages import ToolCall
    from lettaform.flow import Decision, Outgoing, Recipient
    from lettaform.session.talk import Sent

Role = Literal["user", "system", "assistant"]
Decide = Callable[[Sequence["ToolCall"]], "Sequence[Decision] | None"]


@click.command()
@click.argument("what", metavar="ADDRESS|ID", shell_complete=agents)
@click.argument("text", metavar="[TEXT|-]", required=False)
@click.option(
    "--stream/--no-stream",
    default=None,
    help="Print the answer as the model writes it, or each message once it is whole. Default: --stream on a terminal.",
)
@click.option("--background", is_flag=True, help="Let the run go on if this command ends. Its id is printed at once.")
@click.option("--detach", is_flag=True, help="As --background, and end once the run has begun.")
@click.option("--approve", is_flag=True, help="Approve each call of a tool that needs it.")
@click.option(
    "--deny",
    is_flag=False,
    flag_value="",
    metavar="[REASON]",
    help="Deny each call of a tool that needs approval. The agent is told the reason.",
)
@click.option("--conversation", metavar="KEY|ID", help="Send to this conversation with the agent.")
@click.option(
    "--image",
    "images",
    type=click.Path(dir_okay=False, path_type=Path),
    multiple=True,
    help="Send a picture along. Repeatable.",
)
@click.option("--timeout", type=click.FloatRange(min=0.1), metavar="SECONDS", help="Cancel the run after this time.")
@click.option(
    "--role",
    type=click.Choice(["user", "system", "assistant"]),
    default="user",
    show_default=True,
    help="Whose message it is.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=8,
    show_default=True,
    help="How many agents of a pattern are talked to at the same time.",
)
@click.pass_obj
def send(
    asked: Globals,
    /,
    what: str,
    text: str | None,
    stream: bool | None,
    background: bool,
    detach: bool,
    approve: bool,
    deny: str | None,
    conversation: str | None,
    images: tuple[Path, ...],
    timeout: float | None,
    role: Role,
    parallel: int,
) -> int:
    """Send TEXT to an agent or a conversation, and print what it answers.

    ADDRESS is an address of the stack, ID the id of any agent or conversation; with an id, no manifest is needed.
    Without TEXT, or for `-`, standard input is read. With --approve or --deny and without TEXT, a call of a tool that
    waits for approval is decided.

    What the agent says goes to standard output; its reasoning, its calls of tools and what they return go to standard
    error. With --json, everything is one object per line on standard output.

    An ADDRESS with `*` sends to all agents that it matches, and prints a line for each.

    \b
    Exit codes:
      0    the agent has ended its turn
      1    it stopped for another reason, or the message could not be sent
      5    of several agents, some have not answered
      7    it waits for an approval
      130  interrupted
    Ctrl-C cancels the run, unless it runs in the background.
    """
    from lettaform import flow

    if approve and deny is not None:
        raise click.UsageError("--approve and --deny exclude each other")
    decides_only = text is None and not images and (approve or deny is not None)
    said = None if decides_only else _outgoing(text, images, role)
    every = flow.recipients(asked.source(), asked.connection(), what, conversation)
    decide = _fixed(approve, deny)
    if len(every) > 1 or "*" in what:
        if said is None or background or detach or stream:
            alone = "--background, --detach, --stream, and an approval without TEXT are for one agent"
            raise click.UsageError(f"{alone}, and `{what}` names {len(every)}")
        return _ToMany(asked, every, parallel, timeout).send(said, decide)
    streams = stream if stream is not None else sys.stdout.isatty() and not asked.json
    options: dict[str, Any] = {"tokens": streams, "background": background or detach, "within": timeout}
    came = flow.send(asked.source(), asked.connection(), every[0], said, decide=decide or _question(asked), **options)
    talk = Talk(asked, every[0].name, background=background or detach)
    return talk.run(came, whole=not streams, detach=detach)


def _outgoing(text: str | None, images: Sequence[Path], role: Role) -> Outgoing:
    from lettaform.flow import Outgoing

    if text is None and not images and sys.stdin.isatty():
        raise click.UsageError("what to send is missing: write it after the address, or `-` to read standard input")
    if text == "-" or (text is None and not images):
        text = sys.stdin.read().rstrip("\n")
    if not (text or images):
        raise click.UsageError("the text to send is empty")
    return Outgoing(text or "", tuple(map(_image, images)), role)


def _image(path: Path) -> Any:
    from lettaform.flow import Image

    kind = mimetypes.guess_type(path.name)[0] or ""
    if not kind.startswith("image/"):
        raise click.UsageError(f"{path} is no picture: its name ends in none of .png, .jpg, .gif, .webp")
    try:
        return Image(kind, path.read_bytes())
    except OSError as error:
        raise PlanError(f"cannot read {path}: {error.strerror}") from error


def _fixed(approve: bool, deny: str | None) -> Decide | None:
    """The decision that the options make; None if they make none."""
    from lettaform.flow import Decision

    if not approve and deny is None:
        return None
    return lambda calls: [Decision(each.tool_call_id, approve, deny or None) for each in calls]


def _question(asked: Globals) -> Decide:
    """A question for each call of a tool on a terminal; elsewhere, no decision."""
    from lettaform.flow import Decision
    from lettaform.render.messages import call

    def decide(calls: Sequence[ToolCall]) -> Sequence[Decision] | None:
        if asked.json or not can_ask():
            return None
        return [Decision(each.tool_call_id, ask(f"Allow {call(each)}?")) for each in calls]

    return decide


class _ToMany:
    """One message to several agents."""

    def __init__(self, asked: Globals, every: Sequence[Recipient], parallel: int, within: float | None) -> None:
        self.asked, self.every, self.parallel, self.within = asked, every, parallel, within
        self.width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def send(self, said: Outgoing, decide: Decide | None) -> int:
        """Send to each, print a line for each as it answers, and return the exit code."""
        from lettaform import flow

        started, number = time.monotonic(), len(self.every)
        if not self.asked.json:
            click.echo(f"Sending to {number} agents, {min(self.parallel, number)} at a time.", err=True)
        options: dict[str, Any] = {"parallel": self.parallel, "within": self.within, "notify": self.show}
        options |= {"decide": decide} if decide else {}  # several agents at once are no place for questions
        try:
            results = flow.send_to_many(self.asked.source(), self.asked.connection(), self.every, said, **options)
        except KeyboardInterrupt:
            click.echo("Interrupted. Runs that have begun go on.\n  → `lettaform runs list --active`", err=True)
            return 130
        return self.end(results, time.monotonic() - started)

    def show(self, sent: Sent) -> None:
        """Print what came of one."""
        from lettaform.render import data
        from lettaform.render.messages import result_line

        if self.asked.json:
            line: dict[str, Any] = {"event": "result", "to": sent.to.name, "agent": sent.to.agent, "run": sent.run}
            line |= {"result": sent.result, "stop_reason": sent.stopped or None, "answer": sent.answer}
            click.echo(data.dumps(line | {"error": sent.error, "seconds": round(sent.seconds, 3)}))
        else:
            waits = "waits for an approval" if sent.result == "waiting" else sent.answer
            look: dict[str, Any] = {"color": self.asked.color, "width": self.width}
            click.echo(result_line(sent.to, sent.result, sent.seconds, sent.error or waits, **look))

    def end(self, results: Sequence[Sent], seconds: float) -> int:
        """Print the counts. Returns the exit code."""
        from lettaform.render import data

        counts = Counter(each.result for each in results)
        failed, waiting = counts["failed"], counts["waiting"]
        code = 1 if failed == len(results) else 5 if failed else 7 if waiting else 0
        if self.asked.json:
            line: dict[str, Any] = {"event": "summary", "ok": counts["ok"], "failed": failed, "waiting": waiting}
            click.echo(data.dumps(line | {"seconds": round(seconds, 3), "exit_code": code}))
        else:
            rest = f", {waiting} waiting for an approval" if waiting else ""
            click.echo(f"{counts['ok']} of {len(results)} answered, {failed} failed{rest}, {seconds:.1f} s.", err=True)
        return code
