"""The exceptions of lettaform, as one tree.

LettaformError                 the CLI catches only this; every other exception is a bug and says how to report it
├ ManifestError                the manifest is not valid; carries all Problems, each with its place and a hint
├ Interrupted                  the run was interrupted before everything was carried out
├ AgentFileError               a file is not an agent file, or cannot be used; carries all Problems with their places
├ SnapshotError                a snapshot cannot be written or read, or lacks something; carries all Problems
├ LocalError                   the server on this machine could not be installed, started or stopped
├ ServerError                  the server refused a request: method, path, status, the server's own message
│ ├ Unauthorized               401, 403
│ ├ NotFound                   404
│ ├ Conflict                   409
│ ├ Unavailable                no usable answer: connection refused or lost, timeout, 408, 429, 5xx
│ │ └ StreamBroken             the stream of a run ended before the run did; names the run
│ ├ Unsupported                this server lacks a feature that the manifest needs
│ └ NotStored                  the server accepted a request and did not store a part of it
└ PlanError                    the plan cannot be made or applied; carries all Problems
  ├ Guarded                    the plan would destroy a protected object, or exceeds a limit; names the option for it
  ├ Conflicting                the manifest and the server changed the same lines of a text; names both versions
  ├ Stale                      the saved plan no longer matches the server
  ├ UnreadableState            the state of the stack cannot be read; names the page
  └ Locked                     another apply holds the stack's lock; names the holder and how to release it
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, order=True)
class Place:
    """A position in a file. Lines and columns count from 1.

    In a manifest in memory, `file` is the path of a value, such as `agents.lead.model`, and line and column are 0.
    """

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.of_line}:{self.column}" if self.line else self.file

    @property
    def of_line(self) -> str:
        """The position without its column."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Problem:
    """One problem: what is wrong, where, and a hint how to fix it.

    secret  whether its source line is not shown
    rule    the id of the rule of `lettaform validate` that it breaks; empty if it is about something else
    """

    message: str
    place: Place | None = None
    hint: str | None = None
    address: str | None = None
    field: str | None = None
    severity: Literal["error", "warning"] = "error"
    secret: bool = False
    rule: str = ""

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class LettaformError(Exception):
    """An error for the user. `hint` says what to do; `problems` lists the single problems, if there are any."""

    exit_code = 1
    problems: tuple[Problem, ...] = ()

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ManifestError(LettaformError):
    """The manifest is not valid. Carries every problem that was found, sorted by place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.place or Place("", 0, 0)))
        super().__init__("\n".join(map(str, self.problems)))


class Interrupted(LettaformError):
    """The run was interrupted before everything was carried out."""

    exit_code = 130


class AgentFileError(LettaformError):
    """A file is not an agent file, or cannot be used. Carries every problem that was found, with its place."""

    def __init__(self, message: str, hint: str | None = None, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


class SnapshotError(LettaformError):
    """A snapshot cannot be written or read, or does not hold what it must. Carries every problem that was found."""

    def __init__(self, message: str, hint: str | None = None, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


class LocalError(LettaformError):
    """The Letta server on this machine could not be installed, started or stopped."""


class ServerError(LettaformError):
    """The server refused a request, or gave no answer.

    status    of the answer; 0 without one
    words     the server's own message, redacted
    body      the answer as JSON or text, redacted, without what the server echoes of the request; None without one
    problems  the values that it is about
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        method: str = "",
        path: str = "",
        status: int = 0,
        words: str = "",
        body: Any = None,
        problems: Sequence[Problem] = (),
    ) -> None:
        super().__init__(message, hint)
        self.method, self.path, self.status, self.words = method, path, status, words
        self.body = body
        self.problems = tuple(problems)

    @property
    def status_code(self) -> int:
        """`status`, as the SDK of Letta names it."""
        return self.status

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later."""
        return self.status not in (400, 401, 403, 405, 422, 501)


class Unauthorized(ServerError):
    """401 or 403."""


class NotFound(ServerError):
    """404, or the 400 that Letta answers when a tool to delete does not exist."""


class Conflict(ServerError):
    """409: a unique value is already in use, or another request changed the object first."""


class Unavailable(ServerError):
    """No usable answer: connection refused or lost, timeout, 408, 429, 5xx.

    ambiguous    whether the server may have carried out the request
    silent       whether the server did not answer in time
    retry_after  seconds that the server asks to wait; None if it asks for none
    """

    ambiguous = False
    silent = False
    retry_after: float | None = None


class StreamBroken(Unavailable):
    """The stream of a run ended before the run did. The hint says how to get the rest.

    run_id       None if the stream ended before it named the run
    last_seq_id  the number of the last piece that came; 0 if none came, or if pieces have no numbers
    """

    ambiguous = True
    run_id: str | None = None
    last_seq_id = 0


class Unsupported(ServerError):
    """This server lacks a feature that the manifest needs. Carries a problem for each missing feature."""


class NotStored(ServerError):
    """The server accepted a request and did not store a part of it. Carries a problem for each value."""

    may_pass = False


class PlanError(LettaformError):
    """The plan cannot be made or applied. Carries every problem that was found."""

    def __init__(self, message: str, hint: str | None = None, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


class Guarded(PlanError):
    """The plan would destroy a protected object, or exceeds a limit, or an agent waits for an approval.

    The hint names the option that allows it.
    """

    exit_code = 7


class Conflicting(PlanError):
    """The manifest and an agent changed the same lines of a text. Carries a problem for each text."""

    exit_code = 4


class Stale(PlanError):
    """The saved or approved plan no longer matches the manifest and the server."""

    exit_code = 6


class UnreadableState(PlanError):
    """The state of the stack cannot be read. Carries a problem for each fault, with the page it is in."""


class Locked(PlanError):
    """Another apply holds the stack's lock."""

    exit_code = 8


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The most similar of `words`; None if none is similar. For hints such as "did you mean"."""
    import difflib

    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None
