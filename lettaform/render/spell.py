"""A value, to the one line in which people read it. Clean, and without secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lettaform.render.clean import clean_line, clean_spaces
from lettaform.render.data import expression
from lettaform.values import Patch, Ref, Secret, Template


def spell(value: Any) -> str:
    """Texts in quotes, so that `"5"` is not `5`; a Ref as its address; a Secret as `‹secret›`."""
    if isinstance(value, str):
        return f'"{_text(value)}"'
    if isinstance(value, Template):
        return f'"{_text(joined(value))}"'
    if isinstance(value, Mapping):
        items = ", ".join(f"{clean_line(str(key))}: {spell(item)}" for key, item in value.items())
        return f"{{{items}}}"
    if isinstance(value, list | tuple | set | frozenset):
        return f"[{', '.join(map(spell, value))}]"
    if isinstance(value, Ref):
        return clean_line(str(value.address) if value.path == "id" else f"{value.address}.{value.path}")
    if isinstance(value, Secret):
        return "‹secret›"
    if isinstance(value, Patch):
        return " ".join([f"+{member(item)}" for item in value.put] + [f"-{member(item)}" for item in value.drop])
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return clean_line(str(value))


def member(value: Any) -> str:
    """A member of a collection: names and addresses need no quotes there."""
    return clean_line(value) if isinstance(value, str) else spell(value)


def joined(value: Template) -> str:
    """The text with `${address.id}` where an id will be."""
    return "".join(part if isinstance(part, str) else expression(part) for part in value.parts)


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 agent`, `2 agents`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _text(text: str) -> str:
    inner = text.rstrip(" ")  # the quotes show where it ends
    return clean_spaces(inner).replace("⇥   ", "⇥") + " " * (len(text) - len(inner))
