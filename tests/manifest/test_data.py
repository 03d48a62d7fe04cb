"""Texts in CSV to rows, and `!csv`; JSON and YAML are tested with the functions that read them."""

from __future__ import annotations

import pytest

from lettaform.manifest.data import InvalidText, csv_rows, csv_value
from tests.manifest.conftest import Project


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("a,b\n1,2\n", [{"a": "1", "b": "2"}]),
        ("a,b\r\n1,\r\n\r\n", [{"a": "1", "b": ""}]),
        ('a,b\r"1,\r2","x ""y"""', [{"a": "1,\n2", "b": 'x "y"'}]),
        ("a\n", []),
    ],
)
def test_rows(text: str, rows: list[dict[str, str]]) -> None:
    assert csv_rows(text) == rows


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("", "the first row must name the columns", 1),
        ("\n1", "the first row must name the columns", 1),
        ("a,,b", "column 2 has no name", 1),
        ("a,b,a", "the column `a` is named twice", 1),
        ("a,b\n1,2\n3\n", "1 fields, and the first row names 2", 3),
        ('a\n"x', "unexpected end of data", 2),
        ('a\n"x"y\n', "',' expected after '\"'", 2),
    ],
)
def test_what_is_no_table(text: str, message: str, line: int) -> None:
    with pytest.raises(InvalidText) as caught:
        csv_rows(text)
    assert (str(caught.value), caught.value.line) == (message, line)


@pytest.mark.parametrize(("column", "message"), [(["x", "x"], "two rows have 'x'"), (["", "x"], "a row has nothing")])
def test_the_first_column_tells_rows_apart(column: list[str], message: str) -> None:
    with pytest.raises(InvalidText, match=message):
        csv_value("id,x\n" + "".join(f"{each},1\n" for each in column))


def test_csv_files_declare_a_row_of_objects(project: Project) -> None:
    project.write(
        "stack: s\nblocks:\n  b: {for_each: !csv t.csv, value: '${each.value.name}'}\n",
        {"t.csv": "id,name\nann,Ann\nbob,Bob\n"},
    )
    found = {str(address): each.values["value"] for address, each in project.load().objects.items()}
    assert found == {"blocks.b[ann]": "Ann", "blocks.b[bob]": "Bob"}


def test_a_broken_csv_file_is_shown_with_its_line(project: Project) -> None:
    project.write("stack: s\noutputs: {it: !csv t.csv}\n", {"t.csv": "id,name\nann\n"})
    (problem,) = project.problems()
    assert problem.place is not None
    shown = (problem.place.file, problem.place.line, problem.message)
    assert shown == ("t.csv", 2, "invalid CSV: 1 fields, and the first row names 2")
