"""Every command that a message, a hint or a help text names is understood by the argument parser."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import click
import pytest

import lettaform
from lettaform.cli import VERBS, Globals, cli
from lettaform.cli.init import HOOKS, NEXT, PIPELINES, _made
from lettaform.render import text
from tests.render.samples import everything

SOURCES = Path(lettaform.__file__).parent
PLACEHOLDER = "agents.a"
"""What stands for a value that a message fills in. No verb and no option has this name."""
FILES = ("FILE", "PLAN")


def parts_of(node: ast.AST) -> tuple[str | None, ...]:
    """The parts of a string of the source, None for each that is computed; empty for other code."""
    match node:
        case ast.Constant(value=str()):
            return (str(node.value),)
        case ast.JoinedStr():
            return tuple(None if isinstance(part, ast.FormattedValue) else parts_of(part)[0] for part in node.values)
    return ()


@cache
def written() -> tuple[tuple[tuple[str | None, ...], str], ...]:
    """The parts of every string of lettaform's sources, with its file. Read once: parsing takes seconds."""
    found = []
    for file in sorted(SOURCES.rglob("*.py")):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        inner = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        texts = (parts_of(node) for node in nodes if id(node) not in inner)
        found += [(parts, str(file.relative_to(SOURCES))) for parts in texts if any(part != "" for part in parts)]
    return tuple(found)


def written_texts(sample: str = PLACEHOLDER) -> Iterator[tuple[str, str]]:
    """Every string of lettaform's sources, with a sample value for each part that is computed, and its file."""
    for parts, file in written():
        yield "".join(sample if part is None else part for part in parts), file


def commands_in(text: str) -> Iterator[str]:
    """The commands between backticks: with `lettaform` in front, a verb in front, or an option alone."""
    for quoted in re.findall(r"`([^`\s][^`]*)`", text):
        words = quoted.replace("\n", " ").split()
        if words[:1] == ["lettaform"] or (words[0] in VERBS and len(words) > 1) or words[0].startswith("--"):
            yield " ".join(words)


def commands_in_sources() -> dict[str, str]:
    """Each command of lettaform's sources, and the first file that names it."""
    found: dict[str, str] = {}
    for written, file in written_texts():
        for command in commands_in(written):
            found.setdefault(command, file)
    return found


ROOT = SOURCES.parent
DOCS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])


def commands_in_docs() -> dict[str, str]:
    """Each command of the documentation: between backticks, and on the lines of code blocks."""
    found: dict[str, str] = {}
    for page in DOCS:
        text = page.read_text()
        code = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        lines = [line.partition("  #")[0].strip() for line in code.splitlines()]
        commands = [line.removeprefix("$ ") for line in lines if line.removeprefix("$ ").startswith("lettaform ")]
        quoted = [each for each in re.findall(r"`(lettaform [^`\n]*)`", text) if "…" not in each]
        for command in (*commands, *quoted):
            found.setdefault(re.split(r" [|&>;]|\\\|", command)[0].strip(), str(page.relative_to(ROOT)))
    return found


@pytest.mark.parametrize(("command", "page"), commands_in_docs().items())
def test_a_command_in_the_docs_parses(command: str, page: str, file: Path) -> None:
    try:
        parse(command.replace("plan.json", str(file)), file)
    except click.ClickException as error:
        pytest.fail(f"{page} names `{command}`: {error.format_message()}")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["destory"], "destroy"), (["plan", "--prun"], "--prune"), (["apply", "--allow-destro", "x"], "--allow-destroy")],
)
def test_what_destroys_is_not_suggested(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments, standalone_mode=False) == 1
    said = capsys.readouterr().err
    assert "id you mean" not in said
    assert f"{word}`?" not in said


def parse(command: str, file: Path) -> None:
    """Parse the arguments as the command line does, and run nothing. ClickException if it refuses them.

    A verb or an option may be named without its arguments: "`lettaform state rm` stops managing it".
    """
    words = [str(file) if word in FILES else word for word in shlex.split(command)]
    words = words[1:] if words[0] == "lettaform" else words
    # a folder that does not exist yet
    words = [str(file.parent) if before == "-C" else word for before, word in zip(["", *words], words, strict=False)]
    if words == ["--help"]:
        return
    if words and words[0].startswith("--"):
        verb = verb_with(words[0])
        words = [verb, *words] if len(words) > 1 else [verb]
    context: click.Context = click.Context(cli, info_name="lettaform", obj=Globals())
    inner: click.Command = cli
    while words and isinstance(inner, click.Group):
        _, found, words = inner.resolve_command(context, words)
        assert found is not None
        context, inner = click.Context(found, parent=context, obj=context.obj), found
    if words:
        inner.make_context(inner.name, words, parent=context.parent, obj=context.obj)


def verb_with(option: str) -> str:
    """A verb that has an option."""
    for name in VERBS:
        command = cli.get_command(click.Context(cli), name)
        if command and any(option in each.opts for each in command.params):
            return name
    raise click.NoSuchOption(option)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    path.write_text("{}")
    return path


def test_commands_are_found_in_the_sources() -> None:
    found = commands_in_sources()
    assert len(found) > 25
    assert {"lettaform lock release", "lettaform import 'agents.a' ID", "--allow-destroy 'agents.a'"} <= set(found)


@pytest.mark.parametrize(("command", "source"), commands_in_sources().items())
def test_a_command_in_the_sources_parses(command: str, source: str, file: Path) -> None:
    try:
        parse(command.replace("lettaform apply agents.a", f"lettaform apply {file}"), file)
    except click.ClickException as error:
        pytest.fail(f"{source} names `{command}`: {error.format_message()}")


@pytest.mark.parametrize("command", [*commands_in(text.plan(everything())), *commands_in(text.notices(everything()))])
def test_a_command_in_a_plan_parses(command: str, file: Path) -> None:
    parse(command, file)


@pytest.mark.parametrize("line", re.findall(r"^ +(lettaform .*?)(?:  .*)?$", NEXT, re.MULTILINE))
def test_a_command_that_init_recommends_parses(line: str, file: Path) -> None:
    parse(line, file)


def commands_in_starters() -> Iterator[str]:
    """The commands of what `init` writes, without the options that are given to a pipeline."""
    sources = [*HOOKS.values(), *(source for files in PIPELINES.values() for source in files.values())]
    for starter in _made({source: source for source in sources}).values():
        lines = [line for line in starter.splitlines() if not line.lstrip().startswith("#") and "name:" not in line]
        for command in re.findall(r"(?<![\w/.\"-])lettaform (?!\$\{)[^|;>)\n]*", "\n".join(lines)):
            yield command.replace(" $OPTIONS", "").strip()


@pytest.mark.parametrize("command", sorted({*commands_in_starters()}))
def test_a_command_that_init_writes_parses(command: str, file: Path) -> None:
    parse(re.sub(r"\w+\.(md|txt)$", str(file), command), file)


@pytest.mark.parametrize(
    "command", ["lettaform lock release agents.a", "lettaform aply", "--alow-destroy x", "lettaform plan -y"]
)
def test_a_command_that_does_not_exist_is_found_out(command: str, file: Path) -> None:
    with pytest.raises(click.ClickException):
        parse(command, file)
