"""`lettaform fmt`: the files of the manifest in canonical layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lettaform.cli import Globals

if TYPE_CHECKING:
    from lettaform.flow import Formatted

_EPILOG = """\b
Exit codes:
  0    all files are in canonical layout now; with --check: they were before
  1    with --check: a file is not in canonical layout; or a file has problems and stays as it is
"""


@click.command(epilog=_EPILOG)
@click.argument("files", metavar="[FILE]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Write nothing. Exit with code 1 if a file is not in canonical layout.")
@click.option("--diff", is_flag=True, help="Print what changes in each file, in place of its name.")
@click.pass_obj
def fmt(asked: Globals, /, files: tuple[Path, ...], check: bool, diff: bool) -> int:
    """Write the files of the manifest in canonical layout. Prints the name of each file that changes.

    Without FILE, these are the manifest, all files that it includes, and those of its components, without the ones in
    `vendor`. FILE is relative to DIR of -C; `-` reads
    standard input and writes standard output. No server is contacted. The environment and variables are
    accepted, as by `validate`, and do not matter: all files are formatted.

    Blanks, line breaks and indentation change, and the spellings of null, true and false. Values, comments, their
    order, quotes, anchors, tags and line endings stay. A file that would be read otherwise afterwards is not written.
    """
    from lettaform import flow

    if files and asked.files:
        raise click.UsageError("-f chooses the manifest whose files are formatted; leave it out, or leave FILE out")
    if Path("-") not in files:
        found = flow.fmt(asked.source(), files, write=not check)
        _print(asked, found, check=check, diff=diff)
        return found.exit_code(check=check)
    if len(files) > 1:
        raise click.UsageError("`-` cannot be combined with other files")
    if asked.json and not check:
        raise click.UsageError("`-` writes the text itself; add --check to --json")
    found = flow.fmt_text(sys.stdin.buffer.read())
    if check or diff or found.problems:
        _print(asked, found, check=check, diff=diff)
    else:
        sys.stdout.buffer.write(b"".join(each.new.encode() for each in found.files))
    return found.exit_code(check=check)


def _print(asked: Globals, found: Formatted, *, check: bool, diff: bool) -> None:
    from lettaform.render import data, problems
    from lettaform.render import formatted as render

    if asked.json:
        click.echo(data.dumps(render.to_data(found, check=check, diff=diff), indent=2))
        return
    click.echo(render.text(found, diff=diff, color=asked.color), nl=False)
    if found.problems:
        click.echo(problems.problems(found.problems, color=asked.color), err=True, nl=False)
