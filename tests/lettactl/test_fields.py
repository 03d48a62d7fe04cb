"""The tables of fields: each field goes somewhere or has a reason, and the page for newcomers names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lettaform.kinds import kinds
from lettaform.lettactl.fields import DEFAULT_TOOLS, KINDS, TABLES

PAGE = Path(__file__).parents[2] / "docs" / "from-lettactl.md"


@pytest.mark.parametrize("name", TABLES)
def test_each_field_goes_somewhere_or_has_a_reason(name: str) -> None:
    for field, row in TABLES[name].items():
        assert bool(row.to) != bool(row.reason), field


@pytest.mark.parametrize("name", TABLES)
def test_the_page_says_what_becomes_of_each_field(name: str) -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    for field, row in TABLES[name].items():
        said = (row.to or row.reason).replace("`", "")
        assert any(f"`{field}`" in line and said in line.replace("`", "") for line in rows), field


def test_copied_fields_are_fields_here() -> None:
    for kind, table in KINDS:
        names = {row.copied for row in table.values() if row.copied}
        assert names <= kinds()[kind].attrs().keys(), kind


def test_default_tools_are_built_in() -> None:
    assert set(DEFAULT_TOOLS) <= kinds()["tool"].naming.built_in
