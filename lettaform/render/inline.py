"""A value to text on one line. The text is clean and contains no secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lettaform.model import Shard
from lettaform.render.clean import clean_line, clean_spaces
from lettaform.render.data import ref_expression
from lettaform.values import HIDDEN, Patch, Ref, Secret, Template


def to_text(value: Any) -> str:
    """`value` on one line. Texts are quoted, so that `"5"` differs from `5`. A Secret is `‹secret›`."""
    match value:
        case str():
            return f'"{_visible_spaces(value)}"'
        case Template():
            return f'"{_visible_spaces(template_text(value))}"'
        case Secret():
            return f'"{_visible_spaces(str(value))}"' if value.shows_literals else HIDDEN
        case Ref():
            return clean_line(str(value.address) if value.path == "id" else f"{value.address}.{value.path}")
        case Patch():
            added = [f"+{member_text(member)}" for member in value.put]
            added += [f"+{clean_line(key)}={to_text(item)}" for key, item in value.entries or ()]
            return " ".join([*added, *(f"-{member_text(member)}" for member in value.drop)])
        case Mapping():
            entries = ", ".join(f"{clean_line(str(key))}: {to_text(item)}" for key, item in value.items())
            return f"{{{entries}}}"
        case list() | tuple() | set() | frozenset():
            return f"[{', '.join(map(to_text, value))}]"
        case None | bool() | int() | float():
            return json.dumps(value)
        case _:
            return clean_line(str(value))


def with_names(value: Any, names: Mapping[str, str], *, ids: bool = True) -> Any:
    """A value, or the members of a list, with `name (id)` in place of each id that has a name. `ids`: else `name`."""

    def named(item: Any) -> Any:
        if not isinstance(item, str) or item not in names:
            return item
        return f"{names[item]} ({item})" if ids else names[item]

    match value:
        case list():
            return [*map(named, value)]
        case Patch() if value.entries is None:
            return Patch(tuple(map(named, value.put)), tuple(map(named, value.drop)))
        case _:
            return named(value)


def member_text(value: Any) -> str:
    """A member of a list. Names and addresses are not quoted there."""
    return clean_line(value) if isinstance(value, str) else to_text(value)


def template_text(value: Template) -> str:
    """The text with `${address.id}` in place of an id that is not known yet."""
    return "".join(part if isinstance(part, str) else ref_expression(part) for part in value.parts)


def part(environment: str | None, shard: Shard) -> str:
    """What a stack is applied with: `, environment prod, shard 3/16`. Empty for the whole stack without either."""
    return (f", environment {environment}" if environment else "") + (f", shard {shard}" if shard else "")


def count(number: int, one: str, many: str | None = None) -> str:
    """`1 agent`, `2 agents`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _visible_spaces(text: str) -> str:
    """Unusual spaces made visible. Plain spaces at the end stay, because the closing quote shows them."""
    inner = text.rstrip(" ")
    return clean_spaces(inner).replace("⇥   ", "⇥") + " " * (len(text) - len(inner))
