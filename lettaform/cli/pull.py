"""`lettaform pull`: put what agents learned back into the files of the manifest."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from lettaform.cli import Globals, refusal
from lettaform.cli.apply import yes
from lettaform.cli.completion import addresses
from lettaform.cli.lock import locking

if TYPE_CHECKING:
    from lettaform.plan.pull import Pull, PullOptions


@click.command()
@click.argument("addresses", metavar="[ADDRESS]...", shell_complete=addresses, nargs=-1)
@click.option("--drift", is_flag=True, help="Also pull values with the policy `enforce` that were changed outside.")
@click.option(
    "--ours",
    metavar="PATTERN",
    shell_complete=addresses,
    multiple=True,
    help="Where both sides changed a value of these addresses, keep the manifest's. Repeatable.",
)
@click.option(
    "--theirs",
    metavar="PATTERN",
    shell_complete=addresses,
    multiple=True,
    help="Take the live values of these addresses, also where the manifest changed them. Repeatable.",
)
@click.option("--check", is_flag=True, help="Write nothing. Exit with code 2 if there is something to pull.")
@click.option(
    "--record",
    is_flag=True,
    help="Also write on the server that the manifest has these values, so that the next plan is empty. Not for a "
    "branch that may be discarded: the values could not be pulled again.",
)
@yes
@locking
@click.pass_obj
def pull(
    asked: Globals,
    /,
    addresses: tuple[str, ...],
    drift: bool,
    ours: tuple[str, ...],
    theirs: tuple[str, ...],
    check: bool,
    record: bool,
    yes: bool,
    patience: float | None,
) -> int:
    """Put the values that agents changed back into the files of the manifest. Shows the changes and asks.

    ADDRESS is an address or a pattern, in which * stands for any text; without one, all objects are pulled. Only the
    characters of the values change. Without --record, nothing is written on the server.

    Exits with 4 if both sides changed a value, and with 1 if a value contains a secret, or was named and cannot be put
    back. All other values are written nevertheless.
    """
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render import pull as render

    if check and record:
        raise click.UsageError("--check writes nothing; it cannot be combined with --record")
    if asked.json and not (yes or check):
        raise click.UsageError("--json cannot ask for confirmation; add -y or --check")
    options = flow.PullOptions(addresses, drift, ours, theirs, record)
    question = _Question(asked, yes, check, _repeated(options))
    found = flow.pull(asked.source(), asked.connection(patience), options, consent=question.consent)
    if asked.json:
        click.echo(data.dumps(render.to_data(found, check=check), indent=2))
    elif not question.asked:
        click.echo(render.text(found, color=asked.color, verbose=asked.verbose), nl=False)
    elif found.written:
        click.echo("\n" + render.report(found, color=asked.color), nl=False)
    if question.refused:
        click.echo(question.refused, err=True)
        return 1
    return found.exit_code(check=check)


def _repeated(options: PullOptions) -> str:
    """The command with these options that asks no question."""
    words = ["lettaform", "pull", "-y", *options.addresses, *["--drift"] * options.drift]
    words += [word for each in options.ours for word in ("--ours", each)]
    words += [word for each in options.theirs for word in ("--theirs", each)]
    words += ["--record"] * options.record
    return shlex.join(words)


class _Question:
    """Shows what was found and asks for consent to write it. `command` runs the same without a question."""

    def __init__(self, asked: Globals, yes: bool, check: bool, command: str) -> None:
        self.globals, self.yes, self.check, self.command = asked, yes, check, command
        self.asked = False
        self.refused = ""

    def consent(self, pull: Pull) -> bool:
        from lettaform.render import pull as render

        if self.check:
            return False
        if not self.globals.json:
            self.asked = True
            click.echo(render.text(pull, color=self.globals.color, verbose=self.globals.verbose), nl=False)
        if self.yes:
            return True
        self.refused = refusal("Write these files?" if len(pull.files) > 1 else "Write this file?", self.command)
        return not self.refused
