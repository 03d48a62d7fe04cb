"""`lettaform schema`: print a JSON Schema, or a reference page of the language or of all fields."""

from __future__ import annotations

import click

SCHEMAS = ("manifest", "component", "plan", "status", "memory", "drift", "snapshot", "agent-file")
PAGES = ("fields", "language")


@click.command()
@click.argument("what", type=click.Choice([*SCHEMAS, *PAGES]), default="manifest")
def schema(what: str) -> None:
    """Print a JSON Schema, by default that of manifests, or the language or all fields in Markdown."""
    if what in PAGES:
        from lettaform.render import fields, language

        pages = {"fields": fields.page, "language": language.page}
        click.echo(pages[what](), nl=False)
        return
    if what in ("manifest", "component"):
        from lettaform.manifest.schema import component_text, text

        click.echo(text() if what == "manifest" else component_text(), nl=False)
        return
    import json

    from lettaform.render.data import plan_schema
    from lettaform.render.drift_schema import drift_schema
    from lettaform.render.memory_schema import memory_schema
    from lettaform.render.status_schema import status_schema
    from lettaform.snapshot.agent_file_schema import agent_file_schema
    from lettaform.snapshot.schema import snapshot_schema

    schemas = {"plan": plan_schema, "status": status_schema, "memory": memory_schema, "drift": drift_schema}
    shown = {**schemas, "snapshot": snapshot_schema, "agent-file": agent_file_schema}[what]()
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
