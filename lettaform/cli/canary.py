"""`lettaform canary`: try a change of an agent on copies beside it, compare both, and apply or drop the change."""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lettaform.cli import Globals, Verbs
from lettaform.cli.apply import announced, parallel, plan_or_carry_out, repeated, save, yes
from lettaform.cli.check import FORMATS, printed
from lettaform.cli.completion import agents, checks
from lettaform.cli.formats import Formats, formatted, with_formats
from lettaform.cli.lock import locking
from lettaform.cli.snapshot import snapshot_dir

if TYPE_CHECKING:
    from lettaform.model import Compared

addresses = click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True, shell_complete=agents)


@click.group(cls=Verbs)
def canary() -> None:
    """Try a change of an agent on copies beside it, compare both with checks, and apply or drop the change.

    The agent stays as it is, and so does its memory. Until the canary ends, `plan` and `apply` leave the agent out.
    """


@canary.command()
@addresses
@click.option(
    "--copies",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Number of copies of each agent. Default: as many as there are, or else 1.",
)
@click.option(
    "--memory",
    type=click.Choice(["copy", "isolated"]),
    default="copy",
    show_default=True,
    help="copy: the blocks of the copies begin with the text that those of the agent have now. isolated: with that of "
    "the manifest.",
)
@click.option(
    "--shared",
    is_flag=True,
    help="Attach the shared blocks and the archive of the agent themselves: the copies can change them. Otherwise they "
    "get copies of the blocks, and no archive.",
)
@save
@yes
@parallel
@locking
@click.pass_obj
@formatted
def start(
    asked: Globals,
    /,
    addresses: tuple[str, ...],
    copies: int | None,
    memory: str,
    shared: bool,
    save: Path | None,
    yes: bool,
    parallel: int,
    patience: float | None,
    chosen: Formats,
) -> int:
    """Create copies of an agent as the manifest declares it now, beside the agent. Shows the plan and asks.

    The first copy of agents.clerk is agents.clerk@canary-1; its tag is canary:agents.clerk. Send it messages, or a
    share of the traffic of your application. The agent stays as it is: `plan` and `apply` hold its changes back until
    `canary promote` or `canary remove`.

    Run it again to bring a later change of the manifest to the copies, or to complete an interrupted start. `status`
    lists the copies. With ADDRESS, a key alone is that of an agent; * stands for any text.
    """
    from lettaform import flow

    options = flow.CanaryOptions(copies, "isolated" if memory == "isolated" else "copy", shared)
    source, connection = asked.source(), asked.connection(patience)
    run = partial(flow.canary_start, source, connection, addresses, options, parallel=parallel)
    given = {"copies": (str(copies),) if copies else (), "memory": (memory,), "shared": shared, **chosen.given}
    return plan_or_carry_out(asked, yes, save, repeated("canary start", given, *addresses), run, chosen)


@canary.command()
@addresses
@save
@yes
@parallel
@snapshot_dir
@locking
@click.pass_obj
@formatted
def promote(
    asked: Globals,
    /,
    addresses: tuple[str, ...],
    save: Path | None,
    yes: bool,
    parallel: int,
    snapshot_dir: Path | None,
    patience: float | None,
    chosen: Formats,
) -> int:
    """Apply the change of an agent that has a canary, and remove its copies. Shows the plan and asks.

    The agent gets what the manifest declares; its memory stays, as with every apply. Then the copies are deleted, after
    a snapshot of them.
    """
    from lettaform import flow

    snapshots = announced(asked, snapshot_dir, err=chosen.is_document)
    source, connection = asked.source(), asked.connection(patience)
    run = partial(flow.canary_promote, source, connection, addresses, parallel=parallel, snapshots=snapshots)
    command = repeated("canary promote", {"snapshot_dir": snapshot_dir, **chosen.given}, *addresses)
    return plan_or_carry_out(asked, yes, save, command, run, chosen)


@canary.command()
@addresses
@save
@yes
@parallel
@snapshot_dir
@locking
@click.pass_obj
@formatted
def remove(
    asked: Globals,
    /,
    addresses: tuple[str, ...],
    save: Path | None,
    yes: bool,
    parallel: int,
    snapshot_dir: Path | None,
    patience: float | None,
    chosen: Formats,
) -> int:
    """Remove the copies of an agent that has a canary. Shows the plan and asks. The agent stays as it is.

    The copies are deleted after a snapshot of them. The change in the manifest is not dropped: the next apply carries
    it out, unless you take it back.
    """
    from lettaform import flow

    snapshots = announced(asked, snapshot_dir, err=chosen.is_document)
    source, connection = asked.source(), asked.connection(patience)
    run = partial(flow.canary_remove, source, connection, addresses, parallel=parallel, snapshots=snapshots)
    command = repeated("canary remove", {"snapshot_dir": snapshot_dir, **chosen.given}, *addresses)
    return plan_or_carry_out(asked, yes, save, command, run, chosen)


@canary.command()
@click.argument("addresses", metavar="[ADDRESS]...", nargs=-1, shell_complete=agents)
@click.option(
    "--check",
    "names",
    metavar="NAME",
    multiple=True,
    shell_complete=checks,
    help="Only these checks; * stands for any text. Repeatable.",
)
@click.option(
    "--parallel",
    type=click.IntRange(1, 64),
    default=4,
    show_default=True,
    metavar="N",
    help="Maximum number of throw-away copies at the same time.",
)
@locking
@click.pass_obj
@with_formats(FORMATS, "the comparison", "junit=checks.xml")
def check(
    asked: Globals,
    /,
    addresses: tuple[str, ...],
    names: tuple[str, ...],
    parallel: int,
    patience: float | None,
    chosen: Formats,
) -> int:
    """Run the checks of an agent on it and on its canary, and show both side by side.

    As with `lettaform check`, each run talks to a throw-away copy: of the agent as it is on the server, and of the
    first copy of the canary. The exit code is 3 if a check does not pass on the canary; on the agent, it does not
    matter. Without ADDRESS, all agents that have a canary are checked.
    """
    from lettaform import flow

    options = flow.CheckOptions(names, parallel=parallel, notify=printed(asked, chosen.shown == "text"))
    found = flow.canary_check(asked.source(), asked.connection(patience), addresses, options)
    click.echo(_document(found, chosen.shown, asked), nl=False)
    chosen.write_each(lambda form: _document(found, form))
    return found.exit_code


def _document(found: Compared, form: str, asked: Globals | None = None) -> str:
    """The comparison in a format. `asked`: for a terminal; None: for a file."""
    from lettaform.render import compared, data

    if form == "json":
        return data.dumps(compared.to_data(found), indent=2) + "\n"
    if form == "markdown":
        return compared.markdown(found)
    if form == "junit":
        return compared.junit(found)
    if asked is None:
        return compared.text(found)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return "\n" + compared.text(found, color=asked.color, verbose=asked.verbose, width=width)
