"""`--format` and `--out`: the formats in which a plan, or another report, is printed, and written to files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from lettaform.cli import Globals, remember
from lettaform.errors import LettaformError, nearest

if TYPE_CHECKING:
    from lettaform.model import Plan

F = TypeVar("F", bound=Callable[..., Any])

FORMATS = ("text", "json", "markdown", "html")
"""The formats of a plan."""


@dataclass(frozen=True)
class Formats:
    """Where a plan, or another report, goes.

    shown  the format on stdout
    files  formats and paths, each with a file of its own
    given  the options that say so, for a command that is suggested
    """

    shown: str = "text"
    files: tuple[tuple[str, Path], ...] = ()
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def is_document(self) -> bool:
        """Whether stdout holds the report alone, so that everything else is printed on stderr."""
        return self.shown not in ("text", "json")

    def write(self, plan: Plan, asked: Globals, saved: Mapping[str, Any] | None = None) -> None:
        """Write the files of a plan. LettaformError if one cannot be written."""
        self.write_each(lambda form: document(plan, form, verbose=asked.verbose, saved=saved))

    def write_each(self, made: Callable[[str], str]) -> None:
        """Write the files, each complete or not at all, with mode 0600. LettaformError if one cannot be written.

        made  a format to the report in it
        """
        from lettaform.render.clean import clean_line
        from lettaform.session.files import write_text

        for form, path in self.files:
            try:
                write_text(path, made(form))
            except OSError as error:
                raise LettaformError(f"cannot write {path}: {error.strerror}") from error
        if self.files:
            click.echo(f"Wrote {', '.join(clean_line(str(path)) for _, path in self.files)}.", err=True)


TEXT = Formats()
"""Text on stdout, and no file."""


def formatted(command: F) -> F:
    """--format and --out. The command gets `chosen`, and --json in its global options. Stands below `click.pass_obj`.

    A command with `save`, the path of a saved plan, cannot write a format to this path.
    """

    return with_formats(FORMATS, "the plan", "markdown=plan.md")(command)


def with_formats(formats: Sequence[str], what: str, example: str) -> Callable[[F], F]:
    """As `formatted`, for another report. `what`: its name in help texts; `example`: one of --out."""

    def decorated(command: F) -> F:
        @wraps(command)
        def with_chosen(asked: Globals, /, form: str | None, out: tuple[str, ...], **words: Any) -> Any:
            chosen = _formats(asked, form, out, words, formats, example)
            return command(remember(replace(asked, json=chosen.shown == "json")), chosen=chosen, **words)

        shown = f"Format in which {what} is printed. Default: text."
        written = f"Also write {what} to a file, for example {example}. Formats: those of --format. Repeatable."
        form = click.option("--format", "form", type=click.Choice(formats), help=shown)
        out = click.option("--out", metavar="FORMAT=FILE", multiple=True, help=written)
        return cast(F, form(out(with_chosen)))

    return decorated


def _formats(
    asked: Globals,
    form: str | None,
    out: tuple[str, ...],
    words: Mapping[str, Any],
    formats: Sequence[str],
    example: str,
) -> Formats:
    """The formats of --format, --json and --out. Raises an error that names everything that is wrong with them.

    words  the other options of the verb; `save` is where it saves the plan itself
    """
    if asked.json and form not in (None, "json"):
        raise click.UsageError(f"--json cannot be combined with --format {form}")
    wrong, files = list[str](), list[tuple[str, Path]]()
    for each in out:
        kind, equals, path = each.partition("=")
        if not equals or not path:
            wrong.append(f"--out expects FORMAT=FILE, for example {example}, and not `{each}`")
            wrong[-1] += "; `-o FILE` saves the plan" if "save" in words and not equals else ""
        elif kind not in formats:
            near = nearest(kind, formats)
            every = f"the formats are {', '.join(formats)}"
            wrong.append(f"--out: unknown format `{kind}`; {f'did you mean `{near}`?' if near else every}")
        else:
            files.append((kind, Path(path)))
    if wrong:
        raise click.UsageError("; ".join(wrong))
    if wrong := list(_unwritable([*(path for _, path in files), *([save] if (save := words.get("save")) else [])])):
        raise LettaformError(f"cannot write {'; '.join(wrong)}", "choose another file; nothing was done")
    return Formats(
        "json" if asked.json else form or "text", tuple(files), {"format": (form,) if form else (), "out": out}
    )


def _unwritable(paths: list[Path]) -> Iterator[str]:
    """The paths that cannot be written, and why."""
    seen = set[str]()
    for path in paths:
        real = os.path.realpath(path)
        try:
            why = "it is the file of two outputs" if real in seen else _obstacle(path)
        except OSError as error:  # such as a name that is too long
            why = str(error.strerror)
        seen.add(real)
        if why:
            yield f"{path}: {why}"


def _obstacle(path: Path) -> str:
    """Why a file cannot be written; empty if it can."""
    folder = next(each for each in path.absolute().parents if each.exists())
    if path.is_dir():
        return "it is a folder"
    if path.exists() and not path.is_file():  # it would be replaced, even a device
        return "it is not a regular file"
    if not folder.is_dir():
        return f"{folder} is not a folder"
    allowed = os.access(folder, os.W_OK) and (os.access(path, os.W_OK) or not path.exists())
    return "" if allowed else "permission denied"


def document(
    plan: Plan, form: str, *, color: bool = False, verbose: bool = False, saved: Mapping[str, Any] | None = None
) -> str:
    """A plan in a format, with its digest. `saved`: what a file holds of it, which is then printed as JSON."""
    from lettaform.render import data, html, markdown, outline, text

    known = None if saved is None else str(saved.get("digest") or "")
    if form == "json":
        return data.dumps(data.plan(plan) if saved is None else saved, indent=2) + "\n"
    if form == "markdown":
        return markdown.plan(plan, digest=known)
    if form == "html":
        return html.plan(plan, digest=known)
    digest = outline.digest(plan, known)
    return text.plan(plan, color=color, verbose=verbose) + (f"Digest: {digest}\n" if digest else "")
