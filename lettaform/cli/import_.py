"""`lettaform import`: manage existing objects."""

from __future__ import annotations

from pathlib import Path

import click

from lettaform.cli import Globals
from lettaform.cli.lock import locking


@click.command("import")
@click.argument("address", required=False)
@click.argument("id", required=False)
@click.option("--all", "everything", is_flag=True, help="Write a manifest for all objects that no stack owns.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write the manifest to. It must not exist, or be empty.",
)
@click.option("--name", "names", multiple=True, metavar="NAME", help="Only objects with this name. Repeatable.")
@click.option("--match", multiple=True, metavar="PATTERN", help="Only objects whose name matches: * and ?. Repeatable.")
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Only objects with this tag. Repeatable.")
@click.option("--id", "ids", multiple=True, metavar="ID", help="Only the object with this ID. Repeatable.")
@click.option("--stack", metavar="NAME", help="Name of the new stack. Default: the name of DIR.")
@click.option("--no-fold", is_flag=True, help="Write each agent by itself, without `for_each`.")
@click.option("--no-conversations", is_flag=True, help="Leave conversations out.")
@locking
@click.pass_context
def import_(
    context: click.Context,
    /,
    address: str | None,
    id: str | None,
    everything: bool,
    out: Path | None,
    names: tuple[str, ...],
    match: tuple[str, ...],
    tags: tuple[str, ...],
    ids: tuple[str, ...],
    stack: str | None,
    no_fold: bool,
    no_conversations: bool,
    patience: float | None,
) -> None:
    """Manage the existing object ID under ADDRESS of the manifest.

    Only lettaform's mark is written to the object. `lettaform plan` then shows the values that differ.

    With --all, or with a filter, write a manifest for objects that no stack owns to the folder DIR. It declares them as
    they are, with what they need: an agent with its blocks, tools, folders, archive and conversations. Nothing is
    written on the server. `lettaform apply -C DIR` then adopts the objects.
    """
    asked: Globals = context.obj
    chosen = any((everything, names, match, tags, ids))
    _check(context, address, id, out, chosen=chosen)
    if not chosen:
        assert address is not None
        assert id is not None
        _adopt(asked, address, id, patience)
        return
    from lettaform import flow
    from lettaform.ownership.unowned import Filter
    from lettaform.render import data, imported

    assert out is not None
    options = flow.ImportOptions(
        stack, Filter(names, tags, match, ids), not no_fold, ("conversation",) if no_conversations else ()
    )
    found = flow.import_all(asked.connection(patience), asked.directory / out, options)
    if asked.json:
        click.echo(data.dumps(data.imported(found), indent=2))
    else:
        click.echo(imported.imported(found, color=asked.color, verbose=asked.verbose), nl=False)


def _check(context: click.Context, address: str | None, id: str | None, out: Path | None, *, chosen: bool) -> None:
    """Raise a usage error unless the arguments are those of one of the two forms."""
    others = [name for name in ("stack", "no_fold", "no_conversations") if context.params[name]]
    if chosen and address:
        raise click.UsageError("ADDRESS and ID cannot be combined with --all or a filter", context)
    if chosen and out is None:
        raise click.UsageError("-o DIR is required: the folder to write the manifest to", context)
    if not chosen and (out or others):
        given = "-o" if out else f"--{others[0].replace('_', '-')}"
        raise click.UsageError(f"{given} needs --all or a filter: --name, --match, --tag, --id", context)
    if not chosen and not (address and id):
        raise click.UsageError("expected ADDRESS and ID, or --all -o DIR", context)


def _adopt(asked: Globals, address: str, id: str, patience: float | None) -> None:
    from lettaform import flow
    from lettaform.render import data, text

    done = flow.adopt(asked.source(), asked.connection(patience), address, id)
    if asked.json:
        click.echo(data.dumps(data.plan(done), indent=2))
    else:
        click.echo(text.plan(done, color=asked.color, verbose=asked.verbose), nl=False)
