"""`lettaform from-af`: agent files to a manifest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from lettaform.cli import Globals

if TYPE_CHECKING:
    from lettaform.model import Imported


files = click.argument(
    "files", nargs=-1, required=True, metavar="FILE…", type=click.Path(dir_okay=False, path_type=Path)
)
out = click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write the manifest to. It must not exist, or be empty.",
)
stack = click.option("--stack", metavar="NAME", help="Name of the new stack. Default: the name of the first FILE.")
model = click.option(
    "--model", metavar="HANDLE", help="Model of all agents, with its own settings, in place of that of FILE."
)
allow_secrets = click.option(
    "--allow-secrets", is_flag=True, help="Also write texts that contain what looks like a key."
)
no_fold = click.option("--no-fold", is_flag=True, help="Write each agent by itself, without `for_each`.")


def show(asked: Globals, found: Imported) -> None:
    """Print what was written. Also used by the other verbs that write a manifest."""
    from lettaform.render import data, imported

    if asked.json:
        click.echo(data.dumps(data.imported(found), indent=2))
    else:
        click.echo(imported.imported(found, color=asked.color, verbose=asked.verbose), nl=False)


@click.command("from-af")
@files
@out
@stack
@model
@click.option(
    "--embedding", metavar="HANDLE", help="Embedding model of all agents and folders, in place of that of FILE."
)
@click.option("--every-block", is_flag=True, help="Also declare blocks that no agent has.")
@allow_secrets
@no_fold
@click.pass_obj
def from_af(
    asked: Globals,
    /,
    files: tuple[Path, ...],
    out: Path,
    stack: str | None,
    model: str | None,
    embedding: str | None,
    every_block: bool,
    allow_secrets: bool,
    no_fold: bool,
) -> None:
    """Write a manifest for what is in agent files (.af) to the folder DIR.

    Reads no server. `lettaform apply -C DIR` then creates the agents with their blocks, tools and folders. Names what
    a manifest cannot say, such as messages: `lettaform import --af FILE --as ADDRESS` creates an agent with them.
    """
    from lettaform import flow
    from lettaform.snapshot.agent_files import Options

    paths = [asked.directory / file for file in files]
    options = Options(model, embedding, every_block, allow_secrets)
    found = flow.from_agent_files(paths, asked.directory / out, options, stack=stack, fold=not no_fold)
    show(asked, found)
