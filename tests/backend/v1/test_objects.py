"""One object by its kind and id: whole, missing, with its blocks, and with what was created along with it."""

from __future__ import annotations

import pytest

from lettaform.backend.v1.objects import body_of, discovered, maybe, one, whole
from lettaform.errors import NotFound
from tests.backend.v1.served import Served


@pytest.fixture
def served() -> Served:
    return Served()


def test_an_object_with_all_its_relations(served: Served) -> None:
    block = served.block("notes")
    agent = served.agent("ann", block_ids=[block["id"]])
    body = served.run(lambda reads: whole(reads.client, "agent", agent["id"]))
    assert [each["id"] for each in body["blocks"]] == [block["id"]]
    assert "include=agent.blocks" in served.asked[0]


@pytest.mark.parametrize("kind", ["agent", "block", "tool"])
def test_an_object_that_does_not_exist(kind: str, served: Served) -> None:
    id = f"{kind}-00000000-0000-4000-8000-000000000000"
    assert served.run(lambda reads: body_of(reads.client, kind, id)) is None
    assert served.run(lambda reads: maybe(reads.client, kind, id)) is None
    for asked in (id, "no id at all"):
        with pytest.raises(NotFound):
            served.run(lambda reads, asked=asked: one(reads.client, kind, asked))


def test_an_agent_and_its_blocks(served: Served) -> None:
    block = served.block("notes", value="text")
    agent = served.agent("ann", block_ids=[block["id"]])
    live, blocks = served.run(lambda reads: one(reads.client, "agent", agent["id"]))
    assert (live.kind, live.id, live.name) == ("agent", agent["id"], "ann")
    assert [(each.id, each.values["value"]) for each in blocks] == [(block["id"], "text")]


def test_what_was_created_along_with_an_object(served: Served) -> None:
    agent = served.agent("ann", enable_sleeptime=True)
    (group,) = served.run(lambda reads: discovered(reads.client, "agent", agent["id"], "group"))
    assert group["id"].startswith("group-")
    plain = served.agent("bob")
    assert served.run(lambda reads: discovered(reads.client, "agent", plain["id"], "group")) == []
