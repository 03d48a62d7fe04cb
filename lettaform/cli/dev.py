"""`lettaform dev`: run a Letta server on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import click

from lettaform import local
from lettaform.cli import Globals, Verbs
from lettaform.errors import LocalError

_port = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=local.DEFAULT_PORT,
    show_default=True,
    help="Port on 127.0.0.1 that the server listens on.",
)
_data = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the server's data. Default: one folder per port.",
)


@click.group(cls=Verbs)
def dev() -> None:
    """Run a Letta server on this machine, installed from PyPI, with its own PostgreSQL.

    Docker and API keys are not needed.
    """


@dev.command()
@_port
@_data
@click.option(
    "--letta",
    metavar="RELEASE",
    help=f"Letta release to install, for example 0.16.2. Default: {local.LETTA}, or the release that created the data.",
)
@click.option("--echo-model", is_flag=True, help="Add a model that needs no API key and repeats its input.")
@click.option("--password", help="Bearer token that every request must send.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=120,
    show_default=True,
    help="Maximum number of seconds until the server is ready.",
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
    """Start the server, unless it is running. The first start installs it. Port 0 selects a free port."""
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
    chosen = urlsplit(server.url).port
    if chosen != local.DEFAULT_PORT:
        click.echo(f"  use        export LETTA_BASE_URL={server.url}")
    click.echo(f"  stop       lettaform dev down --port {chosen}")


@dev.command()
@click.option("--port", type=click.IntRange(1, 65535), help=f"Port of the server. Default: {local.DEFAULT_PORT}.")
@_data
@click.option("--purge", is_flag=True, help="Also delete the server's data.")
@click.option("--all", "everything", is_flag=True, help="Stop all servers that were started on this machine.")
@click.pass_obj
def down(asked: Globals, /, port: int | None, data: Path | None, purge: bool, everything: bool) -> None:
    """Stop the server. Its data is kept unless --purge is given."""
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
        click.echo("no server to stop")


@dev.command()
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the server. Default: all servers.")
@_data
@click.pass_obj
def status(asked: Globals, /, port: int | None, data: Path | None) -> None:
    """List the servers on this machine.

    Columns: URL, condition, Letta release, folder of the data.
    """
    found = local.status(port, data)
    if asked.json:
        names = ("url", "condition", "version", "model", "embedding", "data", "pid")
        servers = [{name: getattr(known, name) for name in names} for known in found]
        click.echo(json.dumps({"servers": servers}, default=str))
        return
    for known in found:
        click.echo(f"{known.url}  {known.condition:8}  Letta {known.version}  {known.data}")
    if not found:
        click.echo("no server on this machine; `lettaform dev up` starts one")


@dev.command()
@_port
@_data
@click.option(
    "-n", "--lines", type=click.IntRange(min=0), default=50, show_default=True, help="Number of lines to print."
)
@click.option("-f", "--follow", is_flag=True, help="Print new lines as they are written, until Ctrl-C.")
@click.option("--postgres", is_flag=True, help="Print the log of the server's PostgreSQL.")
@click.pass_obj
def logs(asked: Globals, /, port: int, data: Path | None, lines: int, follow: bool, postgres: bool) -> None:
    """Print the last lines of the server's log."""
    of: Literal["letta", "postgres"] = "postgres" if postgres else "letta"
    for line in local.logs(port, data, lines=lines, follow=follow, of=of):
        click.echo(json.dumps({"line": line}) if asked.json else line)
