"""`lettaform ci`: in a job of GitHub Actions or GitLab CI, show plans in pull requests and read what was reviewed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from lettaform.cli import Globals, Verbs
from lettaform.errors import LettaformError

if TYPE_CHECKING:
    from lettaform.ci import Host
    from lettaform.plan.subject import Subject

SHOWN = 60_000
"""Characters of a text that an issue shows."""


@click.group(cls=Verbs)
def ci() -> None:
    """Work with the pull request of a CI job, in GitHub Actions and GitLab CI.

    GitHub Actions: the step needs GITHUB_TOKEN in its environment, and the job the permission
    `pull-requests: write` to comment, `issues: write` for issues. GitLab CI: the variable GITLAB_TOKEN must hold a
    project access token with the scope `api`.
    """


@ci.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
@click.pass_obj
def comment(asked: Globals, /, file: Path) -> None:
    """Put a plan into the pull request of this job, in place of the last one of the same stack and environment.

    FILE is written by `lettaform plan --out markdown=FILE`.
    """
    from lettaform.ci import put_comment

    _show(asked, "url", put_comment(_host(), _text(file)))


@ci.command()
@click.pass_obj
def approved(asked: Globals, /) -> None:
    """Print the digest of the plan in the pull request that was merged with the commit of this job.

    `lettaform apply --approve DIGEST` applies a plan only if it has that digest.
    """
    from lettaform.ci import approved

    _show(asked, "digest", approved(_host(), _subject(asked, "plan")))


@ci.command()
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path), required=False)
@click.option("--title", metavar="TEXT", help="Title of a new issue. Default: `Drift of` and the stack.")
@click.option("--close", is_flag=True, help="Close the open issue instead: there is no drift any more.")
@click.pass_obj
def issue(asked: Globals, /, file: Path | None, title: str | None, close: bool) -> None:
    """Open an issue with the text of FILE, or put the text into the open issue of the same stack and environment.

    FILE holds what `lettaform drift` printed. A file that ends in `.md` is put in as Markdown, others as they are.
    """
    from lettaform.ci import close_issue, put_issue

    if close == (file is not None):
        raise click.UsageError("give a FILE, or --close")
    subject = _subject(asked, "drift")
    if file is not None:
        _show(asked, "url", put_issue(_host(), subject, title or f"Drift of {subject}", _shown(file)))
    else:
        closed = close_issue(_host(), subject)
        _show(asked, "closed", closed, "Closed the issue." if closed else "There is no open issue.")


def _show(asked: Globals, name: str, value: str | bool, line: str = "") -> None:
    from lettaform.render import data
    from lettaform.render.clean import clean_line

    click.echo(data.dumps({name: value}) if asked.json else clean_line(line or str(value)))


def _host() -> Host:
    from lettaform.ci import host

    return host(os.environ)


def _subject(asked: Globals, about: Literal["plan", "drift"]) -> Subject:
    """The stack and environment of the manifest."""
    from lettaform.plan.subject import Subject

    manifest = asked.manifest()
    return Subject(about, manifest.stack, manifest.environment)


def _shown(file: Path) -> str:
    """The text of a file as Markdown that shows it as it is. GitHub takes 65,536 characters, GitLab more."""
    from lettaform.render.markdown import fence

    text = _text(file)
    if file.suffix == ".md":
        return text
    lines = text[:SHOWN].rstrip().split("\n")
    if len(text) > SHOWN:
        lines.append(f"… {len(text) - SHOWN} more characters: see the log of the job")
    return fence(lines) + "\n"


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LettaformError(
            f"cannot read {file}: {error}", "write it with `lettaform plan --out markdown=FILE`"
        ) from error
