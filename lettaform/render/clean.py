"""Untrusted text to text that is safe to print: no control sequence acts, no character is invisible."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import category

_INVISIBLE = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters C0, DEL, C1
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # invisible characters
    "\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"  # zero width, bidi, fillers
    "\ufe00-\ufe0f\U000e0000-\U000e0fff"  # variation selectors and tags, which can hide whole texts
    "\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2"  # format characters of scripts
    "\U000110bd\U000110cd\U00013430-\U0001345f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\ud800-\udfff"  # lone surrogates, which no encoding can write
    "]"
)
_COMMAND = re.compile(r"^([^\S\n]*)::(?=[A-Za-z])|##\w*\[", re.MULTILINE)
"""What GitHub Actions and Azure Pipelines take for a command: `::name` at the beginning of a line, or `##[name` and
`##vso[name` anywhere. They read it from whatever a step prints."""
_ODD_SPACES = re.compile("[\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]")
_TRAILING = re.compile(" +$")


def clean(text: str) -> str:
    """`text` with every control, invisible and direction-changing character made visible. Newline and tab stay.

    What a CI would run as a command is broken up: `‹::›`, `##‹[›`.
    """
    shown = text if text.isascii() and text.isprintable() else _INVISIBLE.sub(_make_visible, text)
    return _COMMAND.sub(_break_up, shown) if "::" in shown or "##" in shown else shown


def clean_line(text: str) -> str:
    """As `clean`, on one line: newline and tab become visible, too."""
    return clean(text).replace("\n", "↵").replace("\t", "⇥")


def clean_spaces(text: str) -> str:
    """As `clean_line`, for a changed line: unusual spaces and spaces at the end become visible, too."""
    shown = _TRAILING.sub(lambda spaces: "·" * len(spaces[0]), _ODD_SPACES.sub(_codepoint, clean(text)))
    return shown.replace("\n", "↵").replace("\t", "⇥   ")


def redact(text: str, secrets: Iterable[str]) -> str:
    """`text` with every one of `secrets` replaced. Secrets of fewer than four characters are not replaced."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        if len(secret) >= 4:
            text = text.replace(secret, "‹secret›")
    return text


def _make_visible(found: re.Match[str]) -> str:
    character = found[0]
    if character in "\ufe0e\ufe0f" and found.start() and category(found.string[found.start() - 1]) in {"So", "Sm"}:
        return character  # after a symbol, it only selects the text or the emoji form
    code = ord(character)
    return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else _codepoint(found)


def _break_up(found: re.Match[str]) -> str:
    return f"{found[1]}‹::›" if found[1] is not None else f"{found[0][:-1]}‹[›"


def _codepoint(found: re.Match[str]) -> str:
    return f"‹U+{ord(found[0]):04X}›"
