"""Pages of a list: order, cursor, limit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from tests.standin.server import DATABASE, Ask, Body, Refusal, Table, invalid


def page(
    ask: Ask,
    items: Iterable[Body],
    *,
    all_ids: Sequence[str],
    order: str,
    limit: int = 50,
    zero_is_all: bool = True,
    by: Callable[[Body], Any] | None = None,
) -> list[Body]:
    """The requested page.

    `all_ids`: all ids of the table in order of creation; an `after` that is none of them is ignored (0.16.8), so that
    the first page is returned again. `by`: sort by this instead of creation; the cursor still goes by creation.
    """
    size = number(ask, "limit", limit)
    forward = choice(ask, "order", ("asc", "desc"), order) == "asc"
    place = {id: at for at, id in enumerate(all_ids)}
    found = sorted(items, key=by or (lambda item: place[item["id"]]), reverse=not forward)
    for word, ahead in (("after", forward), ("before", not forward)):
        cursor = place.get(ask.query.get(word, ""))
        if cursor is not None:
            found = [item for item in found if (place[item["id"]] > cursor if ahead else place[item["id"]] < cursor)]
    if size < 0:
        raise Refusal(500, DATABASE)
    return found if size == 0 and zero_is_all else found[:size]


def page_of(ask: Ask, table: Table, matches: Callable[[Body], bool], *, order: str) -> list[Body]:
    """The requested page of a large table: as `page`, but a page that goes forward looks at no row before it."""
    size = number(ask, "limit", 50)
    if choice(ask, "order", ("asc", "desc"), order) == "asc" and size > 0 and not ask.query.get("before"):
        return list(islice(filter(matches, table.following(ask.query.get("after"))), size))
    return page(ask, filter(matches, table.values()), all_ids=list(table), order=order)


def number(ask: Ask, name: str, default: int) -> int:
    """An integer of the query."""
    text = ask.query.get(name, str(default))
    try:
        return int(text)
    except ValueError:
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise invalid([{"type": "int_parsing", "loc": ("query", name), "msg": message, "input": text}]) from None


def choice(ask: Ask, name: str, choices: Sequence[str], default: str) -> str:
    """A query parameter with a fixed set of values."""
    text = str(ask.query.get(name, default))
    if text not in choices:
        raise invalid_choice(("query", name), text, choices)
    return text


def invalid_choice(at: tuple[object, ...], text: str, choices: Sequence[str]) -> Refusal:
    """422 for a value that is none of the choices."""
    expected = ", ".join(map(repr, choices[:-1])) + f" or {choices[-1]!r}"
    error = {"type": "literal_error", "loc": at, "msg": f"Input should be {expected}", "input": text}
    return invalid([error | {"ctx": {"expected": expected}}])


def matches_tags(ask: Ask, has: Sequence[str], *, count_duplicates: bool = False) -> bool:
    """The `tags` filter: any of them, or all with `match_all_tags`.

    `count_duplicates`: on blocks 0.16.8 counts matches, so that a tag given twice matches none.
    """
    wanted = ask.query.get_list("tags")
    if not wanted:
        return True
    if not ask.flag("match_all_tags"):
        return any(tag in has for tag in wanted)
    if count_duplicates:
        return sum(tag in wanted for tag in has) == len(wanted)
    return all(tag in has for tag in wanted)
