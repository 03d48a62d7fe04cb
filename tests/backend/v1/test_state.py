"""The pages of a state: written head last, read back whole after a kill between any two requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest

from lettaform.backend.v1 import state
from lettaform.backend.v1.client import Client
from tests.standin import StandIn

URL, EMPTY = "http://stand.in", "empty head"


class Store:
    """A stand-in that holds the pages of stack `s`. `kill`: the number of the write before which the run ends."""

    def __init__(self) -> None:
        self.standin, self.kill, self.writes = StandIn(), 0, 0
        self.standin.before = self._count

    def _count(self, ask: Any) -> None:
        self.writes += ask.method != "GET"
        if self.kill and self.writes >= self.kill:
            raise KeyboardInterrupt

    def run(self, call: Any) -> None:
        async def inside() -> None:
            client = Client(URL, transport=self.standin)

            async def post(path: str, body: Mapping[str, Any], params: Mapping[str, Any]) -> dict[str, Any]:
                return dict(await client.object("POST", path, body=body))

            try:
                await call(client, post)
            finally:
                await client.close()

        self.writes = 0
        asyncio.run(inside())

    def write(self, pages: Sequence[str], shard: str = "", drops: Sequence[str] = ()) -> None:
        self.run(lambda client, post: state.Stored(client, "s", post, shard).write(pages, EMPTY, drops))

    def delete(self, shard: str = "", drops: Sequence[str] = ()) -> None:
        self.run(lambda client, post: state.Stored(client, "s", post, shard).delete(EMPTY, drops))

    @property
    def blocks(self) -> list[dict[str, Any]]:
        with httpx.Client(transport=self.standin, base_url=URL) as http:
            self.kill = 0
            found: list[dict[str, Any]] = http.get("/v1/blocks/", params={"show_hidden_blocks": True}).json()
        return found

    @property
    def pages(self) -> list[str]:
        """The texts of all pages, the head first."""
        found = state.pages(self.blocks)
        heads = {each["value"] for each in self.blocks if f"{state.TAG}=0" in each["tags"]}
        return sorted(found.values(), key=lambda text: (text not in heads, text))


@pytest.mark.parametrize(
    "steps",
    [
        [["head"]],
        [["head", "b", "c"]],
        [["head", "b", "c"], ["other", "c", "d"]],
        [["head", "b"], ["head"]],
        [["head", "b"], ["head", "b"]],
    ],
)
def test_the_pages_that_were_written_last_are_there(steps: list[list[str]]) -> None:
    store = Store()
    for pages in steps:
        store.write(pages)
        assert store.pages == pages
    store.delete()
    assert store.pages == []


def test_pages_that_stay_are_not_written_again() -> None:
    store = Store()
    store.write(["head", "b", "c"])
    store.write(["head", "b", "c"])
    assert store.writes == 0


def test_a_kill_between_two_requests_leaves_the_old_pages_or_the_new_ones() -> None:
    old, new = ["old", "a", "b"], ["new", "b", "c"]
    for number in range(1, 10):
        store = Store()
        store.write(old)
        store.kill = number
        try:
            store.write(new)
        except (KeyboardInterrupt, BaseExceptionGroup):
            assert set(old) <= set(store.pages) or set(new) <= set(store.pages)
            store.write(new)
            assert store.pages == new
        else:
            break
    assert number > 2


def test_a_page_is_hidden_and_told_from_other_blocks() -> None:
    store = Store()
    store.write(["head"])
    (page,) = store.blocks
    assert page["hidden"]
    assert state.is_page(page)
    assert not state.is_page({"tags": None})
    other = {"id": "block-x", "value": "v", "tags": ["a"]}
    assert state.pages([page, other]) == {page["id"]: "head"}


# --- shards ----------------------------------------------------------------------------------------------------------


def test_a_shard_writes_its_own_pages_alone() -> None:
    store = Store()
    store.write(["head 0", "b"], "0/4")
    store.write(["head 3", "c"], "3/4")
    store.write(["head 0 again", "d"], "0/4")
    assert sorted(store.pages) == ["c", "d", "head 0 again", "head 3"]
    store.delete("0/4")
    assert sorted(store.pages) == ["c", "head 3"]


def test_equal_pages_of_two_shards_are_two() -> None:
    store = Store()
    store.write(["head", "b"], "0/4")
    store.write(["head", "b"], "3/4")
    store.write(["head"], "0/4")
    assert sorted(store.pages) == ["b", "head", "head"]


def test_the_whole_stack_replaces_the_pages_of_all_shards() -> None:
    store = Store()
    store.write(["head 0", "b"], "0/4")
    store.write(["head 3", "b"], "3/4")
    store.write(["head", "b"])
    assert store.pages == ["head", "b"]


def test_a_shard_drops_the_pages_of_another_count() -> None:
    store = Store()
    store.write(["head", "b"], "1/16")
    store.write(["other", "c"], "2/16")
    store.write(["new"], "1/4", ["1/16", "5/16"])
    assert sorted(store.pages) == ["c", "new", "other"]
    store.delete("1/4", ["2/16"])
    assert store.pages == []


def test_a_kill_while_shards_are_joined_leaves_the_old_pages_beside_the_new_ones_or_the_new_ones() -> None:
    kills = 0
    while True:
        store, kills = Store(), kills + 1
        store.write(["old", "b"], "1/16")
        store.kill = kills
        try:
            store.write(["new", "c"], "1/4", ["1/16"])
        except KeyboardInterrupt:
            assert {"old", "b"} <= {*store.pages} or {"new", "c"} <= {*store.pages}
        else:
            break
    assert kills > 4
