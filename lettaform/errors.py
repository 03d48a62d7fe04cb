"""Everything that can go wrong, as one tree.

LettaformError                 the CLI catches only this; anything else is a bug and says how to report it
├ ManifestError                the files are wrong; carries all Problems, each with its place and a hint
├ Interrupted                  the run was interrupted before everything was carried out
├ LocalError                   the server on this machine could not be installed, started or stopped
├ ServerError                  the server said no: method, path, status, its own words
│ ├ Unauthorized               401, 403
│ ├ NotFound                   404
│ ├ Conflict                   409
│ ├ Unavailable                no answer: refused, cut, timed out, 429, 5xx
│ └ Unsupported                this server lacks what is asked
└ PlanError                    the manifest and the observed do not go together
  ├ Ambiguous                  several live objects answer to one address; lists their ids
  ├ Guarded                    it would destroy something precious; names the flag that consents
  ├ Diverged                   manifest and agent both changed a `merge` value
  ├ Stale                      the saved plan no longer fits what is live
  ├ UnreadableState            the state of the stack cannot be read; names the page
  └ Locked                     somebody else applies; who, since when, how to release
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, order=True)
class Place:
    """Where something was written. Lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong, where, and what would be right."""

    message: str
    place: Place | None = None
    hint: str | None = None
    address: str | None = None
    field: str | None = None
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        where = f"{self.place}: " if self.place else ""
        return f"{where}{self.message}" + (f" ({self.hint})" if self.hint else "")


class LettaformError(Exception):
    """What lettaform tells a person, in one message; `hint` says what to do about it, `problems` each thing apart."""

    exit_code = 1
    problems: tuple[Problem, ...] = ()

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ManifestError(LettaformError):
    """The files are wrong. Carries every problem that was found, sorted by place."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: problem.place or Place("", 0, 0)))
        super().__init__("\n".join(map(str, self.problems)))


class Interrupted(LettaformError):
    """The run was interrupted before everything was carried out."""

    exit_code = 130


class LocalError(LettaformError):
    """The Letta server on this machine could not be installed, started or stopped."""


class ServerError(LettaformError):
    """The server refused a request. `words` are its own, redacted."""

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        method: str = "",
        path: str = "",
        status: int = 0,
        words: str = "",
    ) -> None:
        super().__init__(message, hint)
        self.method, self.path, self.status, self.words = method, path, status, words


class Unauthorized(ServerError):
    """401 or 403."""


class NotFound(ServerError):
    """404, and the 400 with which Letta answers the deletion of a missing tool."""


class Conflict(ServerError):
    """409: a unique value that is taken, or a write that another write overtook."""


class Unavailable(ServerError):
    """No usable answer: refused, cut, timed out, 429, 5xx.

    ambiguous    the server may have acted all the same
    silent       it has not answered in time
    retry_after  seconds that the server asks us to wait; None if it says nothing
    """

    ambiguous = False
    silent = False
    retry_after: float | None = None


class Unsupported(ServerError):
    """This server cannot do what the manifest asks for. Carries a problem for each thing that it lacks."""

    def __init__(self, message: str, hint: str | None = None, *, problems: Sequence[Problem] = (), **told: Any) -> None:
        super().__init__(message, hint, **told)
        self.problems = tuple(problems)


class PlanError(LettaformError):
    """The manifest and the observed do not go together. Carries every problem that was found."""

    def __init__(self, message: str, hint: str | None = None, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(problems)


class Ambiguous(PlanError):
    """Several live objects answer to one address."""


class Guarded(PlanError):
    """It would destroy something precious; the hint names the flag that consents."""

    exit_code = 7


class Diverged(PlanError):
    """Manifest and agent both changed a value whose policy is `merge`."""

    exit_code = 4


class Stale(PlanError):
    """The saved plan no longer fits what is live."""

    exit_code = 6


class UnreadableState(PlanError):
    """The state of the stack cannot be read. Carries a problem for each fault, with the page it is in."""


class Locked(PlanError):
    """Somebody else applies."""

    exit_code = 8


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The most similar of `words`; None if none is similar. For hints such as "did you mean"."""
    import difflib

    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return found[0] if found else None
