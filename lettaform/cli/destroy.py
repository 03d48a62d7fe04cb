"""`lettaform destroy`: delete all objects of the stack."""

from __future__ import annotations

import click

from lettaform.cli import Globals
from lettaform.cli.apply import carry_out, parallel, yes
from lettaform.cli.lock import locking
from lettaform.cli.plan import allow_destroy


@click.command()
@yes
@parallel
@allow_destroy
@locking
@click.pass_obj
def destroy(asked: Globals, /, yes: bool, parallel: int, allow_destroy: tuple[str, ...], patience: float | None) -> int:
    """Delete all objects of the stack. Shows them and asks for confirmation. No other object is changed.

    Their values and agent files are written to .lettaform/snapshots first.
    """
    from lettaform import flow

    options = flow.PlanOptions(destroy=True, allow_destroy=allow_destroy)
    return carry_out(
        asked,
        yes,
        "Destroy",
        "lettaform destroy -y",
        lambda consent, notify: flow.apply(
            asked.source(),
            asked.connection(patience),
            options,
            consent=consent,
            interactive=not yes,
            notify=notify,
            parallel=parallel,
        ),
    )
