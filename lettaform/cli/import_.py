"""`lettaform import`: manage existing objects."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from lettaform.cli import Globals, refusal
from lettaform.cli.apply import yes
from lettaform.cli.completion import addresses, agents
from lettaform.cli.from_af import no_fold, show
from lettaform.cli.lock import locking


@click.command("import")
@click.argument("address", required=False, shell_complete=addresses)
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
@no_fold
@click.option("--no-conversations", is_flag=True, help="Leave conversations out.")
@click.option(
    "--af",
    "agent_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Create the agent of an agent file, with its messages, and manage it. Needs --as.",
)
@click.option(
    "--as",
    "under",
    metavar="ADDRESS",
    shell_complete=agents,
    help="Address of the agent that --af creates, as agents.worker.",
)
@click.option(
    "--bind",
    multiple=True,
    metavar="LABEL",
    help="With --af: use the stack's block with this label although the text in FILE differs. Repeatable.",
)
@yes
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
    agent_file: Path | None,
    under: str | None,
    bind: tuple[str, ...],
    yes: bool,
    patience: float | None,
) -> int:
    """Manage the existing object ID under ADDRESS of the manifest.

    Only lettaform's mark is written to the object. `lettaform plan` then shows the values that differ.

    With --all, or with a filter, write a manifest for objects that no stack owns to the folder DIR. It declares them as
    they are, with what they need: an agent with its blocks, tools, folders, archive and conversations. Nothing is
    written on the server. `lettaform apply -C DIR` then adopts the objects.

    With --af, create the agent of the agent file FILE with its messages and own blocks, and manage it under the address
    that --as gives. Shared blocks that the manifest gives it are those of the stack. Shows what will be created, and
    asks.
    """
    asked: Globals = context.obj
    if agent_file or under or bind or yes:
        _check_agent_file(context, agent_file, under)
        assert agent_file is not None
        assert under is not None
        return _import_agent_file(asked, agent_file, under, bind, patience, yes=yes)
    chosen = any((everything, names, match, tags, ids))
    _check(context, address, id, out, chosen=chosen)
    if not chosen:
        assert address is not None
        assert id is not None
        _adopt(asked, address, id, patience)
        return 0
    from lettaform import flow
    from lettaform.ownership.unowned import Filter

    assert out is not None
    options = flow.ImportOptions(
        stack, Filter(names, tags, match, ids), not no_fold, ("conversation",) if no_conversations else ()
    )
    found = flow.import_all(asked.connection(patience), asked.directory / out, options)
    show(asked, found)
    return 0


def _check_agent_file(context: click.Context, file: Path | None, under: str | None) -> None:
    """Raise a usage error unless the arguments are those of an import of an agent file."""
    others = (
        "address",
        "id",
        "everything",
        "out",
        "names",
        "match",
        "tags",
        "ids",
        "stack",
        "no_fold",
        "no_conversations",
    )
    if file is None or under is None:
        missing = "--af FILE: the agent file" if file is None else "--as ADDRESS: the address of the agent"
        raise click.UsageError(f"expected {missing}, as in --af FILE --as agents.worker", context)
    if any(context.params[name] for name in others):
        raise click.UsageError("--af FILE --as ADDRESS takes no other object, and no options of --all", context)
    if context.obj.json and not context.params["yes"]:
        raise click.UsageError("--json cannot ask for confirmation; add -y", context)


def _import_agent_file(
    asked: Globals, file: Path, under: str, bind: tuple[str, ...], patience: float | None, *, yes: bool
) -> int:
    from lettaform import flow
    from lettaform.model import AgentImport
    from lettaform.render import data, imported

    refused: list[str] = []

    def consent(found: AgentImport) -> bool:
        if not asked.json:
            click.echo(imported.agent_import(found, color=asked.color), nl=False)
        words = ["lettaform", "import", "-y", "--af", str(file), "--as", under]
        command = shlex.join([*words, *(word for each in bind for word in ("--bind", each))])
        refused.append("" if yes else refusal("Create this agent?", command))
        return not refused[0]

    path = asked.directory / file
    done = flow.import_agent_file(asked.source(), asked.connection(patience), path, under, bind, consent=consent)
    if refused[0]:
        click.echo(refused[0], err=True)
        return 1
    if asked.json:
        click.echo(data.dumps(data.agent_import(done), indent=2))
    else:
        click.echo(f"Created and adopted {done.address}: {done.id}. `lettaform plan` shows what differs.")
    return 0


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
        click.echo(text.adopted(done, color=asked.color), nl=False)
