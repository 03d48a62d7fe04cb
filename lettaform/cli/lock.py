"""`lettaform lock`: who applies right now. And the options of the verbs that hold it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from lettaform.cli import Globals
from lettaform.errors import LettaformError


def locking(verb: Callable[..., Any]) -> Callable[..., Any]:
    """A verb that is alone on its stack; it gets `patience`: seconds, or None without a lock."""

    @click.option(
        "--lock-timeout",
        type=click.FloatRange(min=0),
        default=60,
        show_default=True,
        metavar="SECONDS",
        help="Wait so long for another apply to end; a dead one is noticed within 15.",
    )
    @click.option("--no-lock", is_flag=True, help="Go without the lock, where nobody else can apply meanwhile.")
    @wraps(verb)
    def wrapped(*words: Any, lock_timeout: float, no_lock: bool, **named: Any) -> Any:
        return verb(*words, patience=None if no_lock else lock_timeout, **named)

    return wrapped


@click.group()
def lock() -> None:
    """Who applies right now: one at a time holds the stack's lock."""


@lock.command()
@click.pass_obj
def show(asked: Globals, /) -> None:
    """Show who holds the lock, since when."""
    from lettaform import flow
    from lettaform.render import data
    from lettaform.render.clean import clean_line

    held = flow.lock_show(asked.source(), asked.connection())
    if asked.json:
        told = {"holder": held.holder, "since": held.since, "run": held.run, "id": held.id} if held else None
        click.echo(data.dumps({"lock": told}))
    elif held is None:
        click.echo("Nobody holds the lock.")
    else:
        click.echo(clean_line(f"{held.holder} since {held.since}" + (f", run {held.run}" if held.run else "")))


@lock.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def release(asked: Globals, /, yes: bool) -> None:
    """Take the lock from whoever holds it. Only for a run that is dead: a living one stops at its next beat.

    Takes some seconds: a dead run may have sent what the server has not done yet, and nobody may begin before that.
    """
    from lettaform import flow
    from lettaform.cli import ask, can_ask
    from lettaform.render import data
    from lettaform.render.clean import clean_line

    held = flow.lock_show(asked.source(), asked.connection())
    if held is None:
        raise LettaformError("nobody holds the lock")
    if not yes and not can_ask():
        raise LettaformError("nobody is there to agree", "`lettaform lock release -y` needs no question")
    if not yes and not ask(f"Take the lock from {clean_line(held.holder)}, who has it since {held.since}?"):
        raise LettaformError("nothing was done")
    flow.lock_release(asked.source(), asked.connection(), held)
    click.echo(data.dumps({"released": held.id}) if asked.json else f"Released: {clean_line(held.holder)} held it.")
