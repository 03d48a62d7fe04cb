"""The published schema is the one by which agent files are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from lettaform.snapshot.agent_file_schema import COLLECTIONS, REFERENCES, agent_file_schema
from tests.snapshot.agent_files import CLERK, OLDER, TEAM

PUBLISHED = Path(__file__).parent.parent.parent / "schemas" / "agent-file.schema.json"


def test_the_published_schema_is_current() -> None:
    assert json.loads(PUBLISHED.read_text()) == agent_file_schema()


@pytest.mark.parametrize("file", [CLERK, OLDER, TEAM], ids=lambda path: path.stem)
def test_it_is_a_schema_that_agent_files_fulfil(file: Path) -> None:
    Draft202012Validator.check_schema(agent_file_schema())
    body = json.loads(file.read_text(encoding="utf-8"))
    assert list(Draft202012Validator(agent_file_schema()).iter_errors(body)) == []


def test_references_lead_to_collections() -> None:
    assert {*REFERENCES.values()} <= COLLECTIONS.keys()
