"""What the documents say is so: tests that they name exist, verbs that exist are named."""

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
def test_a_test_that_a_document_names_exists(document: str, file: str, test: str) -> None:
    assert test in re.findall(r"^ *(?:async )?def (\w+)", (ROOT / file).read_text(), re.MULTILINE)


def test_the_page_of_failures_names_tests() -> None:
    assert len([row for row in _named() if row[0] == "failures.md"]) > 30


def test_the_page_of_fields_is_current() -> None:
    assert (ROOT / "docs/fields.md").read_text() == page(), "lettaform schema fields > docs/fields.md"


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_the_readme_names_every_verb(verb: str) -> None:
    assert re.search(rf"`{verb}\b", (ROOT / "README.md").read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target
