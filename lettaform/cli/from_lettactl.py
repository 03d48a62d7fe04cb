"""`lettaform from-lettactl`: manifests of lettactl to a manifest."""

from __future__ import annotations

from pathlib import Path

import click

from lettaform.cli import Globals


@click.command("from-lettactl")
@click.argument("files", nargs=-1, required=True, metavar="FILE…", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write the manifest to. It must not exist, or be empty.",
)
@click.option("--stack", metavar="NAME", help="Name of the new stack. Default: the name of the first FILE.")
@click.option(
    "--root",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to which paths in FILE are relative. Default: that of FILE. `root_path` in FILE takes precedence.",
)
@click.option("--model", metavar="HANDLE", help="Model of all agents, with its own settings, in place of that of FILE.")
@click.option(
    "--embedding",
    metavar="HANDLE",
    help="Embedding model of all agents, folders and archives, in place of that of FILE.",
)
@click.option("--allow-secrets", is_flag=True, help="Also write texts that contain what looks like a key.")
@click.option("--no-fold", is_flag=True, help="Write each agent by itself, without `for_each`.")
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
    from lettaform.render import data, imported

    paths = [asked.directory / file for file in files]
    options = Options(model, embedding, asked.directory / root if root else None, allow_secrets)
    found = flow.from_lettactl(paths, asked.directory / out, options, stack=stack, fold=not no_fold)
    if asked.json:
        click.echo(data.dumps(data.imported(found), indent=2))
    else:
        click.echo(imported.imported(found, color=asked.color, verbose=asked.verbose), nl=False)
