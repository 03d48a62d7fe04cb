"""`lettaform dev`: run a real Letta server on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import click

from lettaform import local
from lettaform.cli import Globals
from lettaform.errors import LocalError

_port = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=local.DEFAULT_PORT,
    show_default=True,
    help="Port of the server, on 127.0.0.1.",
)
_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of its data. Default: one for each port.",
)


@click.group()
def dev() -> None:
    """Run a real Letta server on this machine, from PyPI, with its own PostgreSQL, without Docker or an API key."""


@dev.command()
@_port
@_data
@click.option(
    "--letta",
    metavar="RELEASE",
    help=f"Release to run instead of {local.LETTA}; data need the release that created them.",
)
@click.option("--echo-model", is_flag=True, help="Add a model that repeats the last message and needs no key.")
@click.option("--password", help="Bearer token that every request needs.")
@click.option(
    "--timeout", type=click.FloatRange(min=1), default=120, show_default=True, help="Seconds until it is healthy."
)
@click.pass_obj
def up(
    asked: Globals,
    /,
    port: int,
    data: Path | None,
    letta: str | None,
    echo_model: bool,
    password: str | None,
    timeout: float,
) -> None:
    """Start a server, or find it running. Installs Letta the first time. Port 0 chooses a free port."""
    server = local.up(
        port,
        data,
        letta=letta,
        echo_model=echo_model,
        password=password,
        timeout=timeout,
        progress=lambda line: click.echo(line, err=True),
    )
    if asked.json:
        names = ("url", "version", "model", "embedding", "data", "pid")
        click.echo(json.dumps({name: getattr(server, name) for name in names}, default=str))
        return
    click.echo(f"Letta {server.version} is running at {server.url}")
    click.echo(f"  model      {server.model}")
    click.echo(f"  embedding  {server.embedding}")
    click.echo(f"  log        {server.log}")
    click.echo(f"  stop it    lettaform dev down --port {server.url.rpartition(':')[2]}")


@dev.command()
@click.option("--port", type=click.IntRange(1, 65535), help=f"[default: {local.DEFAULT_PORT}]")
@_data
@click.option("--purge", is_flag=True, help="Also delete its data.")
@click.option("--all", "everything", is_flag=True, help="All servers that were started on this machine.")
@click.pass_obj
def down(asked: Globals, /, port: int | None, data: Path | None, purge: bool, everything: bool) -> None:
    """Stop a server. Its data stay, unless --purge is given."""
    if everything and (port is not None or data is not None):
        raise LocalError("--all cannot be combined with --port or --data")
    folders = [known.data for known in local.status()] if everything else [data]
    stopped = []
    for folder in folders:
        ran = local.down(port or local.DEFAULT_PORT, folder, purge=purge)
        name = f"the server of {folder}" if folder else f"the server on port {port or local.DEFAULT_PORT}"
        stopped.append({"server": name, "ran": ran, "purged": purge})
    if asked.json:
        click.echo(json.dumps({"stopped": stopped}))
        return
    for each in stopped:
        line = f"stopped {each['server']}" if each["ran"] else f"{each['server']} was not running"
        click.echo(line + (", data deleted" if purge else ""))
    if not stopped:
        click.echo("nothing to stop")


@dev.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Only the server of this port. Default: all.")
@_data
@click.pass_obj
def status(asked: Globals, /, port: int | None, data: Path | None) -> None:
    """List the servers that run or were stopped, and their data folders."""
    found = local.status(port, data)
    if asked.json:
        names = ("url", "condition", "version", "model", "embedding", "data", "pid")
        servers = [{name: getattr(known, name) for name in names} for known in found]
        click.echo(json.dumps({"servers": servers}, default=str))
        return
    for known in found:
        click.echo(f"{known.url}  {known.condition:8}  Letta {known.version}  {known.data}")
    if not found:
        click.echo("no server; `lettaform dev up` starts one")


@dev.command()
@_port
@_data
@click.option("-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="Number of lines.")
@click.option("-f", "--follow", is_flag=True, help="Print new lines until Ctrl-C.")
@click.option("--postgres", is_flag=True, help="The log of PostgreSQL.")
@click.pass_obj
def logs(asked: Globals, /, port: int, data: Path | None, lines: int, follow: bool, postgres: bool) -> None:
    """Print the end of the log."""
    of: Literal["letta", "postgres"] = "postgres" if postgres else "letta"
    for line in local.logs(port, data, lines=lines, follow=follow, of=of):
        click.echo(json.dumps({"line": line}) if asked.json else line)
