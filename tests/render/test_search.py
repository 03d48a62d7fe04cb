"""Passages that a search found, for people and as JSON."""

from __future__ import annotations

import pytest

from lettaform.model import Passage, Search, Searched
from lettaform.render import data
from lettaform.render.search import CHARACTERS, text, to_data
from tests.render.hostile import TEXTS

CREATED = "2026-11-27T08:00:00Z"
ROME = Passage("passage-1", "Rome is old.\nAnd large.", ("city", "all"), {"n": 1}, CREATED)


def found(*passages: Passage, **words: object) -> Searched:
    return Searched("archives.facts", "archive-1", Search("Rome", 10, ()), passages, **words)  # type: ignore[arg-type]


def test_text() -> None:
    assert text(found(ROME, Passage("passage-2", "Cats sleep."))) == (
        "  1  Rome is old.\n     And large.\n     tags city, all · passage-1 · 2026-11-27\n"
        "\n"
        "  2  Cats sleep.\n     passage-2\n"
        "\n"
        "2 passages in archives.facts, the nearest first.\n"
    )


@pytest.mark.parametrize(
    ("by_meaning", "passages", "summary"),
    [
        (True, (), "No passage was found in archives.facts."),
        (False, (), "No passage was found in archives.facts, which has no embedding model: none contains the text."),
        (
            False,
            (Passage("p", "x"),),
            "1 passage in archives.facts, which has no embedding model: those that contain the text.",
        ),
    ],
)
def test_summary(by_meaning: bool, passages: tuple[Passage, ...], summary: str) -> None:
    assert text(found(*passages, by_meaning=by_meaning)).splitlines()[-1] == summary


def test_long_passages_are_shortened_unless_verbose() -> None:
    long = found(Passage("p", "x" * (CHARACTERS + 1234)), Passage("q", "y\n" * 30))
    shown = text(long)
    assert "… 1,234 more characters; -v shows them" in shown
    assert len(shown.splitlines()) < 20
    assert "x" * (CHARACTERS + 1234) in text(long, verbose=True)


def test_secrets_are_hidden() -> None:
    secret = Passage("p", "It is hunter22.", ("hunter22",), {"key": "hunter22"})
    given = found(secret, hidden=("hunter22",))
    for shown in (text(given), text(given, verbose=True), data.dumps(to_data(given))):
        assert "hunter22" not in shown


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_texts(name: str) -> None:
    hostile = TEXTS[name]
    given = Searched(hostile, hostile, Search(hostile, 1, (hostile,)), (Passage(hostile, hostile, (hostile,)),))
    assert not {"\x1b", "\x07", "\u202e", "\u2028", "\r"} & set(text(given, verbose=True))


def test_json() -> None:
    shown = to_data(found(ROME))
    assert shown["passages"] == [
        {
            "id": "passage-1",
            "text": "Rome is old.\nAnd large.",
            "tags": ["city", "all"],
            "metadata": {"n": 1},
            "created_at": CREATED,
        }
    ]
    assert (shown["query"], shown["limit"], shown["by_meaning"]) == ("Rome", 10, True)
