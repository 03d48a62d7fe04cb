"""`lettaform snapshot`: write, list, show, verify and compare snapshots of a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from lettaform.cli import Globals, Verbs
from lettaform.cli.completion import addresses_of_snapshot, snapshots
from lettaform.cli.plan import without_messages

if TYPE_CHECKING:
    from lettaform.snapshot import Snapshot

F = TypeVar("F", bound=Callable[..., Any])

snapshot_dir = click.option(
    "--snapshot-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where a snapshot of what is destroyed or changed is written. Default: the manifest's `snapshots.to`, or "
    ".lettaform/snapshots.",
)


def directory(command: F) -> F:
    """-o and --snapshot-dir of the verbs about snapshots."""
    return click.option(
        "-o",
        "--snapshot-dir",
        "directory",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Folder of the snapshots. Default: the manifest's `snapshots.to`, or .lettaform/snapshots.",
    )(command)


@click.group(cls=Verbs)
def snapshot() -> None:
    """Write, list, show, verify and compare snapshots of the stack.

    A snapshot is a folder: an agent file for each conversation and each agent that has run, and `snapshot.json` with
    everything that agent files lose. It contains no secrets, and only its owner can read it.
    """


@snapshot.command()
@directory
@without_messages
@click.pass_obj
def create(asked: Globals, /, directory: Path | None, without_messages: tuple[str, ...]) -> None:
    """Write a snapshot of everything that the stack owns. Nothing is written to the server.

    The files are read back and compared with the server. Files of agents that have not changed since the last snapshot
    in the folder are linked.
    """
    from lettaform import flow
    from lettaform.errors import Problem
    from lettaform.render import data, snapshots

    warnings = list[Problem]()
    folder = flow.snapshot_create(
        asked.source(), asked.connection(), directory, without_messages=without_messages, warn=warnings.append
    )
    body = _body(flow.snapshot_read(folder))
    if asked.json:
        shown = {"path": str(folder), "digest": body["digest"], "objects": len(body["objects"])}
        lacking = [data.problem(each) for each in warnings]
        click.echo(data.dumps(shown | ({"warnings": lacking} if lacking else {})))
    else:
        for each in warnings:
            click.echo(snapshots.warning(each))
        click.echo(snapshots.head(body, str(folder), color=asked.color), nl=False)


@snapshot.command("list")
@directory
@click.pass_obj
def list_(asked: Globals, /, directory: Path | None) -> None:
    """List the snapshots in a folder, oldest first. Reads no server."""
    from lettaform import flow
    from lettaform.errors import LettaformError
    from lettaform.render import data, snapshots

    where = directory or flow.snapshot_directory(asked.source())
    rows: list[dict[str, Any]] = []
    for path, found in flow.snapshot_list(where):
        if isinstance(found, LettaformError):
            rows.append({"name": path.name, "error": found.message})
        else:
            rows.append({"name": path.name, "snapshot": _body(found), "bytes": _size(found)})
    if asked.json:
        click.echo(data.dumps({"directory": str(where), "snapshots": [_summary(row) for row in rows]}, indent=2))
    else:
        click.echo(snapshots.table(rows, str(where), color=asked.color), nl=False)


@snapshot.command()
@click.argument("name", metavar="SNAPSHOT", shell_complete=snapshots)
@click.argument("address", required=False, shell_complete=addresses_of_snapshot)
@directory
@click.pass_obj
def show(asked: Globals, /, name: str, address: str | None, directory: Path | None) -> None:
    """Show a snapshot, and with ADDRESS the values of its objects; * stands for any text. Reads no server.

    SNAPSHOT is a folder, its name in the folder of the snapshots, or `latest`.
    """
    from lettaform import flow
    from lettaform.render import data, objects, snapshots

    folder = folder_of(asked, name, directory)
    found = flow.snapshot_read(folder)
    lives = flow.snapshot_objects(found, address)
    if asked.json and address:
        click.echo(data.dumps({"objects": [data.live(live, mark=True) for live in lives]}, indent=2))
    elif asked.json:
        click.echo(data.dumps({"path": str(folder), **_body(found)}, indent=2))
    elif address:
        click.echo(objects.objects(lives, color=asked.color, verbose=asked.verbose), nl=False)
    else:
        click.echo(snapshots.head(_body(found), str(folder), color=asked.color))
        click.echo(objects.table(lives, color=asked.color), nl=False)


@snapshot.command()
@click.argument("name", metavar="SNAPSHOT", shell_complete=snapshots)
@directory
@click.pass_obj
def verify(asked: Globals, /, name: str, directory: Path | None) -> int:
    """Check that a snapshot is whole and can be restored. Names each fault; exit code 1 if there is one.

    Every file is read and compared with its checksum. Reads no server.
    """
    from lettaform import flow
    from lettaform.render import data, snapshots

    folder = folder_of(asked, name, directory)
    problems = flow.snapshot_verify(folder)
    whole = all(each.severity != "error" for each in problems)
    if asked.json:
        shown = {"path": str(folder), "whole": whole, "problems": [data.problem(each) for each in problems]}
        click.echo(data.dumps(shown, indent=2))
    else:
        click.echo(snapshots.verdict(problems, str(folder), color=asked.color), nl=False)
    return 0 if whole else 1


@snapshot.command()
@click.argument("old", metavar="SNAPSHOT", shell_complete=snapshots)
@click.argument("new", metavar="SNAPSHOT|live", shell_complete=snapshots)
@click.option("--detailed-exitcode", is_flag=True, help="Exit with code 2 if there are differences.")
@directory
@click.pass_obj
def diff(asked: Globals, /, old: str, new: str, detailed_exitcode: bool, directory: Path | None) -> int:
    """Show what changed from a snapshot to another one, or to the server with `live`.

    Objects are compared by address, and values by field. Objects that other stacks own are left out.
    """
    from lettaform import flow
    from lettaform.render import data, snapshots, text

    first = folder_of(asked, old, directory)
    second = None if new == "live" else folder_of(asked, new, directory)
    found = flow.snapshot_diff(asked.source(), asked.connection(), first, second)
    if asked.json:
        changes = [data.change_data(change) for change in found.changes]
        lacking = {"without_messages": list(found.without_messages)} if found.without_messages else {}
        click.echo(data.dumps({"changes": changes, "names": dict(found.names), **lacking}, indent=2))
        return 2 if detailed_exitcode and found.changes else 0
    for each in found.without_messages:
        click.echo(snapshots.not_compared(each))
    if found.changes:
        click.echo(text.changes(found.changes, found.names, color=asked.color, verbose=asked.verbose), nl=False)
    else:
        click.echo("No differences.")
    return 2 if detailed_exitcode and found.changes else 0


def folder_of(asked: Globals, name: str, directory: Path | None) -> Path:
    from lettaform import flow

    if directory is None and Path(name).is_dir():
        return Path(name)
    return flow.snapshot_find(name, directory or flow.snapshot_directory(asked.source()))


def _body(found: Snapshot) -> dict[str, Any]:
    from lettaform.snapshot.format import to_json

    return to_json(found)


def _size(found: Snapshot) -> int:
    return sum(each.bytes for each in found.files.values())


def _summary(row: Mapping[str, Any]) -> dict[str, Any]:
    """One line of `snapshot list --json`."""
    if "error" in row:
        return {"name": row["name"], "error": row["error"]}
    body = row["snapshot"]
    kept = {key: body[key] for key in ("created_at", "stack", "environment", "scope", "server", "git", "digest")}
    lacking = [each["address"] or each["id"] for each in body["objects"] if each.get("without_messages")]
    return {
        "name": row["name"],
        **kept,
        "objects": len(body["objects"]),
        "bytes": row["bytes"],
        **({"without_messages": lacking} if lacking else {}),
    }
