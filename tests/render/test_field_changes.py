from __future__ import annotations

from typing import Any

import pytest

from lettaform.render.field_changes import Row, Style, layout, row
from lettaform.render.paint import Paint
from lettaform.values import Patch, Ref, Template

from .samples import HOSTILE, SECRET, at

plain = Style(Paint())
creating = Style(Paint(), creating=True)
tool = Ref(at("tools.get_weather"))


def lines(old: Any, new: Any, style: Style = plain, **words: Any) -> list[str]:
    return layout([row("x", old, new, style, **words)], style.paint)


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        (1, 2, ["~ x  1 → 2"]),
        ("5", 5, ['~ x  "5" → 5']),
        (None, True, ["+ x  null → true"]),
        (0.5, None, ["- x  0.5 → null"]),
        ("a ", "a\tb", ['~ x  "a " → "a⇥b"']),
        ("", "\x1b", ['~ x  "" → "␛"']),
        ("id-1", tool, ['~ x  "id-1" → tools.get_weather']),
        ("a", Template(("at ", tool)), ['~ x  "a" → "at ${tools.get_weather.id}"']),
        ("a", Ref(at("agents.a"), "name"), ['~ x  "a" → agents.a.name']),
        ([], Patch((tool, "web_search"), ("run_code",)), ["~ x  +tools.get_weather +web_search -run_code"]),
        ({"a": 1, "b": 2}, Patch(entries=(("a", 9),), drop=("b",)), ["~ x", "    ~ a  1 → 9", "    - b  2"]),
        ({"a": 1}, Patch(entries=(("c", 3),)), ["~ x", "    + c  3"]),
        (["a", "b"], ["b", "c"], ["~ x", "    - a", "    + c"]),
        (["a", "b"], ["b", "a"], ["~ x", "    + b", "    - b"]),
        ({"a": 1, "b": 2}, {"a": 2, "c": 3}, ["~ x", "    ~ a  1 → 2", "    - b  2", "    + c  3"]),
        ({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}, ["~ x", "    ~ a.b[1].c  2 → 3"]),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, ["~ x", "    - a.b  1", "    + a.c  2"]),
        (
            {"a": [], "t": "1\n2\n"},
            {"a": [], "t": "1\n3\n"},
            ["~ x", "    ~ t  4 characters", "        @@ -1,2 +1,2 @@", "          1", "        - 2", "        + 3"],
        ),
    ],
)
def test_only_the_differing_part_of_a_value_is_shown(old: Any, new: Any, shown: list[str]) -> None:
    assert lines(old, new) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("short", ['+ x  "short"']),
        ("one\ntwo\n", ["+ x  8 characters", "    | one", "    | two"]),
        ("1\n2\n3\n4\n5", ["+ x  9 characters", "    | 1", "    | 2", "    | 3", "    … 2 more lines"]),
        ([tool, "web_search"], ["+ x  [tools.get_weather, web_search]"]),
        ({"a": 1}, ["+ x  {a: 1}"]),
        ({"a": "x" * 30, "b": "y" * 30}, ["+ x", f'    a  "{"x" * 30}"', f'    b  "{"y" * 30}"']),
    ],
)
def test_values_of_an_object_to_create(value: Any, shown: list[str]) -> None:
    assert lines(None, value, creating) == shown


def test_verbose_output_shows_whole_texts() -> None:
    text = "\n".join(map(str, range(100)))
    assert len(lines(None, text, Style(Paint(), whole=True, creating=True))) == 101


def test_a_text_above_its_limit_is_emphasized() -> None:
    style = Style(Paint(True), limit=10)
    assert lines("a\n", "a\nb\n", Style(Paint(), limit=10))[0] == "~ x  2 → 4 characters of 10"
    assert "\x1b[1;31m2 → 14 characters of 10\x1b[0m" in lines("a\n", "a" * 13 + "\n", style)[0]


@pytest.mark.parametrize(
    ("old", "new", "style", "shown"),
    [
        (None, SECRET, creating, "+ x  ‹secret›"),
        ("a", SECRET, plain, "~ x  ‹secret› → ‹secret›"),
        ("a", None, plain, "- x  ‹secret› → null"),
        (None, {"KEY": SECRET}, creating, "+ x  KEY=‹secret›"),
        ({"OLD": "a"}, {"KEY": SECRET}, plain, "~ x  +KEY=‹secret› -OLD"),
        ({}, Patch(entries=(("KEY", SECRET),), drop=("OLD",)), plain, "~ x  +KEY=‹secret› -OLD"),
    ],
)
def test_only_the_keys_of_secrets_are_shown(old: Any, new: Any, style: Style, shown: str) -> None:
    assert lines(old, new, style, secret=True) == [shown]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x", HOSTILE),
        (HOSTILE + "\n", "x\n"),
        (HOSTILE * 20, HOSTILE * 20 + " y"),
        (None, HOSTILE),
        ([HOSTILE], ["x"]),
        ({"k": HOSTILE}, {"k": 1}),
        ({HOSTILE: 1}, {}),
        ({"n": {HOSTILE: 1}}, {"n": {HOSTILE: [HOSTILE]}}),
        ([], Patch((HOSTILE,), (HOSTILE,))),
        ({}, Patch(entries=((HOSTILE, HOSTILE),))),
    ],
)
@pytest.mark.parametrize("style", [plain, creating, Style(Paint(), whole=True)])
def test_hostile_text_is_cleaned_in_every_position(old: Any, new: Any, style: Style) -> None:
    shown = "\n".join(layout([row(HOSTILE, old, new, style)], style.paint))
    assert not set(shown) & set("\x1b\x07\x9b\u202e\r\u200b\x7f\ud800\U000e0041")


def test_names_are_aligned_in_a_column() -> None:
    rows = [Row("~", "a", "1"), Row("+", "longer", "2"), Row("-", "no value beside", details=("x",))]
    assert layout(rows, Paint()) == ["~ a       1", "+ longer  2", "- no value beside", "    x"]
