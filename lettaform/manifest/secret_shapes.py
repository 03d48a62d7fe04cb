"""A text to the first secret in it: a known value, or what has the shape of a key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote

SHORTEST, SHORT = 4, 8
"""Secrets below the first length would be found in unrelated texts; those below the second one inside of words."""


class Finding(NamedTuple):
    """What was found, in words that do not repeat it, and the line of the text that contains it."""

    what: str
    line: int


_WORD = r"(?<![A-Za-z0-9])"
TOKENS: Mapping[str, str] = {
    "an AWS access key": _WORD + r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}(?![A-Za-z0-9])",
    "a GitHub token": _WORD + r"(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})",
    "a GitLab token": _WORD + r"glpat-[A-Za-z0-9_-]{20,}",
    "a Slack token": _WORD + r"(?:xox[abeoprs]|xapp)-[A-Za-z0-9-]{10,}",
    "a Stripe key": _WORD + r"[rs]k_(?:live|test)_[A-Za-z0-9]{16,}",
    "an API key (`sk-…`)": _WORD + r"sk-(?=[A-Za-z_-]*[0-9])[A-Za-z0-9_-]{20,}",
    "a Google API key": _WORD + r"AIza[A-Za-z0-9_-]{35,}",
    "a Hugging Face token": _WORD + r"hf_[A-Za-z0-9]{30,}",
    "an npm token": _WORD + r"npm_[A-Za-z0-9]{36,}",
    "a PyPI token": _WORD + r"pypi-[A-Za-z0-9_-]{50,}",
    "a SendGrid key": _WORD + r"SG\.[A-Za-z0-9_-]{16,64}\.[A-Za-z0-9_-]{16,}",
    "a JSON Web Token": _WORD + r"eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}",
}
"""What the keys of known services look like. Each pattern matches the whole key."""
_IN_CONTEXT: Mapping[str, str] = {
    "a private key": r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    "an AWS secret key": r"(?i:aws[\w .-]{0,20}(?:secret|key)[\w .-]{0,20})[\"']?\s*[:=]\s*[\"']?[A-Za-z0-9/+]{40}",
    "a Slack webhook": r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9]+/[A-Za-z0-9]+/[A-Za-z0-9]{8}",
    "a bearer token": _WORD + r"(?i:bearer)\s+(?=[A-Za-z._~+/-]*[0-9])[A-Za-z0-9._~+/-]{20}",
    "a password in a URL": _WORD + r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\"'`]{1,200}:[^\s/@\"'`]{3,200}@[^\s/]",
    "a password or key": _WORD
    + r"(?i:(?:api|access|auth|secret|private)[_ -]?key|secret|token|passwor[dt]|passwd|pwd)"
    + r"[\"'`]?\s{0,3}(?::|=|=>|is)\s{0,3}[\"'`]?(?=[^\s\"'`]*[0-9])(?=[^\s\"'`]*[A-Za-z])[^\s\"'`,;]{16}",
}
"""Secrets that the words around them tell."""
SHAPES: Mapping[str, re.Pattern[str]] = {name: re.compile(each) for name, each in {**TOKENS, **_IN_CONTEXT}.items()}
"""What a secret looks like. A shape that a word of a language has, too, would refuse texts without a secret."""


def find(text: str, known: Mapping[str, str], before: str = "") -> Finding | None:
    """The first secret in a text; None if there is none.

    known   the value of a secret to what it is, in words
    before  the text that this one replaces: what has the shape of a key and stands in it already is no finding
    """
    for value, what in known.items():
        for spelled in _spellings(value):
            if spelled in text and (start := _start(text, spelled)) >= 0:
                return Finding(f"the value of {what}", _line(text, start))
    for name, shape in SHAPES.items():
        for found in shape.finditer(text):
            if found[0] not in before:
                return Finding(f"what looks like {name}", _line(text, found.start()))
    return None


def _spellings(value: str) -> Iterator[str]:
    """A secret as it may stand in a text: as it is, without the spaces around it, and as a part of a URL."""
    for spelled in dict.fromkeys((value, value.strip(), quote(value, safe="", errors="replace"))):
        if len(spelled) >= SHORTEST:
            yield spelled


def _start(text: str, value: str) -> int:
    """Where a text contains a value; a short one only as a word of its own. -1 if it does not."""
    if len(value) >= SHORT:
        return text.find(value)
    found = re.search(rf"{_WORD}{re.escape(value)}(?![A-Za-z0-9])", text)
    return found.start() if found else -1


def _line(text: str, start: int) -> int:
    return text.count("\n", 0, start) + 1
