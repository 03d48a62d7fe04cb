"""Every YAML block of the documentation loads, and the pages that are generated are current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lettaform.kinds import kinds, sections
from lettaform.manifest.layout import layout
from scripts import generate
from tests.documents import MORE, ROOT, Example, examples


@pytest.mark.parametrize("example", examples(), ids=lambda each: f"{each.page}:{each.line}")
def test_an_example_loads(example: Example, tmp_path: Path) -> None:
    for environment in example.environments:
        assert example.load(tmp_path, environment).warnings == ()


@pytest.mark.parametrize("page", [page for page, more in MORE.items() if not more])
def test_a_block_of_another_program_is_yaml(page: str) -> None:
    blocks = (ROOT / page).read_text("utf-8").split("```yaml\n")[1:]
    assert blocks
    assert all(isinstance(yaml.safe_load(each.split("```")[0]), dict) for each in blocks)


def test_generated_content_is_current() -> None:
    made = generate.files()
    stale = [path.relative_to(ROOT).as_posix() for path in made if path.read_text("utf-8") != made[path]]
    assert stale == [], "out of date; run: python -m scripts.generate"


@pytest.mark.parametrize("section", sections())
def test_every_kind_has_a_page_with_all_its_parts(section: str) -> None:
    text = (ROOT / f"docs/kinds/{section}.md").read_text("utf-8")
    expected = ["Examples", "What the server does", "What lettaform guards", "Fields"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == expected
    assert f"<!-- generated: fields {section} -->" in text
    used = [each for each in examples() if each.page == f"docs/kinds/{section}.md" and f"{section}:" in each.text]
    assert used


def test_the_words_for_calls_of_the_sdk_exist() -> None:
    text = (ROOT / "docs/how-to/from-scripts.md").read_text("utf-8").split("## Calls")[1].split("## Parameters")[0]
    found = re.findall(r"`(\w+)\.KEY\.(\w+)", text)
    assert len(found) > 10
    assert [each for each in found if each[1] not in kinds()[sections()[each[0]]].attrs()] == []


def test_the_words_of_other_tools_that_the_page_promises_are_many() -> None:
    text = (ROOT / "docs/habits.md").read_text("utf-8")
    assert text.count("\n| ") > 40


@pytest.mark.parametrize("example", examples(), ids=lambda each: f"{each.page}:{each.line}")
def test_an_example_is_in_canonical_layout(example: Example) -> None:
    assert layout(example.text) == example.text
