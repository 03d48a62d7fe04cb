"""The pull request of a CI run: its comment with the plan, the digest that was reviewed there, and issues about drift.

Works in GitHub Actions and in GitLab CI: the environment of the run says which, and where its API is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from lettaform.errors import LettaformError
from lettaform.plan.subject import Subject, subject_of

__all__ = ["Host", "Text", "approved", "close_issue", "host", "put_comment", "put_issue"]


@dataclass(frozen=True)
class Text:
    """A comment or an issue of the code host. `id`: of the comment, or the number of the issue."""

    id: int
    body: str
    author: str


class Host(Protocol):
    """A code host, with what is needed of its API. Raises LettaformError."""

    def pull_request(self) -> int | None:
        """The number of the pull request for which this run was started; None for another run."""

    def merged(self) -> int | None:
        """The number of the pull request with which the commit of this run was merged; None if there is none."""

    def author(self) -> str:
        """The name under which this run writes. What others wrote is not taken for its own."""

    def comments(self, number: int) -> Iterator[Text]:
        """The comments of a pull request."""

    def write_comment(self, number: int, body: str, known: Text | None) -> str:
        """Add a comment to a pull request, or replace the text of one. Returns its URL."""

    def issues(self) -> Iterator[Text]:
        """The open issues."""

    def write_issue(self, title: str, body: str, known: Text | None) -> str:
        """Open an issue, or replace the text of one. Returns its URL."""

    def close_issue(self, known: Text) -> None:
        """Close an issue."""


def host(environ: Mapping[str, str]) -> Host:
    """The code host of this run. LettaformError if this is no run of a known CI."""
    from lettaform.ci.github import GitHub
    from lettaform.ci.gitlab import GitLab

    if environ.get("GITHUB_ACTIONS"):
        return GitHub(environ)
    if environ.get("GITLAB_CI"):
        return GitLab(environ)
    raise LettaformError("this is no run of GitHub Actions or GitLab CI", "run it in a job of one of them")


def put_comment(server: Host, body: str) -> str:
    """Put a plan into the pull request of this run, in place of the last one of the same stack. Returns its URL.

    LettaformError if the text is no plan, or if there is no pull request.
    """
    marked = subject_of(body)
    if marked is None:
        hint = "write it with `lettaform plan --out markdown=FILE`"
        raise LettaformError("the first line of the text does not say whose plan it is", hint)
    number = server.pull_request()
    if number is None:
        raise LettaformError("this run was not started for a pull request", "call it in jobs of pull requests alone")
    return server.write_comment(number, body, _own(server, server.comments(number), marked[0]))


def approved(server: Host, subject: Subject) -> str:
    """The digest of the plan that was shown in the pull request with which the commit of this run was merged.

    LettaformError if there is none.
    """
    number = server.merged()
    if number is None:
        hint = "review a plan, and run `lettaform apply --approve DIGEST`"
        raise LettaformError("no pull request was merged with this commit", hint)
    found = _own(server, server.comments(number), subject)
    digest = (subject_of(found.body) or (subject, ""))[1] if found else ""
    if not digest:
        hint = "make the job that plans a required check, so that nothing is merged without a plan"
        raise LettaformError(f"pull request {number} has no plan of {subject}", hint)
    return digest


def put_issue(server: Host, subject: Subject, title: str, text: str) -> str:
    """Open an issue with a text, or replace the text of the open one about the same subject. Returns its URL."""
    return server.write_issue(title, f"{subject.line()}\n\n{text}", _own(server, server.issues(), subject))


def close_issue(server: Host, subject: Subject) -> bool:
    """Close the open issue about a subject. Returns whether there was one."""
    known = _own(server, server.issues(), subject)
    if known is not None:
        server.close_issue(known)
    return known is not None


def _own(server: Host, texts: Iterator[Text], subject: Subject) -> Text | None:
    """The last text about a subject that this run's author wrote."""
    author, found = "", None
    for text in texts:
        marked = subject_of(text.body)
        if marked and marked[0] == subject:
            author = author or server.author()
            found = text if text.author == author else found
    return found
