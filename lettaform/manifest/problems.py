"""What is wrong, collected while everything else goes on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from lettaform.errors import Place, Problem, nearest


class Problems:
    """Every problem so far, each once, however often the same line is read."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place | None, str], Problem] = {}
        self._secrets: set[str] = set()
        self.unread = False
        """A file could not be read as a whole: what seems to be undeclared may stand in it."""

    def add(
        self,
        message: str,
        place: Place | None,
        hint: str | None = None,
        *,
        address: object = None,
        field: str | None = None,
        severity: Literal["error", "warning"] = "error",
    ) -> None:
        """Note a problem. Values of secrets are struck out of its words."""
        message, hint = self._redacted(message), hint and self._redacted(hint)
        spelled = None if address is None else str(address)
        self._found.setdefault((place, message), Problem(message, place, hint, spelled, field, severity))

    def conceal(self, value: str) -> None:
        """Never show `value`. Shorter ones are no more than coincidences in a message."""
        if len(value) >= 4:
            self._secrets.add(value)

    def _redacted(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "‹secret›")
        return text

    @property
    def errors(self) -> list[Problem]:
        """What makes the manifest unusable."""
        return [problem for problem in self._found.values() if problem.severity == "error"]

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What is only worth a look."""
        return tuple(problem for problem in self._found.values() if problem.severity == "warning")


def suggest(word: str, words: Iterable[str]) -> str | None:
    """The nearest right word as a hint; all of them if none is near and they are few."""
    choices = list(dict.fromkeys(words))
    near = nearest(word, choices) or next((choice for choice in choices if choice.lower() == word.lower()), None)
    if near is not None:
        return f"did you mean `{near}`?"
    return f"one of: {', '.join(choices)}" if 0 < len(choices) <= 12 else None
