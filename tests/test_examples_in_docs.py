"""Every YAML block of the documentation loads, and the pages that are generated are current."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.documents import MORE, ROOT, Example, examples


@pytest.mark.parametrize("example", examples(), ids=lambda each: f"{each.page}:{each.line}")
def test_an_example_loads(example: Example, tmp_path: Path) -> None:
    assert example.load(tmp_path).warnings == ()


@pytest.mark.parametrize("page", [page for page, more in MORE.items() if not more])
def test_a_block_of_another_program_is_yaml(page: str) -> None:
    blocks = (ROOT / page).read_text("utf-8").split("```yaml\n")[1:]
    assert blocks
    assert all(isinstance(yaml.safe_load(each.split("```")[0]), dict) for each in blocks)
