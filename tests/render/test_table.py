"""Tables that fit a width: columns are left out by rank, texts are shortened, and nothing is wrapped."""

from __future__ import annotations

import pytest

from lettaform.render.paint import Paint
from lettaform.render.table import Cell, Column, cells_of, lines, shortened

COLUMNS = (
    Column("ADDRESS", least=12),
    Column("STATUS"),
    Column("NAME", 3, least=6),
    Column("TOOLS", 2, right=True),
    Column("AGE", 1, right=True),
)
ROWS = [
    ("agents.supervisor", "ok", "supervisor", "12", "3d"),
    ("agents.worker[emea]", "drifted", "worker-emea", "3", "40s"),
]


def table(width: int | None, rows: list[tuple[str, ...]] = ROWS) -> list[str]:
    return lines(COLUMNS, [[Cell(text) for text in row] for row in rows], Paint(), width)


def test_without_a_limit_everything_is_shown() -> None:
    assert table(None) == [
        "ADDRESS              STATUS   NAME         TOOLS  AGE",
        "agents.supervisor    ok       supervisor      12   3d",
        "agents.worker[emea]  drifted  worker-emea      3  40s",
    ]


@pytest.mark.parametrize(
    ("width", "titles", "row"),
    [
        (100, "ADDRESS STATUS NAME TOOLS AGE", "agents.worker[emea] drifted worker-emea 3 40s"),
        (50, "ADDRESS STATUS NAME TOOLS AGE", "agents.w…r[emea] drifted worker-emea 3 40s"),
        (44, "ADDRESS STATUS NAME TOOLS AGE", "agents…[emea] drifted work…mea 3 40s"),
        (40, "ADDRESS STATUS TOOLS AGE", "agents.worker[emea] drifted 3 40s"),
        (30, "ADDRESS STATUS AGE", "agents.w…r[emea] drifted 40s"),
        (22, "ADDRESS STATUS", "agents…[emea] drifted"),
        (18, "ADDRESS STATUS", "agen…mea] drifted"),
    ],
)
def test_columns_are_left_out_by_rank_and_texts_are_shortened(width: int, titles: str, row: str) -> None:
    shown = table(width)
    assert max(map(cells_of, shown)) <= width
    assert (shown[0].split(), shown[2].split()) == (titles.split(), row.split())


def test_a_table_without_rows_has_titles() -> None:
    assert table(60, []) == ["ADDRESS  STATUS  NAME  TOOLS  AGE"]


def test_wide_and_combining_characters_are_aligned() -> None:
    shown = table(None, [("agents.李明", "ok", "é", "1", "1d"), ("agents.a", "ok", "e\u0301", "1", "1d")])
    assert [cells_of(line) for line in shown[1:]] == [cells_of(shown[0])] * 2
    assert cells_of("李明") == 4
    assert cells_of("e\u0301") == 1


@pytest.mark.parametrize(
    ("text", "width", "expected"),
    [
        ("agents.a", 8, "agents.a"),
        ("agents.boss", 8, "agen…oss"),
        ("李明李明李明", 8, "李明…明"),
        ("abc", 1, "…"),
        ("x" * 100_000, 5, "xx…xx"),
    ],
)
def test_a_text_is_shortened_in_its_middle(text: str, width: int, expected: str) -> None:
    assert shortened(text, width) == expected
    assert cells_of(shortened(text, width)) <= width


def test_one_long_text_does_not_pad_all_lines() -> None:
    column = (Column("NAME", most=10),)
    shown = lines(column, [[Cell("x" * 1_000_000)], [Cell("a")]], Paint(), None)
    assert [len(line) for line in shown] == [4, 10, 1]


def test_colours_do_not_count() -> None:
    plain, painted = (
        lines(COLUMNS[:2], [[Cell("a", "strong"), Cell("ok", "added")]], Paint(on), 60) for on in (False, True)
    )
    assert plain[1] == "a        ok"
    assert painted[1] == "\x1b[1ma\x1b[0m        \x1b[32mok\x1b[0m    ".rstrip()
