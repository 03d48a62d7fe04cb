from __future__ import annotations

import time

import pytest

from lettaform.render.paint import Paint
from lettaform.render.texts import Bound, bounded, unified, words

plain, colored = Paint(), Paint(True)


def test_three_lines_of_context_and_a_header_for_each_hunk() -> None:
    old = "\n".join(map(str, range(1, 31)))
    new = old.replace("\n5\n", "\nfive\n").replace("\n25\n", "\n")
    assert unified(old, new, plain) == [
        "@@ -2,7 +2,7 @@",
        "  2",
        "  3",
        "  4",
        "- 5",
        "+ five",
        "  6",
        "  7",
        "  8",
        "@@ -22,7 +22,6 @@",
        "  22",
        "  23",
        "  24",
        "- 25",
        "  26",
        "  27",
        "  28",
    ]


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("a\nb", "a\nb\n", ["@@ -1,2 +1,2 @@", "  a", "- b", "\\ No newline at end", "+ b"]),
        ("a\nb\n", "a\nb", ["@@ -1,2 +1,2 @@", "  a", "- b", "+ b", "\\ No newline at end"]),
        ("a\nb", "a\nc", ["@@ -1,2 +1,2 @@", "  a", "- b", "+ c"]),
        ("a\n", "a\n\n", ["@@ -1 +1,2 @@", "  a", "+"]),
        ("a\n b\n", "a\n\tb\n", ["@@ -1,2 +1,2 @@", "  a", "-  b", "+ ⇥   b"]),
        ("a\nb\n", "a\nb  \n", ["@@ -1,2 +1,2 @@", "  a", "- b", "+ b··"]),
        ("a\nb\n", "a\nb\r\n", ["@@ -1,2 +1,2 @@", "  a", "- b", "+ b␍"]),
        ("a\nb\n", "a\nb\u200b\n", ["@@ -1,2 +1,2 @@", "  a", "- b", "+ b‹U+200B›"]),
        ("a\u2028b\nc\n", "a\u2028b\nd\n", ["@@ -1,2 +1,2 @@", "  a‹U+2028›b", "- c", "+ d"]),
        ("", "a\nb\n", ["@@ -0,0 +1,2 @@", "+ a", "+ b"]),
        ("a\nb\n", "", ["@@ -1,2 +0,0 @@", "- a", "- b"]),
    ],
)
def test_invisible_changes_are_visible(old: str, new: str, lines: list[str]) -> None:
    assert unified(old, new, plain) == lines


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ("You are kind and brief.", "You are kind and thorough.", ["You are kind and [-brief-]{+thorough+}."]),
        ("one two three four", "one 2 3 four", ["one [-two three-]{+2 3+} four"]),
        ("one two three", "one three", ["one [-two·-]three"]),
        ("nothing alike here", "Ganz anders, ohne jede Ähnlichkeit", None),
    ],
)
def test_the_word_diff_of_one_line(old: str, new: str, lines: list[str] | None) -> None:
    assert words(old, new, plain) == (lines or [f"- {old}", f"+ {new}"])


def test_unchanged_text_far_from_a_change_is_left_out() -> None:
    far = "word " * 100
    assert words(f"{far}old {far}end", f"{far}new {far}end", plain) == [
        "… word word word word word word word [-old-]{+new+} word word word word word word word …"
    ]


def test_colours_mark_the_changed_words_of_a_line() -> None:
    assert unified("keep\nsay hello now\n", "keep\nsay goodbye now\n", colored)[2:] == [
        "\x1b[31m-\x1b[0m \x1b[31msay \x1b[0m\x1b[1;9;31mhello\x1b[0m\x1b[31m now\x1b[0m",
        "\x1b[32m+\x1b[0m \x1b[32msay \x1b[0m\x1b[1;4;32mgoodbye\x1b[0m\x1b[32m now\x1b[0m",
    ]


def test_large_texts_do_not_take_long() -> None:
    old = "\n".join(f"line {number % 50}" for number in range(5000))
    paragraph = "word " * 20_000
    started = time.monotonic()
    assert "- line 7" in unified(old, old.replace("line 7\n", "line seven\n", 1), plain)
    assert words(paragraph, paragraph + "more", plain)[0].startswith("- word")
    assert time.monotonic() - started < 5


def test_a_bound_cuts_lines_and_their_ends_and_colours_have_no_width() -> None:
    lines = ["x" * 10, Paint(True)("y" * 10, "added"), "z", "z", "z"]
    assert bounded(lines, None, Paint()) == tuple(lines)
    assert bounded(lines[:3], Bound(3, 10), Paint()) == tuple(lines[:3])
    first, second, more = bounded(lines, Bound(2, 4, "look there"), Paint())
    assert (first, more) == ("xxxx… 6 more characters", "… 3 more lines; look there")
    assert second == Paint(True)("yyyy", "added") + "… 6 more characters"


def test_the_context_of_a_difference_can_be_all_of_it() -> None:
    old = "\n".join(f"Line {number}." for number in range(20))
    shown = unified(old, old.replace("Line 9.", "Line nine."), Paint(), context=20)
    assert len(shown) == 22


def test_a_long_diff_ends_and_counts_the_other_lines() -> None:
    old, new = ("".join(f"{word} {number}\n" for number in range(50)) for word in ("old", "new"))
    shown = unified(old, new, plain, most=20)
    assert len(shown) == 22
    assert shown[-1] == "… 80 more lines"
    shown = unified(old, new, plain, most=60)
    assert (shown[-2], shown[-1]) == ("+ new 9", "… 40 more lines")
    assert unified(old, new, plain, most=100) == unified(old, new, plain)
    # two changes far from each other: the second one is left out with its context
    old = "a\n" + "same\n" * 20 + "b\n"
    assert unified(old, old.replace("a", "x", 1).replace("b\n", "y\n"), plain, most=5)[-1] == "… 5 more lines"


def test_words_of_very_long_lines_and_of_many_lines_are_not_compared() -> None:
    assert len(words("a b " * 60_000, "a c " * 60_000, plain)) == 2
    old, new = "x 1 y\n" * 300, "x 2 y\n" * 300
    assert not any("4m2" in line for line in unified(old, new, colored))
