from __future__ import annotations

import sys
import unicodedata

import pytest

from lettaform.render.clean import clean, clean_line, clean_spaces, redact

from .samples import HOSTILE


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("Grüße, 世界 🎉", "Grüße, 世界 🎉"),
        ("\x1b[2J", "␛[2J"),
        ("\x1b]8;;http://x\x07", "␛]8;;http://x␇"),
        ("a\rb", "a␍b"),
        ("\x00\x08\x0b\x0c", "␀␈␋␌"),
        ("\x7f", "␡"),
        ("\x85\x9b", "‹U+0085›‹U+009B›"),
        ("\u202egnp.exe", "‹U+202E›gnp.exe"),
        ("\u2066x\u2069", "‹U+2066›x‹U+2069›"),
        ("pass\u200bword\ufeff", "pass‹U+200B›word‹U+FEFF›"),
        ("\u2028\u2029", "‹U+2028›‹U+2029›"),
        ("\ud800", "‹U+D800›"),
        ("\U000e0041", "‹U+E0041›"),
        ("a\ufe0f", "a‹U+FE0F›"),
        ("❤\ufe0f", "❤\ufe0f"),
        ("❤\ufe0f\ufe0f", "❤\ufe0f‹U+FE0F›"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        # what a CI takes for a command
        ("::set-output name=x::y", "‹::›set-output name=x::y"),
        ("a\n \t::stop-commands::t", "a\n \t‹::›stop-commands::t"),
        ("a ##[group]x ##vso[task.setvariable]y", "a ##‹[›group]x ##vso‹[›task.setvariable]y"),
        ("std::vector ::1 :: a ## [x] #[y]", "std::vector ::1 :: a ## [x] #[y]"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_every_invisible_character_is_replaced() -> None:
    unseen = {"Cc", "Cf", "Cs", "Zl", "Zp"}
    through = [
        f"U+{code:04X}"
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in unseen and chr(code) not in "\n\t" and clean(chr(code)) == chr(code)
    ]
    assert through == []


def test_clean_text_can_be_encoded_and_cleaned_again() -> None:
    clean(HOSTILE).encode("utf-8")
    assert clean(clean(HOSTILE)) == clean(HOSTILE)


def test_clean_line_replaces_newlines_and_tabs() -> None:
    assert clean_line("a\nb\tc\r") == "a↵b⇥c␍"


@pytest.mark.parametrize(
    ("line", "shown"),
    [("end  ", "end··"), ("  start", "  start"), ("\tx", "⇥   x"), ("a\xa0b", "a‹U+00A0›b"), ("x \t ", "x ⇥   ·")],
)
def test_clean_spaces_shows_unusual_and_trailing_spaces(line: str, shown: str) -> None:
    assert clean_spaces(line) == shown


def test_redact_replaces_the_longest_secret_first_and_keeps_short_ones() -> None:
    assert redact("key=abcdef, a b", ["a", "abcd", "abcdef"]) == "key=‹secret›, a b"
