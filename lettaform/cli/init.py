"""`lettaform init`: write an example manifest."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import click

from lettaform import __version__, local
from lettaform.cli import Globals
from lettaform.errors import LettaformError

MANIFEST = """\
# yaml-language-server: $schema=./lettaform.schema.json
stack: {stack}

variables:
  # {origin}; `lettaform plan` names those of another server
  model:     {{default: {model}, description: Model of all agents.}}
  embedding: {{default: {embedding}, description: Embedding model of all agents.}}

defaults:
  agents:
    model: "${{var.model}}"
    embedding: "${{var.embedding}}"

blocks:
  organization:                      # one block, shared by both agents
    value: We answer questions about our product.
    description: What the whole team must know.

agents:
  supervisor:
    system: !file prompts/supervisor.md
    memory:                          # its own blocks; the agent changes them at run time
      persona: I plan and assign the work.
      human: {{value: Nobody yet., limit: 2000}}
    blocks: [organization]
    tools: [conversation_search, memory_insert, memory_replace]

  worker:
    system: !file prompts/worker.md
    memory: {{persona: I do one thing at a time.}}
    blocks: [organization]
    tools: [conversation_search, memory_insert, memory_replace]
"""

SUPERVISOR = """\
You are the supervisor of a small team.

Write what you learn about the person you talk to into the memory block `human`.
Write what the whole team must know into the block `organization`.
"""

WORKER = """\
You are a worker in a small team.

Read the memory block `organization` before you answer. If you do not know something, say so.
"""

WORKFLOW = """\
# Runs plan on every pull request and apply on main. Needs the repository secrets LETTA_BASE_URL and LETTA_API_KEY.
name: lettaform
on:
  pull_request:
  push:
    branches: [main]
permissions:
  contents: read
concurrency:
  group: lettaform-${{{{ github.ref }}}}
jobs:
  fleet:
    runs-on: ubuntu-latest
    defaults:
      run:
        shell: bash
    env:
      LETTA_BASE_URL: ${{{{ secrets.LETTA_BASE_URL }}}}
      LETTA_API_KEY: ${{{{ secrets.LETTA_API_KEY }}}}
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install "lettaform=={version}"
      - run: lettaform validate --format github
      - name: Plan
        if: github.event_name == 'pull_request'
        run: |
          {{ echo '```'; lettaform plan --no-color; echo '```'; }} | tee -a "$GITHUB_STEP_SUMMARY"
      - name: Apply
        if: github.event_name == 'push'
        run: lettaform apply -y
"""

IGNORED = ".lettaform/"

NEXT = """
Next:
  lettaform dev up --echo-model  start a Letta server on this machine, with a model that answers without a key
  lettaform plan                 show the changes
  lettaform apply                make the changes
"""

SILENT = """
The server at {url} has no model that answers without a key. Choose a model as the default of `model` in
lettaform.yaml, or run `lettaform dev down` and `lettaform dev up --echo-model`, and use {model}.
"""


@click.command()
@click.option("--ci", type=click.Choice(["github"]), help="Also write a CI workflow that runs plan and apply.")
@click.pass_obj
def init(asked: Globals, /, ci: str | None) -> None:
    """Write an example manifest: two agents with a shared memory block. Existing files are not overwritten."""
    from lettaform.manifest.schema import text

    folder, server = asked.directory, _server()
    model, embedding = (server.model, server.embedding) if server else local.MODELS[True]
    origin = f"models of the server at {server.url}" if server else "models of `lettaform dev up --echo-model`"
    files = {
        "lettaform.yaml": MANIFEST.format(stack=_stack(folder), model=model, embedding=embedding, origin=origin),
        "lettaform.schema.json": text(),
        "prompts/supervisor.md": SUPERVISOR,
        "prompts/worker.md": WORKER,
    }
    if ci == "github":
        files[".github/workflows/lettaform.yml"] = WORKFLOW.format(version=__version__)
    existing = [name for name in files if (folder / name).exists() or (folder / name).is_symlink()]
    if existing:
        message = f"these files exist already: {', '.join(existing)}; nothing was written"
        raise LettaformError(message, "choose another folder with -C")
    try:
        for name, content in files.items():
            _write(folder / name, content)
        ignoring = _ignore(folder / ".gitignore")
    except OSError as error:
        message = f"cannot write {error.filename}: {error.strerror}"
        raise LettaformError(message, "make the folder writable, or choose another folder with -C") from error
    written = [*files, *([".gitignore"] if ignoring else [])]
    if asked.json:
        click.echo(json.dumps({"written": written}))
        return
    click.echo("".join(f"wrote {name}\n" for name in written) + NEXT, nl=False)
    if server and model == local.MODELS[False][0]:
        click.echo(SILENT.format(url=server.url, model=local.MODELS[True][0]), nl=False)


def _server() -> local.Known | None:
    """The server of `lettaform dev up` that a plan would use, if it is running."""
    port = urlsplit(os.environ.get("LETTA_BASE_URL") or f"http://localhost:{local.DEFAULT_PORT}").port
    running = [known for known in local.status() if known.condition == "running"]
    return next((known for known in running if urlsplit(known.url).port == port), None)


def _stack(folder: Path) -> str:
    """A stack name made from the name of the folder, as YAML."""
    from lettaform.manifest.text import scalar

    name = re.sub(r"[^a-z0-9-]+", "-", folder.resolve().name.lower()).strip("-") or "fleet"
    try:
        return name if scalar(name) == name else f'"{name}"'
    except ValueError:  # readers of YAML disagree about it
        return f'"{name}"'


def _write(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8", newline="\n") as stream:
        stream.write(content)


def _ignore(path: Path) -> bool:
    """Add lettaform's working files to a .gitignore. Returns False if they are there already."""
    text = path.read_text("utf-8") if path.exists() else ""
    if IGNORED in text.splitlines():
        return False
    with path.open("a", encoding="utf-8", newline="\n") as stream:
        stream.write(("\n" if text and not text.endswith("\n") else "") + IGNORED + "\n")
    return True
