"""`lettaform lock`: show and release the lock of the stack. Also the options of the verbs that take the lock."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from lettaform.cli import Globals, Verbs
from lettaform.errors import LettaformError


def locking(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Add the lock options to a verb. It gets `patience`: seconds to wait for the lock, or None to go without it."""

    @click.option(
        "--lock-timeout",
        type=click.FloatRange(min=0),
        default=60,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the lock of the stack. The lock of a crashed run is taken over within 30 seconds.",
    )
    @click.option(
        "--no-lock",
        is_flag=True,
        help="Do not take the lock. Use it only if no other run can change the stack at the same time.",
    )
    @wraps(verb)
    def wrapped(*words: Any, lock_timeout: float, no_lock: bool, **named: Any) -> Any:
        return verb(*words, patience=None if no_lock else lock_timeout, **named)

    return wrapped


@click.group(cls=Verbs)
def lock() -> None:
    """Show or release the lock of the stack. Only one run at a time can change a stack."""


@lock.command()
@click.pass_obj
def show(asked: Globals, /) -> None:
    """Show who holds the lock, and since when."""
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render.clean import clean_line

    held = flow.lock_show(asked.source(), asked.connection())
    if asked.json:
        shown = {"holder": held.holder, "since": held.since, "run": held.run, "id": held.id} if held else None
        click.echo(data.dumps({"lock": shown}))
    elif held is None:
        click.echo("The stack is not locked.")
    else:
        click.echo(
            clean_line(f"Locked by {held.holder} since {held.since}" + (f", run {held.run}" if held.run else ""))
        )


@lock.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@click.pass_obj
def release(asked: Globals, /, yes: bool) -> None:
    """Release the lock of a run that has ended without releasing it. A run that is still active stops.

    This takes some seconds, because the server may still be carrying out the last requests of that run.
    """
    from lettaform import flow
    from lettaform.cli import ask, can_ask
    from lettaform.render import data
    from lettaform.render.clean import clean_line

    held = flow.lock_show(asked.source(), asked.connection())
    if held is None:
        raise LettaformError("the stack is not locked", "there is nothing to release")
    if not yes and not can_ask():
        message = "confirmation is needed, but there is no terminal to ask on"
        raise LettaformError(message, "run `lettaform lock release -y`")
    if not yes and not ask(f"Release the lock that {clean_line(held.holder)} holds since {held.since}?"):
        raise LettaformError("cancelled; the lock was not released")
    flow.lock_release(asked.source(), asked.connection(), held)
    click.echo(data.dumps({"released": held.id}) if asked.json else f"Released the lock of {clean_line(held.holder)}.")
