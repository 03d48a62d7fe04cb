"""The documentation as a site: every page is in the navigation, and mkdocs takes all of it without a warning."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml

from scripts.site_links import within
from tests.documents import PAGES, ROOT


def pages(nav: list[object]) -> Iterator[str]:
    for entry in nav:
        if isinstance(entry, str):
            yield entry
        elif isinstance(entry, dict):
            for inner in entry.values():
                yield from pages(inner if isinstance(inner, list) else [inner])


def test_the_navigation_has_every_page_once() -> None:
    listed = list(pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]))
    existing = [path.relative_to(ROOT / "docs").as_posix() for path in PAGES if path.is_relative_to(ROOT / "docs")]
    assert sorted(listed) == sorted(existing)


@pytest.mark.parametrize(
    ("written", "depth", "shown"),
    [
        ("see [`a`](../schemas/plan.schema.json).", 0, "see `a`."),
        ("[a](../../examples/teams) and [b](../../README.md)", 1, "a and b"),
        ("[a](../language.md#stack) and [b](../README.md)", 1, "[a](../language.md#stack) and [b](../README.md)"),
        ("[a](pull.md)", 0, "[a](pull.md)"),
    ],
)
def test_a_link_out_of_the_site_becomes_its_text(written: str, depth: int, shown: str) -> None:
    assert within(written, depth) == shown


@pytest.mark.slow
@pytest.mark.skipif(find_spec("material") is None, reason="needs the extra `docs`")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("WARNING")) == (0, 0), done.stderr
    assert (tmp_path / "site/kinds/agents.html").exists()
