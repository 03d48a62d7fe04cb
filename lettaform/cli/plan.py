"""`lettaform plan`: what would change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from lettaform.cli import Globals, remember

F = TypeVar("F", bound=Callable[..., Any])

prune = click.option("--prune", is_flag=True, help="Delete what carries the stack's mark and is no longer declared.")
allow_destroy = click.option(
    "--allow-destroy",
    metavar="PATTERN",
    multiple=True,
    help="Consent to lose what is protected or must be replaced: an address, with * for any text; may be repeated.",
)


def narrowing(command: F) -> F:
    """--target, --exclude and --reseed."""
    options = [
        click.option("--target", metavar="PATTERN", multiple=True, help="Only these addresses; may be repeated."),
        click.option("--exclude", metavar="PATTERN", multiple=True, help="Not these addresses; may be repeated."),
        click.option(
            "--reseed",
            metavar="ADDRESS",
            multiple=True,
            help="Write the manifest's seed over what the agent made of it; may be repeated.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.option("-o", "--out", type=click.Path(dir_okay=False, path_type=Path), help="Save the plan, for `apply FILE`.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit with 2 if there are changes.")
@click.option("--format", "form", type=click.Choice(["text", "json"]), help="text unless --json is given.")
@narrowing
@prune
@allow_destroy
@click.pass_obj
def plan(
    asked: Globals,
    /,
    out: Path | None,
    detailed_exitcode: bool,
    form: str | None,
    **options: Any,
) -> int:
    """Show what would change. Writes nothing to the server."""
    from lettaform import flow
    from lettaform.render import data, text

    if asked.json and form == "text":
        raise click.UsageError("--json and --format text contradict each other")
    asked = remember(replace(asked, json=asked.json or form == "json"))
    found = flow.plan(asked.source(), asked.connection(), flow.PlanOptions(**options))
    if asked.json:
        click.echo(data.dumps(data.plan(found), indent=2))
        click.echo(text.notices(found), err=True, nl=False)
    else:
        click.echo(text.plan(found, color=asked.color, verbose=asked.verbose), nl=False)
    if out is not None:
        flow.save(found, out)
        click.echo(f"Saved. `lettaform apply {out}` carries out exactly this.", err=True)
    return 2 if detailed_exitcode and found else 0
