"""`lettaform schema`: print a JSON Schema, or the reference of all fields."""

from __future__ import annotations

import click

WHAT = ("manifest", "plan", "status", "drift", "snapshot", "agent-file", "fields")


@click.command()
@click.argument("what", type=click.Choice(WHAT), default="manifest")
def schema(what: str) -> None:
    """Print the JSON Schema of manifests, plans, `status`, `drift`, snapshots or agent files, or a page of fields."""
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
    from lettaform.render.drift_schema import drift_schema
    from lettaform.render.status_schema import status_schema
    from lettaform.snapshot.agent_file_schema import agent_file_schema
    from lettaform.snapshot.schema import snapshot_schema

    schemas = {"plan": plan_schema, "status": status_schema, "drift": drift_schema, "snapshot": snapshot_schema}
    shown = {**schemas, "agent-file": agent_file_schema}[what]()
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
