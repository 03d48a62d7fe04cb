from __future__ import annotations

import pytest

from lettaform.manifest.keys import LONGEST, Keys, clean


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("worker-emea", "worker-emea"),
        ("My_Agent", "My_Agent"),
        ("The Boss", "the-boss"),
        ("Lead: the 1st!", "lead-the-1st"),
        ("Zoë Müller", "zoe-muller"),
        ("ann@example.com", "ann-example-com"),
        ("日本", "agent"),
        ("", "agent"),
        ("---", "---"),
        ("a word " * 20, "a-word-a-word-a-word-a-word-a-word-a-word-a-word-a-word-a"),
    ],
)
def test_a_name_as_a_key(name: str, key: str) -> None:
    assert clean(name, "agent") == key
    assert len(clean(name, "agent")) <= LONGEST


def test_a_key_is_taken_once() -> None:
    keys = Keys(("a",))
    assert [keys.take("a"), keys.take("A"), keys.take("b")] == ["a-2", "A-3", "b"]
