"""`lettaform migrate`: bring a stack from one server to another, and compare both."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import click

from lettaform.cli import Globals
from lettaform.cli.apply import announced, carry_out, parallel, repeated, yes
from lettaform.cli.completion import addresses
from lettaform.cli.lock import locking
from lettaform.cli.plan import without_messages
from lettaform.cli.snapshot import snapshot_dir


class KeyVariable(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.3
    """The name of an environment variable with a key. What is no name is not repeated: it may be the key itself."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", value):
            self.fail("expected the name of an environment variable, and not the key", param, ctx)
        return str(value)


@click.command()
@click.argument("addresses", metavar="[ADDRESS]...", shell_complete=addresses, nargs=-1)
@click.option("--from", "first", metavar="URL", required=True, help="The server that has the stack.")
@click.option("--to", "second", metavar="URL", required=True, help="The server that gets it.")
@click.option(
    "--from-key-env",
    "first_key",
    type=KeyVariable(),
    metavar="NAME",
    help="Environment variable with the key of the first server. Default: LETTA_API_KEY if LETTA_BASE_URL names it.",
)
@click.option(
    "--to-key-env",
    "second_key",
    type=KeyVariable(),
    metavar="NAME",
    help="Environment variable with the key of the second server. Default: LETTA_API_KEY if LETTA_BASE_URL names it.",
)
@yes
@parallel
@snapshot_dir
@without_messages
@locking
@click.pass_obj
def migrate(
    asked: Globals,
    /,
    addresses: tuple[str, ...],
    first: str,
    second: str,
    first_key: str | None,
    second_key: str | None,
    yes: bool,
    parallel: int,
    snapshot_dir: Path | None,
    without_messages: tuple[str, ...],
    patience: float | None,
) -> int:
    """Bring the stack from one server to another, and compare both afterwards. Shows the plan and asks.

    What agents learned comes along: memory, messages, passages, files, attachments, and lettaform's marks, so that the
    plan for the new server is empty afterwards. Nothing is written to the first server: a snapshot of it is taken, and
    kept. The same command continues a migration that was interrupted. With ADDRESS, only these objects are brought; *
    stands for any text.

    Afterwards, both servers are compared with the snapshot. Exit code 5: the second one has not everything as it was.
    Exit code 6: the first one has changed since. Secrets are in no snapshot: they come from the manifest and its
    variables.
    """
    from lettaform import flow

    tokens = _key("--from-key-env", first_key), _key("--to-key-env", second_key)
    urls = {"from": (first,), "to": (second,)}
    keys = {"from_key_env": (first_key,) if first_key else (), "to_key_env": (second_key,) if second_key else ()}
    options = {**urls, **keys, "snapshot_dir": snapshot_dir, "without_messages": without_messages}
    words = repeated("migrate", options, *addresses)
    return carry_out(
        asked,
        yes,
        "Carry out",
        words,
        lambda consent, notify: flow.migrate(
            asked.source(),
            asked.connection(patience, url=first, token=tokens[0]),
            asked.connection(patience, url=second, token=tokens[1]),
            addresses,
            without_messages=without_messages,
            consent=consent,
            interactive=not yes,
            notify=notify,
            parallel=parallel,
            snapshots=announced(asked, snapshot_dir, changed=True),
        ),
    )


def _key(option: str, name: str | None) -> str | None:
    """The key in an environment variable; None if none is named."""
    if name is not None and not os.environ.get(name):
        raise click.BadParameter("no environment variable has this name, or it is empty", param_hint=option)
    return os.environ[name] if name is not None else None
