"""`lettaform promote`: apply the manifest to an environment once another one has tried it, with what agents learned."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from lettaform.cli import Globals
from lettaform.cli.apply import announced, parallel, plan_or_carry_out, repeated, save, yes
from lettaform.cli.completion import addresses, environments
from lettaform.cli.formats import Formats, formatted
from lettaform.cli.lock import locking
from lettaform.cli.snapshot import snapshot_dir

if TYPE_CHECKING:
    from lettaform.model import MemoryPolicy


@click.command()
@click.argument("addresses", metavar="[ADDRESS]...", shell_complete=addresses, nargs=-1)
@click.option(
    "--from",
    "first",
    metavar="ENV",
    required=True,
    shell_complete=environments,
    help="The environment that has tried the manifest. Nothing is written there.",
)
@click.option(
    "--to",
    "second",
    metavar="ENV",
    required=True,
    shell_complete=environments,
    help="The environment that gets it.",
)
@click.option(
    "--memory",
    type=click.Choice(["keep", "copy", "merge"]),
    default="keep",
    show_default=True,
    help="keep: the memory of the second environment stays. copy: the texts of the first one replace it. merge: what "
    "both changed since the last promotion is merged, line by line.",
)
@click.option(
    "--ours",
    metavar="ADDRESS",
    multiple=True,
    shell_complete=addresses,
    help="Where a merge conflicts at this address, take the lines of the second environment. Repeatable.",
)
@click.option(
    "--theirs",
    metavar="ADDRESS",
    multiple=True,
    shell_complete=addresses,
    help="Where a merge conflicts at this address, take the lines of the first environment. Repeatable.",
)
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
    first: str,
    second: str,
    memory: str,
    ours: tuple[str, ...],
    theirs: tuple[str, ...],
    save: Path | None,
    yes: bool,
    parallel: int,
    snapshot_dir: Path | None,
    patience: float | None,
    chosen: Formats,
) -> int:
    """Apply the manifest to an environment once another one is as it declares. Shows the plan and asks.

    The definitions come from the manifest, in the second environment: `promote` refuses if the first one differs from
    it, because that would not be what has been tried. The memory that agents wrote is a matter of --memory; what it
    overwrites is shown, and kept in a snapshot.

    With ADDRESS, only these objects are promoted; * stands for any text. If a text cannot be merged, nothing is done,
    and the exit code is 4.
    """
    from lettaform import flow

    policy = cast("MemoryPolicy", memory)
    snapshots = announced(asked, snapshot_dir, changed=True, err=chosen.is_document)
    source, connection = asked.source(), asked.connection(patience)
    options: dict[str, Any] = {
        "memory": policy,
        "ours": ours,
        "theirs": theirs,
        "parallel": parallel,
        "snapshots": snapshots,
    }
    run = partial(flow.promote, source, connection, first, second, addresses, **options)
    given = {"from": (first,), "to": (second,), "memory": (memory,), "ours": ours, "theirs": theirs}
    command = repeated("promote", {**given, "snapshot_dir": snapshot_dir, **chosen.given}, *addresses)
    return plan_or_carry_out(asked, yes, save, command, run, chosen)
