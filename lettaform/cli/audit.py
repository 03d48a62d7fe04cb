"""`lettaform audit`: what lives on the server and nobody owns, uses or finds."""

from __future__ import annotations

import click

from lettaform.cli import Globals


@click.command()
@click.option("--strict", is_flag=True, help="Exit with code 1 if anything is found.")
@click.pass_obj
def audit(asked: Globals, /, strict: bool) -> int:
    """Find what no stack owns, duplicates, equal contents, what no agent has, and what is missing on the server.

    Only reads, takes no lock, and needs no manifest. With one, the objects of other stacks are counted, and are no
    findings.
    """
    from lettaform import flow
    from lettaform.render import audit as render
    from lettaform.render import data

    found = flow.audit(asked.source(), asked.connection())
    if asked.json:
        click.echo(data.dumps(render.to_data(found, strict=strict), indent=2))
    else:
        click.echo(render.text(found, color=asked.color, verbose=asked.verbose), nl=False)
    return found.exit_code(strict=strict)
