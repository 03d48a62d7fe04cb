"""`lettaform check`: conversations with throw-away copies of agents, and what is expected of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from lettaform.cli import Globals, until_closed
from lettaform.cli.completion import checks
from lettaform.cli.formats import Formats, with_formats
from lettaform.cli.lock import locking

if TYPE_CHECKING:
    from lettaform.model import Checked, CheckResult

FORMATS = ("text", "json", "markdown", "junit")


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=checks)
@click.option(
    "--plan",
    "planned",
    is_flag=True,
    help="Check the agents as an apply would leave them, and not as they are.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="Maximum number of copies at the same time.",
)
@locking
@click.pass_obj
@with_formats(FORMATS, "the results", "junit=checks.xml")
def check(
    asked: Globals,
    /,
    names: tuple[str, ...],
    planned: bool,
    parallel: int,
    patience: float | None,
    chosen: Formats,
) -> int:
    """Run the checks of the manifest: talk to copies of its agents, and compare what they do with what is expected.

    Every run of a check talks to a new copy of the agent, with copies of all its memory blocks, which are deleted
    afterwards. The agents, their memory and their messages do not change. Tools run, unless `deny_tools` names them.

    With NAME, only these checks run; * stands for any text. The exit code is 3 if a check does not pass.
    """
    from lettaform import flow

    options = flow.CheckOptions(names, planned, parallel, printed(asked, chosen.shown == "text"))
    found = flow.check(asked.source(), asked.connection(patience), options)
    click.echo(document(found, chosen.shown, asked), nl=False)
    chosen.write_each(lambda form: document(found, form))
    return found.exit_code


def printed(asked: Globals, shown: bool, *, err: bool = False) -> Callable[[CheckResult], None]:
    """Prints a line for each result as soon as it is there. `shown`: False: prints nothing. `err`: on stderr."""
    if not shown:
        return lambda result: None
    from lettaform.render.checks import line

    write = until_closed(partial(click.echo, err=err))
    return lambda result: write(line(result, color=asked.color))


def document(found: Checked, form: str, asked: Globals | None = None) -> str:
    """The results in a format. `asked`: for a terminal; None: for a file, which also has what passed."""
    from lettaform.render import checks as render
    from lettaform.render import data

    if form == "json":
        return data.dumps(render.to_data(found), indent=2) + "\n"
    if form == "markdown":
        return render.markdown(found)
    if form == "junit":
        return render.junit(found)
    if asked is None:
        return "".join(f"{render.line(each)}\n" for each in found.results) + "\n" + render.text(found)
    details = render.text(found, color=asked.color, verbose=asked.verbose)
    return f"\n{details}" if found.results else details
