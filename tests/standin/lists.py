"""Pages of a list: order, cursor, limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.standin.server import DATABASE, Ask, Body, Refusal, invalid


def page(
    ask: Ask,
    items: Iterable[Body],
    *,
    everything: Sequence[str],
    order: str,
    limit: int = 50,
    zero_is_all: bool = True,
    by: Callable[[Body], Any] | None = None,
) -> list[Body]:
    """The items that were asked for.

    `everything`: all ids of the table in order of creation: an `after` that is none of them is ignored (0.16.8), so
    that the first page comes again. `by`: sort by this and not by creation, though the cursor still goes by creation.
    """
    size = number(ask, "limit", limit)
    forward = choice(ask, "order", ("asc", "desc"), order) == "asc"
    place = {id: at for at, id in enumerate(everything)}
    found = sorted(items, key=by or (lambda item: place[item["id"]]), reverse=not forward)
    for word, ahead in (("after", forward), ("before", not forward)):
        cursor = place.get(ask.query.get(word, ""))
        if cursor is not None:
            found = [item for item in found if (place[item["id"]] > cursor if ahead else place[item["id"]] < cursor)]
    if size < 0:
        raise Refusal(500, DATABASE)
    return found if size == 0 and zero_is_all else found[:size]


def number(ask: Ask, name: str, default: int) -> int:
    """An integer of the query."""
    text = ask.query.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise invalid([{"type": "int_parsing", "loc": ("query", name), "msg": message, "input": text}]) from None


def choice(ask: Ask, name: str, choices: Sequence[str], default: str) -> str:
    """A word of the query."""
    text = str(ask.query.get(name, default))
    if text not in choices:
        raise unlisted(("query", name), text, choices)
    return text


def unlisted(at: tuple[object, ...], text: str, choices: Sequence[str]) -> Refusal:
    """422 for a word that is none of these."""
    said = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
    told = {"type": "literal_error", "loc": at, "msg": f"Input should be {said}", "input": text}
    return invalid([told | {"ctx": {"expected": said}}])


def tagged(ask: Ask, has: Sequence[str], *, twice_is_two: bool = False) -> bool:
    """The `tags` filter: any of them, or all with `match_all_tags`.

    `twice_is_two`: 0.16.8 counts on blocks: a tag that is asked for twice matches none.
    """
    wanted = ask.query.get_list("tags")
    if not wanted:
        return True
    if not ask.flag("match_all_tags"):
        return any(tag in has for tag in wanted)
    if twice_is_two:
        return sum(tag in wanted for tag in has) == len(wanted)
    return all(tag in has for tag in wanted)
