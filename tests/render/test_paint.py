from __future__ import annotations

import pytest

from lettaform.render.paint import Paint, plain, runs, sign

paint = Paint(True)


def test_runs_are_the_inverse_of_colours() -> None:
    text = f"a {paint('b', 'added')}{paint('c d', 'old word')} e"
    assert runs(text) == [("a ", None), ("b", "added"), ("c d", "old word"), (" e", None)]
    assert plain(text) == "a bc d e"
    assert (runs(""), runs("x"), plain("x")) == ([], [("x", None)], "x")


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (f"{paint('-', 'removed')} {paint('x', 'removed')}", "-"),
        (f"    {paint('+', 'added')} name  1", "+"),
        (paint("+ item", "added"), "+"),
        (f"{paint('~', 'changed')} name", "~"),
        (paint("@@ -1 +1 @@", "faint"), "@"),
        (paint("… 3 more lines", "faint"), ""),
        ("- a text that looks like a removed line", ""),
        (f"@@ {paint('x', 'new word')}", ""),
        ("", ""),
    ],
)
def test_a_sign_is_told_from_a_text_by_its_colour(line: str, found: str) -> None:
    assert sign(runs(line)) == found
