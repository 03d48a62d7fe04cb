"""`archive search` on a stand-in: by address or id, of the stack or used by it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform import flow
from lettaform.errors import NotFound, PlanError
from lettaform.flow import Search, Searched
from tests.session.test_status import MODELS, Stack
from tests.session.test_status import stack as stack

ARCHIVES = f"""stack: s
variables: {{key: {{secret: true}}}}
defaults: {{agents: {{{MODELS}}}}}
archives:
  facts:
    embedding: letta/letta-free
    passages: [Cats sleep, {{text: Rome is old, tags: [city]}}, {{text: The key is hunter-22, tags: [city]}}]
  plain: {{}}
agents: {{a: {{secrets: {{KEY: "${{var.key}}"}}}}}}
"""


@pytest.fixture
def archives(stack: Stack) -> Stack:
    stack.write(ARCHIVES)
    stack.apply()
    return stack


def search(stack: Stack, what: str, text: str, limit: int = 10, *tags: str) -> Searched:
    return flow.archive_search(stack.source, stack.connection, what, Search(text, limit, tags))


def texts(found: Searched) -> list[str]:
    return [each.text for each in found.passages]


def test_by_address_and_by_id(archives: Stack) -> None:
    found = search(archives, "archives.facts", "Rome is old", 1)
    assert (found.archive, texts(found), found.by_meaning) == ("archives.facts", ["Rome is old"], True)
    assert found.hidden == ("hunter-22",)
    assert [each.address and str(each.address) for each in flow.state_list(archives.source, archives.connection)]
    (archives.folder / "lettaform.yaml").unlink()
    again = search(archives, found.id, "Rome is old", 1)
    assert texts(again) == ["Rome is old"]


def test_tags_and_limit(archives: Stack) -> None:
    assert sorted(texts(search(archives, "archives.facts", "x", 10, "city", "none"))) == [
        "Rome is old",
        "The key is hunter-22",
    ]
    assert texts(search(archives, "archives.facts", "x", 10, "none")) == []


def test_without_an_embedding_model(archives: Stack) -> None:
    assert search(archives, "archives.plain", "x").by_meaning is False


@pytest.mark.parametrize("what", ["archives.other", "agents.a", "archives", "nothing"])
def test_what_is_no_archive(what: str, archives: Stack) -> None:
    with pytest.raises((PlanError, NotFound)):
        search(archives, what, "x")


@pytest.mark.parametrize(("text", "limit"), [("", 1), (" ", 1), ("x", 0), ("x", 101)])
def test_what_cannot_be_asked_for(text: str, limit: int, archives: Stack) -> None:
    with archives.requests() as asked, pytest.raises(PlanError):
        search(archives, "archives.facts", text, limit)
    assert all(each.startswith("GET ") for each in asked)


def test_it_writes_nothing(archives: Stack, tmp_path: Path) -> None:
    with archives.requests() as asked:
        search(archives, "archives.facts", "x")
    assert [each for each in asked if not each.startswith("GET ")] == ["POST /v1/passages/search"]
