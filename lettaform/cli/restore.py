"""`lettaform restore` and `rollback`: bring back the objects of a snapshot as they were."""

from __future__ import annotations

from pathlib import Path

import click

from lettaform.cli import Globals
from lettaform.cli.apply import announced, carry_out, parallel, repeated, yes
from lettaform.cli.completion import addresses_of_snapshot, snapshots, stacks
from lettaform.cli.lock import locking
from lettaform.cli.plan import without_messages
from lettaform.cli.snapshot import folder_of, snapshot_dir


@click.command()
@click.argument("name", metavar="SNAPSHOT", shell_complete=snapshots)
@click.argument("addresses", metavar="[ADDRESS]...", shell_complete=addresses_of_snapshot, nargs=-1)
@click.option(
    "--as",
    "stack",
    metavar="STACK",
    shell_complete=stacks,
    help="Restore as this stack, which may be another than the snapshot's.",
)
@yes
@parallel
@snapshot_dir
@without_messages
@locking
@click.pass_obj
def restore(
    asked: Globals,
    /,
    name: str,
    addresses: tuple[str, ...],
    stack: str | None,
    yes: bool,
    parallel: int,
    snapshot_dir: Path | None,
    without_messages: tuple[str, ...],
    patience: float | None,
) -> int:
    """Bring back the objects of a snapshot as they were. Shows the plan and asks for confirmation.

    Values, prompts, attachments, passages and files become those of the snapshot, and lettaform's marks, too: nothing
    that is restored counts as changed. Agents that no longer exist are created again with their messages; those that
    exist keep their messages. What the snapshot does not have stays. What is overwritten is kept in another snapshot.

    SNAPSHOT is a folder, its name in the folder of the snapshots, or `latest`. With ADDRESS, only these objects are
    restored; * stands for any text. Secrets are in no snapshot: those of objects that are created again come from the
    manifest and its variables.
    """
    from lettaform import flow

    found = folder_of(asked, name, snapshot_dir)
    options = {"as": (stack,) if stack else (), "snapshot_dir": snapshot_dir, "without_messages": without_messages}
    words = repeated("restore", options, name, *addresses)
    return carry_out(
        asked,
        yes,
        "Restore",
        words,
        lambda consent, notify: flow.restore(
            asked.source(),
            asked.connection(patience),
            found,
            addresses,
            stack=stack,
            without_messages=without_messages,
            consent=consent,
            interactive=not yes,
            notify=notify,
            parallel=parallel,
            snapshots=announced(asked, snapshot_dir, changed=True),
        ),
    )


@click.command()
@yes
@parallel
@snapshot_dir
@without_messages
@locking
@click.pass_obj
def rollback(
    asked: Globals,
    /,
    yes: bool,
    parallel: int,
    snapshot_dir: Path | None,
    without_messages: tuple[str, ...],
    patience: float | None,
) -> int:
    """Restore the snapshot that the last apply from this folder took. Shows the plan and asks for confirmation.

    An apply takes one of what it deletes. With --snapshot, or with `snapshots: {before: apply}` in the manifest, it
    also has what the apply changes. What it created stays. A rollback takes one, too: the next rollback undoes it.
    """
    from lettaform import flow

    return carry_out(
        asked,
        yes,
        "Roll back",
        repeated("rollback", {"snapshot_dir": snapshot_dir, "without_messages": without_messages}),
        lambda consent, notify: flow.rollback(
            asked.source(),
            asked.connection(patience),
            without_messages=without_messages,
            consent=consent,
            interactive=not yes,
            notify=notify,
            parallel=parallel,
            snapshots=announced(asked, snapshot_dir, changed=True),
        ),
    )
