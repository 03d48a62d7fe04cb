"""Names of objects to the keys under which a manifest declares them: valid without quotes, and each once."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

_VALID = re.compile(r"[A-Za-z0-9_-]+")
LONGEST = 60
"""Characters of a key that is made from a name, such as the description of a group."""


def clean(name: str, fallback: str) -> str:
    """A name as a key: itself if it is one, or else its letters and digits. `fallback`: if it has none."""
    if _VALID.fullmatch(name) and len(name) <= LONGEST:
        return name
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9_]+", "-", plain.lower()).strip("-_")
    if len(words) > LONGEST:
        words = words[: LONGEST + 1].rpartition("-")[0] or words[:LONGEST]
    return words or fallback


def stack_name(name: str, fallback: str) -> str:
    """The name of a stack that is made from that of a file or folder."""
    return clean(name.lower(), fallback).replace("_", "-").strip("-") or fallback


class Keys:
    """The keys that are in use. Names are compared without case: keys are names of files, too."""

    def __init__(self, reserved: Collection[str] = (), joint: str = "-") -> None:
        """`joint`: stands before the number of a key that is in use already."""
        self.used, self.joint = {each.lower() for each in reserved}, joint

    def take(self, wanted: str) -> str:
        """A key that is not in use yet: the wanted one, or else the first of `wanted-2`, `wanted-3`, …"""
        key, number = wanted, 2
        while key.lower() in self.used:
            key, number = f"{wanted}{self.joint}{number}", number + 1
        self.used.add(key.lower())
        return key
