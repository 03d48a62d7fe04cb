"""`lettaform from-lettactl`: manifests of lettactl to a manifest."""

from __future__ import annotations

from pathlib import Path

import click

from lettaform.cli import Globals
from lettaform.cli.from_af import allow_secrets, files, model, no_fold, out, show, stack


@click.command("from-lettactl")
@files
@out
@stack
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to which paths in FILE are relative. Default: that of FILE. `root_path` in FILE takes precedence.",
)
@model
@click.option(
    "--embedding",
    metavar="HANDLE",
    help="Embedding model of all agents, folders and archives, in place of that of FILE.",
)
@allow_secrets
@no_fold
@click.pass_obj
def from_lettactl(
    asked: Globals,
    /,
    files: tuple[Path, ...],
    out: Path,
    stack: str | None,
    root: Path | None,
    model: str | None,
    embedding: str | None,
    allow_secrets: bool,
    no_fold: bool,
) -> None:
    """Write a manifest for what manifests of lettactl (YAML) declare to the folder DIR.

    Reads no server. Names each line that has no counterpart, with what to do instead. Prompts, tools and files of
    folders are copied; secrets become variables. `lettaform apply -C DIR` then adopts the agents, blocks, tools and
    folders that the server has under these names, with what agents learned, and creates the others.
    """
    from lettaform import flow
    from lettaform.lettactl.fleet import Options

    paths = [asked.directory / file for file in files]
    options = Options(model, embedding, asked.directory / root if root else None, allow_secrets)
    found = flow.from_lettactl(paths, asked.directory / out, options, stack=stack, fold=not no_fold)
    show(asked, found)
