"""`lettaform status`: a table of the live objects of the stack, and how they differ from the manifest."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from lettaform.cli import Globals, remember
from lettaform.cli.completion import addresses
from lettaform.cli.plan import shard
from lettaform.errors import LettaformError

if TYPE_CHECKING:
    from lettaform.flow import Shard, StackStatus
    from lettaform.render.status import Look

Read = Callable[[], "StackStatus"]

_CLEAR, _HOME, _END_OF_LINE, _BELOW = "\x1b[2J", "\x1b[H", "\x1b[K", "\x1b[J"
"""What a terminal does to be drawn again without flicker."""


@click.command()
@click.argument("patterns", metavar="[PATTERN]...", shell_complete=addresses, nargs=-1)
@click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["wide", "json", "name"]),
    help="wide: more columns, and a row for each own block. json: everything, as --json. name: addresses alone.",
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only objects with this tag. Repeatable: with any.")
@shard
@click.option("-w", "--watch", is_flag=True, help="Read the server again and again, until Ctrl-C.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.5),
    metavar="SECONDS",
    help="Seconds between two reads of --watch. Default: 5.",
)
@click.pass_obj
def status(
    asked: Globals,
    /,
    patterns: tuple[str, ...],
    form: str | None,
    tags: tuple[str, ...],
    shard: Shard,
    watch: bool,
    interval: float | None,
) -> int:
    """Show the objects of the stack in tables: what differs from the manifest, and how full the memory is.

    PATTERN is an address, in which * stands for any text. Without one, all objects are shown. Nothing is written, and
    no lock is taken.

    \b
    STATUS of an object:
      ok          as declared
      drifted     changed outside lettaform; apply writes the manifest's values back
      outdated    the manifest has changed; apply updates or replaces it
      stale       apply compiles its prompt again, because something in it changes
      missing     declared, and not on the server; apply creates it
      conflict    the manifest and the server changed the same lines of a text
      unowned     apply adopts it
      unmarked    as declared; apply writes its mark
      removed     named under `removed:`; apply deletes or forgets it
      gone        neither declared nor on the server; apply forgets it
      undeclared  of the stack, and no longer declared; apply leaves it as it is
      orphaned    an own block that its agent does not have
      duplicate   marked with an address that belongs to another object
      external    used by the stack, and never written
    DRIFT counts the fields that apply would write back, KEPT the values that
    agents changed and that stay. MEMORY counts characters and their limit.
    An own block that is as declared is a part of the row of its agent.

    With --watch, a terminal is drawn again. In a pipe, the rows that changed are added, with --json one object per line
    for each change. Ctrl-C ends it with exit code 130.
    """
    from lettaform import flow

    if asked.json and form in ("wide", "name"):
        raise click.UsageError(f"--json cannot be combined with -o {form}")
    if interval is not None and not watch:
        raise click.UsageError("--interval needs --watch")
    asked = remember(replace(asked, json=asked.json or form == "json"))
    options = flow.StatusOptions(patterns, tags, shard)

    def read() -> StackStatus:
        return flow.status(asked.source(), asked.connection(), options)

    shown = _Shown(asked, form)
    if watch:
        return _watch(read, shown, 5.0 if interval is None else interval)
    shown.first(read())
    return 0


class _Shown:
    """Prints a status in the form that was asked for. `now` is the status that was printed last."""

    def __init__(self, asked: Globals, form: str | None) -> None:
        self.asked, self.form = asked, form
        self.redraws = not asked.json and form != "name" and _can_redraw()
        self.now: StackStatus | None = None

    def look(self) -> Look:
        """How it is shown at this moment: a terminal may have another size by now."""
        from lettaform.render.status import Look

        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        return Look(datetime.now(UTC), self.form == "wide", width, self.asked.color)

    def first(self, found: StackStatus) -> None:
        """Print all of a status."""
        from lettaform.render import data, text
        from lettaform.render import status as render
        from lettaform.render.paint import Paint

        self.now = found
        if self.asked.json:
            click.echo(data.dumps(render.to_data(found), indent=2))
        elif self.form == "name":
            click.echo(render.names(found), nl=False)
        else:
            click.echo(render.text(found, self.look()), nl=False)
            return
        for line in text.warnings(found.warnings, Paint()):
            click.echo(line, err=True)

    def again(self, found: StackStatus) -> None:
        """Print what differs from the status that was printed last."""
        from lettaform.render import data
        from lettaform.render import status as render

        before, self.now = self.now, found
        if self.asked.json:
            if before is None or render.differs(before, found):
                click.echo(data.dumps(render.to_data(found)))
        elif before is None:
            self.first(found)
        elif self.form == "name":
            click.echo(render.names(render.changed(before, found)), nl=False)
        else:
            for line in render.changed_rows(before, found, self.look()):
                click.echo(line)

    def draw(self, found: StackStatus, note: str) -> None:
        """Draw the whole terminal again."""
        from lettaform.render import status as render

        height = shutil.get_terminal_size().lines
        lines = render.screen(found, self.look(), height - 1, [note]).split("\n")
        begin = _HOME if self.now else _CLEAR + _HOME
        self.now = found
        click.echo(begin + "".join(f"{line}{_END_OF_LINE}\n" for line in lines) + _BELOW, nl=False, color=True)


def _can_redraw() -> bool:
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def _watch(read: Read, shown: _Shown, interval: float) -> int:
    """Print the status until Ctrl-C. An error of the first read ends it; later ones are shown, and may pass."""
    try:
        while True:
            try:
                found, error = read(), None
            except LettaformError as raised:
                if shown.now is None:
                    raise
                found, error = shown.now, raised
            _print(shown, found, error, interval)
            time.sleep(interval)
    except KeyboardInterrupt:  # asyncio raises it once the requests under way are cancelled
        if shown.redraws:
            click.echo()
        return 130


def _print(shown: _Shown, found: StackStatus, error: LettaformError | None, interval: float) -> None:
    if shown.redraws:
        from lettaform.render.clean import clean_line

        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        note = f"Error: {clean_line(error.message)}. It is tried again." if error else f"Read at {clock}."
        shown.draw(found, f"{note} Every {interval:g} s; Ctrl-C ends it.")
    elif error is None:
        shown.again(found)
    else:
        _report(shown, error)


def _report(shown: _Shown, error: LettaformError) -> None:
    from lettaform.render import data, problems

    if shown.asked.json:
        click.echo(data.dumps(data.error(error)))
    else:
        click.echo(problems.error(error, color=False), err=True, nl=False)
