"""Pages that are asked for before the one before them is parsed: the same items, by the same requests."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lettaform.backend.v1 import pages
from lettaform.backend.v1.pages import Seen, each_page, last_id
from lettaform.client.calls import Cursor


def body(*items: Any, tight: bool = True) -> bytes:
    return json.dumps(items, separators=(",", ":") if tight else None).encode()


ONE, TWO = {"id": "a-1", "name": "one"}, {"id": "a-2", "name": "},{"}
NESTED = {"name": "x", "id": "a-3", "blocks": [{"name": "b", "id": "b-1"}, {"name": "c", "id": "b-2"}]}
INNER = {"name": "x", "id": "a-4", "blocks": [{"label": "b", "id": "b-1"}, {"label": "c", "id": "b-2"}]}


@pytest.mark.parametrize(
    ("text", "limit", "id"),
    [
        (body(ONE, TWO), 2, "a-2"),
        (body(TWO, ONE), 2, "a-1"),
        (body(INNER, INNER), 2, "a-4"),
        (body(ONE, TWO) + b"\n", 2, "a-2"),
        (body(ONE, TWO), 3, None),  # the last page: no other follows
        (body(ONE, TWO, ONE), 2, None),
        (body(ONE), 1, None),  # nothing says where an item begins
        (body(NESTED, NESTED), 2, None),  # it seems to have more items
        (body({"id": 1}, {"id": 2}), 2, None),
        (body(ONE, TWO, tight=False), 2, None),
        (body("a-1", "a-2"), 2, None),
        (body(), 2, None),
        (b"", 2, None),
        (b'[{"id":"a-1"},{"id":"a-2"', 2, None),
        (b'[{"a":"},{\\"a\\":"},{"a":1}]', 2, None),
        (b"\xff\xfe[{:},{:", 2, None),
        (b'{"id":"a-1"},{"id":"a-2"}', 2, None),
    ],
)
def test_the_id_of_the_last_item(text: bytes, limit: int, id: str | None) -> None:
    assert last_id(text, limit) == id


class Server:
    """A list. `log`: the ids after which pages were asked for, and `parsed` when one was read."""

    def __init__(self, pages: dict[str | None, bytes]) -> None:
        self.pages, self.log = pages, list[str | None]()
        self.cancelled, self.pause = 0, 0.001

    async def ask(self, after: str | None, seen: Seen) -> Any:
        self.log.append(after)
        try:
            await asyncio.sleep(self.pause)
            await seen(self.pages[after])
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.log.append("parsed")
        return json.loads(self.pages[after])

    def all(self, limit: int = 2) -> list[Any]:
        async def read() -> list[Any]:
            return [page async for page in each_page(self.ask, Cursor(limit))]

        return asyncio.run(read())


def item(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"a-{number}", **more}


FULL = {None: body(item(1), item(2)), "a-2": body(item(3), item(4)), "a-4": body(item(5), item(6)), "a-6": body()}


def test_a_page_is_asked_for_before_the_one_before_it_is_parsed() -> None:
    server = Server(FULL)
    assert server.all() == [[item(1), item(2)], [item(3), item(4)], [item(5), item(6)], []]
    assert [each for each in server.log if each != "parsed"] == [None, "a-2", "a-4", "a-6"]
    assert server.log.index("a-2") < server.log.index("parsed")


def test_no_page_follows_the_last_one() -> None:
    server = Server({**FULL, "a-4": body(item(5))})
    assert server.all()[-1] == [item(5)]
    assert server.log.count("parsed") == 3
    assert len(server.log) == 6


def test_a_wrong_guess_is_asked_for_again() -> None:
    spelled = b'[{"id":"a-1"},{"id":"a-2","id":"a-3"}]'.replace(b'"id":"a-3"', b'"\\u0069d":"a-3"')
    odd = spelled + b" "
    server = Server({None: odd, "a-3": body(item(4))})
    assert last_id(odd, 2) == "a-3", "the parser of JSON decides"
    assert server.all() == [[item(1), item(3)], [item(4)]]


def test_what_was_asked_for_in_vain_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "last_id", lambda body, limit: "a-4" if b"a-2" in body else None)
    server = Server(FULL)
    server.pause = 0.02
    assert server.all() == [[item(1), item(2)], [item(3), item(4)], [item(5), item(6)], []]
    assert server.log[:3] == [None, "a-4", "parsed"]
    assert server.log.count("a-4") == 2
    assert server.cancelled == 1


@pytest.mark.parametrize("again", [{"a-2": FULL[None]}, {"a-2": FULL["a-2"], "a-4": FULL[None], "a-2 ": b""}])
def test_pages_end_where_the_server_answers_one_again(again: dict[str | None, bytes]) -> None:
    assert Server({**FULL, **again}).all()[-1] == []


def test_a_page_that_is_no_list_is_the_last_one() -> None:
    assert Server({None: FULL[None], "a-2": b'{"detail":"no"}'}).all() == [[item(1), item(2)], None]


def test_at_most_two_pages_are_under_way_while_the_caller_works() -> None:
    server = Server(FULL)

    async def read() -> int:
        found = each_page(server.ask, Cursor(2))
        await anext(found)
        await asyncio.sleep(0.05)
        asked = len([each for each in server.log if each != "parsed"])
        await found.aclose()
        return asked

    assert asyncio.run(read()) == 3


def test_an_error_ends_what_is_under_way() -> None:
    class Broken(Server):
        async def ask(self, after: str | None, seen: Seen) -> Any:
            await super().ask(after, seen)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        Broken(FULL).all()
