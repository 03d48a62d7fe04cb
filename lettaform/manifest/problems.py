"""Problems: errors and warnings about a manifest, collected while loading continues."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Literal

from lettaform.errors import Place, Problem, nearest
from lettaform.manifest.rules import SYNTAX
from lettaform.manifest.waivers import Waivers

COMPARISONS = 50_000
"""How many keys one load compares with unknown keys; about 1 s. Later unknown keys get no suggestion."""
_SHORTEST_SECRET = 4
"""Shorter secrets would also redact unrelated parts of messages."""


class Problems:
    """All problems of one load. The same message at the same place is kept once."""

    def __init__(self) -> None:
        self._found: dict[tuple[Place | None, str, str | None], Problem] = {}
        self._secrets: set[str] = set()
        self._suggestions: dict[tuple[str, str], str | None] = {}
        self._comparisons = 0
        self.remark = ""
        """Why these files are read, if nobody named them: added to the hints of unknown and missing top-level keys."""
        self.incomplete = False
        """A file could not be read. Names that appear to be undeclared may be declared in it."""
        self.rule = SYNTAX
        """The rule of the problems that name none. Each phase of a load sets it."""
        self.waivers = Waivers()
        """The warnings that the manifest switches off."""

    def add(
        self,
        message: str,
        place: Place | None,
        hint: str | None = None,
        *,
        address: object = None,
        field: str | None = None,
        severity: Literal["error", "warning"] = "error",
        secret: bool = False,
        rule: str = "",
    ) -> None:
        """Record a problem. `rule`: the id of its rule. Default: that of the phase. A warning names its own."""
        spelled = None if address is None else str(address)
        # a warning about one instance of a `for_each` may be switched off, and the same about another one not
        key = (place, message, spelled if severity == "warning" else None)
        if key not in self._found:
            found = Problem(message, place, hint, spelled, field, severity, secret, rule or self.rule)
            self._found[key] = found

    def remarked(self, hint: str | None) -> str | None:
        """A hint about a top-level key, with the reason why its file is read."""
        return "; ".join(filter(None, (hint, self.remark))) or None

    def conceal(self, value: str) -> None:
        """Redact `value` in all messages and hints."""
        if len(value) >= _SHORTEST_SECRET:
            self._secrets.add(value)

    def suggest(
        self, word: str, section: str, keys: Collection[str], spelled: Callable[[str], str] = str
    ) -> str | None:
        """The key of `section` nearest to `word`, as a hint. `spelled` writes the key as the user has to.

        The result is cached by word. The total number of comparisons is limited, so that a large manifest with
        many unknown keys loads in reasonable time.
        """
        if (word, section) not in self._suggestions:
            self._comparisons += len(keys)
            within = self._comparisons <= max(COMPARISONS, len(keys))
            self._suggestions[word, section] = suggest(word, keys, spelled) if within else None
        return self._suggestions[word, section]

    @property
    def errors(self) -> list[Problem]:
        """The problems that make the manifest unusable."""
        return self._redacted("error")

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """The problems that do not, by place, without those that the manifest switches off."""
        found = sorted(self._redacted("warning"), key=lambda problem: problem.place or Place("", 0, 0))
        kept: dict[tuple[Place | None, str], Problem] = {}
        for each in found:
            if not self.waivers.covers(each):
                kept.setdefault((each.place, each.message), each)
        return tuple(kept.values())

    def extend(self, problems: Iterable[Problem]) -> None:
        """Record problems that know their rule."""
        for each in problems:
            self._found.setdefault((each.place, each.message, each.address), each)

    def add_unused_waivers(self) -> None:
        """Warn of each waiver that covers none of the warnings so far."""
        self.extend(list(self.waivers.unused(self._redacted("warning"))))

    @property
    def has_errors(self) -> bool:
        """Whether the manifest is unusable."""
        return any(problem.severity == "error" for problem in self._found.values())

    def _redacted(self, severity: str) -> list[Problem]:
        found = [problem for problem in self._found.values() if problem.severity == severity]
        texts = self._without_secrets([text for each in found for text in (each.message, each.hint or "")])
        return [
            replace(each, message=message, hint=each.hint and hint)
            for each, message, hint in zip(found, texts[::2], texts[1::2], strict=True)
        ]

    def _without_secrets(self, texts: list[str]) -> list[str]:
        # searched in all texts at once: there may be thousands of secrets and of problems
        joined = "\n".join(texts)
        for secret in sorted((each for each in self._secrets if each in joined), key=len, reverse=True):
            texts = [text.replace(secret, "‹secret›") for text in texts]
        return texts


def suggest(word: str, words: Iterable[str], spelled: Callable[[str], str] = str) -> str | None:
    """The nearest of `words` as a hint; all of them if none is near and there are at most 12."""
    choices = list(dict.fromkeys(words))
    near = nearest(word, choices) or next((choice for choice in choices if choice.lower() == word.lower()), None)
    if near is not None:
        return f"did you mean `{spelled(near)}`?"
    return f"one of: {', '.join(map(spelled, choices))}" if 0 < len(choices) <= 12 else None
