"""`lettaform lock`: show and release the lock of the stack. Also the options of the verbs that take the lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click

from lettaform.cli import Globals, Verbs
from lettaform.cli.plan import shard
from lettaform.errors import LettaformError

if TYPE_CHECKING:
    from lettaform.model import Lock, Shard


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
    """Show or release the locks of the stack. Only one run at a time can change a stack, or a shard of it."""


def _held(held: Lock) -> str:
    """Who holds a lock, and since when, for people."""
    from lettaform.render.clean import clean_line

    what = f"Shard {held.shard}: locked" if held.shard else "Locked"
    return clean_line(f"{what} by {held.holder} since {held.since}" + (f", run {held.run}" if held.run else ""))


@lock.command()
@click.pass_obj
def show(asked: Globals, /) -> None:
    """Show who holds the lock, and since when. Each shard has a lock of its own."""
    from lettaform import flow
    from lettaform.render import data

    held = flow.lock_show(asked.source(), asked.connection())
    if asked.json:
        click.echo(data.dumps({"locks": [data.lock(each) for each in held]}))
        return
    for each in held:
        click.echo(_held(each))
    if not held:
        click.echo("The stack is not locked.")


@lock.command()
@click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")
@shard
@click.pass_obj
def release(asked: Globals, /, yes: bool, shard: Shard) -> None:
    """Release the lock of a run that has ended without releasing it. A run that is still active stops.

    This takes some seconds, because the server may still be carrying out the last requests of that run. If several
    shards are locked, --shard names one of them.
    """
    from lettaform import flow
    from lettaform.cli import ask, can_ask
    from lettaform.render import data
    from lettaform.render.clean import clean_line

    held = _chosen(flow.lock_show(asked.source(), asked.connection()), shard)
    if not yes and not can_ask():
        message = "confirmation is needed, but there is no terminal to ask on"
        raise LettaformError(message, "run `lettaform lock release -y`")
    what = f"the lock of shard {held.shard}" if held.shard else "the lock"
    if not yes and not ask(f"Release {what} that {clean_line(held.holder)} holds since {held.since}?"):
        raise LettaformError("cancelled; the lock was not released")
    flow.lock_release(asked.source(), asked.connection(), held)
    click.echo(data.dumps({"released": held.id}) if asked.json else f"Released the lock of {clean_line(held.holder)}.")


def _chosen(every: Sequence[Lock], shard: Shard) -> Lock:
    """The lock to release. LettaformError if there is none, or if it is not clear which."""
    found = [each for each in every if each.shard == shard] if shard else list(every)
    if len(found) == 1:
        return found[0]
    if not found:
        what = f"shard {shard}" if shard else "the stack"
        raise LettaformError(f"{what} is not locked", "there is nothing to release; `lettaform lock show` lists locks")
    names = ", ".join(str(each.shard) if each.shard else "the whole stack" for each in found)
    raise LettaformError(f"{len(found)} locks are held: {names}", "name one of them with `--shard`")
