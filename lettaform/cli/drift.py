"""`lettaform drift`: show what changed on the server since the last apply."""

from __future__ import annotations

from typing import Any

import click

from lettaform.cli import Globals
from lettaform.cli.plan import narrowing, shard, show_drift


@click.command()
@shard
@narrowing
@click.pass_obj
def drift(asked: Globals, /, **options: Any) -> int:
    """Show what changed on the server, outside of lettaform, since the last apply. Nothing is written.

    Fields that an apply writes back, objects that are missing, and values that agents changed and that are kept. What
    the manifest changes and no apply has written yet is no drift: `lettaform plan` shows it.

    Exits with 2 if an apply would write something back or create something again, and with 0 otherwise.
    """
    return show_drift(asked, **options).exit_code
