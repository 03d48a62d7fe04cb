"""`lettaform destroy`: delete all objects of the stack, or some of them."""

from __future__ import annotations

from typing import Any

import click

from lettaform.cli import Globals
from lettaform.cli.apply import carry_out, parallel, repeated, yes
from lettaform.cli.lock import locking
from lettaform.cli.plan import allow_destroy, narrowing


@click.command()
@yes
@parallel
@narrowing
@allow_destroy
@locking
@click.pass_obj
def destroy(asked: Globals, /, yes: bool, parallel: int, patience: float | None, **options: Any) -> int:
    """Delete all objects of the stack, or those that --target names. Shows them and asks for confirmation.

    No other object is changed. Their values and agent files are written to .lettaform/snapshots first.
    """
    from lettaform import flow

    return carry_out(
        asked,
        yes,
        "Destroy",
        repeated("destroy", options),
        lambda consent, notify: flow.apply(
            asked.source(),
            asked.connection(patience),
            flow.PlanOptions(destroy=True, **options),
            consent=consent,
            interactive=not yes,
            notify=notify,
            parallel=parallel,
        ),
    )
