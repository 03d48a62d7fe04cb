"""The table of versions.py: each fact holds from the release on that it names, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.live.conftest import Letta
from tests.live.versions import FACTS, Fact, Probe, release


@pytest.fixture
def probe(letta: Letta) -> Iterator[Probe]:
    bearer = {"Authorization": f"Bearer {letta.password}"} if letta.password else {}
    # every release closes the connection after an unhandled error, and not always at once
    headers = {"Connection": "close", **bearer}
    with httpx.Client(base_url=letta.url, headers=headers, timeout=60) as http:
        made = Probe(http, letta.model, letta.embedding)
        yield made
        made.clear()


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.what)
def test_fact_holds_from_its_release_on(fact: Fact, probe: Probe) -> None:
    assert fact.shown(probe) == fact.holds(release())


def test_docs_list_every_fact() -> None:
    page = (Path(__file__).parents[2] / "docs/versions.md").read_text(encoding="utf-8")
    section = page.partition("## What differs")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[:2] for line in section.splitlines() if line.startswith("| 0")]
    assert rows == [[f"| {fact.since}", fact.what] for fact in FACTS]
