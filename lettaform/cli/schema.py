"""`lettaform schema`: what a manifest, or a plan, may look like, and what every field is."""

from __future__ import annotations

import click


@click.command()
@click.argument("what", type=click.Choice(["manifest", "plan", "fields"]), default="manifest")
def schema(what: str) -> None:
    """Print the JSON Schema of manifests, for editors, or of plans, for programs; or all fields, for people."""
    if what == "fields":
        from lettaform.render.fields import page

        click.echo(page(), nl=False)
        return
    if what == "manifest":
        from lettaform.manifest.schema import text

        click.echo(text(), nl=False)
        return
    import json

    from lettaform.render.data import plan_schema

    click.echo(json.dumps(plan_schema(), indent=2, ensure_ascii=False))
