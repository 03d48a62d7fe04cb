"""What a published text is about, to and from its first line, which is not shown: a CI finds its own texts by it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote

_LINE = re.compile(r"\ufeff?<!-- lettaform (plan|drift) ([^\n]*?) ?-->")
_WORD = re.compile(r"([a-z]+)=(\S+)")


@dataclass(frozen=True)
class Subject:
    """A text about the plan or the drift of a stack, in an environment."""

    about: Literal["plan", "drift"]
    stack: str
    environment: str | None = None

    def __str__(self) -> str:
        return f"stack `{self.stack}`" + (f" in environment `{self.environment}`" if self.environment else "")

    def line(self, digest: str = "") -> str:
        """The first line of a text about it. `digest`: of its plan."""
        words = {"stack": self.stack, "environment": self.environment, "digest": digest}
        # `-->` would end the comment, and white space a word: both are escaped
        spelled = (f"{name}={quote(value, safe='.')}" for name, value in words.items() if value)
        return f"<!-- lettaform {self.about} {' '.join(spelled)} -->"


def subject_of(text: str) -> tuple[Subject, str] | None:
    """What a text is about, and the digest of its plan, by its first line; None if that does not say so."""
    line = _LINE.match(text)
    words = {name: unquote(value) for name, value in _WORD.findall(line[2])} if line else {}
    if line is None or "stack" not in words:
        return None
    about: Literal["plan", "drift"] = "plan" if line[1] == "plan" else "drift"
    return Subject(about, words["stack"], words.get("environment")), words.get("digest", "")
