"""The documents match the code: tests that they name exist, commands that exist are documented."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lettaform.cli import VERBS
from lettaform.render.fields import page

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*/README.md")])


def _named() -> list[tuple[str, str, str]]:
    return [(d.name, *found) for d in DOCUMENTS for found in sorted(set(NAMED.findall(d.read_text())))]


@pytest.mark.parametrize(("document", "file", "test"), _named())
def test_every_test_named_in_docs_exists(document: str, file: str, test: str) -> None:
    assert test in re.findall(r"^ *(?:async )?def (\w+)", (ROOT / file).read_text(), re.MULTILINE)


def _rows(page: str) -> list[str]:
    """The rows of a page's tables, without the heads."""
    lines = [line for line in (ROOT / "docs" / page).read_text().splitlines() if line.startswith("|")]
    heads = {number - 1 for number, line in enumerate(lines) if line.startswith("|---")}
    return [line for number, line in enumerate(lines) if number not in heads and not line.startswith("|---")]


@pytest.mark.parametrize(("page", "least"), [("failures.md", 90), ("traps.md", 130)])
def test_every_row_names_a_test(page: str, least: int) -> None:
    assert len(_rows(page)) >= least
    assert [row for row in _rows(page) if len(NAMED.findall(row)) != 1 or row.count("|") != 4] == []


NUMBERS = {"F-": 26, "D-": 12, "C-": 9, "V-": 7, "S-": 6, "X-": 6, "": 25}
"""Failures by letter: numbers from 1 to how many."""


@pytest.mark.parametrize("letter", NUMBERS)
def test_failures_page_has_every_number(letter: str) -> None:
    begins = re.compile(rf"\| {letter}(\d+)\b")
    found = [int(match[1]) for row in _rows("failures.md") if (match := begins.match(row))]
    assert sorted(set(found)) == list(range(1, NUMBERS[letter] + 1))


def test_fields_page_is_current() -> None:
    assert (ROOT / "docs/fields.md").read_text() == page(), "lettaform schema fields > docs/fields.md"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_readme_names_every_command(verb: str) -> None:
    assert re.search(rf"`{verb}\b", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_docs_resolve(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target
