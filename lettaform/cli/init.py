"""`lettaform init`: write an example manifest, and what a repository of a fleet needs beside it."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import click

from lettaform import __version__, local
from lettaform.cli import Globals
from lettaform.errors import LettaformError

SCHEMA = "lettaform.schema.json"
PIPELINES: Mapping[str, Mapping[str, str]] = {
    "github": {".github/workflows/lettaform.yml": "github.yml"},
    "gitlab": {".gitlab-ci.yml": "gitlab-ci.yml", ".gitlab/lettaform.yml": "gitlab.yml"},
}
"""CI to the files that it needs, each with the text from which it is made."""

HOOKS = {".pre-commit-config.yaml": "pre-commit.yaml"}
EDITORS: Mapping[str, Mapping[str, str]] = {"vscode": {".vscode/settings.json": "vscode.json"}}
"""Editor to the files that tell it the schema and the tags of manifests."""

SHARED = (".gitlab-ci.yml", ".pre-commit-config.yaml", ".vscode/settings.json")
"""Files that projects have for other purposes, too: if one exists, what to add to it is printed."""

IGNORED = ".lettaform/"

NEXT = """
Next:
{cd}  lettaform dev up --echo-model  start a Letta server on this machine, with a model that answers without a key
  lettaform plan                 show the changes
  lettaform apply                make the changes
  lettaform send supervisor Hi   talk to an agent
  lettaform check                check the agents, on copies of them
"""

SILENT = """
The server at {url} has no model that answers without a key. Choose a model as the default of `model` in
lettaform.yaml, or run `lettaform dev down` and `lettaform dev up --echo-model`, and use {model}.
"""


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--ci", type=click.Choice([*PIPELINES]), help="Write the pipeline of a CI: plan, apply, drift.")
@click.option("--pre-commit", is_flag=True, help="Write hooks of pre-commit: fmt and validate.")
@click.option(
    "--editor",
    type=click.Choice([*EDITORS]),
    help="Write the settings with which an editor completes and checks manifests, and the JSON Schema.",
)
@click.option("--schema", is_flag=True, help="Write the JSON Schema of the manifest, for editors, or write it again.")
@click.pass_obj
def init(
    asked: Globals, /, directory: Path | None, ci: str | None, pre_commit: bool, editor: str | None, schema: bool
) -> None:
    """Write an example manifest: two agents with a shared memory block. Existing files are not overwritten.

    DIR is the folder to write to, which is made if it does not exist. Default: the current folder. In a folder with a
    manifest, only what the options name is written.
    """
    folder = asked.directory / (directory or "")
    sources = {**(PIPELINES[ci] if ci else {}), **(HOOKS if pre_commit else {}), **(EDITORS[editor] if editor else {})}
    more, schema = _made(sources, VERSION=__version__), schema or editor is not None
    manifest = _manifest(folder)
    if manifest and not (more or schema):
        hint = "`lettaform init` with --ci, --pre-commit, --editor or --schema adds to it; -C chooses another folder"
        raise LettaformError(f"there is a manifest already: {manifest}; nothing was written", hint)
    server = None if manifest else _server()
    texts = {**({} if manifest else _example(folder, server)), **more}
    added = {name: texts.pop(name) for name in SHARED if name in texts and (folder / name).exists()}
    _check_new(folder, texts)
    if schema or not manifest:
        texts[SCHEMA] = _schema()
    try:
        for name, content in texts.items():
            _write(folder / name, content)
        ignoring = _ignore(folder / ".gitignore")
    except OSError as error:
        message = f"cannot write {error.filename}: {error.strerror}"
        raise LettaformError(message, "make the folder writable, or choose another folder with -C") from error
    written = [*texts, *([".gitignore"] if ignoring else [])]
    if asked.json:
        click.echo(json.dumps({"written": written, "add": added}))
        return
    click.echo("".join(f"wrote {Path(directory or '', name)}\n" for name in written), nl=False)
    click.echo("".join(f"\n{name} exists. Add this to it:\n\n{text}" for name, text in added.items()), nl=False)
    if not manifest:
        click.echo(NEXT.format(cd=f"  cd {shlex.quote(str(directory))}\n" if directory else ""), nl=False)
    if server and server.model == local.MODELS[False][0]:
        click.echo(SILENT.format(url=server.url, model=local.MODELS[True][0]), nl=False)


def _example(folder: Path, server: local.Known | None) -> dict[str, str]:
    """The files of the example, by name."""
    model, embedding = (server.model, server.embedding) if server else local.MODELS[True]
    origin = f"models of the server at {server.url}" if server else "models of `lettaform dev up --echo-model`"
    names = ("lettaform.yaml", "prompts/supervisor.md", "prompts/worker.md")
    return _made({name: name for name in names}, STACK=_stack(folder), ORIGIN=origin, MODEL=model, EMBEDDING=embedding)


def _made(sources: Mapping[str, str], **words: str) -> dict[str, str]:
    """Name of a file to its content: a text of `starters`, with its @WORDS@ replaced."""
    made = {}
    for name, source in sources.items():
        text = files("lettaform.cli").joinpath("starters", source).read_text("utf-8")
        for word, value in words.items():
            text = text.replace(f"@{word}@", value)
        made[name] = text
    return made


def _schema() -> str:
    from lettaform.manifest.schema import text

    return text()


def _manifest(folder: Path) -> str:
    """The name of a manifest file in a folder; empty if there is none. Other YAML files are left alone."""
    for path in sorted(folder.glob("*.y*ml")):
        if path.stem == "lettaform":
            return path.name
        try:
            text = path.read_text("utf-8", errors="replace")
        except OSError:
            continue
        if re.search(r"^stack:", text, re.MULTILINE):
            return path.name
    return ""


def _check_new(folder: Path, texts: Mapping[str, str]) -> None:
    """Raise LettaformError if one of the files exists."""
    existing = [name for name in texts if (folder / name).exists() or (folder / name).is_symlink()]
    if existing:
        message = f"these files exist already: {', '.join(existing)}; nothing was written"
        raise LettaformError(message, "choose another folder, or move them away")


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
    """Write a file. A schema is written again; everything else must be new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w" if path.name == SCHEMA else "x", encoding="utf-8", newline="\n") as stream:
        stream.write(content)


def _ignore(path: Path) -> bool:
    """Add lettaform's working files to a .gitignore. Returns False if they are there already."""
    text = path.read_text("utf-8") if path.exists() else ""
    if IGNORED in text.splitlines():
        return False
    with path.open("a", encoding="utf-8", newline="\n") as stream:
        stream.write(("\n" if text and not text.endswith("\n") else "") + IGNORED + "\n")
    return True
