"""`lettaform destroy`: delete all objects of the stack, or some of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from lettaform.cli import Globals
from lettaform.cli.apply import announced, carry_out, parallel, repeated, yes
from lettaform.cli.formats import Formats, formatted
from lettaform.cli.lock import locking
from lettaform.cli.plan import allow_destroy, narrowing, shard, without_messages
from lettaform.cli.snapshot import snapshot_dir


@click.command()
@yes
@parallel
@shard
@narrowing
@allow_destroy
@snapshot_dir
@without_messages
@locking
@click.pass_obj
@formatted
def destroy(
    asked: Globals,
    /,
    yes: bool,
    parallel: int,
    patience: float | None,
    snapshot_dir: Path | None,
    chosen: Formats,
    **options: Any,
) -> int:
    """Delete all objects of the stack, or those of --target or --shard. Shows them and asks for confirmation.

    No other object is changed. A snapshot of them is written and verified first, and its path is printed.
    """
    from lettaform import flow

    return carry_out(
        asked,
        yes,
        "Destroy",
        repeated("destroy", options | {"snapshot_dir": snapshot_dir, **chosen.given}),
        lambda consent, notify: flow.apply(
            asked.source(),
            asked.connection(patience),
            flow.PlanOptions(destroy=True, **options),
            consent=consent,
            interactive=not yes,
            notify=notify,
            parallel=parallel,
            snapshots=announced(asked, snapshot_dir, err=chosen.is_document),
        ),
        chosen,
    )
