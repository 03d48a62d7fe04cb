"""`lettaform schema`: print a JSON Schema, or the reference of all fields."""

from __future__ import annotations

import click


@click.command()
@click.argument("what", type=click.Choice(["manifest", "plan", "snapshot", "agent-file", "fields"]), default="manifest")
def schema(what: str) -> None:
    """Print the JSON Schema of manifests, plans, snapshots or agent files, or all fields in Markdown."""
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
    from lettaform.snapshot.agent_file_schema import agent_file_schema
    from lettaform.snapshot.schema import snapshot_schema

    shown = {"plan": plan_schema, "snapshot": snapshot_schema, "agent-file": agent_file_schema}[what]()
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
